package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData is fdatasync(2): it spares the journalling of times. An interrupted
// call has not reported the state of the pages, so it is repeated.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
