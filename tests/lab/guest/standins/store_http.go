package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// requestLimit bounds one request to the datastore, so that a writer learns soon that it has to try again.
	requestLimit = 2500 * time.Millisecond
	// listLimit bounds the listing of everything.
	listLimit  = 20 * time.Second
	maxValue   = 1 << 20
	kvPrefix   = "/registry/kv/"
	nodePrefix = "/registry/minions/"
)

// handler is the datastore's front on its socket. The original speaks etcd's protocol there, and so does this for a read
// of one key; for the rest the contract kept is that an answer of success means committed, and that everything else
// leaves the outcome open.
func (s *store) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+rangePath, serveRange(s.find))
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /kv", s.listKeys)
	mux.HandleFunc("GET /kv/{$}", s.listKeys)
	mux.HandleFunc("GET /kv/{key...}", s.getKey(kvPrefix))
	mux.HandleFunc("PUT /kv/{key...}", s.putKey(kvPrefix))
	mux.HandleFunc("PUT /nodes/{key...}", s.putKey(nodePrefix))
	mux.HandleFunc("GET /nodes", s.listNodes)
	mux.HandleFunc("GET /cluster", s.cluster)
	return mux
}

func (s *store) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestLimit)
	defer cancel()
	if err := s.ping(ctx); err != nil {
		refuse(w, err)
		return
	}
	fmt.Fprint(w, "ok")
}

func (s *store) putKey(prefix string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
		if err != nil {
			http.Error(w, fmt.Sprintf("read the value: %v", err), http.StatusBadRequest)
			return
		}
		key := r.PathValue("key")
		if key == "" || strings.ContainsAny(key, "\t\n") || strings.ContainsAny(string(value), "\t\n") {
			http.Error(w, "a key is not empty, and neither key nor value holds a tab or a newline", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestLimit)
		defer cancel()
		id, err := s.put(ctx, prefix+key, value)
		if err != nil {
			refuse(w, err)
			return
		}
		fmt.Fprintf(w, "%d\n", id)
	}
}

func (s *store) getKey(prefix string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestLimit)
		defer cancel()
		value, err := s.get(ctx, prefix+r.PathValue("key"))
		if errors.Is(err, errNoKey) {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		if err != nil {
			refuse(w, err)
			return
		}
		w.Write(value)
	}
}

func (s *store) listKeys(w http.ResponseWriter, r *http.Request)  { s.listRows(w, r, kvPrefix) }
func (s *store) listNodes(w http.ResponseWriter, r *http.Request) { s.listRows(w, r, nodePrefix) }

// listRows writes one line per key: key, tab, value.
func (s *store) listRows(w http.ResponseWriter, r *http.Request, prefix string) {
	ctx, cancel := context.WithTimeout(r.Context(), listLimit)
	defer cancel()
	rows, err := s.list(ctx, prefix)
	if err != nil {
		refuse(w, err)
		return
	}
	var text strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&text, "%s\t%s\n", strings.TrimPrefix(row.name, prefix), row.value)
	}
	io.WriteString(w, text.String())
}

type clusterView struct {
	Leader  string       `json:"leader"`
	Here    string       `json:"here"`
	Members []memberView `json:"members"`
}

type memberView struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Role    string `json:"role"`
}

// cluster tells the leader's own view of the members. IDs are strings of digits: JSON numbers would lose bits.
func (s *store) cluster(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), connectLimit)
	defer cancel()
	view, err := viewCluster(ctx, s.node)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(view)
}

// refuse answers that the outcome is unknown (504) or that the datastore cannot serve (503).
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusServiceUnavailable
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		code = http.StatusGatewayTimeout
	}
	http.Error(w, err.Error(), code)
}
