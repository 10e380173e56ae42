//go:build !linux

package store

import "syscall"

// limitSilence does nothing where there is no TCP_USER_TIMEOUT; keepalives find
// a dead server while nothing is being sent.
func limitSilence(string, string, syscall.RawConn) error { return nil }
