// Package mail writes and sends the mails of billing: invoices, reminders, receipts.
//
// [Templates] make the texts, in the language of the customer, from those that come
// with the program or the operator's own. [Sender] hands one mail to an SMTP server, and
// tells a failure that a later try may mend from one that it will not ([Error]). Trying
// again is the caller's: every mail has a Message-ID made from what it is about, so one
// that was delivered twice is recognised.
package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	smtp "github.com/wneessen/go-mail"

	"radiusd/internal/mailaddr"
)

// Security says how the connection to the server is encrypted.
type Security string

// The ways.
const (
	// StartTLS begins in clear and refuses to go on without encryption.
	StartTLS Security = "starttls"
	TLS      Security = "tls" // from the first octet, as on port 465
	// None is for a server on the same machine or a trusted network.
	None Security = "none"
)

// Options are what a Sender needs.
type Options struct {
	Host     string
	Port     int // 0: 587 for StartTLS, 465 for TLS, 25 for None
	Security Security
	// Username and Password log in; both empty: no log-in. In clear they are sent to
	// a server on this machine alone.
	Username, Password string
	From, FromName     string
	ReplyTo            string // empty: From
	// Helo is the name this machine gives itself; empty: its host name.
	Helo string
	// Timeout is of the whole of one mail; 0: a minute.
	Timeout time.Duration
	// TLSConfig is for other authorities than the system's; nil: those.
	TLSConfig *tls.Config
}

// Validate reports all that is wrong with the options, joined.
func (o *Options) Validate() error {
	var errs []error
	if o.Host == "" || strings.ContainsAny(o.Host, "/ \r\n") {
		errs = append(errs, fmt.Errorf("mail: the host %q: want the name or address of an SMTP server", o.Host))
	}
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("mail: the port %d: want 1 to 65535", o.Port))
	}
	switch o.Security {
	case StartTLS, TLS, None:
	default:
		errs = append(errs, fmt.Errorf("mail: security %q: want starttls, tls or none", o.Security))
	}
	if (o.Username == "") != (o.Password == "") {
		errs = append(errs, errors.New("mail: a username goes with a password"))
	}
	if err := checkAddress(o.From); err != nil {
		errs = append(errs, fmt.Errorf("mail: from: %w", err))
	}
	if o.ReplyTo != "" {
		if err := checkAddress(o.ReplyTo); err != nil {
			errs = append(errs, fmt.Errorf("mail: reply to: %w", err))
		}
	}
	if err := errors.Join(checkLine("from name", o.FromName), checkLine("helo", o.Helo)); err != nil {
		errs = append(errs, fmt.Errorf("mail: %w", err))
	}
	if o.Timeout < 0 {
		errs = append(errs, errors.New("mail: the timeout is negative"))
	}
	return errors.Join(errs...)
}

// Message is a mail.
type Message struct {
	// ID says what the mail is about and is the same when it is sent again: the kind
	// and the invoice's id, as invoice.0197a000-…. Letters, digits, points and dashes.
	ID          string
	To, ToName  string
	Subject     string
	Text        string
	Date        time.Time // of the first try, so that a repetition is the same; zero: now
	Attachments []Attachment
}

// Attachment is a file that goes with a mail.
type Attachment struct {
	Name        string // without a folder
	ContentType string // as application/pdf
	Data        []byte
}

// maxMessage bounds a mail; servers take 10 to 50 MB.
const maxMessage = 20 << 20

func (m *Message) validate() error {
	const idLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-_"
	var errs []error
	if m.ID == "" || len(m.ID) > 128 || strings.Trim(m.ID, idLetters) != "" || strings.Contains(m.ID, "..") || strings.Trim(m.ID, ".") != m.ID {
		errs = append(errs, fmt.Errorf("the id %.40q: want letters, digits, points and dashes", m.ID))
	}
	errs = append(errs, checkAddress(m.To), checkLine("name", m.ToName), checkLine("subject", m.Subject))
	if m.Subject == "" || m.Text == "" {
		errs = append(errs, errors.New("the subject or the text is missing"))
	}
	size := len(m.Text)
	for _, a := range m.Attachments {
		size += len(a.Data)
		errs = append(errs, checkLine("name of an attachment", a.Name))
		if a.Name == "" || strings.ContainsAny(a.Name, `/\`) {
			errs = append(errs, fmt.Errorf("an attachment is called %.40q", a.Name))
		}
		if kind, rest, ok := strings.Cut(a.ContentType, "/"); !ok || kind == "" || rest == "" || strings.Trim(kind+rest, idLetters+"+") != "" {
			errs = append(errs, fmt.Errorf("an attachment has the content type %.40q", a.ContentType))
		}
	}
	if size > maxMessage {
		errs = append(errs, fmt.Errorf("the mail has %d octets, more than %d", size, maxMessage))
	}
	return errors.Join(errs...)
}

// checkLine refuses what would end a header.
func checkLine(what, s string) error {
	if len(s) > 500 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("the %s %.40q: want one line of at most 500 octets", what, s)
	}
	return nil
}

// checkAddress accepts one plain address of ASCII, such as anna@example.org.
func checkAddress(s string) error {
	if !mailaddr.Valid(s) || len(s) > 254 ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"", r) }) {
		return fmt.Errorf("%.80q is no mail address: want one such as anna@example.org", s)
	}
	return nil
}

// Error is a mail that was not sent.
type Error struct {
	// Temporary means that the same mail may be taken later: the server was away or
	// busy, or refuses everybody. Otherwise it refused this mail, or the mail is wrong.
	Temporary bool
	Code      int // the server's answer; 0: there was none
	Err       error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Sender sends mails by one SMTP server. It is safe for concurrent use; each mail has a
// connection of its own.
type Sender struct{ o Options }

// NewSender returns a sender, or all that is wrong with the options.
func NewSender(o Options) (*Sender, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Port == 0 {
		o.Port = map[Security]int{StartTLS: 587, TLS: 465, None: 25}[o.Security]
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	return &Sender{o}, nil
}

// Send sends a mail and waits until the server has taken it. Errors are *Error. When the
// connection breaks after the whole mail was sent, it may have been taken: that is
// temporary, and the repetition has the same Message-ID.
func (s *Sender) Send(ctx context.Context, m *Message) error {
	if err := m.validate(); err != nil {
		return &Error{Err: fmt.Errorf("the mail %.40q: %w", m.ID, err)}
	}
	built, err := s.build(m)
	if err != nil {
		return &Error{Err: fmt.Errorf("the mail %.40q: %w", m.ID, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	var conn connection
	defer conn.close()
	client, err := s.client(&conn)
	if err != nil {
		return &Error{Err: fmt.Errorf("mail: %w", err)}
	}
	defer context.AfterFunc(ctx, conn.close)()
	err = client.DialAndSendWithContext(ctx, built)
	if err == nil || built.IsDelivered() { // what fails after that, as QUIT, is no matter
		return nil
	}
	return s.failure(ctx, m, err)
}

// build makes the mail as it goes over the wire.
func (s *Sender) build(m *Message) (*smtp.Msg, error) {
	msg := smtp.NewMsg(smtp.WithNoDefaultUserAgent())
	replyTo := s.o.ReplyTo
	if replyTo == "" {
		replyTo = s.o.From
	}
	msg.FromMailAddress(&netmail.Address{Name: s.o.FromName, Address: s.o.From})
	msg.AddToMailAddress(&netmail.Address{Name: m.ToName, Address: m.To})
	msg.ReplyToMailAddress(&netmail.Address{Address: replyTo})
	msg.Subject(m.Subject)
	_, domain, _ := strings.Cut(s.o.From, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	if !m.Date.IsZero() {
		msg.SetDateWithValue(m.Date)
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no replies by machines
	msg.SetBodyString(smtp.TypeTextPlain, strings.ReplaceAll(m.Text, "\r\n", "\n"))
	for _, a := range m.Attachments {
		if err := msg.AttachReader(a.Name, bytes.NewReader(a.Data), smtp.WithFileContentType(smtp.ContentType(a.ContentType))); err != nil {
			return nil, fmt.Errorf("attach %q: %w", a.Name, err)
		}
	}
	return msg, nil
}

func (s *Sender) client(conn *connection) (*smtp.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.o.TLSConfig != nil {
		config = s.o.TLSConfig.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = s.o.Host
	}
	policy := smtp.TLSMandatory
	if s.o.Security != StartTLS {
		policy = smtp.NoTLS // with TLS the connection is encrypted before SMTP begins
	}
	options := []smtp.Option{smtp.WithPort(s.o.Port), smtp.WithTimeout(s.o.Timeout), smtp.WithTLSPolicy(policy), smtp.WithTLSConfig(config),
		smtp.WithoutNoop(), smtp.WithoutRset(), smtp.WithoutSMTPUTF8(),
		smtp.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			return conn.dial(ctx, network, address, s.o.Security == TLS, config)
		})}
	if s.o.Helo != "" {
		options = append(options, smtp.WithHELO(s.o.Helo))
	}
	if s.o.Username != "" {
		options = append(options, smtp.WithUsername(s.o.Username), smtp.WithPassword(s.o.Password),
			smtp.WithOpportunisticSMTPAuth(smtp.SMTPAuthSCRAMSHA256, smtp.SMTPAuthPlain, smtp.SMTPAuthLogin))
	}
	return smtp.NewClient(s.o.Host, options...)
}

// failure tells what can be mended by waiting. That the server cannot be reached, is
// not encrypted or refuses the log-in is no fault of the mail: it waits until the
// operator has mended it.
func (s *Sender) failure(ctx context.Context, m *Message, err error) error {
	e := &Error{Temporary: true}
	server := net.JoinHostPort(s.o.Host, strconv.Itoa(s.o.Port))
	if sendErr, ok := errors.AsType[*smtp.SendError](err); ok {
		e.Code = sendErr.ErrorCode()
		e.Temporary = e.Code < 500
		e.Err = fmt.Errorf("the mail %q: %s: %s", m.ID, server, s.tidy(sendErr.Error()))
	} else if reply, ok := errors.AsType[*textproto.Error](err); ok { // to the greeting, EHLO, STARTTLS or AUTH
		e.Code = reply.Code
		e.Err = fmt.Errorf("the mail %q: %s refuses the connection or the log-in with %d", m.ID, server, reply.Code)
	} else {
		e.Err = fmt.Errorf("the mail %q: %s: %s", m.ID, server, s.tidy(err.Error()))
	}
	if ctx.Err() != nil && e.Code == 0 {
		e.Err = fmt.Errorf("%w (%w)", e.Err, ctx.Err())
	}
	return e
}

// tidy makes one line of what a server says, without the password, should it repeat it.
func (s *Sender) tidy(text string) string {
	if s.o.Password != "" {
		text = strings.ReplaceAll(text, s.o.Password, "…")
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	return strings.ToValidUTF8(text[:min(len(text), 300)], "")
}
