package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/google/renameio"
	"gopkg.in/yaml.v2"
)

// k8sdState knows the files of k8sd's state directory.
type k8sdState struct{ dir string }

func stateOf(dir string) k8sdState { return k8sdState{dir: dir} }

func (s k8sdState) database() string         { return filepath.Join(s.dir, "database") }
func (s k8sdState) truststore() string       { return filepath.Join(s.dir, "truststore") }
func (s k8sdState) daemonYaml() string       { return filepath.Join(s.dir, "daemon.yaml") }
func (s k8sdState) controlSocket() string    { return filepath.Join(s.dir, "control.socket") }
func (s k8sdState) globalPatch() string      { return filepath.Join(s.dir, "patch.global.sql") }
func (s k8sdState) recoveryTarball() string  { return filepath.Join(s.dir, "recovery_db.tar.gz") }
func (s k8sdState) recoveryUnpacked() string { return filepath.Join(s.dir, "recovery_db") }

// beginMarker is the lab's own file: it stands for the API call by which the original begins or joins a database.
func (s k8sdState) beginMarker() string { return filepath.Join(s.dir, "lab-begin.yaml") }

type daemonConfig struct {
	Name    string                 `yaml:"name"`
	Address string                 `yaml:"address"`
	Servers map[string]interface{} `yaml:"servers"`
}

// daemonConfig reads daemon.yaml; empty without one.
func (s k8sdState) daemonConfig() (daemonConfig, error) {
	var config daemonConfig
	if err := readYaml(s.daemonYaml(), &config); err != nil && !os.IsNotExist(err) {
		return config, fmt.Errorf("failed to load daemon.yaml: %w", err)
	}
	return config, nil
}

// setDaemonAddress keeps daemon.yaml's address in step with the recovered database.
func (s k8sdState) setDaemonAddress(address string) error {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return fmt.Errorf("failed to update daemon.yaml: %w", err)
	}
	config, err := s.daemonConfig()
	if err != nil {
		return err
	}
	config.Address = address
	return writeYaml(s.daemonYaml(), config, 0o644)
}

// remote is one member of the cluster as the trust store has it: truststore/NAME.yaml.
type remote struct {
	Name        string `yaml:"name"`
	Address     string `yaml:"address"`
	Certificate string `yaml:"certificate"`
}

// remotes reads the trust store, by name.
func (s k8sdState) remotes() ([]remote, error) {
	entries, err := os.ReadDir(s.truststore())
	if err != nil {
		return nil, fmt.Errorf("unable to read trust directory: %w", err)
	}
	var all []remote
	for _, entry := range entries {
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), ".yaml") {
			continue
		}
		var one remote
		if err := readYaml(filepath.Join(s.truststore(), entry.Name()), &one); err != nil {
			return nil, err
		}
		if one.Certificate == "" {
			return nil, fmt.Errorf("failed to parse local record %q. Found empty certificate", one.Name)
		}
		all = append(all, one)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, nil
}

// replaceRemotes makes the trust store hold exactly these members.
func (s k8sdState) replaceRemotes(all []remote) error {
	if len(all) == 0 {
		return fmt.Errorf("received empty remotes")
	}
	keep := map[string]bool{}
	for _, one := range all {
		data, err := yaml.Marshal(one)
		if err != nil {
			return fmt.Errorf("render the trust store's record of %s: %w", one.Name, err)
		}
		name := one.Name + ".yaml"
		if err := renameio.WriteFile(filepath.Join(s.truststore(), name), data, 0o644); err != nil {
			return fmt.Errorf("write the trust store's record of %s: %w", one.Name, err)
		}
		keep[name] = true
	}
	entries, err := os.ReadDir(s.truststore())
	if err != nil {
		return fmt.Errorf("unable to read trust directory: %w", err)
	}
	for _, entry := range entries {
		if keep[entry.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(s.truststore(), entry.Name())); err != nil {
			return fmt.Errorf("remove an outdated record of the trust store: %w", err)
		}
	}
	return nil
}
