package mail

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// connection keeps hold of a client's connection, which the client leaves open where it
// fails before the first mail, and does not give up when its context ends.
type connection struct {
	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

func (c *connection) dial(ctx context.Context, network, address string, encrypt bool, config *tls.Config) (net.Conn, error) {
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if encrypt {
		dialer = &tls.Dialer{Config: config}
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close() // it is given up anyway
		return nil, context.Canceled
	}
	c.conn = conn
	return conn, nil
}

// close may be called more than once.
func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.conn != nil {
		_ = c.conn.Close() // nothing more is read or written
	}
}
