package redis

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
	"radiusd/aaa/limitstest"
)

// drawRecord is a record of one of a few sessions. Its counters grow with time, so
// that it is plain which is later.
func drawRecord(t *rapid.T) aaa.Record {
	id := rapid.IntRange(0, 3).Draw(t, "session")
	status := rapid.SampledFrom([]aaa.AcctStatus{aaa.AcctStart, aaa.AcctInterim, aaa.AcctInterim, aaa.AcctStop}).Draw(t, "status")
	began, ended := 5*id, 20+10*id
	at := rapid.IntRange(began, ended).Draw(t, "at")
	switch status {
	case aaa.AcctStart:
		at = began
	case aaa.AcctStop:
		at = ended
	}
	r := aaa.Record{
		Status: status, AcctSessionID: fmt.Sprint("s", id), Username: []string{"alice", "alice", "bob", "alice"}[id], NASID: uuid.UUID{7},
		NASAddr: netip.MustParseAddr("192.0.2.1"), EventTime: limitstest.Begin.Add(time.Duration(at) * time.Second), ReceivedAt: limitstest.Begin,
	}
	if id < 2 { // one device
		r.CallingStationID, r.NASPortID = "02-00-00-00-00-01", "1"
	}
	if id%2 == 0 {
		r.Class = aaa.AppendClass(nil, aaa.Nonce{byte(id + 1)})
	}
	if r.Status != aaa.AcctStart {
		r.HasSeconds, r.SessionSeconds = true, uint64(at-began)
		r.HasOctets, r.HasGigawords, r.InputOctets, r.OutputOctets = true, true, uint64(10*at), uint64(100*at)
	}
	if r.Status == aaa.AcctStop {
		r.TerminateCause = "User-Request"
	}
	return r
}

// shareInOrder is share with what is told in the order of the ids.
func (n *node) shareInOrder(t *testing.T) {
	t.Helper()
	dirty := n.takeDirty(0)
	for _, id := range slices.SortedFunc(maps.Keys(dirty), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		require.NoError(t, n.flush(t.Context(), map[uuid.UUID]string{id: dirty[id]}))
	}
	n.share(t)
}

// TestNodesAgreeWithOne: whichever node hears which record, in whichever order they
// tell of it, the view in Redis is the one that a single node would have that heard
// all of them.
func TestNodesAgreeWithOne(t *testing.T) {
	v := oneServer(t)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		clock := limitstest.NewClock()
		opt := aaa.LiveOptions{Now: clock.Now}
		v := server{url: v.url, prefix: fmt.Sprint("run", run)}
		var nodes []*node
		for _, id := range []string{"a", "b"} {
			n, err := v.open(id, opt)
			require.NoError(rt, err)
			defer n.Close()
			nodes = append(nodes, n.connect(t))
		}
		for _, user := range []string{"alice", "bob"} { // whose usage is known
			require.NoError(rt, nodes[0].seed(t.Context(), []string{user}))
		}
		one := aaa.NewLiveSessions(opt)
		for range rapid.IntRange(1, 25).Draw(rt, "records") {
			r := drawRecord(rt)
			again := r
			one.Apply(&again)
			n := nodes[rapid.IntRange(0, 1).Draw(rt, "node")]
			n.local.Apply(&r)
			if rapid.Bool().Draw(rt, "share") {
				n.shareInOrder(t)
			}
		}
		for _, n := range []*node{nodes[0], nodes[1], nodes[0], nodes[1]} { // an end may show that another stands
			for shard := range aaa.LiveShards {
				for _, id := range n.local.IDs(shard, nil) {
					n.changed(id, "")
				}
			}
			n.shareInOrder(t)
		}
		var want, got []string
		one.Each(aaa.LiveFilter{OpenOnly: true}, func(s *aaa.Session) bool {
			want = append(want, fmt.Sprint(s.Username, " ", s.AcctSessionID, s.StartedAt, s.UpdatedAt, s.SessionSeconds, s.InputOctets, s.OutputOctets))
			return true
		})
		for _, user := range []string{"alice", "bob"} {
			for _, s := range must(nodes[0].UserSessions(t.Context(), user)) {
				got = append(got, fmt.Sprint(s.Username, " ", s.AcctSessionID, s.StartedAt, s.UpdatedAt, s.SessionSeconds, s.InputOctets, s.OutputOctets))
			}
			r := aaa.Reservation{Username: user, At: clock.Now()}
			r.Quotas[aaa.PeriodEver] = aaa.Quota{LimitsOctets: true, Octets: 1 << 50}
			require.Equal(rt, one.Used(user, aaa.PeriodEver, clock.Now()), nodes[1].Reserve(r).Used[aaa.PeriodEver], user)
		}
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(rt, want, got)
		require.EqualValues(rt, len(want), must(nodes[0].OnlineCount(t.Context())))
	})
}
