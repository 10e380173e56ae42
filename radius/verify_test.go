package radius_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

func singleNAS(change func(*radius.NAS)) func(*radius.Server) {
	nas := &radius.NAS{Name: "edge-1", Secrets: [][]byte{testSecret}, SingleHost: true}
	change(nas)
	return func(s *radius.Server) { s.NASes = loopbackNAS(nas) }
}

// raw appends an attribute as it is, after which nothing is signed any more.
func raw(packet radius.Packet, t radius.Type, value []byte) radius.Packet {
	p := radius.AppendAttribute(packet, t, value)
	radius.SetLength(p)
	return p
}

func TestVerification(t *testing.T) {
	eap := with(radius.TypeEAPMessage, "\x02\x01\x00\x06\x01a")
	proxyState := with(radius.TypeProxyState, "p")
	otherSecret := []byte("another secret")
	no := func(n *radius.NAS) { n.RequireMessageAuthenticator = radius.RequireNo }
	limited := func(n *radius.NAS) { no(n); n.LimitProxyState = true }
	auto := func(n *radius.NAS) {
		n.RequireMessageAuthenticator, n.Learned = radius.RequireAuto, new(atomic.Bool)
	}
	learned := func(n *radius.NAS) { auto(n); n.Learned.Store(true) }
	yes := func(*radius.NAS) {}

	twice := raw(request(radius.AccessRequest, 1, testSecret, signed), radius.TypeMessageAuthenticator, make([]byte, 16))
	first := func() radius.Packet { // Message-Authenticator before the other attributes
		p := radius.AppendHeader(nil, radius.AccessRequest, 1, &[16]byte{1, 2, 3})
		p = radius.AppendMessageAuthenticator(p)
		p = radius.AppendString(p, radius.TypeUserName, "alice")
		radius.SetLength(p)
		radius.NewHasher(testSecret).SignMessageAuthenticator(p, radius.HeaderLength, nil)
		return p
	}()

	for _, c := range []struct {
		name    string
		nas     func(*radius.NAS)
		request radius.Packet
		want    radius.Discard // 0: answered
	}{
		{"yes, with", yes, request(radius.AccessRequest, 1, testSecret, signed), 0},
		{"yes, with it first", yes, first, 0},
		{"yes, with it after Proxy-State", yes, request(radius.AccessRequest, 1, testSecret, proxyState, signed), 0},
		{"yes, without", yes, request(radius.AccessRequest, 1, testSecret), radius.DiscardMessageAuthenticatorMissing},
		{"yes, wrong secret", yes, request(radius.AccessRequest, 1, otherSecret, signed), radius.DiscardMessageAuthenticatorInvalid},
		{"yes, twice", yes, twice, radius.DiscardMessageAuthenticatorInvalid},
		{"yes, of 15 octets", yes, raw(request(radius.AccessRequest, 1, testSecret), radius.TypeMessageAuthenticator, make([]byte, 15)), radius.DiscardMessageAuthenticatorInvalid},
		{"yes, empty", yes, raw(request(radius.AccessRequest, 1, testSecret), radius.TypeMessageAuthenticator, nil), radius.DiscardMessageAuthenticatorInvalid},
		{"no, without", no, request(radius.AccessRequest, 1, testSecret), 0},
		{"no, with", no, request(radius.AccessRequest, 1, testSecret, signed), 0},
		{"no, wrong", no, request(radius.AccessRequest, 1, otherSecret, signed), radius.DiscardMessageAuthenticatorInvalid},
		{"no, of 17 octets", no, raw(request(radius.AccessRequest, 1, testSecret), radius.TypeMessageAuthenticator, make([]byte, 17)), radius.DiscardMessageAuthenticatorInvalid},
		{"no, EAP-Message without", no, request(radius.AccessRequest, 1, testSecret, eap), radius.DiscardMessageAuthenticatorMissing},
		{"no, EAP-Message with", no, request(radius.AccessRequest, 1, testSecret, eap, signed), 0},
		{"no, Proxy-State without", no, request(radius.AccessRequest, 1, testSecret, proxyState), 0},
		{"limited, Proxy-State without", limited, request(radius.AccessRequest, 1, testSecret, proxyState), radius.DiscardProxyStateLimited},
		{"limited, Proxy-State with", limited, request(radius.AccessRequest, 1, testSecret, proxyState, signed), 0},
		{"limited, neither", limited, request(radius.AccessRequest, 1, testSecret), 0},
		{"auto, without", auto, request(radius.AccessRequest, 1, testSecret), 0},
		{"auto, EAP-Message without", auto, request(radius.AccessRequest, 1, testSecret, eap), radius.DiscardMessageAuthenticatorMissing},
		{"auto, learned, without", learned, request(radius.AccessRequest, 1, testSecret), radius.DiscardMessageAuthenticatorMissing},
		{"auto, learned, of a prefix, without", func(n *radius.NAS) { learned(n); n.SingleHost = false }, request(radius.AccessRequest, 1, testSecret), 0},
		{"no secret", func(n *radius.NAS) { n.Secrets = nil }, request(radius.AccessRequest, 1, testSecret, signed), radius.DiscardAuthenticatorInvalid},
		{"empty secret", func(n *radius.NAS) { no(n); n.Secrets = [][]byte{{}} }, request(radius.AccessRequest, 1, nil), radius.DiscardAuthenticatorInvalid},

		{"accounting", yes, request(radius.AccountingRequest, 1, testSecret), 0},
		{"accounting, with", yes, request(radius.AccountingRequest, 1, testSecret, signed), 0},
		{"accounting, wrong secret", yes, request(radius.AccountingRequest, 1, otherSecret), radius.DiscardAuthenticatorInvalid},
		{"accounting, wrong Message-Authenticator", yes, func() radius.Packet {
			p := raw(request(radius.AccountingRequest, 1, testSecret), radius.TypeMessageAuthenticator, make([]byte, 16))
			radius.NewHasher(testSecret).SignRequest(p)
			return p
		}(), radius.DiscardMessageAuthenticatorInvalid},
		{"accounting, learned, without", learned, request(radius.AccountingRequest, 1, testSecret), 0},

		{"Status-Server", yes, request(radius.StatusServer, 1, testSecret, signed), 0},
		{"Status-Server without", no, request(radius.StatusServer, 1, testSecret), radius.DiscardMessageAuthenticatorMissing},
		{"Status-Server, wrong secret", no, request(radius.StatusServer, 1, otherSecret, signed), radius.DiscardMessageAuthenticatorInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, accept, singleNAS(c.nas))
			to := s.auth
			if c.request.Code() == radius.AccountingRequest {
				to = s.acct
			}
			p := dial(t, to)
			if c.want == 0 {
				p.exchange(c.request)
				require.Empty(t, s.Stats().Discards)
				return
			}
			p.send(c.request)
			if c.name != "no secret" && c.name != "empty secret" { // there Status-Server is discarded as well
				p.silent()
			}
			require.Eventually(t, func() bool { return s.Stats().Received > 0 && len(s.Stats().Discards) > 0 }, waitLimit, tick)
			require.Equal(t, map[radius.Discard]uint64{c.want: 1}, s.Stats().Discards)
			require.Zero(t, s.Stats().Entries, "what fails verification touches the table")
		})
	}
}

func TestAutoLearns(t *testing.T) {
	var learned atomic.Bool
	s := serve(t, accept, singleNAS(func(n *radius.NAS) {
		n.RequireMessageAuthenticator, n.Learned = radius.RequireAuto, &learned
	}))
	p := dial(t, s.auth)
	p.exchange(request(radius.AccessRequest, 1, testSecret))
	p.exchange(request(radius.StatusServer, 2, testSecret, signed))
	require.False(t, learned.Load(), "Status-Server always has one and says nothing about other requests")
	p.send(request(radius.AccessRequest, 3, []byte("wrong"), signed))
	p.silent()
	require.False(t, learned.Load(), "an invalid one teaches nothing")
	p.exchange(request(radius.AccessRequest, 4, testSecret, signed))
	require.True(t, learned.Load())
	p.send(request(radius.AccessRequest, 5, testSecret))
	p.silent()
	require.EqualValues(t, 1, s.Stats().Discards[radius.DiscardMessageAuthenticatorMissing])
}

func TestAutoNeverLearnsForAPrefix(t *testing.T) {
	var learned atomic.Bool
	s := serve(t, accept, singleNAS(func(n *radius.NAS) {
		n.RequireMessageAuthenticator, n.Learned, n.SingleHost = radius.RequireAuto, &learned, false
	}))
	p := dial(t, s.auth)
	p.exchange(request(radius.AccessRequest, 1, testSecret, signed))
	require.False(t, learned.Load())
	p.exchange(request(radius.AccessRequest, 2, testSecret))
}

// The reply uses the secret that verified the request, and so do the passwords in it.
func TestOldAndNewSecret(t *testing.T) {
	previous := []byte("the previous secret")
	passwords := make(chan string, 1)
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Code() == radius.AccessRequest {
			plain, _ := r.AppendUserPassword(nil)
			passwords <- string(plain)
			w.SetCode(radius.AccessAccept)
			w.AddSalted(311, 16, []byte("key"))
		}
		w.Send()
	}), singleNAS(func(n *radius.NAS) { n.Secrets = [][]byte{testSecret, previous} }))
	for i, secret := range [][]byte{testSecret, previous} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			auth, acct := dial(t, s.auth), dial(t, s.acct)
			auth.secret, acct.secret = secret, secret
			r := request(radius.AccessRequest, 1, secret, password("hello"), signed)
			reply := auth.exchange(r)
			require.Equal(t, "hello", <-passwords)
			salted, ok := reply.Attributes().Vendor(311, 16)
			require.True(t, ok)
			key, ok := radius.NewHasher(secret).AppendUnsalted(nil, salted, r.Authenticator())
			require.True(t, ok)
			require.Equal(t, "key", string(key))
			acct.exchange(request(radius.AccountingRequest, 1, secret))
			acct.exchange(request(radius.AccountingRequest, 2, secret, signed))
			auth.exchange(request(radius.StatusServer, 2, secret, signed))
		})
	}
}

func TestUnknownSourceGetsNothing(t *testing.T) {
	s := serve(t, accept, func(s *radius.Server) {
		s.NASes = nasTable{netip.MustParseAddr("127.0.0.9"): {Name: "other", Secrets: [][]byte{testSecret}}}
	})
	p := dial(t, s.auth)
	p.send(request(radius.AccessRequest, 1, testSecret, signed))
	p.send(request(radius.StatusServer, 1, testSecret, signed))
	p.send([]byte("garbage"))
	require.Eventually(t, func() bool { return s.Stats().Discards[radius.DiscardUnknownNAS] == 3 }, waitLimit, tick)
	require.Zero(t, s.Stats().Sent)
	require.Zero(t, s.Stats().Entries)
}

func TestCodeFitsThePort(t *testing.T) {
	s := serve(t, accept)
	for port, own := range map[netip.AddrPort]radius.Code{s.auth: radius.AccessRequest, s.acct: radius.AccountingRequest} {
		p := dial(t, port)
		before := s.Stats().Discards[radius.DiscardWrongCode]
		for code := range 256 {
			if c := radius.Code(code); c != own && c != radius.StatusServer {
				p.send(request(c, 1, testSecret, signed))
			}
			if code%16 == 15 {
				p.silent()
			}
		}
		require.EqualValues(t, 254, s.Stats().Discards[radius.DiscardWrongCode]-before)
	}
}

// Every length, cut off and not filled, is silent and counted.
func TestMalformedOfEveryLength(t *testing.T) {
	s := serve(t, accept)
	p := dial(t, s.auth)
	sent := 0
	send := func(packet []byte) {
		p.send(packet)
		if sent++; sent%16 == 0 {
			p.silent()
		}
	}
	large := make([]byte, 5000)
	for i := range large {
		large[i] = byte(i%250) + 1
	}
	for n := range 4200 {
		d := append([]byte(nil), large[:n]...)
		if n > 3 {
			d[0], d[1] = byte(radius.AccessRequest), 1
			length := n + 1 // more than is there
			d[2], d[3] = byte(length>>8), byte(length)
		}
		send(d)
	}
	for n := radius.HeaderLength + 1; n <= radius.MaxLength; n++ {
		d := append([]byte(nil), large[:n]...)
		d[0], d[2], d[3] = byte(radius.AccessRequest), byte(n>>8), byte(n)
		d[radius.HeaderLength+min(1, n-radius.HeaderLength-1)] = byte(n % 2) // an attribute of length 0 or 1
		send(d)
	}
	p.silent()
	stats := s.Stats()
	require.EqualValues(t, sent, stats.Discards[radius.DiscardMalformedHeader]+stats.Discards[radius.DiscardMalformedAttribute])
	require.Len(t, stats.Discards, 2)
}

// Octets beyond the packet's length are padding (RFC 2865 section 3).
func TestPaddingIsIgnored(t *testing.T) {
	s := serve(t, accept)
	p := dial(t, s.auth)
	r := request(radius.AccessRequest, 1, testSecret, signed)
	p.send(append(append([]byte(nil), r...), make([]byte, 5000)...))
	p.verify(r, p.receive())
}
