package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
	"radiusd/dictionary"
	"radiusd/operator"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// dynamicNAS is a NAS on loopback that takes requests about sessions.
type dynamicNAS struct {
	*radiustest.Dynamic
	id uuid.UUID
}

func newDynamicNAS(t *testing.T, w *world, script func(radius.Packet) radiustest.DynamicAnswer) dynamicNAS {
	t.Helper()
	port := radiustest.NewDynamic(t, "127.0.0.1", script)
	nas := aaa.NAS{
		Name: "bras", Prefix: netip.MustParsePrefix("127.0.0.1/32"), Secret: []byte(radiustest.Secret),
		Vendor: "mikrotik", CoAPort: netip.MustParseAddrPort(port.Addr).Port(),
	}
	require.NoError(t, w.store.CreateNAS(t.Context(), &nas))
	return dynamicNAS{port, nas.ID}
}

// work lets a node ask NASes until the test ends, with short timers.
func work(t *testing.T, w *world) {
	t.Helper()
	nases, err := w.store.NASes(t.Context())
	require.NoError(t, err)
	templates, err := aaa.LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	client := &radius.Client{MaxDuration: 5 * time.Second}
	worker, err := aaa.NewActions(aaa.ActionsOptions{
		Queue: w.store, NASes: aaa.NASList(nases), Dictionary: dictionary.Embedded(), Templates: templates, Client: client,
		PollInterval: 10 * time.Millisecond, Timeout: 5 * time.Second,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		worker.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		client.Close()
	})
}

// open makes an open session and returns its id.
func (w *world) open(t *testing.T, username, session string) uuid.UUID {
	t.Helper()
	r := record(username, session, aaa.AcctStart, time.Now().UTC().Truncate(time.Second).Add(-time.Minute), 0)
	r.CallingStationID = "device " + session // else it would end the device's session before
	w.account(t, r)
	return r.SessionID
}

// becomes waits until the action is in the state.
func becomes(t *testing.T, c *client, action api.Action, state api.ActionState) api.Action {
	t.Helper()
	var got api.Action
	require.Eventually(t, func() bool {
		got = into[api.Action](c.get("/actions/" + action.ID.String()).is(http.StatusOK))
		return got.State == state
	}, time.Minute, 20*time.Millisecond, "want %s", state)
	return got
}

func TestActionsOnOneSession(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		answers := make(chan radiustest.DynamicAnswer, 1)
		nas := newDynamicNAS(t, w, func(radius.Packet) radiustest.DynamicAnswer {
			select {
			case answer := <-answers:
				return answer
			default:
				return radiustest.Silence()
			}
		})
		work(t, w)
		session := w.open(t, "alice", "1")
		support := w.as(t, "support")
		disconnect := func() api.Action {
			a := support.post("/sessions/"+session.String()+"/disconnect", nil).is(http.StatusAccepted)
			action := into[api.Action](a)
			assert.Equal(t, api.BasePath+"/actions/"+action.ID.String(), a.header.Get("Location"))
			return action
		}

		t.Run("refused", func(t *testing.T) {
			answers <- radiustest.NAK(404)
			got := becomes(t, support, disconnect(), "refused")
			assert.Equal(t, "Invalid-Request", got.ErrorCause.MustGet())
			assert.Equal(t, "support", got.CreatedBy)
			assert.Equal(t, 1, got.Attempts)
			<-nas.Requests
		})
		t.Run("unanswered", func(t *testing.T) {
			got := becomes(t, support, disconnect(), "unanswered")
			assert.Contains(t, got.Detail, "no answer from 127.0.0.1:")
			assert.True(t, got.ErrorCause.IsNull())
			<-nas.Requests
		})
		t.Run("changed by attributes and a plan", func(t *testing.T) {
			plan := &aaa.Plan{Name: "fast", RateUp: 1_000_000, RateDown: 2_000_000, SessionTimeout: time.Hour}
			require.NoError(t, w.store.CreatePlan(t.Context(), plan))
			answers <- radiustest.ACK()
			got := becomes(t, support, into[api.Action](support.post("/sessions/"+session.String()+"/coa", map[string]any{
				"plan_id": plan.ID, "attributes": []any{map[string]any{"attribute": "Session-Timeout", "value": "600"}},
			}).is(http.StatusAccepted)), "acknowledged")
			assert.Equal(t, []api.ActionAttribute{{Attribute: "Mikrotik-Rate-Limit", Value: "1M/2M"}, {Attribute: "Session-Timeout", Value: "600"}}, got.Attributes)
			request := <-nas.Requests
			for request.Packet.Code() == radius.DisconnectRequest { // the one without an answer came more than once
				request = <-nas.Requests
			}
			assert.Equal(t, radius.CoARequest, request.Packet.Code())
			timeout, _ := request.Packet.Attributes().Uint32(radius.TypeSessionTimeout)
			assert.Equal(t, uint32(600), timeout)
		})
		t.Run("bad changes", func(t *testing.T) {
			path := "/sessions/" + session.String() + "/coa"
			support.post(path, map[string]any{}).field("attributes")
			support.post(path, map[string]any{"plan_id": uuid.New()}).field("plan_id")
			support.post(path, map[string]any{"attributes": []any{map[string]any{"attribute": "Session-Timeout", "value": "600"},
				map[string]any{"attribute": "Framed-IP-Address", "value": "192.0.2.1"}}}).field("attributes[1]")
			support.post(path, map[string]any{"attributes": []any{map[string]any{"attribute": "User-Password", "value": "x"}}}).field("attributes[0]")
			support.post("/sessions/"+uuid.NewString()+"/coa", map[string]any{"attributes": []any{map[string]any{"attribute": "Session-Timeout", "value": "1"}}}).
				code(http.StatusNotFound, "not_found")
			nothing := &aaa.Plan{Name: "nothing", AddressPool: "pool"}
			require.NoError(t, w.store.CreatePlan(t.Context(), nothing))
			support.post(path, map[string]any{"plan_id": nothing.ID}).code(http.StatusConflict, "nothing_to_change")
		})
		t.Run("acknowledged, then the Stop", func(t *testing.T) {
			answers <- radiustest.ACK()
			got := becomes(t, support, disconnect(), "acknowledged")
			assert.True(t, got.StoppedAt.IsNull())
			stop := record("alice", "1", aaa.AcctStop, time.Now().UTC().Truncate(time.Second), 10)
			stop.CallingStationID = "device 1"
			w.account(t, stop)
			got = into[api.Action](support.get("/actions/" + got.ID.String()))
			assert.False(t, got.StoppedAt.IsNull())
			support.post("/sessions/"+session.String()+"/disconnect", nil).code(http.StatusConflict, "session_ended")
		})
		t.Run("the NAS is not known", func(t *testing.T) {
			require.NoError(t, w.store.RemoveNAS(t.Context(), nas.id, nil))
			lost := w.open(t, "bob", "2")
			support.post("/sessions/"+lost.String()+"/disconnect", nil).code(http.StatusConflict, "nas_unreachable")
		})
		t.Run("listed", func(t *testing.T) {
			all := into[api.ActionList](support.get("/actions?username=alice").is(http.StatusOK))
			assert.Len(t, all.Items, 4)
			first := into[api.ActionList](support.get("/actions?username=alice&limit=3"))
			rest := into[api.ActionList](support.get("/actions?username=alice&limit=3&cursor=" + first.NextCursor.MustGet()))
			assert.Equal(t, all.Items, append(first.Items, rest.Items...))
			assert.True(t, rest.NextCursor.IsNull())
			assert.Len(t, into[api.ActionList](support.get("/actions?state=refused")).Items, 1)
			support.get("/actions?state=cancelled").is(http.StatusUnprocessableEntity)
			support.get("/actions?cursor="+first.NextCursor.MustGet()).code(http.StatusBadRequest, "bad_cursor")
			support.get("/actions/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
		})
		t.Run("who may", func(t *testing.T) {
			w.token(t, operator.SessionsRead).post("/sessions/"+session.String()+"/disconnect", nil).code(http.StatusForbidden, "forbidden")
			w.token(t, operator.UsersRead).get("/actions").code(http.StatusForbidden, "forbidden")
			w.anonymous(t).post("/sessions/"+session.String()+"/disconnect", nil).is(http.StatusUnauthorized)
		})
	})
}

func TestActionBatches(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		nas := newDynamicNAS(t, w, func(radius.Packet) radiustest.DynamicAnswer { return radiustest.ACK() })
		for i := range 6 {
			w.open(t, fmt.Sprint("user", i%2), fmt.Sprint(i))
		}
		support := w.as(t, "support")
		everybody := map[string]any{"kind": "disconnect", "filter": map[string]any{"all": true}, "rate": 1}

		t.Run("bad input", func(t *testing.T) {
			for field, body := range map[string]map[string]any{
				"filter":            {"kind": "disconnect", "filter": map[string]any{}},
				"filter.all":        {"kind": "disconnect", "filter": map[string]any{"all": true, "username": "user0"}},
				"filter.nas_ip":     {"kind": "disconnect", "filter": map[string]any{"nas_ip": "bras"}},
				"filter.nas_id":     {"kind": "disconnect", "filter": map[string]any{"nas_id": uuid.New()}},
				"change":            {"kind": "coa", "filter": map[string]any{"all": true}},
				"change.plan_id":    {"kind": "coa", "filter": map[string]any{"all": true}, "change": map[string]any{"plan_id": uuid.New()}},
				"change.attributes": {"kind": "coa", "filter": map[string]any{"all": true}, "change": map[string]any{}},
				"change.attributes[0]": {"kind": "coa", "filter": map[string]any{"all": true},
					"change": map[string]any{"attributes": []any{map[string]any{"attribute": "No-Such", "value": "x"}}}},
			} {
				support.post("/action-batches", body).field(field)
			}
			assert.Empty(t, into[api.ActionBatchList](support.get("/action-batches")).Items)
		})
		t.Run("a dry run counts", func(t *testing.T) {
			batch := into[api.ActionBatch](support.post("/action-batches", map[string]any{
				"kind": "disconnect", "filter": map[string]any{"username": "user1", "nas_ip": "127.0.0.1"}, "dry_run": true,
			}).is(http.StatusOK))
			assert.True(t, batch.ID.IsNull())
			assert.Equal(t, map[string]int{"queued": 3}, batch.States)
			assert.Equal(t, "user user1, nas 127.0.0.1", batch.Filter)
			assert.Empty(t, into[api.ActionBatchList](support.get("/action-batches")).Items)
		})
		t.Run("one key queues once; rate and cancel", func(t *testing.T) {
			a := support.post("/action-batches", everybody, "Idempotency-Key", "k").is(http.StatusAccepted)
			batch := into[api.ActionBatch](a)
			path := "/action-batches/" + batch.ID.MustGet().String()
			assert.Equal(t, api.BasePath+path, a.header.Get("Location"))
			assert.Equal(t, 6, batch.Total)
			again := into[api.ActionBatch](support.post("/action-batches", everybody, "Idempotency-Key", "k").is(http.StatusAccepted))
			assert.Equal(t, batch.ID, again.ID)
			assert.Len(t, into[api.ActionBatchList](support.get("/action-batches")).Items, 1)
			support.post("/action-batches", map[string]any{"kind": "disconnect", "filter": map[string]any{"username": "user0"}}, "Idempotency-Key", "k").
				code(http.StatusUnprocessableEntity, "key_reused")

			work(t, w)
			require.Eventually(t, func() bool {
				batch = into[api.ActionBatch](support.get(path))
				return batch.States["acknowledged"] > 0
			}, time.Minute, 10*time.Millisecond)
			batch = into[api.ActionBatch](support.post(path+"/cancel", nil).is(http.StatusOK))
			assert.Positive(t, batch.States["skipped"], "one a second: not all have gone out")
			require.Eventually(t, func() bool {
				batch = into[api.ActionBatch](support.get(path))
				return !batch.FinishedAt.IsNull()
			}, time.Minute, 10*time.Millisecond)
			assert.Equal(t, 6, batch.States["skipped"]+batch.States["acknowledged"])
			support.post("/action-batches/"+uuid.NewString()+"/cancel", nil).code(http.StatusNotFound, "not_found")
			w.token(t, operator.SessionsRead).post(path+"/cancel", nil).code(http.StatusForbidden, "forbidden")
			w.token(t, operator.SessionsRead).post("/action-batches", everybody).code(http.StatusForbidden, "forbidden")
		})
		t.Run("what cannot be done is in the batch", func(t *testing.T) {
			require.NoError(t, w.store.RemoveNAS(t.Context(), nas.id, nil))
			batch := into[api.ActionBatch](support.post("/action-batches", everybody).is(http.StatusAccepted))
			assert.Equal(t, map[string]int{"failed": 6}, batch.States)
			assert.False(t, batch.FinishedAt.IsNull())
		})
	})
}

// TestApplyPlan has the open sessions of a user follow its plan.
func TestApplyPlan(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		newDynamicNAS(t, w, func(radius.Packet) radiustest.DynamicAnswer { return radiustest.ACK() })
		slow, fast := &aaa.Plan{Name: "slow", RateDown: 1_000_000}, &aaa.Plan{Name: "fast", RateDown: 9_000_000}
		require.NoError(t, w.store.CreatePlan(t.Context(), slow))
		require.NoError(t, w.store.CreatePlan(t.Context(), fast))
		user := &aaa.User{Name: "alice", PlanID: fast.ID}
		require.NoError(t, w.store.CreateUser(t.Context(), user))
		plain := &aaa.User{Name: "bob"}
		require.NoError(t, w.store.CreateUser(t.Context(), plain))
		w.open(t, "alice", "1")
		w.open(t, "bob", "2")
		templates, err := aaa.LoadTemplates(dictionary.Embedded())
		require.NoError(t, err)
		now := time.Now()
		for name, test := range map[string]struct {
			change    func(*aaa.UserRow)
			old, plan *aaa.Plan
			kind      aaa.ActionKind
			detail    string
			none      bool
		}{
			"another plan":       {old: slow, plan: fast, kind: aaa.ActionCoA},
			"the old is unknown": {plan: fast, kind: aaa.ActionCoA},
			"the same plan":      {old: fast, plan: fast, none: true},
			"no plan any more":   {old: slow, kind: aaa.ActionDisconnect, detail: "Mikrotik-Rate-Limit"},
			"disabled":           {change: func(u *aaa.UserRow) { u.Status = aaa.UserDisabled }, old: fast, plan: fast, detail: "the user is disabled"},
			"expired":            {change: func(u *aaa.UserRow) { u.ExpiresAt = now }, plan: fast, detail: "the user has expired"},
			"its own rate": {change: func(u *aaa.UserRow) {
				u.Items = []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Mikrotik-Rate-Limit", Op: ":=", Value: "1k/1k"}}
			}, old: slow, plan: fast, none: true},
		} {
			row, err := w.store.UserRowByID(t.Context(), user.ID)
			require.NoError(t, err)
			if test.change != nil {
				test.change(row)
			}
			planner := aaa.NewActionPlanner(dictionary.Embedded(), templates, w.store)
			sessions, err := planner.Select(t.Context(), aaa.SessionFilter{Username: "alice"})
			require.NoError(t, err)
			actions, err := planner.ApplyPlan(t.Context(), row, test.old, test.plan, sessions, now)
			require.NoError(t, err)
			require.Len(t, actions, 1, name)
			if test.none {
				assert.Equal(t, aaa.ActionSkipped, actions[0].State, name)
				assert.Equal(t, aaa.ErrNothingToChange.Error(), actions[0].Detail, name)
				continue
			}
			assert.Equal(t, test.kind, actions[0].Kind, name)
			assert.Equal(t, aaa.ActionQueued, actions[0].State, name)
			assert.Contains(t, actions[0].Detail, test.detail, name)
			assert.Equal(t, test.kind == aaa.ActionCoA, len(actions[0].Attributes) > 0, name)
		}

		admin := w.as(t, "admin")
		batch := into[api.ActionBatch](admin.post("/users/"+plain.ID.String()+"/apply", nil).is(http.StatusAccepted))
		assert.Equal(t, map[string]int{"skipped": 1}, batch.States)
		assert.False(t, batch.FinishedAt.IsNull())
		done := into[api.ActionList](admin.get("/actions?batch_id=" + batch.ID.MustGet().String()).is(http.StatusOK)).Items
		require.Len(t, done, 1)
		assert.Equal(t, aaa.ErrNothingToChange.Error(), done[0].Detail)
	})
}

// A user's sessions are also those that began under the name that the user had then, and
// not those that somebody else began under it since.
func TestSessionsOfARenamedUser(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		newDynamicNAS(t, w, func(radius.Packet) radiustest.DynamicAnswer { return radiustest.ACK() })
		plan, _ := newPlanAndGroup(t, w)
		admin := w.as(t, "admin")
		user := into[api.User](admin.post("/users", object{"username": "alice", "credential": object{"scheme": "cleartext", "password": "canary"}}).is(http.StatusCreated))
		path := "/users/" + user.ID.String()
		w.open(t, "alice", "1") // began a minute ago
		admin.patch(path, object{"username": "alicia"}).is(http.StatusOK)

		dry := func(filter object) int {
			t.Helper()
			return into[api.ActionBatch](admin.post("/action-batches", object{"kind": "disconnect", "filter": filter, "dry_run": true}).is(http.StatusOK)).Total
		}
		assert.Equal(t, 1, dry(object{"username": "alicia"}))
		assert.Equal(t, 1, dry(object{"username": "alice"}), "that is how the session is listed")
		changed := admin.patch(path+"?apply=true", object{"plan_id": plan.ID}).is(http.StatusOK)
		assert.Equal(t, 1, into[api.ActionBatch](admin.get("/action-batches/"+changed.header.Get("Action-Batch")).is(http.StatusOK)).Total)
		assert.Equal(t, 1, into[api.ActionBatch](admin.post(path+"/apply", nil).is(http.StatusAccepted)).Total)

		other := into[api.User](admin.post("/users", object{"username": "alice"}).is(http.StatusCreated))
		assert.Equal(t, 1, dry(object{"username": "alicia"}))
		assert.Equal(t, 0, into[api.ActionBatch](admin.post("/users/"+other.ID.String()+"/apply", nil).is(http.StatusAccepted)).Total)
		assert.Equal(t, 0, dry(object{"username": "alice"}), "the session is not theirs")
	})
}

// A request about one session that is sent again is answered with what the first one made,
// though the session has ended since.
func TestOneSessionIsAskedOnce(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		var asked atomic.Int32
		newDynamicNAS(t, w, func(radius.Packet) radiustest.DynamicAnswer { asked.Add(1); return radiustest.ACK() })
		support := w.as(t, "support")
		ended, other := w.open(t, "alice", "1"), w.open(t, "bob", "2")
		path := "/sessions/" + ended.String() + "/disconnect"
		first := into[api.Action](support.post(path, nil, "Idempotency-Key", "k").is(http.StatusAccepted))
		work(t, w)
		becomes(t, support, first, "acknowledged")
		stop := record("alice", "1", aaa.AcctStop, time.Now().UTC().Truncate(time.Second), 0)
		stop.CallingStationID = "device 1"
		w.account(t, stop)
		support.post(path, nil).code(http.StatusConflict, "session_ended")
		again := support.post(path, nil, "Idempotency-Key", "k").is(http.StatusAccepted)
		assert.Equal(t, first.ID, into[api.Action](again).ID)
		assert.Equal(t, api.BasePath+"/actions/"+first.ID.String(), again.header.Get("Location"))
		assert.Len(t, into[api.ActionList](support.get("/actions").is(http.StatusOK)).Items, 1)
		support.post("/sessions/"+other.String()+"/disconnect", nil, "Idempotency-Key", "k").code(http.StatusUnprocessableEntity, "key_reused")

		coa := "/sessions/" + other.String() + "/coa"
		change := object{"attributes": []object{{"attribute": "Mikrotik-Rate-Limit", "value": "1M/1M"}}}
		changed := into[api.Action](support.post(coa, change, "Idempotency-Key", "c").is(http.StatusAccepted))
		assert.Equal(t, changed.ID, into[api.Action](support.post(coa, change, "Idempotency-Key", "c").is(http.StatusAccepted)).ID)
		support.post(coa, object{"attributes": []object{{"attribute": "Mikrotik-Rate-Limit", "value": "2M/2M"}}}, "Idempotency-Key", "c").code(http.StatusUnprocessableEntity, "key_reused")
		becomes(t, support, changed, "acknowledged")
		assert.EqualValues(t, 2, asked.Load(), "each was asked once")
	})
}
