package radius

import (
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// messages are the headers of one batch for recvmmsg(2) or sendmmsg(2). They
// point at each other and at buffers, all of it ordinary Go memory.
type messages struct {
	raw     syscall.RawConn
	headers [batchSize]unix.Mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6 // large enough for an IPv4 name, too
	control [batchSize]controlMessage
}

// controlMessage has room for one IP_PKTINFO or IPV6_PKTINFO, aligned as the
// kernel's headers are.
type controlMessage [5]uint64

const controlSize = int(unsafe.Sizeof(controlMessage{}))

func newMessages(c *net.UDPConn) *messages {
	raw, err := c.SyscallConn()
	if err != nil {
		panic("radius: SyscallConn of an open UDP socket: " + err.Error())
	}
	m := &messages{raw: raw}
	for i := range m.headers {
		h := &m.headers[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&m.names[i]))
		h.Iov = &m.vectors[i]
		h.SetIovlen(1)
	}
	return m
}

// batchReader reads with recvmmsg(2).
type batchReader struct {
	*messages
	buffers [batchSize][MaxLength]byte
	receive func(fd uintptr) bool // a field, so that a read allocates no closure
	wanted  int
	n       int
	errno   syscall.Errno
}

func newBatchReader(c *net.UDPConn) *batchReader {
	r := &batchReader{messages: newMessages(c)}
	for i := range r.vectors {
		r.vectors[i].Base = &r.buffers[i][0]
		// What exceeds the largest packet is cut off by the kernel. The Length
		// field decides what of the rest counts (RFC 2865 section 3).
		r.vectors[i].SetLen(MaxLength)
		r.headers[i].Hdr.Control = (*byte)(unsafe.Pointer(&r.control[i]))
	}
	r.n = batchSize
	r.receive = func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])),
				uintptr(r.wanted), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false // wait until it is readable
			}
			r.n, r.errno = int(n), errno
			return true
		}
	}
	return r
}

func (r *batchReader) read(in []datagram) (int, error) {
	for i := range r.n { // the kernel wrote over these
		h := &r.headers[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	r.n, r.errno = 0, 0
	r.wanted = min(len(in), batchSize)
	if err := r.raw.Read(r.receive); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		r.n = 0
		return 0, r.errno
	}
	for i := range r.n {
		in[i].data = r.buffers[i][:r.headers[i].Len]
		in[i].way = r.way(i)
	}
	return r.n, nil
}

// way reads the source address and the control data of a received message.
func (r *batchReader) way(i int) (w way) {
	switch name := &r.names[i]; name.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		w.peer = netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkOrder(v4.Port))
	case unix.AF_INET6:
		w.peer = netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), networkOrder(name.Port))
		w.scope = name.Scope_id
	}
	length := int(r.headers[i].Hdr.Controllen)
	if length < unix.SizeofCmsghdr {
		return w
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&r.control[i]))
	data := unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))
	switch {
	case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO && length >= unix.CmsgLen(unix.SizeofInet4Pktinfo):
		// Spec_dst is an address of ours even if the datagram was a broadcast.
		w.local = netip.AddrFrom4((*unix.Inet4Pktinfo)(data).Spec_dst)
	case c.Level == unix.IPPROTO_IPV6 && c.Type == unix.IPV6_PKTINFO && length >= unix.CmsgLen(unix.SizeofInet6Pktinfo):
		info := (*unix.Inet6Pktinfo)(data)
		w.local = netip.AddrFrom16(info.Addr).Unmap()
		if w.local.IsLinkLocalUnicast() && w.local.Is6() {
			w.scope = info.Ifindex
		}
	}
	return w
}

// batchWriter writes with sendmmsg(2).
type batchWriter struct {
	*messages
	family int
	send   func(fd uintptr) bool
	first  int // the messages to send in this call
	end    int
	n      int
	errno  syscall.Errno
}

func newBatchWriter(c *net.UDPConn) *batchWriter {
	w := &batchWriter{messages: newMessages(c), family: unix.AF_INET}
	_ = w.raw.Control(func(fd uintptr) {
		if family, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
			w.family = family
		}
	})
	w.send = func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.headers[w.first])),
				uintptr(w.end-w.first), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false // wait until it is writable
			}
			w.n, w.errno = int(n), errno
			return true
		}
	}
	return w
}

func (w *batchWriter) write(out []datagram) (failed int, err error) {
	for len(out) > 0 {
		n := min(len(out), batchSize)
		for i := range n {
			w.fill(i, &out[i])
		}
		out = out[n:]
		for w.first, w.end = 0, n; w.first < w.end; {
			if e := w.raw.Write(w.send); e != nil { // closed, or past the deadline
				return failed + w.end - w.first + len(out), e
			}
			if w.errno != 0 { // about the first message; the others may be fine
				failed, err = failed+1, w.errno
				w.first++
				continue
			}
			w.first += w.n
		}
	}
	return failed, err
}

// fill prepares message i.
func (w *batchWriter) fill(i int, d *datagram) {
	w.vectors[i].Base = unsafe.SliceData(d.data)
	w.vectors[i].SetLen(len(d.data))
	h := &w.headers[i].Hdr
	port := networkOrder(d.way.peer.Port())
	if w.family == unix.AF_INET {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&w.names[i])) = unix.RawSockaddrInet4{
			Family: unix.AF_INET, Port: port, Addr: d.way.peer.Addr().As4()}
		h.Namelen = unix.SizeofSockaddrInet4
	} else {
		w.names[i] = unix.RawSockaddrInet6{
			Family: unix.AF_INET6, Port: port, Addr: d.way.peer.Addr().As16(), Scope_id: d.way.scope}
		h.Namelen = unix.SizeofSockaddrInet6
	}
	if !d.way.local.IsValid() {
		h.Control = nil
		h.SetControllen(0)
		return
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&w.control[i]))
	data := unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))
	h.Control = (*byte)(unsafe.Pointer(c))
	if w.family == unix.AF_INET {
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		c.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		h.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
		*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: d.way.local.As4()}
		return
	}
	c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	c.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	h.SetControllen(unix.CmsgSpace(unix.SizeofInet6Pktinfo))
	info := unix.Inet6Pktinfo{Addr: d.way.local.As16()}
	if d.way.local.Is6() && d.way.local.IsLinkLocalUnicast() {
		info.Ifindex = d.way.scope // otherwise the routing table decides the interface
	}
	*(*unix.Inet6Pktinfo)(data) = info
}

// networkOrder turns a port of a raw socket address into a number, and back.
func networkOrder(port uint16) uint16 {
	b := *(*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}
