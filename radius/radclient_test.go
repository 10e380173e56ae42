package radius_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/radius"
)

// radclient of FreeRADIUS accepts our answers, with and without Message-Authenticator
// in its requests, over IPv4 and IPv6.
func TestRadclient(t *testing.T) {
	path := testserver.Program(t, "radclient")
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Code() == radius.AccountingRequest {
			w.Send()
			return
		}
		w.Defer(func(w *radius.Reply, r *radius.Request) {
			plain, ok := r.AppendUserPassword(nil)
			switch {
			case ok && string(plain) == "right":
				w.SetCode(radius.AccessAccept)
				w.AddString(radius.TypeReplyMessage, "welcome")
				w.AddSalted(0, uint8(radius.TypeTunnelPassword), []byte("tunnel secret"))
			case r.Packet.Attributes().Has(radius.TypeState):
				w.SetCode(radius.AccessChallenge)
				w.Add(radius.TypeState, []byte("1"))
			}
			w.Send()
		})
	}), func(s *radius.Server) {
		s.Auth, s.Acct = []string{":0"}, []string{":0"}
		s.NASes = loopbackNAS(&radius.NAS{
			Name: "radclient", Secrets: [][]byte{testSecret},
			RequireMessageAuthenticator: radius.RequireNo, LimitProxyState: true,
		})
	})
	run := func(t *testing.T, host, port, command, input string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		args := []string{"-x", "-r", "6", "-t", "5"}
		if strings.HasPrefix(host, "[") {
			args = append(args, "-6")
		}
		cmd := exec.CommandContext(ctx, path, append(args, host+":"+port, command, string(testSecret))...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	_, authPort, _ := strings.Cut(s.auth.String(), "]:")
	_, acctPort, _ := strings.Cut(s.acct.String(), "]:")
	const signed = ",Message-Authenticator=0x00"
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		for _, c := range []struct {
			name, port, command, input, want string
			ok                               bool
		}{
			{"accepted", authPort, "auth", "User-Name=alice,User-Password=right", "Received Access-Accept", true},
			{"accepted, signed", authPort, "auth", "User-Name=alice,User-Password=right" + signed, "Tunnel-Password:0 = \"tunnel secret\"", true},
			{"rejected", authPort, "auth", "User-Name=alice,User-Password=wrong", "Received Access-Reject", false},
			{"challenged", authPort, "auth", "User-Name=alice,User-Password=wrong,State=0x31", "Received Access-Challenge", false},
			{"Proxy-State, signed", authPort, "auth", "User-Name=alice,User-Password=right,Proxy-State=0x3132" + signed, "Proxy-State = 0x3132", true},
			{"Proxy-State", authPort, "auth", "User-Name=alice,User-Password=right,Proxy-State=0x3132", "No reply", false},
			{"accounting", acctPort, "acct", "Acct-Status-Type=Start,Acct-Session-Id=1,User-Name=alice", "Received Accounting-Response", true},
			{"accounting, signed", acctPort, "acct", "Acct-Status-Type=Stop,Acct-Session-Id=1,User-Name=alice" + signed, "Received Accounting-Response", true},
			{"status of accounting", acctPort, "status", "Message-Authenticator=0x00", "Received Accounting-Response", true},
			{"status", authPort, "status", "Message-Authenticator=0x00", "Received Access-Accept", true},
		} {
			if c.want == "No reply" && host != "[::1]" {
				continue // it waits for its timeouts
			}
			t.Run(host+" "+c.name, func(t *testing.T) {
				t.Parallel()
				out, err := run(t, host, c.port, c.command, c.input+"\n")
				require.Contains(t, out, c.want)
				require.Equal(t, c.ok, err == nil, "%v\n%s", err, out)
			})
		}
	}
}
