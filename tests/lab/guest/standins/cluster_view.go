package main

import (
	"context"
	"fmt"

	"github.com/canonical/go-dqlite/v2/app"
	"github.com/canonical/go-dqlite/v2/client"
)

// viewCluster asks the leader who is in the cluster, and as what.
func viewCluster(ctx context.Context, node *app.App) (clusterView, error) {
	leader, err := node.FindLeader(ctx)
	if err != nil {
		return clusterView{}, fmt.Errorf("find the dqlite leader: %w", err)
	}
	defer leader.Close()
	view, err := viewFrom(ctx, leader)
	if err != nil {
		return clusterView{}, err
	}
	view.Here = leaderHere(ctx, node)
	return view, nil
}

// viewFrom asks the leader that a client is connected to.
func viewFrom(ctx context.Context, leader *client.Client) (clusterView, error) {
	info, err := leader.Leader(ctx)
	if err != nil {
		return clusterView{}, fmt.Errorf("ask for the dqlite leader: %w", err)
	}
	nodes, err := leader.Cluster(ctx)
	if err != nil {
		return clusterView{}, fmt.Errorf("ask the dqlite leader for the members: %w", err)
	}
	view := clusterView{Leader: info.Address}
	for _, node := range nodes {
		view.Members = append(view.Members, memberView{
			ID:      fmt.Sprint(node.ID),
			Address: node.Address,
			Role:    node.Role.String(),
		})
	}
	return view, nil
}

// leaderHere is whom this node's own engine knows as leader: itself, another, or nobody, as always on a spare.
func leaderHere(ctx context.Context, node *app.App) string {
	local, err := node.Client(ctx)
	if err != nil {
		return ""
	}
	defer local.Close()
	leader, err := local.Leader(ctx)
	if err != nil {
		return ""
	}
	return leader.Address
}
