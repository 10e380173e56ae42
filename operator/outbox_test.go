package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// memory is an outbox in memory.
type memory struct {
	mu        sync.Mutex
	events    []Event
	consumers map[string]Consumer
	holder    string
	until     time.Time
	hooks     []Webhook
	attempts  []Delivery
	requested []Delivery
	disabled  string
}

func (m *memory) HoldLease(_ context.Context, _, holder string, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holder != holder && time.Now().Before(m.until) {
		return false, nil
	}
	m.holder, m.until = holder, time.Now().Add(ttl)
	return true, nil
}

func (m *memory) EventsAfter(_ context.Context, position uint64, limit int) ([]Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.events[min(position, uint64(len(m.events))):]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

func (m *memory) Consumer(_ context.Context, name string) (Consumer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.consumers[name]; ok {
		return c, nil
	}
	return Consumer{Name: name}, nil
}

func (m *memory) SaveConsumer(_ context.Context, holder string, c Consumer, attempts []Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if holder != m.holder {
		return ErrLeaseLost
	}
	m.consumers[c.Name] = c
	m.attempts = append(m.attempts, attempts...)
	return nil
}

func (m *memory) Webhooks(context.Context) ([]Webhook, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.hooks), nil
}

func (m *memory) RequestedDeliveries(context.Context, uuid.UUID, int) ([]Delivery, []Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var events []Event
	for _, d := range m.requested {
		events = append(events, m.events[d.EventSeq-1])
	}
	return slices.Clone(m.requested), events, nil
}

func (m *memory) FinishDelivery(_ context.Context, d Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requested = nil
	m.attempts = append(m.attempts, d)
	return nil
}

func (m *memory) DisableWebhook(_ context.Context, _ uuid.UUID, reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disabled, m.hooks[0].Enabled = reason, false
	return nil
}

func (m *memory) state(name string) Consumer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.consumers[name]
}

// tried returns how many attempts there were, and why the webhook was disabled.
func (m *memory) tried() (int, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.attempts), m.disabled
}

func (m *memory) add(entities ...byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, entity := range entities {
		seq := uint64(len(m.events) + 1)
		m.events = append(m.events, Event{Seq: seq, ID: uuid.New(), Kind: "user.updated", EntityID: uuid.UUID{entity}})
	}
}

// receiver is a webhook's receiver and a broker: it takes what refuse does not refuse.
type receiver struct {
	mu     sync.Mutex
	got    []uint64
	refuse func(*Event) error
}

func (r *receiver) Send(_ context.Context, _ *Webhook, e *Event) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		if err := r.refuse(e); err != nil {
			return 500, err
		}
	}
	r.got = append(r.got, e.Seq)
	return 200, nil
}

func (r *receiver) Publish(ctx context.Context, events []Event) error {
	for i := range events {
		if _, err := r.Send(ctx, nil, &events[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) taken() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// deliver runs a dispatcher over m for the time of test.
func deliver(t *testing.T, m *memory, options OutboxOptions, test func()) {
	t.Helper()
	options.Store = m
	o, err := NewOutbox(options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { o.Run(ctx) })
	test()
	cancel()
	running.Wait()
}

func newMemory() *memory { return &memory{consumers: map[string]Consumer{}} }

func TestOutboxFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(), &receiver{}
		down := true
		r.refuse = func(e *Event) error {
			if down && e.Seq == 3 {
				return errors.New("the broker is away")
			}
			return nil
		}
		m.add(1, 1, 2, 1)
		deliver(t, m, OutboxOptions{Feed: r}, func() {
			time.Sleep(time.Minute)
			c := m.state(FeedConsumer)
			assert.Zero(t, c.Position, "a batch is taken or it is not")
			assert.Greater(t, c.Attempts, 2)
			assert.Equal(t, "the broker is away", c.LastError)
			r.mu.Lock()
			down, r.got = false, nil
			r.mu.Unlock()
			time.Sleep(48 * time.Hour) // a broker is never given up
			for range 250 {
				m.add(3)
			}
			time.Sleep(time.Minute)
		})
		got := r.taken()
		require.Len(t, got, 254)
		assert.True(t, slices.IsSorted(got))
		assert.Equal(t, Consumer{Name: FeedConsumer, Position: 254}, m.state(FeedConsumer))
	})
}

func TestOutboxWebhookKeepsOrderOfEntities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(), &receiver{}
		hook := Webhook{ID: uuid.New(), Name: "hook", Enabled: true}
		m.hooks = []Webhook{hook}
		poison := true
		r.refuse = func(e *Event) error {
			if poison && e.EntityID == (uuid.UUID{1}) && e.Seq >= 3 {
				return &DeliveryError{Status: 500}
			}
			return nil
		}
		m.add(1, 2, 1, 2, 1, 3) // 3 is refused, and so 5 must wait
		deliver(t, m, OutboxOptions{Webhooks: m, Sender: r}, func() {
			time.Sleep(10 * time.Minute)
			assert.Equal(t, []uint64{1, 2}, r.taken()[:2])
			assert.NotContains(t, r.taken(), uint64(5))
			assert.EqualValues(t, 2, m.state(WebhookConsumer(hook.ID)).Position)
			r.mu.Lock()
			poison = false
			r.mu.Unlock()
			time.Sleep(2 * time.Hour)
		})
		got := r.taken()
		slices.Sort(got)
		assert.Equal(t, []uint64{1, 2, 3, 4, 5, 6}, got, "each once while nobody dies")
		assert.Less(t, slices.Index(r.taken(), 3), slices.Index(r.taken(), 5))
		assert.EqualValues(t, 6, m.state(WebhookConsumer(hook.ID)).Position)
	})
}

func TestOutboxGivesUp(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		after  time.Duration
		reason string
	}{
		"a day in vain": {errors.New("no route to host"), 27 * time.Hour, "deliveries failed for 24h0m0s: no route to host"},
		"gone":          {&DeliveryError{Status: 410, Gone: true}, time.Minute, "the receiver wants no more events (410 Gone)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, r := newMemory(), &receiver{refuse: func(*Event) error { return tt.err }}
				m.hooks = []Webhook{{ID: uuid.New(), Enabled: true}}
				m.add(1)
				deliver(t, m, OutboxOptions{Webhooks: m, Sender: r}, func() {
					if tt.after > time.Hour {
						time.Sleep(23 * time.Hour)
						n, disabled := m.tried()
						assert.Empty(t, disabled)
						assert.Less(t, n, 60, "the pauses grow")
						assert.Greater(t, n, 20)
					}
					time.Sleep(tt.after)
					n, disabled := m.tried()
					assert.Equal(t, tt.reason, disabled)
					time.Sleep(24 * time.Hour)
					later, _ := m.tried()
					assert.Equal(t, n, later, "nothing more is tried")
				})
			})
		})
	}
}

func TestOutboxRequested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(), &receiver{}
		m.hooks = []Webhook{{ID: uuid.New(), Enabled: true, Events: []string{"plan.*"}}}
		m.add(1, 2)
		m.requested = []Delivery{{ID: 9, EventSeq: 2, State: DeliveryRequested}}
		deliver(t, m, OutboxOptions{Webhooks: m, Sender: r}, func() { time.Sleep(time.Minute) })
		assert.Equal(t, []uint64{2}, r.taken(), "though the webhook does not want this kind")
		require.Len(t, m.attempts, 1)
		assert.Equal(t, []any{uint64(9), DeliveryDone}, []any{m.attempts[0].ID, m.attempts[0].State})
	})
}

// TestOutboxStandsBy has several dispatchers, of which one delivers, and another as
// soon as that one ends.
func TestOutboxStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		first, second := &receiver{}, &receiver{}
		deliver(t, m, OutboxOptions{Feed: first}, func() {
			time.Sleep(time.Second)
			o, err := NewOutbox(OutboxOptions{Store: m, Feed: second})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { o.Run(ctx) })
			m.add(1, 2, 3)
			time.Sleep(time.Minute)
			assert.Equal(t, []uint64{1, 2, 3}, first.taken())
			assert.Empty(t, second.taken())
			// Somebody takes the lease away, as if this process had slept for long.
			m.mu.Lock()
			m.holder, m.until = o.holder, time.Now().Add(time.Hour)
			m.mu.Unlock()
			time.Sleep(time.Minute)
			m.add(4)
			time.Sleep(time.Minute)
			assert.Equal(t, []uint64{4}, second.taken())
			assert.Len(t, first.taken(), 3)
			cancel()
			running.Wait()
		})
	})
}

func TestPauses(t *testing.T) {
	for attempts, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 20: time.Hour, 1000: time.Hour} {
		for range 100 {
			got := pauseAfter(attempts)
			require.GreaterOrEqual(t, got, want/2, fmt.Sprint(attempts))
			require.LessOrEqual(t, got, want, fmt.Sprint(attempts))
		}
	}
}
