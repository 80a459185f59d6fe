package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/canonical/go-dqlite/v2"
	"github.com/canonical/go-dqlite/v2/app"
)

// Snapshots are taken every threshold log entries; trailing entries are kept behind one.
const (
	defaultThreshold = 512
	minThreshold     = 384
	defaultTrailing  = 4096
	minTrailing      = 512
)

// initFiles may stand in the directory of a node that init.yaml sets up; anything else there is data in danger.
var initFiles = map[string]bool{
	"cluster.crt":    true,
	"cluster.key":    true,
	"init.yaml":      true,
	"failure-domain": true,
	"tuning.yaml":    true,
}

type initConfig struct {
	Address string   `yaml:"Address"`
	Cluster []string `yaml:"Cluster,omitempty"`
}

type updateConfig struct {
	Address string `yaml:"Address"`
}

type tuningConfig struct {
	Snapshot *struct {
		Threshold uint64 `yaml:"threshold"`
		Trailing  uint64 `yaml:"trailing"`
	} `yaml:"snapshot"`
	NetworkLatency *time.Duration `yaml:"network-latency"`
}

// k8sDqliteOptions reads the files that steer a start, in the original's order, and consumes those that are for once.
func k8sDqliteOptions(flags k8sDqliteFlags) ([]app.Option, error) {
	dir := flags.storageDir
	options := []app.Option{app.WithLogFunc(dqliteLog(dqliteLogLevel(flags.logLevel)))}

	initial, err := consumeInit(dir)
	if err != nil {
		return nil, err
	}
	if initial != nil {
		options = append(options, app.WithAddress(initial.Address), app.WithCluster(initial.Cluster))
	} else if err := consumeUpdate(dir); err != nil {
		return nil, err
	}

	var domain uint64
	if err := readYaml(filepath.Join(dir, "failure-domain"), &domain); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("failed to parse failure-domain from file: %w", err)
	}
	options = append(options, app.WithFailureDomain(domain))

	if flags.tls {
		listen, dial, err := clusterTLS(dir)
		if err != nil {
			return nil, err
		}
		options = append(options, app.WithTLS(listen, dial))
	}

	tuned, err := tuningOptions(dir)
	if err != nil {
		return nil, err
	}
	return append(options, tuned...), nil
}

// consumeInit reads and deletes init.yaml; nil without one.
func consumeInit(dir string) (*initConfig, error) {
	path := filepath.Join(dir, "init.yaml")
	var config initConfig
	if err := readYaml(path, &config); err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("failed to read init.yaml: %w", err)
	}
	if config.Address == "" {
		return nil, fmt.Errorf("empty address in init.yaml")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("failed to list storage dir contents: %w", err)
	}
	for _, entry := range entries {
		if !initFiles[entry.Name()] {
			return nil, fmt.Errorf("data directory seems to have existing state: %s", entry.Name())
		}
	}
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("failed to remove init.yaml after init: %w", err)
	}
	log.Printf("will initialize dqlite node, address=%s cluster=[%s]", config.Address, strings.Join(config.Cluster, " "))
	return &config, nil
}

// consumeUpdate changes the node's address by update.yaml. The node becomes the only member, as with the original.
func consumeUpdate(dir string) error {
	path := filepath.Join(dir, "update.yaml")
	var update updateConfig
	if err := readYaml(path, &update); err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return fmt.Errorf("failed to read update.yaml: %w", err)
	}
	if update.Address == "" {
		return fmt.Errorf("empty address in update.yaml")
	}
	var info dqlite.NodeInfo
	if err := readYaml(filepath.Join(dir, "info.yaml"), &info); err != nil {
		return fmt.Errorf("failed to read info.yaml: %w", err)
	}
	log.Printf("will update address of dqlite node, old_address=%s new_address=%s", info.Address, update.Address)
	info.Address = update.Address
	alone := []dqlite.NodeInfo{info}
	if err := dqlite.ReconfigureMembershipExt(dir, alone); err != nil {
		return fmt.Errorf("failed to reconfigure dqlite membership for new address: %w", err)
	}
	if err := writeYaml(filepath.Join(dir, "info.yaml"), info, 0o600); err != nil {
		return err
	}
	if err := writeYaml(filepath.Join(dir, "cluster.yaml"), alone, 0o600); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("failed to remove update.yaml after dqlite address update: %w", err)
	}
	return nil
}

func tuningOptions(dir string) ([]app.Option, error) {
	var tuning tuningConfig
	if err := readYaml(filepath.Join(dir, "tuning.yaml"), &tuning); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("failed to read tuning.yaml: %w", err)
	}
	params := dqlite.SnapshotParams{Threshold: defaultThreshold, Trailing: defaultTrailing}
	if s := tuning.Snapshot; s != nil {
		params = adjustSnapshot(s.Threshold, s.Trailing)
	}
	log.Printf("configure dqlite raft snapshot parameters, threshold=%d trailing=%d", params.Threshold, params.Trailing)
	options := []app.Option{app.WithSnapshotParams(params)}
	if tuning.NetworkLatency != nil {
		options = append(options, app.WithNetworkLatency(*tuning.NetworkLatency))
	}
	return options, nil
}

// adjustSnapshot keeps the wanted numbers within what k8s-dqlite 1.8 accepts. STANDINS_TUNING_RAW=1 takes them as they
// are, for tests that want snapshots after few entries.
func adjustSnapshot(threshold, trailing uint64) dqlite.SnapshotParams {
	if os.Getenv("STANDINS_TUNING_RAW") == "1" {
		return dqlite.SnapshotParams{Threshold: threshold, Trailing: trailing}
	}
	params := dqlite.SnapshotParams{Threshold: threshold, Trailing: max(trailing, minTrailing)}
	switch {
	case threshold == 0:
		params.Threshold = trailing * 3 / 4
	case threshold < minThreshold:
		params.Threshold = minThreshold
	}
	if threshold > trailing {
		params.Threshold = trailing
	}
	return params
}
