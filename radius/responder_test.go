package radius_test

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"radiusd/internal/testserver"
	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// radclient runs FreeRADIUS's client with one request and returns what it printed
// and whether it got the answer that it wanted.
func radclient(t *testing.T, server, kind, attributes string) (string, bool) {
	t.Helper()
	program := testserver.Program(t, "radclient")
	args := []string{"-x", "-r", "1", "-t", "5"}
	if strings.HasPrefix(server, "[") {
		args = append(args, "-6")
	}
	command := exec.CommandContext(t.Context(), program, append(args, server, kind, string(secret))...)
	command.Stdin = strings.NewReader(attributes + "\n")
	out, err := command.CombinedOutput()
	return string(out), err == nil
}

// responder answers requests with the codec alone: users whose password is "hello",
// all accounting, Status-Server, Disconnect, and a NAK to CoA.
type responder struct {
	address string
	mangle  func(request, response radius.Packet) // changes a response before it is sent; may be nil
}

func newResponder(t *testing.T, host string, mangle func(request, response radius.Packet)) *responder {
	t.Helper()
	conn, err := net.ListenPacket("udp", host)
	require.NoError(t, err)
	r := &responder{address: conn.LocalAddr().String(), mangle: mangle}
	var group sync.WaitGroup
	group.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if request, discard := radius.Parse(buffer[:n]); discard == 0 {
				if reply := r.answer(request); reply != nil {
					_, _ = conn.WriteTo(reply, from)
				}
			}
		}
	})
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		group.Wait()
	})
	return r
}

func (r *responder) answer(request radius.Packet) radius.Packet {
	h := radius.NewHasher(secret)
	verified := h.VerifyMessageAuthenticator(request, nil)
	if verified == radius.MessageAuthenticatorInvalid {
		return nil
	}
	var code radius.Code
	var attributes []byte
	protect := true
	switch request.Code() {
	case radius.AccessRequest:
		code = radius.AccessReject
		password, _ := request.Attributes().Get(radius.TypeUserPassword)
		plain, ok := h.AppendUserPassword(nil, password, request.Authenticator())
		chap, _ := request.Attributes().Get(radius.TypeCHAPPassword)
		if ok && string(plain) == "hello" || radius.VerifyCHAP(chap, []byte("hello"), request.CHAPChallenge()) {
			code = radius.AccessAccept
			c := h.Cipher(request.Authenticator())
			secret := []byte("tunnel secret of more than sixteen")
			if user, _ := request.Attributes().String(radius.TypeUserName); user == "longest" {
				secret = bytes.Repeat([]byte("z"), radius.MaxSaltedLength)
			}
			tunnel, _ := c.AppendSalted([]byte{1}, secret)
			key, _ := c.AppendSalted(nil, []byte("0123456789abcdef"))
			attributes = radius.AppendAttribute(attributes, radius.TypeTunnelPassword, tunnel)
			attributes = radius.AppendVendor(attributes, 311, 17, key)
			attributes = radius.AppendVendor(attributes, 14988, 8, []byte("1M/2M"))
		}
	case radius.StatusServer:
		if verified != radius.MessageAuthenticatorValid {
			return nil
		}
		code = radius.AccessAccept
	case radius.AccountingRequest:
		if !h.VerifyRequestAuthenticator(request) {
			return nil
		}
		code, protect = radius.AccountingResponse, false
	case radius.DisconnectRequest, radius.CoARequest:
		if !h.VerifyRequestAuthenticator(request) {
			return nil
		}
		code = radius.DisconnectACK
		if request.Code() == radius.CoARequest {
			code = radius.CoANAK
			attributes = radius.AppendUint32(attributes, radius.TypeErrorCause, 503)
		}
	}
	reply := response(request, code, !protect, attributes...)
	if r.mangle != nil {
		r.mangle(request, reply)
	}
	return reply
}

// radclient verifies what we sign and reads what we encrypt, and we verify and read
// what it sends.
func TestRadclientAgainstResponder(t *testing.T) {
	tests := []struct {
		name, kind, attributes string
		ok                     bool
		output                 []string
	}{
		{"PAP", "auth", "User-Name=alice,User-Password=hello", true, []string{
			"Received Access-Accept", "Message-Authenticator = 0x", `Tunnel-Password:1 = "tunnel secret of more than sixteen"`,
			"MS-MPPE-Recv-Key = 0x30313233343536373839616263646566", `Mikrotik-Rate-Limit = "1M/2M"`}},
		{"PAP with Message-Authenticator", "auth", "User-Name=alice,User-Password=hello,Message-Authenticator=0x00", true, []string{"Received Access-Accept"}},
		{"longest Tunnel-Password", "auth", "User-Name=longest,User-Password=hello", true, []string{
			`Tunnel-Password:1 = "` + strings.Repeat("z", 249) + `"`}},
		{"PAP, wrong", "auth", "User-Name=alice,User-Password=hellO", false, []string{"Received Access-Reject", "Message-Authenticator = 0x"}},
		{"CHAP", "auth", "User-Name=alice,CHAP-Password=hello", true, []string{"Received Access-Accept"}},
		{"CHAP with CHAP-Challenge", "auth", "User-Name=alice,CHAP-Password=hello,CHAP-Challenge=0x0102030405060708090a0b0c0d0e0f10", true, []string{"Received Access-Accept"}},
		{"CHAP, wrong", "auth", "User-Name=alice,CHAP-Password=hellO", false, []string{"Received Access-Reject"}},
		{"Accounting-Request", "acct", "User-Name=alice,Acct-Status-Type=Start,Acct-Session-Id=1", true, []string{"Received Accounting-Response"}},
		{"Accounting-Request with Message-Authenticator", "acct", "Acct-Status-Type=Stop,Acct-Session-Id=1,Message-Authenticator=0x00", true, []string{"Received Accounting-Response"}},
		{"Status-Server", "status", "Message-Authenticator=0x00", true, []string{"Received Access-Accept"}},
		{"Disconnect-Request", "disconnect", "User-Name=alice,Message-Authenticator=0x00", true, []string{"Received Disconnect-ACK"}},
		{"CoA-Request", "coa", "User-Name=alice,Message-Authenticator=0x00", false, []string{"Received CoA-NAK", "Error-Cause = Session-Context-Not-Found"}},
	}
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		server := newResponder(t, host, nil)
		for _, test := range tests {
			t.Run(test.name+" to "+host, func(t *testing.T) {
				out, ok := radclient(t, server.address, test.kind, test.attributes)
				assert.Equal(t, test.ok, ok, out)
				for _, want := range test.output {
					assert.Contains(t, out, want)
				}
			})
		}
	}
}

// That radclient takes our responses means something: it refuses broken ones.
func TestRadclientRefusesBrokenResponders(t *testing.T) {
	for name, mangle := range map[string]func(request, response radius.Packet){
		"Response Authenticator": func(_, p radius.Packet) { p[4] ^= 1 },
		"Message-Authenticator": func(request, p radius.Packet) {
			p[30] ^= 1
			radius.NewHasher(secret).SignResponse(p, request.Authenticator())
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := newResponder(t, "127.0.0.1:0", mangle)
			out, ok := radclient(t, server.address, "auth", "User-Name=alice,User-Password=hello")
			assert.False(t, ok, out)
			assert.Contains(t, out, "No reply from server")
		})
	}
}

// Our client against the same responder, so that both clients see the same server.
func TestClientAgainstResponder(t *testing.T) {
	server := newResponder(t, "[::1]:0", nil)
	c := &radius.Client{InitialTimeout: 5 * time.Second}
	defer c.Close()
	for password, want := range map[string]radius.Code{"hello": radius.AccessAccept, "hellO": radius.AccessReject} {
		m := &radius.Message{Code: radius.AccessRequest}
		m.AddString(radius.TypeUserName, "alice")
		require.NoError(t, m.AddUserPassword(secret, password))
		p, err := c.Exchange(t.Context(), server.address, secret, m)
		require.NoError(t, err)
		assert.Equal(t, want, p.Code())

		m = &radius.Message{Code: radius.AccessRequest}
		m.AddCHAPPassword(7, password)
		p, err = c.Exchange(t.Context(), server.address, secret, m)
		require.NoError(t, err)
		assert.Equal(t, want, p.Code())
	}
	for request, want := range map[radius.Code]radius.Code{
		radius.StatusServer: radius.AccessAccept, radius.AccountingRequest: radius.AccountingResponse,
		radius.DisconnectRequest: radius.DisconnectACK, radius.CoARequest: radius.CoANAK,
	} {
		p, err := c.Exchange(t.Context(), server.address, secret, &radius.Message{Code: request})
		require.NoError(t, err)
		assert.Equal(t, want, p.Code())
	}
}
