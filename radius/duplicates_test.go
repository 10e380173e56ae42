package radius_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

// counted counts the calls of a handler.
func counted(calls *atomic.Int64, next radius.HandlerFunc) radius.Handler {
	return radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		calls.Add(1)
		next(w, r)
	})
}

func TestSameRequestTenTimes(t *testing.T) {
	var calls atomic.Int64
	// The reply differs each time that it is made.
	s := serve(t, counted(&calls, func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Code() == radius.AccessRequest {
			w.SetCode(radius.AccessAccept)
		}
		w.AddUint32(radius.TypeSessionTimeout, uint32(calls.Load()))
		w.Send()
	}))
	for name, c := range map[string]struct {
		p *peer
		r radius.Packet
	}{
		"access":                {dial(t, s.auth), request(radius.AccessRequest, 1, testSecret, signed)},
		"accounting":            {dial(t, s.acct), request(radius.AccountingRequest, 1, testSecret)},
		"accounting with M.-A.": {dial(t, s.acct), request(radius.AccountingRequest, 1, testSecret, signed)},
	} {
		t.Run(name, func(t *testing.T) {
			before, repeated := calls.Load(), s.Stats().Repeated
			first := c.p.exchange(c.r)
			for range 9 {
				require.Equal(t, first, c.p.exchange(c.r))
			}
			require.EqualValues(t, 1, calls.Load()-before)
			require.EqualValues(t, 9, s.Stats().Repeated-repeated)
		})
	}
}

// In one batch, too: the reply to the first is not written yet when the others come.
func TestSameRequestAtOnce(t *testing.T) {
	var calls atomic.Int64
	entered, proceed := make(chan struct{}), make(chan struct{})
	s := serve(t, counted(&calls, func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Identifier() == 0 { // holds the listener up while the others arrive
			close(entered)
			<-proceed
		}
		w.SetCode(radius.AccessAccept)
		w.Send()
	}))
	p := dial(t, s.auth)
	stopper := request(radius.AccessRequest, 0, testSecret, signed)
	p.send(stopper)
	<-entered
	r := request(radius.AccessRequest, 1, testSecret, signed)
	for range 10 {
		p.send(r)
	}
	close(proceed)
	p.verify(stopper, p.receive())
	first := p.receive()
	p.verify(r, first)
	for range 9 {
		require.Equal(t, first, p.receive())
	}
	require.EqualValues(t, 2, calls.Load())
}

// held is a handler that hands its replies to the test.
func held(replies chan<- *radius.Reply) radius.HandlerFunc {
	return func(w *radius.Reply, r *radius.Request) {
		w.SetCode(radius.AccessAccept)
		if r.Packet.Code() == radius.AccountingRequest {
			w.SetCode(radius.AccountingResponse)
		}
		w.Hold()
		replies <- w
	}
}

func TestInProgressIsSilence(t *testing.T) {
	replies := make(chan *radius.Reply, 16)
	s := serve(t, held(replies))
	for name, c := range map[string]struct {
		p *peer
		r radius.Packet
	}{
		"access":     {dial(t, s.auth), request(radius.AccessRequest, 1, testSecret, signed, with(radius.TypeProxyState, "one"), with(radius.TypeProxyState, "two"))},
		"accounting": {dial(t, s.acct), request(radius.AccountingRequest, 1, testSecret)},
	} {
		t.Run(name, func(t *testing.T) {
			if c.r.Code() == radius.AccessRequest {
				c.r = request(radius.AccessRequest, 1, testSecret, with(radius.TypeProxyState, "one"), with(radius.TypeProxyState, "two"), signed)
			}
			before := s.Stats().Discards[radius.DiscardDuplicateInProgress]
			for range 5 {
				c.p.send(c.r)
			}
			c.p.silent()
			w := <-replies
			require.Empty(t, replies, "one call of the handler")
			require.Equal(t, 1, s.Stats().InFlight)
			w.Send()
			reply := c.p.receive()
			c.p.verify(c.r, reply)
			if c.r.Code() == radius.AccessRequest {
				require.Equal(t, []string{"one", "two"}, values(reply, radius.TypeProxyState))
			}
			// The sender makes it available to duplicates after it has written it.
			require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
			require.Equal(t, reply, c.p.exchange(c.r))
			require.EqualValues(t, 4, s.Stats().Discards[radius.DiscardDuplicateInProgress]-before)
		})
	}
}

func values(p radius.Packet, t radius.Type) (all []string) {
	for at, value := range p.Attributes().All() {
		if at == t {
			all = append(all, string(value))
		}
	}
	return all
}

// A new authenticator on the same port and Identifier is a new request, which
// replaces the old one (RFC 5080 section 2.2.2).
func TestAnotherAuthenticatorReplaces(t *testing.T) {
	t.Run("one that was answered", func(t *testing.T) {
		var calls atomic.Int64
		s := serve(t, counted(&calls, accept))
		p := dial(t, s.auth)
		for i := range 100 {
			p.exchange(request(radius.AccessRequest, 1, testSecret, authenticator(uint64(i)), signed))
		}
		require.EqualValues(t, 100, calls.Load())
		require.Equal(t, 1, s.Stats().Entries)
	})
	t.Run("one in progress", func(t *testing.T) {
		replies := make(chan *radius.Reply, 16)
		s := serve(t, held(replies))
		p := dial(t, s.auth)
		older := request(radius.AccessRequest, 1, testSecret, authenticator(1), signed)
		newer := request(radius.AccessRequest, 1, testSecret, authenticator(2), signed)
		p.send(older)
		p.send(newer)
		first, second := <-replies, <-replies
		first.Send()
		require.Equal(t, map[radius.Discard]uint64{radius.DiscardReplaced: 1}, s.Stats().Discards)
		second.Send()
		p.verify(newer, p.receive())
		p.silent()
		require.Equal(t, 1, s.Stats().Entries)
		require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
	})
	t.Run("discarded late", func(t *testing.T) {
		replies := make(chan *radius.Reply, 16)
		s := serve(t, held(replies))
		p := dial(t, s.auth)
		p.send(request(radius.AccessRequest, 1, testSecret, authenticator(1), signed))
		newer := request(radius.AccessRequest, 1, testSecret, authenticator(2), signed)
		p.send(newer)
		first, second := <-replies, <-replies
		first.Discard(radius.DiscardNotRecorded)
		second.Send()
		p.verify(newer, p.receive())
		require.Equal(t, map[radius.Discard]uint64{radius.DiscardReplaced: 1}, s.Stats().Discards)
	})
}

// A packet that fails verification never touches the table: it neither takes the
// place of a request nor gets its answer.
func TestForgeryDoesNotTouchTheTable(t *testing.T) {
	s := serve(t, accept)
	p := dial(t, s.auth)
	r := request(radius.AccessRequest, 1, testSecret, signed)
	reply := p.exchange(r)
	forged := append(radius.Packet(nil), r...)
	forged[len(forged)-1] ^= 1
	p.send(forged)
	p.send(request(radius.AccessRequest, 1, []byte("forged"), authenticator(9), signed))
	p.silent()
	require.Equal(t, reply, p.exchange(r))
	require.EqualValues(t, 1, s.Stats().Repeated)
	require.EqualValues(t, 2, s.Stats().Discards[radius.DiscardMessageAuthenticatorInvalid])
}

// Ports are told apart, and so are codes.
func TestSameIdentifierFromAnotherPort(t *testing.T) {
	var calls atomic.Int64
	s := serve(t, counted(&calls, accept))
	r := request(radius.AccessRequest, 1, testSecret, signed)
	dial(t, s.auth).exchange(r)
	dial(t, s.auth).exchange(r)
	require.EqualValues(t, 2, calls.Load())
	require.Equal(t, 2, s.Stats().Entries)
}

func TestDiscardForgets(t *testing.T) {
	t.Run("on the listener", func(t *testing.T) {
		var calls atomic.Int64
		s := serve(t, counted(&calls, func(w *radius.Reply, r *radius.Request) {
			if calls.Load() < 3 {
				w.Discard(radius.DiscardNotRecorded)
				return
			}
			w.Send()
		}))
		p := dial(t, s.acct)
		r := request(radius.AccountingRequest, 1, testSecret)
		p.send(r)
		p.send(r)
		p.exchange(r)
		require.EqualValues(t, 3, calls.Load())
		require.Equal(t, map[radius.Discard]uint64{radius.DiscardNotRecorded: 2}, s.Stats().Discards)
	})
	t.Run("held", func(t *testing.T) {
		replies := make(chan *radius.Reply, 16)
		s := serve(t, held(replies))
		p := dial(t, s.acct)
		r := request(radius.AccountingRequest, 1, testSecret)
		p.send(r)
		(<-replies).Discard(radius.DiscardNotRecorded)
		require.Zero(t, s.Stats().InFlight)
		p.send(r)
		(<-replies).Send()
		p.verify(r, p.receive())
		require.Equal(t, 1, s.Stats().Entries)
	})
}

// More requests than a table holds: the oldest are forgotten, memory is bounded,
// and everybody gets an answer.
func TestTableIsBounded(t *testing.T) {
	const entries = 100
	s := serve(t, accept, func(s *radius.Server) { s.DuplicateEntries = entries })
	for range 4 {
		p := dial(t, s.auth)
		for i := range 200 {
			p.exchange(request(radius.AccessRequest, uint8(i), testSecret, signed))
		}
	}
	require.Equal(t, entries, s.Stats().Entries)
	require.Empty(t, s.Stats().Discards)
}

// When it is full of requests in progress, new ones are shed until one is ended.
func TestTableFullOfRequestsInProgress(t *testing.T) {
	const entries = 64
	replies := make(chan *radius.Reply, 2*entries)
	s := serve(t, held(replies), func(s *radius.Server) { s.DuplicateEntries = entries })
	p := dial(t, s.auth)
	for i := range entries + 1 {
		p.send(request(radius.AccessRequest, uint8(i), testSecret, signed))
	}
	p.silent()
	require.Equal(t, map[radius.Discard]uint64{radius.DiscardOverload: 1}, s.Stats().Discards)
	for range entries {
		(<-replies).Send()
		p.receive()
	}
	require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
	last := request(radius.AccessRequest, entries, testSecret, signed)
	p.send(last)
	(<-replies).Send()
	p.verify(last, p.receive())
}
