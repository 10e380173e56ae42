package testserver

import (
	"os"
	"os/exec"
	"testing"
)

// Program returns the path of a program that a test runs. The test fails if it is
// not installed: scripts/install-test-servers installs all of them.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test runs %s, see scripts/install-test-servers: %v", name, err)
	}
	return path
}

// File returns path if there is something, and fails the test otherwise, as
// Program does.
func File(t testing.TB, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this test reads %s, see scripts/install-test-servers: %v", path, err)
	}
	return path
}
