package aaa

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"radiusd/dictionary"
	"radiusd/radius"
)

// ActionsOptions are what Actions needs. Queue, NASes, Dictionary, Templates and
// Client are required.
type ActionsOptions struct {
	Queue      ActionQueue
	NASes      ActionNASes
	Dictionary *dictionary.Dictionary
	Templates  *Templates
	Client     ActionClient
	// Batch is the only batch that it works on; zero: all of them.
	Batch uuid.UUID
	// Live is told of sessions that a NAS does not know; nil: nobody is.
	Live *LiveSessions
	// PollInterval is how often the queue is looked at; zero: 200 ms.
	PollInterval time.Duration
	// Lease is after how long an action that was taken and has no outcome is taken by
	// another node; zero: 60 s. It must be longer than Timeout.
	Lease time.Duration
	// Timeout bounds one action, retransmissions and both secrets included; zero: 30 s.
	Timeout time.Duration
	// InFlight is how many actions are under way at most, PerNAS how many at one NAS;
	// zero: 256 and 16.
	InFlight, PerNAS int
	// StopTimeout is how long after an acknowledged Disconnect-Request the Stop may
	// take, before the request is repeated and then reported; zero: 1 min.
	StopTimeout time.Duration
	Registerer  prometheus.Registerer // nil: no metrics
	Logger      *slog.Logger          // nil: discards
	Now         func() time.Time      // nil: time.Now
}

// ActionNASes finds the NAS of a session.
type ActionNASes interface {
	// NASOf returns the NAS, or an error that says why there is none.
	NASOf(ctx context.Context, s *Session) (*NAS, error)
}

// ActionClient sends requests: a *[radius.Client].
type ActionClient interface {
	ExchangeTraced(ctx context.Context, server string, secret []byte, m *radius.Message) (radius.Packet, radius.Trace, error)
}

func (o ActionsOptions) withDefaults() (ActionsOptions, error) {
	if o.Queue == nil || o.NASes == nil || o.Dictionary == nil || o.Templates == nil || o.Client == nil {
		return o, errors.New("session actions: a queue, NASes, a dictionary, templates and a client are required")
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.PollInterval, 200 * time.Millisecond},
		{&o.Lease, time.Minute},
		{&o.Timeout, 30 * time.Second},
		{&o.StopTimeout, time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	if o.InFlight <= 0 {
		o.InFlight = 256
	}
	if o.PerNAS <= 0 {
		o.PerNAS = 16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lease <= o.Timeout {
		return o, errors.New("session actions: the lease must be longer than the timeout of an action")
	}
	return o, nil
}

// Actions takes session actions from the queue, asks the NASes and records what
// became of it. Every node runs one; an action that a node took and did not finish,
// because it was killed for one, is taken again: a NAS that gets a request twice
// answers it twice.
type Actions struct {
	options ActionsOptions
	log     *slog.Logger
	metrics *actionMetrics
	wake    chan struct{}

	outcomes chan SessionAction // to be recorded
	mu       sync.Mutex
	inFlight int
	perNAS   map[netip.Addr]int

	goneSince time.Time // GoneSessions is to be asked from here
}

// NewActions returns a worker; Run makes it work.
func NewActions(options ActionsOptions) (*Actions, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Actions{
		options: options, log: options.Logger, wake: make(chan struct{}, 1),
		outcomes: make(chan SessionAction, options.InFlight), perNAS: make(map[netip.Addr]int),
	}
	a.metrics, err = newActionMetrics(options.Registerer)
	return a, err
}

// Wake lets Run look at the queue at once. Whoever queues actions in this process may
// call it; in others they wait for the next look.
func (a *Actions) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx is done. What is under way then goes back to the queue.
func (a *Actions) Run(ctx context.Context) {
	a.goneSince = a.options.Now().Add(-goneOverlap)
	var acting, recording sync.WaitGroup
	recording.Go(func() { a.record(ctx) })
	lookedAfter := time.Time{}
	failing := false
	for ctx.Err() == nil {
		claimed, err := a.claim(ctx)
		a.report(ctx, &failing, err)
		for i := range claimed {
			acting.Go(func() { a.act(ctx, &claimed[i]) })
		}
		if now := a.options.Now(); err == nil && now.Sub(lookedAfter) >= a.options.PollInterval*5 {
			lookedAfter = now
			a.lookAfter(ctx, &acting)
		}
		if len(claimed) > 0 {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-time.After(a.options.PollInterval):
		}
	}
	acting.Wait()
	close(a.outcomes)
	recording.Wait()
}

// report logs that the queue cannot be reached, and that it can be again.
func (a *Actions) report(ctx context.Context, failing *bool, err error) {
	if ctx.Err() != nil || *failing == (err != nil) {
		return
	}
	if *failing = err != nil; *failing {
		a.log.Warn("session actions wait: their queue cannot be read", "error", err)
	} else {
		a.log.Info("session actions go on")
	}
}

// claim takes as many actions as there is room for.
func (a *Actions) claim(ctx context.Context) ([]ClaimedAction, error) {
	a.mu.Lock()
	claim := ActionClaim{Batch: a.options.Batch, Lease: a.options.Lease, Limit: a.options.InFlight - a.inFlight}
	room := make(map[netip.Addr]int, len(a.perNAS))
	for nas, n := range a.perNAS {
		if room[nas] = a.options.PerNAS - n; room[nas] <= 0 {
			claim.Busy = append(claim.Busy, nas)
		}
	}
	a.mu.Unlock()
	if claim.Limit <= 0 {
		return nil, nil
	}
	claim.Room = func(nas netip.Addr) int {
		if n, ok := room[nas]; ok {
			return n
		}
		return a.options.PerNAS
	}
	claimed, err := a.options.Queue.ClaimActions(ctx, claim)
	for i := range claimed {
		a.enter(claimed[i].NASAddr)
	}
	return claimed, err
}

func (a *Actions) enter(nas netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight++
	a.perNAS[nas]++
}

// leave makes room, which may be what an action waits for.
func (a *Actions) leave(nas netip.Addr) {
	a.mu.Lock()
	a.inFlight--
	if a.perNAS[nas]--; a.perNAS[nas] == 0 {
		delete(a.perNAS, nas)
	}
	a.mu.Unlock()
	a.Wake()
}

// act asks the NAS and has the outcome recorded.
func (a *Actions) act(ctx context.Context, c *ClaimedAction) {
	outcome := a.perform(ctx, c)
	outcome.AnsweredAt = a.options.Now()
	if outcome.State == ActionSent { // ended by ctx
		outcome.State = ActionQueued
	}
	if outcome.State == ActionGone {
		a.close(ctx, c)
	}
	a.outcomes <- outcome // has room for all that are in flight
}

// perform returns the action with its outcome; [ActionSent] if ctx ended it.
func (a *Actions) perform(ctx context.Context, c *ClaimedAction) SessionAction {
	action := c.SessionAction
	end := func(state ActionState, detail string) SessionAction {
		if action.State = state; detail != "" { // else why it was queued
			action.Detail = detail
		}
		return action
	}
	switch s := c.Session; {
	case s == nil:
		return end(ActionSkipped, "the session is not known any more")
	case !s.Open():
		return end(ActionSkipped, "the session had ended before, at "+s.StoppedAt.UTC().Format(time.RFC3339))
	}
	nas, err := a.options.NASes.NASOf(ctx, c.Session)
	if err != nil {
		if ctx.Err() != nil {
			return end(ActionSent, "")
		}
		return end(ActionFailed, err.Error())
	}
	to, err := ActionAddress(nas, c.Session)
	if err != nil {
		return end(ActionFailed, err.Error())
	}
	request := func() (*radius.Message, error) {
		return a.options.Templates.actionRequest(a.options.Dictionary, nas, c.Session, &action, to.Addr(), a.options.Now())
	}
	a.metrics.waited(action.Kind, a.options.Now().Sub(action.CreatedAt))
	x := exchanged{attempts: action.Attempts}
	x.ask(ctx, a, nas, to, request)
	action.Attempts = x.attempts
	a.metrics.asked(action.Kind, x.elapsed)
	state, detail := x.outcome(to)
	action.ErrorCause = x.cause
	return end(state, detail)
}

// close ends a session that its NAS does not know, as one that has lapsed: a record
// that comes nevertheless opens it again.
func (a *Actions) close(ctx context.Context, c *ClaimedAction) {
	if a.options.Live != nil {
		a.options.Live.Lapse([]GoneSession{{c.SessionID, a.options.Now()}})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.options.Queue.CloseSessions(ctx, []Closing{{SessionID: c.SessionID, StoppedAt: c.Session.UpdatedAt}}); err != nil {
		a.log.Warn("a session that its NAS does not know could not be closed", "session", c.SessionID, "error", err)
	}
}
