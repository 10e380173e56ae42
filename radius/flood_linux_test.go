package radius

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BenchmarkFlood is what a NAS notices of another one's flood. A server of its own
// process with one core gets floodRate datagrams a second from 127.0.0.2, about three
// times what it can answer, and victimRate requests a second from 127.0.0.3. Latency is
// from the write of a request to the kernel's time stamp on its answer, so that the
// generator's own hurry is not in it. In "none" the flood goes to a socket that nobody
// reads: everything else is equal. The first second, in which the flood begins, counts
// separately. The ratios are to "none", if that has run.
//
// In "slow" the handler takes slowWork, and the flood is of slowRate, three times what
// such a server can answer.
//
//	go test ./radius -run '^$' -bench Flood -benchtime 30000x
//
// The number of iterations is that of the victim's requests.
func BenchmarkFlood(b *testing.B) {
	var alone floodLatency
	for _, kind := range []string{"none", "valid", "state", "repeated", "forged", "garbage", "unknown"} {
		b.Run(kind, func(b *testing.B) { benchmarkFlood(b, kind, floodRate, 0, &alone) })
	}
	b.Run("slow", func(b *testing.B) {
		var alone floodLatency
		for _, kind := range []string{"none", "valid", "state"} {
			b.Run(kind, func(b *testing.B) { benchmarkFlood(b, kind, slowRate, slowWork, &alone) })
		}
	})
}

// floodLatency is the victim's latency.
type floodLatency struct{ p50, p99 time.Duration }

const (
	floodServerVariable = "RADIUSD_FLOOD_SERVER" // how long its handler takes

	floodRate  = 700_000
	slowRate   = 360_000
	slowWork   = 5 * time.Microsecond
	floodWrite = 64 // datagrams, the most that UDP_SEGMENT takes
	floodPorts = 4
	victimRate = 10_000
)

var (
	floodSecret = []byte("a shared secret")
	floodSource = [4]byte{127, 0, 0, 2}
	victimAddr  = [4]byte{127, 0, 0, 3}
	strangeAddr = [4]byte{127, 0, 0, 4}
)

func benchmarkFlood(b *testing.B, kind string, rate int, work time.Duration, alone *floodLatency) {
	server, stop := startFloodServer(b, work)
	pin(b, 1)
	before := server.stats()

	target, source := server.addr, floodSource
	if kind == "none" {
		sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		defer sink.Close()
		target = localAddrPort(sink)
	}
	if kind == "unknown" {
		source = strangeAddr
	}
	var flooding sync.WaitGroup
	var done atomic.Bool
	var sent int
	flooding.Go(func() { sent = sendFlood(b, source, target, rate, floodPackets(kind), &done) })
	v := newVictim(b, server.addr)
	b.ResetTimer()
	v.run(b.N, victimRate)
	elapsed := b.Elapsed()
	b.StopTimer()
	done.Store(true)
	flooding.Wait()
	after := server.stats()
	stop()

	first := min(b.N/2, victimRate) // a second
	onset, answered := v.latencies(0, first), v.latencies(first, b.N)
	lost := b.N - len(onset) - len(answered)
	b.ReportMetric(0, "ns/op")
	latency := floodLatency{percentile(answered, 50), percentile(answered, 99)}
	if kind == "none" {
		*alone = latency
	} else if alone.p50 > 0 {
		b.ReportMetric(float64(latency.p50)/float64(alone.p50), "p50-ratio")
		b.ReportMetric(float64(latency.p99)/float64(alone.p99), "p99-ratio")
	}
	b.ReportMetric(float64(latency.p50)/1e3, "p50-µs")
	b.ReportMetric(float64(latency.p99)/1e3, "p99-µs")
	b.ReportMetric(float64(percentile(onset, 99))/1e3, "onset-p99-µs")
	b.ReportMetric(100*float64(lost)/float64(b.N), "lost-%")
	b.ReportMetric(float64(sent)/elapsed.Seconds(), "flood/s")
	b.ReportMetric(float64(after.answers-before.answers-uint64(b.N-lost))/elapsed.Seconds(), "flood-answers/s")
	b.ReportMetric(float64(after.read-before.read)/elapsed.Seconds(), "read/s")
	b.ReportMetric(float64(after.dropped-before.dropped)/elapsed.Seconds(), "kernel-drops/s")
	b.ReportMetric(100*(after.cpu-before.cpu).Seconds()/elapsed.Seconds(), "cpu-%")
	b.ReportMetric(100*(after.delay-before.delay).Seconds()/elapsed.Seconds(), "run-delay-%")
}

// floodPackets are what a flood consists of, all of one length. Fresh ones differ from
// the one with the same Identifier before, so that they can be sent over and over.
func floodPackets(kind string) (packets []Packet) {
	secret := floodSecret
	if kind == "forged" {
		secret = []byte("another secret")
	}
	h := NewHasher(secret)
	for i := range 512 {
		n := i
		if kind == "repeated" {
			n = 1
		}
		p := floodPacket(h, uint32(n), kind == "state")
		if kind == "garbage" {
			p[HeaderLength+1] = 1
		}
		packets = append(packets, p)
	}
	return packets
}

func floodPacket(h *Hasher, n uint32, state bool) Packet {
	authenticator := [16]byte{3: 1}
	binary.BigEndian.PutUint32(authenticator[4:], n)
	p := AppendHeader(nil, AccessRequest, uint8(n), &authenticator)
	p = AppendMessageAuthenticator(p)
	hidden, _ := h.AppendEncryptedUserPassword(nil, []byte("correct horse"), &authenticator)
	p = AppendAttribute(p, TypeUserPassword, hidden)
	p = AppendString(p, TypeUserName, "alice@example.org")
	p = AppendUint32(p, TypeProxyState, n)
	p = AppendString(p, TypeCalledStationID, "hotspot1")
	p = AppendString(p, TypeCallingStationID, "00:0C:42:D6:5C:1F")
	p = AppendString(p, TypeNASIdentifier, "MikroTik")
	if state {
		p = AppendUint32(p, TypeState, n)
	}
	SetLength(p)
	h.SignMessageAuthenticator(p, HeaderLength, nil)
	return p
}

// sendFlood sends the packets over and over at the rate until done, many with each
// write, which the kernel cuts up (UDP_SEGMENT).
func sendFlood(b *testing.B, source [4]byte, to netip.AddrPort, rate int, packets []Packet, done *atomic.Bool) (sent int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	length := len(packets[0])
	var all []byte
	for _, p := range packets {
		all = append(all, p...)
	}
	var sockets [floodPorts]int
	for i := range sockets {
		sockets[i] = floodSocket(b, source, to)
		defer unix.Close(sockets[i])
		if err := unix.SetsockoptInt(sockets[i], unix.IPPROTO_UDP, unix.UDP_SEGMENT, length); err != nil {
			b.Error(err)
			return 0
		}
	}
	began := time.Now()
	for i := 0; !done.Load(); i++ {
		first := i / floodPorts * floodWrite % len(packets)
		_ = unix.Send(sockets[i%floodPorts], all[first*length:(first+floodWrite)*length], 0)
		sent += floodWrite
		sleepUntil(began.Add(time.Duration(sent) * time.Second / time.Duration(rate)))
	}
	return sent
}

func floodSocket(b *testing.B, source [4]byte, to netip.AddrPort) int {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Error(err)
		return -1
	}
	if err := unix.Bind(s, &unix.SockaddrInet4{Addr: source}); err != nil {
		b.Error(err)
	}
	if err := unix.Connect(s, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		b.Error(err)
	}
	return s
}

// sleepUntil is finer than time.Sleep, and keeps the thread.
func sleepUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		sleep := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&sleep, nil)
	}
}

// A victim sends requests at a steady rate and notes when they are answered. The
// sequence number of each comes back in Proxy-State.
type victim struct {
	b              *testing.B
	socket         int
	began, arrived []time.Time
}

func newVictim(b *testing.B, to netip.AddrPort) *victim {
	v := &victim{b: b, socket: floodSocket(b, victimAddr, to)}
	for option, value := range map[int]int{unix.SO_TIMESTAMPNS: 1, unix.SO_RCVBUF: 4 << 20} {
		if err := unix.SetsockoptInt(v.socket, unix.SOL_SOCKET, option, value); err != nil {
			b.Fatal(err)
		}
	}
	patience := unix.NsecToTimeval(int64(500 * time.Millisecond))
	if err := unix.SetsockoptTimeval(v.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(v.socket) })
	return v
}

func (v *victim) run(n, rate int) {
	v.began, v.arrived = make([]time.Time, n), make([]time.Time, n)
	var receiving sync.WaitGroup
	receiving.Go(v.receive)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -10)
	defer unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0)
	h := NewHasher(floodSecret)
	start := time.Now()
	for i := range n {
		p := floodPacket(h, uint32(i), false)
		sleepUntil(start.Add(time.Duration(i) * time.Second / time.Duration(rate)))
		v.began[i] = time.Now()
		if _, err := unix.Write(v.socket, p); err != nil {
			v.b.Error(err)
		}
	}
	receiving.Wait()
}

// receive ends when nothing has come for a while.
func (v *victim) receive() {
	buffer, control := make([]byte, MaxLength), make([]byte, 64)
	for received := 0; received < len(v.arrived); received++ {
		n, controlled, _, _, err := unix.Recvmsg(v.socket, buffer, control, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		p, reason := Parse(buffer[:n])
		value, ok := p.Attributes().Get(TypeProxyState)
		if reason != 0 || !ok || len(value) != 4 {
			v.b.Error("not an answer")
			return
		}
		stamp := *(*unix.Timespec)(unsafe.Pointer(&control[:controlled][unix.CmsgLen(0)]))
		v.arrived[binary.BigEndian.Uint32(value)] = time.Unix(stamp.Unix())
	}
}

// latencies are those of the requests from..to that were answered, in order.
func (v *victim) latencies(from, to int) (answered []time.Duration) {
	for i := from; i < to; i++ {
		if at := v.arrived[i]; !at.IsZero() {
			answered = append(answered, at.Sub(v.began[i].Round(0)))
		}
	}
	slices.Sort(answered)
	return answered
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*p/100]
}

// pin keeps this process on one core.
func pin(b *testing.B, core int) {
	var set unix.CPUSet
	set.Set(core)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	for _, thread := range threads {
		var id int
		_, _ = fmt.Sscan(thread.Name(), &id)
		if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH {
			b.Skip("needs two cores: ", err)
		}
	}
}

// floodServer is the server's process, which is this program again.
type floodServer struct {
	addr  netip.AddrPort
	pid   int
	ask   io.Writer
	reply *bufio.Scanner
}

type floodStats struct {
	read, dropped, answers uint64
	cpu                    time.Duration
	delay                  time.Duration // its threads wanted to run and did not
}

func startFloodServer(b *testing.B, work time.Duration) (s *floodServer, stop func()) {
	if runtime.NumCPU() < 2 {
		b.Skip("needs two cores")
	}
	c := exec.Command("/proc/self/exe", "-test.run", "^TestFloodServer$", "-test.v=false")
	c.Env = append(os.Environ(), floodServerVariable+"="+work.String(), "GOMAXPROCS=1")
	c.Stderr = os.Stderr
	ask, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ask.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
	})
	b.Cleanup(stop)
	s = &floodServer{pid: c.Process.Pid, ask: ask, reply: bufio.NewScanner(out)}
	if !s.reply.Scan() {
		b.Fatal("the server did not start")
	}
	s.addr = netip.MustParseAddrPort(s.reply.Text())
	return s, stop
}

func (s *floodServer) stats() (f floodStats) {
	fmt.Fprintln(s.ask)
	s.reply.Scan()
	_, _ = fmt.Sscan(s.reply.Text(), &f.read, &f.dropped, &f.answers, (*int64)(&f.cpu), (*int64)(&f.delay))
	return f
}

// TestFloodServer is the server of BenchmarkFlood: it says where it listens, and its
// counters for each line that it reads.
func TestFloodServer(t *testing.T) {
	work, err := time.ParseDuration(os.Getenv(floodServerVariable))
	if err != nil {
		t.Skip("only for BenchmarkFlood")
	}
	handler := func(w *Reply, r *Request) {
		for began := time.Now(); time.Since(began) < work; {
		}
		benchAccept(w, r)
	}
	var set unix.CPUSet
	set.Set(0)
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		var id int
		_, _ = fmt.Sscan(thread.Name(), &id)
		_ = unix.SchedSetaffinity(id, &set)
	}
	s := &Server{
		Handler: HandlerFunc(handler), NASes: floodNASes(),
		Auth: []string{"127.0.0.1:0"}, Listeners: 1,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(context.Background())
	auth, _ := s.Addrs()
	fmt.Println(auth[0])
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		stats := s.Stats()
		var usage syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		fmt.Println(stats.Received, stats.Dropped, stats.Sent, usage.Utime.Nano()+usage.Stime.Nano(), runDelay())
	}
}

// runDelay is for how long threads of this process wanted to run and did not.
func runDelay() (sum int64) {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		var ran, waited int64
		schedstat, _ := os.ReadFile("/proc/self/task/" + thread.Name() + "/schedstat")
		_, _ = fmt.Sscan(string(schedstat), &ran, &waited)
		sum += waited
	}
	return sum
}

// nasesByAddr is a NASLookup.
type nasesByAddr map[netip.Addr]*NAS

func (n nasesByAddr) LookupNAS(source netip.Addr) *NAS { return n[source] }

func floodNASes() nasesByAddr {
	n := nasesByAddr{}
	for _, addr := range [][4]byte{floodSource, victimAddr} {
		a := netip.AddrFrom4(addr)
		n[a] = &NAS{Name: strings.Replace(a.String(), "127.0.0.", "nas", 1), Secrets: [][]byte{floodSecret}, SingleHost: true}
	}
	return n
}
