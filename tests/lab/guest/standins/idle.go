package main

import (
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// runIdle stands in for a service that the lab needs only as a process with a unit: it says that it is ready and blocks.
//
// It becomes `sleep` where there is one, under its own name, because a Go runtime per idle service costs a small node
// several MiB.
func runIdle([]string) int {
	notifyReady()
	if err := syscall.Exec("/usr/bin/sleep", []string{os.Args[0], "infinity"}, os.Environ()); err != nil {
		log.Printf("no sleep to become (%v): waiting here", err)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	<-ch
	return 0
}

// notifyReady tells systemd that a Type=notify service is up; without one it does nothing.
func notifyReady() {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		log.Printf("tell systemd that the service is ready: %v", err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		log.Printf("tell systemd that the service is ready: %v", err)
	}
}
