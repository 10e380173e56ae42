package operator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// target is somebody that events are delivered to.
type target interface {
	// deliver delivers events, of each entity in order, and returns how many from the
	// first on need no more, what was attempted, and why not all are delivered. attempt
	// counts from 1.
	deliver(ctx context.Context, events []Event, attempt int) (done int, attempts []Delivery, err error)
	// idle is called now and then between deliveries.
	idle(ctx context.Context)
	// failing is called after an attempt in vain. It reports whether to give up.
	failing(ctx context.Context, c *Consumer, err error) bool
}

// worker delivers to one target.
type worker struct {
	*Outbox
	target target
	name   string
	c      Consumer
	loaded bool
}

func (o *Outbox) newWorker(name string, t target) *worker {
	return &worker{Outbox: o, target: t, name: name}
}

// run delivers until ctx is done or the target gives up.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.target.idle(ctx)
		pause, ok := w.round(ctx)
		if !ok {
			return
		}
		if pause > 0 {
			rest(ctx, min(pause, w.o.Poll))
		}
	}
}

// round delivers one batch. It returns how long to wait for the next one; false:
// there is none.
func (w *worker) round(ctx context.Context) (pause time.Duration, ok bool) {
	if !w.loaded {
		c, err := w.o.Store.Consumer(ctx, w.name)
		if err != nil {
			return w.o.Poll, true
		}
		w.c, w.loaded = c, true
	}
	if wait := time.Until(w.c.NextAttemptAt); wait > 0 {
		return wait, true
	}
	events, err := w.o.Store.EventsAfter(ctx, w.c.Position, outboxBatch)
	if err != nil || len(events) == 0 {
		return w.o.Poll, true
	}
	done, attempts, failed := w.target.deliver(ctx, events, w.c.Attempts+1)
	if done > 0 {
		w.c = Consumer{Name: w.name, Position: events[done-1].Seq}
	}
	give := false
	switch {
	case failed != nil && ctx.Err() != nil: // it was broken off
	case failed != nil:
		now := time.Now()
		w.c.Attempts++
		w.c.LastError = failed.Error()
		if w.c.FailingSince.IsZero() {
			w.c.FailingSince = now
		}
		after := pauseAfter(w.c.Attempts)
		if refused := (*DeliveryError)(nil); errors.As(failed, &refused) {
			after = max(after, refused.RetryAfter)
		}
		w.c.NextAttemptAt = now.Add(after)
		give = w.target.failing(ctx, &w.c, failed)
	}
	// What was delivered is noted although ctx is done: else it would come again.
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := w.o.Store.SaveConsumer(saving, w.holder, w.c, attempts); err != nil {
		w.loaded = false // read where it stands before going on
		return w.o.Poll, true
	}
	w.metrics.delivered(w.name, done)
	if give || len(events) < outboxBatch || failed != nil {
		return w.o.Poll, !give
	}
	return 0, true
}

// feedTarget is a broker.
type feedTarget struct{ publisher Publisher }

func (t feedTarget) deliver(ctx context.Context, events []Event, _ int) (int, []Delivery, error) {
	if err := t.publisher.Publish(ctx, events); err != nil {
		return 0, nil, err
	}
	return len(events), nil, nil
}

func (feedTarget) idle(context.Context) {}

// failing never gives up: a broker is the operator's own.
func (feedTarget) failing(context.Context, *Consumer, error) bool { return false }

// hookTarget is a webhook.
type hookTarget struct {
	outbox *Outbox
	hook   *Webhook
	// done are events beyond the position that were delivered, while one of another
	// entity before them was not.
	done map[uint64]bool
}

// hookConnections is how many deliveries to one webhook run at once, for different
// entities.
const hookConnections = 4

func (t *hookTarget) deliver(ctx context.Context, events []Event, attempt int) (int, []Delivery, error) {
	// The events of each entity, in order. Those of one worker are done one by one.
	queues := map[uuid.UUID][]*Event{}
	var order []uuid.UUID
	for i := range events {
		e := &events[i]
		if !t.hook.Wants(e.Kind) {
			t.done[e.Seq] = true
		}
		if t.done[e.Seq] {
			continue
		}
		if queues[e.EntityID] == nil {
			order = append(order, e.EntityID)
		}
		queues[e.EntityID] = append(queues[e.EntityID], e)
	}
	var mu sync.Mutex
	var attempts []Delivery
	var failed error
	next := 0
	take := func() []*Event {
		mu.Lock()
		defer mu.Unlock()
		if failed != nil || next == len(order) {
			return nil
		}
		next++
		return queues[order[next-1]]
	}
	var connections sync.WaitGroup
	for range min(hookConnections, len(order)) {
		connections.Go(func() {
			for queue := take(); queue != nil; queue = take() {
				for _, e := range queue {
					d, err := t.send(ctx, e, attempt)
					mu.Lock()
					if ctx.Err() == nil || err == nil {
						attempts = append(attempts, d)
					}
					if err == nil {
						t.done[e.Seq] = true
					} else if failed == nil {
						failed = err
					}
					stop := failed != nil
					mu.Unlock()
					if stop {
						return
					}
				}
			}
		})
	}
	connections.Wait()
	slices.SortFunc(attempts, func(a, b Delivery) int { return int(int64(a.EventSeq) - int64(b.EventSeq)) })
	n := 0
	for ; n < len(events) && t.done[events[n].Seq]; n++ {
		delete(t.done, events[n].Seq)
	}
	return n, attempts, failed
}

// send makes one attempt.
func (t *hookTarget) send(ctx context.Context, e *Event, attempt int) (Delivery, error) {
	began := time.Now()
	status, err := t.outbox.o.Sender.Send(ctx, t.hook, e)
	d := Delivery{
		WebhookID: t.hook.ID, EventSeq: e.Seq, EventID: e.ID, EventKind: e.Kind,
		State: DeliveryDone, Attempt: attempt, Status: status, Duration: time.Since(began), At: began,
	}
	if err != nil {
		d.State, d.Error = DeliveryFailed, err.Error()
	}
	t.outbox.metrics.attempts.WithLabelValues(string(d.State)).Inc()
	return d, err
}

// requestedAtOnce is how many requested deliveries are made before the others go on.
const requestedAtOnce = 10

// idle makes deliveries that somebody has asked for, once each.
func (t *hookTarget) idle(ctx context.Context) {
	deliveries, events, err := t.outbox.o.Webhooks.RequestedDeliveries(ctx, t.hook.ID, requestedAtOnce)
	if err != nil {
		return // it is tried again
	}
	for i := range deliveries {
		made, err := t.send(ctx, &events[i], deliveries[i].Attempt+1)
		if err != nil && ctx.Err() != nil {
			return
		}
		made.ID = deliveries[i].ID
		if err := t.outbox.o.Webhooks.FinishDelivery(ctx, made); err != nil {
			return
		}
	}
}

func (t *hookTarget) failing(ctx context.Context, c *Consumer, err error) bool {
	o := t.outbox
	var refused *DeliveryError
	var reason string
	switch gone := errors.As(err, &refused) && refused.Gone; {
	case gone:
		reason = "the receiver wants no more events (410 Gone)"
	case time.Since(c.FailingSince) >= o.o.GiveUp:
		reason = "deliveries failed for " + o.o.GiveUp.String() + ": " + err.Error()
	default:
		o.o.Logger.Warn("an event was not delivered to a webhook, trying again", "webhook", t.hook.Name, "attempts", c.Attempts, "next", c.NextAttemptAt, "error", err)
		return false
	}
	if err := o.o.Webhooks.DisableWebhook(ctx, t.hook.ID, reason); err != nil {
		return false // at the next attempt
	}
	o.o.Logger.Error("a webhook was disabled", "webhook", t.hook.Name, "reason", reason)
	return true
}

// outboxMetrics are what the dispatcher tells.
type outboxMetrics struct {
	active   prometheus.Gauge
	attempts *prometheus.CounterVec
	events   *prometheus.CounterVec
}

func newOutboxMetrics() outboxMetrics {
	return outboxMetrics{
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "radiusd_outbox_active", Help: "1 if this process delivers events, 0 if it stands by.",
		}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_webhook_attempts_total", Help: "Attempts to deliver an event to a webhook, by how they went.",
		}, []string{"state"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_outbox_events_total", Help: "Events that need no more delivery, by consumer.",
		}, []string{"consumer"}),
	}
}

func (m *outboxMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.active, m.attempts, m.events}
}

// delivered counts events; all webhooks together, so that the labels stay few.
func (m *outboxMetrics) delivered(consumer string, n int) {
	if consumer != FeedConsumer {
		consumer = "webhooks"
	}
	m.events.WithLabelValues(consumer).Add(float64(n))
}
