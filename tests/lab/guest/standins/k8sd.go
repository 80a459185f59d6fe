//go:build k8sd

package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	dbschema "github.com/canonical/lxd/lxd/db/schema"
	"github.com/canonical/microcluster/v2/microcluster"
	"github.com/canonical/microcluster/v2/rest/types"
	"github.com/canonical/microcluster/v2/state"
)

// k8sdVersion is what the daemon calls itself in its answers.
const k8sdVersion = "lab"

// dqliteSocketName is the abstract socket of k8sd's dqlite engine. The first node has the same ID in both databases,
// so that k8s-dqlite's, which is named after the snap and the ID, must not be it.
const dqliteSocketName = "@snap." + snapName + ".k8sd"

func programs() map[string]program {
	return map[string]program{"k8sd": runK8sd}
}

// runK8sd is k8sd: the daemon, or one of its commands.
func runK8sd(args []string) int {
	if len(args) > 0 && args[0] == "cluster-recover" {
		return runClusterRecover(args[1:])
	}
	setupLog("k8sd")
	set := flag.NewFlagSet("k8sd", flag.ContinueOnError)
	stateDir := set.String("state-dir", k8sdStateDir, "directory with k8sd's state")
	logLevel := set.Int("log-level", 0, "log level")
	set.Uint("port", 6400, "ignored: the address is in daemon.yaml")
	set.String("motd", "", "ignored")
	set.String("pprof-address", "", "ignored")
	if err := set.Parse(args); err != nil {
		log.Print(err)
		return 1
	}
	if set.NArg() > 0 {
		log.Printf("unknown command %q for k8sd", set.Arg(0))
		return 1
	}
	if err := serveK8sd(*stateDir, *logLevel); err != nil {
		log.Print(err)
		return 1
	}
	return 0
}

// serveK8sd runs microcluster's daemon until a signal ends it. Signals are microcluster's to catch.
func serveK8sd(stateDir string, logLevel int) error {
	if os.Getenv("DQLITE_SOCKET") == "" {
		if err := os.Setenv("DQLITE_SOCKET", dqliteSocketName); err != nil {
			return fmt.Errorf("name the socket of the dqlite engine: %w", err)
		}
	}
	cluster, err := microcluster.App(microcluster.Args{StateDir: stateDir})
	if err != nil {
		return fmt.Errorf("failed to open the state directory %s: %w", stateDir, err)
	}
	return cluster.Start(context.Background(), microcluster.DaemonArgs{
		Verbose:          true,
		Debug:            logLevel > 0,
		Version:          k8sdVersion,
		ExtensionsSchema: schemaExtensions,
		ExtensionServers: k8sdServers(),
		Hooks: &state.Hooks{
			PostBootstrap: func(ctx context.Context, s state.State, _ map[string]string) error { return runNode(ctx, s) },
			PostJoin:      func(ctx context.Context, s state.State, _ map[string]string) error { return runNode(ctx, s) },
			OnStart:       onStart,
		},
	})
}

// schemaExtensions are k8sd's own tables: one of them, so that the database has a schema beyond microcluster's.
var schemaExtensions = []dbschema.Update{
	func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE cluster_configs (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)`)
		return err
	},
}

// onStart does what k8sd has done at every start since 2026: it enables and starts the datastore and the control plane,
// whoever had stopped or disabled them. A node that is in no cluster yet has nothing to start.
func onStart(ctx context.Context, s state.State) error {
	if s.Database().Status() == types.DatabaseNotReady {
		log.Print("this node is in no cluster yet")
		return nil
	}
	return runNode(ctx, s)
}

// runNode has the node serve.
func runNode(ctx context.Context, s state.State) error {
	for _, services := range [][]string{{"k8s-dqlite"}, controlPlaneServices} {
		if err := startNamed(ctx, services); err != nil {
			if ctx.Err() != nil {
				return nil // told to stop meanwhile
			}
			return fmt.Errorf("failed to ensure running services: %w", err)
		}
	}
	log.Print("successfully started services")
	// The context of some hooks ends with the hook; this ends with the process.
	go markNodeReady(context.WithoutCancel(ctx), s.Name())
	return nil
}

func startNamed(ctx context.Context, services []string) error {
	args := []string{"start", "--enable"}
	for _, service := range services {
		args = append(args, "k8s."+service)
	}
	var last error
	for range 5 {
		if last = runCommand(ctx, "snap", args...); last == nil {
			return nil
		}
		log.Print(last)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
		}
	}
	return fmt.Errorf("failed to start services [%s]: %w", strings.Join(services, " "), last)
}

// markNodeReady tells Kubernetes that this node is up, as soon as it can be told.
func markNodeReady(ctx context.Context, name string) {
	for putAPI(ctx, "/nodes/"+name, "Ready") != nil {
		time.Sleep(2 * time.Second)
	}
	log.Print("marked the node as ready")
}
