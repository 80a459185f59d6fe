package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/canonical/go-dqlite/v2/app"
)

const (
	// memberLimit bounds one statement on k8sd's database.
	memberLimit = 20 * time.Second
	// heartbeatPeriod is how often a node brings its trust store and its cluster.yaml in step with the database:
	// microcluster's default.
	heartbeatPeriod = 10 * time.Second
)

// members is k8sd's table of the nodes, in its own dqlite.
type members struct{ db *sql.DB }

// role and heartbeat are written by the rounds of heartbeats alone; heartbeat is in seconds by the leader's wall clock.
// known is how many members that node could recover with by itself: the least that its trust store and the cluster.yaml
// of both databases hold. dqlite brings cluster.yaml up to date only every 30 s, so a joining node has to wait for it.
const membersSchema = `
CREATE TABLE IF NOT EXISTS core_cluster_members (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL UNIQUE,
	address TEXT NOT NULL UNIQUE,
	certificate TEXT NOT NULL,
	role TEXT NOT NULL DEFAULT 'pending',
	heartbeat INTEGER NOT NULL DEFAULT 0,
	known INTEGER NOT NULL DEFAULT 0
)`

func openMembers(ctx context.Context, node *app.App) (*members, error) {
	db, err := openPatiently(node.Driver(), "db.bin")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	m := &members{db: db}
	for {
		if err = m.prepare(ctx); err == nil {
			return m, nil
		}
		log.Printf("failed to open the database: %v", err)
		select {
		case <-ctx.Done():
			m.close()
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (m *members) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	var tables int
	const query = `SELECT count(*) FROM sqlite_master WHERE name = 'core_cluster_members'`
	if err := m.db.QueryRowContext(ctx, query).Scan(&tables); err != nil {
		return fmt.Errorf("look for the table of members: %w", err)
	}
	if tables > 0 {
		return nil
	}
	if _, err := m.db.ExecContext(ctx, membersSchema); err != nil {
		return fmt.Errorf("make the table of members: %w", err)
	}
	return nil
}

func (m *members) close() {
	if err := m.db.Close(); err != nil {
		log.Printf("close the database: %v", err)
	}
}

// applyPatch runs the statements that cluster-recover left, once.
func (m *members) applyPatch(ctx context.Context, state k8sdState) error {
	patch, err := os.ReadFile(state.globalPatch())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the patch of the database: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	if _, err := m.db.ExecContext(ctx, string(patch)); err != nil {
		return fmt.Errorf("apply %s: %w", state.globalPatch(), err)
	}
	log.Printf("applied %s", state.globalPatch())
	return os.Remove(state.globalPatch())
}

// enlist puts this node into the table, unless it is there as it is.
func (m *members) enlist(ctx context.Context, state k8sdState, config daemonConfig) error {
	certificate, err := os.ReadFile(filepath.Join(state.dir, "server.crt"))
	if err != nil {
		return fmt.Errorf("read this node's certificate: %w", err)
	}
	all, err := m.list(ctx)
	if err != nil {
		return err
	}
	me := remote{Name: config.Name, Address: config.Address, Certificate: string(certificate)}
	if slices.ContainsFunc(all, func(r member) bool { return r.remote == me }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	const statement = `INSERT INTO core_cluster_members (name, address, certificate) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET address = excluded.address, certificate = excluded.certificate`
	if _, err := m.db.ExecContext(ctx, statement, me.Name, me.Address, me.Certificate); err != nil {
		return fmt.Errorf("enlist this node: %w", err)
	}
	return nil
}

type member struct {
	remote
	role      string
	heartbeat int64
	known     int
}

func (m *members) list(ctx context.Context) ([]member, error) {
	ctx, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	const query = `SELECT name, address, certificate, role, heartbeat, known FROM core_cluster_members ORDER BY name`
	rows, err := m.db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read the table of members: %w", err)
	}
	defer rows.Close()
	var all []member
	for rows.Next() {
		var one member
		if err := rows.Scan(&one.Name, &one.Address, &one.Certificate, &one.role, &one.heartbeat, &one.known); err != nil {
			return nil, fmt.Errorf("read the table of members: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the table of members: %w", err)
	}
	return all, nil
}

// heartbeat keeps the trust store as the database says, until told to stop.
func (m *members) heartbeat(stop context.Context, state k8sdState, name string) {
	for {
		if err := m.syncTrust(stop, state, name); err != nil && stop.Err() == nil {
			log.Printf("heartbeat: %v", err)
		}
		select {
		case <-stop.Done():
			return
		case <-time.After(heartbeatPeriod):
		}
	}
}

func (m *members) syncTrust(ctx context.Context, state k8sdState, name string) error {
	all, err := m.list(ctx)
	if err != nil {
		return err
	}
	current, err := state.remotes()
	if err != nil {
		return err
	}
	wanted := make([]remote, len(all))
	told := 0
	for i, one := range all {
		wanted[i] = one.remote
		if one.Name == name {
			told = one.known
		}
	}
	if !slices.Equal(current, wanted) {
		if err := state.replaceRemotes(wanted); err != nil {
			return err
		}
		log.Printf("the trust store now has %d members", len(wanted))
	}
	known := len(wanted)
	for _, dir := range []string{state.database(), k8sDqliteStateDir} {
		nodes, err := readNodes(filepath.Join(dir, "cluster.yaml"))
		if err != nil {
			log.Printf("heartbeat: %v", err)
		}
		known = min(known, len(nodes))
	}
	if known == told {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	if _, err := m.db.ExecContext(ctx, `UPDATE core_cluster_members SET known = ? WHERE name = ?`, known, name); err != nil {
		return fmt.Errorf("tell how many members this node knows: %w", err)
	}
	return nil
}

// databaseSlot holds the open database once there is one.
type databaseSlot struct {
	mu   sync.Mutex
	open *members
}

func (s *databaseSlot) set(m *members) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = m
}

func (s *databaseSlot) get() *members {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}
