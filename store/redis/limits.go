package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"radiusd/aaa"
)

// Waits implements [aaa.Limits]: while Redis is away, the local view answers at
// once.
func (s *Store) Waits() bool { return s.up.Load() }

// Reserve implements [aaa.Limits]. It takes one round trip, no longer than
// Options.Timeout. If Redis is away or fails, the local view decides, by the same
// limits.
func (s *Store) Reserve(r aaa.Reservation) aaa.Grant {
	if !s.up.Load() {
		return s.fallback(r, "away")
	}
	if s.mending.Load() {
		// Not all of this node's sessions are there yet.
		if g := s.opt.Local.Reserve(r); !g.Reserved {
			return g
		}
		s.opt.Local.Release(r.Username, r.Nonce)
	}
	g, err := s.reserve(r, false)
	if err != nil {
		if scriptFault(err) {
			s.metrics.faults.Inc()
			s.log.Error("Redis holds what cannot be read: this node's own view decides", "user", r.Username, "error", err)
		} else {
			s.fail(fmt.Errorf("reserve a place: %w", err))
		}
		return s.fallback(r, "failed")
	}
	if g.Reserved && r.Limit > 0 {
		s.opt.Local.Hold(r, g.Nonce)
	}
	return g
}

// fallback decides by this node's view, and remembers a place that it gives for
// when Redis is back.
func (s *Store) fallback(r aaa.Reservation, why string) aaa.Grant {
	s.metrics.fallbacks.WithLabelValues(why).Inc()
	g := s.opt.Local.Reserve(r)
	if g.Reserved && r.Limit > 0 {
		s.remember(r, g.Nonce)
	}
	return g
}

// What a reservation came to.
const (
	outcomeFull = iota
	outcomeReserved
	outcomeUsedUp
)

// reserve asks Redis. With force a place is taken whatever the limit.
func (s *Store) reserve(r aaa.Reservation, force bool) (g aaa.Grant, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Timeout)
	defer cancel()
	began := time.Now()
	keys := s.keys.user(r.Username)
	quotas, asked := s.appendQuotas(nil, &r)
	reply, err := s.scripts.reserve.Run(ctx, s.client, []string{keys.live, keys.usage},
		s.settings(false), s.appendRequest(nil, &r, force), quotas).Slice()
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	if err != nil {
		return g, err
	}
	return s.grant(&r, reply, asked)
}

// grant reads the script's reply.
func (s *Store) grant(r *aaa.Reservation, reply []any, asked []aaa.Period) (g aaa.Grant, err error) {
	if len(reply) != 3 {
		return g, errReply
	}
	outcome, _ := reply[0].(int64)
	nonce, ok := reply[1].(string)
	used, usedOK := reply[2].(string)
	if !ok || !usedOK || outcome == outcomeReserved && len(nonce) != len(g.Nonce) {
		return g, errReply
	}
	copy(g.Nonce[:], nonce)
	g.Reserved = outcome == outcomeReserved
	switch {
	case len(asked) == 0:
	case len(used) == 3*8*len(asked):
		for i, p := range asked {
			number := func(n int) uint64 { return binary.BigEndian.Uint64([]byte(used[8*(3*i+n):])) }
			g.Used[p] = aaa.Usage{Seconds: number(0), InputOctets: number(1), OutputOctets: number(2)}
		}
	default:
		// Nobody has asked for this user's usage before: the local view will do
		// until it has been read from the store.
		s.readUsage(r.Username)
		for _, p := range asked {
			g.Used[p] = s.opt.Local.Used(r.Username, p, r.At)
			if r.Quotas[p].UsedUp(g.Used[p]) && g.Reserved {
				g.Reserved = false
				s.Release(r.Username, g.Nonce)
			}
		}
	}
	return g, nil
}

var errReply = errors.New("a script's reply cannot be read")

// appendRequest encodes what the script compares.
func (s *Store) appendRequest(b []byte, r *aaa.Reservation, force bool) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(min(r.Limit, math.MaxInt32)))
	b = binary.BigEndian.AppendUint64(b, uint64(s.opt.ReservationTTL.Milliseconds()))
	forced := byte(0)
	if force {
		forced = 1
	}
	b = append(b, forced)
	b = append(b, r.Nonce[:]...)
	nas := nasOctets(r.NASAddr)
	device, named := deviceHash(nas, string(r.NASPortID), string(r.CallingStationID)), namedHash(nas, string(r.AcctSessionID))
	station := textHash(string(r.CallingStationID))
	b = append(append(b, device[:]...), named[:]...)
	b = append(b, nas[:]...)
	b = append(b, station[:]...)
	return append(b, r.NASID[:]...)
}

// appendQuotas encodes the quotas there are, and returns their periods.
func (s *Store) appendQuotas(b []byte, r *aaa.Reservation) ([]byte, []aaa.Period) {
	var asked []aaa.Period
	for p := range r.Quotas {
		q := &r.Quotas[p]
		if !q.Limits() {
			continue
		}
		asked = append(asked, aaa.Period(p))
		limits := byte(0)
		if q.LimitsSeconds {
			limits |= 1
		}
		if q.LimitsOctets {
			limits |= 2
		}
		b = append(b, limits)
		for _, n := range [...]uint64{s.today(r.At).starts[p], q.Seconds, q.Octets} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
	}
	return b, asked
}

// Release implements [aaa.Limits].
func (s *Store) Release(username string, nonce aaa.Nonce) {
	s.opt.Local.Release(username, nonce)
	s.forgetHeld(nonce)
	if !s.up.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Timeout)
	defer cancel()
	if err := s.client.HDel(ctx, s.keys.user(username).live, "R"+string(nonce[:])).Err(); err != nil {
		s.fail(fmt.Errorf("release a place: %w", err))
	}
}

// maxHeld bounds the places that are remembered while Redis is away.
const maxHeld = 10_000

// held is a place that was given while Redis was away.
type held struct {
	r     aaa.Reservation
	nonce aaa.Nonce
}

// remember keeps a place for when Redis is back, unless there are too many.
func (s *Store) remember(r aaa.Reservation, nonce aaa.Nonce) {
	r.AcctSessionID = append([]byte(nil), r.AcctSessionID...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) >= maxHeld {
		s.held = s.held[maxHeld/2:] // the oldest will lapse first
	}
	s.held = append(s.held, held{r, nonce})
}

func (s *Store) forgetHeld(nonce aaa.Nonce) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.held {
		if s.held[i].nonce == nonce {
			s.held = append(s.held[:i], s.held[i+1:]...)
			return
		}
	}
}

// giveHeld tells Redis of the places that were given without it, and have not
// lapsed.
func (s *Store) giveHeld() error {
	s.mu.Lock()
	list := s.held
	s.held = nil
	s.mu.Unlock()
	now := s.now()
	for i, h := range list {
		if now.Sub(h.r.At) >= s.opt.ReservationTTL {
			continue
		}
		h.r.Nonce = h.nonce
		if _, err := s.reserve(h.r, true); err != nil {
			s.mu.Lock()
			s.held = append(list[i:], s.held...)
			s.mu.Unlock()
			return fmt.Errorf("give the places that were taken meanwhile: %w", err)
		}
	}
	return nil
}
