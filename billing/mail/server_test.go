package mail_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"radiusd/billing/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drop as a reply closes the connection.
const drop = "drop"

// server is an SMTP server that does as it is told.
type server struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config
	roots    *x509.CertPool
	implicit bool // TLS from the first octet
	starttls bool // is offered
	auth     string
	user     string // user NUL password that are right
	greeting string

	mu      sync.Mutex
	wg      sync.WaitGroup
	replies map[string][]string // to a command, one after the other; then 250
	mails   []received
	inClear bool // a password or a mail came without TLS
}

// received is a mail as it came.
type received struct {
	from, to, data string
	encrypted      bool
}

func newServer(t *testing.T, change ...func(*server)) *server {
	certified := httptest.NewTLSServer(nil) // for a certificate of 127.0.0.1
	s := &server{t: t, tls: &tls.Config{Certificates: certified.TLS.Certificates}, roots: x509.NewCertPool(), starttls: true,
		auth: "PLAIN LOGIN", user: "billing\x00pa55w0rd", greeting: "220 test ESMTP", replies: map[string][]string{}}
	s.roots.AddCert(certified.Certificate())
	certified.Close()
	for _, f := range change {
		f(s)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if s.implicit {
		listener = tls.NewListener(listener, s.tls)
	}
	s.listener = listener
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		s.wg.Wait()
	})
	return s
}

func (s *server) options() mail.Options {
	_, port, err := net.SplitHostPort(s.listener.Addr().String())
	require.NoError(s.t, err)
	n, err := strconv.Atoi(port)
	require.NoError(s.t, err)
	return mail.Options{Host: "127.0.0.1", Port: n, Security: mail.StartTLS, From: "billing@isp.example", FromName: "Müster Netz",
		Helo: "client.example", TLSConfig: &tls.Config{RootCAs: s.roots}}
}

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			session := &session{server: s, conn: conn, encrypted: s.implicit}
			session.serve()
			_ = session.conn.Close()
		})
	}
}

// next is the reply to a command.
func (s *server) next(command, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if replies := s.replies[command]; len(replies) > 0 {
		s.replies[command] = replies[1:]
		return replies[0]
	}
	return usual
}

func (s *server) received() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.mails...)
}

func (s *server) wasInClear() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inClear
}

type session struct {
	*server
	conn      net.Conn
	r         *bufio.Reader
	encrypted bool
	from, to  string
}

func (s *session) say(reply string) bool {
	if reply == drop {
		return false
	}
	_, err := fmt.Fprintf(s.conn, "%s\r\n", reply)
	return err == nil
}

func (s *session) line() (string, bool) {
	line, err := s.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err == nil
}

func (s *session) serve() {
	s.r = bufio.NewReader(s.conn)
	if !s.say(s.next("", s.greeting)) {
		return
	}
	for {
		line, ok := s.line()
		if !ok || !s.command(line) {
			return
		}
	}
}

// command answers, and reports whether to go on.
func (s *session) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO":
		reply := "250-test\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
		if s.starttls && !s.encrypted {
			reply += "250-STARTTLS\r\n"
		}
		if s.auth != "" {
			reply += "250-AUTH " + s.auth + "\r\n"
		}
		return s.say(s.next(verb, reply+"250 SIZE 50000000"))
	case "STARTTLS":
		reply := s.next(verb, "220 go")
		if !s.say(reply) || !strings.HasPrefix(reply, "220") {
			return reply != drop
		}
		s.conn = tls.Server(s.conn, s.server.tls)
		s.r, s.encrypted = bufio.NewReader(s.conn), true
		return true
	case "AUTH":
		return s.login(rest)
	case "MAIL":
		s.from = rest
		return s.say(s.next(verb, "250 ok"))
	case "RCPT":
		s.to = rest
		return s.say(s.next(verb, "250 ok"))
	case "DATA":
		reply := s.next(verb, "354 go ahead")
		return s.say(reply) && (!strings.HasPrefix(reply, "354") || s.data())
	case "QUIT":
		s.say(s.next(verb, "221 bye"))
		return false
	}
	return s.say(s.next(verb, "250 ok"))
}

func (s *session) login(rest string) bool {
	mechanism, first, _ := strings.Cut(rest, " ")
	var given string
	switch mechanism {
	case "PLAIN":
		decoded, err := base64.StdEncoding.DecodeString(first)
		if err != nil {
			return s.say("501 bad")
		}
		given = strings.TrimPrefix(string(decoded), "\x00")
	case "LOGIN":
		var parts []string
		for _, question := range []string{"Username:", "Password:"} {
			s.say("334 " + base64.StdEncoding.EncodeToString([]byte(question)))
			answer, _ := s.line()
			decoded, err := base64.StdEncoding.DecodeString(answer)
			if err != nil {
				return s.say("501 bad")
			}
			parts = append(parts, string(decoded))
		}
		given = strings.Join(parts, "\x00")
	}
	s.mu.Lock()
	s.inClear = s.inClear || !s.encrypted
	s.mu.Unlock()
	if given != s.user {
		return s.say("535 5.7.8 wrong: " + strings.ReplaceAll(given, "\x00", " "))
	}
	return s.say(s.next("AUTH", "235 ok"))
}

func (s *session) data() bool {
	var data strings.Builder
	cut := s.next("in data", "") == drop
	for {
		line, ok := s.line()
		if !ok || cut {
			return false
		}
		if line == "." {
			break
		}
		if len(line) > 998 {
			return s.say("500 5.5.2 line too long")
		}
		data.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
	reply := s.next(".", "250 2.0.0 queued")
	if strings.HasPrefix(reply, "250") || reply == drop {
		s.mu.Lock()
		s.mails = append(s.mails, received{s.from, s.to, data.String(), s.encrypted})
		s.inClear = s.inClear || !s.encrypted
		s.mu.Unlock()
	}
	return s.say(reply)
}
