//go:build !linux

package radius

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// batchReader reads one datagram at a time. It does not know the address that a
// datagram was sent to: on a host with several addresses, listen on each of them.
type batchReader struct {
	conn   *net.UDPConn
	buffer [MaxLength]byte
}

func newBatchReader(c *net.UDPConn) *batchReader { return &batchReader{conn: c} }

func (r *batchReader) read(in []datagram) (int, error) {
	n, peer, err := r.conn.ReadFromUDPAddrPort(r.buffer[:])
	if err != nil {
		return 0, err
	}
	w := way{}
	if zone := peer.Addr().Zone(); zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			w.scope = uint32(i.Index)
		}
	}
	w.peer = netip.AddrPortFrom(peer.Addr().Unmap().WithZone(""), peer.Port())
	in[0] = datagram{data: r.buffer[:n], way: w}
	return 1, nil
}

// Where only one datagram is read at a time a listener cannot see that it is behind.
func (r *batchReader) congested() bool                 { return false }
func (r *batchReader) wait(time.Duration)              {}
func (r *batchReader) poll(in []datagram) (int, error) { return 0, nil }

// batchWriter writes one datagram at a time.
type batchWriter struct {
	conn *net.UDPConn
}

func newBatchWriter(c *net.UDPConn) *batchWriter { return &batchWriter{conn: c} }

func (w *batchWriter) write(out []datagram) (failed int, err error) {
	for i := range out {
		peer := out[i].way.peer
		if out[i].way.scope != 0 && peer.Addr().IsLinkLocalUnicast() {
			if iface, e := net.InterfaceByIndex(int(out[i].way.scope)); e == nil {
				peer = netip.AddrPortFrom(peer.Addr().WithZone(iface.Name), peer.Port())
			}
		}
		if _, e := w.conn.WriteToUDPAddrPort(out[i].data, peer); e != nil {
			failed, err = failed+1, e
			if errors.Is(e, net.ErrClosed) {
				return len(out) - i + failed - 1, e
			}
		}
	}
	return failed, err
}

const reusePortSupported = false

func setReusePort(_, _ string, _ syscall.RawConn) error { return errors.ErrUnsupported }

// tuneSocket asks for receive and send buffers of so many octets.
func tuneSocket(c *net.UDPConn, buffer int) (granted int, err error) {
	if err := c.SetReadBuffer(buffer); err != nil {
		return 0, err
	}
	return buffer, c.SetWriteBuffer(buffer)
}

func attachFilter(*net.UDPConn, []flood) error { return errors.ErrUnsupported }

func socketDrops(*net.UDPConn) uint64 { return 0 }
