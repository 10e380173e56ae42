//go:build !unix

package testserver

import "syscall"

// serverAccount returns how to start a Postgres server.
func serverAccount(string) (*syscall.SysProcAttr, error) { return nil, nil }
