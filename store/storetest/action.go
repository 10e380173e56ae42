package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/operator"
	"radiusd/radius"
	"radiusd/store"
)

// actionClock is the store's clock in these tests.
type actionClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *actionClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *actionClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// actionSite is a store with open sessions, named "0", "1", …
func actionSite(t *testing.T, database Database, sessions int) (*store.Store, store.Options, *actionClock, []aaa.Session) {
	clock := &actionClock{now: time.Now().UTC().Truncate(time.Second)}
	_, options := openNode(t, database, "a")
	options.Now = clock.Now
	s := reopen(t, options)
	var records []aaa.Record
	for i := range sessions {
		records = append(records, record(fmt.Sprint(i), aaa.AcctStart, time.Duration(i)*time.Second, 0))
	}
	require.NoError(t, write(t.Context(), sinkOf(t, s), 8, records...))
	var list []aaa.Session
	for i := range records {
		session, err := s.SessionByID(t.Context(), records[i].SessionID)
		require.NoError(t, err)
		list = append(list, *session)
	}
	return s, options, clock, list
}

func queue(t *testing.T, s *store.Store, batch aaa.ActionBatch, sessions []aaa.Session, change ...func(*aaa.SessionAction)) aaa.ActionBatch {
	t.Helper()
	var actions []aaa.SessionAction
	for i := range sessions {
		action := aaa.NewSessionAction(&sessions[i], batch.Kind, nil)
		for _, c := range change {
			c(&action)
		}
		actions = append(actions, action)
	}
	require.NoError(t, s.QueueActions(t.Context(), &batch, actions))
	return batch
}

func listActions(t *testing.T, s *store.Store, filter aaa.ActionFilter) []aaa.SessionAction {
	t.Helper()
	list, _, err := s.ListActionsPage(t.Context(), filter, aaa.Page{Limit: aaa.MaxPageLimit})
	require.NoError(t, err)
	return list
}

func claimAll(t *testing.T, s *store.Store, claim aaa.ActionClaim) []aaa.ClaimedAction {
	t.Helper()
	if claim.Limit == 0 {
		claim.Limit = 1000
	}
	claim.Lease = time.Minute
	claimed, err := s.ClaimActions(t.Context(), claim)
	require.NoError(t, err)
	return claimed
}

func totals(t *testing.T, s *store.Store, id uuid.UUID) (aaa.ActionTotals, time.Time) {
	t.Helper()
	b, err := s.ActionBatchByID(t.Context(), id)
	require.NoError(t, err)
	return b.Totals, b.FinishedAt
}

// testActions follows actions from the queue to their outcomes.
func testActions(t *testing.T, database Database) {
	s, _, clock, sessions := actionSite(t, database, 3)
	ctx := t.Context()
	items := []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Session-Timeout", Op: ":=", Value: "600"}, {Kind: aaa.ReplyItem, Attribute: "Cisco-AVPair", Op: "+=", Value: `a="b",ü`}}
	batch := queue(t, s, aaa.ActionBatch{Kind: aaa.ActionCoA, Filter: "user alice", Actor: "carol"}, sessions, func(a *aaa.SessionAction) { a.Attributes = items })
	assert.Equal(t, clock.Now(), batch.CreatedAt)
	assert.Equal(t, 3, batch.Totals.Of(aaa.ActionQueued))

	claimed := claimAll(t, s, aaa.ActionClaim{})
	require.Len(t, claimed, 3)
	for i, c := range claimed {
		assert.Equal(t, sessions[i].ID, c.SessionID, "in the order of queueing")
		require.NotNil(t, c.Session)
		assert.Equal(t, sessions[i].AcctSessionID, c.Session.AcctSessionID)
		assert.Equal(t, sessions[i].Username, c.Username)
		assert.Equal(t, nasAddr, c.NASAddr)
		assert.Equal(t, items, c.Attributes)
		assert.Equal(t, aaa.ActionSent, c.State)
		assert.Equal(t, "carol", c.Actor)
		assert.Equal(t, batch.ID, c.BatchID)
	}
	assert.Empty(t, claimAll(t, s, aaa.ActionClaim{}))
	got, finished := totals(t, s, batch.ID)
	assert.Equal(t, aaa.ActionTotals{aaa.ActionSent: 3}, got)
	assert.Zero(t, finished)

	clock.pass(time.Second)
	outcome := func(c aaa.ClaimedAction, state aaa.ActionState, cause radius.ErrorCause, detail string) aaa.SessionAction {
		c.State, c.ErrorCause, c.Detail, c.Attempts, c.AnsweredAt = state, cause, detail, 2, clock.Now()
		return c.SessionAction
	}
	require.NoError(t, s.RecordActions(ctx, []aaa.SessionAction{
		outcome(claimed[1], aaa.ActionRefused, 404, "no\x00"), outcome(claimed[0], aaa.ActionAcknowledged, 0, ""),
	}, time.Time{}))
	_, finished = totals(t, s, batch.ID)
	assert.Zero(t, finished)
	require.NoError(t, s.RecordActions(ctx, []aaa.SessionAction{outcome(claimed[2], aaa.ActionGone, 503, "")}, time.Time{}))
	got, finished = totals(t, s, batch.ID)
	assert.Equal(t, aaa.ActionTotals{aaa.ActionAcknowledged: 1, aaa.ActionRefused: 1, aaa.ActionGone: 1}, got)
	assert.Equal(t, clock.Now(), finished)
	assert.Equal(t, 1, got.Troubled())
	assert.Equal(t, 3, got.All())
	assert.Zero(t, got.Pending())

	// The first outcome stays: another node that had the action too comes later.
	require.NoError(t, s.RecordActions(ctx, []aaa.SessionAction{outcome(claimed[0], aaa.ActionUnanswered, 0, "late")}, time.Time{}))
	list := listActions(t, s, aaa.ActionFilter{BatchID: batch.ID})
	require.Len(t, list, 3)
	want := outcome(claimed[1], aaa.ActionRefused, radius.ErrorCauseInvalidRequest, "no\uFFFD")
	assert.Equal(t, want, list[1], "the latest first")
	assert.Equal(t, aaa.ActionAcknowledged, list[2].State)
	one, err := s.ActionByID(ctx, claimed[1].ID)
	require.NoError(t, err)
	assert.Equal(t, want, *one)
	_, err = s.ActionByID(ctx, uuid.New())
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = s.ActionBatchByID(ctx, uuid.New())
	require.ErrorIs(t, err, store.ErrNotFound)

	// The Stop is seen with the action.
	require.NoError(t, write(ctx, sinkOf(t, s), 16, record("0", aaa.AcctStop, time.Hour, 1)))
	list = listActions(t, s, aaa.ActionFilter{SessionID: sessions[0].ID})
	require.Len(t, list, 1)
	assert.Equal(t, noon.Add(time.Hour), list[0].StoppedAt)
	require.NoError(t, s.CloseSessions(ctx, []aaa.Closing{{SessionID: sessions[1].ID, StoppedAt: clock.Now()}}))
	list = listActions(t, s, aaa.ActionFilter{SessionID: sessions[1].ID})
	assert.Zero(t, list[0].StoppedAt, "a Stop that was inferred did not come")

	gone, err := s.GoneSessions(ctx, clock.Now().Add(-time.Second))
	require.NoError(t, err)
	assert.Equal(t, []aaa.GoneSession{{ID: sessions[2].ID, At: clock.Now()}}, gone)
	gone, err = s.GoneSessions(ctx, clock.Now().Add(time.Second))
	require.NoError(t, err)
	assert.Empty(t, gone)

	// Lists, by page and filter.
	second := queue(t, s, aaa.ActionBatch{Kind: aaa.ActionDisconnect, Rate: 7}, sessions[:1])
	for name, test := range map[string]struct {
		filter aaa.ActionFilter
		want   int
	}{
		"all":      {aaa.ActionFilter{}, 4},
		"user":     {aaa.ActionFilter{Username: sessions[0].Username}, 2},
		"states":   {aaa.ActionFilter{States: []aaa.ActionState{aaa.ActionGone, aaa.ActionQueued}}, 2},
		"nobody's": {aaa.ActionFilter{Username: "nobody"}, 0},
	} {
		all := listActions(t, s, test.filter)
		assert.Len(t, all, test.want, name)
		var paged []aaa.SessionAction
		for page := (aaa.Page{Limit: 1}); ; {
			some, next, err := s.ListActionsPage(ctx, test.filter, page)
			require.NoError(t, err)
			paged = append(paged, some...)
			if page.Cursor = next; next == "" {
				break
			}
			_, _, err = s.ListActionsPage(ctx, aaa.ActionFilter{Username: "another list"}, page)
			require.ErrorIs(t, err, aaa.ErrBadCursor)
		}
		assert.Equal(t, all, paged, name)
	}
	_, _, err = s.ListActionsPage(ctx, aaa.ActionFilter{}, aaa.Page{Sort: "state"})
	require.ErrorIs(t, err, aaa.ErrBadSort)
	batches, next, err := s.ListActionBatchesPage(ctx, aaa.Page{})
	require.NoError(t, err)
	assert.Empty(t, next)
	require.Len(t, batches, 2)
	assert.Equal(t, second, batches[0])
	assert.Equal(t, "user alice", batches[1].Filter)
	assert.Equal(t, got, batches[1].Totals)
	batches, next, err = s.ListActionBatchesPage(ctx, aaa.Page{Limit: 1})
	require.NoError(t, err)
	require.Len(t, batches, 1)
	assert.Equal(t, second.ID, batches[0].ID)
	batches, next, err = s.ListActionBatchesPage(ctx, aaa.Page{Limit: 1, Cursor: next})
	require.NoError(t, err)
	require.Len(t, batches, 1)
	assert.Equal(t, batch.ID, batches[0].ID)
	assert.Empty(t, next)

	// What waits can be called off, and what was taken comes back.
	claimed = claimAll(t, s, aaa.ActionClaim{Batch: second.ID})
	require.Len(t, claimed, 1)
	require.NoError(t, s.ReleaseActions(ctx, []uuid.UUID{claimed[0].ID}))
	skipped, err := s.CancelActions(ctx, second.ID)
	require.NoError(t, err)
	assert.Equal(t, 1, skipped)
	got, finished = totals(t, s, second.ID)
	assert.Equal(t, aaa.ActionTotals{aaa.ActionSkipped: 1}, got)
	assert.NotZero(t, finished)

	empty := queue(t, s, aaa.ActionBatch{}, nil)
	assert.NotZero(t, empty.FinishedAt)

	// Who asked for it is in the audit log.
	audit, err := s.ListAudit(ctx, operator.AuditFilter{Action: "session_actions."})
	require.NoError(t, err)
	require.Len(t, audit, 4)
	assert.Equal(t, "session_actions.cancel", audit[1].Action)
	assert.Equal(t, second.ID, audit[1].EntityID)
	assert.Equal(t, batch.ID, audit[3].EntityID)
	assert.Equal(t, "user alice", audit[3].EntityName)
	assert.JSONEq(t, `{"kind": "coa", "rate": 0, "sessions": 3}`, string(audit[3].Changes))

	// What is finished goes after some months, what is not stays.
	waiting := queue(t, s, aaa.ActionBatch{}, sessions[:1])
	clock.pass(89 * 24 * time.Hour)
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	batches, _, err = s.ListActionBatchesPage(ctx, aaa.Page{})
	require.NoError(t, err)
	assert.Len(t, batches, 4)
	clock.pass(2 * 24 * time.Hour)
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	batches, _, err = s.ListActionBatchesPage(ctx, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, batches, 1)
	assert.Equal(t, waiting.ID, batches[0].ID)
	list = listActions(t, s, aaa.ActionFilter{})
	assert.Len(t, list, 1)
	assert.ErrorIs(t, s.QueueActions(ctx, &aaa.ActionBatch{}, make([]aaa.SessionAction, aaa.MaxBatch+1)), aaa.ErrBatchTooLarge)
}

// testActionWorkers lets several nodes take from one queue: none has what another
// has, and an action comes back when its lease is over.
func testActionWorkers(t *testing.T, database Database) {
	const count, nodes = 300, 4
	s, options, clock, sessions := actionSite(t, database, 3)
	var all []aaa.Session
	for i := range count {
		all = append(all, sessions[i%3])
	}
	batch := queue(t, s, aaa.ActionBatch{}, all)

	var mu sync.Mutex
	owners := make(map[uuid.UUID]int)
	var working sync.WaitGroup
	for node := range nodes {
		n := reopen(t, options)
		working.Go(func() {
			for {
				claimed, err := n.ClaimActions(context.WithoutCancel(t.Context()), aaa.ActionClaim{Limit: 7, Lease: time.Minute})
				if !assert.NoError(t, err) {
					return
				}
				var outcomes []aaa.SessionAction
				mu.Lock()
				for i := range claimed {
					_, taken := owners[claimed[i].ID]
					assert.False(t, taken, "taken twice")
					owners[claimed[i].ID] = node
					if len(owners)%10 != 0 { // every tenth is not finished
						claimed[i].State = aaa.ActionAcknowledged
						outcomes = append(outcomes, claimed[i].SessionAction)
					}
				}
				done := len(owners) == count
				mu.Unlock()
				if len(outcomes) > 0 {
					assert.NoError(t, n.RecordActions(context.WithoutCancel(t.Context()), outcomes, time.Time{}))
				}
				if done {
					return
				}
			}
		})
	}
	working.Wait()
	assert.Len(t, owners, count)
	got, finished := totals(t, s, batch.ID)
	assert.Equal(t, aaa.ActionTotals{aaa.ActionAcknowledged: count - count/10, aaa.ActionSent: count / 10}, got)
	assert.Zero(t, finished)

	clock.pass(time.Minute - time.Microsecond)
	assert.Empty(t, claimAll(t, s, aaa.ActionClaim{}))
	clock.pass(time.Microsecond)
	again := claimAll(t, s, aaa.ActionClaim{})
	require.Len(t, again, count/10)
	for i := range again {
		again[i].State = aaa.ActionUnanswered
	}
	half := len(again) / 2
	var ends sync.WaitGroup // two nodes record the last outcomes at once: one of them finishes the batch
	for _, part := range [][]aaa.ClaimedAction{again[:half], again[half:]} {
		var outcomes []aaa.SessionAction
		for _, c := range part {
			outcomes = append(outcomes, c.SessionAction)
		}
		ends.Go(func() {
			assert.NoError(t, s.RecordActions(context.WithoutCancel(t.Context()), outcomes, time.Time{}))
		})
	}
	ends.Wait()
	got, finished = totals(t, s, batch.ID)
	assert.Equal(t, aaa.ActionTotals{aaa.ActionAcknowledged: count - count/10, aaa.ActionUnanswered: count / 10}, got)
	assert.NotZero(t, finished)
}

// testActionRate: a batch is taken no faster than its rate, whoever takes it, while
// others are not held up by it, nor by a NAS that has no room.
func testActionRate(t *testing.T, database Database) {
	s, _, clock, sessions := actionSite(t, database, 1)
	var all []aaa.Session
	for range 100 {
		all = append(all, sessions[0])
	}
	slow := queue(t, s, aaa.ActionBatch{Rate: 2}, all)
	require.Len(t, claimAll(t, s, aaa.ActionClaim{}), 1, "the first at once")
	require.Empty(t, claimAll(t, s, aaa.ActionClaim{}))
	clock.pass(499 * time.Millisecond)
	require.Empty(t, claimAll(t, s, aaa.ActionClaim{}))
	taken := 1
	for range 20 {
		clock.pass(100 * time.Millisecond)
		taken += len(claimAll(t, s, aaa.ActionClaim{}))
	}
	assert.Equal(t, 5, taken, "two a second")
	clock.pass(30 * time.Second)
	assert.Len(t, claimAll(t, s, aaa.ActionClaim{}), 1, "what nobody took is not made up for")

	fast := queue(t, s, aaa.ActionBatch{Rate: 100}, all)
	taken = 0
	for range 5 {
		clock.pass(200 * time.Millisecond)
		taken += len(claimAll(t, s, aaa.ActionClaim{Batch: fast.ID}))
	}
	assert.InDelta(t, 100, taken, 20)

	skipped, err := s.CancelActions(t.Context(), slow.ID)
	require.NoError(t, err)
	assert.NotZero(t, skipped)
	elsewhere := netip.MustParseAddr("2001:db8::1")
	other := queue(t, s, aaa.ActionBatch{}, all[:40], func(a *aaa.SessionAction) { a.NASAddr = elsewhere })
	for range 40 { // more batches than are looked into at one time, of a NAS that is busy
		queue(t, s, aaa.ActionBatch{}, all[:1])
	}
	free := queue(t, s, aaa.ActionBatch{}, all[:1], func(a *aaa.SessionAction) { a.NASAddr = netip.Addr{} })
	clock.pass(time.Second)
	claimed := claimAll(t, s, aaa.ActionClaim{
		Limit: 20, Busy: []netip.Addr{nasAddr}, Room: func(nas netip.Addr) int {
			if nas == elsewhere {
				return 3
			}
			return 16
		},
	})
	counts := map[uuid.UUID]int{}
	for _, c := range claimed {
		counts[c.BatchID]++
	}
	assert.Equal(t, map[uuid.UUID]int{other.ID: 3, free.ID: 1}, counts)
}

// testActionStops: a Disconnect-Request that was acknowledged is followed by a Stop,
// or repeated once, or reported.
func testActionStops(t *testing.T, database Database) {
	s, options, clock, sessions := actionSite(t, database, 3)
	ctx := t.Context()
	batch := queue(t, s, aaa.ActionBatch{}, sessions)
	queue(t, s, aaa.ActionBatch{Kind: aaa.ActionCoA}, sessions[:1])
	var outcomes []aaa.SessionAction
	for _, c := range claimAll(t, s, aaa.ActionClaim{}) {
		c.State, c.AnsweredAt = aaa.ActionAcknowledged, clock.Now()
		outcomes = append(outcomes, c.SessionAction)
	}
	require.Len(t, outcomes, 4)
	require.NoError(t, s.RecordActions(ctx, outcomes, clock.Now().Add(time.Minute)))
	overdue := func(s *store.Store) []aaa.ClaimedAction {
		list, err := s.OverdueStops(ctx, clock.Now().Add(time.Minute), 10)
		require.NoError(t, err)
		return list
	}
	assert.Empty(t, overdue(s))
	require.NoError(t, write(ctx, sinkOf(t, s), 16, record("0", aaa.AcctStop, time.Hour, 1)))
	clock.pass(time.Minute)
	late := overdue(s)
	require.Len(t, late, 2, "session 0 has ended, and a CoA-Request ends none")
	assert.Equal(t, sessions[1].ID, late[0].SessionID)
	assert.Equal(t, sessions[1].ID, late[0].Session.ID)
	assert.False(t, late[0].StopMissing)
	assert.Empty(t, overdue(reopen(t, options)), "one node repeats it")
	late[0].Attempts, late[0].Detail = 3, "repeated"
	require.NoError(t, s.RepeatedActions(ctx, []aaa.SessionAction{late[0].SessionAction}))

	require.NoError(t, write(ctx, sinkOf(t, s), 24, record("2", aaa.AcctStop, time.Hour, 1)))
	clock.pass(time.Minute)
	late = overdue(s)
	require.Len(t, late, 1)
	assert.Equal(t, sessions[1].ID, late[0].SessionID)
	assert.True(t, late[0].StopMissing)
	clock.pass(time.Hour)
	assert.Empty(t, overdue(s), "it is reported once")
	list := listActions(t, s, aaa.ActionFilter{SessionID: sessions[1].ID, BatchID: batch.ID})
	assert.Equal(t, aaa.ActionAcknowledged, list[0].State)
	assert.True(t, list[0].StopMissing)
	assert.Equal(t, 3, list[0].Attempts)
	assert.Equal(t, "repeated", list[0].Detail)
}
