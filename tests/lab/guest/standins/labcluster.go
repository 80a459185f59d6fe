package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

const labClusterUsage = `usage: lab-cluster bootstrap [--no-start] NAME ADDRESS   begin a cluster on this node
       lab-cluster join-token NAME                       print a token for another node
       lab-cluster join [--no-start] TOKEN ADDRESS       join this node; TOKEN may be @FILE
       lab-cluster wait [--timeout 120s] [--members N]   wait until this node serves
       lab-cluster status                                both databases' members as their leaders see them, as JSON
`

// joinToken is all that another node needs. It holds the private keys of both clusters.
type joinToken struct {
	Name      string     `json:"name"`
	Peer      string     `json:"peer"`
	K8sd      clusterKey `json:"k8sd"`
	K8sDqlite clusterKey `json:"k8s-dqlite"`
	Remotes   []remote   `json:"remotes"`
}

type clusterKey struct {
	Crt []byte `json:"crt"`
	Key []byte `json:"key"`
}

// runLabCluster forms the cluster that `k8s bootstrap` and `k8s join-cluster` would form.
func runLabCluster(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, labClusterUsage)
		return 2
	}
	var err error
	switch args[0] {
	case "bootstrap":
		err = labBootstrap(args[1:])
	case "join-token":
		err = labJoinToken(args[1:])
	case "join":
		err = labJoin(args[1:])
	case "wait":
		err = labWait(args[1:])
	case "status":
		err = labStatus()
	default:
		fmt.Fprint(os.Stderr, labClusterUsage)
		return 2
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab-cluster %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// nodeArgs parses `[--no-start] FIRST ADDRESS`.
func nodeArgs(args []string) (first, address string, start bool, err error) {
	set := flag.NewFlagSet("lab-cluster", flag.ContinueOnError)
	noStart := set.Bool("no-start", false, "only write the files")
	if err := set.Parse(args); err != nil {
		return "", "", false, err
	}
	if set.NArg() != 2 {
		return "", "", false, errors.New("takes two arguments")
	}
	if _, err := netip.ParseAddr(set.Arg(1)); err != nil {
		return "", "", false, fmt.Errorf("the node's address: %w", err)
	}
	return set.Arg(0), set.Arg(1), !*noStart, nil
}

func labBootstrap(args []string) error {
	name, address, start, err := nodeArgs(args)
	if err != nil {
		return err
	}
	var token joinToken
	for _, key := range []*clusterKey{&token.K8sd, &token.K8sDqlite} {
		// A name that every node answers to: dqlite's dialer checks it on all of them.
		if key.Crt, key.Key, err = newCertificate("k8s", nil); err != nil {
			return err
		}
	}
	if err := writeNode(name, address, token); err != nil {
		return err
	}
	if !start {
		return nil
	}
	return startNode(1)
}

func labJoinToken(args []string) error {
	if len(args) != 1 {
		return errors.New("takes one argument, the name of the node to join")
	}
	state := stateOf(k8sdStateDir)
	config, err := state.daemonConfig()
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(config.Address)
	if err != nil {
		return fmt.Errorf("this node is in no cluster: %w", err)
	}
	token := joinToken{Name: args[0], Peer: host}
	if token.K8sd, err = readClusterKey(k8sdStateDir); err != nil {
		return err
	}
	if token.K8sDqlite, err = readClusterKey(k8sDqliteStateDir); err != nil {
		return err
	}
	if token.Remotes, err = state.remotes(); err != nil {
		return err
	}
	data, err := json.Marshal(token)
	if err != nil {
		return err
	}
	fmt.Println(base64.StdEncoding.EncodeToString(data))
	return nil
}

func readClusterKey(dir string) (key clusterKey, err error) {
	if key.Crt, err = os.ReadFile(filepath.Join(dir, "cluster.crt")); err != nil {
		return key, err
	}
	key.Key, err = os.ReadFile(filepath.Join(dir, "cluster.key"))
	return key, err
}

func labJoin(args []string) error {
	text, address, start, err := nodeArgs(args)
	if err != nil {
		return err
	}
	token, err := parseToken(text)
	if err != nil {
		return err
	}
	if err := writeNode(token.Name, address, token); err != nil {
		return err
	}
	if !start {
		return nil
	}
	return startNode(len(token.Remotes) + 1)
}

func parseToken(text string) (token joinToken, err error) {
	if len(text) > 0 && text[0] == '@' {
		data, err := os.ReadFile(text[1:])
		if err != nil {
			return token, err
		}
		text = string(data)
	}
	// The decoder skips line ends.
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return token, fmt.Errorf("the token is damaged: %w", err)
	}
	if err := json.Unmarshal(data, &token); err != nil {
		return token, fmt.Errorf("the token is damaged: %w", err)
	}
	return token, nil
}

// writeNode lays out a node's state directories and arguments files, so that its services may start.
func writeNode(name, address string, token joinToken) error {
	state := stateOf(k8sdStateDir)
	if config, err := state.daemonConfig(); err != nil {
		return err
	} else if config.Address != "" {
		return fmt.Errorf("this node is in a cluster already, as %s", config.Name)
	}
	for _, dir := range []string{snapArgs, k8sDqliteStateDir, state.database(), state.truststore()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := writeCertificate(k8sDqliteStateDir, "cluster", token.K8sDqlite.Crt, token.K8sDqlite.Key); err != nil {
		return err
	}
	if err := writeCertificate(k8sdStateDir, "cluster", token.K8sd.Crt, token.K8sd.Key); err != nil {
		return err
	}
	crt, key, err := newCertificate(name, net.ParseIP(address))
	if err != nil {
		return err
	}
	if err := writeCertificate(k8sdStateDir, "server", crt, key); err != nil {
		return err
	}
	own := remote{Name: name, Address: net.JoinHostPort(address, k8sdPort), Certificate: string(crt)}
	if err := state.replaceRemotes(append(token.Remotes, own)); err != nil {
		return err
	}
	datastore := initConfig{Address: net.JoinHostPort(address, k8sDqlitePort)}
	daemon := initConfig{Address: own.Address}
	if token.Peer != "" {
		datastore.Cluster = []string{net.JoinHostPort(token.Peer, k8sDqlitePort)}
		daemon.Cluster = []string{net.JoinHostPort(token.Peer, k8sdPort)}
	}
	if err := writeYaml(filepath.Join(k8sDqliteStateDir, "init.yaml"), datastore, 0o600); err != nil {
		return err
	}
	if err := writeYaml(state.beginMarker(), daemon, 0o600); err != nil {
		return err
	}
	if err := writeArgs(address); err != nil {
		return err
	}
	if err := writeAdminConfig(); err != nil {
		return err
	}
	config := daemonConfig{Name: name, Address: own.Address, Servers: map[string]interface{}{}}
	return writeYaml(state.daemonYaml(), config, 0o644)
}

// writeArgs writes the arguments file of each service.
func writeArgs(address string) error {
	socket := "unix://" + k8sDqliteStateDir + "/k8s-dqlite.sock"
	lines := map[string]string{
		"k8s-dqlite":     "--listen=" + socket + "\n--storage-dir=" + k8sDqliteStateDir + "\n",
		"kube-apiserver": "--advertise-address=" + address + "\n--etcd-servers=" + socket + "\n--secure-port=" + apiServerPort + "\n",
		"k8sd":           "--port=" + k8sdPort + "\n--state-dir=" + k8sdStateDir + "\n",
	}
	for _, service := range allServices {
		if err := os.WriteFile(filepath.Join(snapArgs, service), []byte(lines[service]), 0o600); err != nil {
			return fmt.Errorf("write the arguments of %s: %w", service, err)
		}
	}
	return nil
}

// startNode restarts k8sd, which begins its database and starts the rest, and waits until the node serves.
func startNode(members int) error {
	ctx := context.Background()
	// Enabled by the package; restarted because it may idle in no cluster yet.
	if err := runCommand(ctx, "snap", "restart", "k8s.k8sd"); err != nil {
		return err
	}
	return waitServing(members, 5*time.Minute)
}

func labWait(args []string) error {
	set := flag.NewFlagSet("wait", flag.ContinueOnError)
	limit := set.Duration("timeout", 2*time.Minute, "how long to wait")
	count := set.Int("members", 1, "how many members every member has to know")
	if err := set.Parse(args); err != nil {
		return err
	}
	return waitServing(*count, *limit)
}

// waitServing waits for the API server here, and until every member knows all members.
func waitServing(members int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := serving(ctx, members)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("this node does not serve after %v: %w", limit, err)
		case <-time.After(time.Second):
		}
	}
}

func serving(ctx context.Context, members int) error {
	if _, err := fetchAPI(ctx, "/readyz"); err != nil {
		return err
	}
	var trust struct{ Members, Least int }
	if err := controlClient().fetch(ctx, "/lab/trust", &trust); err != nil {
		return fmt.Errorf("ask k8sd: %w", err)
	}
	if trust.Members < members || trust.Least < trust.Members {
		return fmt.Errorf("k8sd has %d members of %d, each knows at least %d", trust.Members, members, trust.Least)
	}
	return nil
}

func labStatus() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	status := map[string]interface{}{}
	if text, err := fetchAPI(ctx, "/cluster"); err != nil {
		status["k8s-dqlite-error"] = err.Error()
	} else {
		status["k8s-dqlite"] = json.RawMessage(text)
	}
	var view clusterView
	if err := controlClient().fetch(ctx, "/lab/cluster", &view); err != nil {
		status["k8sd-error"] = err.Error()
	} else {
		status["k8sd"] = view
	}
	if printJSON(status) != 0 {
		return errors.New("nothing printed")
	}
	return nil
}
