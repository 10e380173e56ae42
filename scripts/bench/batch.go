//go:build linux

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams go through one system call.
	batchSize = 64
	// slotSize is room for one datagram; none here is longer.
	slotSize = 1024
)

// A batch is the headers of recvmmsg(2) or sendmmsg(2) for IPv4 datagrams, made once.
type batch struct {
	headers [batchSize]unix.Mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet4
	control [batchSize]sourceControl
}

// sourceControl has room for one IP_PKTINFO, aligned as the kernel's headers are.
type sourceControl [4]uint64

// newBatch makes a batch for a socket that is connected, or for one that is not, whose
// datagrams have addresses.
func newBatch(addressed bool) *batch {
	b := new(batch)
	for i := range b.headers {
		h := &b.headers[i].Hdr
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if addressed {
			h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
			h.Namelen = unix.SizeofSockaddrInet4
		}
	}
	return b
}

// set says what message i is, or where it goes.
func (b *batch) set(i int, data []byte) {
	b.vectors[i].Base = unsafe.SliceData(data)
	b.vectors[i].SetLen(len(data))
}

// from says which address of this machine message i leaves from (IP_PKTINFO, ip(7)).
func (b *batch) from(i int, address [4]byte) {
	c := (*unix.Cmsghdr)(unsafe.Pointer(&b.control[i]))
	c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	c.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	*(*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))) = unix.Inet4Pktinfo{Spec_dst: address}
	h := &b.headers[i].Hdr
	h.Control = (*byte)(unsafe.Pointer(c))
	h.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
}

// length is how many octets of message i have come.
func (b *batch) length(i int) int { return int(b.headers[i].Len) }

// call receives or sends the messages from first to end, as many as can be at once.
// RawSyscall does without the scheduler, which has nothing else to run meanwhile: the
// call never blocks.
func (b *batch) call(trap, fd uintptr, first, end int) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(&b.headers[first])), uintptr(end-first), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
