package testserver

import (
	"testing"

	"radiusd/internal/freeport"
)

// Port returns a number that is free on 127.0.0.1 for TCP and UDP and stays the
// caller's while the test binary runs, so it is still free when a server that had it
// starts again.
func Port(t testing.TB) int {
	t.Helper()
	port, err := freeport.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
