package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
)

func TestPlans(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		created := admin.post("/plans", map[string]any{
			"name": "gold", "rate_down": 100_000_000, "session_timeout": 3600, "quota_period": "month", "allowed_methods": []string{"pap"},
			"reply_items": []map[string]string{{"attribute": "Filter-Id", "op": "=", "value": "gold"}},
		}).is(http.StatusCreated)
		plan := into[api.Plan](created)
		path := "/plans/" + plan.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))

		got := admin.get(path).is(http.StatusOK)
		assert.Equal(t, plan, into[api.Plan](got))
		assert.Equal(t, created.header.Get("ETag"), got.header.Get("ETag"))

		t.Run("a patch changes what it names", func(t *testing.T) {
			changed := into[api.Plan](admin.in(t).patch(path, map[string]any{"rate_down": 200_000_000, "session_timeout": nil}).is(http.StatusOK))
			assert.Equal(t, int64(200_000_000), changed.RateDown)
			assert.Zero(t, changed.SessionTimeout)
			assert.Equal(t, api.Period("month"), changed.QuotaPeriod)
			assert.Len(t, changed.ReplyItems, 1)
		})
		t.Run("a change of something old is refused", func(t *testing.T) {
			admin := admin.in(t)
			admin.patch(path, map[string]any{"name": "late"}, "If-Match", created.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.delete(path, "If-Match", created.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.patch(path, map[string]any{"name": "gold2"}, "If-Match", admin.get(path).header.Get("ETag")).is(http.StatusOK)
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			admin := admin.in(t)
			admin.patch(path, map[string]any{"rate_up": -1}).field("rate_up")
			admin.patch(path, map[string]any{"login_hours": "whenever"}).field("login_hours")
			admin.patch(path, map[string]any{"id": plan.ID}).is(http.StatusUnprocessableEntity)
			admin.post("/plans", map[string]any{"name": "x", "reply_items": []map[string]string{{"attribute": "No-Such", "op": "=", "value": "1"}}}).field("reply_items[0]")
			admin.post("/plans", map[string]any{"name": "gold2"}).code(http.StatusConflict, "exists")
		})
		t.Run("a create that is sent again makes nothing new", func(t *testing.T) {
			admin := admin.in(t)
			first := admin.post("/plans", map[string]any{"name": "once"}, "Idempotency-Key", "k1").is(http.StatusCreated)
			again := admin.post("/plans", map[string]any{"name": "once"}, "Idempotency-Key", "k1").is(http.StatusCreated)
			assert.Equal(t, first.body, again.body)
			admin.post("/plans", map[string]any{"name": "twice"}, "Idempotency-Key", "k1").code(http.StatusUnprocessableEntity, "key_reused")
		})
		t.Run("pages", func(t *testing.T) {
			admin := admin.in(t)
			for _, name := range []string{"p1", "p2", "p3"} {
				admin.post("/plans", map[string]any{"name": name}).is(http.StatusCreated)
			}
			first := into[api.PlanList](admin.get("/plans?q=p&limit=2&count=true").is(http.StatusOK))
			require.Len(t, first.Items, 2)
			assert.Equal(t, int64(3), first.Total.Count)
			rest := into[api.PlanList](admin.get("/plans?q=p&limit=2&cursor=" + first.NextCursor.MustGet()).is(http.StatusOK))
			require.Len(t, rest.Items, 1)
			assert.Equal(t, "p3", rest.Items[0].Name)
			assert.True(t, rest.NextCursor.IsNull())
			admin.get("/plans?q=x&cursor="+first.NextCursor.MustGet()).code(http.StatusBadRequest, "bad_cursor")
			admin.get("/plans?cursor=%00").code(http.StatusBadRequest, "malformed_request")
		})
		t.Run("deleted is gone", func(t *testing.T) {
			admin := admin.in(t)
			admin.delete(path).is(http.StatusNoContent)
			admin.get(path).code(http.StatusNotFound, "not_found")
			admin.patch(path, map[string]any{"name": "x"}).code(http.StatusNotFound, "not_found")
		})
		t.Run("who may", func(t *testing.T) {
			w.anonymous(t).get("/plans").code(http.StatusUnauthorized, "unauthenticated")
			w.as(t, "read-only").get("/plans").is(http.StatusOK)
			w.as(t, "read-only").post("/plans", map[string]any{"name": "x"}).code(http.StatusForbidden, "forbidden")
		})
	})
}
