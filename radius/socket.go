package radius

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// batchSize is how many datagrams one system call reads or writes at most.
const batchSize = 32

// A datagram is one slot of a batch. One that was read shares memory with its
// reader and is valid until the next read; one to be written must stay
// unchanged until write returns.
type datagram struct {
	data []byte
	way  way
}

// A way is where a datagram came from and where it was sent to, which is all
// that is needed to answer it.
type way struct {
	peer  netip.AddrPort // the other end; IPv4 is never mapped into IPv6, and there is no zone
	local netip.Addr     // the address of ours it was sent to; not valid when the socket does not say
	scope uint32         // interface index of a link-local peer or local address
}

// The seam between the listeners and the operating system is two types with few
// methods, in batch_linux.go and batch_other.go:
//
//	newBatchReader(*net.UDPConn).read(in []datagram) (n int, err error)
//	newBatchReader(*net.UDPConn).poll(in []datagram) (n int, err error)
//	newBatchReader(*net.UDPConn).wait(time.Duration)
//	newBatchReader(*net.UDPConn).congested() bool
//	newBatchWriter(*net.UDPConn).write(out []datagram) (failed int, err error)
//
// read blocks until there is at least one datagram, the read deadline passes or
// the socket is closed; poll does not block and may return none; wait returns
// when there is one, or after a while. congested reports
// whether much waits in the socket. write sends all it is given; what the network refuses is
// counted in failed, with the last error. A reader and any number of writers may
// share a socket; none of them is safe for concurrent use by itself.

// openSockets binds n sockets to one address, "host:port". Several sockets share
// the address by SO_REUSEPORT: the kernel keeps a client's source port on one
// socket, so that a retransmission meets the same duplicate table. Where that
// does not exist there is one socket whatever n says. With port 0 all of them
// get the port that the first one was given.
func openSockets(ctx context.Context, address string, n int) (sockets []*net.UDPConn, err error) {
	defer func() {
		if err != nil {
			closeSockets(sockets)
			sockets, err = nil, fmt.Errorf("listen on %s: %w", address, err)
		}
	}()
	network, err := listenNetwork(address)
	if err != nil {
		return nil, err
	}
	if !reusePortSupported {
		n = 1
	}
	if n > 1 {
		// SO_REUSEPORT would let a second process of the same user share the
		// port and silently take half of the requests. A socket without the
		// option finds that out.
		probe, err := (&net.ListenConfig{}).ListenPacket(ctx, network, address)
		if err != nil {
			return nil, err
		}
		address = probe.LocalAddr().String()
		if host, _, err := net.SplitHostPort(address); err == nil && network == "udp" && net.ParseIP(host).IsUnspecified() {
			address = fmt.Sprintf(":%d", probe.LocalAddr().(*net.UDPAddr).Port)
		}
		if err := probe.Close(); err != nil {
			return nil, err
		}
	}
	config := net.ListenConfig{}
	if n > 1 {
		config.Control = setReusePort
	}
	for len(sockets) < n {
		c, err := config.ListenPacket(ctx, network, address)
		if err != nil {
			return sockets, err
		}
		sockets = append(sockets, c.(*net.UDPConn))
	}
	return sockets, nil
}

// listenNetwork tells the address families of an address to listen on. Go would
// bind both of them for 0.0.0.0 and for [::]; here an address means what it
// says, and only ":1812" means both.
func listenNetwork(address string) (string, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil: // empty or a name
		return "udp", nil
	case ip.Is4():
		return "udp4", nil
	default:
		return "udp6", nil
	}
}

func closeSockets(sockets []*net.UDPConn) {
	for _, c := range sockets {
		_ = c.Close() // nothing is buffered in user space
	}
}

// localAddrPort is the address a socket is bound to.
func localAddrPort(c *net.UDPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
