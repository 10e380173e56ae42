package store

import (
	"net"
	"time"
)

// connectTimeout bounds how long one attempt to connect takes.
const connectTimeout = 5 * time.Second

// silence is how long a server may leave data or keepalives unacknowledged before
// its connection is given up. The system's own limit is a quarter of an hour,
// which is how long a sink would hang on a server that lost its power.
const silence = 10 * time.Second

// dialer connects to Postgres.
func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control:         limitSilence,
	}
}
