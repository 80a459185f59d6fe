package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"time"
)

// dialLimit is how long k8sd waits for one member, whoever asks for it.
const dialLimit = 30 * time.Second

// heartbeatRoles writes the members' roles into the table, as the original's heartbeats do, and nobody else: first one
// period after the start, by the leader only, and in a round that does not end in time nothing is written. A member
// that is dead and silent thus keeps all roles as they were.
func (d *k8sd) heartbeatRoles(stop context.Context, db *members, me string) {
	for {
		select {
		case <-stop.Done():
			return
		case <-time.After(heartbeatPeriod):
		}
		if leaderHere(stop, d.node) != me {
			continue
		}
		if err := d.heartbeatRound(stop, db, me); err != nil && stop.Err() == nil {
			log.Printf("heartbeat round: %v", err)
		}
	}
}

// heartbeatDue tells by the wall clock whether the last round is old enough. A stamp from the future, by a leader whose
// clock was ahead, is not.
func heartbeatDue(last, now int64) bool {
	return now-last >= int64(heartbeatPeriod/time.Second)
}

func (d *k8sd) heartbeatRound(stop context.Context, db *members, me string) error {
	ctx, cancel := context.WithTimeout(stop, dialLimit)
	defer cancel()
	all, err := db.list(ctx)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.Address == me && !heartbeatDue(one.heartbeat, time.Now().Unix()) {
			return nil
		}
	}
	view, err := viewCluster(ctx, d.node)
	if err != nil {
		return err
	}
	roles := map[string]string{}
	for _, member := range view.Members {
		roles[member.Address] = member.Role
	}
	answered := reach(ctx, all, me)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("a member did not answer: %w", err)
	}
	return db.stamp(ctx, roles, answered, time.Now().Unix())
}

// reach dials all other members at once, and tells who answered; this node does.
func reach(ctx context.Context, all []member, me string) map[string]bool {
	var mu sync.Mutex
	var wait sync.WaitGroup
	answered := map[string]bool{me: true}
	for _, one := range all {
		if one.Address == me {
			continue
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			if err := dial(ctx, one.Address); err != nil {
				log.Printf("received error sending heartbeat to %s: %v", one.Name, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answered[one.Address] = true
		}()
	}
	wait.Wait()
	return answered
}

// stamp writes the roles of all members, and the time of those that answered.
func (m *members) stamp(ctx context.Context, roles map[string]string, answered map[string]bool, now int64) error {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write the roles: %w", err)
	}
	for address, role := range roles {
		const statement = `UPDATE core_cluster_members SET role = ?, heartbeat = CASE WHEN ? THEN ? ELSE heartbeat END
			WHERE address = ?`
		if _, err := tx.ExecContext(ctx, statement, role, answered[address], now, address); err != nil {
			return errors.Join(fmt.Errorf("write the roles: %w", err), tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write the roles: %w", err)
	}
	return nil
}

// dialAll dials every member, one after the other, as the original does for a status: dialLimit each for those that do
// not answer.
func dialAll(ctx context.Context, all []member) error {
	for _, one := range all {
		if err := dial(ctx, one.Address); err != nil && ctx.Err() == nil {
			log.Printf("failed to reach %s: %v", one.Name, err)
		}
	}
	return ctx.Err()
}

func dial(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: dialLimit}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
