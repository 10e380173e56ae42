//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package journal

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile refuses: without a lock two processes could write one journal.
func lockFile(*os.File) error {
	return fmt.Errorf("file locks on this system: %w", errors.ErrUnsupported)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func isNoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) }
