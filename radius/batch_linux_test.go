package radius

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// More than one batch arrives whole and in order, and each read gives no more than it
// is asked for.
func TestBatches(t *testing.T) {
	from, to := listenUDP(t), listenUDP(t)
	const n = 3*batchSize + 7
	out := make([]datagram, n)
	for i := range out {
		out[i] = datagram{data: fmt.Appendf(nil, "datagram %d", i), way: way{peer: localAddrPort(to)}}
	}
	failed, err := newBatchWriter(from).write(out)
	require.NoError(t, err)
	require.Zero(t, failed)

	require.NoError(t, to.SetReadDeadline(time.Now().Add(time.Minute)))
	r := newBatchReader(to)
	in := make([]datagram, batchSize)
	got := 0
	for size := 1; got < n; size = min(size+5, batchSize) {
		m, err := r.read(in[:size])
		require.NoError(t, err)
		require.LessOrEqual(t, m, size)
		for _, d := range in[:m] {
			require.Equal(t, fmt.Sprintf("datagram %d", got), string(d.data))
			require.Equal(t, localAddrPort(from), d.way.peer)
			got++
		}
	}
	require.NoError(t, to.SetReadDeadline(time.Unix(1, 0)))
	_, err = r.read(in)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// What the network refuses does not take the rest of its batch with it.
func TestBatchWithFailures(t *testing.T) {
	from, to := listenUDP(t), listenUDP(t)
	good := datagram{data: []byte("good"), way: way{peer: localAddrPort(to)}}
	bad := datagram{data: []byte("bad"), way: way{peer: netip.MustParseAddrPort("127.0.0.1:0")}} // no port
	failed, err := newBatchWriter(from).write([]datagram{bad, good, bad, bad, good, good, bad})
	require.ErrorIs(t, err, unix.EINVAL)
	require.Equal(t, 4, failed)
	in := make([]datagram, batchSize)
	require.NoError(t, to.SetReadDeadline(time.Now().Add(time.Minute)))
	r := newBatchReader(to)
	for got := 0; got < 3; {
		n, err := r.read(in)
		require.NoError(t, err)
		for _, d := range in[:n] {
			require.Equal(t, "good", string(d.data))
		}
		got += n
	}

	require.NoError(t, from.Close())
	failed, err = newBatchWriter(from).write([]datagram{good, good})
	require.ErrorIs(t, err, net.ErrClosed)
	require.Equal(t, 2, failed)
}

func TestTuneSocket(t *testing.T) {
	c := listenUDP(t)
	granted, err := tuneSocket(c, 64<<10)
	require.NoError(t, err)
	require.GreaterOrEqual(t, granted, 64<<10)
	require.Zero(t, socketDrops(c))
	// Fill it: what does not fit is counted.
	from := listenUDP(t)
	out := make([]datagram, batchSize)
	for i := range out {
		out[i] = datagram{data: make([]byte, 4096), way: way{peer: localAddrPort(c)}}
	}
	w := newBatchWriter(from)
	for range 10 {
		_, err := w.write(out)
		require.NoError(t, err)
	}
	require.NotZero(t, socketDrops(c))
}

// Datagrams of one length to one peer travel as one message and arrive as they were,
// whatever stands between them.
func TestTrains(t *testing.T) {
	for _, network := range []string{"udp4", "udp6", "udp"} {
		t.Run(network, func(t *testing.T) {
			from, err := net.ListenUDP(network, &net.UDPAddr{})
			require.NoError(t, err)
			defer from.Close()
			_, err = tuneSocket(from, 1<<20)
			require.NoError(t, err)
			address := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
			if network == "udp6" {
				address.IP = net.IPv6loopback
			}
			to, err := net.ListenUDP("udp", address)
			require.NoError(t, err)
			defer to.Close()

			peer := way{peer: localAddrPort(to), local: localAddrPort(to).Addr()}
			lengths := []int{20, 20, 20, 50, 20, 20, 1200, 1200, 1201, 1201, 20, 70, 70, 20, 20, 20}
			var out []datagram
			for i, length := range lengths {
				data := make([]byte, length)
				data[0] = byte(i)
				out = append(out, datagram{data: data, way: peer})
			}
			w := newBatchWriter(from)
			failed, err := w.write(out)
			require.NoError(t, err)
			require.Zero(t, failed)
			require.Zero(t, w.apart, "a train was refused")
			require.Equal(t, 6, w.end, "messages")

			require.NoError(t, to.SetReadDeadline(time.Now().Add(time.Minute)))
			r, in, got := newBatchReader(to), make([]datagram, batchSize), make(map[int]int)
			for len(got) < len(lengths) {
				n, err := r.read(in)
				require.NoError(t, err)
				for _, d := range in[:n] {
					got[int(d.data[0])] = len(d.data)
				}
			}
			for i, length := range lengths {
				require.Equal(t, length, got[i])
			}
		})
	}
}

// The order of a batch has each datagram once, those to one peer in their order, and
// together unless there are many peers.
func TestTrainOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	w := newBatchWriter(listenUDP(t))
	for range 500 {
		peers := 1 + random.IntN(12)
		out := make([]datagram, random.IntN(batchSize+1))
		for i := range out {
			out[i] = datagram{data: make([]byte, 20), way: way{peer: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(1+random.IntN(peers)))}}
		}
		w.sort(out)
		seen, last, changes := make(map[int]bool), make(map[uint16]int), 0
		for n, i := range w.order[:len(out)] {
			require.False(t, seen[i])
			seen[i] = true
			port := out[i].way.peer.Port()
			if before, ok := last[port]; ok && peers <= sortedGroups {
				require.Greater(t, i, before)
			}
			last[port] = i
			if n == 0 || out[w.order[n-1]].way != out[i].way {
				changes++
			}
		}
		require.Len(t, seen, len(out))
		if peers <= sortedGroups {
			require.Equal(t, len(last), changes)
		}
	}
}

// Where a train is refused its datagrams go one by one, and so do others for a while.
func TestTrainRefused(t *testing.T) {
	from, to := listenUDP(t), listenUDP(t)
	good := datagram{data: []byte("good"), way: way{peer: localAddrPort(to)}}
	bad := datagram{data: []byte("bad"), way: way{peer: netip.MustParseAddrPort("127.0.0.1:0")}} // no port
	w := newBatchWriter(from)
	failed, err := w.write([]datagram{good, good, bad, bad, good, good})
	require.ErrorIs(t, err, unix.EINVAL)
	require.Equal(t, 2, failed)
	require.Equal(t, apartAfterRefusal, w.apart)
	failed, err = w.write([]datagram{good, good})
	require.NoError(t, err)
	require.Zero(t, failed)
	require.Equal(t, apartAfterRefusal-1, w.apart)
	require.NoError(t, to.SetReadDeadline(time.Now().Add(time.Minute)))
	r, in := newBatchReader(to), make([]datagram, batchSize)
	for got := 0; got < 6; {
		n, err := r.read(in)
		require.NoError(t, err)
		for _, d := range in[:n] {
			require.Equal(t, "good", string(d.data))
		}
		got += n
	}
}

// A kernel that knows no trains sends the datagrams of one as a single one. Sockets for
// ICMP, whose echo replies show it, do that to this day.
func TestNoTrainsWhereTheKernelKnowsNone(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		t.Skip("net.ipv4.ping_group_range does not let this process have one: ", err)
	}
	f := os.NewFile(uintptr(fd), "ping")
	p, err := net.FilePacketConn(f)
	require.NoError(t, f.Close())
	require.NoError(t, err)
	c := p.(*net.UDPConn)
	defer c.Close()

	var out []datagram
	for i := range 4 {
		echo := []byte{8, 7: byte(i), 19: 0}
		out = append(out, datagram{data: echo, way: way{peer: netip.MustParseAddrPort("127.0.0.1:1")}})
	}
	failed, err := newBatchWriter(c).write(out)
	require.NoError(t, err)
	require.Zero(t, failed)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	r, in := newBatchReader(c), make([]datagram, batchSize)
	for got := 0; got < len(out); {
		n, err := r.read(in)
		require.NoError(t, err)
		for _, d := range in[:n] {
			require.Len(t, d.data, 20)
			got++
		}
	}
}
