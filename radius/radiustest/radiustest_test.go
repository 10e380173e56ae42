package radiustest_test

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"radiusd/radius"
	"radiusd/radius/radiustest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler accepts alice with her password, by PAP and CHAP, and all accounting.
var handler = radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
	if r.Packet.Code() == radius.AccessRequest {
		w.SetCode(radius.AccessReject)
		user, _ := r.Packet.Attributes().String(radius.TypeUserName)
		password, ok := r.AppendUserPassword(nil)
		chap, _ := r.Packet.Attributes().Get(radius.TypeCHAPPassword)
		if user == "alice" && (ok && string(password) == "hello" || radius.VerifyCHAP(chap, []byte("hello"), r.Packet.CHAPChallenge())) {
			w.SetCode(radius.AccessAccept)
			w.AddString(radius.TypeClass, "one")
			w.AddString(radius.TypeClass, "two")
		}
	}
	w.Send()
})

func TestNASAgainstServer(t *testing.T) {
	server := radiustest.NewServer(t, handler)
	for address, ports := range map[string][2]string{
		"127.0.0.1": {server.Auth, server.Acct}, "::1": {server.Auth6, server.Acct6},
	} {
		t.Run(address, func(t *testing.T) {
			auth, acct := ports[0], ports[1]
			nas := radiustest.NewNAS(t, address)
			assert.Equal(t, address, nas.Addr().Addr().String())

			assert.Equal(t, radius.AccessAccept, nas.Exchange(auth, nas.CHAP("alice", "hello")).Code())
			assert.Equal(t, radius.AccessReject, nas.Exchange(auth, nas.PAP("alice", "hellO")).Code())
			assert.Equal(t, radius.AccessAccept, nas.Exchange(auth, nas.Status()).Code())
			accept := nas.Exchange(auth, nas.PAP("alice", "hello"))
			require.Equal(t, radius.AccessAccept, accept.Code())

			session := nas.Session("alice", "0001")
			session.Accepted(accept)
			assert.Equal(t, [][]byte{[]byte("one"), []byte("two")}, session.Class)
			for _, m := range []*radius.Message{
				nas.On(), session.Start(), session.Interim(radiustest.Usage{Time: time.Minute}), session.Stop(radiustest.Usage{Time: time.Hour}, 1), nas.Off(),
			} {
				request := nas.Sign(m)
				response := nas.Ask(acct, request)
				assert.Equal(t, radius.AccountingResponse, response.Code())
				assert.Equal(t, response, nas.Ask(acct, request), "the same octets get the same answer")
			}
		})
	}
}

// What is spoiled gets silence; the last request shows that the server is still there.
func TestSpoiledGetsSilence(t *testing.T) {
	server := radiustest.NewServer(t, handler, func(s *radius.Server) {
		s.NASes = radiustest.NASes{netip.MustParseAddr("127.0.0.1"): {
			Name: "lenient", Secrets: [][]byte{[]byte(radiustest.Secret)}, RequireMessageAuthenticator: radius.RequireNo,
		}}
	})
	nas := radiustest.NewNAS(t, "127.0.0.1")
	session := nas.Session("alice", "0001")
	for address, message := range map[string]*radius.Message{server.Auth: nas.PAP("alice", "hello"), server.Acct: session.Start()} {
		for _, octets := range radiustest.Malformed(nas.Sign(message)) {
			nas.Send(address, octets)
		}
		for _, p := range nas.Forged(message) {
			nas.Send(address, p)
		}
		// The listener answers in order, so the first answer is that to the last request.
		last := nas.Sign(message)
		nas.Send(address, last)
		answer := nas.Receive(time.Minute)
		require.NotNil(t, answer)
		assert.Equal(t, last.Identifier(), radius.Packet(answer).Identifier())
	}
	nas.Silent(server.Auth, []byte("not a packet"), 50*time.Millisecond)
}

func TestSpoiledPacketsAreWhatTheySay(t *testing.T) {
	nas := radiustest.NewNAS(t, "127.0.0.1")
	h := radius.NewHasher(nas.Secret)
	for _, m := range []*radius.Message{nas.PAP("alice", "hello"), nas.On()} {
		good := nas.Sign(m)
		for name, octets := range radiustest.Malformed(good) {
			_, discard := radius.Parse(octets)
			assert.NotZero(t, discard, name)
		}
		identifiers := make(map[uint8]bool)
		for name, p := range nas.Forged(m) {
			_, discard := radius.Parse(p)
			assert.Zero(t, discard, name)
			identifiers[p.Identifier()] = true
			result := h.VerifyMessageAuthenticator(p, nil)
			wrongRequest := m.Code == radius.AccountingRequest && !h.VerifyRequestAuthenticator(p)
			assert.True(t, result == radius.MessageAuthenticatorInvalid || wrongRequest, name)
		}
		assert.GreaterOrEqual(t, len(identifiers), 6, "each has its own")
	}
}

func TestSessionAttributes(t *testing.T) {
	nas := radiustest.NewNAS(t, "127.0.0.1")
	s := nas.Session("alice", "0001")
	s.CallingStationID, s.FramedIPAddress, s.Port = "02-00-00-00-00-01", netip.MustParseAddr("192.0.2.9"), 7
	s.EventTime, s.Delay = time.Unix(1720526400, 0), 3*time.Second
	a := radius.Attributes(s.Stop(radiustest.Usage{Time: time.Hour, Input: 5<<32 + 6, Output: 7}, 1).Attributes)
	for typ, want := range map[radius.Type]uint32{
		radius.TypeAcctStatusType: radius.AcctStop, radius.TypeNASPort: 7, radius.TypeAcctSessionTime: 3600,
		radius.TypeAcctInputOctets: 6, radius.TypeAcctInputGigawords: 5, radius.TypeAcctOutputOctets: 7,
		radius.TypeAcctTerminateCause: 1, radius.TypeEventTimestamp: 1720526400, radius.TypeAcctDelayTime: 3,
	} {
		value, ok := a.Uint32(typ)
		assert.True(t, ok, typ)
		assert.Equal(t, want, value, typ)
	}
	for typ, want := range map[radius.Type]string{
		radius.TypeUserName: "alice", radius.TypeAcctSessionID: "0001", radius.TypeCallingStationID: "02-00-00-00-00-01", radius.TypeNASIdentifier: "test-nas",
	} {
		value, _ := a.String(typ)
		assert.Equal(t, want, value)
	}
	assert.False(t, a.Has(radius.TypeAcctOutputGigawords))
	bare := radius.Attributes(nas.Session("", "").Start().Attributes)
	assert.False(t, bare.Has(radius.TypeUserName) || bare.Has(radius.TypeAcctSessionID) || bare.Has(radius.TypeEventTimestamp))
}

func TestDynamic(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		t.Run(address, func(t *testing.T) {
			var seen atomic.Int32
			nas := radiustest.NewDynamic(t, address, func(request radius.Packet) radiustest.DynamicAnswer {
				n := seen.Add(1)
				user, _ := request.Attributes().String(radius.TypeUserName)
				switch {
				case user == "unknown":
					return radiustest.NAK(503)
				case user == "late" && n < 3:
					return radiustest.Silence()
				}
				return radiustest.ACK()
			})
			c := &radius.Client{InitialTimeout: 50 * time.Millisecond, MaxTimeout: 50 * time.Millisecond}
			defer c.Close()
			send := func(code radius.Code, user string) radius.Packet {
				seen.Store(0)
				m := &radius.Message{Code: code}
				m.AddString(radius.TypeUserName, user)
				m.AddString(radius.TypeProxyState, "a")
				m.AddString(radius.TypeProxyState, "b")
				p, err := c.Exchange(t.Context(), nas.Addr, []byte(radiustest.Secret), m)
				require.NoError(t, err)
				assert.Equal(t, "ab", string(p.Attributes().AppendConcat(nil, radius.TypeProxyState)))
				return p
			}
			assert.Equal(t, radius.DisconnectACK, send(radius.DisconnectRequest, "alice").Code())
			assert.Equal(t, radius.CoAACK, send(radius.CoARequest, "alice").Code())
			p := send(radius.CoARequest, "unknown")
			assert.Equal(t, radius.CoANAK, p.Code())
			cause, _ := p.Attributes().Uint32(radius.TypeErrorCause)
			assert.Equal(t, uint32(503), cause)
			assert.Equal(t, radius.DisconnectNAK, send(radius.DisconnectRequest, "unknown").Code())

			next := func() radiustest.DynamicRequest { return <-nas.Requests }
			for range 4 {
				next()
			}
			assert.Equal(t, radius.DisconnectACK, send(radius.DisconnectRequest, "late").Code())
			late := next()
			assert.True(t, late.Verified)
			for range 2 {
				assert.Equal(t, late.Packet, next().Packet, "the client repeats the same octets")
			}
			afterLate := func() radiustest.DynamicRequest { // one more repeat may have been on its way
				for {
					if r := next(); !bytes.Equal(r.Packet, late.Packet) {
						return r
					}
				}
			}

			forger := radiustest.NewNAS(t, address)
			count := 0
			for _, p := range forger.Forged(&radius.Message{Code: radius.DisconnectRequest}) {
				forger.Send(nas.Addr, p)
				count++
			}
			for _, b := range radiustest.Malformed(forger.Sign(&radius.Message{Code: radius.CoARequest})) {
				forger.Send(nas.Addr, b)
			}
			last := forger.Sign(&radius.Message{Code: radius.DisconnectRequest})
			assert.Equal(t, radius.DisconnectACK, forger.Ask(nas.Addr, last).Code())
			for range count {
				assert.False(t, afterLate().Verified)
			}
			assert.Equal(t, last, afterLate().Packet)
		})
	}
}

// What a NAS may do with an answer besides giving it.
func TestDynamicAnswers(t *testing.T) {
	answers := make(chan radiustest.DynamicAnswer, 1)
	nas := radiustest.NewDynamic(t, "127.0.0.1", func(radius.Packet) radiustest.DynamicAnswer { return <-answers })
	client := radiustest.NewNAS(t, "127.0.0.1")
	ask := func(a radiustest.DynamicAnswer) radius.Packet {
		answers <- a
		p := client.Sign(&radius.Message{Code: radius.DisconnectRequest})
		client.Send(nas.Addr, p)
		return p
	}
	h := radius.NewHasher([]byte(radiustest.Secret))

	request := ask(radiustest.ACK().Unsigned())
	p, discard := radius.Parse(client.Receive(time.Minute))
	require.Zero(t, discard)
	assert.True(t, h.VerifyResponse(p, request.Authenticator()))
	assert.Equal(t, radius.MessageAuthenticatorAbsent, h.VerifyMessageAuthenticator(p, request.Authenticator()))

	request = ask(radiustest.NAK(503).Forged())
	p, discard = radius.Parse(client.Receive(time.Minute))
	require.Zero(t, discard)
	assert.False(t, h.VerifyResponse(p, request.Authenticator()))

	ask(radiustest.ACK().Twice())
	first := client.Receive(time.Minute)
	require.NotNil(t, first)
	assert.Equal(t, first, client.Receive(time.Minute))

	const delay = 50 * time.Millisecond
	start := time.Now()
	done := make(chan time.Duration, 1)
	ask(radiustest.Silence().After(delay).Then(func() { done <- time.Since(start) }))
	assert.GreaterOrEqual(t, <-done, delay)
	start = time.Now()
	ask(radiustest.ACK().After(delay))
	require.NotNil(t, client.Receive(time.Minute))
	assert.GreaterOrEqual(t, time.Since(start), delay)
	ask(radiustest.ACK().After(time.Hour)) // ends with the test
}
