package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
	"radiusd/billing/document"
	"radiusd/billing/mail"
	"radiusd/config"
	"radiusd/jobs"
	"radiusd/store"
)

// mailSend is the job of sending a mail.
type mailSend struct {
	Mail uuid.UUID `json:"mail"`
}

// Kind implements jobs.Args.
func (mailSend) Kind() string { return "mail.send" }

// How long a mail that somebody has begun to send is left to them, how often it is looked
// for mails that wait, and how many at once.
const (
	mailLease  = 5 * time.Minute
	mailPoll   = 5 * time.Second
	mailsFound = 1000
)

// mailer sends the mails that the store has waiting.
type mailer struct {
	store     *store.Store
	sender    *mail.Sender
	templates *mail.Templates
	language  string
	kind      *jobs.Kind[mailSend]
	log       *slog.Logger
}

// mailOptions read the settings of mail.
func mailOptions(c *config.Mail) (mail.Options, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return mail.Options{}, errors.New("mail.url is not a valid URL")
	}
	o := mail.Options{Host: u.Hostname(), Security: mail.StartTLS, From: c.From, FromName: c.FromName}
	switch mode := u.Query().Get("tls"); {
	case u.Scheme == "smtps":
		o.Security = mail.TLS
	case mode == "none":
		o.Security = mail.None
	case mode != "":
		return o, fmt.Errorf("mail.url: tls=%s is unknown: want none, or nothing", mode)
	}
	if u.Port() != "" {
		if o.Port, err = strconv.Atoi(u.Port()); err != nil {
			return o, errors.New("mail.url: the port is no number")
		}
	}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	return o, o.Validate()
}

// newMailer returns nil if no server is configured.
func newMailer(c *config.Mail, s *store.Store, queue *jobs.Queue, log *slog.Logger) (*mailer, error) {
	if c.URL == "" {
		return nil, nil
	}
	o, err := mailOptions(c)
	if err != nil {
		return nil, err
	}
	m := &mailer{store: s, language: c.Language, log: log}
	if m.sender, err = mail.NewSender(o); err != nil {
		return nil, err
	}
	var folder fs.FS
	if c.Templates != "" {
		folder = os.DirFS(c.Templates)
	}
	if m.templates, err = mail.LoadTemplates(folder, c.Language); err != nil {
		return nil, err
	}
	m.kind, err = jobs.Register(queue, m.send, jobs.Policy{
		Timeout: 3 * time.Minute, Attempts: 20, Pause: billing.MailPause, LongestPause: billing.LongestMailPause, Unique: true, Show: []string{"mail"},
	})
	return m, err
}

// run has jobs made of mails that wait, until ctx is done. The mails are written with what
// they are about, in one transaction, so none is forgotten; a job is only how one is sent.
func (m *mailer) run(ctx context.Context) {
	ticker := time.NewTicker(mailPoll)
	defer ticker.Stop()
	for {
		if err := m.queue(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("mails that wait cannot be read, trying again", "error", oneLine(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (m *mailer) queue(ctx context.Context) error {
	waiting, err := m.store.WaitingMails(ctx, mailsFound)
	if err != nil {
		return err
	}
	for _, mailID := range waiting {
		if _, _, err := m.kind.Insert(ctx, mailSend{mailID}); err != nil {
			return err
		}
	}
	return nil
}

// send sends a mail, once: what the server has taken is noted before anything else is
// done. If the process ends in between, the repetition has the same Message-ID.
func (m *mailer) send(ctx context.Context, args mailSend) error {
	claimed, err := m.store.ClaimMail(ctx, args.Mail, mailLease)
	if err != nil || claimed == nil {
		return err
	}
	message, reason, err := m.message(ctx, claimed)
	switch {
	case err != nil:
		return errors.Join(err, m.finish(ctx, claimed, billing.MailWaiting, err.Error()))
	case reason != "":
		return m.finish(ctx, claimed, billing.MailDropped, reason)
	}
	err = m.sender.Send(ctx, message)
	var failed *mail.Error
	switch {
	case err == nil:
		return m.finish(ctx, claimed, billing.MailSent, "")
	case errors.As(err, &failed) && !failed.Temporary:
		m.log.Warn("a mail was refused", "mail", claimed.ID, "invoice", claimed.Number, "code", failed.Code)
		return m.finish(ctx, claimed, billing.MailRefused, err.Error())
	}
	return errors.Join(err, m.finish(ctx, claimed, billing.MailWaiting, err.Error()))
}

// finish keeps what became of an attempt, also while the process ends, and for a while if
// the store is away.
func (m *mailer) finish(ctx context.Context, claimed *billing.Mailing, state billing.MailingState, reason string) (err error) {
	ctx = context.WithoutCancel(ctx)
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		if err = m.store.FinishMail(ctx, claimed.ID, state, reason); err == nil || pause > 10*time.Second {
			return err
		}
		time.Sleep(pause)
	}
}

// message makes a mail. A reason says why it is not to be sent any more.
func (m *mailer) message(ctx context.Context, claimed *billing.Mailing) (message *mail.Message, reason string, err error) {
	invoice, err := m.store.InvoiceByID(ctx, claimed.InvoiceID)
	if err != nil {
		return nil, "", err
	}
	reminder := claimed.Details.Reminder
	if invoice.State == billing.InvoiceVoid || reminder > 0 && invoice.State != billing.InvoiceIssued {
		return nil, "the invoice is " + string(invoice.State), nil
	}
	kind := claimed.Purpose
	if reminder > 0 {
		kind = mail.ReminderKind(reminder)
	}
	data := mail.Data{
		Customer: invoice.Buyer.Name, Username: invoice.Buyer.Username, Seller: invoice.Seller, Number: invoice.Number, Corrects: invoice.CorrectsNumber,
		Currency: invoice.Currency, Total: invoice.Total, Open: invoice.Open(), IssuedOn: invoice.IssuedOn, DueOn: invoice.DueOn,
		Step: reminder, DaysOverdue: claimed.Details.DaysOverdue, ActOn: claimed.Details.ActOn,
	}
	message = &mail.Message{ID: claimed.Purpose + "." + claimed.ID.String(), To: claimed.Recipient, ToName: invoice.Buyer.Name, Date: claimed.CreatedAt}
	if message.Subject, message.Text, err = m.templates.Render(kind, m.language, &data); err != nil {
		return nil, "", err
	}
	locale := m.language
	if !slices.Contains(document.Locales(), locale) {
		locale = "" // mails may have texts in more languages
	}
	var pdf bytes.Buffer
	if err := document.WritePDF(&pdf, invoice, document.Options{Locale: locale}); err != nil {
		return nil, "", err
	}
	message.Attachments = []mail.Attachment{{Name: fileName(invoice.Number) + ".pdf", ContentType: "application/pdf", Data: pdf.Bytes()}}
	var xml bytes.Buffer
	if document.Check(invoice) == nil { // else it has no machine-readable form, and invoice xml says why
		if err := document.WriteUBL(&xml, invoice); err != nil {
			return nil, "", err
		}
		message.Attachments = append(message.Attachments, mail.Attachment{Name: fileName(invoice.Number) + ".xml", ContentType: "application/xml", Data: xml.Bytes()})
	}
	return message, "", nil
}

// fileName is a number without what a name of a file cannot have.
func fileName(number string) string {
	name := []byte(number)
	for i, b := range name {
		if b == '/' || b == '\\' {
			name[i] = '-'
		}
	}
	return string(name)
}
