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
	"strings"
	"syscall"
	"time"

	"github.com/canonical/go-dqlite/v2/app"
)

// shutdownLimit is how long k8s-dqlite gives its handover, as the original does.
const shutdownLimit = 30 * time.Second

type k8sDqliteFlags struct {
	storageDir string
	listen     string
	tls        bool
	logLevel   string
	lowStorage string
}

func parseK8sDqliteFlags(args []string) (k8sDqliteFlags, error) {
	var o k8sDqliteFlags
	set := flag.NewFlagSet("k8s-dqlite", flag.ContinueOnError)
	set.StringVar(&o.storageDir, "storage-dir", "/var/tmp/k8s-dqlite", "directory with the dqlite datastore")
	set.StringVar(&o.listen, "listen", "tcp://127.0.0.1:12379", "endpoint of the key-value front")
	set.BoolVar(&o.tls, "enable-tls", true, "mutual TLS by cluster.crt and cluster.key")
	set.StringVar(&o.logLevel, "log-level", "info", "log level")
	set.StringVar(&o.lowStorage, "low-available-storage-action", "none", "only none is stood in for")
	// Accepted, because the snap passes them; without effect here.
	set.Bool("debug", false, "ignored")
	set.Bool("metrics", false, "ignored")
	set.String("metrics-listen", "", "ignored")
	set.Bool("otel", false, "ignored")
	set.String("otel-listen", "", "ignored")
	set.Uint("tls-client-session-cache-size", 0, "ignored")
	set.String("min-tls-version", "tls12", "ignored")
	set.Duration("watch-storage-available-size-interval", 5*time.Second, "ignored")
	set.Uint64("watch-storage-available-size-min-bytes", 10<<20, "ignored")
	set.Int("datastore-max-idle-connections", 5, "ignored")
	set.Int("datastore-max-open-connections", 5, "ignored")
	set.Duration("datastore-connection-max-lifetime", time.Minute, "ignored")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if o.lowStorage != "none" {
		return o, fmt.Errorf("--low-available-storage-action=%s is not stood in for: only none", o.lowStorage)
	}
	return o, nil
}

// runK8sDqlite is k8s-dqlite: the Kubernetes datastore's node of the dqlite cluster, with its key-value front.
func runK8sDqlite(args []string) int {
	setupLog("k8s-dqlite")
	flags, err := parseK8sDqliteFlags(args)
	if err != nil {
		log.Print(err)
		return 1
	}
	// Caught from the start. Before the database is open the original has no one to hand over to either: it ends.
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPWR)
	defer release()
	if err := serveK8sDqlite(stop, flags); err != nil {
		log.Print(err)
		return 1
	}
	return 0
}

func serveK8sDqlite(stop context.Context, flags k8sDqliteFlags) error {
	options, err := k8sDqliteOptions(flags)
	if err != nil {
		return err
	}
	node, err := app.New(flags.storageDir, options...)
	if err != nil {
		return fmt.Errorf("failed to create dqlite app: %w", err)
	}
	log.Printf("started dqlite engine, id=%d (%#x) address=%s", node.ID(), node.ID(), node.Address())

	store, err := startStore(stop, node)
	if err != nil {
		if stop.Err() != nil {
			log.Print("told to stop before a leader was found: no handover")
			return closeApp(node)
		}
		return errors.Join(err, closeApp(node))
	}
	server := &http.Server{Handler: store.handler(), ReadHeaderTimeout: 10 * time.Second, Protocols: frontProtocols()}
	listener, err := listenFront(flags.listen)
	if err != nil {
		return errors.Join(err, closeApp(node))
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Printf("started k8s-dqlite server on %s", flags.listen)

	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve %s: %w", flags.listen, err), closeApp(node))
	case <-stop.Done():
	}
	server.Close()
	store.close()

	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	log.Print("handing over dqlite leadership")
	if err := node.Handover(ctx); err != nil {
		log.Printf("failed to handover dqlite: %v", err)
	}
	return closeApp(node)
}

func closeApp(node *app.App) error {
	if err := node.Close(); err != nil {
		return fmt.Errorf("failed to close dqlite app: %w", err)
	}
	return nil
}

// startStore waits for a leader, however long that takes, and makes the table there.
func startStore(stop context.Context, node *app.App) (*store, error) {
	if err := node.Ready(stop); err != nil {
		return nil, fmt.Errorf("failed to start dqlite app: %w", err)
	}
	log.Printf("started dqlite, id=%d address=%s", node.ID(), node.Address())
	s, err := openStore(node)
	if err != nil {
		return nil, err
	}
	for {
		err := s.prepare(stop)
		if err == nil {
			return s, nil
		}
		log.Printf("failed to open database: %v", err)
		select {
		case <-stop.Done():
			s.close()
			return nil, fmt.Errorf("failed to open database: %w", stop.Err())
		case <-time.After(time.Second):
		}
	}
}

// frontProtocols is HTTP/1 for the stand-ins among themselves, and HTTP/2 in the clear for etcd's API.
func frontProtocols() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

// listenFront listens on unix:///PATH or tcp://HOST:PORT. A socket left by a killed predecessor is removed.
func listenFront(endpoint string) (net.Listener, error) {
	network, address, ok := strings.Cut(endpoint, "://")
	if !ok {
		return nil, fmt.Errorf("listen on %q: neither unix:// nor tcp://", endpoint)
	}
	if network == "unix" {
		if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove the stale socket %s: %w", address, err)
		}
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", endpoint, err)
	}
	return listener, nil
}
