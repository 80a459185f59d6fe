package main

import "path/filepath"

// Where the snap keeps things on a node.
const (
	snapCommon        = "/var/snap/k8s/common"
	snapArgs          = snapCommon + "/args"
	snapBin           = "/snap/k8s/current/bin"
	k8sDqliteStateDir = snapCommon + "/var/lib/k8s-dqlite"
	k8sdStateDir      = snapCommon + "/var/lib/k8sd/state"
)

// Ports on the node's address.
const (
	k8sDqlitePort = "9000"
	k8sdPort      = "6400"
	apiServerPort = "6443"
)

// controlSocket is where k8sd listens for the node's own programs.
func controlSocket(stateDir string) string { return filepath.Join(stateDir, "control.socket") }
