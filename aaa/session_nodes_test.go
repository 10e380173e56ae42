package aaa_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
)

// node is one of several on a store: it has a journal, live sessions that follow it,
// and a sink that is behind.
type node struct {
	store   *fakeStore
	live    *aaa.LiveSessions
	known   *aaa.Resolver // the sink's
	journal []aaa.Record
	applied int
	stored  int
	now     time.Time
}

func newNode(store *fakeStore) *node {
	n := &node{store: store, now: at(1000)}
	n.restart()
	return n
}

func (n *node) restart() {
	n.known = aaa.NewResolver()
	n.live = aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return n.now }, InferredRetention: 1e6 * time.Hour, ClosedRetention: 1e6 * time.Hour})
	if err := n.live.Load(context.Background(), n.store); err != nil {
		panic(err)
	}
	n.applied = n.stored
}

// receive journals a record and applies it.
func (n *node) receive(r aaa.Record) {
	n.journal = append(n.journal, r)
	n.apply()
}

func (n *node) apply() {
	for ; n.applied < len(n.journal); n.applied++ {
		r := n.journal[n.applied]
		n.live.Apply(&r)
	}
}

// drain takes the next records into the store, as a sink does in a transaction.
func (n *node) drain(t require.TestingT, count int) {
	n.apply()
	batch := slices.Clone(n.journal[n.stored : n.stored+count])
	for i := range batch {
		n.live.Resolver().Resolve(&batch[i])
	}
	n.known.Learn(n.store.seen())
	ids := n.known.Identify(batch)
	batch = ids.Decide(func(id uuid.UUID) *aaa.Session {
		if s, ok := n.store.sessions[id]; ok {
			return &s
		}
		return nil
	})
	n.store.write(t, batch)
	n.stored += count
}

// poll tells the live sessions of the store's boots.
func (n *node) poll() {
	for _, b := range n.store.boots {
		n.live.LearnBoot(&b)
	}
}

// TestNodesAgreeOnSessions: whatever node a record or a boot reaches, and whatever
// node is first to write, there is one row for each session that there was, with
// the counters of its last record, and the usage is their sum.
func TestNodesAgreeOnSessions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := newFakeStore()
		nodes := []*node{newNode(store), newNode(store), newNode(store)}
		pick := func() *node { return nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "node")] }
		truth := map[string]aaa.Usage{}
		users := map[string]aaa.Usage{}

		// What happened, in order of time: boots, and sessions between them.
		var records []aaa.Record
		boots := rapid.IntRange(0, 3).Draw(t, "boots")
		for era := range boots + 1 {
			began := era * 300
			if era > 0 {
				records = append(records, rec(aaa.AcctOn, began))
			}
			for i := range rapid.IntRange(0, 3).Draw(t, "sessions") {
				id := fmt.Sprintf("e%ds%d", era, i)
				name := rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "user")
				start := began + rapid.IntRange(0, 100).Draw(t, "start")
				common := []func(*aaa.Record){session(id), user(name)}
				if rapid.IntRange(0, 3).Draw(t, "class") == 0 {
					common = append(common, func(r *aaa.Record) { r.Class = aaa.AppendClass(nil, aaa.Nonce{byte(era), byte(i)}) })
				}
				if rapid.IntRange(0, 3).Draw(t, "lost start") > 0 {
					records = append(records, rec(aaa.AcctStart, start, common...))
				}
				length := 0
				for range rapid.IntRange(1, 3).Draw(t, "interims") {
					length += rapid.IntRange(1, 30).Draw(t, "gap")
					records = append(records, rec(aaa.AcctInterim, start+length, append(common, counters(uint64(length), uint64(length)*7, uint64(length)*11))...))
				}
				if rapid.Bool().Draw(t, "stop") {
					length += rapid.IntRange(1, 30).Draw(t, "gap")
					records = append(records, rec(aaa.AcctStop, start+length, append(common, counters(uint64(length), uint64(length)*7, uint64(length)*11), cause("User-Request"))...))
				}
				used := aaa.Usage{Seconds: uint64(length), InputOctets: uint64(length) * 7, OutputOctets: uint64(length) * 11}
				truth[id] = used
				sum := users[name]
				sum.Seconds, sum.InputOctets, sum.OutputOctets = sum.Seconds+used.Seconds, sum.InputOctets+used.InputOctets, sum.OutputOctets+used.OutputOctets
				users[name] = sum
			}
		}
		slices.SortStableFunc(records, func(a, b aaa.Record) int { return a.EventTime.Compare(b.EventTime) })
		if rapid.Bool().Draw(t, "out of order") {
			records = rapid.Permutation(records).Draw(t, "order")
		}
		for _, r := range records {
			if r.EventTime.After(store.now) {
				store.now = r.EventTime
			}
			r.ReceivedAt = store.now // or it was held back by the NAS
			pick().receive(r)
			if rapid.IntRange(0, 4).Draw(t, "repeat") == 0 {
				pick().receive(r) // the answer was lost, and the NAS turns to another
			}
			for range rapid.IntRange(0, 3).Draw(t, "meanwhile") {
				switch n := pick(); rapid.IntRange(0, 5).Draw(t, "event") {
				case 0, 1, 2:
					n.drain(t, rapid.IntRange(0, len(n.journal)-n.stored).Draw(t, "batch"))
				case 3, 4:
					n.poll()
				default:
					n.restart()
				}
			}
		}
		for _, n := range rapid.Permutation(nodes).Draw(t, "last") {
			for n.stored < len(n.journal) {
				n.drain(t, rapid.IntRange(1, len(n.journal)-n.stored).Draw(t, "batch"))
			}
		}

		require.Len(t, store.sessions, len(truth), "one row for each session:\n%s", show(store.rows()))
		for _, s := range store.rows() {
			require.Equal(t, truth[s.AcctSessionID], aaa.Usage{Seconds: s.SessionSeconds, InputOctets: s.InputOctets, OutputOctets: s.OutputOctets}, s.AcctSessionID)
			last, err := strconv.Atoi(s.AcctSessionID[1:2])
			require.NoError(t, err)
			require.Equal(t, last == boots && !stopped(records, s.AcctSessionID), s.Open(), "%s: a boot ends what was before it\n%s", s.AcctSessionID, show(store.rows()))
		}
		require.Equal(t, users, nonZero(store.totals()))

		// Nothing is heard any more: the nodes, which may know sessions by other ids
		// than the store, end them there.
		for _, n := range nodes {
			n.apply()
			n.poll()
			n.now = n.now.Add(48 * time.Hour)
			for range time.Minute / aaa.SweepInterval {
				require.NoError(t, store.CloseSessions(context.Background(), n.live.Sweep()))
			}
		}
		for _, s := range store.rows() {
			require.False(t, s.Open(), "%s\n%s", s.AcctSessionID, show(store.rows()))
		}
	})
}

func stopped(records []aaa.Record, id string) bool {
	return slices.ContainsFunc(records, func(r aaa.Record) bool { return r.Status == aaa.AcctStop && r.AcctSessionID == id })
}

func nonZero(sums map[string]aaa.Usage) map[string]aaa.Usage {
	for name, u := range sums {
		if u == (aaa.Usage{}) {
			delete(sums, name)
		}
	}
	return sums
}
