package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

const labClusterUsage = `usage: lab-cluster bootstrap [--no-wait] NAME ADDRESS    begin a cluster on this node
       lab-cluster join-token NAME                       print a token for another node
       lab-cluster join [--no-wait] TOKEN ADDRESS        join this node; TOKEN may be @FILE
       lab-cluster wait [--timeout 120s] [--members N]   wait until this node serves
       lab-cluster status                                both databases' members as their leaders see them, as JSON
`

// joinToken is all that another node needs. It holds the private key of the datastore's cluster; that of k8sd's comes
// with microcluster's own token.
type joinToken struct {
	Name      string     `json:"name"`
	Peer      string     `json:"peer"`
	K8sd      string     `json:"k8sd"`
	K8sDqlite clusterKey `json:"k8s-dqlite"`
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

// nodeArgs parses `[--no-wait] FIRST ADDRESS`.
func nodeArgs(args []string) (first, address string, wait bool, err error) {
	set := flag.NewFlagSet("lab-cluster", flag.ContinueOnError)
	noWait := set.Bool("no-wait", false, "do not wait until the node serves")
	if err := set.Parse(args); err != nil {
		return "", "", false, err
	}
	if set.NArg() != 2 {
		return "", "", false, errors.New("takes two arguments")
	}
	if _, err := netip.ParseAddr(set.Arg(1)); err != nil {
		return "", "", false, fmt.Errorf("the node's address: %w", err)
	}
	return set.Arg(0), set.Arg(1), !*noWait, nil
}

func labBootstrap(args []string) error {
	name, address, wait, err := nodeArgs(args)
	if err != nil {
		return err
	}
	token := joinToken{Name: name}
	// A name that every node answers to: dqlite's dialer checks it on all of them.
	if token.K8sDqlite.Crt, token.K8sDqlite.Key, err = newCertificate("k8s"); err != nil {
		return err
	}
	return setUp(address, token, wait)
}

func labJoinToken(args []string) error {
	if len(args) != 1 {
		return errors.New("takes one argument, the name of the node to join")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var here struct {
		Address string `json:"address"`
	}
	if err := controlClient().fetch(ctx, "/core/1.0", &here); err != nil {
		return fmt.Errorf("ask k8sd for its address: %w", err)
	}
	host, _, err := net.SplitHostPort(here.Address)
	if err != nil {
		return fmt.Errorf("this node is in no cluster: %w", err)
	}
	token := joinToken{Name: args[0], Peer: host}
	wanted := map[string]interface{}{"name": args[0], "expire_after": time.Hour}
	if err := controlClient().call(ctx, http.MethodPost, "/core/control/tokens", wanted, &token.K8sd); err != nil {
		return fmt.Errorf("ask k8sd for a token: %w", err)
	}
	if token.K8sDqlite, err = readClusterKey(k8sDqliteStateDir); err != nil {
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
	text, address, wait, err := nodeArgs(args)
	if err != nil {
		return err
	}
	token, err := parseToken(text)
	if err != nil {
		return err
	}
	return setUp(address, token, wait)
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

// setUp lays out a node's files, and has k8sd begin its database, or join the one of the token; k8sd then starts the
// node's services. With wait it waits until they serve.
func setUp(address string, token joinToken, wait bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if begun, err := exists(filepath.Join(k8sdStateDir, "database", "info.yaml")); err != nil || begun {
		return errors.Join(err, errors.New("this node is in a cluster already"))
	}
	if err := waitAlive(ctx); err != nil {
		return err
	}
	if err := writeNode(address, token); err != nil {
		return err
	}
	request := map[string]interface{}{"name": token.Name, "address": net.JoinHostPort(address, k8sdPort)}
	members := 1
	if token.Peer == "" {
		request["bootstrap"] = true
	} else {
		request["join_token"] = token.K8sd
		members = 2
	}
	if err := controlClient().call(ctx, http.MethodPost, "/core/control", request, nil); err != nil {
		return fmt.Errorf("have k8sd begin or join its cluster: %w", err)
	}
	if !wait {
		return nil
	}
	return waitServing(members, 5*time.Minute)
}

// waitAlive waits for k8sd, which the package has started.
func waitAlive(ctx context.Context) error {
	for {
		err := controlClient().fetch(ctx, "/core/1.0", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("k8sd does not answer: %w", err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// writeNode lays out what a node's services need beside k8sd's own state.
func writeNode(address string, token joinToken) error {
	for _, dir := range []string{snapArgs, k8sDqliteStateDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := writeCertificate(k8sDqliteStateDir, "cluster", token.K8sDqlite.Crt, token.K8sDqlite.Key); err != nil {
		return err
	}
	datastore := initConfig{Address: net.JoinHostPort(address, k8sDqlitePort)}
	if token.Peer != "" {
		datastore.Cluster = []string{net.JoinHostPort(token.Peer, k8sDqlitePort)}
	}
	if err := writeYaml(filepath.Join(k8sDqliteStateDir, "init.yaml"), datastore, 0o600); err != nil {
		return err
	}
	if err := writeArgs(address); err != nil {
		return err
	}
	return writeAdminConfig()
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
	var trust trustView
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
