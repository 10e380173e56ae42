//go:build unix

package seal

import (
	"fmt"
	"io/fs"
	"os"
)

func checkMode(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("master key: %s has mode %04o: only its owner may have access, run chmod 600 %s", path, mode, path)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
