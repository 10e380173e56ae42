//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The generator is a program of its own beside `radiusd bench`, which plays whole NASes,
// their clocks, retransmissions and lost packets, makes each packet when it is sent, and
// so costs about as much as the server that it loads. This one costs less than what it
// measures: its requests are signed before the load begins, are read and written in
// batches by one thread, and the answers are checked in place.

// A generator loads one server from several sockets, each of which is a NAS.
type generator struct {
	source      source
	sockets     []*genSocket
	mixed       bool // any socket sends for any NAS
	concurrency int
	interval    float64 // ns between requests; 0: as fast as answers come
	due         float64 // when the next request is, in ns since start
	busy        int
	next        int // the socket whose turn it is
	start       time.Time
	from, to    int64 // what is measured, ns since start
	polled      []unix.PollFd
	begun       *os.File    // closed when it begins to count, if there is one
	end         atomic.Bool // it is to count no longer
	out         *batch
	in          *batch
	buffers     [batchSize]answerBuffer

	counts
	latency   histogram
	reads     uint64
	firstFail error
}

// genSocket is a socket and what is under way on it.
type genSocket struct {
	fd    int
	slots [256]genSlot
	free  []uint8 // Identifiers, the one that rests longest first
}

type genSlot struct {
	request []byte
	since   int64 // when it was due, ns since start
	busy    bool
}

func (g *generator) open(to netip.AddrPort, sockets int) error {
	for i := range sockets {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		growBuffers(fd, 1<<20)
		g.polled = append(g.polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		local := &unix.SockaddrInet4{Addr: nasAddress(i)}
		if g.mixed {
			local.Addr = [4]byte{}
		}
		if err := unix.Bind(fd, local); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
		if g.mixed {
			// Not connected: it has many addresses.
		} else if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		s := &genSocket{fd: fd, free: make([]uint8, 0, 512)}
		for id := range 256 {
			s.free = append(s.free, uint8(id))
		}
		g.sockets = append(g.sockets, s)
	}
	for i := range g.buffers {
		g.in.set(i, g.buffers[i].packet())
		g.out.names[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4(), Port: networkOrder(to.Port())}
	}
	return nil
}

func (g *generator) close() {
	for _, p := range g.polled {
		unix.Close(int(p.Fd))
	}
}

// networkOrder is a port as raw addresses have it.
func networkOrder(port uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, port))
}

func (g *generator) now() int64 { return int64(time.Since(g.start)) }

// run loads the server and reports what was between warm-up and end.
func (g *generator) run(ctx context.Context, warmup, duration time.Duration, watch int, core string) (*load, error) {
	g.start = time.Now()
	begin, end := int64(warmup), int64(warmup+duration)
	g.from, g.to = begin, end
	report := new(load)
	var before counts
	var readsBefore uint64
	var clocksBefore clocks
	var measuredFrom int64
	var nextScan int64
	measuring, done := false, false
	for {
		now := g.now()
		switch {
		case !measuring && !done && now >= begin:
			measuring, before, readsBefore, measuredFrom = true, g.counts, g.reads, now
			g.latency = histogram{}
			var err error
			if clocksBefore, err = readClocks(watch, core); err != nil {
				return nil, err
			}
			if g.begun != nil {
				g.begun.Close()
			}
		case measuring && (now >= end || g.end.Load()):
			measuring, done = false, true
			g.to = now
			clocks, err := readClocks(watch, core)
			if err != nil {
				return nil, err
			}
			report.ServerCPU, report.OwnCPU = clocks.server-clocksBefore.server, clocks.own-clocksBefore.own
			report.CoreCPU, report.Elapsed = clocks.core-clocksBefore.core, time.Duration(now-measuredFrom)
			report.counts = g.counts.since(before)
			report.P50, report.P99, report.Max = g.latency.quantile(0.5), g.latency.quantile(0.99), g.latency.quantile(1)
			report.BatchSize = float64(report.Answers) / float64(max(1, g.reads-readsBefore))
		}
		if done && g.busy == 0 || ctx.Err() != nil {
			break
		}
		if !done {
			if err := g.send(now); err != nil {
				return nil, err
			}
		}
		got, err := g.receive()
		if err != nil {
			return nil, err
		}
		if now >= nextScan {
			nextScan = now + int64(50*time.Millisecond)
			g.giveUp(now)
		}
		if got == 0 {
			if err := g.sleep(now); err != nil {
				return nil, err
			}
		}
	}
	report.Total, report.Lost = g.Answers, g.Lost // also what was lost after the end
	if g.firstFail != nil {
		report.FirstError = g.firstFail.Error()
	}
	return report, ctx.Err()
}

// send sends what is due, from one socket after the other.
func (g *generator) send(now int64) error {
	for range g.sockets {
		n := min(g.concurrency-g.busy, batchSize)
		if g.interval > 0 {
			n = min(batchSize, int((float64(now)-g.due)/g.interval))
		}
		if n <= 0 {
			return nil
		}
		if g.interval == 0 { // what is under way is spread evenly
			share := (g.concurrency + len(g.sockets) - 1) / len(g.sockets)
			n = min(n, share-256+len(g.sockets[g.next].free))
		}
		if err := g.sendFrom(g.next, n, now); err != nil {
			return err
		}
		g.next = (g.next + 1) % len(g.sockets)
	}
	return nil
}

// sendFrom sends at most n requests from a socket.
func (g *generator) sendFrom(socket, n int, now int64) error {
	s := g.sockets[socket]
	n = min(n, len(s.free))
	if n <= 0 {
		return nil
	}
	for i := range n {
		slot := &s.slots[s.free[i]]
		slot.request = g.source.request(socket, int(s.free[i]))
		slot.busy, slot.since = true, now
		if g.interval > 0 {
			slot.since = int64(g.due)
			g.due += g.interval
		}
		g.out.set(i, slot.request)
		if g.mixed {
			g.out.from(i, sourceOf(slot.request))
		}
	}
	for sent := 0; sent < n; {
		k, errno := g.out.call(unix.SYS_SENDMMSG, uintptr(s.fd), sent, n)
		switch errno {
		case 0:
			sent += k
		case unix.EAGAIN, unix.ENOBUFS: // the send buffer is full of what the server does not read
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, 100); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		case unix.ECONNREFUSED:
			return errors.New("nothing listens on the server's port")
		default:
			return fmt.Errorf("sendmmsg: %w", errno)
		}
	}
	s.free = append(s.free[:0], s.free[n:]...)
	g.busy += n
	g.Requests += uint64(n)
	return nil
}

// receive takes what has come to all sockets, one batch of each.
func (g *generator) receive() (got int, err error) {
	for socket, s := range g.sockets {
		if len(s.free) == 256 {
			continue // nothing is under way
		}
		n, errno := g.in.call(unix.SYS_RECVMMSG, uintptr(s.fd), 0, batchSize)
		switch errno {
		case 0:
		case unix.EAGAIN:
			continue
		case unix.ECONNREFUSED:
			return 0, errors.New("nothing listens on the server's port")
		default:
			return 0, fmt.Errorf("recvmmsg: %w", errno)
		}
		got += n
		g.reads++
		now := g.now()
		for i := range n {
			g.answer(socket, s, &g.buffers[i], g.in.length(i), now)
		}
	}
	return got, nil
}

// answer judges one datagram.
func (g *generator) answer(socket int, s *genSocket, b *answerBuffer, n int, now int64) {
	p := b.packet()
	if n < headerLength || !s.slots[p[1]].busy {
		g.Unexpected++
		return
	}
	identifier := p[1]
	slot := &s.slots[identifier]
	switch g.source.verify(b, n, slot.request) {
	case unverified: // as if it had not come
		g.Unverified++
		g.fail(fmt.Errorf("an answer to Identifier %d of socket %d is not signed as it should be", identifier, socket))
		return
	case wrongCode:
		g.Wrong++
		g.fail(fmt.Errorf("an answer has code %d", p[0]))
	}
	g.Answers++
	g.latency.add(now - slot.since)
	g.release(s, identifier)
}

func (g *generator) fail(err error) {
	if g.firstFail == nil {
		g.firstFail = err
	}
}

func (g *generator) release(s *genSocket, identifier uint8) {
	s.slots[identifier].busy = false
	s.free = append(s.free, identifier)
	g.busy--
}

// giveUp frees the Identifiers of what is lost.
func (g *generator) giveUp(now int64) {
	for _, s := range g.sockets {
		if len(s.free) == 256 {
			continue
		}
		for i := range s.slots {
			if slot := &s.slots[i]; slot.busy && now-slot.since > int64(waitForAnswer) {
				if slot.since >= g.from && slot.since < g.to {
					g.Lost++
				}
				g.release(s, uint8(i))
			}
		}
	}
}

// sleep waits for an answer, or until a request is due. At a rate it does not wake more
// often than every 50 µs for requests alone.
func (g *generator) sleep(now int64) error {
	wait := int64(20 * time.Millisecond)
	if g.interval > 0 {
		wait = min(wait, max(int64(g.due+g.interval)-now, int64(50*time.Microsecond)))
	}
	timeout := unix.NsecToTimespec(wait)
	if _, err := unix.Ppoll(g.polled, &timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}
