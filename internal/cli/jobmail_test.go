package cli

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// postOffice is an SMTP server that takes mails, but for some addresses.
type postOffice struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	mails []string
}

func newPostOffice(t *testing.T, address string) *postOffice {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	p := &postOffice{listener: listener}
	p.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.wg.Wait()
	})
	return p
}

func (p *postOffice) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	in := textproto.NewReader(bufio.NewReader(conn))
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 post office")
	for {
		line, err := in.ReadLine()
		if err != nil {
			return
		}
		switch command := strings.ToUpper(line); {
		case strings.HasPrefix(command, "EHLO"):
			say("250 post office")
		case strings.HasPrefix(command, "RCPT") && strings.Contains(line, "nobody@"):
			say("550 no such person")
		case command == "DATA":
			say("354 go on")
			text, err := in.ReadDotBytes()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.mails = append(p.mails, string(text))
			p.mu.Unlock()
			say("250 taken")
		case command == "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func (p *postOffice) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mails...)
}

// TestMails sends invoices and reminders by a server that is away at first: each once,
// with its documents, and says what became of those that cannot be sent.
func TestMails(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		today := time.Now().UTC()
		s.ok("plan", "add", "home")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--every", "year", "--due-days", "0")
		s.ok("billing", "set", "--seller-name", "Example Net", "--send-invoices")
		s.ok("billing", "dunning", "set", "--steps", "7 remind, 14 remind")
		for name, email := range map[string]string{"anna": "anna@example.org", "gone": "nobody@example.org", "paper": ""} {
			s.ok("user", "add", name, "--password", "x", "--email", email)
			s.ok("subscription", "add", name, "home", "--from", today.AddDate(0, 0, -10).Format(time.DateOnly))
		}
		s.ok("billing", "run", "--as-of", today.AddDate(0, 0, -10).Format(time.DateOnly))
		s.ok("billing", "dunning", "run")
		s.ok("billing", "dunning", "run")
		states := func() map[string]string {
			got := map[string]string{}
			for _, m := range s.rows("invoice", "mails") {
				got[m["username"].(string)+" "+m["purpose"].(string)] = m["state"].(string)
			}
			return got
		}
		assert.Equal(t, map[string]string{
			"anna invoice": "waiting", "gone invoice": "waiting", "paper invoice": "no_address",
			"anna overdue_7": "waiting", "gone overdue_7": "waiting", "paper overdue_7": "no_address",
		}, states())

		// Nothing listens yet.
		address := fmt.Sprintf("127.0.0.1:%d", testserver.Port(t))
		environ := []string{"RADIUSD_MAIL_URL=smtp://" + address + "?tls=none", "RADIUSD_MAIL_FROM=billing@isp.example", "RADIUSD_BILLING_RUN_AT="}
		_, stop := s.works(environ...)
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			failed := 0
			for _, m := range s.rows("invoice", "mails", "--user", "anna") {
				if m["error"] != nil && m["error"] != "" && m["next_at"] != nil {
					failed++
				}
			}
			assert.Equal(c, 2, failed, "the server is away")
		}, time.Minute, 100*time.Millisecond)
		office := newPostOffice(t, address)
		want := map[string]string{
			"anna invoice": "sent", "gone invoice": "refused", "paper invoice": "no_address",
			"anna overdue_7": "sent", "gone overdue_7": "refused", "paper overdue_7": "no_address",
		}
		require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, want, states()) }, 5*time.Minute, 200*time.Millisecond)
		stop()
		require.Len(t, office.taken(), 2)
		subjects := map[string]bool{}
		for _, text := range office.taken() {
			message, err := netmail.ReadMessage(strings.NewReader(text))
			require.NoError(t, err)
			assert.Contains(t, message.Header.Get("To"), "<anna@example.org>")
			assert.Contains(t, message.Header.Get("Message-ID"), "@isp.example>")
			subjects[message.Header.Get("Subject")] = true
			_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
			require.NoError(t, err)
			parts := multipart.NewReader(message.Body, params["boundary"])
			var files []string
			for {
				part, err := parts.NextPart()
				if err == io.EOF {
					break
				}
				require.NoError(t, err)
				files = append(files, part.FileName())
			}
			require.Len(t, files, 2)
			assert.Contains(t, files[1], ".pdf")
		}
		assert.Len(t, subjects, 2, "%v", subjects)

		// What was sent is not sent again, and what was paid is not reminded of.
		number := s.rows("invoice", "list", "--user", "anna")[0]["number"].(string)
		assert.Equal(t, "sent", s.rows("invoice", "send", number)[0]["state"])
		assert.Empty(t, withState(s.rows("invoice", "send", "--unsent"), "waiting"))
		s.ok("user", "set", "paper", "--email", "paper@example.org")
		assert.Len(t, withState(s.rows("invoice", "send", "--unsent"), "waiting"), 1)
		assert.Contains(t, s.fails(exitUsage, "invoice", "send"), "want the numbers")
		mailID := uuid.MustParse(s.rows("invoice", "mails", "--state", "waiting")[0]["id"].(string))
		_, err := s.open().ClaimMail(t.Context(), mailID, mailLease) // by a process that is killed then
		require.NoError(t, err)
		again, err := s.open().ClaimMail(t.Context(), mailID, mailLease)
		require.NoError(t, err)
		assert.Nil(t, again, "somebody else is at it")
	})
}

func withState(rows []map[string]any, state string) (list []map[string]any) {
	for _, row := range rows {
		if row["state"] == state {
			list = append(list, row)
		}
	}
	return list
}
