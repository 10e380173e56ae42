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

// free is what statfs(2) says that is there for anybody.
func free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
