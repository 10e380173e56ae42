//go:build unix

package seal

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkMode refuses a key file that more than its reader may read.
func checkMode(path string, info fs.FileInfo) error {
	owner := os.Geteuid()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(stat.Uid)
	}
	if mode := info.Mode().Perm(); mode&^mostMode(owner, os.Geteuid()) != 0 {
		return fmt.Errorf("master key: %s has mode %04o: only its owner may have access, run chmod 600 %s", path, mode, path)
	}
	return nil
}

// mostMode is what a key file of the owner may grant at most when a process of
// the user reads it. The group may read a file of root's, since it is so that
// Kubernetes (fsGroup) and systemd (LoadCredential) hand a secret to a process
// that is not root; Postgres has the same rule for its keys.
func mostMode(owner, reader int) fs.FileMode {
	if owner == 0 && reader != 0 {
		return 0o640
	}
	return 0o600
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
