package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
)

func TestPolicy(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		plan, group := newPlanAndGroup(t, w)
		admin := w.as(t, "admin")
		nas := into[api.NAS](admin.post("/nas", object{"name": "bras1", "address": "192.0.2.0/24", "vendor": "mikrotik", "secret": "canary-nas-secret"}).is(http.StatusCreated))
		user := into[api.User](admin.post("/users", object{
			"username": "alice", "credential": object{"scheme": "cleartext", "password": "canary-password"}, "plan_id": plan.ID,
			"groups":      []object{{"group_id": group.ID}},
			"check_items": []object{{"attribute": "Called-Station-Id", "op": "==", "value": "it's a \\ \"lobby\", # 2"}},
			"reply_items": []object{{"attribute": "Tunnel-Password:1", "op": ":=", "value": "canary-tunnel"}},
		}).is(http.StatusCreated))
		admin.post("/users", object{"username": "aa-bb-cc-dd-ee-ff", "credential": object{"scheme": "mac"}}).is(http.StatusCreated)
		support := w.as(t, "support")
		lobby := []object{{"attribute": "Called-Station-Id", "value": "it's a \\ \"lobby\", # 2"}, {"attribute": "NAS-Port", "value": "3"}}
		explain := func(t *testing.T, input object) api.Explanation {
			t.Helper()
			answer := support.in(t).post("/policy/explain", input).is(http.StatusOK)
			assert.NotContains(t, string(answer.body), "canary")
			return into[api.Explanation](answer)
		}
		t.Run("accepted", func(t *testing.T) {
			e := explain(t, object{"username": "alice", "nas_id": nas.ID, "attributes": lobby, "password": "canary-password", "method": "chap", "source": "192.0.2.7"})
			assert.True(t, e.Accepted, "%+v", e)
			assert.Equal(t, "accepted", e.Reason)
			assert.Equal(t, "chap", e.Method)
			assert.Equal(t, "gold", e.Plan.MustGet())
			assert.Equal(t, "mikrotik", e.Template)
			assert.Contains(t, e.Reply, api.ReplyAttribute{Attribute: "Mikrotik-Rate-Limit", Value: `"10M/100M"`, Source: "template mikrotik"})
			assert.Contains(t, e.Reply, api.ReplyAttribute{Attribute: "Tunnel-Password:1", Secret: true, Source: "user"})
		})
		t.Run("refused", func(t *testing.T) {
			e := explain(t, object{"username": "alice", "nas_id": nas.ID})
			assert.False(t, e.Accepted)
			refusing := 0
			for _, step := range e.Steps {
				if step.Refuses {
					refusing++
					assert.Equal(t, api.ExplainStepStage("check"), step.Stage)
					assert.Equal(t, "user", step.Source)
				}
			}
			assert.Equal(t, 1, refusing)
			e = explain(t, object{"username": "alice", "attributes": lobby, "password": ""})
			assert.False(t, e.Accepted)
			assert.Equal(t, "wrong_password", e.Reason)
		})
		t.Run("a device in any spelling", func(t *testing.T) {
			assert.True(t, explain(t, object{"username": "AABB.CCDD.EEFF", "method": "mac"}).Accepted)
		})
		t.Run("at another time", func(t *testing.T) {
			admin := admin.in(t)
			admin.patch("/users/"+user.ID.String(), object{"expires_at": "2030-01-01T00:00:00Z"}).is(http.StatusOK)
			e := explain(t, object{"username": "alice", "attributes": lobby, "at": "2030-01-01T00:00:01Z"})
			assert.False(t, e.Accepted)
			assert.Equal(t, "2030-01-01T00:00:01Z", e.At.Format("2006-01-02T15:04:05Z07:00"))
			assert.True(t, explain(t, object{"username": "alice", "attributes": lobby, "at": "2029-12-31T23:59:59Z"}).Accepted)
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			support := support.in(t)
			for field, input := range map[string]object{
				"username":      {"username": "nobody"},
				"nas_id":        {"username": "alice", "nas_id": uuid.New()},
				"source":        {"username": "alice", "nas_id": nas.ID, "source": "198.51.100.1"},
				"method":        {"username": "alice", "method": "telepathy"},
				"attributes[1]": {"username": "alice", "attributes": []object{{"attribute": "NAS-Port", "value": "1"}, {"attribute": "No-Such", "value": "1"}}},
				"attributes[0]": {"username": "alice", "attributes": []object{{"attribute": "User-Password", "value": "x"}}},
			} {
				support.post("/policy/explain", input).field(field)
			}
			w.as(t, "read-only").post("/policy/explain", object{"username": "alice"}).code(http.StatusForbidden, "forbidden")
		})
		t.Run("the reply alone", func(t *testing.T) {
			support := support.in(t)
			path := "/users/" + user.ID.String() + "/reply?nas_id="
			reply := into[api.EffectiveReply](support.get(path + nas.ID.String()).is(http.StatusOK))
			assert.False(t, reply.Accepted, "the check item does not hold")
			assert.NotEmpty(t, reply.Reason)
			var names []string
			for _, a := range reply.Reply {
				names = append(names, a.Attribute)
			}
			assert.Contains(t, names, "Mikrotik-Rate-Limit")
			support.get(path + uuid.NewString()).field("nas_id")
			support.get("/users/"+uuid.NewString()+"/reply?nas_id="+nas.ID.String()).code(http.StatusNotFound, "not_found")
		})
	})
}

// TestExplainIsNoOracle: nobody finds out passwords by having decisions explained.
func TestExplainIsNoOracle(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.as(t, "admin").post("/users", object{"username": "alice", "credential": object{"scheme": "cleartext", "password": "right"}}).is(http.StatusCreated)
		ask := func(password string) object { return object{"username": "alice", "password": password} }
		auditor := w.as(t, "auditor")
		auditor.post("/policy/explain", object{"username": "alice"}).is(http.StatusOK)
		for _, password := range []string{"right", "wrong", ""} {
			auditor.post("/policy/explain", ask(password)).code(http.StatusForbidden, "forbidden")
		}
		support := w.as(t, "support")
		for range 20 {
			support.post("/policy/explain", ask("right")).is(http.StatusOK)
		}
		for range 4 {
			support.post("/policy/explain", ask("wrong")).is(http.StatusOK)
			support.post("/policy/explain", ask("right")).is(http.StatusOK)
		}
		support.post("/policy/explain", ask("wrong")).is(http.StatusOK)
		assert.NotEmpty(t, support.post("/policy/explain", ask("right")).code(http.StatusTooManyRequests, "throttled").header.Get("Retry-After"),
			"the right one in between does not make good for five wrong ones")
		support.post("/policy/explain", object{"username": "alice"}).is(http.StatusOK)
		w.as(t, "admin").post("/policy/explain", ask("right")).is(http.StatusOK)
	})
}

func TestUserParts(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin, support := w.as(t, "admin"), w.as(t, "support")
		user := into[api.User](admin.post("/users", object{"username": "alice"}).is(http.StatusCreated))
		path := "/users/" + user.ID.String()
		t.Run("credential", func(t *testing.T) {
			support := support.in(t)
			before := support.get(path).header.Get("ETag")
			support.put(path+"/credential", object{"scheme": "cleartext", "password": "canary"}).is(http.StatusNoContent)
			u, _ := stored(t, w, user.ID)
			require.Equal(t, "canary", string(u.Credential.Secret))
			assert.NotEqual(t, before, support.get(path).header.Get("ETag"))
			support.put(path+"/credential", object{"scheme": "cleartext"}).field("password")
			support.put(path+"/credential", object{"scheme": "mac"}).field("username")
			support.put("/users/"+uuid.NewString()+"/credential", object{"scheme": "none"}).code(http.StatusNotFound, "not_found")
			w.as(t, "read-only").put(path+"/credential", object{"scheme": "none"}).code(http.StatusForbidden, "forbidden")
		})
		t.Run("profile", func(t *testing.T) {
			support := support.in(t)
			empty := support.get(path + "/profile").is(http.StatusOK)
			assert.Equal(t, api.Profile{}, into[api.Profile](empty))
			set := support.put(path+"/profile", object{"email": "alice@example.org"}, "If-Match", empty.header.Get("ETag")).is(http.StatusOK)
			assert.Equal(t, set.header.Get("ETag"), support.get(path+"/profile").header.Get("ETag"))
			support.put(path+"/profile", object{"email": "late"}, "If-Match", empty.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
			support.put(path+"/profile", object{"email": "alice"}).field("email")
			support.put(path+"/profile", object{"username": "bob"}).is(http.StatusUnprocessableEntity)
			assert.Equal(t, "alice@example.org", into[api.User](support.get(path)).Profile.Email)
			w.as(t, "read-only").get(path+"/profile").code(http.StatusForbidden, "forbidden")
		})
	})
}
