//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A floor is a server that does nothing but what the packets cost anybody: one socket,
// one goroutine, batches, no allocation.
type floor struct {
	raw     syscall.RawConn
	in, out *batch
	buffers [2][batchSize][slotSize]byte // received, and to send
	n       int                          // received
	errno   unix.Errno
	sent    int // apart, for accounting is answered by another goroutine
	refused unix.Errno
	receive func(fd uintptr) bool // fields, so that a call allocates no closure
	send    func(fd uintptr) bool
	first   int // of the messages to send
	end     int
}

// runFloor listens on a port of loopback, prints its address, and serves until it is
// killed.
func runFloor(kind, path string) error {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	f, err := newFloor(conn)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, conn.LocalAddr())
	if kind == "acct" {
		return f.runAccounting(path)
	}
	answer, err := floorAnswer(kind)
	if err != nil {
		return err
	}
	return f.run(answer)
}

func newFloor(conn *net.UDPConn) (f *floor, err error) {
	f = &floor{in: newBatch(true), out: newBatch(true)}
	if f.raw, err = conn.SyscallConn(); err != nil {
		return nil, err
	}
	if err := f.raw.Control(func(fd uintptr) { growBuffers(int(fd), 8<<20) }); err != nil {
		return nil, err
	}
	for i := range batchSize {
		f.in.set(i, f.buffers[0][i][:])
	}
	f.receive = func(fd uintptr) bool {
		f.n, f.errno = f.in.call(unix.SYS_RECVMMSG, fd, 0, batchSize)
		return f.errno != unix.EAGAIN
	}
	f.send = func(fd uintptr) bool {
		f.sent, f.refused = f.out.call(unix.SYS_SENDMMSG, fd, f.first, f.end)
		return f.refused != unix.EAGAIN
	}
	return f, nil
}

// growBuffers asks for large buffers: beyond the system's limit where that is allowed.
func growBuffers(fd, size int) {
	for _, option := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, option[0], size) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option[1], size)
		}
	}
}

// run answers each datagram with what answer makes of it, if anything.
func (f *floor) run(answer func(request, dst []byte) []byte) error {
	for {
		n, err := f.read()
		if err != nil {
			return err
		}
		f.first, f.end = 0, 0
		for i := range n {
			reply := answer(f.buffers[0][i][:f.in.length(i)], f.buffers[1][i][:0])
			if reply == nil {
				continue
			}
			f.out.set(f.end, reply)
			f.out.names[f.end] = f.in.names[i]
			f.end++
		}
		if err := f.write(); err != nil {
			return err
		}
	}
}

// read waits for datagrams.
func (f *floor) read() (int, error) {
	if err := f.raw.Read(f.receive); err != nil {
		return 0, err
	}
	if f.errno != 0 {
		return 0, fmt.Errorf("recvmmsg: %w", f.errno)
	}
	return f.n, nil
}

// write sends the messages from first to end.
func (f *floor) write() error {
	for f.first < f.end {
		if err := f.raw.Write(f.send); err != nil {
			return err
		}
		if f.refused != 0 {
			f.sent = 1 // about that message: the client has gone
		}
		f.first += f.sent
	}
	return nil
}

// floorAnswer is what a kind of floor does with a request.
func floorAnswer(kind string) (func(request, dst []byte) []byte, error) {
	switch kind {
	case "echo":
		return func(request, dst []byte) []byte { return append(dst, request...) }, nil
	case "pap", "chap", "mschapv2":
		return newCryptoFloor(kind, true).answer, nil
	case "pap-bare":
		return newCryptoFloor("pap", false).answer, nil
	}
	return nil, fmt.Errorf("there is no floor %q", kind)
}
