package radius

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const reusePortSupported = true

// setReusePort is a net.ListenConfig.Control.
func setReusePort(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// tuneSocket asks for the destination address of each datagram when the socket
// is bound to all addresses, and for receive and send buffers of so many octets.
// It returns what the kernel granted for receiving.
func tuneSocket(c *net.UDPConn, buffer int) (granted int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	wildcard := localAddrPort(c).Addr().IsUnspecified()
	if e := raw.Control(func(fd uintptr) {
		s := int(fd)
		if wildcard {
			var family int
			if family, err = unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil {
				return
			}
			if family == unix.AF_INET {
				err = unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			} else {
				err = unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			}
			if err != nil {
				return
			}
		}
		// FORCE passes the system's limit and needs CAP_NET_ADMIN; without it
		// the kernel grants what net.core.rmem_max allows.
		if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
			_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
		}
		if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, buffer) != nil {
			_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer)
		}
		granted, err = unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF)
	}); e != nil {
		return 0, e
	}
	return granted, err
}

// socketDrops is how many datagrams the kernel threw away because the socket's
// receive buffer was full.
func socketDrops(c *net.UDPConn) uint64 {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	const drops = 8 // SK_MEMINFO_DROPS
	var info [drops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	_ = raw.Control(func(fd uintptr) {
		_, _, _ = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	return uint64(info[drops])
}
