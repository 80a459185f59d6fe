package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const k8sUsage = `usage: k8s status [--output-format plain|json] [--wait-ready] [--timeout 90s]
       k8s local-node-status [--output-format plain|json]
       k8s bootstrap | get-join-token | join-cluster    see lab-cluster
`

// minTimeout is the least that `k8s status` accepts.
const minTimeout = 3 * time.Second

// localStatusLimit is how long `k8s local-node-status` waits; k8sd dials every member for it, too.
const localStatusLimit = 90 * time.Second

// notInitialized is what microcluster says of a database that was neither begun nor joined.
const notInitialized = "not yet initialized"

var errNotInitialized = errors.New("the node is in no cluster yet")

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

// trustView is the lab's own question: how many members there are, and how many the least informed of them knows.
type trustView struct {
	Members int `json:"members"`
	Least   int `json:"least"`
}

// runK8s is the operator's command k8s.
func runK8s(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, k8sUsage)
		return 1
	}
	switch args[0] {
	case "status":
		return k8sStatus(args[1:])
	case "local-node-status":
		return k8sLocalStatus(args[1:])
	case "bootstrap":
		return runLabCluster(append([]string{"bootstrap"}, args[1:]...))
	case "get-join-token":
		return runLabCluster(append([]string{"join-token"}, args[1:]...))
	case "join-cluster":
		return runLabCluster(append([]string{"join"}, args[1:]...))
	}
	fmt.Fprintf(os.Stderr, "Error: unknown command %q for \"k8s\"\n%s", args[0], k8sUsage)
	return 1
}

func k8sStatus(args []string) int {
	set := flag.NewFlagSet("k8s status", flag.ContinueOnError)
	wait := set.Bool("wait-ready", false, "wait until at least one cluster node is ready")
	format := set.String("output-format", "plain", "plain or json")
	timeout := set.Duration("timeout", 90*time.Second, "the max time to wait for the command to execute")
	if err := set.Parse(args); err != nil {
		return 1
	}
	if *timeout < minTimeout {
		fmt.Fprintf(os.Stderr, "Timeout %v is less than minimum of %v. Using the minimum %v instead.\n", *timeout, minTimeout, minTimeout)
		*timeout = minTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	control := controlClient()
	var node nodeStatus
	if err := control.fetch(ctx, "/1.0/k8sd/node", &node); err != nil {
		return failStatus("check the current node status", err)
	}
	status, err := control.clusterStatus(ctx, *wait)
	if err != nil {
		return failStatus("retrieve the cluster status", err)
	}
	if *format == "json" {
		return printJSON(status)
	}
	ready := "not ready"
	if status.Ready {
		ready = "ready"
	}
	fmt.Printf("cluster status:           %s\n", ready)
	fmt.Print("control plane nodes:      ")
	for i, member := range status.Members {
		if i > 0 {
			fmt.Print(", ")
		}
		fmt.Printf("%s (%s)", member.Address, member.DatastoreRole)
	}
	fmt.Printf("\ndatastore:                %s\n", status.Datastore.Type)
	return 0
}

func k8sLocalStatus(args []string) int {
	set := flag.NewFlagSet("k8s local-node-status", flag.ContinueOnError)
	format := set.String("output-format", "plain", "plain or json")
	if err := set.Parse(args); err != nil {
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), localStatusLimit)
	defer cancel()
	var node nodeStatus
	if err := controlClient().fetch(ctx, "/1.0/k8sd/node", &node); err != nil {
		return failStatus("check the current node status", err)
	}
	if *format == "json" {
		return printJSON(node)
	}
	fmt.Printf("name: %s\naddress: %s\ncluster-role: %s\n", node.Name, node.Address, node.ClusterRole)
	if node.DatastoreRole != "" {
		fmt.Printf("datastore-role: %s\n", node.DatastoreRole)
	}
	return 0
}

func printJSON(value interface{}) int {
	encoder := json.NewEncoder(os.Stdout)
	if err := encoder.Encode(value); err != nil {
		fmt.Fprintf(os.Stderr, "Error: print the status: %v\n", err)
		return 1
	}
	return 0
}

func failStatus(what string, err error) int {
	if errors.Is(err, errNotInitialized) {
		fmt.Fprint(os.Stderr, "Error: The node is not part of a Kubernetes cluster. You can bootstrap a new cluster with:\n\n  sudo k8s bootstrap\n")
		return 1
	}
	fmt.Fprintf(os.Stderr, "Error: Failed to %s.\n\nThe error was: %v\n", what, err)
	return 1
}

// control speaks to k8sd over its control socket.
type control struct{ http.Client }

func controlClient() *control {
	socket := controlSocket(k8sdStateDir)
	return &control{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

func (c *control) fetch(ctx context.Context, path string, into interface{}) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

// call asks microcluster's daemon, whose answers are wrapped: what was asked for is the metadata.
func (c *control) call(ctx context.Context, method, path string, body, into interface{}) error {
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("ask k8sd for %s: %w", path, err)
		}
		sent = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://control.socket"+path, sent)
	if err != nil {
		return err
	}
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read k8sd's answer: %w", err)
	}
	return unwrap(response.StatusCode, data, into)
}

// unwrap takes the metadata out of an answer of microcluster's daemon, or its error.
func unwrap(code int, data []byte, into interface{}) error {
	var answer struct {
		Error    string          `json:"error"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("k8sd's answer cannot be read (status %d): %w", code, err)
	}
	switch {
	case code == http.StatusServiceUnavailable && strings.Contains(answer.Error, notInitialized):
		return errNotInitialized
	case code != http.StatusOK:
		return errors.New(answer.Error)
	case into == nil:
		return nil
	default:
		return json.Unmarshal(answer.Metadata, into)
	}
}

// clusterStatus asks once a second. With --wait-ready it goes on while no node is ready; an error ends it at once.
func (c *control) clusterStatus(ctx context.Context, waitReady bool) (clusterStatus, error) {
	for {
		select {
		case <-ctx.Done():
			return clusterStatus{}, ctx.Err()
		case <-time.After(time.Second):
		}
		var status clusterStatus
		if err := c.fetch(ctx, "/1.0/k8sd/cluster", &status); err != nil {
			return status, fmt.Errorf("wait check failed: %w", err)
		}
		if !waitReady || status.Ready {
			return status, nil
		}
	}
}
