package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/canonical/go-dqlite/v2"
	"github.com/canonical/go-dqlite/v2/client"
)

// daemonDialLimit bounds the attempts to reach other k8sd daemons, which have to be down.
const daemonDialLimit = 10 * time.Second

// dqliteMember is a member as k8sd's recovery sees it, and as recovery.yaml has it.
type dqliteMember struct {
	ID      uint64 `yaml:"id"`
	Address string `yaml:"address"`
	Role    string `yaml:"role"`
	Name    string `yaml:"name"`
}

func (m dqliteMember) nodeInfo() (client.NodeInfo, error) {
	for _, role := range []client.NodeRole{client.Voter, client.StandBy, client.Spare} {
		if role.String() == m.Role {
			return client.NodeInfo{ID: m.ID, Address: m.Address, Role: role}, nil
		}
	}
	return client.NodeInfo{}, fmt.Errorf("invalid dqlite role %q", m.Role)
}

// clusterMembers joins database/cluster.yaml with the trust store by address. Who is in only one of them is dropped.
func clusterMembers(state k8sdState) ([]dqliteMember, error) {
	nodes, err := readNodes(filepath.Join(state.database(), "cluster.yaml"))
	if err != nil {
		return nil, err
	}
	remotes, err := state.remotes()
	if err != nil {
		return nil, err
	}
	var members []dqliteMember
	for _, remote := range remotes {
		for _, node := range nodes {
			if remote.Address == node.Address {
				members = append(members, dqliteMember{
					ID: node.ID, Address: node.Address, Role: node.Role.String(), Name: remote.Name,
				})
			}
		}
	}
	return members, nil
}

// validateMembers refuses a new membership that adds, removes or renames members, or leaves none to vote.
func validateMembers(old, wanted []dqliteMember) error {
	if len(old) != len(wanted) {
		return fmt.Errorf("members cannot be added or removed")
	}
	voters := 0
	seen := map[netip.AddrPort]bool{}
	for _, member := range wanted {
		if member.Role == client.Voter.String() {
			voters++
		}
		address, err := netip.ParseAddrPort(member.Address)
		if err != nil {
			return fmt.Errorf("Invalid address %q: %w", member.Address, err)
		}
		if seen[address] {
			return fmt.Errorf("Duplicate address %q", address)
		}
		seen[address] = true
		same := false
		for _, before := range old {
			same = same || (before.ID == member.ID && before.Name == member.Name)
		}
		if !same {
			return fmt.Errorf("ID or name changed for member %s", member.Name)
		}
	}
	if voters < 1 {
		return fmt.Errorf("At least one voter is required")
	}
	return nil
}

// recoverK8sd rewrites the membership of k8sd's database and leaves a tarball of it for the other nodes.
func recoverK8sd(state k8sdState) (string, error) {
	members, err := clusterMembers(state)
	if err != nil {
		return "", fmt.Errorf("could not retrieve K8sd cluster members, error: %w", err)
	}
	// Without a terminal nobody edits the members between reading and using them.
	if err := validateMembers(members, members); err != nil {
		return "", fmt.Errorf("k8sd recovery failed, error: %w", err)
	}
	tarball, err := recoverFromQuorumLoss(state, members)
	if err != nil {
		return "", fmt.Errorf("k8sd recovery failed, error: %w", err)
	}
	return tarball, nil
}

func recoverFromQuorumLoss(state k8sdState, members []dqliteMember) (string, error) {
	var nodes []client.NodeInfo
	for _, member := range members {
		node, err := member.nodeInfo()
		if err != nil {
			return "", err
		}
		nodes = append(nodes, node)
	}
	if err := ensureDaemonsStopped(state); err != nil {
		return "", err
	}
	if err := backupDatabase(state); err != nil {
		return "", err
	}
	if err := dqlite.ReconfigureMembershipExt(state.database(), nodes); err != nil {
		return "", fmt.Errorf("Dqlite recovery: %w", err)
	}

	infoPath := filepath.Join(state.database(), "info.yaml")
	var info client.NodeInfo
	if err := readYaml(infoPath, &info); err != nil {
		return "", err
	}
	for _, member := range members {
		if member.ID == info.ID {
			info.Address = member.Address
		}
	}
	if err := writeYaml(infoPath, info, 0o644); err != nil {
		return "", err
	}
	if err := writeYaml(filepath.Join(state.database(), "cluster.yaml"), nodes, 0o644); err != nil {
		return "", err
	}
	if err := writeYaml(filepath.Join(state.database(), "recovery.yaml"), members, 0o644); err != nil {
		return "", err
	}
	tarball := state.recoveryTarball()
	if err := writeTarball(tarball, state.database(), ".", "info.yaml"); err != nil {
		return "", err
	}

	if err := state.setDaemonAddress(info.Address); err != nil {
		return tarball, err
	}
	if err := updateTrust(state, members); err != nil {
		return tarball, fmt.Errorf("Failed to update trust store: %w", err)
	}
	if err := appendGlobalPatch(state, members); err != nil {
		return tarball, fmt.Errorf("Failed to write global DB update: %w", err)
	}
	return tarball, nil
}

// ensureDaemonsStopped refuses while the control socket exists, in use or not, and while any member's k8sd answers.
func ensureDaemonsStopped(state k8sdState) error {
	present, err := exists(state.controlSocket())
	if err != nil {
		return err
	}
	if present {
		return fmt.Errorf("Daemon is running (socket path exists: %q)", state.controlSocket())
	}
	remotes, err := state.remotes()
	if err != nil {
		return err
	}
	if _, _, err := clusterTLS(state.dir); err != nil {
		return err
	}
	if ok, err := exists(filepath.Join(state.dir, "server.crt")); err != nil || !ok {
		return errors.Join(err, fmt.Errorf("Failed to get server.crt from directory %q", state.dir))
	}
	var nodes []client.NodeInfo
	for _, remote := range remotes {
		nodes = append(nodes, client.NodeInfo{Address: remote.Address})
	}
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if available := answering(nodes, dial, daemonDialLimit, 0); len(available) != 0 {
		return fmt.Errorf("Contacted cluster member at %q; please shut down all cluster members", available[0])
	}
	return nil
}

func backupDatabase(state k8sdState) error {
	path := filepath.Join(state.dir, fmt.Sprintf("db_backup.%s.tar.gz", recoveryStamp()))
	if err := writeTarball(path, state.dir, "database"); err != nil {
		return fmt.Errorf("database backup: %w", err)
	}
	return nil
}

// updateTrust gives the trust store the members' addresses, and keeps their certificates.
func updateTrust(state k8sdState, members []dqliteMember) error {
	remotes, err := state.remotes()
	if err != nil {
		return err
	}
	certificates := map[string]string{}
	for _, remote := range remotes {
		certificates[remote.Name] = remote.Certificate
	}
	var updated []remote
	for _, member := range members {
		if certificates[member.Name] == "" {
			return fmt.Errorf("Failed to parse local record %q. Found empty certificate", member.Name)
		}
		updated = append(updated, remote{
			Name: member.Name, Address: member.Address, Certificate: certificates[member.Name],
		})
	}
	return state.replaceRemotes(updated)
}

func appendGlobalPatch(state k8sdState, members []dqliteMember) error {
	file, err := os.OpenFile(state.globalPatch(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, member := range members {
		_, werr := fmt.Fprintf(file, "UPDATE core_cluster_members SET address = %q WHERE name = %q;\n", member.Address, member.Name)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, file.Close())
}

// unpackRecovery replaces the database by the one in recovery_db.tar.gz, if that is there, and keeps who this node is.
//
// A crash between the removal of the old database and the renaming of the new one leaves none: the original's window,
// kept on purpose.
func unpackRecovery(state k8sdState) error {
	present, err := exists(state.recoveryTarball())
	if err != nil || !present {
		return err
	}
	log.Printf("recovery tarball located; attempting DB recovery, tarball=%s", state.recoveryTarball())
	fresh := state.recoveryUnpacked()
	if err := readTarball(state.recoveryTarball(), fresh); err != nil {
		return err
	}
	var info client.NodeInfo
	if err := readYaml(filepath.Join(state.database(), "info.yaml"), &info); err != nil {
		return err
	}
	recoveryYaml := filepath.Join(fresh, "recovery.yaml")
	var incoming []dqliteMember
	if err := readYaml(recoveryYaml, &incoming); err != nil {
		// The original gives up here without an error, and starts with the old database.
		log.Printf("no members in the recovery tarball: %v", err)
		return nil
	}
	found := false
	for _, member := range incoming {
		if member.ID == info.ID {
			info.Address, found = member.Address, true
			break
		}
	}
	if !found {
		return fmt.Errorf("Missing local cluster member in incoming recovery.yaml")
	}
	if err := writeYaml(filepath.Join(fresh, "info.yaml"), info, 0o644); err != nil {
		return err
	}
	if err := updateTrust(state, incoming); err != nil {
		return err
	}
	if err := backupDatabase(state); err != nil {
		return err
	}

	if err := os.RemoveAll(state.database()); err != nil {
		return err
	}
	if err := os.Remove(recoveryYaml); err != nil {
		return err
	}
	stopHere("recovery-removed")
	if err := os.Rename(fresh, state.database()); err != nil {
		return err
	}
	if err := os.Remove(state.recoveryTarball()); err != nil {
		return err
	}
	return state.setDaemonAddress(info.Address)
}

// stopHere ends the process at once when the lab asks for a crash at this point (STANDINS_CRASH_AT=POINT).
func stopHere(point string) {
	if os.Getenv("STANDINS_CRASH_AT") == point {
		log.Printf("crash asked for at %s", point)
		os.Exit(137)
	}
}
