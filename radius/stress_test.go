package radius_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

// Replies change owners between listener, pool, timer, sender and table. Here all of
// that happens at once, on tables so small that entries are evicted all the time, with
// repeats and reused Identifiers. Whatever comes back must be the answer to a request
// that this client has sent: signed for its authenticator and carrying its name.
func TestOwnershipUnderStress(t *testing.T) {
	const clients, requests = 8, 2000
	var holders sync.WaitGroup
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		name, _ := r.Packet.Attributes().Get(radius.TypeUserName)
		w.Add(radius.TypeClass, name)
		w.SetCode(radius.AccessAccept)
		choice := name[0]
		if choice&1 == 0 {
			w.DelayUntil(time.Duration(choice) * 20 * time.Microsecond)
		}
		switch choice % 7 {
		case 0, 1, 2:
			w.Send()
		case 3:
			w.Hold()
			holders.Go(w.Send)
		case 4:
			w.Discard(radius.DiscardHandler)
		case 5:
			w.Hold()
			holders.Go(func() { w.Discard(radius.DiscardHandler) })
		case 6:
			w.Defer(func(w *radius.Reply, r *radius.Request) {
				name, _ := r.Packet.Attributes().Get(radius.TypeUserName)
				w.Reset()
				w.Add(radius.TypeClass, name)
				w.Send()
			})
		}
	}), func(s *radius.Server) { s.DuplicateEntries, s.QueueLength, s.DelayLength, s.Listeners = 1, 32, 64, 2 })

	var wg sync.WaitGroup
	for seed := range clients {
		p := dial(t, s.auth)
		wg.Go(func() { stress(t, p, uint64(seed), requests) })
	}
	wg.Wait()
	require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
	holders.Wait()
	stats := s.Stats()
	require.LessOrEqual(t, stats.Entries, 2*64)
	require.Zero(t, stats.Panics)
	t.Logf("%d answers, %d repeats, discards: %v", stats.Answers[radius.AccessRequest][radius.AccessAccept], stats.Repeated, stats.Discards)
	require.NotZero(t, stats.Repeated)
	require.NotZero(t, stats.Discards[radius.DiscardReplaced])
	require.NotZero(t, stats.Answers[radius.AccessRequest][radius.AccessAccept])
}

// stress sends requests without waiting for each and checks what comes back.
func stress(t *testing.T, p *peer, seed uint64, requests int) {
	random := rand.New(rand.NewPCG(seed, 1))
	h := radius.NewHasher(testSecret)
	sent := make(map[uint8][]radius.Packet) // by Identifier
	buf := make([]byte, radius.MaxLength)
	receive := func(wait time.Duration) bool {
		if !assert.NoError(t, p.SetReadDeadline(time.Now().Add(wait))) {
			return false
		}
		n, err := p.Read(buf)
		if err != nil {
			return !assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
		reply, reason := radius.Parse(buf[:n])
		if !assert.Zero(t, reason) {
			return false
		}
		for _, r := range sent[reply.Identifier()] {
			if !h.VerifyResponse(reply, r.Authenticator()) {
				continue
			}
			want, _ := r.Attributes().Get(radius.TypeUserName)
			got, _ := reply.Attributes().Get(radius.TypeClass)
			return assert.Equal(t, want, got) &&
				assert.Equal(t, radius.MessageAuthenticatorValid, h.VerifyMessageAuthenticator(reply, r.Authenticator()))
		}
		return assert.Fail(t, "an answer to nothing that was asked")
	}
	for i := range requests {
		id := uint8(random.Uint32N(40))
		all := sent[id]
		var r radius.Packet
		if len(all) > 0 && random.Uint32N(3) == 0 {
			r = all[len(all)-1] // a repeat
		} else {
			name := fmt.Sprintf("%c%d/%d", 'A'+random.Uint32N(26), seed, i)
			r = request(radius.AccessRequest, id, testSecret, authenticator(random.Uint64()), with(radius.TypeUserName, name), signed)
			sent[id] = append(all, r)
		}
		if _, err := p.Write(r); !assert.NoError(t, err) {
			return
		}
		if i%8 == 7 {
			receive(100 * time.Microsecond)
		}
	}
	for receive(200 * time.Millisecond) {
		if t.Failed() {
			return
		}
	}
}

// NASes come and go while packets arrive; each sees the one of its moment.
func TestReloadUnderLoad(t *testing.T) {
	s := serve(t, accept, func(s *radius.Server) { s.NASes = &changing{} })
	p := dial(t, s.auth)
	for i := range 1000 {
		p.exchange(request(radius.AccessRequest, uint8(i), testSecret, authenticator(uint64(i)), signed))
	}
}

// changing is a NASLookup that gives a new NAS with the same secret each time.
type changing struct{}

func (*changing) LookupNAS(netip.Addr) *radius.NAS {
	return &radius.NAS{Name: "changing", Secrets: [][]byte{append([]byte(nil), testSecret...)}}
}

// FuzzServer throws anything at a server: it never answers what is not signed, and
// answers on.
func FuzzServer(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte(request(radius.AccessRequest, 1, testSecret, with(radius.TypeUserName, "alice"), password("x"))), true)
	f.Add([]byte(request(radius.AccountingRequest, 1, testSecret, with(radius.TypeProxyState, "p"))), true)
	f.Add([]byte(request(radius.StatusServer, 1, testSecret, signed)), false)
	s := serve(f, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		_, _ = r.AppendUserPassword(nil)
		w.Send()
	}))
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.auth))
	require.NoError(f, err)
	defer c.Close()
	var n uint64
	f.Fuzz(func(t *testing.T, datagram []byte, sign bool) {
		p := &peer{c, t, testSecret}
		if len(datagram) > 8192 {
			return
		}
		sent, reason := radius.Parse(datagram)
		if sign && reason == 0 && len(sent)+18 <= radius.MaxLength {
			n++
			sent = append(radius.Packet{}, sent...)
			sent[0] = byte(radius.AccessRequest)
			binary.BigEndian.PutUint64(sent[4:], n) // none is a repeat of another
			offset := len(sent)
			sent = radius.AppendMessageAuthenticator(sent)
			radius.SetLength(sent)
			radius.NewHasher(testSecret).SignMessageAuthenticator(sent, offset, nil)
			datagram = sent
		}
		p.send(datagram)
		probe := request(radius.StatusServer, 255, testSecret, authenticator(^n), signed) // no request has this one
		p.send(probe)
		reply := p.receive()
		if !radius.NewHasher(testSecret).VerifyResponse(reply, probe.Authenticator()) {
			p.verify(sent, reply) // it was let in
			reply = p.receive()
		}
		p.verify(probe, reply)
	})
}
