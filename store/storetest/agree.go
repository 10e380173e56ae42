package storetest

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/journal"
	"radiusd/radius"
	"radiusd/store"
)

// nasSide is a NAS whose Accounting-Requests go the way from the journal to the live
// sessions and the sink, at times that the test gives.
type nasSide struct {
	t     *testing.T
	store *store.Store
	sink  *store.Sink
	live  *aaa.LiveSessions
	now   time.Time
	end   journal.Position
}

var nasIDs = map[string]uuid.UUID{"a": {1}, "b": {2}}

func newNASSide(t *testing.T, database Database) *nasSide {
	s, _ := openNode(t, database, "a")
	n := &nasSide{t: t, store: s, sink: sinkOf(t, s), now: noon}
	n.live = aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return n.now }})
	return n
}

// send has a NAS of the directory send a request after a while.
func (n *nasSide) send(after time.Duration, nas, attributes string) {
	n.t.Helper()
	n.now = n.now.Add(after)
	pairs, err := dictionary.Embedded().ParsePairs(attributes + `, User-Name = "alice", NAS-IP-Address = 192.168.88.1`)
	require.NoError(n.t, err)
	m := radius.Message{Code: radius.AccountingRequest}
	m.Attributes, err = dictionary.Embedded().AppendWire(nil, pairs, nil)
	require.NoError(n.t, err)
	packet, err := m.AppendTo(nil, 1, radius.NewHasher([]byte("secret")))
	require.NoError(n.t, err)
	e := aaa.Envelope{Received: n.now, Source: netip.MustParseAddr("203.0.113.1"), NASID: nasIDs[nas], Packet: packet}
	var r aaa.Record
	_, err = aaa.NewDecoder(dictionary.Embedded()).Decode(e.AppendTo(nil), &r)
	require.NoError(n.t, err)
	n.live.Apply(&r)
	n.end++
	require.NoError(n.t, write(n.t.Context(), n.sink, n.end, r))
}

// wait lets time pass and sessions lapse.
func (n *nasSide) wait(d time.Duration) {
	n.t.Helper()
	n.now = n.now.Add(d)
	for range time.Minute / aaa.SweepInterval {
		require.NoError(n.t, n.store.CloseSessions(n.t.Context(), n.live.Sweep()))
	}
}

func (n *nasSide) restart() {
	n.t.Helper()
	n.live = aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return n.now }})
	require.NoError(n.t, n.live.Load(n.t.Context(), n.store))
}

// sessions returns the stored sessions in order of their start.
func (n *nasSide) sessions() []aaa.Session {
	n.t.Helper()
	list, err := n.store.ListSessions(n.t.Context(), store.SessionFilter{})
	require.NoError(n.t, err)
	slices.Reverse(list)
	return list
}

// used returns what sessions, days and the live view say was used.
func (n *nasSide) used(ctx context.Context) (sessions, days, live aaa.Usage) {
	n.t.Helper()
	add := func(sum *aaa.Usage, u aaa.Usage) {
		sum.Seconds += u.Seconds
		sum.InputOctets += u.InputOctets
		sum.OutputOctets += u.OutputOctets
	}
	for _, x := range n.sessions() {
		add(&sessions, aaa.Usage{Seconds: x.SessionSeconds, InputOctets: x.InputOctets, OutputOctets: x.OutputOctets})
	}
	require.NoError(n.t, n.store.EachUsage(ctx, nil, func(u aaa.DailyUsage) error {
		add(&days, u.Usage)
		return nil
	}))
	return sessions, days, n.live.Used("alice", aaa.PeriodEver, n.now)
}

// testUsageAgrees: whatever a NAS does, the days add up to the sessions, and the
// live view has the same, also when it was loaded again.
func testUsageAgrees(t *testing.T, database Database) {
	const m = time.Minute
	start := `Acct-Status-Type = Start, Acct-Session-Id = "1"`
	interim := `Acct-Status-Type = Interim-Update, Acct-Session-Id = "1", `
	stop := `Acct-Status-Type = Stop, Acct-Session-Id = "1", Acct-Terminate-Cause = User-Request, `
	const on = `Acct-Status-Type = Accounting-On`
	past, future := noon.AddDate(-8, 0, 0).Format("Jan _2 2006 15:04:05 UTC"), noon.AddDate(9, 0, 0).Format("Jan _2 2006 15:04:05 UTC")
	for name, tt := range map[string]struct {
		run      func(n *nasSide)
		sessions int
		want     aaa.Usage
		check    func(t *testing.T, list []aaa.Session)
	}{
		"a clock years behind": {func(n *nasSide) {
			n.send(0, "a", start+`, Event-Timestamp = "`+past+`"`)
			n.send(10*m, "a", stop+`Acct-Session-Time = 600, Acct-Input-Octets = 5, Event-Timestamp = "`+past+`"`)
		}, 1, aaa.Usage{Seconds: 600, InputOctets: 5}, nil},
		"a clock years ahead that is set during the session": {func(n *nasSide) {
			n.send(0, "a", start+`, Event-Timestamp = "`+future+`"`)
			n.send(10*m, "a", stop+`Acct-Session-Time = 600, Acct-Input-Octets = 5`)
		}, 1, aaa.Usage{Seconds: 600, InputOctets: 5}, func(t *testing.T, list []aaa.Session) {
			assert.Equal(t, 10*m, list[0].StoppedAt.Sub(list[0].StartedAt))
		}},
		"a boot years ahead ends no session after it": {func(n *nasSide) {
			n.send(0, "a", on+`, Event-Timestamp = "`+future+`"`)
			n.send(m, "a", start)
			n.send(10*m, "a", interim+`Acct-Session-Time = 600, Acct-Input-Octets = 5`)
		}, 1, aaa.Usage{Seconds: 600, InputOctets: 5}, func(t *testing.T, list []aaa.Session) { assert.True(t, list[0].Open()) }},
		"an absurd delay": {func(n *nasSide) {
			n.send(0, "a", start+", Acct-Delay-Time = 4294967295")
			n.send(10*m, "a", stop+"Acct-Session-Time = 600, Acct-Delay-Time = 4000000000")
		}, 1, aaa.Usage{Seconds: 600}, nil},
		"all gigawords": {func(n *nasSide) {
			n.send(0, "a", start)
			n.send(10*m, "a", stop+"Acct-Session-Time = 600, Acct-Input-Octets = 4294967295, Acct-Input-Gigawords = 4294967295")
		}, 1, aaa.Usage{Seconds: 600, InputOctets: 1<<63 - 1}, nil},
		"a Stop with counters at zero, or none": {func(n *nasSide) {
			n.send(0, "a", start)
			n.send(10*m, "a", interim+"Acct-Session-Time = 600, Acct-Output-Octets = 5")
			n.send(m, "a", stop+"Acct-Session-Time = 0, Acct-Input-Octets = 0, Acct-Output-Octets = 0")
			n.send(m, "a", `Acct-Status-Type = Stop, Acct-Session-Id = "1"`)
		}, 1, aaa.Usage{Seconds: 600, OutputOctets: 5}, nil},
		"a session time that goes back": {func(n *nasSide) {
			n.send(0, "a", start)
			n.send(10*m, "a", interim+"Acct-Session-Time = 600, Acct-Output-Octets = 50")
			n.send(10*m, "a", interim+"Acct-Session-Time = 30, Acct-Output-Octets = 60")
			n.send(10*m, "a", stop+"Acct-Session-Time = 1800, Acct-Output-Octets = 70")
		}, 1, aaa.Usage{Seconds: 1800, OutputOctets: 70}, nil},
		"an Accounting-On that is repeated": {func(n *nasSide) {
			boot := on + `, Event-Timestamp = ` + `"` + noon.Add(5*m).Format("Jan _2 2006 15:04:05 UTC") + `"`
			n.send(0, "a", start)
			n.send(5*m, "a", boot)
			n.send(m, "a", start)
			n.send(m, "a", boot)
			n.send(m, "a", interim+"Acct-Session-Time = 120, Acct-Output-Octets = 7")
			n.send(m, "a", boot)
		}, 2, aaa.Usage{Seconds: 120, OutputOctets: 7}, func(t *testing.T, list []aaa.Session) {
			assert.Equal(t, aaa.CauseReboot, list[0].TerminateCause)
			assert.True(t, list[1].Open())
		}},
		"the boot of another NAS with the same address": {func(n *nasSide) {
			n.send(0, "a", start)
			n.send(10*m, "a", interim+"Acct-Session-Time = 600, Acct-Output-Octets = 50")
			n.send(m, "b", on)
			n.send(m, "b", `Acct-Status-Type = Start, Acct-Session-Id = "2"`)
			n.restart()
			n.send(8*m, "a", interim+"Acct-Session-Time = 1200, Acct-Output-Octets = 60")
		}, 2, aaa.Usage{Seconds: 1200, OutputOctets: 60}, func(t *testing.T, list []aaa.Session) {
			assert.True(t, list[0].Open())
			assert.True(t, list[1].Open())
		}},
		"an Interim without Start after a restart": {func(n *nasSide) {
			n.restart()
			n.send(10*m, "a", interim+"Acct-Session-Time = 600, Acct-Output-Octets = 50")
			n.restart()
			n.send(10*m, "a", interim+"Acct-Session-Time = 1200, Acct-Output-Octets = 60")
		}, 1, aaa.Usage{Seconds: 1200, OutputOctets: 60}, func(t *testing.T, list []aaa.Session) {
			assert.True(t, list[0].StartInferred)
			assert.Equal(t, noon, list[0].StartedAt)
		}},
		"a Stop after the session lapsed": {func(n *nasSide) {
			n.send(0, "a", start)
			n.send(10*m, "a", interim+"Acct-Session-Time = 600, Acct-Output-Octets = 50")
			n.wait(2 * time.Hour)
			n.send(m, "a", stop+"Acct-Session-Time = 7860, Acct-Output-Octets = 60")
		}, 1, aaa.Usage{Seconds: 7860, OutputOctets: 60}, func(t *testing.T, list []aaa.Session) {
			assert.False(t, list[0].StopInferred)
			assert.Equal(t, "User-Request", list[0].TerminateCause)
			assert.Equal(t, noon.Add(131*m), list[0].StoppedAt)
		}},
		"an Interim after the session lapsed": {func(n *nasSide) {
			n.send(0, "a", start)
			n.send(10*m, "a", interim+"Acct-Session-Time = 600, Acct-Output-Octets = 50")
			n.wait(2 * time.Hour)
			n.restart()
			n.send(m, "a", interim+"Acct-Session-Time = 7860, Acct-Output-Octets = 60")
		}, 1, aaa.Usage{Seconds: 7860, OutputOctets: 60}, func(t *testing.T, list []aaa.Session) { assert.True(t, list[0].Open()) }},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNASSide(t, database)
			tt.run(n)
			list := n.sessions()
			require.Len(t, list, tt.sessions)
			if tt.check != nil {
				tt.check(t, list)
			}
			for _, x := range list {
				live, ok := n.live.Session(x.ID)
				require.True(t, ok)
				assert.Equal(t, []any{x.StartedAt, x.UpdatedAt, x.StoppedAt, x.StopInferred, x.TerminateCause, x.OutputOctets},
					[]any{live.StartedAt, live.UpdatedAt, live.StoppedAt, live.StopInferred, live.TerminateCause, live.OutputOctets})
			}
			sessions, days, live := n.used(t.Context())
			assert.Equal(t, tt.want, sessions)
			if tt.want.InputOctets > 1<<50 {
				tt.want.InputOctets = 0 // more than a line carries: not in usage
			}
			assert.Equal(t, tt.want, days)
			assert.Equal(t, tt.want, live)
			n.restart()
			_, _, live = n.used(t.Context())
			assert.Equal(t, tt.want, live, "after a restart")
			today := n.live.Used("alice", aaa.PeriodDay, n.now)
			assert.Equal(t, tt.want, today, "and all of it today")
		})
	}
}
