//go:build k8sd

package main

import (
	"fmt"

	"github.com/canonical/lxd/shared/logger"
	"github.com/canonical/microcluster/v2/microcluster"
)

// recoverK8sd rewrites the membership of k8sd's database and leaves a tarball of it for the other nodes: all by
// microcluster. Without a terminal nobody edits the members between reading and using them, so the roles are those of
// database/cluster.yaml.
func recoverK8sd(stateDir string, logLevel int) (string, error) {
	// It logs to standard error; without this it does not log at all.
	if err := logger.InitLogger("", "", true, logLevel > 0, nil); err != nil {
		return "", fmt.Errorf("could not start the log, error: %w", err)
	}
	cluster, err := microcluster.App(microcluster.Args{StateDir: stateDir})
	if err != nil {
		return "", fmt.Errorf("could not initialize the microcluster app, error: %w", err)
	}
	members, err := cluster.GetDqliteClusterMembers()
	if err != nil {
		return "", fmt.Errorf("could not retrieve K8sd cluster members, error: %w", err)
	}
	tarball, err := cluster.RecoverFromQuorumLoss(members)
	if err != nil {
		return "", fmt.Errorf("k8sd recovery failed, error: %w", err)
	}
	return tarball, nil
}
