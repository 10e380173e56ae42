package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/aaa/limitstest"
)

// database is a UsageStore that is fed with the records that have reached it.
type database struct {
	view *aaa.LiveSessions
	err  error
	// recent is what was asked for last.
	recent time.Time
}

func (d *database) UsageAccounts(_ context.Context, usernames []string, _, recent time.Time) ([]aaa.UsageAccount, error) {
	d.recent = recent
	if d.err != nil {
		return nil, d.err
	}
	var list []aaa.UsageAccount
	for _, name := range usernames {
		a := aaa.UsageAccount{Username: name}
		d.view.Each(aaa.LiveFilter{Username: name}, func(s *aaa.Session) bool {
			u := aaa.Usage{Seconds: s.SessionSeconds, InputOctets: s.InputOctets, OutputOctets: s.OutputOctets}
			a.Ever = aaa.Usage{Seconds: a.Ever.Seconds + u.Seconds, InputOctets: a.Ever.InputOctets + u.InputOctets}
			if s.Open() || !s.StoppedAt.Before(recent) {
				a.Sessions = append(a.Sessions, aaa.SessionUsage{ID: s.ID, UpdatedAt: s.UpdatedAt, Usage: u})
			}
			return true
		})
		list = append(list, a)
	}
	return list, nil
}

// TestUsageIsNeverCountedTwice, whatever has reached the database, Redis and this node
// in which order.
func TestUsageIsNeverCountedTwice(t *testing.T) {
	type world struct {
		*limitstest.Clock
		*node
		db *database
	}
	begin := func(t *testing.T) world {
		clock := limitstest.NewClock()
		db := &database{view: aaa.NewLiveSessions(aaa.LiveOptions{Now: clock.Now, ClosedRetention: 1000 * time.Hour})}
		n := oneServer(t).newNode(t, "a", aaa.LiveOptions{Now: clock.Now}, func(o *Options) { o.Usage = db }).connect(t)
		return world{clock, n, db}
	}
	record := func(w world, id string, status aaa.AcctStatus, seconds uint64) aaa.Record {
		r := aaa.Record{Status: status, AcctSessionID: id, Username: "alice", NASAddr: benchNAS, EventTime: w.Now(), ReceivedAt: w.Now()}
		if status != aaa.AcctStart {
			r.HasSeconds, r.SessionSeconds = true, seconds
		}
		return r
	}
	used := func(w world) uint64 {
		r := reservation(w.Clock, "alice", 1)
		r.Limit, r.Quotas[aaa.PeriodEver] = 0, aaa.Quota{LimitsSeconds: true, Seconds: 1 << 40}
		return w.Reserve(r).Used[aaa.PeriodEver].Seconds
	}
	ask := func(t *testing.T, w world) uint64 { // and have it read
		t.Helper()
		used(w)
		w.share(t)
		require.Empty(t, w.unsure)
		return used(w)
	}
	store := func(w world, r aaa.Record) { w.db.view.Apply(&r) }
	hear := func(w world, r aaa.Record) { w.local.Apply(&r) }

	t.Run("the database is behind", func(t *testing.T) {
		w := begin(t)
		for _, r := range []aaa.Record{record(w, "x", aaa.AcctStart, 0), record(w, "x", aaa.AcctInterim, 100)} {
			store(w, r)
			hear(w, r)
		}
		w.Advance(time.Minute)
		late := record(w, "x", aaa.AcctInterim, 160)
		hear(w, late)
		hear(w, record(w, "y", aaa.AcctStart, 0)) // of which it has not heard
		hear(w, record(w, "y", aaa.AcctInterim, 7))
		w.share(t)
		require.Equal(t, uint64(167), ask(t, w))
		store(w, late)
		require.NoError(t, w.seed(t.Context(), []string{"alice"}))
		require.Equal(t, uint64(167), used(w), "read again")
	})
	t.Run("the database is ahead", func(t *testing.T) {
		w := begin(t)
		hear(w, record(w, "x", aaa.AcctStart, 0))
		hear(w, record(w, "x", aaa.AcctInterim, 100))
		w.share(t)
		store(w, record(w, "x", aaa.AcctStart, 0))
		store(w, record(w, "x", aaa.AcctInterim, 300))
		require.Equal(t, uint64(300), ask(t, w))
		hear(w, record(w, "x", aaa.AcctInterim, 300))
		hear(w, record(w, "x", aaa.AcctStop, 310))
		w.share(t)
		require.Equal(t, uint64(310), used(w))
	})
	t.Run("a session that only the database knows", func(t *testing.T) {
		w := begin(t)
		store(w, record(w, "x", aaa.AcctStart, 0))
		store(w, record(w, "x", aaa.AcctInterim, 100))
		require.Equal(t, uint64(100), ask(t, w))
		w.Advance(2 * time.Hour)
		hear(w, record(w, "x", aaa.AcctInterim, 130))
		w.share(t)
		require.Equal(t, uint64(130), used(w))
		require.Len(t, must(w.UserSessions(t.Context(), "alice")), 1)
	})
	t.Run("a session that was forgotten", func(t *testing.T) {
		w := begin(t)
		require.Zero(t, ask(t, w))
		start := record(w, "x", aaa.AcctStart, 0)
		stop := record(w, "x", aaa.AcctStop, 50)
		for _, r := range []aaa.Record{start, stop} {
			hear(w, r)
			store(w, r)
		}
		w.share(t)
		require.Equal(t, uint64(50), used(w))
		require.NoError(t, w.client.Del(t.Context(), w.keys.user("alice").closed).Err()) // as after an hour
		w.Advance(2 * time.Hour)
		again := record(w, "x", aaa.AcctStop, 50) // its answer was lost, long ago
		again.EventTime = stop.EventTime
		other := w.local
		hear(w, again)
		require.NoError(t, w.flush(t.Context(), w.takeDirty(0)))
		for shard := range aaa.LiveShards { // which would tell of it a second time
			for _, id := range other.IDs(shard, nil) {
				w.changed(id, "")
			}
		}
		require.NoError(t, w.flush(t.Context(), w.takeDirty(0)))
		require.Equal(t, uint64(50), used(w))
		require.Contains(t, w.unsure, "alice", "the database is asked")
		w.share(t)
		require.Equal(t, uint64(50), used(w))
		require.Equal(t, w.Now().Add(-24*time.Hour), w.db.recent)
	})
	t.Run("a session that has ended long ago in the database alone", func(t *testing.T) {
		w := begin(t)
		start, interim, stop := record(w, "x", aaa.AcctStart, 0), record(w, "x", aaa.AcctInterim, 3600), record(w, "x", aaa.AcctStop, 3600)
		for i, r := range []*aaa.Record{&start, &interim, &stop} {
			r.EventTime = r.EventTime.Add(time.Duration(i-72) * time.Hour)
			store(w, *r)
		}
		hear(w, start)
		hear(w, interim)
		w.share(t)
		require.Equal(t, uint64(3600), ask(t, w))
	})
	t.Run("the database is away", func(t *testing.T) {
		w := begin(t)
		w.db.err = errors.New("away")
		hear(w, record(w, "x", aaa.AcctStart, 0))
		hear(w, record(w, "x", aaa.AcctInterim, 100))
		w.share(t)
		require.Equal(t, uint64(100), used(w), "by the local view")
		require.Contains(t, w.unsure, "alice")
		r := reservation(w.Clock, "alice", 2)
		r.Limit, r.Quotas[aaa.PeriodEver] = 5, aaa.Quota{LimitsSeconds: true, Seconds: 100}
		g := w.Reserve(r)
		require.False(t, g.Reserved, "which is never open")
		require.Equal(t, uint64(100), g.Used[aaa.PeriodEver].Seconds)
		r.Quotas[aaa.PeriodEver].Seconds, r.Limit = 1000, 2
		require.True(t, w.Reserve(r).Reserved, "and takes no place for it")
	})
	t.Run("two nodes tell of the same", func(t *testing.T) {
		w := begin(t)
		require.Zero(t, ask(t, w))
		v := server{url: w.opt.URL, prefix: w.opt.Prefix}
		b := v.newNode(t, "b", aaa.LiveOptions{Now: w.Now}).connect(t)
		for _, r := range []aaa.Record{record(w, "x", aaa.AcctStart, 0), record(w, "x", aaa.AcctInterim, 60)} {
			hear(w, r)
			again := r
			b.local.Apply(&again)
			b.share(t)
			w.share(t)
		}
		require.Equal(t, uint64(60), used(w))
	})
}

// TestUsageIsReadWhenItIsWanted, by Run, also when the database is away at first.
func TestUsageIsReadWhenItIsWanted(t *testing.T) {
	clock := limitstest.NewClock()
	n := oneServer(t).newNode(t, "a", aaa.LiveOptions{Now: clock.Now}, func(o *Options) {
		o.Usage = &failsFirst{accounts: accounts{{Username: "alice", Ever: aaa.Usage{Seconds: 1000}}}}
	})
	n.run(t)
	eventually(t, n.settled, "connected")
	r := reservation(clock, "alice", 1)
	r.Limit, r.Quotas[aaa.PeriodEver] = 0, aaa.Quota{LimitsSeconds: true, Seconds: 1000}
	require.True(t, n.Reserve(r).Reserved, "nothing is known of it yet")
	eventually(t, func() bool { return !n.Reserve(r).Reserved }, "read")
}

// failsFirst fails twice. It is for one goroutine.
type failsFirst struct {
	accounts
	calls int
}

func (f *failsFirst) UsageAccounts(ctx context.Context, usernames []string, since, recent time.Time) ([]aaa.UsageAccount, error) {
	if f.calls++; f.calls <= 2 {
		return nil, errors.New("away")
	}
	return f.accounts.UsageAccounts(ctx, usernames, since, recent)
}
