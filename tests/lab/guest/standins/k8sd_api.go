package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// statusLimit bounds what k8sd does for one request of the lab's. A status has no limit but its client's.
const statusLimit = 20 * time.Second

// nodeStatus and clusterStatus are what `k8s status` and `k8s local-node-status` print. As in the original's API every
// field is left out while empty: a cluster that is not ready has no `ready` at all.
type nodeStatus struct {
	Name          string `json:"name,omitempty"`
	Address       string `json:"address,omitempty"`
	ClusterRole   string `json:"cluster-role,omitempty"`
	DatastoreRole string `json:"datastore-role,omitempty"`
}

type clusterStatus struct {
	Ready     bool         `json:"ready,omitempty"`
	Members   []nodeStatus `json:"members,omitempty"`
	Datastore struct {
		Type string `json:"type,omitempty"`
	} `json:"datastore,omitempty"`
}

// handler is the API on the control socket.
func (d *k8sd) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /core/1.0", d.getServer)
	mux.HandleFunc("GET /1.0/k8sd/node", d.withDatabase(d.getNode))
	mux.HandleFunc("GET /1.0/k8sd/cluster", d.withDatabase(d.getCluster))
	mux.HandleFunc("GET /lab/trust", d.withDatabase(limited(d.getTrust)))
	mux.HandleFunc("GET /lab/cluster", d.withDatabase(limited(d.getView)))
	return mux
}

type apiCall func(ctx context.Context, db *members) (interface{}, error)

func (d *k8sd) withDatabase(call apiCall) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		db := d.db.get()
		if db == nil {
			http.Error(w, "Daemon not yet initialized", http.StatusServiceUnavailable)
			return
		}
		answer, err := call(r.Context(), db)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	}
}

func limited(call apiCall) apiCall {
	return func(ctx context.Context, db *members) (interface{}, error) {
		ctx, cancel := context.WithTimeout(ctx, statusLimit)
		defer cancel()
		return call(ctx, db)
	}
}

// getServer answers from this node's own state, at once, whatever the others do.
func (d *k8sd) getServer(w http.ResponseWriter, _ *http.Request) {
	config, err := d.state.daemonConfig()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]interface{}{
		"type": "sync", "status": "Success", "status_code": http.StatusOK,
		"metadata": map[string]interface{}{
			"name": config.Name, "address": config.Address, "version": "lab", "ready": d.db.get() != nil,
		},
	})
}

// nodes is the table of members, once each of them was dialled. The roles are as old as the last round of heartbeats.
func (d *k8sd) nodes(ctx context.Context, db *members) ([]nodeStatus, error) {
	all, err := db.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to get cluster members: %w", err)
	}
	if err := dialAll(ctx, all); err != nil {
		return nil, fmt.Errorf("failed to get cluster members: %w", err)
	}
	var nodes []nodeStatus
	for _, one := range all {
		nodes = append(nodes, nodeStatus{Name: one.Name, Address: one.Address, ClusterRole: "control-plane", DatastoreRole: one.role})
	}
	return nodes, nil
}

func (d *k8sd) getCluster(ctx context.Context, db *members) (interface{}, error) {
	var status clusterStatus
	var err error
	if status.Members, err = d.nodes(ctx, db); err != nil {
		return nil, err
	}
	ready, err := fetchAPI(ctx, "/nodes")
	if err != nil {
		return nil, fmt.Errorf("failed to check if cluster has ready nodes: %w", err)
	}
	// A node once marked stays so: the lab has no controller that would notice a dead one.
	status.Ready = strings.Contains(ready, "\tReady\n")
	status.Datastore.Type = "k8s-dqlite"
	return status, nil
}

func (d *k8sd) getNode(ctx context.Context, db *members) (interface{}, error) {
	config, err := d.state.daemonConfig()
	if err != nil {
		return nil, err
	}
	nodes, err := d.nodes(ctx, db)
	for _, node := range nodes {
		if node.Name == config.Name {
			return node, nil
		}
	}
	if err != nil {
		log.Print(err)
	}
	host, _, _ := net.SplitHostPort(config.Address)
	return nodeStatus{Name: config.Name, Address: host, ClusterRole: "unknown"}, nil
}

// getTrust tells how many members there are, and how many of them the least informed member knows.
func (d *k8sd) getTrust(ctx context.Context, db *members) (interface{}, error) {
	all, err := db.list(ctx)
	if err != nil {
		return nil, err
	}
	trust := struct{ Members, Least int }{Members: len(all), Least: len(all)}
	for _, one := range all {
		trust.Least = min(trust.Least, one.known)
	}
	return trust, nil
}

func (d *k8sd) getView(ctx context.Context, _ *members) (interface{}, error) {
	return viewCluster(ctx, d.node)
}

// markNodeReady tells Kubernetes that this node is up, as soon as it can be told.
func (d *k8sd) markNodeReady(stop context.Context, name string) {
	for {
		err := putAPI(stop, "/nodes/"+name, "Ready")
		if err == nil {
			log.Print("marked the node as ready")
			return
		}
		select {
		case <-stop.Done():
			return
		case <-time.After(2 * time.Second):
		}
	}
}

const localAPI = "http://127.0.0.1:" + apiServerPort

func fetchAPI(ctx context.Context, path string) (string, error) {
	return callAPI(ctx, http.MethodGet, path, "")
}

func putAPI(ctx context.Context, path, value string) error {
	_, err := callAPI(ctx, http.MethodPut, path, value)
	return err
}

func callAPI(ctx context.Context, method, path, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, localAPI+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(text)))
	}
	return string(text), nil
}
