package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
	"radiusd/operator"
)

func TestVouchers(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.clock.stop(t)
		now := w.clock.now().UTC().Truncate(time.Microsecond)
		plan, _ := newPlanAndGroup(t, w)
		owner := w.as(t, "billing")
		alice := into[api.User](w.as(t, "admin").post("/users", object{"username": "alice"}).is(http.StatusCreated)).ID
		input := object{"name": "march", "kind": "plan", "count": 20, "plan_id": plan.ID, "validity": 86400, "redeem_before": now.AddDate(0, 1, 0)}
		created := owner.post("/voucher-batches", input, "Idempotency-Key", "b1").is(http.StatusCreated)
		made := into[api.VouchersMade](created)
		path := "/voucher-batches/" + made.Batch.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))
		assert.Equal(t, "billing", made.Batch.CreatedBy)
		assert.Equal(t, api.VoucherCounts{New: 20}, made.Batch.Counts)
		require.Len(t, made.Vouchers, 20)
		gift := into[api.VouchersMade](owner.post("/voucher-batches", object{"name": "gift", "kind": "value", "count": 2, "value": eur("10"), "code_length": 16}).is(http.StatusCreated))
		assert.Equal(t, money("10.00"), *gift.Batch.Value)
		assert.Len(t, gift.Vouchers[0].Code, 19)

		t.Run("codes are shown once", func(t *testing.T) {
			owner := owner.in(t)
			got := owner.get(path).is(http.StatusOK)
			assert.Equal(t, made.Batch, into[api.VoucherBatch](got))
			owner.post("/voucher-batches", input, "Idempotency-Key", "b1").code(http.StatusConflict, "repeated")
			for _, answer := range []*answer{got, owner.get("/voucher-batches"), owner.get("/vouchers?limit=1000"), w.as(t, "admin").in(t).get("/users?limit=1000")} {
				for _, v := range made.Vouchers {
					assert.NotContains(t, string(answer.body), v.Code)
				}
			}
		})
		t.Run("lists", func(t *testing.T) {
			owner := owner.in(t)
			batches := into[api.VoucherBatchList](owner.get("/voucher-batches?sort=name&limit=1&count=true").is(http.StatusOK))
			assert.Equal(t, "gift", batches.Items[0].Name)
			assert.Equal(t, int64(2), batches.Total.Count)
			rest := into[api.VoucherBatchList](owner.get("/voucher-batches?sort=name&limit=1&cursor=" + batches.NextCursor.MustGet()).is(http.StatusOK))
			assert.Equal(t, "march", rest.Items[0].Name)
			assert.Len(t, into[api.VoucherBatchList](owner.get("/voucher-batches?kind=plan&q=ma").is(http.StatusOK)).Items, 1)
			list := into[api.VoucherList](owner.get("/vouchers?state=new&limit=2&count=true&batch_id=" + made.Batch.ID.String()).is(http.StatusOK))
			require.Len(t, list.Items, 2)
			assert.Equal(t, int64(20), list.Total.Count)
			next := into[api.VoucherList](owner.get("/vouchers?state=new&limit=2&batch_id=" + made.Batch.ID.String() + "&cursor=" + list.NextCursor.MustGet()).is(http.StatusOK))
			assert.Equal(t, "v1-00003", next.Items[0].Serial)
			assert.Equal(t, list.Items[0], into[api.Voucher](owner.get("/vouchers/"+list.Items[0].ID.String()).is(http.StatusOK)))
			assert.Len(t, into[api.VoucherList](owner.get("/vouchers?serial=v2-").is(http.StatusOK)).Items, 2)
			assert.Empty(t, into[api.VoucherList](owner.get("/vouchers?state=expired").is(http.StatusOK)).Items)
		})
		t.Run("redeem", func(t *testing.T) {
			owner := owner.in(t)
			body := object{"user_id": alice, "code": strings.ToLower(gift.Vouchers[0].Code)}
			r := into[api.Redemption](owner.post("/vouchers/redeem", body, "Idempotency-Key", "r1").is(http.StatusOK))
			assert.Equal(t, money("10.00"), *r.Value)
			assert.Equal(t, "alice", r.Voucher.Username)
			assert.Equal(t, "billing", r.Voucher.RedeemedBy)
			assert.Equal(t, api.VoucherState("used"), r.Voucher.State)
			assert.Equal(t, r, into[api.Redemption](owner.post("/vouchers/redeem", body, "Idempotency-Key", "r1").is(http.StatusOK)), "sent again")
			owner.post("/vouchers/redeem", body).code(http.StatusConflict, "voucher_used")
			body["code"] = made.Vouchers[0].Code
			r = into[api.Redemption](owner.post("/vouchers/redeem", body, "Idempotency-Key", "r2").is(http.StatusOK))
			assert.Equal(t, now.Add(24*time.Hour), r.UserExpiresAt.MustGet().Truncate(time.Microsecond))
			assert.Equal(t, r, into[api.Redemption](owner.post("/vouchers/redeem", body, "Idempotency-Key", "r2").is(http.StatusOK)))
			user, _ := stored(t, w, alice)
			assert.Equal(t, plan.ID, user.PlanID)
			assert.Len(t, into[api.VoucherList](owner.get("/vouchers?user_id="+alice.String()).is(http.StatusOK)).Items, 2)
			body["user_id"] = uuid.New()
			body["code"] = made.Vouchers[1].Code
			owner.post("/vouchers/redeem", body).code(http.StatusNotFound, "not_found")
		})
		t.Run("a portal's token redeems, and does nothing else", func(t *testing.T) {
			bob := into[api.User](w.as(t, "admin").in(t).post("/users", object{"username": "bob"}).is(http.StatusCreated)).ID
			portal := w.token(t, operator.VouchersRedeem).in(t)
			body := object{"user_id": bob, "code": gift.Vouchers[0].Code}
			portal.post("/vouchers/redeem", body).code(http.StatusConflict, "voucher_used")
			body["code"] = made.Vouchers[3].Code
			assert.Equal(t, "bob", into[api.Redemption](portal.post("/vouchers/redeem", body).is(http.StatusOK)).Voucher.Username)
			for _, path := range []string{"/vouchers", "/voucher-batches", "/users/" + bob.String(), "/users/" + bob.String() + "/balance"} {
				portal.get(path).code(http.StatusForbidden, "forbidden")
			}
			portal.post("/payments", object{"user_id": bob, "amount": eur("10")}).code(http.StatusForbidden, "forbidden")
			portal.post(path+"/revoke", nil).code(http.StatusForbidden, "forbidden")
		})
		t.Run("the password of a voucher is explained", func(t *testing.T) {
			admin := w.as(t, "admin").in(t)
			ask := func(password string) api.Explanation {
				return into[api.Explanation](admin.post("/policy/explain", object{"username": made.Vouchers[2].Serial, "password": password}).is(http.StatusOK))
			}
			assert.Equal(t, "accepted", ask(made.Vouchers[2].Code).Reason)
			assert.Equal(t, "wrong_password", ask("nonsense").Reason)
		})
		t.Run("revoke and renew", func(t *testing.T) {
			owner := owner.in(t)
			second := into[api.VoucherList](owner.get("/vouchers?serial=v1-00002").is(http.StatusOK)).Items[0]
			assert.Equal(t, api.VoucherState("revoked"), into[api.Voucher](owner.post("/vouchers/"+second.ID.String()+"/revoke", nil).is(http.StatusOK)).State)
			first := into[api.VoucherList](owner.get("/vouchers?serial=v1-00001").is(http.StatusOK)).Items[0]
			owner.post("/vouchers/"+first.ID.String()+"/revoke", nil).code(http.StatusConflict, "voucher_used")
			renewed := into[api.VouchersMade](owner.post(path+"/codes", nil, "Idempotency-Key", "n").is(http.StatusOK))
			assert.Len(t, renewed.Vouchers, 17)
			owner.post(path+"/codes", nil, "Idempotency-Key", "n").code(http.StatusConflict, "repeated")
			owner.post("/vouchers/redeem", object{"user_id": alice, "code": made.Vouchers[5].Code}).code(http.StatusNotFound, "unknown_voucher")
			batch := into[api.VoucherBatch](owner.post(path+"/revoke", nil).is(http.StatusOK))
			assert.Equal(t, api.VoucherCounts{Used: 2, Revoked: 18}, batch.Counts)
			owner.post("/vouchers/redeem", object{"user_id": alice, "code": renewed.Vouchers[5].Code}).code(http.StatusConflict, "voucher_revoked")
			user, err := w.store.UserByName(t.Context(), "v1-00007")
			require.NoError(t, err)
			assert.Equal(t, aaa.UserDisabled, user.Status)
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			owner := owner.in(t)
			for field, change := range map[string]object{
				"plan_id":       {"plan_id": uuid.New()},
				"validity":      {"validity": nil},
				"amount":        {"value": eur("1")},
				"redeem_before": {"redeem_before": "2001-01-01T00:00:00Z"},
				"count":         {"count": 10001},
				"kind":          {"kind": "card"},
				"value.amount":  {"value": eur("1.001")},
			} {
				body := object{"name": "bad", "kind": "plan", "count": 1, "plan_id": plan.ID, "validity": 60}
				for name, value := range change {
					if body[name] = value; value == nil {
						delete(body, name)
					}
				}
				owner.post("/voucher-batches", body).field(field)
			}
			owner.post("/voucher-batches", object{"name": "gift", "kind": "value", "count": 1, "value": eur("1")}).code(http.StatusConflict, "exists")
			for _, missing := range []string{"/voucher-batches/", "/vouchers/"} {
				owner.get(missing+uuid.NewString()).code(http.StatusNotFound, "not_found")
				owner.post(missing+uuid.NewString()+"/revoke", nil).code(http.StatusNotFound, "not_found")
			}
		})
		t.Run("guesses are throttled", func(t *testing.T) {
			owner := owner.in(t)
			for range 4 { // one was made above
				owner.post("/vouchers/redeem", object{"user_id": alice, "code": "AAAA-BBBB-CCCC"}).code(http.StatusNotFound, "unknown_voucher")
			}
			answer := owner.post("/vouchers/redeem", object{"user_id": alice, "code": gift.Vouchers[1].Code}).code(http.StatusTooManyRequests, "throttled")
			assert.Equal(t, "1", answer.header.Get("Retry-After"))
			portal := w.token(t, operator.VouchersRedeem).in(t)
			for i := range 30 {
				carol := into[api.User](w.as(t, "admin").in(t).post("/users", object{"username": fmt.Sprintf("carol%d", i)}).is(http.StatusCreated)).ID
				body := object{"user_id": carol, "code": "AAAA-BBBB-CCCC", "client_address": "192.0.2.7"}
				portal.post("/vouchers/redeem", body).code(http.StatusNotFound, "unknown_voucher")
				if i == 29 {
					body["code"] = gift.Vouchers[1].Code
					portal.post("/vouchers/redeem", body).code(http.StatusTooManyRequests, "throttled")
					for _, wrong := range []string{"192.0.2", "fe80::1%eth0", "portal.example"} {
						body["client_address"] = wrong
						portal.post("/vouchers/redeem", body).field("client_address")
					}
					body["client_address"] = "2001:db8::7"
					portal.post("/vouchers/redeem", body).is(http.StatusOK)
				}
			}
		})
	})
}
