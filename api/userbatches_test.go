package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
)

func TestUserBatches(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		plan, group := newPlanAndGroup(t, w)
		admin := w.as(t, "admin")
		input := object{"name": "hotel", "count": 20, "prefix": "h-", "name_length": 6, "plan_id": plan.ID, "group_ids": []uuid.UUID{group.ID}, "expires_at": "2035-01-01T00:00:00Z"}
		created := admin.post("/user-batches", input, "Idempotency-Key", "b1").is(http.StatusCreated)
		made := into[api.UserBatchMade](created)
		path := "/user-batches/" + made.Batch.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))
		assert.Equal(t, "admin", made.Batch.CreatedBy)
		require.Len(t, made.Users, 20)

		t.Run("its users can log in", func(t *testing.T) {
			list := into[api.UserList](admin.in(t).get("/users?count=true&batch_id=" + made.Batch.ID.String()).is(http.StatusOK))
			assert.Equal(t, int64(20), list.Total.Count)
			for _, user := range made.Users {
				assert.True(t, strings.HasPrefix(user.Username, "h-"))
				u, _ := stored(t, w, user.ID)
				assert.Equal(t, user.Password, string(u.Credential.Secret))
				assert.Equal(t, plan.ID, u.PlanID)
			}
		})
		t.Run("passwords are shown once", func(t *testing.T) {
			admin := admin.in(t)
			got := admin.get(path).is(http.StatusOK)
			assert.Equal(t, made.Batch, into[api.UserBatch](got))
			admin.post("/user-batches", input, "Idempotency-Key", "b1").code(http.StatusConflict, "repeated")
			for _, answer := range []*answer{got, admin.get("/user-batches"), admin.get("/users?limit=1000")} {
				assert.NotContains(t, string(answer.body), made.Users[0].Password)
			}
		})
		t.Run("lists", func(t *testing.T) {
			admin := admin.in(t)
			admin.post("/user-batches", object{"name": "airport", "count": 1}).is(http.StatusCreated)
			list := into[api.UserBatchList](admin.get("/user-batches?sort=name&limit=1&count=true").is(http.StatusOK))
			require.Len(t, list.Items, 1)
			assert.Equal(t, "airport", list.Items[0].Name)
			assert.Equal(t, int64(2), list.Total.Count)
			rest := into[api.UserBatchList](admin.get("/user-batches?sort=name&limit=1&cursor=" + list.NextCursor.MustGet()).is(http.StatusOK))
			assert.Equal(t, "hotel", rest.Items[0].Name)
			assert.True(t, rest.NextCursor.IsNull())
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			admin := admin.in(t)
			admin.post("/user-batches", object{"name": "x", "count": 10001}).field("count")
			admin.post("/user-batches", object{"name": "x", "count": 1, "password_length": 4}).field("password_length")
			admin.post("/user-batches", object{"name": "x", "count": 1, "prefix": "a\nb"}).field("prefix")
			admin.post("/user-batches", object{"name": "x", "count": 1, "plan_id": uuid.New()}).field("plan_id")
			admin.post("/user-batches", object{"name": "hotel", "count": 1}).code(http.StatusConflict, "exists")
			w.as(t, "support").post("/user-batches", object{"name": "x", "count": 1}).code(http.StatusForbidden, "forbidden")
		})
		t.Run("once somebody was online it stays", func(t *testing.T) {
			admin := admin.in(t)
			online(t, w, made.Users[3].Username)
			admin.delete(path).code(http.StatusConflict, "in_use")
		})
		t.Run("deleted with its users", func(t *testing.T) {
			admin := admin.in(t)
			other := into[api.UserBatchMade](admin.post("/user-batches", object{"name": "bus", "count": 3}).is(http.StatusCreated))
			path := "/user-batches/" + other.Batch.ID.String()
			admin.delete(path, "If-Match", `"x"`).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.delete(path, "If-Match", admin.get(path).header.Get("ETag")).is(http.StatusNoContent)
			admin.get(path).code(http.StatusNotFound, "not_found")
			admin.get("/users/"+other.Users[0].ID.String()).code(http.StatusNotFound, "not_found")
		})
	})
}

func TestUserUsage(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		plan := into[api.Plan](admin.post("/plans", object{"name": "monthly", "quota_seconds": 7200, "quota_period": "month"}).is(http.StatusCreated))
		user := into[api.User](admin.post("/users", object{"username": "alice", "plan_id": plan.ID}).is(http.StatusCreated))
		path := "/users/" + user.ID.String() + "/usage"
		empty := into[api.UserUsage](admin.get(path).is(http.StatusOK))
		require.Len(t, empty.Quotas, 1)
		assert.Equal(t, int64(7200), empty.Quotas[0].LeftSeconds.MustGet())
		assert.True(t, empty.Quotas[0].LeftOctets.IsNull())
		assert.Len(t, empty.Periods, aaa.PeriodCount)
		assert.Empty(t, empty.Days)

		online(t, w, "alice")
		used := into[api.UserUsage](admin.get(path).is(http.StatusOK))
		assert.Equal(t, 1, used.Online)
		assert.Equal(t, int64(7200-usedSeconds), used.Quotas[0].LeftSeconds.MustGet())
		require.NotEmpty(t, used.Days)
		sum := int64(0)
		for _, day := range used.Days {
			sum += day.Used.SessionSeconds
		}
		assert.Equal(t, int64(usedSeconds), sum)
		for _, period := range used.Periods {
			if period.Period == "ever" {
				assert.Equal(t, int64(usedSeconds), period.Used.SessionSeconds)
				assert.True(t, period.From.IsNull())
			}
		}
		admin.get(path + "?from=2020-01-01&to=2029-01-01").field("from")
		admin.get(path + "?from=2020-02-01&to=2020-01-01").field("from")
		assert.Empty(t, into[api.UserUsage](admin.get(path+"?from=2020-01-01&to=2020-02-01").is(http.StatusOK)).Days)
		admin.get("/users/"+uuid.NewString()+"/usage").code(http.StatusNotFound, "not_found")
	})
}

// usedSeconds is what online uses up.
const usedSeconds = 60

// online has a session of the user open.
func online(t *testing.T, w *world, username string) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	w.account(t, record(username, "s-"+username, aaa.AcctStart, now.Add(-time.Minute), 0), record(username, "s-"+username, aaa.AcctInterim, now, 1000))
}
