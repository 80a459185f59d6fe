//go:build !k8sd

package main

// programs is everything but k8sd, which is a binary of its own: what it is made of would burden each start of the
// others.
func programs() map[string]program {
	return map[string]program{
		"k8s-dqlite":              runK8sDqlite,
		"kube-apiserver":          runAPIServer,
		"k8s":                     runK8s,
		"kubectl":                 runKubectl,
		"snap":                    runSnap,
		"lab-cluster":             runLabCluster,
		"containerd":              runIdle,
		"kubelet":                 runIdle,
		"kube-controller-manager": runIdle,
		"kube-proxy":              runIdle,
		"kube-scheduler":          runIdle,
	}
}
