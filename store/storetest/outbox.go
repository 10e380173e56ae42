package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/operator"
	"radiusd/store"
)

func testWebhooks(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	require.NoError(t, s.CreateUser(ctx, newUser("before")))
	hook := &operator.Webhook{Name: "crm", URL: "https://example.org/hook", Events: []string{"user.*", "plan.updated"}, Enabled: true}
	require.NoError(t, s.CreateWebhook(ctx, hook))
	assert.Len(t, hook.Secret, 32, "one is made")
	got, err := s.WebhookByID(ctx, hook.ID)
	require.NoError(t, err)
	assert.Equal(t, hook, got)
	require.ErrorIs(t, s.CreateWebhook(ctx, &operator.Webhook{Name: "crm", URL: "https://example.org"}), store.ErrExists)
	var wrong *aaa.FieldError
	require.ErrorAs(t, s.CreateWebhook(ctx, &operator.Webhook{Name: "x", URL: "gopher://x"}), &wrong)
	assert.Equal(t, "url", wrong.Field)

	events := eventsAfter(t, s, 0)
	c, err := s.Consumer(ctx, operator.WebhookConsumer(hook.ID))
	require.NoError(t, err)
	assert.Equal(t, events[0].Seq, c.Position, "a new webhook gets what comes from now on, its own making first")

	// A delivery that somebody asks for.
	d, err := s.RequestDelivery(ctx, hook.ID, events[0].ID)
	require.NoError(t, err)
	assert.Equal(t, operator.DeliveryRequested, d.State)
	waiting, of, err := s.RequestedDeliveries(ctx, hook.ID, 10)
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	assert.Equal(t, events[:1], of)
	d.State, d.Attempt, d.Status, d.Duration = operator.DeliveryDone, 1, 204, 12*time.Millisecond
	require.NoError(t, s.FinishDelivery(ctx, d))
	waiting, _, err = s.RequestedDeliveries(ctx, hook.ID, 10)
	require.NoError(t, err)
	assert.Empty(t, waiting)
	list, err := s.ListDeliveries(ctx, hook.ID, 0, 10)
	require.NoError(t, err)
	assert.Equal(t, []operator.Delivery{d}, list)
	_, err = s.RequestDelivery(ctx, hook.ID, uuid.New())
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = s.RequestDelivery(ctx, uuid.New(), events[0].ID)
	require.ErrorIs(t, err, store.ErrNotFound)

	last := eventsAfter(t, s, 0)
	require.NoError(t, s.DisableWebhook(ctx, hook.ID, "gone"))
	got, err = s.WebhookByID(ctx, hook.ID)
	require.NoError(t, err)
	assert.Equal(t, []any{false, "gone"}, []any{got.Enabled, got.DisabledReason})
	var kinds []string
	for _, e := range eventsAfter(t, s, last[len(last)-1].Seq) {
		kinds = append(kinds, e.Kind)
	}
	assert.Equal(t, []string{"webhook.updated", "webhook.disabled"}, kinds)
	require.NoError(t, s.ChangeWebhook(ctx, hook.ID, func(w *operator.Webhook) error { w.Enabled = true; return nil }))
	hooks, err := s.Webhooks(ctx)
	require.NoError(t, err)
	require.Len(t, hooks, 1)
	assert.Empty(t, hooks[0].DisabledReason)
	require.NoError(t, s.RemoveWebhook(ctx, hook.ID, nil))
	list, err = s.ListDeliveries(ctx, hook.ID, 0, 10)
	require.NoError(t, err)
	assert.Empty(t, list)
}

// collector is a broker that keeps what it is given.
type collector struct {
	mu    sync.Mutex
	got   []operator.Event
	after func() // called with each batch; may be nil
}

func (c *collector) Publish(ctx context.Context, events []operator.Event) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, events...)
	if c.after != nil {
		c.after()
	}
	return nil
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// testOutbox has many writers and two processes that would deliver: all events reach
// the broker, in order, though the lease changes hands.
func testOutbox(t *testing.T, database Database) {
	s, options := openWith(t, database)
	other := reopen(t, options)
	broker := &collector{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, firstEnds := context.WithCancel(ctx)
	defer firstEnds()
	var running sync.WaitGroup
	for _, process := range []struct {
		ctx context.Context
		s   *store.Store
	}{{first, s}, {ctx, other}} {
		o, err := operator.NewOutbox(operator.OutboxOptions{Store: process.s, Webhooks: process.s, Feed: broker, Lease: 600 * time.Millisecond, Poll: 5 * time.Millisecond})
		require.NoError(t, err)
		running.Go(func() { o.Run(process.ctx) })
		if process.s == s { // it is the first to deliver
			require.Eventually(t, func() bool {
				consumers, _, err := s.OutboxStatus(ctx)
				return err == nil && len(consumers) == 1
			}, 20*time.Second, 5*time.Millisecond)
		}
	}
	const writers, changes = 4, 15
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			name := fmt.Sprintf("user%d", w)
			assert.NoError(t, s.CreateUser(ctx, newUser(name)))
			for i := range changes - 1 {
				if w == 0 && i == changes/2 {
					firstEnds()
				}
				assert.NoError(t, s.UpdateUser(ctx, name, func(u *aaa.User) error { u.SimultaneousUse = i + 1; return nil }))
			}
		})
	}
	writing.Wait()
	events := eventsAfter(t, s, 0)
	require.Len(t, events, writers*changes)
	require.Eventually(t, func() bool {
		broker.mu.Lock()
		defer broker.mu.Unlock()
		return len(broker.got) > 0 && broker.got[len(broker.got)-1].Seq == events[len(events)-1].Seq
	}, 20*time.Second, 10*time.Millisecond)
	cancel()
	running.Wait()
	assert.Equal(t, events, slices.CompactFunc(broker.got, func(a, b operator.Event) bool { return a.ID == b.ID }), "in order, none missing")
}

// lossy is a store whose process dies before it notes what was delivered.
type lossy struct {
	*store.Store
	mu   sync.Mutex
	dead bool
}

var errDead = errors.New("killed")

func (l *lossy) SaveConsumer(ctx context.Context, holder string, c operator.Consumer, attempts []operator.Delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDead
	}
	return l.Store.SaveConsumer(ctx, holder, c, attempts)
}

func (l *lossy) HoldLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead { // a killed process gives nothing back
		return false, errDead
	}
	return l.Store.HoldLease(ctx, name, holder, ttl)
}

// testOutboxKilled kills a process after it has delivered and before it has noted so:
// another delivers again, under the same ids.
func testOutboxKilled(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	dying := &lossy{Store: s}
	broker := &collector{}
	killed, kill := context.WithCancel(ctx)
	broker.after = func() {
		dying.mu.Lock()
		dying.dead = true
		dying.mu.Unlock()
		kill()
	}
	run := func(ctx context.Context, events operator.EventStore) (wait func()) {
		o, err := operator.NewOutbox(operator.OutboxOptions{Store: events, Feed: broker, Lease: 300 * time.Millisecond, Poll: 5 * time.Millisecond})
		require.NoError(t, err)
		var running sync.WaitGroup
		running.Go(func() { o.Run(ctx) })
		return running.Wait
	}
	wait := run(killed, dying)
	require.Eventually(t, func() bool {
		consumers, _, err := s.OutboxStatus(ctx)
		return err == nil && len(consumers) == 1
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, s.CreateUser(ctx, newUser("alice")))
	wait()
	require.Equal(t, 1, broker.count())

	broker.after = nil
	survivor, end := context.WithCancel(ctx)
	wait = run(survivor, s)
	require.Eventually(t, func() bool { return broker.count() == 2 }, 20*time.Second, 5*time.Millisecond)
	end()
	wait()
	assert.Equal(t, broker.got[0].ID, broker.got[1].ID)
}

func testOutboxPrune(t *testing.T, database Database) {
	options := database(t)
	now := at("2030-01-01T00:00:00Z")
	options.Now = func() time.Time { return now }
	s, _ := openNode(t, func(testing.TB) store.Options { return options }, "")
	ctx := t.Context()
	const day = 24 * time.Hour
	kept := func() int { return len(eventsAfter(t, s, 0)) }
	_, err := s.Consumer(ctx, operator.FeedConsumer)
	require.NoError(t, err)
	hook := &operator.Webhook{Name: "hook", URL: "https://example.org", Enabled: true}
	require.NoError(t, s.CreateWebhook(ctx, hook))
	require.NoError(t, s.CreateUser(ctx, newUser("alice")))
	require.Equal(t, 2, kept())

	now = now.Add(8 * day)
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Equal(t, 2, kept(), "nobody has them yet")

	held, err := s.HoldLease(ctx, operator.OutboxLease, "me", time.Minute)
	require.NoError(t, err)
	require.True(t, held)
	again, err := s.HoldLease(ctx, operator.OutboxLease, "other", time.Minute)
	require.NoError(t, err)
	require.False(t, again)
	require.ErrorIs(t, s.SaveConsumer(ctx, "other", operator.Consumer{Name: operator.FeedConsumer, Position: 2}, nil), operator.ErrLeaseLost)
	require.NoError(t, s.SaveConsumer(ctx, "me", operator.Consumer{Name: operator.FeedConsumer, Position: 2}, nil))
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Equal(t, 2, kept(), "the webhook has not")
	require.NoError(t, s.SaveConsumer(ctx, "me", operator.Consumer{Name: operator.WebhookConsumer(hook.ID), Position: 1}, nil))
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Equal(t, 1, kept())
	now = now.Add(23 * day)
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Zero(t, kept(), "30 days are enough for anybody")
	require.NoError(t, s.RemoveWebhook(ctx, hook.ID, nil))
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	consumers, _, err := s.OutboxStatus(ctx)
	require.NoError(t, err)
	assert.Len(t, consumers, 1)
}
