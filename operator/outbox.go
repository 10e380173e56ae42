package operator

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// EventStore is what the dispatcher needs of the outbox.
type EventStore interface {
	// HoldLease takes or renews a lease for a time, and reports whether the holder has
	// it. Zero gives it back.
	HoldLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	// EventsAfter returns the next events, at most limit, in the order of Seq.
	EventsAfter(ctx context.Context, position uint64, limit int) ([]Event, error)
	// Consumer returns how far a consumer has come. A new one begins at the present
	// end of the outbox.
	Consumer(ctx context.Context, name string) (Consumer, error)
	// SaveConsumer writes how far a consumer has come, and attempts at a webhook, in one
	// transaction. It fails with ErrLeaseLost if the holder has no longer the lease.
	SaveConsumer(ctx context.Context, holder string, c Consumer, attempts []Delivery) error
}

// WebhookStore is what the dispatcher needs of the webhooks.
type WebhookStore interface {
	Webhooks(ctx context.Context) ([]Webhook, error)
	// RequestedDeliveries returns deliveries that somebody has asked for, with their
	// events, oldest first.
	RequestedDeliveries(ctx context.Context, webhookID uuid.UUID, limit int) ([]Delivery, []Event, error)
	// FinishDelivery writes how a requested delivery went.
	FinishDelivery(ctx context.Context, d Delivery) error
	// DisableWebhook disables a webhook that does not answer any more, and tells of it
	// by an event.
	DisableWebhook(ctx context.Context, webhookID uuid.UUID, reason string) error
}

// Publisher publishes events to a broker, in order. After an error it is given all of
// them again, so an event may be published more than once.
type Publisher interface {
	Publish(ctx context.Context, events []Event) error
}

// Sender posts an event to a webhook, see WebhookSender.
type Sender interface {
	Send(ctx context.Context, w *Webhook, e *Event) (status int, err error)
}

// Consumer is how far the events have been delivered to somebody.
type Consumer struct {
	// Name is FeedConsumer or that of WebhookConsumer.
	Name string
	// Position is the Seq of the last event that needs no more delivery, nor does any
	// before it.
	Position uint64
	// Attempts counts those in vain since FailingSince.
	Attempts      int
	FailingSince  time.Time
	NextAttemptAt time.Time
	LastError     string
}

// FeedConsumer is the name of the broker's consumer.
const FeedConsumer = "feed"

// WebhookConsumer is the name of a webhook's consumer.
func WebhookConsumer(webhookID uuid.UUID) string { return "webhook:" + webhookID.String() }

// OutboxLease is the lease of who delivers.
const OutboxLease = "outbox"

// ErrLeaseLost says that another process delivers now.
var ErrLeaseLost = errors.New("another process delivers the events now")

// OutboxOptions says what to deliver to whom. Store is required.
type OutboxOptions struct {
	Store EventStore
	// Webhooks and Sender deliver to webhooks. Nil: there are none.
	Webhooks WebhookStore
	Sender   Sender
	// Feed is a broker. Nil: there is none.
	Feed Publisher
	// Lease is for how long a process that dies keeps others from delivering; zero:
	// 15 s. Poll is how often new events are looked for; zero: 1 s. GiveUp is for how
	// long a webhook is tried before it is disabled; zero: 24 h.
	Lease, Poll, GiveUp time.Duration
	// Logger takes what an operator should know. Nil: nothing is logged.
	Logger *slog.Logger
	// Registerer takes the metrics. Nil: there are none.
	Registerer prometheus.Registerer
}

// Outbox delivers events to webhooks and to a broker: each at least once, those of one
// entity in order. Of several processes one delivers, the others stand by. What a
// killed process has not noted as delivered is delivered again, under the same id.
type Outbox struct {
	o       OutboxOptions
	holder  string
	metrics outboxMetrics
}

// Bounds of the dispatcher.
const (
	defaultLease  = 15 * time.Second
	defaultPoll   = time.Second
	defaultGiveUp = 24 * time.Hour
	// outboxBatch is how many events are read at once.
	outboxBatch = 100
	// firstPause and longestPause are between attempts.
	firstPause   = 5 * time.Second
	longestPause = time.Hour
)

// NewOutbox returns a dispatcher, which Run runs.
func NewOutbox(options OutboxOptions) (*Outbox, error) {
	if options.Lease <= 0 {
		options.Lease = defaultLease
	}
	if options.Poll <= 0 {
		options.Poll = defaultPoll
	}
	if options.GiveUp <= 0 {
		options.GiveUp = defaultGiveUp
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	o := &Outbox{o: options, holder: uuid.NewString(), metrics: newOutboxMetrics()}
	if options.Registerer != nil {
		for _, collector := range o.metrics.all() {
			if err := options.Registerer.Register(collector); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// Run delivers until ctx is done. It returns when nothing is in flight any more.
func (o *Outbox) Run(ctx context.Context) {
	for ctx.Err() == nil {
		held, err := o.o.Store.HoldLease(ctx, OutboxLease, o.holder, o.o.Lease)
		if err != nil && ctx.Err() == nil {
			o.o.Logger.Error("events are not delivered: the store does not answer", "error", err)
		}
		if held {
			o.metrics.active.Set(1)
			o.lead(ctx)
			o.metrics.active.Set(0)
		}
		rest(ctx, o.o.Lease/3)
	}
	// So that another need not wait for the lease to end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = o.o.Store.HoldLease(ctx, OutboxLease, o.holder, 0)
}

// lead delivers as long as the lease is held.
func (o *Outbox) lead(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	run := func(w *worker) {
		workers.Go(func() { w.run(ctx) })
	}
	if o.o.Feed != nil {
		run(o.newWorker(FeedConsumer, feedTarget{o.o.Feed}))
	}
	hooks := map[uuid.UUID]*runningHook{}
	for renewed := time.Now(); ctx.Err() == nil; rest(ctx, o.o.Poll) {
		if time.Since(renewed) >= o.o.Lease/3 {
			held, err := o.o.Store.HoldLease(ctx, OutboxLease, o.holder, o.o.Lease)
			if err == nil && !held || time.Since(renewed) > o.o.Lease {
				return
			}
			if err == nil {
				renewed = time.Now()
			}
		}
		if o.o.Webhooks != nil {
			o.followHooks(ctx, hooks, &workers)
		}
	}
}

// runningHook is a webhook that is delivered to, as it was configured then.
type runningHook struct {
	since time.Time
	stop  context.CancelFunc
	ended chan struct{}
}

// followHooks starts and stops workers so that there is one for each enabled webhook,
// as it is now configured.
func (o *Outbox) followHooks(ctx context.Context, running map[uuid.UUID]*runningHook, workers *sync.WaitGroup) {
	list, err := o.o.Webhooks.Webhooks(ctx)
	if err != nil {
		return // the workers go on with what they know; the lease tells of the store
	}
	wanted := map[uuid.UUID]*Webhook{}
	for i := range list {
		if list[i].Enabled {
			wanted[list[i].ID] = &list[i]
		}
	}
	for id, hook := range running {
		if w := wanted[id]; w == nil || !w.UpdatedAt.Equal(hook.since) {
			hook.stop()
			<-hook.ended // two workers of one webhook would not keep the order
			delete(running, id)
		}
	}
	for id, hook := range wanted {
		if running[id] != nil {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		r := &runningHook{since: hook.UpdatedAt, stop: stop, ended: make(chan struct{})}
		running[id] = r
		w := o.newWorker(WebhookConsumer(id), &hookTarget{outbox: o, hook: hook, done: map[uint64]bool{}})
		workers.Go(func() {
			defer close(r.ended)
			defer stop()
			w.run(ctx)
		})
	}
}

// pauseAfter is how long to wait after so many attempts in vain: twice as long each
// time, and a random part of it, so that those that failed together do not come back
// together.
func pauseAfter(attempts int) time.Duration {
	pause := longestPause
	if n := attempts - 1; n < 16 {
		pause = min(firstPause<<n, longestPause)
	}
	return pause/2 + rand.N(pause/2+1)
}

// rest sleeps, or returns early when ctx is done.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
