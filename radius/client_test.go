package radius_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"radiusd/internal/freeport"
	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
)

var secret = []byte("testing123")

// response returns a signed response to a request, with Message-Authenticator first
// unless plain.
func response(request radius.Packet, code radius.Code, plain bool, attributes ...byte) radius.Packet {
	h := radius.NewHasher(secret)
	p := radius.AppendHeader(nil, code, request.Identifier(), request.Authenticator())
	if !plain {
		p = radius.AppendMessageAuthenticator(p)
	}
	p = append(p, attributes...)
	radius.SetLength(p)
	if !plain {
		h.SignMessageAuthenticator(p, radius.HeaderLength, request.Authenticator())
	}
	h.SignResponse(p, request.Authenticator())
	return p
}

// fakeNetwork is a Dial for a bubble of synctest: each connection is a pipe whose
// other end is served by serve until the client closes it.
type fakeNetwork struct {
	serve func(send func([]byte), request radius.Packet)
	dials atomic.Int32
	open  atomic.Int32
}

func (f *fakeNetwork) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	f.dials.Add(1)
	f.open.Add(1)
	go func() {
		defer f.open.Add(-1)
		defer server.Close()
		buffer := make([]byte, 5000)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			f.serve(func(b []byte) { server.Write(b) }, bytes.Clone(buffer[:n]))
		}
	}()
	return client, nil
}

// The times of RFC 5080 section 2.2.1, and the same octets every time.
func TestClientRetransmission(t *testing.T) {
	s := time.Second
	tests := []struct {
		name    string
		client  radius.Client
		random  float64
		sent    []time.Duration
		elapsed time.Duration
	}{
		{"standard", radius.Client{}, 0.5, []time.Duration{0, 2 * s, 6 * s, 14 * s}, 30 * s},
		{"least jitter", radius.Client{}, 0, []time.Duration{0, 1800 * time.Millisecond, 5220 * time.Millisecond, 11718 * time.Millisecond, 24064200 * time.Microsecond}, 30 * s},
		{"attempts", radius.Client{MaxAttempts: 2}, 0.5, []time.Duration{0, 2 * s}, 6 * s},
		{"one attempt", radius.Client{MaxAttempts: 1, InitialTimeout: s}, 0.5, []time.Duration{0}, s},
		{"longest wait", radius.Client{MaxTimeout: 3 * s, MaxAttempts: 4}, 0.5, []time.Duration{0, 2 * s, 5 * s, 8 * s}, 11 * s},
		{"duration", radius.Client{MaxDuration: 5 * s}, 0.5, []time.Duration{0, 2 * s}, 5 * s},
	}
	for i := range tests {
		test := &tests[i]
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var sent []time.Duration
				var first []byte
				network := &fakeNetwork{serve: func(_ func([]byte), request radius.Packet) {
					sent = append(sent, time.Since(start))
					if first == nil {
						first = request
					}
					assert.Equal(t, first, []byte(request))
				}}
				c := &test.client
				c.Dial, c.Random = network.dial, func() float64 { return test.random }
				defer c.Close()

				m := &radius.Message{Code: radius.AccessRequest}
				m.AddString(radius.TypeUserName, "alice")
				_, err := c.Exchange(t.Context(), "192.0.2.1:1812", secret, m)
				synctest.Wait()
				var noAnswer *radius.NoAnswerError
				require.ErrorAs(t, err, &noAnswer)
				assert.Equal(t, test.sent, sent)
				assert.Equal(t, radius.NoAnswerError{Server: "192.0.2.1:1812", Attempts: len(test.sent), Elapsed: test.elapsed}, *noAnswer)
				assert.Equal(t, test.elapsed, time.Since(start))
				assert.True(t, noAnswer.Timeout())
			})
		})
	}
}

func TestNoAnswerErrorText(t *testing.T) {
	err := &radius.NoAnswerError{Server: "192.0.2.1:1812", Attempts: 4, Elapsed: 30 * time.Second, Ignored: 2, Reason: radius.DiscardAuthenticatorInvalid, Cause: context.Canceled}
	assert.EqualError(t, err, "radius: no answer from 192.0.2.1:1812 in 30s to 4 attempts; ignored 2 packets, the last one as authenticator_invalid: context canceled")
	assert.ErrorIs(t, err, context.Canceled)
	assert.False(t, err.Timeout())
}

// What is not the response is ignored, and the right one is taken after it.
func TestClientIgnoresForgedResponses(t *testing.T) {
	flip := func(p radius.Packet, i int) radius.Packet {
		q := bytes.Clone(p)
		q[i] ^= 1
		return q
	}
	wrongMA := func(request radius.Packet) radius.Packet {
		p := response(request, radius.AccessAccept, false)
		p[30] ^= 1
		radius.NewHasher(secret).SignResponse(p, request.Authenticator())
		return p
	}
	twoMA := func(request radius.Packet) radius.Packet {
		return response(request, radius.AccessAccept, false, radius.AppendMessageAuthenticator(nil)...)
	}
	tests := []struct {
		name   string
		forge  func(request radius.Packet) []byte
		reason radius.Discard // 0: it cannot be told whose it is
	}{
		{"nothing", func(radius.Packet) []byte { return []byte{} }, 0},
		{"short", func(r radius.Packet) []byte { return r[:19] }, 0},
		{"malformed attribute", func(r radius.Packet) []byte { return response(r, radius.AccessAccept, true, 1, 0) }, 0},
		{"other identifier", func(r radius.Packet) []byte { return flip(response(r, radius.AccessAccept, false), 1) }, 0},
		{"the request itself", func(r radius.Packet) []byte { return r }, radius.DiscardWrongCode},
		{"Accounting-Response", func(r radius.Packet) []byte { return response(r, radius.AccountingResponse, false) }, radius.DiscardWrongCode},
		{"wrong authenticator", func(r radius.Packet) []byte { return flip(response(r, radius.AccessAccept, false), 4) }, radius.DiscardAuthenticatorInvalid},
		{"changed code", func(r radius.Packet) []byte {
			p := response(r, radius.AccessReject, false)
			p[0] = byte(radius.AccessAccept)
			return p
		}, radius.DiscardAuthenticatorInvalid},
		{"wrong Message-Authenticator", func(r radius.Packet) []byte { return wrongMA(r) }, radius.DiscardMessageAuthenticatorInvalid},
		{"two Message-Authenticators", func(r radius.Packet) []byte { return twoMA(r) }, radius.DiscardMessageAuthenticatorInvalid},
		{"no Message-Authenticator", func(r radius.Packet) []byte { return response(r, radius.AccessAccept, true) }, radius.DiscardMessageAuthenticatorMissing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				count := 0
				network := &fakeNetwork{serve: func(send func([]byte), request radius.Packet) {
					send(test.forge(request))
					if count++; count == 2 {
						send(response(request, radius.AccessAccept, false))
					}
				}}
				c := &radius.Client{Dial: network.dial}
				defer c.Close()
				m := &radius.Message{Code: radius.AccessRequest}
				p, err := c.Exchange(t.Context(), "192.0.2.1:1812", secret, m)
				require.NoError(t, err)
				assert.Equal(t, radius.AccessAccept, p.Code())
				assert.Equal(t, 2, count)

				count = 2 // from now on only what is forged
				_, err = c.Exchange(t.Context(), "192.0.2.1:1812", secret, m)
				var noAnswer *radius.NoAnswerError
				require.ErrorAs(t, err, &noAnswer)
				assert.Equal(t, test.reason, noAnswer.Reason)
				if test.reason != 0 {
					assert.Equal(t, noAnswer.Attempts, noAnswer.Ignored)
				} else {
					assert.Zero(t, noAnswer.Ignored)
				}
			})
		})
	}
}

func TestClientMessageAuthenticatorInResponses(t *testing.T) {
	overZeros := func(request radius.Packet) radius.Packet {
		h := radius.NewHasher(secret)
		p := response(request, radius.AccountingResponse, false)
		h.SignMessageAuthenticator(p, radius.HeaderLength, new([16]byte))
		h.SignResponse(p, request.Authenticator())
		return p
	}
	tests := []struct {
		name     string
		code     radius.Code
		allow    bool
		response func(radius.Packet) radius.Packet
		taken    bool
	}{
		{"Access-Request, required", radius.AccessRequest, false, func(r radius.Packet) radius.Packet { return response(r, radius.AccessReject, true) }, false},
		{"Access-Request, allowed to miss", radius.AccessRequest, true, func(r radius.Packet) radius.Packet { return response(r, radius.AccessReject, true) }, true},
		{"Access-Request, Protocol-Error", radius.AccessRequest, false, func(r radius.Packet) radius.Packet { return response(r, radius.ProtocolError, true) }, false},
		{"Status-Server, required", radius.StatusServer, false, func(r radius.Packet) radius.Packet { return response(r, radius.AccessAccept, true) }, false},
		{"Status-Server, allowed to miss", radius.StatusServer, true, func(r radius.Packet) radius.Packet { return response(r, radius.AccessAccept, true) }, true},
		{"Status-Server, there", radius.StatusServer, false, func(r radius.Packet) radius.Packet { return response(r, radius.AccessAccept, false) }, true},
		{"Status-Server, accounting port", radius.StatusServer, false, func(r radius.Packet) radius.Packet { return response(r, radius.AccountingResponse, true) }, true},
		{"Status-Server, accounting port, over zeros", radius.StatusServer, false, overZeros, false},
		{"Accounting-Request, none", radius.AccountingRequest, false, func(r radius.Packet) radius.Packet { return response(r, radius.AccountingResponse, true) }, true},
		{"Accounting-Request, over the request's", radius.AccountingRequest, false, func(r radius.Packet) radius.Packet { return response(r, radius.AccountingResponse, false) }, true},
		{"Accounting-Request, over zeros", radius.AccountingRequest, false, overZeros, true},
		{"CoA-Request", radius.CoARequest, false, func(r radius.Packet) radius.Packet { return response(r, radius.CoANAK, true) }, true},
		{"Disconnect-Request", radius.DisconnectRequest, false, func(r radius.Packet) radius.Packet { return response(r, radius.DisconnectACK, false) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNetwork{serve: func(send func([]byte), request radius.Packet) { send(test.response(request)) }}
				c := &radius.Client{Dial: network.dial, AllowMissingMessageAuthenticator: test.allow}
				defer c.Close()
				_, err := c.Exchange(t.Context(), "192.0.2.1:1812", secret, &radius.Message{Code: test.code})
				if test.taken {
					assert.NoError(t, err)
				} else {
					assert.ErrorAs(t, err, new(*radius.NoAnswerError))
				}
			})
		})
	}
}

// A thousand exchanges at a time use four sockets and every identifier once on each.
func TestClientSharesSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var waiting []func()
		most := 0
		network := &fakeNetwork{serve: func(send func([]byte), request radius.Packet) {
			mu.Lock()
			defer mu.Unlock()
			user, _ := request.Attributes().String(radius.TypeUserName)
			reply := response(request, radius.AccessAccept, false, radius.AppendString(nil, radius.TypeReplyMessage, user)...)
			waiting = append(waiting, func() { send(reply) })
			most = max(most, len(waiting))
		}}
		c := &radius.Client{Dial: network.dial, MaxSockets: 3, IdleTimeout: 10 * time.Second}
		defer c.Close()
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				m := &radius.Message{Code: radius.AccessRequest}
				user := string([]byte{byte(i >> 8), byte(i)})
				m.AddString(radius.TypeUserName, user)
				p, err := c.Exchange(t.Context(), "192.0.2.1:1812", secret, m)
				if assert.NoError(t, err) {
					message, _ := p.Attributes().String(radius.TypeReplyMessage)
					assert.Equal(t, user, message, "the answer to this request")
				}
			})
		}
		for answered := 0; answered < 1000; {
			synctest.Wait() // all that can be sent has been
			mu.Lock()
			batch := waiting
			waiting = nil
			mu.Unlock()
			require.NotEmpty(t, batch)
			for _, send := range batch {
				send()
			}
			answered += len(batch)
		}
		group.Wait()
		assert.Equal(t, 3*256, most, "three sockets are full and the others wait")
		assert.Equal(t, int32(3), network.dials.Load())
		synctest.Wait()
		assert.Equal(t, int32(3), network.open.Load())
		time.Sleep(10 * time.Second) // in the bubble
		synctest.Wait()
		assert.Zero(t, network.open.Load(), "idle sockets are closed")
	})
}

func TestClientWaitsForAFreeIdentifierNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNetwork{serve: func(func([]byte), radius.Packet) {}}
		c := &radius.Client{Dial: network.dial, MaxSockets: 1}
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for range 256 {
			group.Go(func() {
				_, err := c.Exchange(ctx, "192.0.2.1:1812", secret, &radius.Message{Code: radius.AccessRequest})
				assert.ErrorIs(t, err, context.Canceled)
				var noAnswer *radius.NoAnswerError
				if assert.ErrorAs(t, err, &noAnswer) {
					assert.Equal(t, 1, noAnswer.Attempts)
				}
			})
		}
		synctest.Wait()
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		_, err := c.Exchange(short, "192.0.2.1:1812", secret, &radius.Message{Code: radius.AccessRequest})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
		group.Wait()
		require.NoError(t, c.Close())
	})
}

func TestClientClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNetwork{serve: func(func([]byte), radius.Packet) {}}
		c := &radius.Client{Dial: network.dial}
		done := make(chan error)
		go func() {
			_, err := c.Exchange(t.Context(), "192.0.2.1:1812", secret, &radius.Message{Code: radius.AccessRequest})
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, c.Close())
		assert.ErrorIs(t, <-done, radius.ErrClientClosed)
		_, err := c.Exchange(t.Context(), "192.0.2.1:1812", secret, &radius.Message{Code: radius.AccessRequest})
		assert.ErrorIs(t, err, radius.ErrClientClosed)
		require.NoError(t, c.Close())
		synctest.Wait()
		assert.Zero(t, network.open.Load())
	})
}

// A socket that breaks ends what is under way on it; the next exchange opens another.
func TestClientBrokenSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		network := &fakeNetwork{serve: func(send func([]byte), request radius.Packet) {
			send(response(request, radius.AccessAccept, false))
		}}
		dial := func(ctx context.Context, n, address string) (net.Conn, error) {
			if broken {
				client, server := net.Pipe()
				go func() { server.Read(make([]byte, 4096)); server.Close() }()
				return client, nil
			}
			return network.dial(ctx, n, address)
		}
		c := &radius.Client{Dial: dial}
		defer c.Close()
		_, err := c.Exchange(t.Context(), "192.0.2.1:1812", secret, &radius.Message{Code: radius.AccessRequest})
		assert.ErrorIs(t, err, io.EOF)
		broken = false
		_, err = c.Exchange(t.Context(), "192.0.2.1:1812", secret, &radius.Message{Code: radius.AccessRequest})
		assert.NoError(t, err)
	})
}

func TestClientErrors(t *testing.T) {
	c := &radius.Client{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.EMFILE }}
	defer c.Close()
	m := &radius.Message{Code: radius.AccessRequest}
	_, err := c.Exchange(t.Context(), "192.0.2.1", secret, m)
	assert.ErrorContains(t, err, `server address "192.0.2.1"`)
	_, err = c.Exchange(t.Context(), "192.0.2.1:no such service", secret, m)
	assert.ErrorContains(t, err, "no such service")
	_, err = c.Exchange(t.Context(), "192.0.2.1:1812", secret, m)
	assert.ErrorIs(t, err, syscall.EMFILE)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Exchange(canceled, "192.0.2.1:1812", secret, m)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestMessageErrors(t *testing.T) {
	h := radius.NewHasher(secret)
	m := &radius.Message{Code: radius.AccessRequest, Attributes: make([]byte, 4096)}
	dst, err := m.AppendTo([]byte("before"), 1, h)
	assert.ErrorContains(t, err, "Access-Request of 4134 octets")
	assert.Equal(t, "before", string(dst))
	m.Attributes = []byte{1, 7, 'a'}
	dst, err = m.AppendTo([]byte("before"), 1, h)
	assert.ErrorContains(t, err, "malformed_attribute")
	assert.Equal(t, "before", string(dst))
	assert.ErrorContains(t, m.AddUserPassword(secret, string(make([]byte, 129))), "129 octets")
}

func TestMessage(t *testing.T) {
	h := radius.NewHasher(secret)
	for _, test := range []struct {
		name    string
		message radius.Message
		at      int // of the Message-Authenticator; 0: none
	}{
		{"Access-Request", radius.Message{Code: radius.AccessRequest}, 20},
		{"Status-Server", radius.Message{Code: radius.StatusServer}, 20},
		{"CoA-Request", radius.Message{Code: radius.CoARequest}, 20},
		{"Disconnect-Request", radius.Message{Code: radius.DisconnectRequest}, 20},
		{"Accounting-Request", radius.Message{Code: radius.AccountingRequest}, 0},
		{"omitted", radius.Message{Code: radius.AccessRequest, OmitMessageAuthenticator: true}, 0},
		{"its own", radius.Message{Code: radius.AccessRequest, Attributes: radius.AppendMessageAuthenticator(radius.AppendString(nil, 1, "bob"))}, 25},
		{"its own, accounting", radius.Message{Code: radius.AccountingRequest, Attributes: radius.AppendMessageAuthenticator(nil)}, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := test.message
			m.AddString(radius.TypeUserName, "alice")
			m.AddUint32(radius.TypeNASPort, 1)
			m.AddAddr(radius.TypeNASIPAddress, netip.MustParseAddr("192.0.2.1"))
			m.AddVendor(9, 1, []byte("a=b"))
			b, err := m.AppendTo(nil, 9, h)
			require.NoError(t, err)
			p, discard := radius.Parse(b)
			require.Zero(t, discard)
			assert.Equal(t, m.Code, p.Code())
			assert.Equal(t, uint8(9), p.Identifier())
			if test.at == 0 {
				assert.Equal(t, radius.MessageAuthenticatorAbsent, h.VerifyMessageAuthenticator(p, nil))
			} else {
				assert.Equal(t, radius.MessageAuthenticatorValid, h.VerifyMessageAuthenticator(p, nil))
				assert.Equal(t, test.at, offset(p, radius.TypeMessageAuthenticator))
			}
			switch m.Code {
			case radius.AccessRequest, radius.StatusServer:
				assert.Equal(t, *m.RequestAuthenticator(), *p.Authenticator())
				assert.NotZero(t, *p.Authenticator())
			default:
				assert.True(t, h.VerifyRequestAuthenticator(p))
			}
			assert.True(t, bytes.HasSuffix(p, m.Attributes) || test.at == 25 || m.Code == radius.AccountingRequest)
		})
	}
}

// On a real socket a closed port is told at once.
func TestClientRefused(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			port, err := freeport.Reserve() // nobody else takes it meanwhile
			require.NoError(t, err)
			server := net.JoinHostPort(host, strconv.Itoa(port))
			c := new(radius.Client)
			defer c.Close()
			start := time.Now()
			_, err = c.Exchange(t.Context(), server, secret, &radius.Message{Code: radius.AccessRequest})
			var unreachable *radius.UnreachableError
			require.ErrorAs(t, err, &unreachable)
			assert.Equal(t, server, unreachable.Server)
			assert.Equal(t, 1, unreachable.Attempts)
			assert.ErrorIs(t, err, syscall.ECONNREFUSED)
			assert.EqualError(t, err, "radius: "+server+" is unreachable: connection refused")
			assert.Less(t, time.Since(start), 20*time.Second)
		})
	}
	err := &radius.UnreachableError{Server: "a:1", Err: errors.New("gone")}
	assert.EqualError(t, err, "radius: a:1 is unreachable: gone")
}

// What another address sends does not reach the client, though it verifies.
func TestClientTakesAnswersFromTheServerOnly(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		buffer := make([]byte, 4096)
		n, from, err := server.ReadFrom(buffer)
		if !assert.NoError(t, err) {
			return
		}
		request := radius.Packet(buffer[:n])
		_, err = other.WriteTo(response(request, radius.AccessAccept, false), from)
		assert.NoError(t, err)
		_, err = server.WriteTo(response(request, radius.AccessReject, false), from)
		assert.NoError(t, err)
	})
	c := new(radius.Client)
	defer c.Close()
	p, err := c.Exchange(t.Context(), server.LocalAddr().String(), secret, &radius.Message{Code: radius.AccessRequest})
	require.NoError(t, err)
	assert.Equal(t, radius.AccessReject, p.Code())
}

// layeh.com/radius is the server: passwords, accounting, many at a time.
func TestClientAgainstLayeh(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(host, func(t *testing.T) {
			conn, err := net.ListenPacket("udp", host)
			require.NoError(t, err)
			server := &layeh.PacketServer{
				SecretSource: layeh.StaticSecretSource(secret),
				Handler: layeh.HandlerFunc(func(w layeh.ResponseWriter, r *layeh.Request) {
					switch r.Code {
					case layeh.CodeAccessRequest:
						code := layeh.CodeAccessReject
						if rfc2865.UserName_GetString(r.Packet) == "alice" && rfc2865.UserPassword_GetString(r.Packet) == "correct horse battery staple" {
							code = layeh.CodeAccessAccept
						}
						_ = w.Write(r.Response(code))
					case layeh.CodeAccountingRequest:
						if rfc2866.AcctStatusType_Get(r.Packet) == rfc2866.AcctStatusType_Value_Start {
							_ = w.Write(r.Response(layeh.CodeAccountingResponse))
						}
					case layeh.CodeDisconnectRequest:
						_ = w.Write(r.Response(layeh.CodeDisconnectACK))
					case layeh.CodeCoARequest:
						_ = w.Write(r.Response(layeh.CodeCoANAK))
					}
				}),
			}
			served := make(chan error)
			go func() { served <- server.Serve(conn) }()
			defer func() {
				require.NoError(t, server.Shutdown(context.Background()))
				assert.ErrorIs(t, <-served, layeh.ErrServerShutdown)
			}()
			// layeh.com/radius sends no Message-Authenticator.
			c := &radius.Client{AllowMissingMessageAuthenticator: true}
			defer c.Close()
			address := conn.LocalAddr().String()

			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					password, want := "correct horse battery staple", radius.AccessAccept
					if i%2 == 1 {
						password, want = "wrong", radius.AccessReject
					}
					m := &radius.Message{Code: radius.AccessRequest}
					m.AddString(radius.TypeUserName, "alice")
					assert.NoError(t, m.AddUserPassword(secret, password))
					p, err := c.Exchange(t.Context(), address, secret, m)
					if assert.NoError(t, err) {
						assert.Equal(t, want, p.Code())
					}
				})
			}
			group.Wait()
			for request, want := range map[radius.Code]radius.Code{
				radius.AccountingRequest: radius.AccountingResponse,
				radius.DisconnectRequest: radius.DisconnectACK,
				radius.CoARequest:        radius.CoANAK,
			} {
				m := &radius.Message{Code: request}
				m.AddUint32(radius.TypeAcctStatusType, radius.AcctStart)
				m.AddString(radius.TypeAcctSessionID, "0001")
				p, err := c.Exchange(t.Context(), address, secret, m)
				if assert.NoError(t, err, request) {
					assert.Equal(t, want, p.Code())
				}
			}

			// Another secret: layeh.com/radius verifies accounting and keeps silent; an
			// Access-Request is answered, and the answer does not verify.
			var noAnswer *radius.NoAnswerError
			for timeout := 100 * time.Millisecond; ; timeout *= 4 { // a busy machine may need longer
				short := &radius.Client{MaxAttempts: 1, InitialTimeout: timeout}
				_, err = short.Exchange(t.Context(), address, []byte("other"), &radius.Message{Code: radius.AccessRequest})
				require.NoError(t, short.Close())
				require.ErrorAs(t, err, &noAnswer)
				if noAnswer.Ignored > 0 || timeout > 20*time.Second {
					break
				}
			}
			assert.Equal(t, radius.DiscardAuthenticatorInvalid, noAnswer.Reason)
			assert.Equal(t, 1, noAnswer.Ignored)
		})
	}
}

func BenchmarkClientExchange(b *testing.B) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(b, err)
	var group sync.WaitGroup
	group.Go(func() {
		h := radius.NewHasher(secret)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.(*net.UDPConn).ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			request, _ := radius.Parse(buffer[:n])
			authenticator := *request.Authenticator()
			request[0], request[3] = byte(radius.AccessAccept), 38
			h.SignMessageAuthenticator(request[:38], 20, &authenticator)
			h.SignResponse(request[:38], &authenticator)
			_, _ = conn.(*net.UDPConn).WriteToUDPAddrPort(request[:38], from)
		}
	})
	c := new(radius.Client)
	b.Cleanup(func() {
		require.NoError(b, c.Close())
		require.NoError(b, conn.Close())
		group.Wait()
	})
	server := conn.LocalAddr().String()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m := radius.Message{Code: radius.AccessRequest}
			m.AddString(radius.TypeUserName, "alice")
			if _, err := c.Exchange(context.Background(), server, secret, &m); err != nil {
				b.Error(err)
			}
		}
	})
}
