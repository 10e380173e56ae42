package radius

import (
	"fmt"
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

	require.NoError(t, to.SetReadDeadline(time.Now().Add(10*time.Second)))
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
	require.NoError(t, to.SetReadDeadline(time.Now().Add(10*time.Second)))
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
