package aaa_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// feed applies the records in order and returns them resolved.
func feed(l *aaa.LiveSessions, records ...aaa.Record) []aaa.Record {
	for i := range records {
		l.Apply(&records[i])
	}
	return records
}

func newLive() *aaa.LiveSessions {
	return aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return at(1000) }})
}

func TestRecordIDIsByMeaning(t *testing.T) {
	derived := func(delay int) func(*aaa.Record) {
		return func(r *aaa.Record) {
			r.EventDerived, r.Delay = true, time.Duration(delay)*time.Second
		}
	}
	arrived := func(seconds float64) func(*aaa.Record) {
		return func(r *aaa.Record) {
			r.ReceivedAt = epoch.Add(time.Duration(seconds * float64(time.Second)))
			if r.EventDerived {
				r.EventTime = r.ReceivedAt.Add(-r.Delay)
			}
		}
	}
	for name, c := range map[string]struct {
		a, b aaa.Record
		same bool
	}{
		"repeated with Event-Timestamp": {
			rec(aaa.AcctInterim, 60, counters(60, 1, 2)),
			rec(aaa.AcctInterim, 60, counters(60, 1, 2), arrived(65), func(r *aaa.Record) { r.Delay = 5 * time.Second }), true,
		},
		"repeated with a derived time that is off by a second": {
			rec(aaa.AcctInterim, 60, counters(60, 1, 2), derived(0), arrived(60.1)),
			rec(aaa.AcctInterim, 60, counters(60, 1, 2), derived(5), arrived(66)), true,
		},
		"a repeated Start with a derived time": {
			rec(aaa.AcctStart, 10, derived(0), arrived(10.1)), rec(aaa.AcctStart, 10, derived(5), arrived(15.9)), true,
		},
		"other counters":              {rec(aaa.AcctInterim, 60, counters(60, 1, 2)), rec(aaa.AcctInterim, 60, counters(60, 1, 3)), false},
		"other status":                {rec(aaa.AcctInterim, 60, counters(60, 1, 2)), rec(aaa.AcctStop, 60, counters(60, 1, 2)), false},
		"other event time":            {rec(aaa.AcctInterim, 60), rec(aaa.AcctInterim, 61), false},
		"other session":               {rec(aaa.AcctStart, 60), rec(aaa.AcctStart, 60, session("s2")), false},
		"other user":                  {rec(aaa.AcctStart, 60), rec(aaa.AcctStart, 60, user("bob")), false},
		"no session time, much later": {rec(aaa.AcctInterim, 60, derived(0)), rec(aaa.AcctInterim, 360, derived(0)), false},
		"an On repeated":              {rec(aaa.AcctOn, 60), rec(aaa.AcctOn, 60), true},
		"an On repeated with a derived time": {
			rec(aaa.AcctOn, 60, derived(0), arrived(60.1)), rec(aaa.AcctOn, 60, derived(5), arrived(66)), true,
		},
		"another On soon after": {rec(aaa.AcctOn, 60, derived(0), arrived(60)), rec(aaa.AcctOn, 61, derived(0), arrived(61)), false},
		"On and Off":            {rec(aaa.AcctOn, 60), rec(aaa.AcctOff, 60), false},
		"Tunnel-Start and Stop": {rec(aaa.AcctTunnelStart, 60), rec(aaa.AcctTunnelStop, 60), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := feed(newLive(), c.a, c.b)
			assert.Equal(t, c.same, got[0].ID == got[1].ID)
			for _, r := range got {
				assert.Equal(t, uuid.Version(8), r.ID.Version())
				assert.Equal(t, uuid.RFC4122, r.ID.Variant())
			}
		})
	}
}

func TestSessionIdentity(t *testing.T) {
	other := func(r *aaa.Record) { r.NASIdentifier = "other" }
	for name, c := range map[string]struct {
		records []aaa.Record
		same    bool
	}{
		"port and address change":             {[]aaa.Record{rec(aaa.AcctStart, 0, port("a")), rec(aaa.AcctStop, 9, port("b"), station("x"))}, true},
		"another NAS behind the address":      {[]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctStart, 9, other)}, false},
		"the id again after a boot":           {[]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctOn, 5), rec(aaa.AcctStart, 9)}, false},
		"an Off is no boot":                   {[]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctOff, 5), rec(aaa.AcctStop, 9)}, true},
		"a late Stop from before the boot":    {[]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctOn, 5), rec(aaa.AcctStop, 4)}, true},
		"a boot of another NAS":               {[]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctOn, 5, other), rec(aaa.AcctStop, 9)}, true},
		"a boot of another in the directory":  {[]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctOn, 5, func(r *aaa.Record) { r.NASID = uuid.UUID{2} }), rec(aaa.AcctStop, 9)}, true},
		"Class outlives a boot":               {[]aaa.Record{rec(aaa.AcctStart, 0, class(1)), rec(aaa.AcctOn, 5), rec(aaa.AcctStop, 9, class(1), user("renamed"))}, true},
		"another Class":                       {[]aaa.Record{rec(aaa.AcctStart, 0, class(1)), rec(aaa.AcctStart, 9, class(2))}, false},
		"another Acct-Session-Id, same Class": {[]aaa.Record{rec(aaa.AcctStart, 0, class(1)), rec(aaa.AcctStart, 9, class(1), session("s2"))}, false},
		"a Class of somebody else":            {[]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctStop, 9, func(r *aaa.Record) { r.Class = []byte("theirs") })}, true},
		"a boot of everything behind the address": {
			[]aaa.Record{rec(aaa.AcctStart, 0, other), rec(aaa.AcctOn, 5), rec(aaa.AcctStart, 9, other)}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := feed(newLive(), c.records...)
			first, last := got[0].SessionID, got[len(got)-1].SessionID
			assert.Equal(t, c.same, first == last)
			assert.Equal(t, uuid.Version(8), first.Version())
		})
	}
}

// TestLateAccountingOn: sessions that began after a boot and were heard of before
// it stay whole, while the ids of before the boot are not taken for them; also
// after a restart, and in a sink that is behind.
func TestLateAccountingOn(t *testing.T) {
	live := newLive()
	records := []aaa.Record{
		rec(aaa.AcctStart, 0, session("old")),
		rec(aaa.AcctStart, 110, session("new")),
		rec(aaa.AcctOn, 100), // comes late
		rec(aaa.AcctInterim, 410, session("new"), counters(300, 1, 1)),
		rec(aaa.AcctStart, 420, session("old")),
	}
	got := feed(live, records...)
	assert.Equal(t, got[1].SessionID, got[3].SessionID, "torn in two")
	assert.NotEqual(t, got[0].SessionID, got[4].SessionID, "the old id stands for a new session")

	stop := rec(aaa.AcctStop, 500, session("new"))
	live.Resolver().Resolve(&stop)
	assert.Equal(t, got[1].SessionID, stop.SessionID)
	behind := rec(aaa.AcctStart, 110, session("new"))
	live.Resolver().Resolve(&behind)
	assert.Equal(t, got[1].SessionID, behind.SessionID)

	store := newFakeStore()
	store.write(t, got)
	rows := store.rows()
	require.Len(t, rows, 3)
	restarted := newLive()
	require.NoError(t, restarted.Load(context.Background(), store))
	after := feed(restarted, rec(aaa.AcctStop, 500, session("new")), rec(aaa.AcctStop, 500, session("old")))
	assert.Equal(t, got[1].SessionID, after[0].SessionID)
	assert.Equal(t, got[4].SessionID, after[1].SessionID)
}
