package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"
	"time"
)

// connectLimit bounds one search for the leader and the opening of the database there.
//
// A peer that drops packets can cost go-dqlite 5 s a round of its search for the leader, and a search ends with its
// caller's context, so that a request with a shorter deadline might never get a connection. Hence the search goes on in
// the background under this limit.
const connectLimit = 15 * time.Second

// patientConnector lets requests with short deadlines share one longer search for the leader.
type patientConnector struct {
	inner driver.Connector

	mu      sync.Mutex
	pending chan struct{} // closed when the search under way ends; nil while there is none
	spare   driver.Conn   // found after its request had gone
	err     error         // why the last search failed
}

// openPatiently opens a database of an app's dqlite through a connector that survives short requests.
func openPatiently(driverName, database string) (*sql.DB, error) {
	plain, err := sql.Open(driverName, database)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", database, err)
	}
	defer plain.Close()
	opener, ok := plain.Driver().(driver.DriverContext)
	if !ok {
		return nil, fmt.Errorf("open database %s: the dqlite driver makes no connectors", database)
	}
	inner, err := opener.OpenConnector(database)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", database, err)
	}
	return sql.OpenDB(&patientConnector{inner: inner}), nil
}

// Driver implements driver.Connector.
func (c *patientConnector) Driver() driver.Driver { return c.inner.Driver() }

// Connect implements driver.Connector.
func (c *patientConnector) Connect(ctx context.Context) (driver.Conn, error) {
	for {
		c.mu.Lock()
		if conn := c.spare; conn != nil {
			c.spare = nil
			c.mu.Unlock()
			return conn, nil
		}
		if c.pending == nil {
			c.pending, c.err = make(chan struct{}), nil
			go c.search(c.pending)
		}
		done := c.pending
		c.mu.Unlock()

		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("find the dqlite leader: %w", ctx.Err())
		case <-done:
		}
		c.mu.Lock()
		err := c.err
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

func (c *patientConnector) search(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	conn, err := c.inner.Connect(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending, c.err = nil, err
	if err == nil {
		c.spare = conn
	}
	close(done)
}
