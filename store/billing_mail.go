package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

func mailingFields(m *billing.Mailing) []field {
	return []field{
		{"id", id{&m.ID}},
		{"invoice_id", id{&m.InvoiceID}},
		{"user_id", id{&m.UserID}},
		{"purpose", text{&m.Purpose}},
		{"recipient", personal{text{&m.Recipient}}},
		{"state", term(&m.State)},
		{"attempts", whole[int]{&m.Attempts}},
		{"error", text{&m.Error}},
		{"details", structured[billing.MailDetails]{&m.Details}},
		{"created_at", moment{&m.CreatedAt}},
		{"updated_at", moment{&m.UpdatedAt}},
		{"next_at", moment{&m.NextAt}},
		{"sent_at", moment{&m.SentAt}},
	}
}

func listedMailing(m *billing.Mailing) []field {
	return append(mailingFields(m), field{usernameOf("billing_mails"), text{&m.Username}},
		field{"coalesce((SELECT number FROM invoices WHERE invoices.id = billing_mails.invoice_id), '')", text{&m.Number}})
}

// addMails adds mails that wait to be sent, but for those that there are already.
func (tx *writeTx) addMails(ctx context.Context, list []billing.Mailing) error {
	now := tx.store.timestamp()
	var m billing.Mailing
	return insertNew(ctx, tx, "billing_mails", filled(mailingFields(&m), len(list), func(i int) {
		m = list[i]
		if m.ID == uuid.Nil {
			m.ID = uuid.Must(uuid.NewV7())
			list[i].ID = m.ID
		}
		m.State, m.CreatedAt, m.UpdatedAt, m.NextAt = billing.MailWaiting, now, now, now
		if m.Recipient == "" {
			m.State, m.NextAt = billing.MailNoAddress, time.Time{}
		}
	}))
}

// mailInvoices adds the mails of documents that were issued, if the settings say so.
func (tx *writeTx) mailInvoices(ctx context.Context, invoices []*invoiceRow) error {
	if len(invoices) == 0 {
		return nil
	}
	settings, _, err := billingSetting.read(ctx, tx)
	if err != nil || !settings.SendInvoices {
		return err
	}
	list := make([]billing.Mailing, len(invoices))
	for n, i := range invoices {
		list[n] = billing.Mailing{InvoiceID: i.ID, UserID: i.UserID, Purpose: string(i.Kind), Recipient: i.Buyer.Email}
	}
	return tx.addMails(ctx, list)
}

// SendInvoice adds the mail of an invoice or credit note to the user's present address, or
// else to the one that stands on it, and returns it: it is sent in the background. One that
// was sent, or refused, is sent again only if again says so. It fails with ErrNotFound, and
// with a billing.RuleError for a draft and what is void.
func (s *Store) SendInvoice(ctx context.Context, invoiceID uuid.UUID, again bool) (*billing.Mailing, error) {
	var made billing.Mailing
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, invoiceID); err != nil {
			return err
		}
		i, err := findInvoice(ctx, tx, invoiceID, "")
		if err != nil {
			return err
		}
		switch i.State {
		case billing.InvoiceDraft:
			return billing.Refuse(billing.CodeInvoiceState, "a draft is not sent: issue it first")
		case billing.InvoiceVoid:
			return billing.Refuse(billing.CodeInvoiceState, "invoice %s is void", i.Number)
		}
		var email string
		err = tx.QueryRowContext(ctx, "SELECT coalesce(email, '') FROM user_profiles WHERE user_id = $1", i.UserID.String()).Scan(&email)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if email == "" {
			email = i.Buyer.Email
		}
		m := billing.Mailing{InvoiceID: i.ID, UserID: i.UserID, Purpose: string(i.Kind), Recipient: email}
		if err := tx.addMails(ctx, []billing.Mailing{m}); err != nil {
			return err
		}
		found, err := findMailing(ctx, tx, "invoice_id = $1 AND purpose = $2 AND recipient = $3", i.ID.String(), m.Purpose, text{&m.Recipient})
		if err != nil {
			return err
		}
		made = *found
		if err := tx.keyMade(ctx, made.ID); err != nil {
			return err
		}
		if again && (made.State == billing.MailSent || made.State == billing.MailRefused) {
			made.State, made.Error, made.UpdatedAt = billing.MailWaiting, "", s.timestamp()
			made.NextAt = made.UpdatedAt
			if err := update(ctx, tx.Tx, "billing_mails", mailingFields(&made)); err != nil {
				return err
			}
		}
		return tx.record(ctx, operator.AuditEntry{Action: "invoices.send", EntityKind: "invoice", EntityID: i.ID, EntityName: i.Number}, "")
	})
	if err != nil {
		return nil, s.failed("send invoice "+invoiceID.String(), err)
	}
	return &made, nil
}

// UnsentInvoices returns invoices and credit notes after an id that were issued and never
// mailed, nor are to be, at most limit.
func (s *Store) UnsentInvoices(ctx context.Context, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	var invoiceID uuid.UUID
	err = eachRow(ctx, s.reader, `SELECT id FROM invoices WHERE state IN ('issued', 'paid') AND id > $1
		AND NOT EXISTS (SELECT 1 FROM billing_mails m WHERE m.invoice_id = invoices.id AND m.purpose = invoices.kind AND m.state <> 'no_address')
		ORDER BY id LIMIT `+fmt.Sprint(limit), []any{after.String()}, []any{id{&invoiceID}}, func() error {
		ids = append(ids, invoiceID)
		return nil
	})
	return ids, s.failed("read invoices that were not sent", err)
}

func findMailing(ctx context.Context, q querier, where string, args ...any) (*billing.Mailing, error) {
	var m billing.Mailing
	fields := listedMailing(&m)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM billing_mails WHERE "+where, args...).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("mail: %w", ErrNotFound)
	}
	return &m, err
}

// MailByID returns a mail. It fails with ErrNotFound.
func (s *Store) MailByID(ctx context.Context, mailID uuid.UUID) (*billing.Mailing, error) {
	m, err := findMailing(ctx, s.reader, "id = $1", mailID.String())
	if err != nil {
		return nil, s.failed("read mail "+mailID.String(), err)
	}
	return m, nil
}

// WaitingMails returns mails whose turn it is: those that are to be sent, again or for the
// first time, and those that somebody has begun to send and not finished in time. Whose
// turn came first is first, so none waits for others that fail again and again.
func (s *Store) WaitingMails(ctx context.Context, limit int) (ids []uuid.UUID, err error) {
	var mailID uuid.UUID
	now := s.timestamp()
	err = eachRow(ctx, s.reader, "SELECT id FROM billing_mails WHERE state IN ('waiting', 'sending') AND next_at <= $1 ORDER BY next_at, id LIMIT "+
		fmt.Sprint(limit), []any{moment{&now}}, []any{id{&mailID}}, func() error {
		ids = append(ids, mailID)
		return nil
	})
	return ids, s.failed("read mails that wait", err)
}

// ClaimMail begins an attempt to send a mail, which may last for the lease. It returns nil
// if nothing is to be sent any more, or somebody else is at it.
func (s *Store) ClaimMail(ctx context.Context, mailID uuid.UUID, lease time.Duration) (claimed *billing.Mailing, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		claimed = nil
		m, err := findMailing(ctx, tx, "id = $1"+tx.forUpdate(), mailID.String())
		if err != nil {
			return err
		}
		now := s.timestamp()
		if m.State != billing.MailWaiting && (m.State != billing.MailSending || m.NextAt.After(now)) {
			return nil
		}
		m.State, m.UpdatedAt, m.NextAt = billing.MailSending, now, now.Add(lease)
		m.Attempts++
		claimed = m
		return update(ctx, tx.Tx, "billing_mails", mailingFields(m))
	})
	return claimed, s.failed("send mail "+mailID.String(), err)
}

// MailEvent is the payload of events about mails.
type MailEvent struct {
	MailID    uuid.UUID            `json:"mail_id"`
	InvoiceID uuid.UUID            `json:"invoice_id"`
	UserID    uuid.UUID            `json:"user_id"`
	Purpose   string               `json:"purpose"`
	State     billing.MailingState `json:"state"`
}

// maxMailError bounds the text of why a mail was not sent.
const maxMailError = 1000

// FinishMail keeps the outcome of an attempt; of one that waits, also when it is tried
// next. A mail that was sent stays so.
func (s *Store) FinishMail(ctx context.Context, mailID uuid.UUID, state billing.MailingState, reason string) error {
	err := s.write(ctx, func(tx *writeTx) error {
		m, err := findMailing(ctx, tx, "id = $1"+tx.forUpdate(), mailID.String())
		if err != nil || m.State == billing.MailSent {
			return err
		}
		reason = reason[:min(len(reason), maxMailError)]
		m.State, m.Error, m.UpdatedAt, m.NextAt = state, reason, s.timestamp(), time.Time{}
		switch state {
		case billing.MailSent:
			m.SentAt = m.UpdatedAt
		case billing.MailWaiting:
			m.Fail(reason, m.UpdatedAt)
		}
		if err := update(ctx, tx.Tx, "billing_mails", mailingFields(m)); err != nil || state == billing.MailWaiting {
			return err
		}
		return tx.emit("mail."+string(state), "invoice", m.InvoiceID, MailEvent{m.ID, m.InvoiceID, m.UserID, m.Purpose, m.State})
	})
	return s.failed("keep what became of mail "+mailID.String(), err)
}

var mailingLists = lister[billing.Mailing]{
	name: "mails", sorts: billing.MailingSorts(),
	keys: map[string]sortKey[billing.Mailing]{"created_at": timeKey("created_at", func(m *billing.Mailing) time.Time { return m.CreatedAt })},
	id:   idKey("id", func(m *billing.Mailing) uuid.UUID { return m.ID }),
}

func mailingConditions(f billing.MailingFilter) (c conditions) {
	if f.InvoiceID != uuid.Nil {
		c.add("invoice_id = $%d", f.InvoiceID.String())
	}
	if f.UserID != uuid.Nil {
		c.add("user_id = $%d", f.UserID.String())
	}
	if f.State != "" {
		c.add("state = $%d", term(&f.State))
	}
	return c
}

// ListMailsPage returns a page of the mails that the filter selects, the latest first, and
// the cursor of the next page; empty: there is none. It fails with aaa.ErrBadCursor and
// aaa.ErrBadSort.
func (s *Store) ListMailsPage(ctx context.Context, filter billing.MailingFilter, page aaa.Page) ([]billing.Mailing, string, error) {
	return listRows(ctx, s, mailingLists, "billing_mails", listedMailing, mailingConditions(filter), filter, page)
}
