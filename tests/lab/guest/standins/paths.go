package main

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
