//go:build !unix

package testserver

import "syscall"

// serverAccount returns how to start a Postgres server.
func serverAccount(string) (*syscall.SysProcAttr, error) { return nil, nil }

// There is nothing that freezes a program: it is ended.
const (
	stopSignal     = syscall.SIGKILL
	continueSignal = syscall.SIGKILL
)
