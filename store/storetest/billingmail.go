package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
)

// testMailTurns: mails that fail again and again take turns with the others.
func testMailTurns(t *testing.T, database Database) {
	b := newBilled(t, database, 4)
	ctx := t.Context()
	for _, userID := range b.users {
		require.NoError(t, b.ChangeUser(ctx, userID, func(_ *aaa.User, p *aaa.Profile) error {
			p.Email = "someone@example.org"
			return nil
		}))
	}
	_, err := b.run(ctx, "2030-01-01", 10)
	require.NoError(t, err)
	now := *b.now.Load()
	pass := func(d time.Duration) { now = now.Add(d); b.setNow(now) }
	mail := func(user int) uuid.UUID {
		m, err := b.SendInvoice(ctx, b.invoicesOf(t, b.users[user])[0].ID, false)
		require.NoError(t, err)
		assert.Equal(t, billing.MailWaiting, m.State)
		pass(time.Second)
		return m.ID
	}
	waiting := func(limit int) []uuid.UUID {
		ids, err := b.WaitingMails(ctx, limit)
		require.NoError(t, err)
		return ids
	}
	fail := func(mailID uuid.UUID) *billing.Mailing {
		m, err := b.ClaimMail(ctx, mailID, time.Minute)
		require.NoError(t, err)
		require.NotNil(t, m)
		require.NoError(t, b.FinishMail(ctx, mailID, billing.MailWaiting, "the mailbox is full"))
		m, err = b.MailByID(ctx, mailID)
		require.NoError(t, err)
		assert.Equal(t, "the mailbox is full", m.Error)
		return m
	}
	first, second := mail(0), mail(1)
	require.Equal(t, []uuid.UUID{first, second}, waiting(2))
	for _, id := range waiting(2) {
		assert.Equal(t, now.Add(billing.MailPause), fail(id).NextAt.UTC())
	}
	assert.Empty(t, waiting(2), "it is not their turn yet")
	third := mail(2)
	assert.Equal(t, []uuid.UUID{third}, waiting(2))
	pass(time.Minute)
	assert.Equal(t, []uuid.UUID{third, first}, waiting(2), "whose turn came first")

	// One who is killed while sending keeps it for the lease.
	m, err := b.ClaimMail(ctx, third, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 1, m.Attempts)
	assert.Equal(t, []uuid.UUID{first, second}, waiting(3))
	m, err = b.ClaimMail(ctx, third, time.Minute)
	require.NoError(t, err)
	assert.Nil(t, m, "somebody else is at it")
	pass(time.Minute)
	assert.Equal(t, []uuid.UUID{first, second, third}, waiting(3))
	m, err = b.ClaimMail(ctx, third, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 2, m.Attempts)
	require.NoError(t, b.FinishMail(ctx, third, billing.MailSent, ""))

	// The pause grows to an hour, and no further.
	for range 12 {
		pass(billing.LongestMailPause)
		m = fail(first)
	}
	assert.Equal(t, now.Add(billing.LongestMailPause), m.NextAt.UTC())
	assert.Equal(t, []uuid.UUID{second}, waiting(3))

	// What was sent, and what cannot be, has no turn.
	_, err = b.ClaimMail(ctx, second, time.Minute)
	require.NoError(t, err)
	require.NoError(t, b.FinishMail(ctx, second, billing.MailRefused, "no such mailbox"))
	pass(24 * time.Hour)
	assert.Equal(t, []uuid.UUID{first}, waiting(3))
	again, err := b.SendInvoice(ctx, m.InvoiceID, true)
	require.NoError(t, err)
	assert.Equal(t, m.ID, again.ID)
	list, _, err := b.ListMailsPage(ctx, billing.MailingFilter{State: billing.MailRefused}, aaa.Page{Limit: 3})
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Zero(t, list[0].NextAt)
	_, err = b.SendInvoice(ctx, list[0].InvoiceID, true)
	require.NoError(t, err)
	assert.Equal(t, []uuid.UUID{first, second}, waiting(3), "sent again because somebody says so")
}
