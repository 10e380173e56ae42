package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"radiusd/radius"
)

// quota is how many logins or sessions are left to begin, shared by all sockets.
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

// benchSocket is one socket with its goroutine: it keeps its slots busy until
// the source has nothing left for them, and waits for what is under way.
type benchSocket struct {
	source   benchSource
	server   string
	slots    int
	wait     time.Duration // before a retransmission
	tries    int
	duration time.Duration // zero: until the source ends
	interval time.Duration // between requests; zero: as fast as answers come
	offset   time.Duration // of the first request
	sent     *atomic.Int64 // by all sockets, for the progress

	conn      *net.UDPConn
	start     time.Time
	state     []benchSlot
	free      []int // slots that may send, a queue
	busy      int
	due       time.Duration // when the next request is due, since start
	nextRetry time.Duration // when to look for requests to send again
	wake      time.Duration // the read deadline that is set

	requests, answers, wrong, lost uint64
	retransmissions, foreign       uint64
	latency                        histogram
	firstWrong                     error
}

// benchSlot is a place for one request under way. Its number is the request's
// identifier.
type benchSlot struct {
	packet []byte
	since  time.Duration // when it was due, for the latency
	retry  time.Duration // when to send it again
	tries  int
	busy   bool
}

// run sends and receives until all is done. start is the same for all sockets.
func (b *benchSocket) run(ctx context.Context, start time.Time) error {
	conn, err := net.Dial("udp", b.server)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	b.conn, b.start, b.due = conn.(*net.UDPConn), start, b.offset
	defer b.conn.Close()
	_ = b.conn.SetReadBuffer(1 << 20) // what the system grants is enough
	defer context.AfterFunc(ctx, func() { _ = b.conn.SetReadDeadline(time.Unix(1, 0)) })()

	b.state = make([]benchSlot, b.slots)
	b.free = make([]int, 0, 2*b.slots)
	for i := range b.state {
		b.state[i].packet = make([]byte, 0, 512)
		b.free = append(b.free, i)
	}
	buf := make([]byte, radius.MaxLength)
	for ctx.Err() == nil {
		now := time.Since(start)
		if err := b.send(now, b.duration > 0 && now >= b.duration); err != nil {
			return err
		}
		if b.busy == 0 && len(b.free) == 0 {
			return nil
		}
		if now >= b.nextRetry {
			b.nextRetry = now + b.wait/4
			if err := b.retry(now); err != nil {
				return err
			}
		}
		if err := b.receive(buf); err != nil {
			return err
		}
	}
	return nil
}

// send fills the free slots with what is due. A slot for which the source has
// nothing more does not come back.
func (b *benchSocket) send(now time.Duration, ending bool) error {
	for len(b.free) > 0 && (b.interval == 0 || b.due <= now) {
		i := b.free[0]
		b.free = b.free[1:]
		slot := &b.state[i]
		packet, ok, err := b.source.append(slot.packet[:0], i, uint8(i), ending)
		if err != nil {
			return fmt.Errorf("bench: make a request: %w", err)
		}
		if !ok {
			continue
		}
		slot.packet, slot.busy, slot.tries = packet, true, 1
		slot.since, slot.retry = now, now+b.wait
		if b.interval > 0 {
			slot.since = b.due
			b.due += b.interval
		}
		b.busy++
		b.requests++
		b.sent.Add(1)
		if err := b.write(slot.packet); err != nil {
			return err
		}
	}
	return nil
}

// write sends a packet. What the network refuses now is a lost packet.
func (b *benchSocket) write(packet []byte) error {
	_, err := b.conn.Write(packet)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return b.refused()
	}
	if err == nil || errors.Is(err, syscall.ENOBUFS) {
		return nil
	}
	return fmt.Errorf("bench: %w", err)
}

// receive takes one answer, or comes back when something else is to be done.
func (b *benchSocket) receive(buf []byte) error {
	wake := b.nextRetry
	if b.interval > 0 && len(b.free) > 0 {
		wake = min(wake, b.due)
	}
	if wake != b.wake {
		b.wake = wake
		if err := b.conn.SetReadDeadline(b.start.Add(wake)); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	n, err := b.conn.Read(buf)
	switch {
	case err == nil:
		b.answer(buf[:n])
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, syscall.ECONNREFUSED):
		return b.refused()
	default:
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// refused is what to do when the network says that nothing listens: go on, since a
// server that is being started again is waited for, unless there never was one.
func (b *benchSocket) refused() error {
	if b.answers == 0 && time.Since(b.start) > 2*b.wait {
		return fmt.Errorf("%s: nothing listens on that port", b.server)
	}
	return nil
}

// answer matches a datagram to the request that waits for it.
func (b *benchSocket) answer(datagram []byte) {
	p, discard := radius.Parse(datagram)
	if discard != 0 || int(p.Identifier()) >= len(b.state) || !b.state[p.Identifier()].busy {
		b.foreign++
		return
	}
	i := int(p.Identifier())
	slot := &b.state[i]
	err := b.source.answered(i, p, (*[16]byte)(slot.packet[4:20]))
	if errors.Is(err, errUnverified) {
		b.foreign++ // not from the server, or not to this request
		return
	}
	b.answers++
	b.latency.add(time.Since(b.start) - slot.since)
	if err != nil {
		b.wrong++
		if b.firstWrong == nil {
			b.firstWrong = err
		}
	}
	b.release(i)
}

// retry sends again what has waited too long, and gives up what was sent often
// enough.
func (b *benchSocket) retry(now time.Duration) error {
	for i := range b.state {
		slot := &b.state[i]
		if !slot.busy || slot.retry > now {
			continue
		}
		if slot.tries >= b.tries {
			b.lost++
			b.source.lost(i)
			b.release(i)
			continue
		}
		slot.tries++
		slot.retry = now + b.wait
		b.retransmissions++
		if err := b.write(slot.packet); err != nil {
			return err
		}
	}
	return nil
}

func (b *benchSocket) release(i int) {
	b.state[i].busy = false
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
