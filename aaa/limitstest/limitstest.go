// Package limitstest is what every implementation of [aaa.Limits] must do, in
// memory as in a database that several nodes share.
package limitstest

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// Node is one of the nodes that share limits.
type Node struct {
	aaa.Limits
	// Live is the node's own view, which takes its records in.
	Live *aaa.LiveSessions
	// Share tells the other nodes what has changed here.
	Share func()
}

// Open makes two nodes that share what they know. In memory both may be the same.
// The options have the clock. What was used before stands in accounts.
type Open func(t *testing.T, opt aaa.LiveOptions, accounts ...aaa.UsageAccount) (a, b Node)

// Begin is where the clocks of the tests begin.
var Begin = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // a Monday

// Clock is a time that a test moves.
type Clock struct{ now atomic.Int64 }

// NewClock returns a clock that stands at Begin.
func NewClock() *Clock {
	c := new(Clock)
	c.Set(Begin)
	return c
}

// Now returns the time.
func (c *Clock) Now() time.Time { return time.UnixMicro(c.now.Load()).UTC() }

// Set moves the clock to a time.
func (c *Clock) Set(t time.Time) { c.now.Store(t.UnixMicro()) }

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) { c.now.Add(d.Microseconds()) }

// world is two nodes and their clock.
type world struct {
	*Clock
	t    *testing.T
	a, b Node
}

var (
	nas      = netip.MustParseAddr("192.0.2.1")
	otherNAS = netip.MustParseAddr("192.0.2.2")
	nasID    = uuid.UUID{7}
)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{Clock: NewClock(), t: t}
			w.a, w.b = open(t, aaa.LiveOptions{Now: w.Now})
			test(w)
		})
	}
	t.Run("quotas", func(t *testing.T) { quotas(t, open) })
}

// ask is a reservation for alice with a limit of one.
func (w *world) ask(n Node, nonce byte, change ...func(*aaa.Reservation)) aaa.Grant {
	r := aaa.Reservation{Username: "alice", Limit: 1, Nonce: aaa.Nonce{nonce}, NASAddr: nas, NASID: nasID, At: w.Now()}
	for _, f := range change {
		f(&r)
	}
	return n.Reserve(r)
}

func (w *world) reserved(n Node, nonce byte, change ...func(*aaa.Reservation)) {
	w.t.Helper()
	require.True(w.t, w.ask(n, nonce, change...).Reserved)
}

func (w *world) refused(n Node, nonce byte, change ...func(*aaa.Reservation)) {
	w.t.Helper()
	g := w.ask(n, nonce, change...)
	require.False(w.t, g.Reserved)
	require.Zero(w.t, g.Nonce)
}

// send has the node take in a record at the present time, and tell of it.
func (w *world) send(n Node, status aaa.AcctStatus, change ...func(*aaa.Record)) {
	r := aaa.Record{
		Status: status, AcctSessionID: "s1", Username: "alice", NASAddr: nas, NASID: nasID,
		EventTime: w.Now(), ReceivedAt: w.Now(),
	}
	for _, f := range change {
		f(&r)
	}
	n.Live.Apply(&r)
	n.Share()
}

func limit(n int) func(*aaa.Reservation) { return func(r *aaa.Reservation) { r.Limit = n } }

func user(name string) func(*aaa.Reservation) { return func(r *aaa.Reservation) { r.Username = name } }

func from(station, port string) func(*aaa.Reservation) {
	return func(r *aaa.Reservation) { r.CallingStationID, r.NASPortID = []byte(station), []byte(port) }
}

func again(id string) func(*aaa.Reservation) {
	return func(r *aaa.Reservation) { r.AcctSessionID = []byte(id) }
}

func class(nonce byte) func(*aaa.Record) {
	return func(r *aaa.Record) { r.Class = aaa.AppendClass(nil, aaa.Nonce{nonce}) }
}

func session(id string) func(*aaa.Record) { return func(r *aaa.Record) { r.AcctSessionID = id } }

func device(station, port string) func(*aaa.Record) {
	return func(r *aaa.Record) { r.CallingStationID, r.NASPortID = station, port }
}

func used(seconds, input, output uint64) func(*aaa.Record) {
	return func(r *aaa.Record) {
		r.HasSeconds, r.SessionSeconds = true, seconds
		r.HasOctets, r.InputOctets, r.OutputOctets = true, input, output
	}
}

var tests = map[string]func(w *world){
	"of fifty at once no more than the limit are accepted": func(w *world) {
		for _, n := range []int{1, 3} {
			var accepted atomic.Int32
			var all sync.WaitGroup
			name := "user" + string(rune('0'+n))
			for i := range 50 {
				node := []Node{w.a, w.b}[i%2]
				all.Go(func() {
					if w.ask(node, byte(i), limit(n), user(name)).Reserved {
						accepted.Add(1)
					}
				})
			}
			all.Wait()
			require.EqualValues(w.t, n, accepted.Load())
		}
	},
	"a place is taken over by the Start and given back by the Stop, on any node": func(w *world) {
		w.reserved(w.a, 1)
		w.refused(w.b, 2)
		w.send(w.b, aaa.AcctStart, class(1))
		w.refused(w.a, 2)
		w.reserved(w.a, 2, limit(2)) // once, not twice
		w.send(w.a, aaa.AcctStart, class(2), session("s2"))
		w.refused(w.b, 3, limit(2))
		w.send(w.a, aaa.AcctStop, class(1))
		w.send(w.b, aaa.AcctStop, class(2), session("s2"))
		w.reserved(w.b, 3)
	},
	"a place is taken over without Class by NAS and station": func(w *world) {
		w.reserved(w.a, 1, from("aa:bb:cc:dd:ee:01", "1"), limit(2))
		w.send(w.b, aaa.AcctStart, device("AA-BB-CC-DD-EE-01", "1"))
		w.reserved(w.b, 2, from("aa:bb:cc:dd:ee:02", "2"), limit(2))
		w.refused(w.a, 3, from("aa:bb:cc:dd:ee:03", "3"), limit(2))
	},
	"the oldest place is taken over where the port was not sent": func(w *world) {
		w.reserved(w.a, 1, from("aa:bb:cc:dd:ee:01", ""), limit(2))
		w.Advance(30 * time.Second)
		w.reserved(w.a, 2, from("aa:bb:cc:dd:ee:01", ""), limit(2))
		w.send(w.b, aaa.AcctStart, device("AA-BB-CC-DD-EE-01", "1"))
		w.refused(w.b, 3, limit(2)) // the session and the younger place
		w.reserved(w.b, 3, limit(3))
		w.b.Release("alice", aaa.Nonce{3})
		w.Advance(30 * time.Second)
		w.refused(w.b, 3, limit(2))
		w.Advance(30 * time.Second)
		w.reserved(w.b, 3, limit(2))
	},
	"another station's place is not taken over": func(w *world) {
		w.reserved(w.a, 1, from("aa:bb:cc:dd:ee:01", "1"), limit(2))
		w.send(w.b, aaa.AcctStart, device("AA-BB-CC-DD-EE-02", "2"))
		w.refused(w.b, 3, from("aa:bb:cc:dd:ee:03", "3"), limit(2))
	},
	"a place lapses": func(w *world) {
		w.reserved(w.a, 1)
		w.Advance(59 * time.Second)
		w.refused(w.b, 2)
		w.Advance(time.Second)
		w.reserved(w.b, 2)
	},
	"a place is given back by Release": func(w *world) {
		w.reserved(w.a, 1)
		w.a.Release("alice", aaa.Nonce{9}) // nobody's
		w.refused(w.b, 2)
		w.a.Release("alice", aaa.Nonce{1})
		w.reserved(w.b, 2)
	},
	"a place is given back by a Stop without Start": func(w *world) {
		w.reserved(w.a, 1)
		w.send(w.b, aaa.AcctStop, class(1))
		w.reserved(w.a, 2)
	},
	"the same nonce has the same place": func(w *world) {
		w.reserved(w.a, 1)
		w.reserved(w.a, 1)
		w.reserved(w.b, 2, limit(2))
	},
	"a device replaces its own place": func(w *world) {
		w.reserved(w.a, 1, from("aa:bb:cc:dd:ee:01", "1"))
		w.reserved(w.b, 2, from("aa:bb:cc:dd:ee:01", "1"))
		w.refused(w.a, 3, from("aa:bb:cc:dd:ee:02", "2"))
		w.refused(w.b, 4, from("aa:bb:cc:dd:ee:01", "2")) // another port
		w.refused(w.b, 4)                                 // of a device that nobody knows
	},
	"a device replaces its own session": func(w *world) {
		w.send(w.a, aaa.AcctStart, device("AA-BB-CC-DD-EE-01", "1"))
		w.Advance(time.Second)
		w.refused(w.b, 1, from("aa:bb:cc:dd:ee:02", "2"))
		w.reserved(w.b, 2, from("aa:bb:cc:dd:ee:01", "1"))
		w.refused(w.a, 3, from("aa:bb:cc:dd:ee:02", "2")) // session and place of one device are one
		w.reserved(w.a, 4, from("aa:bb:cc:dd:ee:02", "2"), limit(2))
		w.send(w.b, aaa.AcctStart, session("s2"), device("aabb.ccdd.ee01", "1"), class(2))
		w.refused(w.b, 5, from("aa:bb:cc:dd:ee:03", "3"), limit(2))
		w.reserved(w.b, 5, from("aa:bb:cc:dd:ee:03", "3"), limit(3)) // the old session has been superseded
	},
	"links of a bundle stand beside each other": func(w *world) {
		bundle := func(r *aaa.Record) { r.AcctMultiSessionID = "m" }
		w.send(w.a, aaa.AcctStart, device("AA-BB-CC-DD-EE-01", "1"), bundle)
		w.Advance(time.Second)
		w.send(w.b, aaa.AcctStart, session("s2"), device("AA-BB-CC-DD-EE-01", "1"), bundle)
		w.refused(w.a, 1, limit(2))
		w.reserved(w.a, 1, limit(3))
	},
	"a session that is superseded out of order": func(w *world) {
		w.Advance(time.Minute)
		later := w.Now()
		w.send(w.a, aaa.AcctStart, session("s2"), device("AA-BB-CC-DD-EE-01", "1"))
		w.send(w.b, aaa.AcctStart, device("AA-BB-CC-DD-EE-01", "1"), func(r *aaa.Record) { r.EventTime = later.Add(-30 * time.Second) })
		w.refused(w.b, 1)
		w.reserved(w.b, 1, limit(2))
	},
	"places belong to one user, whatever the name": func(w *world) {
		for i, name := range []string{"alice", "bob", "a}b{c}", "{1}", "{}", "caf\xc3\xa9", "\xff\x01\r\n"} {
			w.reserved(w.a, byte(i), user(name))
			w.refused(w.b, 99, user(name))
		}
	},
	"a session that asks again keeps its nonce and its place": func(w *world) {
		w.reserved(w.a, 1, again("s1"))
		g := w.ask(w.b, 2, again("s1"))
		require.Equal(w.t, aaa.Grant{Reserved: true, Nonce: aaa.Nonce{1}}, g, "before its Start")
		w.refused(w.b, 3, again("s2"))
		w.send(w.a, aaa.AcctStart, class(1))
		g = w.ask(w.b, 4, again("s1"))
		require.Equal(w.t, aaa.Grant{Reserved: true, Nonce: aaa.Nonce{1}}, g, "after it")
		w.refused(w.b, 5, again("s1"), func(r *aaa.Reservation) { r.NASAddr = otherNAS })
		w.refused(w.b, 5, again("s1"), func(r *aaa.Reservation) { r.NASID = uuid.UUID{8} })
		g = w.ask(w.b, 6, again("s1"), limit(0))
		require.Equal(w.t, aaa.Grant{Reserved: true, Nonce: aaa.Nonce{1}}, g, "without a limit as well")
		w.send(w.b, aaa.AcctStop, class(1))
		g = w.ask(w.a, 7, again("s1"))
		require.Equal(w.t, aaa.Grant{Reserved: true, Nonce: aaa.Nonce{7}}, g, "one that has ended is another")
	},
	"a session without Class that asks again gets none": func(w *world) {
		w.send(w.a, aaa.AcctStart)
		require.Equal(w.t, aaa.Grant{Reserved: true}, w.ask(w.b, 1, again("s1")))
		require.Equal(w.t, aaa.Grant{Reserved: true}, w.ask(w.b, 1, again("s1"), limit(0)))
	},
	"a session that fell silent does not count, and goes on under its nonce": func(w *world) {
		w.send(w.a, aaa.AcctStart, class(1))
		w.Advance(24 * time.Hour)
		w.sweep()
		require.Equal(w.t, aaa.Nonce{1}, w.ask(w.b, 2, again("s1")).Nonce)
		w.b.Release("alice", aaa.Nonce{1})
		w.reserved(w.b, 3)
		w.send(w.a, aaa.AcctInterim, class(1), used(86400, 1, 1))
		w.refused(w.b, 4, limit(2))
	},
	"a session that fell silent and is authenticated again has one place": func(w *world) {
		w.send(w.a, aaa.AcctStart, class(1))
		w.Advance(24 * time.Hour)
		w.sweep()
		w.reserved(w.b, 2, again("s1"))
		w.send(w.a, aaa.AcctInterim, class(1))
		w.reserved(w.b, 3, limit(2))
		w.refused(w.b, 4, limit(2))
	},
	"liveness is three intervals between interims": func(w *world) {
		w.send(w.a, aaa.AcctStart)
		for range 3 {
			w.Advance(10 * time.Minute)
			w.send(w.a, aaa.AcctInterim)
		}
		w.Advance(30*time.Minute - time.Second)
		w.sweep()
		w.refused(w.b, 1)
		w.Advance(time.Second)
		w.sweep()
		w.reserved(w.b, 1)
	},
	"an older record does not reopen": func(w *world) {
		w.send(w.a, aaa.AcctStart, class(1))
		began := w.Now()
		w.Advance(time.Minute)
		w.send(w.b, aaa.AcctStop, class(1), used(60, 1, 1))
		w.send(w.a, aaa.AcctInterim, class(1), used(30, 1, 1), func(r *aaa.Record) { r.EventTime = began.Add(30 * time.Second) })
		w.Advance(time.Minute)
		w.send(w.a, aaa.AcctInterim, class(1), used(90, 1, 1))
		w.reserved(w.b, 2)
	},
	"a boot ends the sessions of its NAS": func(w *world) {
		w.send(w.a, aaa.AcctStart, class(1))
		w.Advance(time.Minute)
		w.send(w.a, aaa.AcctOn, func(r *aaa.Record) { r.AcctSessionID, r.Username = "", "" })
		w.reserved(w.b, 2)
		w.b.Release("alice", aaa.Nonce{2})
		w.Advance(time.Minute)
		w.send(w.b, aaa.AcctInterim, class(1)) // so it did not
		w.refused(w.a, 3)
	},
	"a session that becomes another user's": func(w *world) {
		w.send(w.a, aaa.AcctStart, class(1))
		w.Advance(time.Minute)
		w.send(w.a, aaa.AcctInterim, class(1), func(r *aaa.Record) { r.Username = "bob" })
		w.reserved(w.b, 2)
		w.refused(w.b, 3, user("bob"))
	},
}

// sweep looks at every session of both nodes once.
func (w *world) sweep() {
	for range aaa.LiveShards {
		w.a.Live.Sweep()
		w.b.Live.Sweep()
	}
	w.a.Share()
	w.b.Share()
}
