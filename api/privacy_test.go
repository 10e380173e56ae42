package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
)

func TestPersonalData(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		user := into[api.User](admin.post("/users", object{"username": "alice", "credential": object{"scheme": "cleartext", "password": "canary"}, "profile": object{"email": "alice@example.org"}}).is(http.StatusCreated))
		path := "/users/" + user.ID.String()
		online(t, w, "alice")
		answer := admin.get(path + "/personal-data").is(http.StatusOK)
		assert.Contains(t, string(answer.body), "alice@example.org")
		assert.NotContains(t, string(answer.body), "canary")
		assert.Len(t, into[object](answer)["sessions"], 1)
		admin.get("/users/"+uuid.NewString()+"/personal-data").code(http.StatusNotFound, "not_found")
		w.as(t, "support").get(path+"/personal-data").code(http.StatusForbidden, "forbidden")
		w.as(t, "support").post(path+"/erase", object{"username": "alice"}).code(http.StatusForbidden, "forbidden")

		admin.post(path+"/erase", object{"username": "bob"}).field("username")
		admin.get(path).is(http.StatusOK)
		erasure := into[api.Erasure](admin.post(path+"/erase", object{"username": "alice", "without_usage_at_hours": true}).is(http.StatusAccepted))
		admin.get(path).code(http.StatusNotFound, "not_found")
		of := "/erasures?user_id=" + user.ID.String()
		running := into[api.ErasureList](admin.get(of + "&state=running").is(http.StatusOK)).Items
		assert.Equal(t, []api.Erasure{erasure}, running)
		assert.Empty(t, into[api.ErasureList](admin.get(of+"&state=done").is(http.StatusOK)).Items)
		assert.Empty(t, into[api.ErasureList](admin.get("/erasures?user_id="+uuid.NewString()).is(http.StatusOK)).Items)
		w.as(t, "support").get("/erasures").code(http.StatusForbidden, "forbidden")
		_, err := w.store.RunErasure(t.Context(), erasure.ID, nil, nil)
		require.NoError(t, err)
		done := into[api.Erasure](admin.get("/erasures/" + erasure.ID.String()).is(http.StatusOK))
		assert.Equal(t, api.ErasureState("done"), done.State)
		assert.False(t, done.FinishedAt.IsNull())
		assert.True(t, done.UpdatedAt.After(erasure.UpdatedAt))
		assert.Positive(t, done.Rows)
		admin.get("/erasures/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
		assert.Empty(t, into[api.SessionList](admin.get("/sessions?username=alice")).Items)
	})
}

func TestApplyUser(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		plan, _ := newPlanAndGroup(t, w)
		admin := w.as(t, "admin")
		user := into[api.User](admin.post("/users", object{"username": "alice"}).is(http.StatusCreated))
		path := "/users/" + user.ID.String()
		online(t, w, "alice")

		limited := w.token(t, "users:read", "users:write")
		limited.patch(path+"?apply=true", object{"plan_id": plan.ID}).code(http.StatusForbidden, "forbidden")
		assert.True(t, into[api.User](admin.get(path)).PlanID.IsNull(), "nothing was changed")
		limited.post(path+"/apply", nil).code(http.StatusForbidden, "forbidden")

		changed := admin.patch(path+"?apply=true", object{"status": "disabled"}).is(http.StatusOK)
		batch := into[api.ActionBatch](admin.get("/action-batches/" + changed.header.Get("Action-Batch")).is(http.StatusOK))
		assert.Equal(t, 1, batch.Total)
		assert.Empty(t, admin.patch(path, object{"status": "suspended"}).is(http.StatusOK).header.Get("Action-Batch"))
		applied := admin.post(path+"/apply", nil).is(http.StatusAccepted)
		assert.Equal(t, api.BasePath+"/action-batches/"+into[api.ActionBatch](applied).ID.MustGet().String(), applied.header.Get("Location"))
		admin.post("/users/"+uuid.NewString()+"/apply", nil).code(http.StatusNotFound, "not_found")
	})
}
