package radius

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The kernel drops what the filter says, and nothing else.
func TestFloodFilter(t *testing.T) {
	for _, family := range []struct {
		name, listen, flooder, other string
	}{
		{"IPv4", "127.0.0.1:0", "127.0.0.2", "127.0.0.3"},
		{"IPv4 on a socket for both", "[::]:0", "127.0.0.2", "127.0.0.3"},
		{"IPv6", "[::1]:0", "::1", ""},
	} {
		t.Run(family.name, func(t *testing.T) {
			addr := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(family.listen))
			c, err := net.ListenUDP("udp", addr)
			if err != nil {
				t.Skip(err)
			}
			defer c.Close()
			port := localAddrPort(c).Port()
			reader, in := newBatchReader(c), make([]datagram, batchSize)
			// pass tells how many of a hundred packets are read.
			pass := func(source string, p Packet) (n int) {
				to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}
				if source == "::1" {
					to.IP = net.IPv6loopback
				}
				s, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(source)}, to)
				require.NoError(t, err)
				defer s.Close()
				for range 100 {
					_, err := s.Write(p)
					require.NoError(t, err)
				}
				for {
					got, err := reader.poll(in)
					require.NoError(t, err)
					if got == 0 {
						return n
					}
					n += got
				}
			}
			h := NewHasher(floodSecret)
			fresh, begun := floodPacket(h, 1, false), floodPacket(h, 1, true)
			status := Packet(AppendHeader(nil, StatusServer, 1, &zeroAuthenticator))
			SetLength(status)
			flooder := netip.MustParseAddr(family.flooder)
			attach := func(f flood) {
				decoy := flood{addr: netip.MustParseAddr("2001:db8::1"), keep: 0.001}
				require.NoError(t, attachFilter(c, []flood{{}, decoy, f, {addr: netip.MustParseAddr("192.0.2.1"), keep: 0.001}}))
			}

			attach(flood{addr: flooder, keep: 1e-9, lets: true})
			require.Zero(t, pass(family.flooder, fresh))
			require.Zero(t, pass(family.flooder, Packet("garbage")))
			require.Zero(t, pass(family.flooder, nil))
			require.Equal(t, 100, pass(family.flooder, begun), "State passes")
			require.Equal(t, 100, pass(family.flooder, status), "Status-Server passes")
			if family.name != "IPv6" {
				require.Equal(t, 100, pass(family.other, fresh), "another source")
			}
			attach(flood{addr: flooder, keep: 1e-9})
			require.Zero(t, pass(family.flooder, begun), "a flood of State")
			require.Zero(t, pass(family.flooder, status), "a flood of what goes first")
			attach(flood{addr: flooder, keep: 0.5})
			n := 0
			for range 10 {
				n += pass(family.flooder, fresh)
			}
			require.InDelta(t, 500, n, 150) // nine standard deviations
			require.NoError(t, attachFilter(c, nil))
			require.Equal(t, 100, pass(family.flooder, fresh), "it is gone")
		})
	}
}

func TestFloodFilterOfAllSourcesIsAccepted(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer c.Close()
	var sources [maxFloods]flood
	for i := range sources {
		sources[i] = flood{addr: netip.AddrFrom16([16]byte{0x20, 0x01, 15: byte(i)}), keep: 0.5, lets: true}
	}
	for range 2 { // while it is replaced both of them take memory
		require.NoError(t, attachFilter(c, sources[:]))
	}
	// Old kernels allow 20 KiB (net.core.optmem_max) for a filter and its successor, and
	// turn a load into up to ten instructions of eight octets.
	loads := 0
	for _, instruction := range floodFilter(sources[:]) {
		if class := instruction.Code & 7; class == unix.BPF_LD {
			loads++
		}
	}
	require.Less(t, loads, 20480/2/10/8)
}

func TestFloodsAreFoundAndFollowed(t *testing.T) {
	var f floods
	now := time.Unix(1000, 0)
	flooder, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	// interval adapts after a flood of which so many come, of which at most 1000 are handled.
	interval := func(offered int) (changed bool) {
		keep := 1.0
		for _, s := range f.sources {
			if s.addr == flooder && s.filtered() {
				keep = s.keep
			}
		}
		arrived := int(keep * float64(offered))
		for i := range arrived {
			f.arrive(flooder)
			if i%50 == 0 {
				f.arrive(other)
				f.handle(other)
			}
			if i%7 == 0 { // many that come once
				f.arrive(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}))
			}
		}
		for range min(arrived, 1000) {
			f.handle(flooder)
		}
		now = now.Add(floodInterval)
		f.idle = floodIdle
		return f.adapt(now)
	}
	f.adapt(now)
	require.False(t, interval(1500))
	require.Zero(t, f.filtered, "a little too much is no flood")
	require.True(t, interval(10_000))
	require.Equal(t, 1, f.filtered, "and the other is none")
	for range 20 {
		interval(10_000)
	}
	kept := 0.0
	for _, s := range f.sources {
		kept += s.keep
	}
	require.InDelta(t, 0.135, kept, 0.01, "a quarter more than is handled, and a rest")
	require.False(t, interval(10_000), "it is steady")
	require.True(t, interval(20_000))
	for range 20 {
		interval(1000)
	}
	require.Zero(t, f.filtered, "it has ended")
	require.True(t, interval(50_000))
	for range 20 {
		interval(0)
	}
	require.Zero(t, f.filtered)
	require.Zero(t, testing.AllocsPerRun(10, func() { interval(1000) }))
}

// A listener that the flood leaves no rest lets less of it through, until it has some; but
// not where nobody else is there to wait.
func TestFilteringListenerKeepsSomeRest(t *testing.T) {
	const most = 10_000 // that it can handle in an interval
	source, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	mean := func(others int) int {
		var f floods
		now := time.Unix(1000, 0)
		f.adapt(now)
		sum := 0
		for n := range 100 {
			arrived := 100_000
			for _, s := range f.sources {
				if s.addr == source && s.filtered() {
					arrived = int(s.keep * 100_000)
				}
			}
			handled := min(arrived, most-others)
			f.idle = floodInterval * time.Duration(most-others-handled) / most
			for range others {
				f.arrive(other)
				f.handle(other)
			}
			f.interval(&now, source, arrived, handled)
			require.Equal(t, 1, f.filtered)
			if n >= 50 {
				sum += others + handled
			}
		}
		return sum / 50
	}
	require.Equal(t, most, mean(0))
	require.InDelta(t, most*(1-float64(floodIdle)/float64(floodInterval)), mean(1000), most/10)
}
