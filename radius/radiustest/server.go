package radiustest

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"radiusd/radius"
)

// Secret is the shared secret between a [NewServer] and its NAS.
const Secret = "testing123"

// A Server is a [radius.Server] on free ports of 127.0.0.1 and [::1] for a test.
type Server struct {
	*radius.Server
	// Auth and Acct are its addresses on 127.0.0.1, Auth6 and Acct6 those on [::1],
	// as host:port.
	Auth, Acct, Auth6, Acct6 string
}

// NewServer starts a server with the handler and shuts it down when the test ends.
// One NAS named "test" is at 127.0.0.1 and at ::1, with [Secret]; it must send
// Message-Authenticator. Its log goes to the test's. Each option may change the
// server before it starts, the NASes too; see [NASes].
func NewServer(t testing.TB, handler radius.Handler, options ...func(*radius.Server)) *Server {
	t.Helper()
	nas := &radius.NAS{Name: "test", Secrets: [][]byte{[]byte(Secret)}}
	s := &Server{Server: &radius.Server{
		Handler:   handler,
		NASes:     NASes{netip.MustParseAddr("127.0.0.1"): nas, netip.IPv6Loopback(): nas},
		Auth:      []string{"127.0.0.1:0", "[::1]:0"},
		Acct:      []string{"127.0.0.1:0", "[::1]:0"},
		Listeners: 1,
		Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	for _, option := range options {
		option(s.Server)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	auth, acct := s.Addrs()
	for _, a := range auth {
		if a.Addr().Is4() {
			s.Auth = a.String()
		} else {
			s.Auth6 = a.String()
		}
	}
	for _, a := range acct {
		if a.Addr().Is4() {
			s.Acct = a.String()
		} else {
			s.Acct6 = a.String()
		}
	}
	return s
}

// NASes is a [radius.NASLookup] by single address. It must not change while a
// server uses it.
type NASes map[netip.Addr]*radius.NAS

// LookupNAS returns the NAS at the address.
func (n NASes) LookupNAS(source netip.Addr) *radius.NAS { return n[source] }
