//go:build k8sd

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/canonical/go-dqlite/v2"
	"github.com/canonical/go-dqlite/v2/client"
	"golang.org/x/sys/unix"
)

// memberDialLimit bounds the attempt to reach one k8s-dqlite that is expected to be down.
const memberDialLimit = 3 * time.Second

const preRecoveryMessage = `Run this command only if:
 - a quorum of the cluster's members is lost for good
 - all k8s daemons are certainly stopped (sudo snap stop k8s)
 - this node has the most recent database

A backup is made before anything is changed:
* k8sd (microcluster): ` + k8sdStateDir + `/db_backup.<timestamp>.tar.gz
* k8s-dqlite: ` + snapCommon + `/recovery-k8s-dqlite-<timestamp>-pre-recovery.tar.gz

`

const nonInteractiveMessage = `Non-interactive mode requested.

The dqlite configuration files are taken as they are: with the new roles and addresses already in them.

`

type recoverFlags struct {
	stateDir       string
	k8sDqliteDir   string
	nonInteractive bool
	skipK8sd       bool
	skipK8sDqlite  bool
	logLevel       int
}

// recovery is one run of `k8sd cluster-recover`. Its messages go to standard output, errors and the log to standard
// error.
type recovery struct {
	recoverFlags
	out, fault io.Writer
}

func runClusterRecover(args []string) int {
	setupLog("k8sd cluster-recover")
	var o recoverFlags
	set := flag.NewFlagSet("cluster-recover", flag.ContinueOnError)
	set.StringVar(&o.stateDir, "state-dir", "", "k8sd's state directory")
	set.StringVar(&o.k8sDqliteDir, "k8s-dqlite-state-dir", "", "k8s-dqlite datastore location")
	set.BoolVar(&o.nonInteractive, "non-interactive", false, "take the configuration files as they are")
	set.BoolVar(&o.skipK8sd, "skip-k8sd", false, "skip k8sd recovery")
	set.BoolVar(&o.skipK8sDqlite, "skip-k8s-dqlite", false, "skip k8s-dqlite recovery")
	set.IntVar(&o.logLevel, "log-level", 0, "log level")
	if err := set.Parse(args); err != nil {
		return 1
	}
	r := &recovery{recoverFlags: o, out: os.Stdout, fault: os.Stderr}
	return r.run()
}

func (r *recovery) printf(format string, args ...interface{}) { fmt.Fprintf(r.out, format, args...) }

// fail says why it ends, and returns its exit code.
func (r *recovery) fail(format string, args ...interface{}) int {
	fmt.Fprintf(r.fault, format, args...)
	return 1
}

func (r *recovery) run() int {
	if err := r.prechecks(); err != nil {
		return r.fail("Recovery precheck failed: %v\n", err)
	}
	if r.skipK8sd {
		r.printf("Skipping k8sd recovery.\n")
	} else {
		tarball, err := recoverK8sd(r.stateDir, r.logLevel)
		if err != nil {
			return r.fail("Failed to recover k8sd, error: %v\n", err)
		}
		r.printf("K8sd cluster changes applied.\n")
		r.printf("New database state saved to %s\n", tarball)
		r.printf("*Before* starting any cluster member, copy %s to %s on all remaining cluster members.\n", tarball, tarball)
		r.printf("K8sd will load this file during startup.\n\n")
	}
	if r.skipK8sDqlite {
		r.printf("Skipping k8s-dqlite recovery.\n")
		return 0
	}
	before, after, err := recoverK8sDqlite(r.k8sDqliteDir)
	if err != nil {
		return r.fail("Failed to recover k8s-dqlite, error: %v, pre-recovery backup: %s\n", err, before)
	}
	r.printf("K8s-dqlite cluster changes applied.\n")
	r.printf("New database state saved to %s\n", after)
	r.printf("*Before* starting any cluster member, copy %s on all remaining cluster members and extract the archive to %s.\n",
		after, r.k8sDqliteDir)
	r.printf("Pre-recovery database backup: %s\n\n", before)
	return 0
}

func (r *recovery) prechecks() error {
	if !r.nonInteractive {
		if !isTerminal(os.Stdin) {
			return fmt.Errorf("interactive mode requested in a non-interactive terminal")
		}
		return fmt.Errorf("the interactive mode is not stood in for: use --non-interactive")
	}
	if r.k8sDqliteDir == "" && !r.skipK8sDqlite {
		return fmt.Errorf("k8s-dqlite state dir not specified")
	}
	if r.stateDir == "" && !r.skipK8sd {
		return fmt.Errorf("k8sd state dir not specified")
	}
	r.printf("%s%s", preRecoveryMessage, nonInteractiveMessage)
	if r.skipK8sDqlite {
		return nil
	}
	return r.ensureK8sDqliteStopped()
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// ensureK8sDqliteStopped dials every member, this node included, all at once. Any answer is one too many; any error
// counts as stopped.
func (r *recovery) ensureK8sDqliteStopped() error {
	members, err := readNodes(r.k8sDqliteDir + "/cluster.yaml")
	if err != nil {
		return fmt.Errorf("could not read k8s-dqlite cluster.yaml, error: %w", err)
	}
	_, config, err := clusterTLS(r.k8sDqliteDir)
	if err != nil {
		return fmt.Errorf("could not load k8s-dqlite certificates, error: %w", err)
	}
	for _, member := range members {
		if member.Address == "" {
			return fmt.Errorf("k8s-dqlite member check failed, missing member address")
		}
	}
	dial := client.DialFuncWithTLS(client.DefaultDialFunc, config)
	available := answering(members, dial, memberDialLimit, r.logLevel)
	if len(available) != 0 {
		return fmt.Errorf("Some k8s-dqlite services are still running, please stop them and try again: [%s]. "+
			"Run `sudo snap stop k8s` to stop all k8s services on a given node.", strings.Join(available, " "))
	}
	return nil
}

// answering returns the addresses to which a connection can be made within the limit.
func answering(members []client.NodeInfo, dial client.DialFunc, limit time.Duration, logLevel int) []string {
	answers := make(chan string)
	for _, member := range members {
		go func(address string) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			conn, err := dial(ctx, address)
			if err != nil {
				if logLevel > 0 {
					log.Printf("member %s is not reachable: %v", address, err)
				}
				answers <- ""
				return
			}
			conn.Close()
			answers <- address
		}(member.Address)
	}
	var available []string
	for range members {
		if address := <-answers; address != "" {
			available = append(available, address)
		}
	}
	return available
}

// recoverK8sDqlite makes cluster.yaml the raft configuration, unchecked, between two tarballs.
func recoverK8sDqlite(dir string) (before, after string, err error) {
	members, err := readNodes(dir + "/cluster.yaml")
	if err != nil {
		return "", "", fmt.Errorf("could not read k8s-dqlite cluster.yaml, error: %w", err)
	}
	if before, err = k8sDqliteTarball(dir, "pre-recovery"); err != nil {
		return "", "", fmt.Errorf("failed to create pre-recovery backup tarball, error: %w", err)
	}
	if err := dqlite.ReconfigureMembershipExt(dir, members); err != nil {
		return before, "", fmt.Errorf("k8s-dqlite recovery failed, error: %w", err)
	}
	if after, err = k8sDqliteTarball(dir, "post-recovery"); err != nil {
		return before, "", fmt.Errorf("failed to create post-recovery backup tarball, error: %w", err)
	}
	return before, after, nil
}

func k8sDqliteTarball(dir, suffix string) (string, error) {
	path := fmt.Sprintf("%s/recovery-k8s-dqlite-%s-%s.tar.gz", snapCommon, recoveryStamp(), suffix)
	// Without what belongs to this node alone.
	return path, writeTarball(path, dir, ".", "info.yaml", "k8s-dqlite.sock", "cluster.key", "cluster.crt")
}
