package cli

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchConn reads and writes datagrams of a connected socket many at a time, with
// recvmmsg(2) and sendmmsg(2). One goroutine may read and one write.
type batchConn struct {
	raw           syscall.RawConn
	reads, writes [benchBatch]unix.Mmsghdr
	into, from    [benchBatch]unix.Iovec
}

func (c *batchConn) open(conn *net.UDPConn) (err error) {
	c.raw, err = conn.SyscallConn()
	for i := range benchBatch {
		c.reads[i].Hdr.Iov = &c.into[i]
		c.reads[i].Hdr.SetIovlen(1)
		c.writes[i].Hdr.Iov = &c.from[i]
		c.writes[i].Hdr.SetIovlen(1)
	}
	return err
}

// read waits for datagrams and appends them to datagrams. They are in buffer.
func (c *batchConn) read(buffer []byte, datagrams [][]byte) ([][]byte, error) {
	for i := range benchBatch {
		c.into[i].Base = &buffer[i*longestAnswer]
		c.into[i].SetLen(longestAnswer)
	}
	n, err := c.call(c.raw.Read, unix.SYS_RECVMMSG, c.reads[:])
	for i := range n {
		datagrams = append(datagrams, buffer[i*longestAnswer:][:c.reads[i].Len])
	}
	return datagrams, err
}

// write sends the packets that end at ends of all. An error is the last one; the
// others were sent nevertheless.
func (c *batchConn) write(all []byte, ends []int) (last error) {
	begin := 0
	for len(ends) > 0 {
		n := min(len(ends), benchBatch)
		for i, end := range ends[:n] {
			c.from[i].Base = &all[begin]
			c.from[i].SetLen(end - begin)
			begin = end
		}
		ends = ends[n:]
		for done := 0; done < n; {
			sent, err := c.call(c.raw.Write, unix.SYS_SENDMMSG, c.writes[done:n])
			if err != nil { // about the first one, or about one before
				last, sent = err, 1
			}
			done += sent
		}
	}
	return last
}

// call makes a system call for the messages when the socket is ready for it.
func (c *batchConn) call(ready func(func(fd uintptr) bool) error, trap uintptr, messages []unix.Mmsghdr) (done int, err error) {
	closed := ready(func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false
			case 0:
				done = int(n)
			default:
				err = errno
			}
			return true
		}
	})
	if closed != nil {
		return 0, closed
	}
	return done, err
}
