//go:build unix

package freeport

import (
	"os"
	"syscall"
)

// lock takes the file for this open descriptor, or fails at once if it is taken.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
