package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// runAPIServer is kube-apiserver: it passes requests on to the local k8s-dqlite, over its socket.
//
// Like the original it starts without a datastore and says that it is not ready. Unlike it, it speaks plain HTTP, and
// only the few paths of the lab.
func runAPIServer(args []string) int {
	setupLog("kube-apiserver")
	set := flag.NewFlagSet("kube-apiserver", flag.ContinueOnError)
	bind := set.String("bind-address", "", "address to listen on; all when empty")
	port := set.String("secure-port", apiServerPort, "port to listen on")
	servers := set.String("etcd-servers", "unix://"+k8sDqliteStateDir+"/k8s-dqlite.sock", "where k8s-dqlite listens")
	set.String("advertise-address", "", "ignored")
	if err := set.Parse(args); err != nil {
		log.Print(err)
		return 1
	}
	socket, ok := strings.CutPrefix(*servers, "unix://")
	if !ok {
		log.Printf("--etcd-servers=%s: only unix:// is stood in for", *servers)
		return 1
	}
	server := &http.Server{
		Addr:              net.JoinHostPort(*bind, *port),
		Handler:           apiHandler(socket),
		ReadHeaderTimeout: 10 * time.Second,
	}
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Printf("serving on %s, datastore %s", server.Addr, *servers)
	select {
	case err := <-failed:
		log.Printf("serve %s: %v", server.Addr, err)
		return 1
	case <-stop.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Printf("requests were still under way at the end: %v", err)
	}
	return 0
}

func apiHandler(socket string) http.Handler {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: time.Second}
			return dialer.DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 16,
		// Longer than any limit of k8s-dqlite, so that its own, more telling answer comes first.
		ResponseHeaderTimeout: listLimit + time.Second,
	}
	return &httputil.ReverseProxy{
		Director: func(r *http.Request) {
			r.URL.Scheme, r.URL.Host = "http", "k8s-dqlite"
		},
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			// Also when the datastore died with the request in hand: nothing is acknowledged.
			code := http.StatusServiceUnavailable
			if os.IsTimeout(err) {
				code = http.StatusGatewayTimeout
			}
			http.Error(w, "datastore: "+err.Error(), code)
		},
	}
}
