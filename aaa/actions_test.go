package aaa_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// memoryQueue is an ActionQueue as a store has it, in memory.
type memoryQueue struct {
	mu       sync.Mutex
	actions  []aaa.SessionAction
	sessions map[uuid.UUID]*aaa.Session
	leases   map[uuid.UUID]time.Time
	stops    map[uuid.UUID]time.Time
	repeated map[uuid.UUID]bool
	closed   []aaa.Closing
	away     error
	claims   int
}

func newMemoryQueue() *memoryQueue {
	return &memoryQueue{
		sessions: map[uuid.UUID]*aaa.Session{}, leases: map[uuid.UUID]time.Time{},
		stops: map[uuid.UUID]time.Time{}, repeated: map[uuid.UUID]bool{},
	}
}

func (q *memoryQueue) add(s aaa.Session, kind aaa.ActionKind, attributes ...aaa.Item) uuid.UUID {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := aaa.NewSessionAction(&s, kind, attributes)
	a.ID, a.CreatedAt = uuid.New(), time.Now()
	q.sessions[s.ID] = &s
	q.actions = append(q.actions, a)
	return a.ID
}

func (q *memoryQueue) get(id uuid.UUID) aaa.SessionAction {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.actions[slices.IndexFunc(q.actions, func(a aaa.SessionAction) bool { return a.ID == id })]
}

func (q *memoryQueue) pending() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.actions {
		if q.actions[i].State.Pending() {
			n++
		}
	}
	return n
}

func (q *memoryQueue) ClaimActions(_ context.Context, claim aaa.ActionClaim) (claimed []aaa.ClaimedAction, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.claims++; q.away != nil {
		return nil, q.away
	}
	room := map[netip.Addr]int{}
	for i := range q.actions {
		a := &q.actions[i]
		waits := a.State == aaa.ActionQueued || a.State == aaa.ActionSent && !q.leases[a.ID].After(time.Now())
		if !waits || len(claimed) == claim.Limit || slices.Contains(claim.Busy, a.NASAddr) || room[a.NASAddr] >= claim.Room(a.NASAddr) {
			continue
		}
		room[a.NASAddr]++
		a.State, a.SentAt = aaa.ActionSent, time.Now()
		q.leases[a.ID] = time.Now().Add(claim.Lease)
		claimed = append(claimed, aaa.ClaimedAction{SessionAction: *a, Session: q.sessions[a.SessionID]})
	}
	return claimed, nil
}

func (q *memoryQueue) RecordActions(_ context.Context, outcomes []aaa.SessionAction, stopBy time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.away != nil {
		return q.away
	}
	for _, o := range outcomes {
		for i := range q.actions {
			if a := &q.actions[i]; a.ID == o.ID && a.State.Pending() {
				*a = o
				if o.Kind == aaa.ActionDisconnect && o.State == aaa.ActionAcknowledged {
					q.stops[o.ID] = stopBy
				}
			}
		}
	}
	return nil
}

func (q *memoryQueue) ReleaseActions(_ context.Context, ids []uuid.UUID) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.actions {
		if slices.Contains(ids, q.actions[i].ID) {
			q.actions[i].State = aaa.ActionQueued
		}
	}
	return nil
}

func (q *memoryQueue) OverdueStops(_ context.Context, again time.Time, _ int) (overdue []aaa.ClaimedAction, _ error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.actions {
		a := &q.actions[i]
		due, ok := q.stops[a.ID]
		if !ok || due.After(time.Now()) {
			continue
		}
		delete(q.stops, a.ID)
		if !q.sessions[a.SessionID].Open() {
			continue
		}
		if a.StopMissing = q.repeated[a.ID]; !a.StopMissing {
			q.repeated[a.ID], q.stops[a.ID] = true, again
		}
		overdue = append(overdue, aaa.ClaimedAction{SessionAction: *a, Session: q.sessions[a.SessionID]})
	}
	return overdue, nil
}

func (q *memoryQueue) RepeatedActions(_ context.Context, repeated []aaa.SessionAction) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range repeated {
		for i := range q.actions {
			if q.actions[i].ID == r.ID {
				q.actions[i].Attempts, q.actions[i].Detail = r.Attempts, r.Detail
			}
		}
	}
	return nil
}

func (q *memoryQueue) GoneSessions(_ context.Context, since time.Time) (gone []aaa.GoneSession, _ error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.actions {
		if a := &q.actions[i]; a.State == aaa.ActionGone && !a.AnsweredAt.Before(since) {
			gone = append(gone, aaa.GoneSession{ID: a.SessionID, At: a.AnsweredAt})
		}
	}
	return gone, nil
}

func (q *memoryQueue) CloseSessions(_ context.Context, closings []aaa.Closing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = append(q.closed, closings...)
	for _, c := range closings {
		if s := q.sessions[c.SessionID]; s != nil {
			ended := *s
			ended.StoppedAt, ended.StopInferred = c.StoppedAt, true
			q.sessions[c.SessionID] = &ended
		}
	}
	return nil
}

// fakeNAS is an ActionClient: the NASes that it asks.
type fakeNAS func(ctx context.Context, server string, secret []byte, m *radius.Message) (radius.Packet, radius.Trace, error)

func (f fakeNAS) ExchangeTraced(ctx context.Context, server string, secret []byte, m *radius.Message) (radius.Packet, radius.Trace, error) {
	return f(ctx, server, secret, m)
}

// answerOf is an answer of a NAS, as the client gives it: verified.
func answerOf(code radius.Code, cause uint32) (radius.Packet, radius.Trace, error) {
	p := radius.AppendHeader(nil, code, 1, new([16]byte))
	if cause != 0 {
		p = radius.AppendUint32(p, radius.TypeErrorCause, cause)
	}
	radius.SetLength(p)
	return p, radius.Trace{Attempts: 1}, nil
}

var actionNAS = aaa.NASList{{ID: uuid.New(), Prefix: netip.MustParsePrefix("192.0.2.0/24"), Secret: []byte("new")}}

func openSession(id, nas string) aaa.Session {
	return aaa.Session{
		ID: uuid.New(), AcctSessionID: id, Username: "alice", NASAddr: netip.MustParseAddr(nas), NASID: actionNAS[0].ID,
		StartedAt: time.Now().Add(-time.Hour), UpdatedAt: time.Now().Add(-time.Minute),
	}
}

func actionsOf(t testing.TB, q *memoryQueue, client aaa.ActionClient, change ...func(*aaa.ActionsOptions)) *aaa.Actions {
	t.Helper()
	templates, err := aaa.LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	options := aaa.ActionsOptions{Queue: q, NASes: actionNAS, Dictionary: dictionary.Embedded(), Templates: templates, Client: client}
	for _, c := range change {
		c(&options)
	}
	a, err := aaa.NewActions(options)
	require.NoError(t, err)
	return a
}

// during runs the worker while fn runs, in a bubble.
func during(t *testing.T, a *aaa.Actions, fn func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { a.Run(ctx); close(ended) }()
	fn()
	cancel()
	<-ended
}

func TestActionOutcomes(t *testing.T) {
	ended := func(s *aaa.Session) { s.StoppedAt = s.UpdatedAt }
	silence := &radius.NoAnswerError{Attempts: 4}
	forged := &radius.NoAnswerError{Attempts: 2, Ignored: 2, Reason: radius.DiscardAuthenticatorInvalid}
	tests := []struct {
		name    string
		kind    aaa.ActionKind
		session func(*aaa.Session)
		answer  func() (radius.Packet, radius.Trace, error)
		state   aaa.ActionState
		cause   radius.ErrorCause
		detail  string
		closed  bool
	}{
		{name: "disconnected", answer: func() (radius.Packet, radius.Trace, error) { return answerOf(radius.DisconnectACK, 0) }, state: aaa.ActionAcknowledged},
		{name: "changed", kind: aaa.ActionCoA, answer: func() (radius.Packet, radius.Trace, error) { return answerOf(radius.CoAACK, 0) }, state: aaa.ActionAcknowledged},
		{name: "refused", answer: func() (radius.Packet, radius.Trace, error) { return answerOf(radius.DisconnectNAK, 501) },
			state: aaa.ActionRefused, cause: radius.ErrorCauseAdministrativelyProhibited},
		{name: "refused without a cause", kind: aaa.ActionCoA, answer: func() (radius.Packet, radius.Trace, error) { return answerOf(radius.CoANAK, 0) }, state: aaa.ActionRefused},
		{name: "not known", answer: func() (radius.Packet, radius.Trace, error) { return answerOf(radius.DisconnectNAK, 503) },
			state: aaa.ActionGone, cause: radius.ErrorCauseSessionContextNotFound, closed: true},
		{name: "silent", answer: func() (radius.Packet, radius.Trace, error) { return nil, radius.Trace{Attempts: 4}, silence },
			state: aaa.ActionUnanswered, detail: "no answer from 192.0.2.1:3799 to 4 requests"},
		{name: "forged", answer: func() (radius.Packet, radius.Trace, error) {
			return nil, radius.Trace{Attempts: 2, Ignored: 2, Reason: radius.DiscardAuthenticatorInvalid}, forged
		}, state: aaa.ActionUnanswered, detail: "ignored 2 packets, the last one as authenticator_invalid"},
		{name: "unreachable", answer: func() (radius.Packet, radius.Trace, error) {
			return nil, radius.Trace{Attempts: 1}, &radius.UnreachableError{Err: errors.New("refused")}
		}, state: aaa.ActionUnanswered, detail: "is unreachable"},
		{name: "no socket", answer: func() (radius.Packet, radius.Trace, error) { return nil, radius.Trace{}, errors.New("too many files") },
			state: aaa.ActionFailed, detail: "too many files"},
		{name: "ended before", session: ended, state: aaa.ActionSkipped, detail: "had ended before"},
		{name: "elsewhere", session: func(s *aaa.Session) { s.NASAddr = netip.MustParseAddr("198.51.100.1") }, state: aaa.ActionFailed, detail: "is not in 192.0.2.0/24"},
		{name: "unknown NAS", session: func(s *aaa.Session) { s.NASID, s.NASAddr = uuid.Nil, netip.MustParseAddr("198.51.100.1") },
			state: aaa.ActionFailed, detail: "no NAS with the address 198.51.100.1 is known any more"},
		{name: "nothing to find it by", session: func(s *aaa.Session) { s.AcctSessionID, s.Username = "", "" }, state: aaa.ActionFailed, detail: "none of the attributes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newMemoryQueue()
				registry := prometheus.NewRegistry()
				a := actionsOf(t, q, fakeNAS(func(_ context.Context, server string, secret []byte, m *radius.Message) (radius.Packet, radius.Trace, error) {
					assert.Equal(t, "192.0.2.1:3799", server)
					assert.Equal(t, "new", string(secret))
					stamp, ok := radius.Attributes(m.Attributes).Time(radius.TypeEventTimestamp)
					assert.True(t, ok)
					assert.WithinDuration(t, time.Now(), stamp, time.Second)
					return test.answer()
				}), func(o *aaa.ActionsOptions) { o.Registerer = registry })
				s := openSession("1", "192.0.2.1")
				if test.session != nil {
					test.session(&s)
				}
				var id uuid.UUID
				during(t, a, func() {
					time.Sleep(time.Second + 70*time.Millisecond) // idle for some time
					id = q.add(s, test.kind, aaa.Item{Kind: aaa.ReplyItem, Attribute: "Session-Timeout", Op: ":=", Value: "60"})
					start := time.Now()
					time.Sleep(300 * time.Millisecond)
					synctest.Wait()
					assert.Less(t, q.get(id).SentAt.Sub(start), 300*time.Millisecond, "how long it waits on an idle system")
				})
				got := q.get(id)
				assert.Equal(t, test.state, got.State, got.Detail)
				assert.Equal(t, test.cause, got.ErrorCause)
				assert.Contains(t, got.Detail, test.detail)
				assert.NotZero(t, got.AnsweredAt)
				assert.Equal(t, test.closed, len(q.closed) == 1)
				families, err := registry.Gather()
				require.NoError(t, err)
				counted := 0.0
				for _, f := range families {
					if f.GetName() != "radiusd_session_actions_total" {
						continue
					}
					for _, m := range f.Metric {
						if m.Label[1].GetValue() == test.state.String() && m.Label[0].GetValue() == test.kind.String() {
							counted = m.Counter.GetValue()
						}
					}
				}
				assert.Equal(t, 1.0, counted)
			})
		})
	}
}

// A silent NAS is asked as RFC 5080 section 2.2.1 says, with the same octets each
// time, and does not hold up others; no more than a few requests wait at it.
func TestActionsAndASilentNAS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemoryQueue()
		waiting, most := 0, 0
		var mu sync.Mutex
		a := actionsOf(t, q, fakeNAS(func(ctx context.Context, server string, _ []byte, _ *radius.Message) (radius.Packet, radius.Trace, error) {
			if server != "192.0.2.1:3799" {
				return answerOf(radius.DisconnectACK, 0)
			}
			mu.Lock()
			waiting++
			most = max(most, waiting)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			waiting--
			mu.Unlock()
			return nil, radius.Trace{Attempts: 4}, &radius.NoAnswerError{Attempts: 4, Cause: ctx.Err()}
		}), func(o *aaa.ActionsOptions) { o.InFlight, o.PerNAS = 64, 4 })
		for range 12 {
			q.add(openSession("1", "192.0.2.1"), aaa.ActionDisconnect)
		}
		var other []uuid.UUID
		for range 40 {
			other = append(other, q.add(openSession("2", "192.0.2.2"), aaa.ActionDisconnect))
		}
		during(t, a, func() {
			time.Sleep(time.Second)
			synctest.Wait()
			for _, id := range other {
				assert.Equal(t, aaa.ActionAcknowledged, q.get(id).State)
			}
			assert.Equal(t, 12, q.pending())
			time.Sleep(3 * 31 * time.Second)
			synctest.Wait()
			assert.Zero(t, q.pending())
			assert.Equal(t, 4, most)
		})
	})
}

// While the secret is being changed on both ends, a NAS that is silent under the new
// one is asked under the one before, within the same time.
func TestActionsWithTwoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemoryQueue()
		nases := aaa.NASList{actionNAS[0]}
		nases[0].PreviousSecret = []byte("old")
		var secrets []string
		a := actionsOf(t, q, fakeNAS(func(ctx context.Context, _ string, secret []byte, _ *radius.Message) (radius.Packet, radius.Trace, error) {
			if secrets = append(secrets, string(secret)); string(secret) == "old" {
				return answerOf(radius.DisconnectACK, 0)
			}
			<-ctx.Done()
			return nil, radius.Trace{Attempts: 3}, &radius.NoAnswerError{Attempts: 3, Cause: ctx.Err()}
		}), func(o *aaa.ActionsOptions) { o.NASes = nases })
		id := q.add(openSession("1", "192.0.2.1"), aaa.ActionDisconnect)
		during(t, a, func() { time.Sleep(16 * time.Second); synctest.Wait() })
		got := q.get(id)
		assert.Equal(t, aaa.ActionAcknowledged, got.State)
		assert.Equal(t, []string{"new", "old"}, secrets)
		assert.Equal(t, 4, got.Attempts)
		assert.Less(t, got.AnsweredAt.Sub(got.SentAt), 16*time.Second)
	})
}

// A node that ends gives back what it was at, one that is killed loses it after the
// lease, and the next one goes on; what cannot be recorded is not forgotten.
func TestActionsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemoryQueue()
		hang := fakeNAS(func(ctx context.Context, _ string, _ []byte, _ *radius.Message) (radius.Packet, radius.Trace, error) {
			<-ctx.Done()
			return nil, radius.Trace{Attempts: 1}, &radius.NoAnswerError{Cause: ctx.Err()}
		})
		id := q.add(openSession("1", "192.0.2.1"), aaa.ActionDisconnect)
		during(t, actionsOf(t, q, hang), func() {
			time.Sleep(time.Second)
			synctest.Wait()
			assert.Equal(t, aaa.ActionSent, q.get(id).State)
		})
		assert.Equal(t, aaa.ActionQueued, q.get(id).State)

		killed, err := q.ClaimActions(t.Context(), aaa.ActionClaim{Limit: 1, Lease: time.Minute, Room: func(netip.Addr) int { return 1 }})
		require.NoError(t, err)
		require.Len(t, killed, 1)
		var asked atomic.Int32
		ack := fakeNAS(func(context.Context, string, []byte, *radius.Message) (radius.Packet, radius.Trace, error) {
			asked.Add(1)
			q.mu.Lock()
			defer q.mu.Unlock()
			q.away = errors.New("the store is away")
			return answerOf(radius.DisconnectACK, 0)
		})
		during(t, actionsOf(t, q, ack), func() {
			time.Sleep(59 * time.Second)
			synctest.Wait()
			assert.Zero(t, asked.Load())
			time.Sleep(2 * time.Second)
			synctest.Wait()
			assert.EqualValues(t, 1, asked.Load())
			assert.Equal(t, aaa.ActionSent, q.get(id).State)
			q.mu.Lock()
			q.away = nil
			q.mu.Unlock()
			time.Sleep(6 * time.Second)
			synctest.Wait()
			assert.Equal(t, aaa.ActionAcknowledged, q.get(id).State)
			assert.EqualValues(t, 1, asked.Load())
		})
	})
}

// A disconnect that is acknowledged and has no Stop is asked for again, then reported.
func TestActionStops(t *testing.T) {
	for name, test := range map[string]struct {
		second  uint32 // Error-Cause of the second answer
		missing bool
		detail  string
	}{
		"acknowledged again": {0, true, "acknowledged again"},
		"not known any more": {503, false, "its Stop was lost"},
		"refused":            {506, true, "repeated because no Stop came: refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newMemoryQueue()
				var asked atomic.Int32
				a := actionsOf(t, q, fakeNAS(func(context.Context, string, []byte, *radius.Message) (radius.Packet, radius.Trace, error) {
					if asked.Add(1) == 2 && test.second != 0 {
						return answerOf(radius.DisconnectNAK, test.second)
					}
					return answerOf(radius.DisconnectACK, 0)
				}))
				id := q.add(openSession("1", "192.0.2.1"), aaa.ActionDisconnect)
				during(t, a, func() {
					time.Sleep(59 * time.Second)
					synctest.Wait()
					assert.EqualValues(t, 1, asked.Load())
					time.Sleep(3 * time.Second)
					synctest.Wait()
					assert.EqualValues(t, 2, asked.Load())
					time.Sleep(5 * time.Minute)
					synctest.Wait()
				})
				got := q.get(id)
				assert.EqualValues(t, 2, asked.Load())
				assert.Equal(t, aaa.ActionAcknowledged, got.State, "what was answered first stays")
				assert.Equal(t, 2, got.Attempts)
				assert.Contains(t, got.Detail, test.detail)
				assert.Equal(t, test.second == 503, len(q.closed) == 1)
				assert.Equal(t, test.missing, got.StopMissing)
			})
		})
	}
}

// Against sockets: the scriptable NAS forges, repeats and delays its answers.
func TestActionsAgainstNAS(t *testing.T) {
	var mu sync.Mutex
	answers := map[string][]radiustest.DynamicAnswer{
		"forged":  {radiustest.ACK().Forged(), radiustest.ACK()},
		"twice":   {radiustest.ACK().Twice()},
		"late":    {radiustest.ACK().After(60 * time.Millisecond)},
		"refused": {radiustest.NAK(404).Unsigned()},
		"silent":  {radiustest.Silence()},
	}
	nas := radiustest.NewDynamic(t, "127.0.0.1", func(p radius.Packet) radiustest.DynamicAnswer {
		mu.Lock()
		defer mu.Unlock()
		id, _ := p.Attributes().String(radius.TypeAcctSessionID)
		list := answers[id]
		if len(list) == 0 {
			return radiustest.Silence()
		}
		if len(list) > 1 {
			answers[id] = list[1:]
		}
		return list[0]
	})
	// The time that the silent one gets may be too short for an answer on a busy machine.
	short := &radius.Client{InitialTimeout: 100 * time.Millisecond, MaxTimeout: 100 * time.Millisecond, MaxAttempts: 3}
	defer short.Close()
	long := &radius.Client{InitialTimeout: 500 * time.Millisecond, MaxTimeout: 20 * time.Second, MaxAttempts: 10}
	defer long.Close()
	client := fakeNAS(func(ctx context.Context, server string, secret []byte, m *radius.Message) (radius.Packet, radius.Trace, error) {
		if id, _ := radius.Attributes(m.Attributes).String(radius.TypeAcctSessionID); id == "silent" {
			return short.ExchangeTraced(ctx, server, secret, m)
		}
		return long.ExchangeTraced(ctx, server, secret, m)
	})
	q := newMemoryQueue()
	registry := prometheus.NewRegistry()
	a := actionsOf(t, q, client, func(o *aaa.ActionsOptions) {
		o.NASes = aaa.NASList{{ID: actionNAS[0].ID, Prefix: netip.MustParsePrefix("127.0.0.1/32"), Secret: []byte(radiustest.Secret), CoAPort: netip.MustParseAddrPort(nas.Addr).Port()}}
		o.Registerer = registry
	})
	ids := map[string]uuid.UUID{}
	for _, name := range []string{"forged", "twice", "late", "refused", "silent"} {
		ids[name] = q.add(openSession(name, "127.0.0.1"), aaa.ActionDisconnect)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { a.Run(ctx); close(ended) }()
	require.Eventually(t, func() bool { return q.pending() == 0 }, 2*time.Minute, 5*time.Millisecond)
	cancel()
	<-ended
	for name, want := range map[string]aaa.ActionState{
		"forged": aaa.ActionAcknowledged, "twice": aaa.ActionAcknowledged, "late": aaa.ActionAcknowledged,
		"refused": aaa.ActionRefused, "silent": aaa.ActionUnanswered,
	} {
		assert.Equal(t, want, q.get(ids[name]).State, name)
	}
	assert.GreaterOrEqual(t, q.get(ids["forged"]).Attempts, 2)
	assert.Equal(t, 3, q.get(ids["silent"]).Attempts)
	count, err := testutil.GatherAndCount(registry, "radiusd_session_action_answers_ignored_total")
	require.NoError(t, err)
	assert.Equal(t, 1, count, "authenticator_invalid, and nothing else")
}
