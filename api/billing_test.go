package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/billing"
	"radiusd/operator"
)

// eur is an amount as a request has it.
func eur(amount string) map[string]any { return map[string]any{"amount": amount, "currency": "EUR"} }

// money is an amount as an answer has it.
func money(amount string) api.Money { return api.Money{Amount: amount, Currency: "EUR"} }

// books is a world with a plan that costs 30 EUR a month and 20% tax.
type books struct {
	*world
	owner *client
	plan  uuid.UUID
	price api.Price
	today billing.Date
}

func newBooks(t *testing.T, w *world) *books {
	t.Helper()
	w.clock.stop(t)
	b := &books{world: w, owner: w.token(t, operator.Permissions()...), today: billing.DateOf(w.clock.now(), time.UTC)}
	b.plan = into[api.Plan](b.owner.post("/plans", map[string]any{"name": "home"}).is(http.StatusCreated)).ID
	b.owner.post("/billing/tax-rates", map[string]any{"class": "standard", "name": "VAT", "percent": "20"}).is(http.StatusOK)
	b.price = into[api.Price](b.owner.post("/plans/"+b.plan.String()+"/prices", map[string]any{
		"price": eur("30"), "every": map[string]any{"unit": "day", "count": 30}, "tax_class": "standard", "due_days": 14,
	}, "Idempotency-Key", "price").is(http.StatusCreated))
	return b
}

// user makes a user.
func (b *books) user(t *testing.T, name string) uuid.UUID {
	t.Helper()
	return into[api.User](b.owner.in(t).post("/users", map[string]any{
		"username": name, "profile": map[string]any{"full_name": "Name of " + name, "address": "Road of " + name},
	}).is(http.StatusCreated)).ID
}

// subscribed makes a user who has subscribed to the plan from today on.
func (b *books) subscribed(t *testing.T, name string) (userID uuid.UUID, x api.Subscription) {
	t.Helper()
	userID = b.user(t, name)
	return userID, into[api.Subscription](b.owner.in(t).post("/subscriptions", map[string]any{"user_id": userID, "plan_id": b.plan}).is(http.StatusCreated))
}

// day is a day from today on.
func (b *books) day(days int) string { return b.today.AddDays(days).String() }

func TestBillingPrices(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		owner, path := b.owner, "/plans/"+b.plan.String()+"/prices"
		assert.Equal(t, money("30.00"), b.price.Price)
		assert.Equal(t, 1, b.price.Version)
		again := into[api.Price](owner.post(path, map[string]any{
			"price": eur("30"), "every": map[string]any{"unit": "day", "count": 30}, "tax_class": "standard", "due_days": 14,
		}, "Idempotency-Key", "price").is(http.StatusCreated))
		assert.Equal(t, b.price.ID, again.ID, "sent again")
		second := map[string]any{
			"price": eur("9.9"), "setup": eur("5"), "every": map[string]any{"unit": "month"}, "timing": "arrears", "trial_days": 14,
			"usage": []any{map[string]any{"metric": "octets", "allowance": 1 << 40, "per": 1 << 30, "minimum": eur("0.5"), "hours": "Wk0800-1800",
				"tiers": []any{map[string]any{"up_to": 1 << 41, "price": "0.0125"}, map[string]any{"price": "0.01"}}}},
		}
		made := into[api.Price](owner.post(path, second).is(http.StatusCreated))
		assert.Equal(t, 2, made.Version)
		assert.Equal(t, "0.0125", made.Usage[0].Tiers[0].Price)
		assert.Equal(t, money("0.50"), *made.Usage[0].Minimum)
		list := into[api.PriceList](owner.get(path).is(http.StatusOK)).Items
		require.Len(t, list, 2)
		assert.Equal(t, made, list[0])
		_, err := list[1].RetiredAt.Get()
		assert.NoError(t, err, "the one before is not offered any more")
		offered := into[api.PriceList](owner.get("/billing/prices?offered=true&plan_id=" + b.plan.String()).is(http.StatusOK)).Items
		require.Len(t, offered, 1)
		assert.Equal(t, made.ID, offered[0].ID)
		retired := into[api.Price](owner.post("/billing/prices/"+made.ID.String()+"/retire", nil).is(http.StatusOK))
		_, err = retired.RetiredAt.Get()
		assert.NoError(t, err)
		assert.Equal(t, retired, into[api.Price](owner.get("/billing/prices/"+made.ID.String()).is(http.StatusOK)))

		for field, change := range map[string]map[string]any{
			"price.amount":            {"price": eur("1.001")},
			"setup.currency":          {"setup": map[string]any{"amount": "1", "currency": "USD"}},
			"price":                   {"price": eur("-1")},
			"tax_included":            {"tax_included": true},
			"billing_day":             {"billing_day": 5, "every": map[string]any{"unit": "week"}},
			"usage[0].hours":          {"usage": []any{map[string]any{"metric": "octets", "per": 1, "hours": "never", "tiers": []any{map[string]any{"price": "1"}}}}},
			"usage[0].tiers":          {"usage": []any{map[string]any{"metric": "octets", "per": 1, "tiers": []any{map[string]any{"price": "1", "up_to": 5}}}}},
			"usage[0].tiers[0].price": {"usage": []any{map[string]any{"metric": "octets", "per": 1, "tiers": []any{map[string]any{"price": 0.1}}}}},
		} {
			body := map[string]any{"price": eur("1"), "every": map[string]any{"unit": "month"}}
			for name, value := range change {
				body[name] = value
			}
			owner.post(path, body).field(field)
		}
		owner.post(path, map[string]any{"price": 29.9, "every": map[string]any{"unit": "month"}}).field("price")
		owner.post("/plans/"+uuid.NewString()+"/prices", second).code(http.StatusNotFound, "not_found")
		owner.get("/plans/"+uuid.NewString()+"/prices").code(http.StatusNotFound, "not_found")
	})
}

func TestBillingRules(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		owner := w.as(t, "owner")
		t.Run("tax rates", func(t *testing.T) {
			owner := owner.in(t)
			rate := map[string]any{"class": "standard", "name": "VAT", "percent": "19"}
			made := into[api.TaxRate](owner.post("/billing/tax-rates", rate, "Idempotency-Key", "t").is(http.StatusOK))
			assert.Equal(t, made, into[api.TaxRate](owner.post("/billing/tax-rates", rate, "Idempotency-Key", "t").is(http.StatusOK)))
			assert.Equal(t, api.TaxRateCategory("S"), made.Category)
			rate["percent"] = "20"
			again := into[api.TaxRate](owner.post("/billing/tax-rates", rate).is(http.StatusOK))
			assert.Equal(t, made.ID, again.ID, "in its place")
			list := into[api.TaxRateList](owner.get("/billing/tax-rates").is(http.StatusOK)).Items
			require.Equal(t, []api.TaxRate{again}, list)
			rate["percent"] = "101"
			owner.post("/billing/tax-rates", rate).field("percent")
			owner.post("/billing/tax-rates", map[string]any{"class": "school", "name": "VAT", "percent": "0", "category": "E"}).field("exemption_reason")
			owner.delete("/billing/tax-rates/" + made.ID.String()).is(http.StatusNoContent)
			owner.delete("/billing/tax-rates/"+made.ID.String()).code(http.StatusNotFound, "not_found")
			owner.post("/billing/tax-rates", map[string]any{"class": "standard", "name": "VAT", "percent": "19"}, "Idempotency-Key", "t").code(http.StatusNotFound, "not_found")
		})
		t.Run("settings", func(t *testing.T) {
			owner := owner.in(t)
			first := owner.get("/billing/settings").is(http.StatusOK)
			body := into[map[string]any](first)
			assert.Equal(t, "INV", body["series"])
			body["seller"] = map[string]any{"name": "Example Net", "country": "AT"}
			changed := owner.put("/billing/settings", body, "If-Match", first.header.Get("ETag")).is(http.StatusOK)
			assert.NotEqual(t, first.header.Get("ETag"), changed.header.Get("ETag"))
			owner.put("/billing/settings", body, "If-Match", first.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
			body["credit_series"] = "INV"
			owner.put("/billing/settings", body).field("credit_series")
			now := into[api.BillingSettings](owner.get("/billing/settings").is(http.StatusOK))
			assert.Equal(t, "Example Net", now.Seller.Name)
			assert.Equal(t, "CN", now.CreditSeries)
		})
	})
}

func TestBillingSubscriptions(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		owner := b.owner
		dear := into[api.Plan](owner.post("/plans", map[string]any{"name": "fibre"}).is(http.StatusCreated)).ID
		to := into[api.Price](owner.post("/plans/"+dear.String()+"/prices", map[string]any{
			"price": eur("60"), "every": map[string]any{"unit": "day", "count": 30}, "tax_class": "standard",
		}).is(http.StatusCreated))
		alice, x := b.subscribed(t, "alice")
		path := "/subscriptions/" + x.ID.String()

		t.Run("who subscribes has the plan", func(t *testing.T) {
			user := into[api.User](owner.in(t).get("/users/" + alice.String()).is(http.StatusOK))
			assert.Equal(t, b.plan, user.PlanID.MustGet())
			assert.Equal(t, "alice", x.Username)
			assert.Equal(t, api.SubscriptionState("active"), x.State)
			assert.Equal(t, b.price.ID, x.Price.ID)
		})
		t.Run("lists", func(t *testing.T) {
			owner := owner.in(t)
			bob, second := b.subscribed(t, "bob")
			for query, want := range map[string][]uuid.UUID{
				"":                            {second.ID, x.ID},
				"?sort=created_at":            {x.ID, second.ID},
				"?user_id=" + bob.String():    {second.ID},
				"?plan_id=" + b.plan.String(): {second.ID, x.ID},
				"?plan_id=" + dear.String():   nil,
				"?state=active&count=true":    {second.ID, x.ID},
				"?price_id=" + to.ID.String(): nil,
				"?state=ended":                nil,
			} {
				list := into[api.SubscriptionList](owner.get("/subscriptions" + query).is(http.StatusOK))
				var got []uuid.UUID
				for _, item := range list.Items {
					got = append(got, item.ID)
				}
				assert.Equal(t, want, got, query)
			}
			first := into[api.SubscriptionList](owner.get("/subscriptions?limit=1").is(http.StatusOK))
			rest := into[api.SubscriptionList](owner.get("/subscriptions?limit=1&cursor=" + first.NextCursor.MustGet()).is(http.StatusOK))
			assert.Equal(t, x.ID, rest.Items[0].ID)
		})
		t.Run("a change is previewed, and made once", func(t *testing.T) {
			owner := owner.in(t)
			run, err := b.bill(t, b.today)
			require.NoError(t, err)
			assert.Zero(t, run.Failed)
			w.clock.add(10 * 24 * time.Hour) // of 30 days, ten are had
			change := map[string]any{"plan_id": dear}
			body := map[string]any{"plan_id": dear, "action": "change"}
			before := owner.get(path).is(http.StatusOK)
			preview := into[api.SubscriptionPreview](owner.post(path+"/preview", body).is(http.StatusOK))
			require.Len(t, preview.Charges, 2)
			assert.Equal(t, []api.Money{money("20.00")}, preview.Totals, "40.00 for 20 days of 60.00, less 20.00 of 30.00")
			assert.Equal(t, to.ID, preview.Subscription.Price.ID)
			assert.Equal(t, before.body, owner.get(path).is(http.StatusOK).body, "a preview writes nothing")
			owner.post(path+"/change", change, "If-Match", `"old"`).code(http.StatusPreconditionFailed, "precondition_failed")
			changed := owner.post(path+"/change", change, "If-Match", before.header.Get("ETag"), "Idempotency-Key", "c").is(http.StatusOK)
			assert.Equal(t, to.ID, into[api.Subscription](changed).Price.ID)
			again := owner.post(path+"/change", change, "If-Match", before.header.Get("ETag"), "Idempotency-Key", "c").is(http.StatusOK)
			assert.Equal(t, changed.body, again.body)
			owner.post(path+"/change", change).code(http.StatusConflict, "no_change")
			charges := into[api.ChargeList](owner.get("/charges?pending=true&subscription_id=" + x.ID.String()).is(http.StatusOK)).Items
			require.Len(t, charges, 2)
			for i := range charges {
				assert.Contains(t, preview.Charges, charges[i], "as it was previewed")
			}
		})
		t.Run("an end, and back", func(t *testing.T) {
			owner := owner.in(t)
			owner.post(path+"/resume", nil).code(http.StatusConflict, "subscription_state")
			ended := into[api.Subscription](owner.post(path+"/cancel", map[string]any{"at_period_end": true}).is(http.StatusOK))
			assert.Equal(t, b.day(30), ended.End.MustGet().String())
			owner.post(path+"/cancel", map[string]any{"at_period_end": true, "on": b.day(20)}).field("at_period_end")
			owner.post(path+"/cancel", map[string]any{"on": b.day(-20)}).field("on")
			owner.post(path+"/cancel", map[string]any{"on": "9999-12-31"}).field("on")
			back := into[api.Subscription](owner.post(path+"/resume", nil).is(http.StatusOK))
			assert.True(t, back.End.IsNull())
		})
		t.Run("refused", func(t *testing.T) {
			owner := owner.in(t)
			for field, body := range map[string]map[string]any{
				"plan_id":  {"user_id": alice},
				"price_id": {"user_id": alice, "price_id": uuid.New()},
				"start":    {"user_id": alice, "plan_id": dear, "start": "1999-01-01"},
				"end":      {"user_id": alice, "plan_id": dear, "end": b.day(-1)},
			} {
				owner.post("/subscriptions", body).field(field)
			}
			owner.post("/subscriptions", map[string]any{"user_id": uuid.New(), "plan_id": dear}).code(http.StatusNotFound, "not_found")
			owner.post(path+"/change", map[string]any{"plan_id": uuid.New()}).field("plan_id")
			yen := into[api.Price](owner.post("/plans/"+dear.String()+"/prices", map[string]any{
				"price": map[string]any{"amount": "3000", "currency": "JPY"}, "every": map[string]any{"unit": "month"},
			}).is(http.StatusCreated))
			problem := owner.post(path+"/change", map[string]any{"price_id": yen.ID}).code(http.StatusConflict, "currency_mismatch").problem()
			assert.NotContains(t, problem.Detail, x.ID.String())
			owner.get("/subscriptions/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
		})
	})
}

// bill does a billing run.
func (b *books) bill(t *testing.T, day billing.Date) (billing.Run, error) {
	t.Helper()
	settings, _, err := b.store.BillingSettings(t.Context())
	require.NoError(t, err)
	taxes, err := b.store.TaxRates(t.Context())
	require.NoError(t, err)
	return billing.BillAll(t.Context(), b.store, settings.RunOptions(day, time.UTC, taxes, b.clock.now()), nil)
}

func TestBillingCharges(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		owner := b.owner
		alice, x := b.subscribed(t, "alice")
		made := owner.post("/charges", map[string]any{"user_id": alice, "description": "Cable", "amount": eur("12.5"), "tax_class": "standard"}, "Idempotency-Key", "k").is(http.StatusCreated)
		cable := into[api.Charge](made)
		assert.Equal(t, money("12.50"), cable.Amount)
		assert.Equal(t, made.body, owner.post("/charges", map[string]any{"user_id": alice, "description": "Cable", "amount": eur("12.5"), "tax_class": "standard"}, "Idempotency-Key", "k").is(http.StatusCreated).body)
		credit := into[api.Charge](owner.post("/charges", map[string]any{"user_id": alice, "description": "Outage", "amount": eur("-2"), "tax_class": "standard"}).is(http.StatusCreated))
		assert.Equal(t, "-1", credit.Quantity)
		owner.post("/charges", map[string]any{"user_id": alice, "description": "Outage", "amount": eur("-2")}).field("tax_class")
		for field, change := range map[string]any{"amount": eur("0"), "amount.amount": eur("0.001"), "amount.currency": map[string]any{"amount": "1", "currency": "eur"}, "description": " ", "tax_included": true} {
			body := map[string]any{"user_id": alice, "description": "x", "amount": eur("1")}
			if field == "amount" || field == "description" || field == "tax_included" {
				body[field] = change
			} else {
				body["amount"] = change
			}
			owner.post("/charges", body).field(field)
		}
		owner.post("/charges", map[string]any{"user_id": uuid.New(), "description": "x", "amount": eur("1")}).code(http.StatusNotFound, "not_found")
		owner.delete("/charges/" + credit.ID.String()).is(http.StatusNoContent)
		owner.get("/charges/"+credit.ID.String()).code(http.StatusNotFound, "not_found")

		_, err := b.bill(t, b.today)
		require.NoError(t, err)
		owner.delete("/charges/"+cable.ID.String()).code(http.StatusConflict, "charge_state")
		list := into[api.ChargeList](owner.get("/charges?kind=period&pending=false&user_id=" + alice.String()).is(http.StatusOK)).Items
		require.Len(t, list, 1)
		explained := into[api.ChargeExplained](owner.get("/charges/" + list[0].ID.String()).is(http.StatusOK))
		assert.Equal(t, []string{"price of a period 30.00", "amount 30.00 EUR"}, explained.Explanation)
		assert.Equal(t, x.Price.ID, explained.PriceID.MustGet())
		all := into[api.ChargeList](owner.get("/charges?invoice_id=" + list[0].InvoiceID.MustGet().String()).is(http.StatusOK)).Items
		assert.Len(t, all, 2, "with the cable")
		assert.Empty(t, into[api.SessionList](owner.get("/charges/"+list[0].ID.String()+"/sessions").is(http.StatusOK)).Items)
		owner.get("/charges/"+uuid.NewString()+"/sessions").code(http.StatusNotFound, "not_found")

		t.Run("what is owed", func(t *testing.T) {
			owner := owner.in(t)
			path := "/users/" + alice.String()
			assert.Equal(t, []api.Money{money("51.00")}, into[api.BalanceList](owner.get(path+"/balance").is(http.StatusOK)).Balances, "42.50 and 20%")
			w.clock.add(time.Second)
			payment := &billing.Payment{UserID: alice, Method: billing.PaidCash, Currency: "EUR", Amount: 6000, ReceivedOn: b.today}
			_, err := w.store.RecordPayment(t.Context(), payment)
			require.NoError(t, err)
			whole := into[api.Statement](owner.get(path + "/statement?sort=at").is(http.StatusOK))
			statement := whole.Items
			assert.Equal(t, []api.Money{statement[len(statement)-1].Balance}, whole.Closing)
			assert.Equal(t, []string{"0.00", "EUR"}, []string{whole.Opening[0].Amount, whole.Opening[0].Currency})
			none := into[api.Statement](owner.get(path + "/statement?from=2100-01-01T00:00:00Z").is(http.StatusOK))
			assert.Equal(t, [][]api.Money{whole.Closing, whole.Closing}, [][]api.Money{none.Opening, none.Closing})
			assert.Empty(t, none.Items)
			require.Len(t, statement, 2)
			assert.Equal(t, []api.Money{money("51.00"), money("-9.00")}, []api.Money{statement[0].Balance, statement[1].Balance})
			first := into[api.Statement](owner.get(path + "/statement?limit=1").is(http.StatusOK))
			assert.Equal(t, statement[1], first.Items[0])
			last := into[api.Statement](owner.get(path + "/statement?limit=1&cursor=" + first.NextCursor.MustGet()).is(http.StatusOK))
			assert.Equal(t, statement[0], last.Items[0])
			assert.Empty(t, into[api.Statement](owner.get(path+"/statement?currency=USD").is(http.StatusOK)).Items)
			nobody := b.user(t, "nobody")
			assert.Empty(t, into[api.BalanceList](owner.get("/users/"+nobody.String()+"/balance").is(http.StatusOK)).Balances)
			owner.get("/users/"+uuid.NewString()+"/balance").code(http.StatusNotFound, "not_found")
			owner.get("/users/"+uuid.NewString()+"/statement").code(http.StatusNotFound, "not_found")
		})
		t.Run("the ledger", func(t *testing.T) {
			owner := owner.in(t)
			list := into[api.TransactionList](owner.get("/ledger?sort=at").is(http.StatusOK)).Items
			require.Len(t, list, 2)
			assert.Len(t, list[0].Postings, 3)
			assert.Equal(t, api.TransactionKind("payment"), list[1].Kind)
			assert.Equal(t, []api.Transaction{list[0]}, into[api.TransactionList](owner.get("/ledger?kind=invoice").is(http.StatusOK)).Items)
			assert.Equal(t, []api.Transaction{list[1]}, into[api.TransactionList](owner.get("/ledger?subject_id="+list[1].SubjectID.MustGet().String()).is(http.StatusOK)).Items)
			check := into[api.LedgerCheck](owner.get("/ledger/check").is(http.StatusOK))
			assert.True(t, check.Balances, check.Complaints)
		})
	})
}
