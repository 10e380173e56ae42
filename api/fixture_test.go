package api_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
	"radiusd/ingest"
	"radiusd/jobs"
	"radiusd/operator"
)

// fixture is one thing of each kind, for operations to work on.
type fixture struct {
	user, plan, group, nas, session, action, actionBatch, operator, signIn, role, apiToken, webhook uuid.UUID
	order, invoice, payment, run, price, taxRate, subscription, charge                              uuid.UUID
	voucherBatch, voucher, bankEntry                                                                uuid.UUID
	job                                                                                             int64
}

func newFixture(t *testing.T, w *world) *fixture {
	t.Helper()
	ctx := t.Context()
	local := operator.Local("test")
	now := time.Now().UTC().Truncate(time.Second)

	plan := &aaa.Plan{Name: "fixture", RateDown: 1_000_000}
	require.NoError(t, w.store.CreatePlan(ctx, plan))
	group := &aaa.Group{Name: "fixture"}
	require.NoError(t, w.store.CreateGroup(ctx, group))
	nas := &aaa.NAS{Name: "fixture", Prefix: netip.MustParsePrefix("192.0.2.1/32"), Secret: []byte("a secret of the fixture")}
	require.NoError(t, w.store.CreateNAS(ctx, nas))
	user := &aaa.User{
		Name: "fixture", PlanID: plan.ID, Groups: []aaa.Membership{{GroupID: group.ID}},
		Credential: aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte("a password of the fixture")},
	}
	require.NoError(t, w.store.CreateUserWithProfile(ctx, user, &aaa.Profile{FullName: "Frida Fixture"}))

	record := aaa.Record{
		Status: aaa.AcctStart, AcctSessionID: "fixture", Username: user.Name, Plan: plan.Name, NASID: nas.ID, NASAddr: nas.Prefix.Addr(),
		FramedIP: netip.MustParseAddr("198.51.100.1"), EventTime: now, ReceivedAt: now,
	}
	aaa.NewResolver().Resolve(&record)
	sink, err := w.store.NewSink()
	require.NoError(t, err)
	require.NoError(t, sink.Write(ctx, &ingest.Batch{Records: []aaa.Record{record}, End: 1}))
	session, err := w.store.SessionByID(ctx, record.SessionID)
	require.NoError(t, err)
	batch := &aaa.ActionBatch{Kind: aaa.ActionDisconnect, Filter: "fixture", Actor: "test"}
	actions := []aaa.SessionAction{aaa.NewSessionAction(session, aaa.ActionDisconnect, nil)}
	require.NoError(t, w.store.QueueActions(ctx, batch, actions))
	queued, _, err := w.store.ListActionsPage(ctx, aaa.ActionFilter{BatchID: batch.ID}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, queued, 1)

	o, err := w.operators.CreateOperator(ctx, local, operator.NewOperator{Name: "fixture", Password: testPassword, Roles: []string{"read-only"}})
	require.NoError(t, err)
	role, err := w.operators.CreateRole(ctx, local, "fixture", "", operator.NewPermissionSet(operator.StatusRead))
	require.NoError(t, err)
	signedIn, err := w.operators.SignIn(ctx, "fixture", testPassword, testAddr)
	require.NoError(t, err)
	by, err := w.operators.Authenticate(ctx, signedIn.Tokens.Access, testAddr)
	require.NoError(t, err)
	by.Permissions = operator.AllPermissions // as if he had been more
	token, _, err := w.operators.CreateAPIToken(ctx, by, operator.NewAPIToken{Name: "fixture", Permissions: operator.NewPermissionSet(operator.StatusRead)})
	require.NoError(t, err)
	webhook := &operator.Webhook{Name: "fixture", URL: "https://192.0.2.1/hook", Secret: operator.NewWebhookSecret(), Enabled: true}
	require.NoError(t, w.store.CreateWebhook(ctx, webhook))

	letters, err := jobs.Register[letter](newJobs(t, w, 0), nil, jobs.Policy{})
	require.NoError(t, err)
	job, _, err := letters.InsertAt(ctx, letter{To: "fixture"}, time.Now().Add(time.Hour))
	require.NoError(t, err)

	price := &billing.Rate{PlanID: plan.ID, Currency: "EUR", Terms: billing.Terms{
		Price: 2990, Every: billing.Interval{Unit: billing.Month, Count: 1}, Timing: billing.InAdvance, TaxClass: "standard",
	}}
	require.NoError(t, w.store.CreateRate(ctx, price))
	taxRate := &billing.TaxRate{Class: "standard", Name: "VAT", Category: "S", From: billing.Date{Year: 1970, Month: 1, Day: 1}}
	taxRate.Percent, err = billing.ParseDecimal("19")
	require.NoError(t, err)
	require.NoError(t, w.store.SetTaxRate(ctx, taxRate))
	subscription := &billing.Subscription{UserID: user.ID, Rate: billing.Rate{ID: price.ID}, Start: billing.DateOf(now, time.UTC)}
	require.NoError(t, w.store.CreateSubscription(ctx, subscription))
	charge, err := billing.NewManualCharge(user.ID, "EUR", 500, "fixture")
	require.NoError(t, err)
	charge.TaxClass = "standard"
	require.NoError(t, w.store.CreateCharge(ctx, &charge))

	settings, _, err := w.store.BillingSettings(ctx)
	require.NoError(t, err)
	rules := settings.RunOptions(subscription.Start, time.UTC, []billing.TaxRate{*taxRate}, now)
	run, err := billing.BillAll(ctx, w.store, rules, nil)
	require.NoError(t, err)
	invoices, _, err := w.store.ListInvoicesPage(ctx, billing.InvoiceFilter{UserID: user.ID}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, invoices, 1)
	payment := &billing.Payment{UserID: user.ID, Method: billing.PaidCash, Currency: "EUR", Amount: 100, ReceivedOn: subscription.Start}
	_, err = w.store.RecordPayment(ctx, payment)
	require.NoError(t, err)
	order := &billing.Order{UserID: user.ID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 1000}
	require.NoError(t, w.store.CreateOrder(ctx, order, rules))

	statement := &bank.Statement{Name: "fixture", Format: bank.FormatCAMT}
	require.NoError(t, w.store.BeginStatement(ctx, statement))
	entry := bank.NewRecord(&bank.Entry{Reference: "fixture", Line: 1, BookedOn: subscription.Start, ValueOn: subscription.Start, Currency: "EUR", Amount: 100, Name: "Frida Fixture"}, statement.ID)
	entry.State = bank.Unmatched
	_, err = w.store.TakeEntry(ctx, &entry, nil)
	require.NoError(t, err)

	vouchers := &billing.VoucherBatch{Name: "fixture", Kind: billing.VoucherPlan, Count: 1, PlanID: plan.ID, Validity: time.Hour}
	_, err = w.store.CreateVoucherBatch(ctx, vouchers)
	require.NoError(t, err)
	voucher, err := w.store.VoucherBySerial(ctx, "v1-00001")
	require.NoError(t, err)

	return &fixture{
		order: order.ID, invoice: invoices[0].ID, payment: payment.ID, run: run.ID,
		voucherBatch: vouchers.ID, voucher: voucher.ID, bankEntry: entry.ID,
		price: price.ID, taxRate: taxRate.ID, subscription: subscription.ID, charge: charge.ID,
		job:  job,
		user: user.ID, plan: plan.ID, group: group.ID, nas: nas.ID, session: session.ID, action: queued[0].ID, actionBatch: batch.ID,
		operator: o.ID, signIn: signedIn.Tokens.SessionID, role: role.ID, apiToken: token.ID, webhook: webhook.ID,
	}
}

// ids are the fixture's things by the names of parameters.
func (f *fixture) ids() map[string]uuid.UUID {
	return map[string]uuid.UUID{
		"user_id": f.user, "plan_id": f.plan, "group_id": f.group, "nas_id": f.nas, "session_id": f.session, "action_id": f.action,
		"operator_id": f.operator, "sign_in_id": f.signIn, "role_id": f.role, "token_id": f.apiToken, "webhook_id": f.webhook,
		"order_id": f.order, "invoice_id": f.invoice, "payment_id": f.payment, "run_id": f.run,
		"price_id": f.price, "tax_rate_id": f.taxRate, "subscription_id": f.subscription, "charge_id": f.charge,
		"voucher_batch_id": f.voucherBatch, "voucher_id": f.voucher, "bank_entry_id": f.bankEntry,
		"batch_id": f.actionBatch, "erasure_id": uuid.MustParse("0193d9a0-0000-7000-8000-000000000001"),
	}
}

// parameter returns the fixture's value of a path parameter.
func (f *fixture) parameter(path, name string) string {
	switch name {
	case "job_id":
		return fmt.Sprint(f.job)
	case "report_name":
		return "top-users"
	case "billing_report_name":
		return "revenue"
	case "attribute_name":
		return "Filter-Id"
	}
	id, ok := f.ids()[name]
	if !ok {
		panic(path + " has a parameter that the fixture does not know: " + name)
	}
	return id.String()
}

// target fills in the parameters of a path.
func (f *fixture) target(path string) string {
	steps := strings.Split(path, "/")
	for i, step := range steps {
		if name, ok := strings.CutPrefix(step, "{"); ok {
			steps[i] = f.parameter(path, strings.TrimSuffix(name, "}"))
		}
	}
	return strings.Join(steps, "/")
}
