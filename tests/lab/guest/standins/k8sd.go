package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/canonical/go-dqlite/v2/app"
	"github.com/canonical/go-dqlite/v2/client"
)

// runK8sd is k8sd: the daemon, or one of its commands.
func runK8sd(args []string) int {
	if len(args) > 0 && args[0] == "cluster-recover" {
		return runClusterRecover(args[1:])
	}
	setupLog("k8sd")
	set := flag.NewFlagSet("k8sd", flag.ContinueOnError)
	stateDir := set.String("state-dir", k8sdStateDir, "directory with k8sd's state")
	set.Uint("port", 6400, "ignored: the address is in daemon.yaml")
	set.Int("log-level", 0, "log level")
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
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGPWR)
	defer release()
	daemon := &k8sd{state: stateOf(*stateDir)}
	if err := daemon.run(stop); err != nil {
		log.Print(err)
		return 1
	}
	return 0
}

// k8sd is the running daemon. Its control socket answers from the start; db is set once the database is open.
type k8sd struct {
	state k8sdState
	node  *app.App
	db    databaseSlot
}

func (d *k8sd) run(stop context.Context) error {
	for _, dir := range []string{d.state.dir, d.state.database(), d.state.truststore()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make k8sd's state directory: %w", err)
		}
	}
	if err := unpackRecovery(d.state); err != nil {
		return fmt.Errorf("database recovery failed: %w", err)
	}
	listener, err := d.listenControl()
	if err != nil {
		return err
	}
	// Close removes the socket; a killed daemon leaves it.
	defer listener.Close()
	control := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 10 * time.Second}
	go control.Serve(listener)

	config, err := d.state.daemonConfig()
	if err != nil {
		return err
	}
	if config.Address == "" {
		log.Print("this node is in no cluster yet")
		<-stop.Done()
		return nil
	}
	return d.serveDatabase(stop, config)
}

// listenControl takes the control socket over from a dead predecessor, and refuses while another one answers on it.
func (d *k8sd) listenControl() (net.Listener, error) {
	path := d.state.controlSocket()
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("k8sd is already running: %s answers", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the stale socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("protect the control socket: %w", err)
	}
	return listener, nil
}

func (d *k8sd) serveDatabase(stop context.Context, config daemonConfig) error {
	node, err := d.startNode(config)
	if err != nil {
		return err
	}
	// Closed without a handover, unlike k8s-dqlite: a stopped voter stays the voter.
	defer func() {
		if err := node.Close(); err != nil {
			log.Printf("close dqlite: %v", err)
		}
	}()
	d.node = node
	if err := node.Ready(stop); err != nil {
		return nil // told to stop while waiting for a leader
	}
	members, err := openMembers(stop, node)
	if err != nil {
		if stop.Err() != nil {
			return nil
		}
		return err
	}
	defer members.close()
	if err := members.applyPatch(stop, d.state); err != nil {
		return err
	}
	if err := members.enlist(stop, d.state, config); err != nil {
		return err
	}
	d.db.set(members)
	log.Printf("database is open, id=%d address=%s", node.ID(), node.Address())

	if err := startServices(stop); err != nil {
		if stop.Err() != nil {
			return nil
		}
		return fmt.Errorf("failed to ensure running services: %w", err)
	}
	go d.markNodeReady(stop, config.Name)
	go d.heartbeatRoles(stop, members, config.Address)
	members.heartbeat(stop, d.state, config.Name)
	return nil
}

// startNode starts the dqlite engine. A database that was never begun is begun only with the lab's marker: the
// original does so only by its bootstrap and join commands.
func (d *k8sd) startNode(config daemonConfig) (*app.App, error) {
	listen, dial, err := clusterTLS(d.state.dir)
	if err != nil {
		return nil, err
	}
	options := []app.Option{
		app.WithLogFunc(dqliteLog(client.LogWarn)),
		app.WithTLS(listen, dial),
		app.WithRolesAdjustmentFrequency(heartbeatPeriod),
	}
	// dqlite's engine listens on an abstract socket that is named after the snap and the node's ID. The first node has
	// the same ID in k8s-dqlite, so the two need different names.
	if err := os.Setenv("SNAP_INSTANCE_NAME", snapName+".k8sd"); err != nil {
		return nil, err
	}

	begun, err := exists(filepath.Join(d.state.database(), "info.yaml"))
	if err != nil {
		return nil, err
	}
	marker := d.state.beginMarker()
	if !begun {
		var begin initConfig
		if err := readYaml(marker, &begin); err != nil {
			return nil, fmt.Errorf("%s has no info.yaml, and nothing asks to begin a database there: %w", d.state.database(), err)
		}
		options = append(options, app.WithAddress(begin.Address), app.WithCluster(begin.Cluster))
	}
	node, err := app.New(d.state.database(), options...)
	if err != nil {
		return nil, fmt.Errorf("failed to start dqlite in %s: %w", d.state.database(), err)
	}
	if err := os.Remove(marker); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Printf("remove the marker of a new database: %v", err)
	}
	return node, nil
}

// startServices does what k8sd has done at every start since 2026: it enables and starts the datastore and the control
// plane, whoever had stopped or disabled them.
func startServices(ctx context.Context) error {
	for _, services := range [][]string{{"k8s-dqlite"}, controlPlaneServices} {
		if err := startNamed(ctx, services); err != nil {
			return err
		}
	}
	log.Print("successfully started services")
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
