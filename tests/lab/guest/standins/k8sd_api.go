//go:build k8sd

package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/canonical/go-dqlite/v2/client"
	"github.com/canonical/lxd/lxd/response"
	"github.com/canonical/lxd/shared/api"
	microclient "github.com/canonical/microcluster/v2/client"
	"github.com/canonical/microcluster/v2/cluster"
	"github.com/canonical/microcluster/v2/rest"
	"github.com/canonical/microcluster/v2/rest/access"
	"github.com/canonical/microcluster/v2/rest/types"
	"github.com/canonical/microcluster/v2/state"
)

// labLimit bounds what k8sd does for one request of the lab's. A status has no limit but its client's.
const labLimit = 20 * time.Second

// labPrefix is where the lab asks its own questions.
const labPrefix types.EndpointPrefix = "lab"

type apiCall func(ctx context.Context, s state.State) (any, error)

// k8sdServers is k8sd's own API, beside microcluster's, on the control socket and on port 6400.
func k8sdServers() map[string]rest.Server {
	return map[string]rest.Server{"k8sd": {
		CoreAPI:   true,
		ServeUnix: true,
		Resources: []rest.Resources{
			{PathPrefix: "1.0", Endpoints: []rest.Endpoint{
				endpoint("k8sd/node", getNode),
				endpoint("k8sd/cluster", getCluster),
			}},
			{PathPrefix: labPrefix, Endpoints: []rest.Endpoint{
				endpoint("trust", limited(getTrust)),
				endpoint("known", limited(getKnown)),
				endpoint("cluster", limited(getView)),
			}},
		},
	}}
}

func endpoint(path string, call apiCall) rest.Endpoint {
	return rest.Endpoint{Path: path, Get: rest.EndpointAction{
		AccessHandler: access.AllowAuthenticated,
		Handler: func(s state.State, r *http.Request) response.Response {
			answer, err := call(r.Context(), s)
			if err != nil {
				return response.SmartError(err)
			}
			return response.SyncResponse(true, answer)
		},
	}}
}

func limited(call apiCall) apiCall {
	return func(ctx context.Context, s state.State) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, labLimit)
		defer cancel()
		return call(ctx, s)
	}
}

// nodes asks the leader for the members, which dials each of them in turn, 30 s each. The roles are as old as the last
// round of heartbeats.
func nodes(ctx context.Context, s state.State) ([]nodeStatus, error) {
	leader, err := s.Leader()
	if err != nil {
		return nil, fmt.Errorf("failed to get leader client: %w", err)
	}
	members, err := leader.GetClusterMembers(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to get cluster members: %w", err)
	}
	var all []nodeStatus
	for _, one := range members {
		all = append(all, nodeStatus{
			Name: one.Name, Address: one.Address.String(), ClusterRole: "control-plane", DatastoreRole: one.Role,
		})
	}
	return all, nil
}

func getCluster(ctx context.Context, s state.State) (any, error) {
	var status clusterStatus
	var err error
	if status.Members, err = nodes(ctx, s); err != nil {
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

func getNode(ctx context.Context, s state.State) (any, error) {
	all, err := nodes(ctx, s)
	for _, node := range all {
		if node.Name == s.Name() {
			return node, nil
		}
	}
	if err != nil {
		log.Print(err)
	}
	host, _, _ := net.SplitHostPort(s.Address().URL.Host)
	return nodeStatus{Name: s.Name(), Address: host, ClusterRole: "unknown"}, nil
}

// known is how many members this node could recover with by itself: the least that its trust store and the cluster.yaml
// of both databases hold. dqlite brings cluster.yaml up to date only every 30 s, so that a joining node has to wait.
func known(s state.State) (int, error) {
	least := s.Remotes().Count()
	for _, dir := range []string{s.FileSystem().DatabaseDir, k8sDqliteStateDir} {
		members, err := readNodes(filepath.Join(dir, "cluster.yaml"))
		if err != nil {
			return 0, err
		}
		least = min(least, len(members))
	}
	return least, nil
}

func getKnown(_ context.Context, s state.State) (any, error) { return known(s) }

// getTrust tells how many members there are, and how many of them the least informed member knows.
func getTrust(ctx context.Context, s state.State) (any, error) {
	var trust trustView
	err := s.Database().Transaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		members, err := cluster.GetCoreClusterMembers(ctx, tx)
		trust.Members = len(members)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the table of members: %w", err)
	}
	if trust.Least, err = known(s); err != nil {
		return nil, err
	}
	others, err := s.Cluster(false)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	err = others.Query(ctx, true, func(ctx context.Context, c *microclient.Client) error {
		var theirs int
		if err := c.Query(ctx, http.MethodGet, labPrefix, api.NewURL().Path("known"), nil, &theirs); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		trust.Least = min(trust.Least, theirs)
		return nil
	})
	return trust, err
}

// getView asks the leader of k8sd's database who is in the cluster, and as what; and this node's own engine whom it
// knows as leader: itself, another, or nobody, as always on a spare.
func getView(ctx context.Context, s state.State) (any, error) {
	leader, err := s.Database().Leader(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the dqlite leader: %w", err)
	}
	defer leader.Close()
	view, err := viewFrom(ctx, leader)
	if err != nil {
		return nil, err
	}
	if local, err := client.New(ctx, dqliteSocketName); err == nil {
		defer local.Close()
		if info, err := local.Leader(ctx); err == nil {
			view.Here = info.Address
		}
	}
	return view, nil
}
