package aaa

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

// recordAtOnce is how many outcomes are recorded in one transaction.
const recordAtOnce = 256

// record records outcomes until there are no more, those that are there together.
// While the queue is away they wait, and with them the room that their actions take,
// so that no more are sent than can be recorded.
func (a *Actions) record(ctx context.Context) {
	for outcome := range a.outcomes {
		outcomes := []SessionAction{outcome}
		for more := true; more && len(outcomes) < recordAtOnce; {
			select {
			case outcome, ok := <-a.outcomes:
				if more = ok; ok {
					outcomes = append(outcomes, outcome)
				}
			default:
				more = false
			}
		}
		a.recordAll(ctx, outcomes)
		for i := range outcomes {
			a.leave(outcomes[i].NASAddr)
		}
	}
}

// recordAll records outcomes, and tries again until it can. What was not recorded
// when the process ends is done again by another node.
func (a *Actions) recordAll(ctx context.Context, outcomes []SessionAction) {
	var done []SessionAction
	var back []uuid.UUID
	for _, o := range outcomes {
		if o.State == ActionQueued {
			back = append(back, o.ID)
			continue
		}
		done = append(done, o)
		a.metrics.done(o.Kind, o.State)
	}
	stopBy := a.options.Now().Add(a.options.StopTimeout)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		last := ctx.Err() != nil
		err := a.recordOnce(ctx, done, back, stopBy)
		if err == nil {
			return
		}
		a.log.Warn("outcomes of session actions could not be recorded", "actions", len(outcomes), "error", err)
		if last {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (a *Actions) recordOnce(ctx context.Context, done []SessionAction, back []uuid.UUID, stopBy time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if len(done) > 0 {
		if err := a.options.Queue.RecordActions(ctx, done, stopBy); err != nil {
			return err
		}
	}
	if len(back) > 0 {
		return a.options.Queue.ReleaseActions(ctx, back)
	}
	return nil
}

// overdueAtOnce is how many disconnects without a Stop are looked at together.
const overdueAtOnce = 64

// goneOverlap is how much of what was read is read again: what commits late, or comes
// from a node whose clock is behind, has an earlier time.
const goneOverlap = 30 * time.Second

// lookAfter looks for disconnects whose Stop did not come, and for sessions that
// other nodes have heard are gone.
func (a *Actions) lookAfter(ctx context.Context, acting *sync.WaitGroup) {
	if a.options.Batch == uuid.Nil {
		a.lookForStops(ctx, acting)
	}
	if a.options.Live == nil {
		return
	}
	now := a.options.Now()
	gone, err := a.options.Queue.GoneSessions(ctx, a.goneSince)
	if err != nil {
		return // told by claim
	}
	a.options.Live.Lapse(gone)
	a.goneSince = now.Add(-goneOverlap)
}

// lookForStops repeats requests that were acknowledged without the session's end, and
// reports those that were repeated already.
func (a *Actions) lookForStops(ctx context.Context, acting *sync.WaitGroup) {
	overdue, err := a.options.Queue.OverdueStops(ctx, a.options.Now().Add(a.options.StopTimeout), overdueAtOnce)
	if err != nil {
		return
	}
	for i := range overdue {
		c := &overdue[i]
		if c.StopMissing {
			a.metrics.stopsMissing.Inc()
			a.log.Warn("a NAS has acknowledged a Disconnect-Request twice, and the session has no Stop",
				"session", c.SessionID, "acct_session_id", c.AcctSessionID, "nas", c.NASAddr, "action", c.ID)
			continue
		}
		a.enter(c.NASAddr)
		acting.Go(func() { a.repeat(ctx, c) })
	}
}

// repeat asks for the same again. The outcome of the action stays what it was; a NAS
// that does not know the session by now has ended it, and its Stop was lost.
func (a *Actions) repeat(ctx context.Context, c *ClaimedAction) {
	defer a.leave(c.NASAddr)
	outcome := a.perform(ctx, c)
	switch outcome.State {
	case ActionSent, ActionSkipped:
		return
	case ActionGone:
		outcome.Detail = "repeated because no Stop came: the NAS does not know the session any more, its Stop was lost"
		a.close(ctx, c)
	case ActionAcknowledged:
		outcome.Detail = "repeated because no Stop came, and acknowledged again"
	default:
		outcome.Detail = "repeated because no Stop came: " + outcome.State.String()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := a.options.Queue.RepeatedActions(ctx, []SessionAction{outcome}); err != nil {
		a.log.Warn("the repeat of a session action could not be recorded", "action", c.ID, "error", err)
	}
}
