package mail_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/billing/mail"
	"radiusd/internal/freeport"
)

var noon = time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC)

func message(change ...func(*mail.Message)) *mail.Message {
	m := &mail.Message{ID: "invoice.0197a000-0000-7000-8000-000000000001", To: "anna@example.org", ToName: "Anna Groß, Söhne \"& Co\"",
		Subject: "Rechnung INV-000123 über 49,90 € für Ωμέγα und Łódź, die einen recht langen Betreff hat", Text: "Guten Tag,\n\n.ein Punkt am Anfang\nGrüße\n", Date: noon,
		Attachments: []mail.Attachment{{Name: "Rechnung größer.pdf", ContentType: "application/pdf", Data: pdf()}}}
	for _, f := range change {
		f(m)
	}
	return m
}

// pdf has all octets, and lines that look like the end of a mail.
func pdf() []byte {
	data := []byte("%PDF-1.7\r\n.\r\n..\r\n--boundary\r\n")
	for i := range 100000 {
		data = append(data, byte(i*i>>3))
	}
	return data
}

func send(t *testing.T, o mail.Options, m *mail.Message) error {
	sender, err := mail.NewSender(o)
	require.NoError(t, err)
	return sender.Send(t.Context(), m)
}

func TestSend(t *testing.T) {
	s := newServer(t)
	require.NoError(t, send(t, s.options(), message()))
	mails := s.received()
	require.Len(t, mails, 1)
	require.True(t, mails[0].encrypted)
	require.Contains(t, mails[0].from, "<billing@isp.example>")
	require.Contains(t, mails[0].to, "<anna@example.org>")
	for line := range strings.Lines(mails[0].data) {
		require.LessOrEqual(t, len(line), 100)
		require.Less(t, strings.IndexFunc(line, func(r rune) bool { return r > 126 }), 0, "7 bits")
	}

	got, err := netmail.ReadMessage(strings.NewReader(mails[0].data))
	require.NoError(t, err)
	words := new(mime.WordDecoder)
	subject, err := words.DecodeHeader(got.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, message().Subject, subject)
	to, err := got.Header.AddressList("To")
	require.NoError(t, err)
	require.Equal(t, []*netmail.Address{{Name: message().ToName, Address: "anna@example.org"}}, to)
	from, err := got.Header.AddressList("From")
	require.NoError(t, err)
	require.Equal(t, "Müster Netz", from[0].Name)
	date, err := got.Header.Date()
	require.NoError(t, err)
	require.True(t, date.Equal(noon))
	require.Equal(t, "<invoice.0197a000-0000-7000-8000-000000000001@isp.example>", got.Header.Get("Message-ID"))
	require.Equal(t, "auto-generated", got.Header.Get("Auto-Submitted"))

	text, file, name := parts(t, got)
	require.Equal(t, message().Text, text)
	require.Equal(t, "Rechnung größer.pdf", name)
	require.True(t, bytes.Equal(pdf(), file), "the PDF comes out octet for octet")
}

// parts takes a mail of a text and a file apart.
func parts(t *testing.T, m *netmail.Message) (text string, file []byte, name string) {
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/mixed", kind)
	r := multipart.NewReader(m.Body, params["boundary"])
	part, err := r.NextRawPart()
	require.NoError(t, err)
	require.Equal(t, "quoted-printable", part.Header.Get("Content-Transfer-Encoding"))
	body, err := io.ReadAll(quotedprintable.NewReader(part))
	require.NoError(t, err)
	text = strings.ReplaceAll(string(body), "\r\n", "\n")
	part, err = r.NextRawPart()
	require.NoError(t, err)
	require.Equal(t, "base64", part.Header.Get("Content-Transfer-Encoding"))
	require.Contains(t, part.Header.Get("Content-Type"), "application/pdf")
	file, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
	require.NoError(t, err)
	_, params, err = mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	require.NoError(t, err)
	name, err = new(mime.WordDecoder).DecodeHeader(params["filename"])
	require.NoError(t, err)
	_, err = r.NextRawPart()
	require.ErrorIs(t, err, io.EOF)
	return text, file, name
}

func TestSecurity(t *testing.T) {
	login := func(o *mail.Options) { o.Username, o.Password = "billing", "pa55w0rd" }
	for _, c := range []struct {
		name   string
		server func(*server)
		change func(*mail.Options)
		wrong  string
		code   int
	}{
		{"STARTTLS", func(*server) {}, func(*mail.Options) {}, "", 0},
		{"STARTTLS and PLAIN", func(*server) {}, login, "", 0},
		{"STARTTLS and LOGIN", func(s *server) { s.auth = "LOGIN" }, login, "", 0},
		{"TLS", func(s *server) { s.implicit = true }, func(o *mail.Options) { o.Security = mail.TLS }, "", 0},
		{"TLS and PLAIN", func(s *server) { s.implicit = true }, func(o *mail.Options) { o.Security = mail.TLS; login(o) }, "", 0},
		{"TLS and LOGIN", func(s *server) { s.implicit, s.auth = true, "LOGIN" }, func(o *mail.Options) { o.Security = mail.TLS; login(o) }, "", 0},
		{"none, on this machine", func(*server) {}, func(o *mail.Options) { o.Security = mail.None; login(o) }, "", 0},
		{"STARTTLS is not offered", func(s *server) { s.starttls = false }, func(*mail.Options) {}, "STARTTLS", 0},
		{"STARTTLS is refused", func(s *server) { s.replies["STARTTLS"] = []string{"454 not now"} }, func(*mail.Options) {}, "refuses", 454},
		{"a certificate of nobody", func(*server) {}, func(o *mail.Options) { o.TLSConfig = nil }, "certificate", 0},
		{"a certificate of another", func(*server) {}, func(o *mail.Options) { o.TLSConfig.ServerName = "mail.example" }, "certificate", 0},
		{"a wrong password", func(*server) {}, func(o *mail.Options) { o.Username, o.Password = "billing", "s3cret" }, "refuses the connection or the log-in with 535", 535},
		{"no log-in there", func(s *server) { s.auth = "" }, login, "AUTH", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.server)
			o := s.options()
			c.change(&o)
			err := send(t, o, message())
			if c.wrong == "" {
				require.NoError(t, err)
				require.Len(t, s.received(), 1)
				require.Equal(t, o.Security == mail.None, s.wasInClear())
				return
			}
			require.ErrorContains(t, err, c.wrong)
			require.NotContains(t, err.Error(), "s3cret")
			require.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString([]byte("s3cret")))
			var e *mail.Error
			require.ErrorAs(t, err, &e)
			require.True(t, e.Temporary, "the mail is not to blame")
			require.Equal(t, c.code, e.Code)
			require.Empty(t, s.received())
			require.False(t, s.wasInClear())
		})
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, at, reply string
		temporary       bool
		code            int
		want            string
		mails           int
	}{
		{"greylisted", "RCPT", "451 4.7.1 Greylisted, try again in 300 seconds", true, 451, "Greylisted", 0},
		{"no such user", "RCPT", "550 5.1.1 no such user", false, 550, "no such user", 0},
		{"mailbox full", "RCPT", "452 4.2.2 mailbox full", true, 452, "full", 0},
		{"the sender is refused", "MAIL", "553 5.7.1 not yours", false, 553, "not yours", 0},
		{"busy", "MAIL", "421 4.3.2 shutting down", true, 421, "shutting down", 0},
		{"no data now", "DATA", "451 4.3.0 later", true, 451, "later", 0},
		{"taken for spam", ".", "554 5.7.1 spam", false, 554, "spam", 0},
		{"a scanner is away", ".", "451 4.7.1 try later", true, 451, "try later", 0},
		{"several lines", "RCPT", "550-5.7.1 this\r\n550 5.7.1 and that", false, 550, "this", 0},
		{"busy at the door", "", "421 too many", true, 421, "421", 0},
		{"closed at the door", "", "554 no", true, 554, "554", 0},
		{"gone at the door", "", drop, true, 0, "", 0},
		{"gone at the recipient", "RCPT", drop, true, 0, "", 0},
		{"gone in the middle of the mail", "in data", drop, true, 0, "", 0},
		{"gone before it said that it took the mail", ".", drop, true, 0, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, func(s *server) { s.replies[c.at] = []string{c.reply} })
			err := send(t, s.options(), message())
			var e *mail.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.temporary, e.Temporary, err.Error())
			require.Equal(t, c.code, e.Code, err.Error())
			require.ErrorContains(t, err, c.want)
			require.Less(t, len(err.Error()), 600)
			require.Len(t, s.received(), c.mails)

			require.NoError(t, send(t, s.options(), message()), "a later try")
			mails := s.received()
			require.Len(t, mails, c.mails+1)
			for _, m := range mails {
				require.Contains(t, m.data, "Message-ID: <invoice.0197a000-0000-7000-8000-000000000001@isp.example>", "what came twice is recognised")
			}
		})
	}
}

func TestQuitFailsAfterDelivery(t *testing.T) {
	s := newServer(t, func(s *server) { s.replies["QUIT"] = []string{drop} })
	require.NoError(t, send(t, s.options(), message()))
	require.Len(t, s.received(), 1)
}

func TestServerIsAway(t *testing.T) {
	port, err := freeport.Reserve() // nobody else takes it meanwhile
	require.NoError(t, err)
	err = send(t, mail.Options{Host: "127.0.0.1", Port: port, Security: mail.None, From: "billing@isp.example"}, message())
	var e *mail.Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Temporary)
}

// TestServerSaysNothing ends by the timeout, and by the caller's context.
func TestServerSaysNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	o := mail.Options{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Security: mail.None, From: "billing@isp.example", Timeout: 50 * time.Millisecond}
	err = send(t, o, message())
	var e *mail.Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Temporary)

	o.Timeout = time.Hour
	sender, err := mail.NewSender(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	time.AfterFunc(20*time.Millisecond, func() { cancel(stop) })
	err = sender.Send(ctx, message())
	require.ErrorIs(t, err, context.Canceled)
}

// TestNoHeaderInjection: what has a line break is refused before anything is sent.
func TestNoHeaderInjection(t *testing.T) {
	s := newServer(t)
	const injected = "x\r\nBcc: all@example.org"
	for _, c := range []struct {
		name   string
		change func(*mail.Message)
	}{
		{"subject", func(m *mail.Message) { m.Subject = injected }},
		{"subject with a bare line feed", func(m *mail.Message) { m.Subject = "x\nBcc: all@example.org" }},
		{"subject with NUL", func(m *mail.Message) { m.Subject = "x\x00" }},
		{"name", func(m *mail.Message) { m.ToName = injected }},
		{"address", func(m *mail.Message) { m.To = "anna@example.org\r\nRCPT TO:<all@example.org>" }},
		{"two addresses", func(m *mail.Message) { m.To = "anna@example.org, bob@example.org" }},
		{"address with a name", func(m *mail.Message) { m.To = "Bob <bob@example.org>" }},
		{"address with a space", func(m *mail.Message) { m.To = "\"a b\"@example.org" }},
		{"address that is none", func(m *mail.Message) { m.To = "anna" }},
		{"no address", func(m *mail.Message) { m.To = "" }},
		{"address beyond ASCII", func(m *mail.Message) { m.To = "jürgen@example.org" }},
		{"id", func(m *mail.Message) { m.ID = injected }},
		{"id with an at", func(m *mail.Message) { m.ID = "a@b" }},
		{"id with two points", func(m *mail.Message) { m.ID = "a..b" }},
		{"no id", func(m *mail.Message) { m.ID = "" }},
		{"no subject", func(m *mail.Message) { m.Subject = "" }},
		{"no text", func(m *mail.Message) { m.Text = "" }},
		{"name of a file", func(m *mail.Message) { m.Attachments[0].Name = injected }},
		{"folder of a file", func(m *mail.Message) { m.Attachments[0].Name = "../x.pdf" }},
		{"type of a file", func(m *mail.Message) { m.Attachments[0].ContentType = "application/pdf" + injected }},
		{"too large", func(m *mail.Message) { m.Attachments[0].Data = make([]byte, 21<<20) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := send(t, s.options(), message(c.change))
			var e *mail.Error
			require.ErrorAs(t, err, &e)
			require.False(t, e.Temporary)
		})
	}
	require.Empty(t, s.received())
}

// TestLongLines: a text of one long line is cut for the way, and whole on arrival.
func TestLongLines(t *testing.T) {
	s := newServer(t)
	m := message(func(m *mail.Message) { m.Text = strings.Repeat("langes Wört ", 2000) + "\n" })
	require.NoError(t, send(t, s.options(), m))
	got, err := netmail.ReadMessage(strings.NewReader(s.received()[0].data))
	require.NoError(t, err)
	text, _, _ := parts(t, got)
	require.Equal(t, m.Text, text)
}

func TestOptionsValidate(t *testing.T) {
	_, err := mail.NewSender(mail.Options{Host: "mail/x", Port: 70000, Security: "ssl", Username: "u", From: "isp", ReplyTo: "x y", FromName: "a\nb", Timeout: -1})
	for _, want := range []string{"host", "port", "security", "username goes with a password", "from:", "reply to", "from name", "timeout"} {
		require.ErrorContains(t, err, want)
	}
	_, err = mail.NewSender(mail.Options{Host: "mail.example", Security: mail.TLS, From: "billing@isp.example"})
	require.NoError(t, err)
}
