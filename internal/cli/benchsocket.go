package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"radiusd/radius"
)

// quota is how many logins are left to begin, shared by all sockets.
type quota struct {
	limited bool
	left    atomic.Int64
}

func newQuota(count uint64) *quota {
	q := &quota{limited: count > 0}
	q.left.Store(int64(count))
	return q
}

// take reports whether one more may begin.
func (q *quota) take() bool { return !q.limited || q.left.Add(-1) >= 0 }

// benchSocket is one thread of a load, with a socket for each server: it keeps its
// slots busy until the source has nothing left for them, and waits for what is
// under way. All of it but the reading happens in one goroutine.
type benchSocket struct {
	source    benchSource
	addresses []string
	slots     int
	wait      time.Duration // before the first retransmission
	maxWait   time.Duration // between two of them
	giveUp    int           // transmissions; zero: never
	duration  time.Duration // zero: until the source ends
	interval  time.Duration // between requests; zero: as fast as answers come
	offset    time.Duration // of the first request
	sent      *atomic.Int64 // by all sockets, for the progress

	start     time.Time
	links     []*benchLink
	arrivals  chan arrival
	state     []benchSlot
	free      []int // slots that may send, a queue
	busy      int
	due       time.Duration // when the next request is due, since start
	nextRetry time.Duration // when to look for requests to send again
	late      []latePacket
	random    *rand.Rand

	requests, answers, wrong, lost, abandoned uint64
	retransmissions, repeats, dropped         uint64
	foreign                                   uint64
	latency                                   histogram
	firstWrong                                error
}

// benchSlot is a place for one request under way.
type benchSlot struct {
	packet     []byte // as sent last
	link       int    // where to
	identifier uint8
	since      time.Duration // when it was due, for the latency
	sent       time.Duration // for the first time
	retry      time.Duration // when to send it again
	pause      time.Duration // between the last two transmissions
	tries      int
	taken      []benchIdentifier // the request was sent with
	late       bool              // a copy of the packet is to come after its answer
	busy       bool
}

// benchIdentifier is an Identifier on a link.
type benchIdentifier struct {
	link       int
	identifier uint8
}

// latePacket is a copy of a packet that the network delivers late.
type latePacket struct {
	packet []byte
	link   int
	at     time.Duration
}

const (
	// latest is how late a copy of a packet can come.
	latest = 500 * time.Millisecond
	// mostLate bounds the copies that are still to come.
	mostLate = 1024
)

// run sends and receives until all is done. start is the same for all sockets.
func (b *benchSocket) run(ctx context.Context, start time.Time) (err error) {
	b.start, b.due = start, b.offset
	b.arrivals = make(chan arrival, len(b.addresses))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer func() {
		close(stop)
		for _, link := range b.links {
			link.close()
		}
		readers.Wait()
	}()
	for i, address := range b.addresses {
		link, err := newBenchLink(address)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		b.links = append(b.links, link)
		readers.Go(func() { link.read(i, b.arrivals, stop) })
	}
	b.state = make([]benchSlot, b.slots)
	b.free = make([]int, 0, 2*b.slots)
	for i := range b.state {
		b.free = append(b.free, i)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Since(start)
		pause, err := b.send(now, b.duration > 0 && now >= b.duration)
		if err != nil {
			return err
		}
		if b.busy == 0 && pause < 0 {
			return nil
		}
		if now >= b.nextRetry {
			b.nextRetry = now + b.wait/4
			if err := b.retry(now); err != nil {
				return err
			}
		}
		b.sendLate(now)
		if err := b.flush(); err != nil {
			return err
		}
		timer.Reset(b.untilWork(pause))
		select {
		case a := <-b.arrivals:
			if err := b.arrived(a); err != nil {
				return err
			}
		case <-timer.C:
		case <-ctx.Done():
			for i := range b.state {
				if b.state[i].busy {
					b.abandoned++
					b.source.lost(i)
				}
			}
			return nil
		}
	}
}

// untilWork is how long there is nothing to do unless an answer comes.
func (b *benchSocket) untilWork(pause time.Duration) time.Duration {
	wake := b.nextRetry
	if len(b.late) > 0 {
		wake = min(wake, b.late[0].at)
	}
	now := time.Since(b.start)
	switch {
	case pause > 0: // the source asks to wait
		wake = min(wake, now+pause)
	case pause == 0 && b.interval > 0 && len(b.free) > 0:
		wake = min(wake, b.due)
	}
	return max(wake-now, 0)
}

// send fills the free slots with what is due. It returns how long the source asks
// to wait, zero if it does not, and less if it has nothing left to send.
func (b *benchSocket) send(now time.Duration, ending bool) (pause time.Duration, err error) {
	for len(b.free) > 0 && (b.interval == 0 || b.due <= now) {
		i := b.free[0]
		if pause = b.source.begin(i, b.start.Add(now), ending); pause != 0 {
			if b.busy == 0 {
				b.due = max(b.due, now) // nothing that the server makes wait
			}
			return pause, nil
		}
		b.free = b.free[1:]
		slot := &b.state[i]
		slot.busy, slot.tries, slot.late, slot.pause = true, 0, false, b.wait
		slot.since, slot.sent = now, now
		if b.interval > 0 {
			slot.since = b.due
			b.due += b.interval
		}
		b.busy++
		b.requests++
		b.sent.Add(1)
		if err := b.transmit(i, now); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// transmit sends the slot's request, for the first time or again, or loses it, as
// the source says.
func (b *benchSocket) transmit(i int, now time.Duration) error {
	slot := &b.state[i]
	fate := b.source.fate(i, slot.tries, now-slot.sent)
	if fate.renew || slot.tries == 0 || fate.link != slot.link {
		link := b.links[fate.link]
		identifier, ok := link.take(i)
		switch {
		case ok:
			packet, err := b.source.encode(slot.packet[:0], i, identifier, now-slot.sent)
			if err != nil {
				return fmt.Errorf("bench: make a request: %w", err)
			}
			slot.packet, slot.link, slot.identifier = packet, fate.link, identifier
			slot.taken = append(slot.taken, benchIdentifier{fate.link, identifier})
		case slot.tries == 0:
			return fmt.Errorf("bench: no Identifier is free for a request") // there are fewer slots
		}
	}
	link := b.links[slot.link]
	link.expect(slot.identifier, slot.packet, fate.loseAnswer)
	slot.tries++
	// RFC 5080 section 2.2.1: doubled each time, with jitter.
	jittered := time.Duration(float64(slot.pause) * (0.9 + 0.2*b.random.Float64()))
	slot.retry = now + jittered
	slot.pause = min(2*slot.pause, b.maxWait)
	if fate.lose {
		b.dropped++
		return nil
	}
	slot.late = slot.late || fate.repeatLate
	link.queue(slot.packet)
	if fate.repeat {
		b.repeats++
		link.queue(slot.packet)
	}
	return nil
}

// retry sends again what has waited too long, and gives up what was sent often
// enough or nobody waits for any more.
func (b *benchSocket) retry(now time.Duration) error {
	for i := range b.state {
		slot := &b.state[i]
		switch {
		case !slot.busy:
		case b.source.forgotten(i):
			b.abandoned++
			b.source.lost(i)
			b.release(i)
		case slot.retry > now:
		case b.giveUp > 0 && slot.tries >= b.giveUp:
			b.lost++
			b.source.lost(i)
			b.release(i)
		default:
			b.retransmissions++
			if err := b.transmit(i, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush hands what is queued to the network.
func (b *benchSocket) flush() error {
	for i, link := range b.links {
		switch err := link.flush(); {
		case err == nil:
		case errors.Is(err, syscall.ECONNREFUSED):
			if err := b.refused(i); err != nil {
				return err
			}
		default:
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}

// sendLate sends the copies that the network has held back until now.
func (b *benchSocket) sendLate(now time.Duration) {
	n := 0
	for ; n < len(b.late) && b.late[n].at <= now; n++ {
		b.repeats++
		b.links[b.late[n].link].queue(b.late[n].packet)
	}
	if n > 0 {
		b.late = append(b.late[:0], b.late[n:]...)
	}
}

// arrived takes a batch of answers.
func (b *benchSocket) arrived(a arrival) error {
	if a.err != nil {
		return fmt.Errorf("bench: %w", a.err)
	}
	if a.refused {
		return b.refused(a.link)
	}
	now := time.Since(b.start)
	for _, datagram := range a.datagrams {
		b.answer(a.link, datagram, now)
	}
	b.links[a.link].reuse(a)
	return nil
}

// refused is what to do when the network says that nothing listens: go on, since a
// server that is being started again is waited for, unless there never was one.
func (b *benchSocket) refused(link int) error {
	patience := 2 * b.wait
	if b.giveUp == 0 {
		patience = max(patience, 15*time.Second)
	}
	if b.answers == 0 && time.Since(b.start) > patience {
		return fmt.Errorf("%s: nothing listens on that port", b.addresses[link])
	}
	return nil
}

// answer matches a datagram to the request that waits for it.
func (b *benchSocket) answer(from int, datagram []byte, now time.Duration) {
	p, discard := radius.Parse(datagram)
	if discard != 0 {
		b.foreign++
		return
	}
	expected := &b.links[from].expected[p.Identifier()]
	if !expected.taken {
		b.foreign++
		return
	}
	i := int(expected.slot)
	if expected.lose {
		b.dropped++
		return
	}
	err := b.source.answered(i, p, &expected.authenticator)
	if errors.Is(err, errUnverified) {
		b.foreign++ // not from the server, or not to this request
		return
	}
	slot := &b.state[i]
	b.answers++
	b.latency.add(now - slot.since)
	if err != nil {
		b.wrong++
		if b.firstWrong == nil {
			b.firstWrong = err
		}
	}
	if slot.late && len(b.late) < mostLate {
		at := now + time.Duration(b.random.Int64N(int64(latest)))
		if n := len(b.late); n > 0 {
			at = max(at, b.late[n-1].at) // in order
		}
		b.late = append(b.late, latePacket{packet: append([]byte(nil), slot.packet...), link: slot.link, at: at})
	}
	b.release(i)
}

// release frees the slot and every Identifier that its request was sent with.
func (b *benchSocket) release(i int) {
	slot := &b.state[i]
	for _, used := range slot.taken {
		b.links[used.link].give(used.identifier)
	}
	slot.taken, slot.busy = slot.taken[:0], false
	b.busy--
	b.free = append(b.free, i)
}

// errUnverified is an answer whose signatures do not fit: it is as if it had not
// come.
var errUnverified = errors.New("signature does not verify")

// verifyAnswer checks the signatures of an answer, and that Message-Authenticator
// comes first where it has to (CVE-2024-3596).
func verifyAnswer(h *radius.Hasher, answer radius.Packet, authenticator *[16]byte, protected bool) error {
	if !h.VerifyResponse(answer, authenticator) {
		return errUnverified
	}
	switch h.VerifyMessageAuthenticator(answer, authenticator) {
	case radius.MessageAuthenticatorInvalid:
		return errUnverified
	case radius.MessageAuthenticatorAbsent:
		if protected {
			return errors.New("the answer has no Message-Authenticator")
		}
		return nil
	}
	if protected && radius.Type(answer[radius.HeaderLength]) != radius.TypeMessageAuthenticator {
		return errors.New("Message-Authenticator is not the first attribute of the answer")
	}
	return nil
}
