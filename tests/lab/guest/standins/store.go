package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"

	"github.com/canonical/go-dqlite/v2/app"
)

// store is the datastore's table: an append-only log of (name, value), like kine's, in which the newest row of a name
// holds. A retried insert therefore does no harm.
type store struct {
	node *app.App
	db   *sql.DB
}

const schema = `
CREATE TABLE IF NOT EXISTS kine (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS kine_name_id ON kine (name, id);
`

func openStore(node *app.App) (*store, error) {
	db, err := openPatiently(node.Driver(), "k8s")
	if err != nil {
		return nil, err
	}
	// Few connections: each is a TLS session to the leader, in guests that have little of everything.
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	return &store{node: node, db: db}, nil
}

// prepare makes the table, unless it is there: a start must not add entries to the log.
func (s *store) prepare(ctx context.Context) error {
	var tables int
	const query = `SELECT count(*) FROM sqlite_master WHERE name IN ('kine', 'kine_name_id')`
	if err := s.db.QueryRowContext(ctx, query).Scan(&tables); err != nil {
		return fmt.Errorf("look for the table: %w", err)
	}
	if tables == 2 {
		return nil
	}
	if _, err := s.db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("make the table: %w", err)
	}
	return nil
}

func (s *store) close() {
	if err := s.db.Close(); err != nil {
		log.Printf("close the database: %v", err)
	}
}

// put returns once a majority of the voters has the row on disk, and the row's id.
func (s *store) put(ctx context.Context, name string, value []byte) (int64, error) {
	result, err := s.db.ExecContext(ctx, `INSERT INTO kine (name, value) VALUES (?, ?)`, name, value)
	if err != nil {
		return 0, fmt.Errorf("insert %q: %w", name, err)
	}
	return result.LastInsertId()
}

var errNoKey = errors.New("no such key")

func (s *store) get(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := s.db.QueryRowContext(ctx, `SELECT value FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, fmt.Errorf("select %q: %w", name, err)
	}
	return value, nil
}

// find reads one key from the leader, with the datastore's revision.
func (s *store) find(ctx context.Context, name string) (found, error) {
	const query = `SELECT coalesce((SELECT max(id) FROM kine), 0), coalesce(max(id), 0),
		(SELECT value FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1) FROM kine WHERE name = ?`
	var answer found
	if err := s.db.QueryRowContext(ctx, query, name, name).Scan(&answer.revision, &answer.id, &answer.value); err != nil {
		return found{}, fmt.Errorf("select %q: %w", name, err)
	}
	return answer, nil
}

type row struct {
	name  string
	value []byte
}

// list returns the newest row of each name within a prefix, by name.
func (s *store) list(ctx context.Context, prefix string) ([]row, error) {
	const query = `SELECT name, value FROM kine WHERE id IN
		(SELECT max(id) FROM kine WHERE name >= ? AND name < ? GROUP BY name) ORDER BY name`
	rows, err := s.db.QueryContext(ctx, query, prefix, prefix+"\U0010FFFF")
	if err != nil {
		return nil, fmt.Errorf("select all of %q: %w", prefix, err)
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.name, &r.value); err != nil {
			return nil, fmt.Errorf("read a row of %q: %w", prefix, err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("select all of %q: %w", prefix, err)
	}
	return all, nil
}

// ping reads from the leader: the check that the original's health check makes.
func (s *store) ping(ctx context.Context) error {
	var one int
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM kine WHERE id = -1`).Scan(&one); err != nil {
		return fmt.Errorf("read from the leader: %w", err)
	}
	return nil
}
