package radiustest

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"radiusd/radius"
)

// Dynamic is the port of a NAS that takes Disconnect-Request and CoA-Request (RFC
// 5176) and answers as its script says.
type Dynamic struct {
	// Addr is its address, as host:port.
	Addr string
	// Requests are what came, in order, repeats included. What does not fit, for a
	// test that does not read it, is dropped.
	Requests <-chan DynamicRequest

	conn     *net.UDPConn
	secret   []byte
	script   func(radius.Packet) DynamicAnswer
	requests chan DynamicRequest
	closed   chan struct{}
	done     sync.WaitGroup
}

// DynamicRequest is a request that came.
type DynamicRequest struct {
	Packet radius.Packet
	// Verified says that its Request Authenticator, and its Message-Authenticator if
	// it has one, are right. If not, it gets no answer.
	Verified bool
}

// DynamicAnswer is how a NAS answers. The zero value is silence.
type DynamicAnswer struct {
	answer     bool
	nak        bool
	errorCause uint32
	unsigned   bool
	forged     bool
	repeats    int
	delay      time.Duration
	then       func()
}

// ACK answers that it is done.
func ACK() DynamicAnswer { return DynamicAnswer{answer: true} }

// NAK answers that it is not, with the Error-Cause unless that is 0.
func NAK(errorCause uint32) DynamicAnswer {
	return DynamicAnswer{answer: true, nak: true, errorCause: errorCause}
}

// Silence does not answer.
func Silence() DynamicAnswer { return DynamicAnswer{} }

// Unsigned leaves the Message-Authenticator out, which RFC 5176 section 3.6 allows.
func (a DynamicAnswer) Unsigned() DynamicAnswer {
	a.unsigned = true
	return a
}

// Forged spoils the Response Authenticator, as of somebody who does not know the
// secret.
func (a DynamicAnswer) Forged() DynamicAnswer {
	a.forged = true
	return a
}

// Twice sends the answer again right after.
func (a DynamicAnswer) Twice() DynamicAnswer {
	a.repeats++
	return a
}

// After sends the answer only after the time has passed. The script goes on with
// other requests meanwhile.
func (a DynamicAnswer) After(delay time.Duration) DynamicAnswer {
	a.delay = delay
	return a
}

// Then calls fn once the answer is sent, or would be: to send the accounting Stop of
// a session that was disconnected, for one. It is called from the goroutine that
// sends.
func (a DynamicAnswer) Then(fn func()) DynamicAnswer {
	a.then = fn
	return a
}

// NewDynamic opens such a port on the address, such as 127.0.0.1 or ::1, with [Secret],
// until the test ends. The script is called for each request that verifies, from a
// goroutine of its own, one at a time.
func NewDynamic(t testing.TB, address string, script func(request radius.Packet) DynamicAnswer) *Dynamic {
	t.Helper()
	requests := make(chan DynamicRequest, 1000)
	d := &Dynamic{
		conn: listen(t, address), secret: []byte(Secret), script: script,
		Requests: requests, requests: requests, closed: make(chan struct{}),
	}
	d.Addr = d.conn.LocalAddr().String()
	d.done.Go(d.serve)
	t.Cleanup(func() {
		close(d.closed)
		d.conn.Close()
		d.done.Wait()
	})
	return d
}

func (d *Dynamic) serve() {
	h := radius.NewHasher(d.secret)
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		p, discard := radius.Parse(append([]byte(nil), buffer[:n]...))
		if discard != 0 {
			continue
		}
		known := p.Code() == radius.DisconnectRequest || p.Code() == radius.CoARequest
		verified := known && h.VerifyRequestAuthenticator(p) && h.VerifyMessageAuthenticator(p, nil) != radius.MessageAuthenticatorInvalid
		select {
		case d.requests <- DynamicRequest{Packet: p, Verified: verified}:
		default:
		}
		if !verified {
			continue
		}
		d.answer(h, d.script(p), p, from)
	}
}

// answer sends what the script says, when it says.
func (d *Dynamic) answer(h *radius.Hasher, a DynamicAnswer, request radius.Packet, to netip.AddrPort) {
	var response radius.Packet
	if a.answer {
		response = a.packet(h, request) // here, for a Hasher is for one goroutine
	}
	send := func() {
		for range a.repeats + 1 {
			if a.answer {
				_, _ = d.conn.WriteToUDPAddrPort(response, to)
			}
		}
		if a.then != nil {
			a.then()
		}
	}
	if a.delay == 0 {
		send()
		return
	}
	d.done.Go(func() {
		select {
		case <-time.After(a.delay):
			send()
		case <-d.closed:
		}
	})
}

// packet returns the signed answer: the codes of ACK and NAK follow that of the request.
func (a DynamicAnswer) packet(h *radius.Hasher, request radius.Packet) radius.Packet {
	code := request.Code() + 1
	if a.nak {
		code = request.Code() + 2
	}
	p := radius.AppendHeader(nil, code, request.Identifier(), request.Authenticator())
	if !a.unsigned {
		p = radius.AppendMessageAuthenticator(p)
	}
	if a.errorCause != 0 {
		p = radius.AppendUint32(p, radius.TypeErrorCause, a.errorCause)
	}
	for t, value := range request.Attributes().All() {
		if t == radius.TypeProxyState { // RFC 5176 section 3.1
			p = radius.AppendAttribute(p, t, value)
		}
	}
	radius.SetLength(p)
	if !a.unsigned {
		h.SignMessageAuthenticator(p, radius.HeaderLength, request.Authenticator())
	}
	h.SignResponse(p, request.Authenticator())
	if a.forged {
		p[4] ^= 1
	}
	return p
}
