package aaa_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/aaa/limitstest"
)

func TestLimitsInMemory(t *testing.T) {
	limitstest.Run(t, func(t *testing.T, opt aaa.LiveOptions, accounts ...aaa.UsageAccount) (a, b limitstest.Node) {
		l := aaa.NewLiveSessions(opt)
		require.NoError(t, l.Load(t.Context(), accountStore(accounts)))
		n := limitstest.Node{Limits: l, Live: l, Share: func() {}}
		return n, n
	})
}

// accountStore is a SessionStore with accounts.
type accountStore []aaa.UsageAccount

func (s accountStore) EachSession(_ context.Context, _ time.Time, fn func(*aaa.Session) error) error {
	for _, a := range s {
		for _, x := range a.Sessions {
			err := fn(&aaa.Session{ID: x.ID, Username: a.Username, NASAddr: testNAS, StartedAt: x.UpdatedAt, UpdatedAt: x.UpdatedAt,
				StartInferred: true, SessionSeconds: x.Seconds, StoppedAt: x.UpdatedAt, StopInferred: true, TerminateCause: aaa.CauseLapsed})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s accountStore) Boots(context.Context, time.Time) ([]aaa.Boot, error) { return nil, nil }

func (s accountStore) EachUsage(_ context.Context, starts []time.Time, fn func(aaa.DailyUsage) error) error {
	for _, a := range s {
		rest := a.Ever
		for _, d := range a.Days {
			rest.Seconds -= d.Seconds
			day := d.Day
			for _, start := range starts {
				if !day.Before(start) {
					d.Day = start
				}
			}
			if err := fn(d); err != nil {
				return err
			}
		}
		if err := fn(aaa.DailyUsage{Username: a.Username, Usage: rest}); err != nil {
			return err
		}
	}
	return nil
}
