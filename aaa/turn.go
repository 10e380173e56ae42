package aaa

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// A turn lets those in who wait for the network. The scheduler looks there only when no
// goroutine can run, so that a yield would not do; and on one processor a sleep, however
// short, takes a millisecond, as the kernel waits for the network no shorter. So who takes a
// turn waits for a pipe that already holds an octet: the scheduler must look at the network
// to find out, lets in who was there before, and comes back at once if nobody was.
//
// It takes two descriptors, which are closed when it is collected.
type turn struct {
	from, to *os.File
	wait     syscall.RawConn
	octet    [1]byte
}

// newTurn returns one that only sleeps where there are no such pipes.
func newTurn() *turn {
	from, to, err := os.Pipe()
	if err != nil {
		return new(turn)
	}
	wait, err := from.SyscallConn()
	if err != nil {
		from.Close()
		to.Close()
		return new(turn)
	}
	return &turn{from: from, to: to, wait: wait}
}

// take takes a turn.
func (t *turn) take() {
	if t.wait == nil {
		time.Sleep(time.Microsecond)
		return
	}
	written := false
	err := t.wait.Read(func(uintptr) bool {
		if written {
			return true
		}
		// Only here: what was written before, another thread may have found already, and
		// nothing would tell again that the pipe holds something.
		_, err := t.to.Write(t.octet[:])
		written = err == nil
		return err != nil
	})
	if written {
		_, _ = t.from.Read(t.octet[:])
	}
	if err != nil {
		time.Sleep(time.Microsecond)
	}
	runtime.Gosched() // those who were found together run in any order
}
