package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
)

// billed makes a user who has an invoice of 36.00, due in 14 days.
func (b *books) billed(t *testing.T, name string) (userID uuid.UUID, i api.InvoiceSummary) {
	t.Helper()
	userID, _ = b.subscribed(t, name)
	run, err := b.bill(t, b.today)
	require.NoError(t, err)
	require.Zero(t, run.Failed)
	list := into[api.InvoiceList](b.owner.in(t).get("/invoices?user_id=" + userID.String()).is(http.StatusOK)).Items
	require.Len(t, list, 1)
	return userID, list[0]
}

// tick lets a second pass, so that what is made next is later.
func (b *books) tick() { b.clock.add(time.Second) }

func TestBillingInvoices(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		alice, first := b.billed(t, "alice")
		b.tick()
		bob, second := b.billed(t, "bob")
		path := "/invoices/" + first.ID.String()

		t.Run("lists", func(t *testing.T) {
			owner := b.owner.in(t)
			assert.Equal(t, "INV-000001", first.Number.MustGet())
			assert.Equal(t, money("36.00"), first.Open)
			for query, want := range map[string][]uuid.UUID{
				"":                         {second.ID, first.ID},
				"?sort=number":             {first.ID, second.ID},
				"?sort=-due_on&count=true": nil,
				"?number=INV-":             {first.ID, second.ID},
				"?number=INV-000002":       {second.ID},
				"?user_id=" + bob.String(): {second.ID},
				"?state=paid":              {},
				"?kind=credit_note":        {},
				"?currency=USD":            {},
				"?overdue=true":            {},
				"?issued_from=" + b.day(0): {second.ID, first.ID},
				"?issued_before=" + b.day(0) + "&sort=issued_on":         {},
				"?issued_from=0000-01-01&issued_before=9999-12-31":       {second.ID, first.ID},
				"?state=issued&run_id=" + first.RunID.MustGet().String(): {first.ID},
			} {
				list := into[api.InvoiceList](owner.get("/invoices" + query).is(http.StatusOK))
				if want == nil {
					assert.EqualValues(t, 2, list.Total.Count)
					continue
				}
				got := []uuid.UUID{}
				for _, item := range list.Items {
					got = append(got, item.ID)
				}
				assert.Equal(t, want, got, query)
			}
			for _, sort := range []string{"created_at", "issued_on", "due_on", "number"} {
				page := into[api.InvoiceList](owner.get("/invoices?limit=1&sort=" + sort).is(http.StatusOK))
				rest := into[api.InvoiceList](owner.get("/invoices?limit=1&sort=" + sort + "&cursor=" + page.NextCursor.MustGet()).is(http.StatusOK))
				assert.NotEqual(t, page.Items[0].ID, rest.Items[0].ID, sort)
				assert.True(t, rest.NextCursor.IsNull(), sort)
			}
		})
		t.Run("one, and its documents", func(t *testing.T) {
			owner := b.owner.in(t)
			got := owner.get(path).is(http.StatusOK)
			invoice := into[api.Invoice](got)
			require.Len(t, invoice.Lines, 1)
			assert.Equal(t, money("30.00"), invoice.Lines[0].Net)
			require.Len(t, invoice.Taxes, 1)
			assert.Equal(t, money("6.00"), invoice.Taxes[0].Tax)
			assert.Equal(t, "Name of alice", invoice.Buyer.Name)
			assert.NotEmpty(t, got.header.Get("ETag"))
			pdf := owner.get(path + "/pdf?locale=de-AT&paper=letter").is(http.StatusOK)
			assert.Equal(t, "application/pdf", pdf.header.Get("Content-Type"))
			assert.True(t, strings.HasPrefix(string(pdf.body), "%PDF-"))
			assert.Equal(t, `inline; filename="INV-000001.pdf"`, pdf.header.Get("Content-Disposition"))
			owner.get(path + "/pdf?locale=xx").field("locale")
			owner.get(path+"/xml").code(http.StatusConflict, "incomplete_invoice")

			auditor := w.as(t, "auditor")
			assert.Nil(t, into[api.Invoice](auditor.get(path).is(http.StatusOK)).Buyer, "no personal data")
			assert.NotContains(t, string(auditor.get(path).body), "Name of alice")
			auditor.get(path+"/pdf").code(http.StatusForbidden, "forbidden")
			auditor.get(path+"/xml").code(http.StatusForbidden, "forbidden")
			owner.get("/invoices/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
		})
		t.Run("a credit note, once", func(t *testing.T) {
			owner := b.owner.in(t)
			b.tick()
			owner.post(path+"/credit-notes", map[string]any{"lines": []any{map[string]any{"line": 2, "amount": eur("1")}}}).field("lines")
			owner.post(path+"/credit-notes", map[string]any{"lines": []any{map[string]any{"line": 1, "amount": eur("30.01")}}}).field("lines")
			owner.post(path+"/credit-notes", map[string]any{"lines": []any{map[string]any{"line": 1, "amount": map[string]any{"amount": "1", "currency": "USD"}}}}).field("lines[0].amount.currency")
			body := map[string]any{"lines": []any{map[string]any{"line": 1, "amount": eur("10")}}, "note": "Outage"}
			note := into[api.Invoice](owner.post(path+"/credit-notes", body, "Idempotency-Key", "n").is(http.StatusCreated))
			assert.Equal(t, note, into[api.Invoice](owner.post(path+"/credit-notes", body, "Idempotency-Key", "n").is(http.StatusCreated)))
			assert.Equal(t, "CN-000001", note.Number.MustGet())
			assert.Equal(t, money("12.00"), note.Total)
			assert.Equal(t, []api.Invoice{note}, into[api.CreditNoteList](owner.get(path+"/credit-notes").is(http.StatusOK)).Items)
			assert.Equal(t, money("24.00"), into[api.Invoice](owner.get(path).is(http.StatusOK)).Open)
			problem := owner.post(path+"/void", nil).code(http.StatusConflict, "invoice_state").problem()
			assert.Contains(t, problem.Detail, "INV-000001")
			assert.NotContains(t, problem.Detail, first.ID.String())
			owner.post(path+"/credit-notes", map[string]any{"lines": []any{map[string]any{"line": 1, "amount": eur("0")}}}).field("lines[0].amount.amount")
			rest := into[api.Invoice](owner.post(path+"/credit-notes", map[string]any{"lines": []any{map[string]any{"line": 1}}}).is(http.StatusCreated))
			assert.Equal(t, money("24.00"), rest.Total, "all that is left of the line")
			owner.post(path+"/credit-notes", map[string]any{"lines": []any{map[string]any{"line": 1}}}).field("lines")
			owner.post(path+"/credit-notes", map[string]any{}).code(http.StatusConflict, "nothing_to_credit")
		})
		t.Run("void", func(t *testing.T) {
			owner := b.owner.in(t)
			other := "/invoices/" + second.ID.String()
			void := into[api.Invoice](owner.post(other+"/void", nil, "Idempotency-Key", "v").is(http.StatusOK))
			assert.Equal(t, api.InvoiceState("void"), void.State)
			assert.Equal(t, money("0.00"), void.Open)
			assert.Equal(t, void, into[api.Invoice](owner.post(other+"/void", nil, "Idempotency-Key", "v").is(http.StatusOK)))
			owner.post(other+"/void", nil).code(http.StatusConflict, "no_change")
			owner.post(other+"/write-off", nil).code(http.StatusConflict, "invoice_state")
			owner.delete(other).code(http.StatusConflict, "invoice_state")
		})
		t.Run("drafts", func(t *testing.T) {
			owner := b.owner.in(t)
			body := map[string]any{"user_id": alice, "currency": "EUR"}
			owner.post("/invoices", body).code(http.StatusConflict, "nothing_to_bill")
			owner.post("/charges", map[string]any{"user_id": alice, "description": "Cable", "amount": eur("10")}).is(http.StatusCreated)
			owner.post("/charges", map[string]any{"user_id": alice, "description": "Visit", "amount": eur("50")}).is(http.StatusCreated)
			draft := into[api.Invoice](owner.post("/invoices", body, "Idempotency-Key", "d").is(http.StatusCreated))
			assert.Equal(t, draft, into[api.Invoice](owner.post("/invoices", body, "Idempotency-Key", "d").is(http.StatusCreated)))
			assert.True(t, draft.Number.IsNull())
			assert.Len(t, draft.Lines, 2)
			owner.get("/invoices/"+draft.ID.String()+"/pdf").code(http.StatusConflict, "invoice_state")
			owner.post("/invoices", body).code(http.StatusConflict, "nothing_to_bill")
			owner.delete("/invoices/" + draft.ID.String()).is(http.StatusNoContent)
			draft = into[api.Invoice](owner.post("/invoices", body).is(http.StatusCreated))
			owner.post("/invoices/"+draft.ID.String()+"/issue", map[string]any{"due_on": b.day(-1)}).field("due_on")
			issued := into[api.Invoice](owner.post("/invoices/"+draft.ID.String()+"/issue", map[string]any{}).is(http.StatusOK))
			assert.Equal(t, "INV-000003", issued.Number.MustGet())
			owner.post("/invoices/"+draft.ID.String()+"/issue", map[string]any{}).code(http.StatusConflict, "invoice_state")
			written := into[api.Invoice](owner.post("/invoices/"+draft.ID.String()+"/write-off", nil).is(http.StatusOK))
			assert.Equal(t, api.InvoiceState("paid"), written.State)
			again := into[api.Invoice](owner.post("/invoices/"+draft.ID.String()+"/reinstate", nil).is(http.StatusOK))
			assert.Equal(t, api.InvoiceState("issued"), again.State)
			owner.post("/invoices/"+draft.ID.String()+"/reinstate", nil).code(http.StatusConflict, "invoice_state")
		})
		check := into[api.LedgerCheck](b.owner.get("/ledger/check").is(http.StatusOK))
		assert.True(t, check.Balances, check.Complaints)
	})
}

func TestBillingPayments(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		alice, invoice := b.billed(t, "alice")
		owner := b.owner
		payment := map[string]any{"user_id": alice, "amount": eur("40"), "method": "bank", "provider": "bank", "reference": "2026/1", "note": "thanks"}

		t.Run("once", func(t *testing.T) {
			owner := owner.in(t)
			made := into[api.Payment](owner.post("/payments", payment, "Idempotency-Key", "p").is(http.StatusCreated))
			require.Len(t, made.Allocations, 1)
			assert.Equal(t, "INV-000001", made.Allocations[0].Number)
			assert.Equal(t, money("36.00"), made.Allocations[0].Amount)
			assert.Equal(t, made, into[api.Payment](owner.post("/payments", payment, "Idempotency-Key", "p").is(http.StatusCreated)))
			assert.Equal(t, made, into[api.Payment](owner.post("/payments", payment).is(http.StatusOK)), "by its reference")
			assert.Equal(t, made, into[api.Payment](owner.get("/payments/"+made.ID.String()).is(http.StatusOK)))
			assert.Equal(t, []api.Money{money("-4.00")}, into[api.BalanceList](owner.get("/users/"+alice.String()+"/balance").is(http.StatusOK)).Balances)
			assert.Equal(t, api.InvoiceState("paid"), into[api.Invoice](owner.get("/invoices/"+invoice.ID.String()).is(http.StatusOK)).State)
			owner.post("/invoices/"+invoice.ID.String()+"/void", nil).code(http.StatusConflict, "invoice_paid")
			owner.post("/payments", map[string]any{"user_id": alice, "amount": eur("41"), "provider": "bank", "reference": "2026/1"}).code(http.StatusConflict, "exists")
			owner.post("/payments", payment, "Idempotency-Key", "other").is(http.StatusOK)
			assert.Equal(t, made, into[api.Payment](owner.post("/payments", payment, "Idempotency-Key", "other").is(http.StatusCreated)), "by the key, which found it booked")

			b.tick()
			refund := "/payments/" + made.ID.String() + "/refund"
			owner.post(refund, map[string]any{"amount": eur("40.01")}).field("amount")
			owner.post(refund, map[string]any{"amount": map[string]any{"amount": "1", "currency": "USD"}}).field("amount.currency")
			back := into[api.Payment](owner.post(refund, map[string]any{"amount": eur("10")}, "Idempotency-Key", "r").is(http.StatusCreated))
			assert.Equal(t, back, into[api.Payment](owner.post(refund, map[string]any{"amount": eur("10")}, "Idempotency-Key", "r").is(http.StatusCreated)))
			assert.Equal(t, made.ID, back.Refunds.MustGet())
			assert.Equal(t, api.PaymentMethod("bank"), back.Method)
			assert.Equal(t, money("6.00"), into[api.Invoice](owner.get("/invoices/"+invoice.ID.String()).is(http.StatusOK)).Open)
			owner.post("/payments/"+back.ID.String()+"/refund", map[string]any{"amount": eur("1")}).code(http.StatusConflict, "payment_state")

			for query, want := range map[string]int{
				"": 2, "?refunds=true": 1, "?refunds=false&count=true": 1, "?method=bank": 2, "?method=cash": 0, "?provider=bank&reference=2026": 1,
				"?user_id=" + uuid.NewString(): 0, "?received_from=" + b.day(0): 2, "?received_before=" + b.day(0): 0, "?sort=received_on": 2,
			} {
				assert.Len(t, into[api.PaymentList](owner.get("/payments"+query).is(http.StatusOK)).Items, want, query)
			}
			page := into[api.PaymentList](owner.get("/payments?limit=1&sort=received_on").is(http.StatusOK))
			assert.Len(t, into[api.PaymentList](owner.get("/payments?limit=1&sort=received_on&cursor="+page.NextCursor.MustGet()).is(http.StatusOK)).Items, 1)
		})
		t.Run("to named invoices", func(t *testing.T) {
			owner := owner.in(t)
			to := func(amount string, id uuid.UUID) map[string]any {
				return map[string]any{"user_id": alice, "amount": eur("2"), "allocations": []any{map[string]any{"invoice_id": id, "amount": eur(amount)}}}
			}
			owner.post("/payments", to("3", invoice.ID)).field("allocations")
			owner.post("/payments", to("1", uuid.New())).field("allocations")
			made := into[api.Payment](owner.post("/payments", to("2", invoice.ID)).is(http.StatusCreated))
			assert.Equal(t, invoice.ID, made.Allocations[0].InvoiceID)
		})
		t.Run("credit that ends", func(t *testing.T) {
			owner := owner.in(t)
			b.tick()
			bob := b.user(t, "bob")
			made := into[api.Payment](owner.post("/payments", map[string]any{"user_id": bob, "amount": eur("7"), "expires_on": b.day(1)}).is(http.StatusCreated))
			assert.Equal(t, b.day(1), made.ExpiresOn.MustGet().String())
			assert.Equal(t, money("0.00"), made.Expired)
			_, err := w.store.ExpireCredit(t.Context(), b.today.AddDays(2), uuid.Nil, 10)
			require.NoError(t, err)
			list := into[api.PaymentList](owner.get("/payments?user_id=" + bob.String()).is(http.StatusOK)).Items
			require.Len(t, list, 1)
			assert.Equal(t, []any{b.day(1), money("7.00")}, []any{list[0].ExpiresOn.MustGet().String(), list[0].Expired})
			stays := into[api.Payment](owner.post("/payments", map[string]any{"user_id": bob, "amount": eur("1")}).is(http.StatusCreated))
			assert.True(t, stays.ExpiresOn.IsNull())
		})
		t.Run("refused", func(t *testing.T) {
			owner := owner.in(t)
			for field, body := range map[string]map[string]any{
				"expires_on":    {"user_id": alice, "amount": eur("1"), "expires_on": b.day(-1)},
				"amount":        {"user_id": alice, "amount": eur("-1")},
				"amount.amount": {"user_id": alice, "amount": eur("1000000000000.01")},
				"received_on":   {"user_id": alice, "amount": eur("1"), "received_on": b.day(2)},
				"method":        {"user_id": alice, "amount": eur("1"), "method": "voucher"},
			} {
				owner.post("/payments", body).field(field)
			}
			owner.post("/payments", map[string]any{"user_id": uuid.New(), "amount": eur("1")}).code(http.StatusNotFound, "not_found")
			owner.get("/payments/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
			owner.post("/payments/"+uuid.NewString()+"/refund", map[string]any{"amount": eur("1")}).code(http.StatusNotFound, "not_found")
		})
		check := into[api.LedgerCheck](owner.get("/ledger/check").is(http.StatusOK))
		assert.True(t, check.Balances, check.Complaints)
	})
}

func TestBillingOrders(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		owner := b.owner
		alice := b.user(t, "alice")
		body := map[string]any{"user_id": alice, "kind": "plan", "plan_id": b.plan, "amount": eur("36")}
		order := into[api.Order](owner.post("/orders", body, "Idempotency-Key", "o").is(http.StatusCreated))
		assert.Equal(t, order, into[api.Order](owner.post("/orders", body, "Idempotency-Key", "o").is(http.StatusCreated)))
		assert.Equal(t, api.OrderState("open"), order.State)
		path := "/orders/" + order.ID.String()
		b.tick()
		paid := into[api.Order](owner.post(path+"/pay", map[string]any{"method": "card", "provider": "x", "reference": "1"}, "Idempotency-Key", "pay").is(http.StatusOK))
		assert.Equal(t, api.OrderState("completed"), paid.State)
		assert.Equal(t, paid, into[api.Order](owner.post(path+"/pay", map[string]any{"method": "card", "provider": "x", "reference": "1"}, "Idempotency-Key", "pay").is(http.StatusOK)))
		var states []string
		for _, e := range paid.History {
			states = append(states, string(e.State))
		}
		assert.Equal(t, []string{"open", "paid", "completed"}, states)
		subscription := into[api.Subscription](owner.get("/subscriptions/" + paid.SubscriptionID.MustGet().String()).is(http.StatusOK))
		assert.Equal(t, alice, subscription.UserID)
		owner.post(path+"/pay", map[string]any{}).code(http.StatusConflict, "order_state")
		owner.post(path+"/cancel", map[string]any{}).code(http.StatusConflict, "order_state")

		b.tick()
		credit := into[api.Order](owner.post("/orders", map[string]any{"user_id": alice, "kind": "top_up", "amount": eur("5"), "expire_days": 30}).is(http.StatusCreated))
		assert.Equal(t, 30, credit.ExpireDays)
		cancelled := into[api.Order](owner.post("/orders/"+credit.ID.String()+"/cancel", map[string]any{"note": "not now"}, "Idempotency-Key", "c").is(http.StatusOK))
		assert.Equal(t, "not now", cancelled.History[1].Note)
		assert.Equal(t, cancelled, into[api.Order](owner.post("/orders/"+credit.ID.String()+"/cancel", map[string]any{"note": "not now"}, "Idempotency-Key", "c").is(http.StatusOK)))
		free := into[api.Order](owner.post("/orders", map[string]any{"user_id": b.user(t, "bob"), "kind": "plan", "price_id": b.price.ID}).is(http.StatusCreated))
		assert.Equal(t, api.OrderState("completed"), free.State, "it costs nothing")
		for query, want := range map[string]int{"": 3, "?kind=top_up": 1, "?state=completed": 2, "?user_id=" + alice.String(): 2, "?sort=created_at": 3, "?state=open": 0} {
			assert.Len(t, into[api.OrderList](owner.get("/orders"+query).is(http.StatusOK)).Items, want, query)
		}
		page := into[api.OrderList](owner.get("/orders?limit=2").is(http.StatusOK))
		assert.Len(t, into[api.OrderList](owner.get("/orders?limit=2&cursor="+page.NextCursor.MustGet()).is(http.StatusOK)).Items, 1)

		carol := b.user(t, "carol")
		owner.post("/payments", map[string]any{"user_id": carol, "amount": eur("40"), "method": "cash"}).is(http.StatusCreated)
		of := map[string]any{"user_id": carol, "kind": "plan", "plan_id": b.plan, "amount": eur("36")}
		covered := into[api.Order](owner.post("/orders", of).is(http.StatusCreated))
		assert.Equal(t, []any{api.OrderState("completed"), true, "from credit"}, []any{covered.State, covered.FromCredit, covered.History[1].Note})
		waits := into[api.Order](owner.post("/orders", of).is(http.StatusCreated))
		assert.Equal(t, []any{api.OrderState("open"), false}, []any{waits.State, waits.FromCredit})
		owner.delete("/users/" + carol.String() + "?without_usage_at_hours=true").is(http.StatusNoContent)
		assert.Equal(t, api.OrderState("cancelled"), into[api.Order](owner.get("/orders/"+waits.ID.String()).is(http.StatusOK)).State)

		for field, body := range map[string]map[string]any{
			"amount":          {"user_id": alice, "kind": "top_up"},
			"expire_days":     {"user_id": alice, "kind": "plan", "plan_id": b.plan, "expire_days": 30},
			"kind":            {"user_id": alice, "kind": "top_up", "amount": eur("1"), "plan_id": b.plan},
			"plan_id":         {"user_id": alice, "kind": "plan"},
			"subscription_id": {"user_id": alice, "kind": "change", "plan_id": b.plan},
			"amount.currency": {"user_id": alice, "kind": "plan", "plan_id": b.plan, "amount": map[string]any{"amount": "1", "currency": "USD"}},
		} {
			owner.post("/orders", body).field(field)
		}
		owner.post("/orders", map[string]any{"user_id": alice, "kind": "change", "plan_id": b.plan, "subscription_id": subscription.ID}).code(http.StatusConflict, "no_change")
		owner.post("/orders", map[string]any{"user_id": alice, "kind": "change", "plan_id": b.plan, "subscription_id": uuid.New()}).code(http.StatusConflict, "subscription_state")
		owner.post("/orders", map[string]any{"user_id": uuid.New(), "kind": "plan", "plan_id": b.plan}).code(http.StatusNotFound, "not_found")
		owner.get("/orders/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
	})
}

// startsOnce: a request to start a run that is sent again with its key starts no other one,
// also when the run is over.
func (b *books) startsOnce(t *testing.T, path, action string) {
	t.Helper()
	owner := b.owner.in(t)
	audited := func() int {
		return len(into[api.AuditList](owner.get("/audit?action=" + action).is(http.StatusOK)).Items)
	}
	n := audited()
	started := into[api.BillingRunStarted](owner.post(path, object{}, "Idempotency-Key", path).is(http.StatusAccepted))
	assert.Equal(t, n+1, audited())
	owner.post("/jobs/"+strconv.FormatInt(started.JobID, 10)+"/cancel", nil).is(http.StatusOK)
	assert.Equal(t, started, into[api.BillingRunStarted](owner.post(path, object{}, "Idempotency-Key", path).is(http.StatusAccepted)))
	owner.post(path, object{"as_of": b.day(-1)}, "Idempotency-Key", path).code(http.StatusUnprocessableEntity, "key_reused")
	assert.Equal(t, n+1, audited())
	other := into[api.BillingRunStarted](owner.post(path, object{"as_of": b.day(-1)}, "Idempotency-Key", path+"2").is(http.StatusAccepted))
	assert.NotEqual(t, started.JobID, other.JobID)
	assert.Equal(t, b.day(-1), other.AsOf.String())
	assert.Equal(t, other, into[api.BillingRunStarted](owner.post(path, object{"as_of": b.day(-1)}, "Idempotency-Key", path+"2").is(http.StatusAccepted)))
}

func TestBillingRuns(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		owner := b.owner
		owner.post("/billing/runs", map[string]any{}).code(http.StatusConflict, "billing_not_set_up")
		settings := into[map[string]any](owner.get("/billing/settings").is(http.StatusOK))
		settings["seller"] = map[string]any{"name": "Example Net"}
		owner.put("/billing/settings", settings).is(http.StatusOK)

		owner.post("/billing/runs", map[string]any{"as_of": b.day(1)}).field("as_of")
		started := into[api.BillingRunStarted](owner.post("/billing/runs", map[string]any{}).is(http.StatusAccepted))
		assert.Equal(t, b.day(0), started.AsOf.String())
		assert.Equal(t, started, into[api.BillingRunStarted](owner.post("/billing/runs", map[string]any{}).is(http.StatusAccepted)), "it waits yet")
		jobs := into[api.JobList](owner.get("/jobs?kind=billing.run").is(http.StatusOK)).Items
		require.Len(t, jobs, 1)
		assert.Equal(t, map[string]any{"as_of": b.day(0)}, jobs[0].Args)
		b.startsOnce(t, "/billing/runs", "billing_runs.start")

		alice, _ := b.subscribed(t, "alice")
		bob, _ := b.subscribed(t, "bob")
		preview := into[api.BillingPreview](owner.post("/billing/preview?limit=1", map[string]any{}).is(http.StatusOK))
		require.Len(t, preview.Items, 1)
		assert.Equal(t, money("36.00"), preview.Items[0].Invoice.Total)
		rest := into[api.BillingPreview](owner.post("/billing/preview?limit=1&cursor="+preview.NextCursor.MustGet(), map[string]any{}).is(http.StatusOK))
		assert.ElementsMatch(t, []uuid.UUID{alice, bob}, []uuid.UUID{preview.Items[0].UserID, rest.Items[0].UserID})
		one := into[api.BillingPreview](owner.post("/billing/preview", map[string]any{"user_id": bob, "as_of": b.day(30)}).is(http.StatusOK))
		require.Len(t, one.Items, 1)
		assert.Equal(t, money("72.00"), one.Items[0].Invoice.Total, "two periods")
		owner.post("/billing/preview", map[string]any{"as_of": b.day(500)}).field("as_of")
		owner.post("/billing/preview?cursor=x", map[string]any{}).code(http.StatusBadRequest, "bad_cursor")
		owner.post("/billing/preview", map[string]any{"user_id": uuid.New()}).code(http.StatusNotFound, "not_found")

		_, _ = owner.post("/charges", map[string]any{"user_id": alice, "description": "x", "amount": eur("1"), "tax_class": "no such"}).is(http.StatusCreated), bob
		failing := into[api.BillingPreview](owner.post("/billing/preview", map[string]any{"user_id": alice}).is(http.StatusOK))
		assert.Contains(t, failing.Items[0].Error, "no such")
		run, err := b.bill(t, b.today)
		require.NoError(t, err)
		got := into[api.BillingRunDetail](owner.get("/billing/runs/" + run.ID.String()).is(http.StatusOK))
		assert.Equal(t, 2, got.Accounts)
		assert.Equal(t, 1, got.Invoices)
		require.Len(t, got.Failures, 1)
		assert.Equal(t, "alice", got.Failures[0].Username)
		list := into[api.BillingRunList](owner.get("/billing/runs").is(http.StatusOK)).Items
		require.Len(t, list, 1)
		assert.Equal(t, run.ID, list[0].ID)
		owner.get("/billing/runs/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
	})
}
