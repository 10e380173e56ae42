package radius_test

import (
	"bytes"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

func TestReplyAttributes(t *testing.T) {
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		w.SetCode(radius.AccessChallenge)
		w.AddString(radius.TypeReplyMessage, "taken back")
		w.Reset()
		w.AddString(radius.TypeReplyMessage, "hello")
		w.Add(radius.TypeState, []byte{1, 2})
		w.AddUint32(radius.TypeSessionTimeout, 60)
		w.AddVendor(14988, 8, []byte("10M/10M"))
		w.Append(radius.AppendString(nil, radius.TypeClass, "c"))
		w.AddSalted(311, 16, []byte("send key"))
		w.AddSalted(311, 17, []byte("recv key"))
		w.AddSalted(0, uint8(radius.TypeTunnelPassword), []byte("tunnel"))
		w.Send()
	}))
	p := dial(t, s.auth)
	r := request(radius.AccessRequest, 1, testSecret, with(radius.TypeProxyState, "a"), with(radius.TypeUserName, "u"), with(radius.TypeProxyState, "b"), signed)
	reply := p.exchange(r)
	a := reply.Attributes()
	require.Equal(t, radius.AccessChallenge, reply.Code())
	require.Equal(t, []string{"a", "b"}, values(reply, radius.TypeProxyState), "Proxy-State in order")
	require.Equal(t, []string{"hello"}, values(reply, radius.TypeReplyMessage))
	require.Equal(t, []string{"\x01\x02"}, values(reply, radius.TypeState))
	timeout, _ := a.Uint32(radius.TypeSessionTimeout)
	require.EqualValues(t, 60, timeout)
	rate, _ := a.Vendor(14988, 8)
	require.Equal(t, "10M/10M", string(rate))
	require.Equal(t, []string{"c"}, values(reply, radius.TypeClass))

	h := radius.NewHasher(testSecret)
	salts := make(map[string]bool)
	for t8, want := range map[uint8]string{16: "send key", 17: "recv key"} {
		v, ok := a.Vendor(311, t8)
		require.True(t, ok)
		plain, ok := h.AppendUnsalted(nil, v, r.Authenticator())
		require.True(t, ok)
		require.Equal(t, want, string(plain))
		salts[string(v[:2])] = true
	}
	v, _ := a.Get(radius.TypeTunnelPassword)
	require.Zero(t, v[0], "tag")
	plain, ok := h.AppendUnsalted(nil, v[1:], r.Authenticator())
	require.True(t, ok)
	require.Equal(t, "tunnel", string(plain))
	salts[string(v[1:3])] = true
	require.Len(t, salts, 3, "salts are unique in the packet")
}

// The same works for whoever finishes the reply elsewhere, and salts go on.
func TestReplyAttributesAfterHold(t *testing.T) {
	replies := make(chan *radius.Reply, 1)
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		w.AddSalted(311, 16, []byte("one"))
		w.Hold()
		require.Nil(t, r.Packet)
		replies <- w
	}))
	p := dial(t, s.auth)
	r := request(radius.AccessRequest, 1, testSecret, with(radius.TypeProxyState, "a"), signed)
	p.send(r)
	w := <-replies
	w.AddSalted(311, 17, []byte("two"))
	hidden, err := w.Request().Cipher().AppendSalted(nil, []byte("three"))
	require.NoError(t, err)
	w.Add(radius.TypeClass, hidden)
	w.Send()
	reply := p.receive()
	p.verify(r, reply)
	h := radius.NewHasher(testSecret)
	one, _ := reply.Attributes().Vendor(311, 16)
	two, _ := reply.Attributes().Vendor(311, 17)
	three, _ := reply.Attributes().Get(radius.TypeClass)
	require.NotEqual(t, one[:2], two[:2])
	require.NotEqual(t, two[:2], three[:2])
	for i, v := range [][]byte{one, two, three} {
		plain, ok := h.AppendUnsalted(nil, v, r.Authenticator())
		require.True(t, ok)
		require.Equal(t, []string{"one", "two", "three"}[i], string(plain))
	}
}

// A refusal is what a handler gets that does not say otherwise.
func TestReplyCodeByDefault(t *testing.T) {
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, _ *radius.Request) { w.Send() }))
	require.Equal(t, radius.AccessReject, dial(t, s.auth).exchange(request(radius.AccessRequest, 1, testSecret, signed)).Code())
	require.Equal(t, radius.AccountingResponse, dial(t, s.acct).exchange(request(radius.AccountingRequest, 1, testSecret)).Code())
}

func TestRepliesThatAreNotSent(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle radius.HandlerFunc
		want   radius.Discard
	}{
		{"too many attributes", func(w *radius.Reply, _ *radius.Request) {
			for range 20 {
				w.Add(radius.TypeReplyMessage, make([]byte, 253))
			}
			w.Send()
		}, radius.DiscardReplyTooLong},
		{"one octet too much", func(w *radius.Reply, _ *radius.Request) {
			w.Append(make([]byte, radius.MaxLength-radius.HeaderLength-18+1))
			w.Send()
		}, radius.DiscardReplyTooLong},
		{"salted value too long", func(w *radius.Reply, _ *radius.Request) {
			w.AddSalted(0, uint8(radius.TypeTunnelPassword), make([]byte, 250))
			w.Send()
		}, radius.DiscardReplyTooLong},
		{"salted value too long for a vendor", func(w *radius.Reply, _ *radius.Request) {
			w.AddSalted(311, 16, make([]byte, 249))
			w.Send()
		}, radius.DiscardReplyTooLong},
		{"code of another request", func(w *radius.Reply, _ *radius.Request) {
			w.SetCode(radius.AccountingResponse)
			w.Send()
		}, radius.DiscardHandler},
		{"a request as the reply", func(w *radius.Reply, _ *radius.Request) {
			w.SetCode(radius.AccessRequest)
			w.Send()
		}, radius.DiscardHandler},
		{"not ended", func(*radius.Reply, *radius.Request) {}, radius.DiscardHandler},
		{"not ended when deferred", func(w *radius.Reply, _ *radius.Request) {
			w.Defer(func(*radius.Reply, *radius.Request) {})
		}, radius.DiscardHandler},
		{"panic", func(*radius.Reply, *radius.Request) { panic("with " + secretWord) }, radius.DiscardHandler},
		{"runtime panic", func(_ *radius.Reply, r *radius.Request) { _ = r.Packet[len(r.Packet)] }, radius.DiscardHandler},
		{"panic when deferred", func(w *radius.Reply, _ *radius.Request) {
			w.Defer(func(*radius.Reply, *radius.Request) { panic("with " + secretWord) })
		}, radius.DiscardHandler},
		{"discarded", func(w *radius.Reply, _ *radius.Request) { w.Discard(radius.DiscardMissingAttribute) }, radius.DiscardMissingAttribute},
		{"discarded when deferred", func(w *radius.Reply, _ *radius.Request) {
			w.Defer(func(w *radius.Reply, _ *radius.Request) { w.Discard(radius.DiscardMissingAttribute) })
		}, radius.DiscardMissingAttribute},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(lockedBuffer)
			s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
				if r.Packet.Identifier() == 2 {
					w.Send()
					return
				}
				c.handle(w, r)
			}), logTo(log))
			p := dial(t, s.auth)
			p.send(request(radius.AccessRequest, 1, testSecret, with(radius.TypeUserName, secretWord), signed))
			p.silent()
			require.Eventually(t, func() bool { return s.Stats().Discards[c.want] == 1 && s.Stats().InFlight == 0 }, waitLimit, tick)
			p.exchange(request(radius.AccessRequest, 2, testSecret, signed)) // it lives on
			if strings.Contains(c.name, "panic") {
				require.EqualValues(t, 1, s.Stats().Panics)
				require.Contains(t, log.String(), "handler panicked")
				require.Contains(t, log.String(), "reply_test.go", "the stack")
			}
			require.NotContains(t, log.String(), secretWord)
		})
	}
}

const secretWord = "correct-horse"

// The longest reply that is possible.
func TestReplyOf4096Octets(t *testing.T) {
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, _ *radius.Request) {
		room := radius.MaxLength - radius.HeaderLength - 18
		for room > 0 {
			n := min(room, 255)
			if room-n == 1 {
				n--
			}
			w.Add(radius.TypeReplyMessage, bytes.Repeat([]byte("x"), n-2))
			room -= n
		}
		w.Send()
	}))
	p := dial(t, s.auth)
	r := request(radius.AccessRequest, 1, testSecret, signed)
	require.Len(t, p.exchange(r), radius.MaxLength)
	require.Len(t, p.exchange(r), radius.MaxLength)
}

// A request may be full of Proxy-State; a reply with Message-Authenticator is 18
// octets short of room for it.
func TestProxyStateThatDoesNotFit(t *testing.T) {
	s := serve(t, accept)
	p := dial(t, s.acct)
	var options []option
	for range 15 {
		options = append(options, with(radius.TypeProxyState, strings.Repeat("p", 253)))
	}
	fits := request(radius.AccountingRequest, 1, testSecret, append(options, with(radius.TypeProxyState, strings.Repeat("p", 249)))...)
	require.Len(t, fits, radius.MaxLength)
	require.Len(t, p.exchange(fits), radius.MaxLength)

	auth := dial(t, s.auth)
	tooLong := request(radius.AccessRequest, 1, testSecret, append(options, with(radius.TypeProxyState, strings.Repeat("p", 249)))...)
	require.Len(t, tooLong, radius.MaxLength)
	auth.send(tooLong)
	auth.silent() // without Message-Authenticator it is not let in
	require.EqualValues(t, 1, s.Stats().Discards[radius.DiscardMessageAuthenticatorMissing])

	open := serve(t, accept, singleNAS(func(n *radius.NAS) { n.RequireMessageAuthenticator = radius.RequireNo }))
	auth = dial(t, open.auth)
	auth.send(tooLong)
	auth.silent()
	require.Equal(t, map[radius.Discard]uint64{radius.DiscardReplyTooLong: 1}, open.Stats().Discards)
}

// The path of a packet allocates nothing, over real sockets: not when it is
// answered, not when it is repeated, not when it is recorded elsewhere first, and
// not when it is dropped.
func TestServingDoesNotAllocate(t *testing.T) {
	const requests = 10000
	access := make([]radius.Packet, requests)
	accounting := make([]radius.Packet, requests)
	forged := make([]radius.Packet, requests)
	for i := range requests {
		access[i] = request(radius.AccessRequest, uint8(i), testSecret, authenticator(uint64(i)), with(radius.TypeUserName, "alice"), password("secret"), signed)
		accounting[i] = request(radius.AccountingRequest, uint8(i), testSecret, with(radius.TypeUserName, "alice"), with(radius.TypeClass, string(rune(i))))
		forged[i] = request(radius.AccessRequest, uint8(i), []byte("other"), signed)
	}
	records := make(chan *radius.Reply, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w := range records {
			w.Send()
		}
	}()
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Code() == radius.AccountingRequest {
			w.Hold()
			records <- w
			return
		}
		var buf [128]byte
		if plain, ok := r.AppendUserPassword(buf[:0]); ok && string(plain) == "secret" {
			w.SetCode(radius.AccessAccept)
			w.AddUint32(radius.TypeSessionTimeout, 60)
		}
		w.Send()
	}))
	t.Cleanup(func() { close(records); <-done })

	// 127.0.0.2 is known, and asks for the status after every 16 packets that get no
	// answer: when it has its own, those have been dropped.
	strangers := serve(t, accept, func(s *radius.Server) {
		s.NASes = nasTable{netip.MustParseAddr("127.0.0.2"): {Name: "known", Secrets: [][]byte{testSecret}}}
	})
	status := request(radius.StatusServer, 255, testSecret, signed)
	for _, c := range []struct {
		name    string
		peer    *peer
		packets []radius.Packet
		after   *peer // who asks for the status; nil if every packet is answered
	}{
		{"access", dial(t, s.auth), access, nil},
		{"accounting", dial(t, s.acct), accounting, nil},
		{"repeated", dial(t, s.auth), repeat(access[0], requests), nil},
		{"forged", dial(t, s.auth), forged, dial(t, s.auth)},
		{"unknown source", dial(t, strangers.auth), access, dialFrom(t, strangers.auth, "127.0.0.2")},
	} {
		t.Run(c.name, func(t *testing.T) {
			buf := make([]byte, 4096)
			run := func(packets []radius.Packet) {
				for i, packet := range packets {
					_, err := c.peer.Write(packet)
					if err == nil && c.after == nil {
						_, err = c.peer.Read(buf)
					} else if err == nil && i%16 == 15 {
						if _, err = c.after.Write(status); err == nil {
							_, err = c.after.Read(buf)
						}
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			run(c.packets[:1000])
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			run(c.packets)
			runtime.ReadMemStats(&after)
			mallocs := after.Mallocs - before.Mallocs
			t.Logf("%d allocations for %d packets", mallocs, len(c.packets))
			require.Less(t, mallocs, uint64(len(c.packets)/100), "allocations for %d packets", len(c.packets))
		})
	}
	require.EqualValues(t, 1000+requests, s.Stats().Discards[radius.DiscardMessageAuthenticatorInvalid])
	require.EqualValues(t, 1000+requests, strangers.Stats().Discards[radius.DiscardUnknownNAS])
}

func repeat(p radius.Packet, n int) []radius.Packet {
	all := make([]radius.Packet, n)
	for i := range all {
		all[i] = p
	}
	return all
}
