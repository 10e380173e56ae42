package aaa_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// ids returns what the view remembers.
func (l live) ids() (ids []uuid.UUID) {
	for shard := range aaa.LiveShards {
		ids = l.IDs(shard, ids)
	}
	return ids
}

// shared returns the only session, as others are told of it.
func (l live) shared(t *testing.T) (found aaa.SharedSession) {
	t.Helper()
	ids := l.ids()
	require.Len(t, ids, 1)
	l.Shared(ids, func(s *aaa.SharedSession) { found = *s })
	return found
}

func TestSharedSessions(t *testing.T) {
	l := newClockedLive(aaa.LiveOptions{})
	var changes []uuid.UUID
	var leavings []string
	l.OnChange(func(id uuid.UUID, left string) {
		changes = append(changes, id)
		leavings = append(leavings, left)
	})
	l.send(rec(aaa.AcctStart, 0, class(1)))
	l.advance(10 * time.Minute)
	l.send(rec(aaa.AcctInterim, 0, counters(600, 1, 2), class(1)))
	l.advance(time.Minute)
	s := l.shared(t)
	require.Equal(t, []uuid.UUID{s.ID, s.ID}, changes)
	require.Equal(t, []any{time.Minute, 10 * time.Minute, uint64(600)}, []any{s.Silent, s.Interval, s.SessionSeconds})
	l.send(rec(aaa.AcctInterim, 0, counters(660, 1, 2), class(1), user("alice2")))
	require.Equal(t, []string{"", "", "alice"}, leavings, "the user whom it has left")
	l.Shared([]uuid.UUID{{9}}, func(*aaa.SharedSession) { t.Error("nobody knows it") })
}

func TestLoadingIsNoChange(t *testing.T) {
	store := newFakeStore()
	store.write(t, resolved([]aaa.Record{rec(aaa.AcctStart, 0)}))
	l := newClockedLive(aaa.LiveOptions{})
	changes := 0
	l.OnChange(func(uuid.UUID, string) { changes++ })
	require.NoError(t, l.Load(t.Context(), store))
	require.Zero(t, changes)
	l.send(rec(aaa.AcctInterim, 0, counters(60, 1, 2)))
	require.Equal(t, 1, changes)
}

func TestSessionsThatEndElsewhere(t *testing.T) {
	used := aaa.Usage{Seconds: 600, InputOctets: 10, OutputOctets: 20}
	begin := func(t *testing.T) (live, uuid.UUID) {
		l := newClockedLive(aaa.LiveOptions{})
		l.send(rec(aaa.AcctStart, 0, class(1)))
		l.advance(time.Minute)
		l.send(rec(aaa.AcctInterim, 0, class(1), counters(60, 1, 2)))
		l.OnChange(func(uuid.UUID, string) { t.Error("what others tell is not told again") })
		return l, l.ids()[0]
	}
	session := func(t *testing.T, l live, id uuid.UUID) aaa.Session {
		s, ok := l.Session(id)
		require.True(t, ok)
		return s
	}
	t.Run("a Stop", func(t *testing.T) {
		l, id := begin(t)
		stopped := l.Now().Add(9 * time.Minute)
		end := aaa.SharedEnd{SessionID: id, UpdatedAt: stopped, StoppedAt: stopped, TerminateCause: "User-Request", Used: used}
		for range 2 {
			l.EndShared([]aaa.SharedEnd{end, {SessionID: uuid.UUID{9}}})
			s := session(t, l, id)
			require.Equal(t, []any{stopped, false, "User-Request", uint64(600)}, []any{s.StoppedAt, s.StopInferred, s.TerminateCause, s.SessionSeconds})
			require.Zero(t, l.Open("alice"))
			require.Equal(t, used, l.Used("alice", aaa.PeriodEver, l.Now()))
			require.True(t, l.reserve(2))
			l.Release("alice", aaa.Nonce{2})
		}
	})
	t.Run("a successor, until a later record comes", func(t *testing.T) {
		l, id := begin(t)
		stopped := l.Now().Add(time.Minute)
		l.EndShared([]aaa.SharedEnd{{SessionID: id, UpdatedAt: l.Now(), StoppedAt: stopped, StopInferred: true, TerminateCause: aaa.CauseSuperseded}})
		require.True(t, session(t, l, id).StopInferred)
		require.Zero(t, l.Open("alice"))
		l.OnChange(nil)
		l.advance(2 * time.Minute)
		l.send(rec(aaa.AcctInterim, 0, class(1), counters(180, 1, 2)))
		require.Equal(t, 1, l.Open("alice"))
	})
	t.Run("an inferred end before what is known here", func(t *testing.T) {
		l, id := begin(t)
		stopped := l.Now().Add(-time.Second)
		l.EndShared([]aaa.SharedEnd{{SessionID: id, UpdatedAt: stopped, StoppedAt: stopped, StopInferred: true, TerminateCause: aaa.CauseReboot}})
		require.True(t, session(t, l, id).StoppedAt.IsZero())
		require.Equal(t, 1, l.Open("alice"))
	})
	t.Run("after a Stop that was seen here", func(t *testing.T) {
		l, id := begin(t)
		l.OnChange(nil)
		l.send(rec(aaa.AcctStop, 0, class(1), counters(60, 1, 2)))
		before := session(t, l, id)
		l.EndShared([]aaa.SharedEnd{{SessionID: id, UpdatedAt: l.Now(), StoppedAt: l.Now(), TerminateCause: "x", Used: used}})
		require.Equal(t, before, session(t, l, id))
	})
}

func TestHold(t *testing.T) {
	l := newClockedLive(aaa.LiveOptions{})
	r := aaa.Reservation{Username: "alice", Limit: 1, NASAddr: testNAS, At: l.Now()}
	l.Hold(r, aaa.Nonce{1})
	l.Hold(r, aaa.Nonce{1})
	require.False(t, l.reserve(2))
	require.True(t, l.reserve(2, limit(2)), "one place, not two")
	l.Release("alice", aaa.Nonce{2})
	l.advance(time.Minute)
	require.True(t, l.reserve(3), "it lapses")
	l.Release("alice", aaa.Nonce{3})
	l.send(rec(aaa.AcctStart, 0))
	l.Hold(aaa.Reservation{Username: "alice", AcctSessionID: []byte("s1"), NASAddr: testNAS, At: l.Now()}, aaa.Nonce{})
	require.True(t, l.reserve(4, limit(2)), "a session that runs has its place")
}
