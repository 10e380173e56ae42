package aaa

import (
	"context"
	"fmt"
	"time"
)

// explainLimits are the live sessions of one user, read from the store when somebody
// asks. What is reserved is gone with them.
type explainLimits struct {
	ctx      context.Context
	store    ExplainStore // nil: nothing is used and nothing open
	location *time.Location
	at       time.Time
	username string
	live     *LiveSessions // nil: nobody has asked
	err      error         // of the store
}

// Reserve implements Limits.
func (l *explainLimits) Reserve(r Reservation) Grant {
	l.username = r.Username
	l.live = NewLiveSessions(LiveOptions{Location: l.location, Now: func() time.Time { return l.at }})
	if l.store != nil {
		if l.err = l.live.Load(l.ctx, l); l.err != nil {
			return Grant{}
		}
	}
	return l.live.Reserve(r)
}

// Release implements Limits.
func (l *explainLimits) Release(string, Nonce) {}

// Waits implements Limits.
func (l *explainLimits) Waits() bool { return false }

// EachSession implements SessionStore for the user.
func (l *explainLimits) EachSession(ctx context.Context, _ time.Time, fn func(*Session) error) error {
	sessions, err := l.store.OpenSessionsOf(ctx, l.username)
	if err != nil {
		return fmt.Errorf("read open sessions of %q: %w", l.username, err)
	}
	for i := range sessions {
		if err := fn(&sessions[i]); err != nil {
			return err
		}
	}
	return nil
}

// Boots implements SessionStore. The sessions that the store has open outlived them.
func (l *explainLimits) Boots(context.Context, time.Time) ([]Boot, error) { return nil, nil }

// EachUsage implements SessionStore for the user.
func (l *explainLimits) EachUsage(ctx context.Context, starts []time.Time, fn func(DailyUsage) error) error {
	accounts, err := l.store.UsageAccounts(ctx, []string{l.username}, starts[0], l.at)
	if err != nil {
		return fmt.Errorf("read usage of %q: %w", l.username, err)
	}
	for _, account := range accounts {
		sums, before := make([]Usage, len(starts)), account.Ever
		for _, day := range account.Days {
			span := len(starts) - 1
			for span > 0 && day.Day.Before(starts[span]) {
				span--
			}
			if !day.Day.Before(starts[0]) {
				sums[span].add(day.Usage)
				before = before.minus(day.Usage)
			}
		}
		if err := fn(DailyUsage{Username: l.username, Usage: before}); err != nil {
			return err
		}
		for i, start := range starts {
			if err := fn(DailyUsage{Username: l.username, Day: start, Usage: sums[i]}); err != nil {
				return err
			}
		}
	}
	return nil
}
