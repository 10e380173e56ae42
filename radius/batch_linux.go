package radius

import (
	"math"
	"net"
	"net/netip"
	"syscall"
	"time"
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

// controlMessage has room for one IP_PKTINFO or IPV6_PKTINFO, and a UDP_SEGMENT,
// aligned as the kernel's headers are.
type controlMessage [8]uint64

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
	waits   bool
	n       int
	errno   syscall.Errno

	measure func(fd uintptr) // as receive
	memory  [2]uint32        // SK_MEMINFO_RMEM_ALLOC and SK_MEMINFO_RCVBUF
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
			// A raw call, for it never blocks: Go's scheduler need not know of it, and
			// would otherwise take the processor away from a batch of usual length.
			n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])),
				uintptr(r.wanted), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return !r.waits // until it is readable
			}
			r.n, r.errno = int(n), errno
			return true
		}
	}
	r.measure = func(fd uintptr) {
		size := uint32(unsafe.Sizeof(r.memory))
		_, _, _ = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&r.memory)), uintptr(unsafe.Pointer(&size)), 0)
	}
	return r
}

func (r *batchReader) read(in []datagram) (int, error) {
	r.waits = true
	return r.receiveBatch(in)
}

func (r *batchReader) poll(in []datagram) (int, error) {
	r.waits = false
	return r.receiveBatch(in)
}

func (r *batchReader) wait(d time.Duration) {
	_ = r.raw.Control(func(fd uintptr) {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(d.Milliseconds()))
	})
}

func (r *batchReader) congested() bool {
	_ = r.raw.Control(r.measure)
	return r.memory[0] > r.memory[1]/16
}

func (r *batchReader) receiveBatch(in []datagram) (int, error) {
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

// batchWriter writes with sendmmsg(2). Datagrams of one length that go the same way
// travel as a train: one message, which the kernel, or the network interface, cuts into
// datagrams again (UDP_SEGMENT, udp(7)). That costs half of what the datagrams cost one
// by one.
type batchWriter struct {
	*messages
	family int
	order  [batchSize]int // of the batch's datagrams: those of a train in a row
	trains [batchSize]train
	send   func(fd uintptr) bool
	first  int // the trains to send in this call
	end    int
	n      int
	errno  syscall.Errno
	// apart is how many batches are still to be sent one by one, since a train was
	// refused: some interfaces and tunnels cannot cut them.
	apart int
}

// train is the datagrams of one message, order[first:end], of length octets each.
type train struct{ first, end, length int }

const (
	// maxTrainDatagram is the longest datagram in a train: what is near the
	// interface's MTU may have to be fragmented, which trains cannot be.
	maxTrainDatagram = 1200
	// apartAfterRefusal is for how many batches a refused train is remembered.
	apartAfterRefusal = 1024
	// sortedGroups is how many groups are looked through for one that a datagram can
	// join. With more NASes than that in a batch there is little to join.
	sortedGroups = 8
)

// A train has to fit into one IP packet. This does not compile when the longest one, a
// whole batch with the headers of IPv6 and UDP, would not.
const _ = uint16(40 + 8 + batchSize*maxTrainDatagram)

func newBatchWriter(c *net.UDPConn) *batchWriter {
	w := &batchWriter{messages: newMessages(c), family: unix.AF_INET}
	_ = w.raw.Control(func(fd uintptr) {
		if family, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
			w.family = family
		}
		if _, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
			w.apart = math.MaxInt // before Linux 4.18 a train would arrive uncut
		}
	})
	w.send = func(fd uintptr) bool {
		for { // a raw call, as in batchReader
			n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.headers[w.first])),
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
		batch := out[:min(len(out), batchSize)]
		out = out[len(batch):]
		w.apart = max(w.apart-1, 0)
		w.sort(batch)
		w.first, w.end = 0, w.couple(batch, 0)
		for w.first < w.end {
			if e := w.raw.Write(w.send); e != nil { // closed, or past the deadline
				return failed + len(batch) - w.trains[w.first].first + len(out), e
			}
			if w.errno == 0 {
				w.first += w.n
				continue
			}
			// About the first message; the others may be fine.
			refused := w.trains[w.first]
			if refused.end-refused.first > 1 {
				w.apart = apartAfterRefusal
				w.first, w.end = 0, w.couple(batch, refused.first)
				continue
			}
			failed, err = failed+1, w.errno
			w.first++
		}
	}
	return failed, err
}

// sort decides on the order of a batch: datagrams that can be of one train stand where
// the first of them does.
func (w *batchWriter) sort(out []datagram) {
	var next, first, last [batchSize]int // of the groups, as linked lists
	groups := 0
	for i := range out {
		g := groups - 1
		for ; g >= max(groups-sortedGroups, 0); g-- {
			if out[first[g]].couples(&out[i]) {
				break
			}
		}
		if g < max(groups-sortedGroups, 0) {
			first[groups], last[groups] = i, i
			groups++
			continue
		}
		next[last[g]], last[g] = i, i
	}
	n := 0
	for g := range groups {
		for i := first[g]; ; i = next[i] {
			w.order[n] = i
			n++
			if i == last[g] {
				break
			}
		}
	}
}

// couples reports whether two datagrams can be of one train.
func (d *datagram) couples(e *datagram) bool {
	return len(d.data) == len(e.data) && len(d.data) <= maxTrainDatagram && d.way == e.way
}

// couple prepares the messages for the datagrams from a place in the order on, and
// returns how many they are.
func (w *batchWriter) couple(out []datagram, from int) (n int) {
	for i := from; i < len(out); i++ {
		d := &out[w.order[i]]
		w.vectors[i].Base = unsafe.SliceData(d.data)
		w.vectors[i].SetLen(len(d.data))
		if n > 0 && w.apart == 0 && out[w.order[w.trains[n-1].first]].couples(d) {
			w.trains[n-1].end++
			continue
		}
		w.trains[n] = train{first: i, end: i + 1, length: len(d.data)}
		n++
	}
	for i := range n {
		t := &w.trains[i]
		w.fill(i, &out[w.order[t.first]].way, t)
		h := &w.headers[i].Hdr
		h.Iov = &w.vectors[t.first]
		h.SetIovlen(t.end - t.first)
	}
	return n
}

// fill prepares address and control data of message i.
func (w *batchWriter) fill(i int, way *way, t *train) {
	h := &w.headers[i].Hdr
	port := networkOrder(way.peer.Port())
	if w.family == unix.AF_INET {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&w.names[i])) = unix.RawSockaddrInet4{
			Family: unix.AF_INET, Port: port, Addr: way.peer.Addr().As4()}
		h.Namelen = unix.SizeofSockaddrInet4
	} else {
		w.names[i] = unix.RawSockaddrInet6{
			Family: unix.AF_INET6, Port: port, Addr: way.peer.Addr().As16(), Scope_id: way.scope}
		h.Namelen = unix.SizeofSockaddrInet6
	}
	length := 0
	if way.local.IsValid() {
		length += w.sendFrom(w.controlAt(i, length), way)
	}
	if t.end-t.first > 1 {
		c := w.controlAt(i, length)
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		*(*uint16)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))) = uint16(t.length)
		length += unix.CmsgSpace(2)
	}
	h.Control = nil
	if length > 0 {
		h.Control = (*byte)(unsafe.Pointer(&w.control[i]))
	}
	h.SetControllen(length)
}

func (m *messages) controlAt(i, offset int) *unix.Cmsghdr {
	return (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(&m.control[i]), offset))
}

// sendFrom makes c say which address of ours the datagrams leave from, and returns
// how many octets that takes.
func (w *batchWriter) sendFrom(c *unix.Cmsghdr, way *way) int {
	data := unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))
	if w.family == unix.AF_INET {
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		c.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: way.local.As4()}
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	c.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	info := unix.Inet6Pktinfo{Addr: way.local.As16()}
	if way.local.Is6() && way.local.IsLinkLocalUnicast() {
		info.Ifindex = way.scope // otherwise the routing table decides the interface
	}
	*(*unix.Inet6Pktinfo)(data) = info
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

// networkOrder turns a port of a raw socket address into a number, and back.
func networkOrder(port uint16) uint16 {
	b := *(*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}
