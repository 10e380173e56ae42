package storetest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
	"radiusd/report"
	"radiusd/store"
)

// serviceWorld has plans of all manners, and users whose service is looked at.
type serviceWorld struct {
	*billed
	t     *testing.T
	plans map[string]uuid.UUID
	rates map[string]uuid.UUID
	names map[uuid.UUID]string
}

func newServiceWorld(t *testing.T, database Database) *serviceWorld {
	w := &serviceWorld{billed: newBilled(t, database, 0), t: t, plans: map[string]uuid.UUID{}, rates: map[string]uuid.UUID{}, names: map[uuid.UUID]string{}}
	for name, change := range map[string]func(*billing.Terms){
		"home": nil, "fibre": nil,
		"arrears": func(x *billing.Terms) { x.Timing = billing.InArrears },
		"trial":   func(x *billing.Terms) { x.TrialDays = 10 },
		"daily":   func(x *billing.Terms) { x.Prepaid, x.TaxIncluded, x.Price = billing.PrepaidDaily, true, 3100 },
		"try":     func(x *billing.Terms) { x.Prepaid, x.TaxIncluded, x.TrialDays = billing.PrepaidDaily, true, 14 },
		"dear":    func(x *billing.Terms) { x.Prepaid, x.TaxIncluded, x.Price = billing.PrepaidDaily, true, 31000 },
	} {
		terms := monthly(1999)
		terms.Usage, terms.Setup = nil, 0
		if change != nil {
			change(&terms)
		}
		r := newRate(t, w.Store, name, terms)
		w.plans[name], w.rates[name], w.names[r.PlanID] = r.PlanID, r.ID, name
	}
	return w
}

func (w *serviceWorld) user(name string) uuid.UUID {
	u := newUser(name)
	u.Status = aaa.UserActive
	require.NoError(w.t, w.CreateUser(w.t.Context(), u))
	return u.ID
}

// night is the run of a day.
func (w *serviceWorld) night(day string) {
	w.t.Helper()
	w.setNow(at(day + "T04:00:00Z"))
	run, err := w.run(w.t.Context(), day, 500)
	require.NoError(w.t, err)
	require.Zero(w.t, run.Failed)
}

// amend changes a subscription today, by a rule of package billing.
func (w *serviceWorld) amend(x *billing.Subscription, rule func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error)) {
	w.t.Helper()
	o := w.runOptions()
	o.AsOf = billing.DateOf(*w.now.Load(), o.Location)
	require.NoError(w.t, w.BillAccount(w.t.Context(), x.UserID, o, rule))
}

func (w *serviceWorld) cancel(x *billing.Subscription, on string) {
	w.t.Helper()
	w.amend(x, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return billing.Cancel(a, x.ID, civil(on), o)
	})
}

func (w *serviceWorld) state(x *billing.Subscription) billing.SubscriptionState {
	w.t.Helper()
	found, err := w.SubscriptionByID(w.t.Context(), x.ID)
	require.NoError(w.t, err)
	return found.State
}

// served is what policy sees of a user.
type served struct {
	plan    string
	expires string // day, at 00:00; empty: never
	status  aaa.UserStatus
	why     aaa.Suspension
}

func (w *serviceWorld) require(userID uuid.UUID, want served, message string) {
	w.t.Helper()
	u, _, err := w.UserByID(w.t.Context(), userID)
	require.NoError(w.t, err)
	got := served{plan: w.names[u.PlanID], status: u.Status, why: u.Suspension}
	if !u.ExpiresAt.IsZero() {
		got.expires = u.ExpiresAt.UTC().Format("2006-01-02")
		assert.Equal(w.t, at(got.expires+"T00:00:00Z"), u.ExpiresAt.UTC(), message)
	}
	assert.Equal(w.t, want, got, message)
}

// testService: whatever is sold is what the network gives, on each day of it and on no
// other one.
func testService(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	const yes = aaa.UserActive

	// Ended today, after an end in the future was planned.
	ended := w.user("ended")
	x := subscribe(t, w.Store, ended, w.rates["home"], "2030-01-01")
	w.require(ended, served{plan: "home", status: yes}, "goes on")
	w.night("2030-01-01")
	w.cancel(x, "2030-02-01")
	w.require(ended, served{plan: "home", expires: "2030-02-01", status: yes}, "until its end")
	w.setNow(at("2030-01-10T10:00:00Z"))
	online := record("live", aaa.AcctStart, 0, 0)
	online.Username = "ended"
	require.NoError(t, write(ctx, sinkOf(t, w.Store), 1, online))
	w.cancel(x, "2030-01-10")
	w.require(ended, served{plan: "home", expires: "2030-01-10", status: yes}, "ended today")
	actions, _, err := w.ListActionsPage(ctx, aaa.ActionFilter{}, aaa.Page{})
	require.NoError(t, err)
	if assert.Len(t, actions, 1, "who is served no more is disconnected") {
		assert.Equal(t, aaa.ActionDisconnect, actions[0].Kind)
	}
	never := w.user("never")
	x = subscribe(t, w.Store, never, w.rates["home"], "2030-01-10")
	w.cancel(x, "2030-01-10")
	w.require(never, served{plan: "home", expires: "2030-01-10", status: yes}, "begun and ended today")

	// What is given by hand after the end stays.
	require.NoError(t, w.UpdateUser(ctx, "ended", func(u *aaa.User) error { u.ExpiresAt = at("2030-06-01T00:00:00Z"); return nil }))
	w.night("2030-01-11")
	w.require(ended, served{plan: "home", expires: "2030-06-01", status: yes}, "by hand")

	// One that begins later, or follows another one.
	later, next := w.user("later"), w.user("next")
	future := map[string]uuid.UUID{}
	for _, rate := range []string{"arrears", "trial", "home"} {
		future[rate] = w.user("from-february-" + rate)
		subscribe(t, w.Store, future[rate], w.rates[rate], "2030-02-01")
		w.require(future[rate], served{status: yes}, "not yet")
	}
	x = subscribe(t, w.Store, later, w.rates["home"], "2030-01-11")
	w.cancel(x, "2030-01-20")
	subscribe(t, w.Store, later, w.rates["fibre"], "2030-02-01")
	w.require(later, served{plan: "home", expires: "2030-01-20", status: yes}, "a gap")
	x = subscribe(t, w.Store, next, w.rates["home"], "2030-01-11")
	w.cancel(x, "2030-02-01")
	w.require(next, served{plan: "home", expires: "2030-02-01", status: yes}, "nothing follows")
	subscribe(t, w.Store, next, w.rates["fibre"], "2030-02-01")
	w.require(next, served{plan: "home", status: yes}, "another one follows")
	w.night("2030-01-20")
	w.require(later, served{plan: "home", expires: "2030-01-20", status: yes}, "in the gap")
	w.night("2030-01-31")
	w.require(later, served{plan: "home", expires: "2030-01-20", status: yes}, "the last day of the gap")
	w.night("2030-02-01")
	for rate, userID := range future {
		w.require(userID, served{plan: rate, status: yes}, "has begun")
	}
	w.require(later, served{plan: "fibre", status: yes}, "the second one has begun")
	w.require(next, served{plan: "fibre", status: yes}, "the second one has taken over")

	// Two at once: the first one gives the plan until it ends.
	both := w.user("both")
	first := subscribe(t, w.Store, both, w.rates["home"], "2030-02-01")
	subscribe(t, w.Store, both, w.rates["fibre"], "2030-02-01")
	w.cancel(first, "2030-02-03")
	w.require(both, served{plan: "home", status: yes}, "the second one goes on")
	w.night("2030-02-03")
	w.require(both, served{plan: "fibre", status: yes}, "the first one has ended")
	w.amend(first, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return &billing.Bill{}, nil
	})
	w.require(both, served{plan: "fibre", status: yes}, "nothing changed")

	// A plan that was changed by hand is again what is sold, from the next night on.
	require.NoError(t, w.UpdateUser(ctx, "both", func(u *aaa.User) error {
		u.PlanID, u.ExpiresAt = w.plans["home"], at("2030-02-02T00:00:00Z")
		return nil
	}))
	w.night("2030-02-04")
	w.require(both, served{plan: "fibre", status: yes}, "what is paid is served")
}

// testServiceByHand: a subscription that never ran, or whose end had come already, takes
// nothing away that was given by hand.
func testServiceByHand(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	const yes = aaa.UserActive
	byHand := func(name, expires string) {
		t.Helper()
		require.NoError(t, w.UpdateUser(ctx, name, func(u *aaa.User) error {
			u.PlanID, u.ExpiresAt = w.plans["home"], time.Time{}
			if expires != "" {
				u.ExpiresAt = at(expires + "T00:00:00Z")
			}
			return nil
		}))
	}
	// One that is cancelled before it begins has ended, also beside another that had ended.
	never, again := w.user("never"), w.user("again")
	byHand("never", "")
	first := subscribe(t, w.Store, again, w.rates["home"], "2030-01-01")
	w.cancel(first, "2030-01-01")
	byHand("again", "2030-06-01")
	for _, userID := range []uuid.UUID{never, again} {
		x := subscribe(t, w.Store, userID, w.rates["fibre"], "2030-01-03")
		w.cancel(x, "2030-01-03")
		assert.Equal(t, billing.SubscriptionEnded, w.state(x))
	}
	// Ends that were noted before: given by hand after the end, and before it.
	extended, endless, early := w.user("extended"), w.user("endless"), w.user("early")
	for _, userID := range []uuid.UUID{extended, endless, early} {
		w.cancel(subscribe(t, w.Store, userID, w.rates["home"], "2030-01-01"), "2030-01-03")
	}
	online := record("live", aaa.AcctStart, 0, 0)
	online.Username = "extended"
	require.NoError(t, write(ctx, sinkOf(t, w.Store), 1, online))
	w.night("2030-01-02")
	w.setNow(at("2030-01-02T10:00:00Z"))
	byHand("early", "2030-06-01")
	w.setNow(at("2030-01-03T01:00:00Z"))
	byHand("extended", "2030-06-01")
	byHand("endless", "")
	for _, day := range []string{"2030-01-03", "2030-01-04"} {
		w.night(day)
		w.require(never, served{plan: "home", status: yes}, "never was subscribed to anything")
		w.require(again, served{plan: "home", expires: "2030-06-01", status: yes}, "had ended before")
		w.require(extended, served{plan: "home", expires: "2030-06-01", status: yes}, "given after the end")
		w.require(endless, served{plan: "home", status: yes}, "given after the end")
		w.require(early, served{plan: "home", expires: "2030-01-03", status: yes}, "given beside one that ran")
	}
	actions, _, err := w.ListActionsPage(ctx, aaa.ActionFilter{}, aaa.Page{})
	require.NoError(t, err)
	assert.Empty(t, actions, "who is served on stays online")
}

// testPrepaidService: of several prepaid subscriptions those serve that the credit is
// enough for.
func testPrepaidService(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	const yes, no = aaa.UserActive, aaa.UserSuspended
	alice := w.user("alice")
	pay := func(amount billing.Amount) {
		t.Helper()
		_, err := w.RecordPayment(context.Background(), &billing.Payment{UserID: alice, Method: billing.PaidCash, Currency: "EUR", Amount: amount, ReceivedOn: civil("2030-01-01")})
		require.NoError(t, err)
	}
	pay(200)
	dear := subscribe(t, w.Store, alice, w.rates["dear"], "2030-01-01") // 10.00 a day
	cheap := subscribe(t, w.Store, alice, w.rates["daily"], "2030-01-01")
	w.night("2030-01-01")
	assert.Equal(t, billing.SubscriptionSuspended, w.state(dear))
	assert.Equal(t, billing.SubscriptionActive, w.state(cheap))
	w.require(alice, served{plan: "daily", status: yes}, "what is charged is served")
	w.night("2030-01-02")
	w.require(alice, served{plan: "daily", status: yes}, "the last day of the credit")
	w.night("2030-01-03")
	w.require(alice, served{plan: "dear", status: no, why: aaa.SuspendedBalance}, "nothing is left")
	_, err := w.run(t.Context(), "2030-01-02", 500)
	require.NoError(t, err)
	w.require(alice, served{plan: "dear", status: no, why: aaa.SuspendedBalance}, "a day that is over, billed again")
	pay(100)
	w.require(alice, served{plan: "daily", status: yes}, "enough for one of them")
	assert.Equal(t, billing.SubscriptionActive, w.state(cheap))
	pay(1000)
	assert.Equal(t, billing.SubscriptionActive, w.state(dear))
	w.require(alice, served{plan: "dear", status: yes}, "and for the other one, at once")

	// The one that is paid ends: what is left waits for credit.
	w.night("2030-01-04")
	w.require(alice, served{plan: "dear", status: no, why: aaa.SuspendedBalance}, "nothing is left")
	pay(100)
	w.require(alice, served{plan: "daily", status: yes}, "one of them")
	w.cancel(cheap, "2030-01-04")
	w.require(alice, served{plan: "dear", status: no, why: aaa.SuspendedBalance}, "the other one waits")
	w.cancel(dear, "2030-01-04")
	w.require(alice, served{plan: "dear", expires: "2030-01-04", status: yes}, "has expired rather than waits for credit")
	requireSound(t, w.Store)
}

// testUsedWhileSuspended: what is used while a prepaid subscription waits for credit is the
// other one's, that serves. 5.00 are used up with the first day.
func testUsedWhileSuspended(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	terms := monthly(0)
	cents := billing.UsageTerms{Metric: billing.MetricOctets, Per: 1, Tiers: []billing.Tier{{Price: decimal("0.01")}}}
	terms.Setup, terms.TaxClass = 0, ""
	terms.Usage = []billing.UsageTerms{cents}
	terms.Usage[0].Allowance = 20
	later := newRate(t, w.Store, "later", terms)
	terms.Prepaid, terms.Usage = billing.PrepaidUsage, []billing.UsageTerms{cents}
	alice := w.user("alice")
	w.pay(t, alice, 500, "")
	first := subscribe(t, w.Store, alice, newRate(t, w.Store, "payg", terms).ID, "2030-01-01")
	w.setNow(at("2030-01-01T12:00:01Z"))
	second := subscribe(t, w.Store, alice, later.ID, "2030-01-01")
	db := Raw(t, w.options)
	use := func(day string, octets int) {
		t.Helper()
		execute(t, db, "INSERT INTO usage_daily (username, day, input_octets) VALUES ('alice', '"+day+"', "+strconv.Itoa(octets)+")")
	}
	use("2030-01-01", 500)
	w.night("2030-01-02")
	assert.Equal(t, billing.SubscriptionSuspended, w.state(first))
	use("2030-01-02", 50) // until the run
	w.night("2030-01-03")
	use("2030-01-03", 70)
	w.night("2030-01-04")
	w.night("2030-01-04")
	use("2030-01-04", 90)
	w.pay(t, alice, 1000, "")
	assert.Equal(t, billing.SubscriptionActive, w.state(first))
	for _, day := range []string{"2030-01-05", "2030-02-01", "2030-02-03"} {
		w.night(day)
	}
	found, err := w.SubscriptionByID(ctx, first.ID)
	require.NoError(t, err)
	assert.Equal(t, []billing.Span{{From: civil("2030-01-03"), To: civil("2030-01-04")}}, found.Suspensions)
	execute(t, db, "UPDATE usage_daily SET input_octets = input_octets + 7 WHERE day = '2030-01-02'")
	execute(t, db, "UPDATE usage_daily SET input_octets = input_octets + 8 WHERE day = '2030-01-03'")
	w.night("2030-02-04")
	rows := reportRows(t, w.Store, "allowance", report.Arguments{"on": "2030-01-03", "user": "alice"})
	require.Len(t, rows, 1)
	assert.Equal(t, []any{"later", "2030-01-01", "2030-02-01", "octets", uint64(78), uint64(20), "390.0", uint64(58)}, []any(rows[0][1:]), "what it is charged for")
	for id, want := range map[uuid.UUID][]billing.Amount{first.ID: {500, 50, 90, 7}, second.ID: {70 - 20, 8}} {
		charges, _, err := w.ListChargesPage(ctx, billing.ChargeFilter{SubscriptionID: id}, aaa.Page{})
		require.NoError(t, err)
		var got []billing.Amount
		for _, c := range charges {
			got = append(got, c.Amount)
		}
		assert.ElementsMatch(t, want, got)
	}
	requireSound(t, w.Store)
}

// testPrepaidStart: whoever buys in advance is served from the moment on that there is
// credit, and the first day is charged then.
func testPrepaidStart(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	const yes, no = aaa.UserActive, aaa.UserSuspended
	poor := w.user("poor")
	x := subscribe(t, w.Store, poor, w.rates["daily"], "2030-01-01")
	assert.Equal(t, billing.SubscriptionSuspended, x.State)
	w.require(poor, served{plan: "daily", status: no, why: aaa.SuspendedBalance}, "nothing was paid")
	w.pay(t, poor, 100, "")
	w.require(poor, served{plan: "daily", status: yes}, "the first day")
	rich := w.user("rich")
	w.pay(t, rich, 100, "")
	x = subscribe(t, w.Store, rich, w.rates["daily"], "2030-01-01")
	w.require(rich, served{plan: "daily", status: yes}, "paid before")
	assert.Equal(t, civil("2030-01-02"), x.ChargedUntil)
	later := w.user("later")
	x = subscribe(t, w.Store, later, w.rates["daily"], "2030-01-02")
	assert.Equal(t, billing.SubscriptionActive, x.State)
	w.require(later, served{status: yes}, "not begun")
	w.night("2030-01-02")
	for _, userID := range []uuid.UUID{poor, rich, later} {
		w.require(userID, served{plan: "daily", status: no, why: aaa.SuspendedBalance}, "the credit is used up")
	}
	requireSound(t, w.Store)
}

// testExhaustedByHand: whose credit is used up in a suspension by an operator is not served when
// that is over, but waits for credit.
func testExhaustedByHand(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	const yes, no = aaa.UserActive, aaa.UserSuspended
	alice := w.user("alice")
	w.pay(t, alice, 100, "")
	subscribe(t, w.Store, alice, w.rates["daily"], "2030-01-01")
	set := func(status aaa.UserStatus) func(*aaa.User) error {
		return func(u *aaa.User) error { u.Status = status; return nil }
	}
	both := func(status aaa.UserStatus) func(*aaa.User, *aaa.Profile) error {
		return func(u *aaa.User, _ *aaa.Profile) error { return set(status)(u) }
	}
	waits := served{plan: "daily", status: no, why: aaa.SuspendedBalance}
	require.NoError(t, w.UpdateUser(ctx, "alice", set(no)))
	w.night("2030-01-02")
	w.require(alice, served{plan: "daily", status: no}, "by hand, still")
	require.NoError(t, w.UpdateUser(ctx, "alice", set(yes)))
	w.require(alice, waits, "nothing is left")
	for name, change := range map[string]func(context.Context, uuid.UUID, func(*aaa.User, *aaa.Profile) error) error{
		"change": w.ChangeUser, "replace": w.ReplaceUser,
	} {
		require.NoError(t, change(ctx, alice, both(aaa.UserDisabled)))
		require.NoError(t, change(ctx, alice, both(yes)))
		w.require(alice, waits, name)
	}
	require.NoError(t, w.UpdateUser(ctx, "alice", set(aaa.UserDisabled)))
	_, err := w.ImportUsers(ctx, rowsOf(store.ImportRow{Username: "alice", Status: new(yes)}), store.ImportOptions{Update: true})
	require.NoError(t, err)
	w.require(alice, waits, "import")
	// Who is given service although the credit is used up keeps it.
	require.NoError(t, w.UpdateUser(ctx, "alice", set(yes)))
	w.require(alice, served{plan: "daily", status: yes}, "by hand")
	w.night("2030-01-03")
	w.require(alice, served{plan: "daily", status: yes}, "by hand, still")
	// With credit nothing is in the way.
	require.NoError(t, w.UpdateUser(ctx, "alice", set(no)))
	w.pay(t, alice, 100, "")
	require.NoError(t, w.UpdateUser(ctx, "alice", set(yes)))
	w.require(alice, served{plan: "daily", status: yes}, "the day is paid")
}

// testPrepaidTrial: whoever tries for nothing needs no credit for it.
func testPrepaidTrial(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	alice := w.user("alice")
	x := subscribe(t, w.Store, alice, w.rates["try"], "2030-01-01")
	w.invoiceOver(t, alice, 5000)
	w.night("2030-01-01")
	w.pay(t, alice, 2000, "")
	assert.Equal(t, billing.SubscriptionTrial, w.state(x))
	w.require(alice, served{plan: "try", status: aaa.UserActive}, "30.00 are owed")
	w.night("2030-01-15")
	assert.Equal(t, billing.SubscriptionSuspended, w.state(x), "the trial is over")
	w.require(alice, served{plan: "try", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "there is no credit")
}

// testDunningEnds: the step that ends a subscription ends the service.
func testDunningEnds(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	x := subscribe(t, w.Store, alice, w.rates["home"], "2030-01-01")
	w.night("2030-01-01")
	_, _, err := w.UpdateDunningSettings(ctx, func(d *billing.Dunning, _ time.Time) error {
		d.Steps = []billing.DunningStep{{AfterDays: 1, Action: billing.DunningRemind}, {AfterDays: 2, Action: billing.DunningEnd}}
		return nil
	})
	require.NoError(t, err)
	for _, day := range []string{"2030-01-16", "2030-01-17"} {
		w.setNow(at(day + "T04:30:00Z"))
		o := w.runOptions()
		o.AsOf = civil(day)
		_, err := w.DunAccounts(ctx, store.DunningRun{}, store.DunningOptions{Day: o.AsOf, Bill: o}, 10)
		require.NoError(t, err)
	}
	assert.Equal(t, billing.SubscriptionEnded, w.state(x))
	w.require(alice, served{plan: "home", expires: "2030-01-17", status: aaa.UserActive}, "ended by dunning")
}

// testGrace: a subscription is in grace from the day after an invoice that it is on was due
// until the payment.
func testGrace(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	x := subscribe(t, w.Store, alice, w.rates["home"], "2030-01-01")
	w.night("2030-01-01") // due on the 15th
	other := subscribe(t, w.Store, alice, w.rates["fibre"], "2030-01-10")
	w.night("2030-01-10")
	w.night("2030-01-15")
	assert.Equal(t, billing.SubscriptionActive, w.state(x), "due today")
	w.night("2030-01-16")
	assert.Equal(t, billing.SubscriptionGrace, w.state(x), "overdue")
	assert.Equal(t, billing.SubscriptionActive, w.state(other), "which is not on that invoice")
	w.require(alice, served{plan: "home", status: aaa.UserActive}, "still served")
	w.night("2030-01-17")
	assert.Equal(t, billing.SubscriptionGrace, w.state(x), "as long as it is open")
	list, _, err := w.ListSubscriptionsPage(ctx, billing.SubscriptionFilter{State: billing.SubscriptionGrace}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	w.pay(t, alice, 100, "")
	assert.Equal(t, billing.SubscriptionGrace, w.state(x), "a part is not enough")
	payment := w.pay(t, alice, 2279, "") // 19.99 and 19 % are 23.79
	assert.Equal(t, billing.SubscriptionActive, w.state(x), "paid")
	refund := &billing.Payment{Refunds: payment.ID, Amount: 2279, Currency: "EUR", ReceivedOn: civil("2030-01-17")}
	_, err = w.RefundPayment(ctx, refund)
	require.NoError(t, err)
	assert.Equal(t, billing.SubscriptionGrace, w.state(x), "the payment was given back")
	w.cancel(x, "2030-01-17")
	assert.Equal(t, billing.SubscriptionEnded, w.state(x), "ended for good, whatever is open")
	w.night("2030-01-25")
	assert.Equal(t, billing.SubscriptionGrace, w.state(other), "its own invoice")
	requireSound(t, w.Store)
}

// testEndedOnce: that a subscription has ended is told once, whatever of it is looked at
// afterwards, and when its user is deleted.
func testEndedOnce(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	alice := w.user("alice")
	metered := newRate(t, w.Store, "metered", monthly(1000))
	byHand := subscribe(t, w.Store, alice, metered.ID, "2030-01-01")
	byNight := subscribe(t, w.Store, alice, metered.ID, "2030-01-01")
	running := subscribe(t, w.Store, alice, w.rates["fibre"], "2030-01-01")
	told := func(x *billing.Subscription) (ended int) {
		for _, e := range eventsAfter(t, w.Store, 0) {
			if e.EntityID == x.ID && e.Kind == "subscription.ended" {
				ended++
			}
		}
		return ended
	}
	w.night("2030-01-01")
	w.setNow(at("2030-01-10T10:00:00Z"))
	w.cancel(byNight, "2030-01-12")
	w.cancel(byHand, "2030-01-10")
	assert.Equal(t, []int{1, 0, 0}, []int{told(byHand), told(byNight), told(running)})
	w.night("2030-01-12")
	w.setNow(at("2030-01-20T10:00:00Z"))
	before, err := w.SubscriptionByID(t.Context(), byNight.ID)
	require.NoError(t, err)
	w.amend(byNight, billing.Compute)
	after, err := w.SubscriptionByID(t.Context(), byNight.ID)
	require.NoError(t, err)
	require.NotEqual(t, before.RatedUntil, after.RatedUntil, "its usage is rated")
	assert.Equal(t, []int{1, 1, 0}, []int{told(byHand), told(byNight), told(running)})
	require.NoError(t, w.DeleteUser(t.Context(), "alice"))
	assert.Equal(t, []int{1, 1, 1}, []int{told(byHand), told(byNight), told(running)})
	entries, err := w.ListAudit(t.Context(), operator.AuditFilter{Action: "subscriptions.update"})
	require.NoError(t, err)
	assert.Len(t, entries, 4, "two that are cancelled, one that is rated, and one that ends with the user")
	requireSound(t, w.Store)
}

// testUsageOnce: what is used on a day is charged once, however many subscriptions have terms
// for it; also after one of them has ended and is not looked back at any more.
func testUsageOnce(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	terms := monthly(0)
	terms.Setup, terms.Usage[0].Allowance = 0, 0
	first := newRate(t, w.Store, "metered", terms)
	terms.Every = billing.Interval{Unit: billing.Year, Count: 1}
	second := newRate(t, w.Store, "yearly", terms)
	day := billing.DateOf(noon, time.UTC)
	x := subscribe(t, w.Store, alice, first.ID, day.AddDays(-3).String())
	subscribe(t, w.Store, alice, second.ID, day.AddDays(-2).String())
	used := record("x", aaa.AcctStop, time.Hour, 1<<30)
	used.Username = "alice"
	require.NoError(t, write(ctx, sinkOf(t, w.Store), 1, used))

	night := func(after int) {
		t.Helper()
		w.setNow(noon.AddDate(0, 0, after))
		run, err := w.run(ctx, day.AddDays(after).String(), 500)
		require.NoError(t, err)
		require.Zero(t, run.Failed)
	}
	w.setNow(noon.AddDate(0, 0, 1))
	w.cancel(x, day.AddDays(1).String())
	night(10)
	charges := func() (list []billing.Charge) {
		all, _, err := w.ListChargesPage(ctx, billing.ChargeFilter{UserID: alice}, aaa.Page{})
		require.NoError(t, err)
		for _, c := range all {
			if c.Amount != 0 {
				list = append(list, c)
			}
		}
		return list
	}
	require.Len(t, charges(), 1)
	assert.Equal(t, x.ID, charges()[0].SubscriptionID, "the one that goes first")
	night(400) // the year is over
	require.Len(t, charges(), 1, "that year had none of the usage")
}
