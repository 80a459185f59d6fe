package main

import (
	"fmt"
	"log"
	"os"

	"github.com/canonical/go-dqlite/v2/client"
)

// setupLog sends the log to stderr, which systemd hands to the journal with its own time stamps.
func setupLog(name string) {
	log.SetOutput(os.Stderr)
	log.SetFlags(0)
	if os.Getenv("JOURNAL_STREAM") == "" {
		log.SetFlags(log.Ltime | log.Lmicroseconds)
	}
	log.SetPrefix(name + ": ")
}

// dqliteLog passes go-dqlite's messages of at least the given level to the log.
func dqliteLog(least client.LogLevel) client.LogFunc {
	return func(level client.LogLevel, format string, args ...interface{}) {
		if level < least {
			return
		}
		log.Printf("[go-dqlite] %s: %s", level, fmt.Sprintf(format, args...))
	}
}

// dqliteLogLevel is the least level that `--log-level` lets through.
func dqliteLogLevel(name string) client.LogLevel {
	switch name {
	case "trace", "debug":
		return client.LogDebug
	case "info":
		return client.LogInfo
	case "error", "fatal", "panic":
		return client.LogError
	default:
		return client.LogWarn
	}
}
