package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/jobs"
)

// parcel is what the jobs of these tests are about.
type parcel struct {
	To     string `json:"to"`
	Secret string `json:"secret"`
}

func (parcel) Kind() string { return "test.parcel" }

func TestJobCommands(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		queue, err := jobs.New(jobOptions(s.open(), slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		kind, err := jobs.Register[parcel](queue, nil, jobs.Policy{Show: []string{"to"}})
		require.NoError(t, err)
		var ids []string
		for range 3 {
			id, _, err := kind.InsertAt(t.Context(), parcel{To: "alice", Secret: "wonderland"}, time.Now().Add(time.Hour))
			require.NoError(t, err)
			ids = append(ids, fmt.Sprint(id))
		}
		list := s.rows("job", "list", "--kind", "test.parcel")
		require.Len(t, list, 3)
		assert.Equal(t, "scheduled", list[0]["state"])
		assert.Equal(t, `{"to":"alice"}`, list[0]["args"])
		assert.NotContains(t, s.ok("job", "list"), "wonderland")
		assert.Equal(t, "cancelled", s.object("job", "cancel", ids[0])["state"])
		assert.Contains(t, s.fails(exitFailed, "job", "cancel", ids[0]), "it is cancelled")
		assert.Len(t, s.rows("job", "list", "--state", "cancelled"), 1)
		assert.Equal(t, "waiting", s.object("job", "retry", ids[0])["state"])
		assert.Equal(t, "test.parcel", s.object("job", "show", ids[0])["kind"])
		assert.Contains(t, s.ok("job", "show", ids[0]), "0 of 10")
		assert.Contains(t, s.fails(exitFailed, "job", "show", "999999"), "there is no such job")
		assert.Contains(t, s.fails(exitUsage, "job", "show", "x"), "not the id of a job")
		assert.Contains(t, s.fails(exitUsage, "job", "list", "--state", "x"), "is no state of a job")
		assert.Contains(t, s.ok("job", "list", "-o", "csv", "--limit", "1"), "id,kind,state")
	})
}

// TestBillingRunsNightly has the run of the last night made up for, and tried again.
func TestBillingRunsNightly(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		zone, err := time.LoadLocation("Asia/Kathmandu") // where it is the day after already
		require.NoError(t, err)
		options := jobOptions(s.open(), slog.New(slog.DiscardHandler))
		// The last progress is kept if the database takes it within a heartbeat.
		options.Workers, options.Poll, options.Heartbeat, options.Grace = 1, 50*time.Millisecond, time.Minute, time.Minute
		now := time.Date(2026, 3, 9, 22, 30, 0, 0, time.UTC)
		options.Now = func() time.Time { return now }
		queue, err := jobs.New(options)
		require.NoError(t, err)
		began := make(chan billing.Date, 9)
		attempts := 0
		bill := func(_ context.Context, asOf billing.Date, progress func(billing.Run)) (billing.Run, error) {
			began <- asOf
			if attempts++; attempts == 1 {
				return billing.Run{}, errors.New("the store is away")
			}
			progress(billing.Run{Accounts: 7})
			return billing.Run{Accounts: 7}, nil
		}
		require.NoError(t, registerBilling(queue, "04:00", zone, bill, func(context.Context, billing.Date) error { return nil }, slog.New(slog.DiscardHandler)))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- queue.Run(ctx) }()
		defer func() {
			stop()
			assert.NoError(t, <-ended)
		}()
		for range 2 { // the pause is over at once: it is meant from a time long past
			select {
			case asOf := <-began:
				assert.Equal(t, "2026-03-10", asOf.String())
			case <-time.After(time.Minute):
				require.Fail(t, "no run began")
			}
		}
		require.Eventually(t, func() bool {
			list, _, err := queue.List(t.Context(), jobs.Filter{Kind: "billing.run", States: []jobs.State{jobs.Completed}})
			return err == nil && len(list) == 1
		}, time.Minute, 50*time.Millisecond)
		list := s.rows("job", "list", "--kind", "billing.run")
		require.Len(t, list, 1)
		assert.Equal(t, `{"as_of":"2026-03-10"}`, list[0]["args"])
		assert.Equal(t, "the store is away", list[0]["error"])
		assert.EqualValues(t, 7, list[0]["done"])
	})
}
