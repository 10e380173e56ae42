package radiustest

import (
	"net"
	"sync"
	"testing"

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
}

// ACK answers that it is done.
func ACK() DynamicAnswer { return DynamicAnswer{answer: true} }

// NAK answers that it is not, with the Error-Cause unless that is 0.
func NAK(errorCause uint32) DynamicAnswer {
	return DynamicAnswer{answer: true, nak: true, errorCause: errorCause}
}

// Silence does not answer.
func Silence() DynamicAnswer { return DynamicAnswer{} }

// NewDynamic opens such a port on the address, such as 127.0.0.1 or ::1, with [Secret],
// until the test ends. The script is called for each request that verifies, from a
// goroutine of its own, one at a time.
func NewDynamic(t testing.TB, address string, script func(request radius.Packet) DynamicAnswer) *Dynamic {
	t.Helper()
	requests := make(chan DynamicRequest, 1000)
	d := &Dynamic{conn: listen(t, address), secret: []byte(Secret), script: script, Requests: requests, requests: requests}
	d.Addr = d.conn.LocalAddr().String()
	d.done.Go(d.serve)
	t.Cleanup(func() {
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
		if answer := d.script(p); answer.answer {
			_, _ = d.conn.WriteToUDPAddrPort(answer.packet(h, p), from)
		}
	}
}

// packet returns the signed answer: the codes of ACK and NAK follow that of the request.
func (a DynamicAnswer) packet(h *radius.Hasher, request radius.Packet) radius.Packet {
	code := request.Code() + 1
	if a.nak {
		code = request.Code() + 2
	}
	p := radius.AppendHeader(nil, code, request.Identifier(), request.Authenticator())
	p = radius.AppendMessageAuthenticator(p)
	if a.errorCause != 0 {
		p = radius.AppendUint32(p, radius.TypeErrorCause, a.errorCause)
	}
	for t, value := range request.Attributes().All() {
		if t == radius.TypeProxyState { // RFC 5176 section 3.1
			p = radius.AppendAttribute(p, t, value)
		}
	}
	radius.SetLength(p)
	h.SignMessageAuthenticator(p, radius.HeaderLength, request.Authenticator())
	h.SignResponse(p, request.Authenticator())
	return p
}
