package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/store"
)

// dunned is subscribers with an invoice each of the first of January, due on the 15th,
// and a group for those who do not pay.
type dunned struct {
	*billed
	debtors *aaa.Group
}

func newDunned(t *testing.T, database Database, users int, steps string) *dunned {
	d := &dunned{newBilled(t, database, users), &aaa.Group{Name: "debtors"}}
	_, err := d.run(t.Context(), "2030-01-01", 100)
	require.NoError(t, err)
	require.NoError(t, d.CreateGroup(t.Context(), d.debtors))
	d.set(t, steps)
	return d
}

func (d *dunned) set(t *testing.T, steps string) {
	t.Helper()
	_, _, err := d.UpdateDunningSettings(t.Context(), func(settings *billing.Dunning, _ time.Time) (err error) {
		settings.RestrictGroup = d.debtors.ID
		settings.Steps, err = billing.ParseDunningSteps(steps)
		return err
	})
	require.NoError(t, err)
}

// dun is a dunning run some days after the due day of the invoices.
func (d *dunned) dun(t *testing.T, daysAfter, limit int) (run store.DunningRun) {
	t.Helper()
	day := civil("2030-01-15").AddDays(daysAfter)
	d.setNow(day.Start(time.UTC).Add(4 * time.Hour))
	o := d.runOptions()
	o.AsOf = day
	for !run.Finished {
		var err error
		run, err = d.DunAccounts(t.Context(), run, store.DunningOptions{Day: day, Bill: o}, limit)
		require.NoError(t, err)
	}
	return run
}

func (d *dunned) user(t *testing.T, userID uuid.UUID) *aaa.User {
	t.Helper()
	u, _, err := d.UserByID(t.Context(), userID)
	require.NoError(t, err)
	return u
}

// restricted reports whether the user is in the group of those who do not pay.
func (d *dunned) restricted(t *testing.T, userID uuid.UUID) bool {
	t.Helper()
	return slices.Contains(d.user(t, userID).Groups, aaa.Membership{GroupID: d.debtors.ID, Priority: -100})
}

// testDunningGroup: the group that the settings name stays, and if it is gone all the
// same, those who need it fail and nobody else.
func testDunningGroup(t *testing.T, database Database) {
	d := newDunned(t, database, 5, "7 remind, 21 restrict")
	ctx := t.Context()
	err := d.DeleteGroup(ctx, "debtors")
	require.ErrorIs(t, err, store.ErrInUse)
	assert.ErrorContains(t, err, "restrict_group")
	require.ErrorIs(t, d.RemoveGroup(ctx, d.debtors.ID, nil), store.ErrInUse)

	db := Raw(t, d.options) // as a database that was so before
	_, err = db.ExecContext(ctx, "DELETE FROM groups")
	require.NoError(t, err)
	// Of one the invoice is younger.
	young := d.users[2]
	_, err = db.ExecContext(ctx, "UPDATE invoices SET due_on = '2030-01-25' WHERE user_id = '"+young.String()+"'")
	require.NoError(t, err)
	run := d.dun(t, 21, 2)
	assert.Equal(t, []int{5, 1, 0, 4}, []int{run.Accounts, run.Reminded, run.Restricted, run.Failed})
	require.Len(t, run.Failures, 4)
	for _, f := range run.Failures {
		assert.Contains(t, f.Error, "group "+d.debtors.ID.String()+" does not exist")
		assert.NotEmpty(t, f.Username)
	}

	// With another one they are made up for.
	d.debtors = &aaa.Group{Name: "others"}
	require.NoError(t, d.CreateGroup(ctx, d.debtors))
	d.set(t, "7 remind, 21 restrict")
	run = d.dun(t, 22, 2)
	assert.Equal(t, []int{5, 4, 4, 0}, []int{run.Accounts, run.Reminded, run.Restricted, run.Failed})
	for _, userID := range d.users {
		assert.Equal(t, userID != young, d.restricted(t, userID))
	}
	d.debtors.ID = uuid.Nil
	d.set(t, "7 remind")
	require.ErrorIs(t, d.DeleteGroup(ctx, "others"), store.ErrInUse, "it has members")
}

// testDunningEdits: what billing has done to users survives what is written without
// knowing of it.
func testDunningEdits(t *testing.T, database Database) {
	d := newDunned(t, database, 3, "21 restrict")
	ctx := t.Context()
	staff := &aaa.Group{Name: "staff"}
	require.NoError(t, d.CreateGroup(ctx, staff))
	require.Equal(t, 3, d.dun(t, 21, 10).Restricted)
	anna, bob, carl := d.user(t, d.users[0]), d.user(t, d.users[1]), d.user(t, d.users[2])
	imported := func(groups ...string) {
		t.Helper()
		result, err := d.ImportUsers(ctx, rowsOf(store.ImportRow{Username: anna.Name, Groups: &groups}), store.ImportOptions{Update: true})
		require.NoError(t, err)
		assert.Equal(t, 1, result.Updated)
	}
	imported("staff")
	assert.Equal(t, []aaa.Membership{{GroupID: d.debtors.ID, Priority: -100}, {GroupID: staff.ID}}, d.user(t, anna.ID).Groups)
	imported("staff", "debtors") // as it was exported since
	assert.Equal(t, []aaa.Membership{{GroupID: d.debtors.ID, Priority: -100}, {GroupID: staff.ID}}, d.user(t, anna.ID).Groups)
	imported()
	assert.True(t, d.restricted(t, anna.ID))

	replace := func(userID uuid.UUID, groups ...aaa.Membership) {
		t.Helper()
		require.NoError(t, d.ReplaceUser(ctx, userID, func(u *aaa.User, _ *aaa.Profile) error {
			u.Groups = groups
			return nil
		}))
	}
	replace(bob.ID, aaa.Membership{GroupID: staff.ID})
	assert.Equal(t, []aaa.Membership{{GroupID: d.debtors.ID, Priority: -100}, {GroupID: staff.ID}}, d.user(t, bob.ID).Groups)
	replace(bob.ID, aaa.Membership{GroupID: staff.ID}, aaa.Membership{GroupID: d.debtors.ID, Priority: 5})
	assert.True(t, d.restricted(t, bob.ID))
	replace(bob.ID)
	assert.True(t, d.restricted(t, bob.ID))

	// Whoever says so lifts it, and then it is not billing's to keep.
	require.NoError(t, d.ChangeUser(ctx, carl.ID, func(u *aaa.User, _ *aaa.Profile) error { u.Groups = nil; return nil }))
	assert.False(t, d.restricted(t, carl.ID))
	replace(carl.ID, aaa.Membership{GroupID: staff.ID})
	assert.False(t, d.restricted(t, carl.ID))
	assert.Zero(t, d.dun(t, 22, 10).Restricted, "nor done again")

	// Paid: all that billing did is undone, and nothing else.
	for _, userID := range []uuid.UUID{anna.ID, bob.ID, carl.ID} {
		d.pay(t, userID, 100_000, userID.String())
	}
	assert.Empty(t, d.user(t, anna.ID).Groups)
	assert.Empty(t, d.user(t, bob.ID).Groups)
	assert.Equal(t, []aaa.Membership{{GroupID: staff.ID}}, d.user(t, carl.ID).Groups)
}

// testDunningEnd: the end of a subscription about an invoice of a user who was deleted
// keeps nothing from the others.
func testDunningEnd(t *testing.T, database Database) {
	d := newDunned(t, database, 3, "7 remind, 30 end")
	ctx := t.Context()
	require.Equal(t, 3, d.dun(t, 7, 10).Reminded)
	require.NoError(t, d.RemoveUser(ctx, d.users[1], aaa.CloseOptions{}, nil))
	run := d.dun(t, 30, 10)
	assert.Equal(t, []int{3, 0}, []int{run.Ended, run.Failed}, "%v", run.Failures)
	for n, userID := range d.users {
		list, err := d.SubscriptionsOf(ctx, userID)
		require.NoError(t, err)
		require.NotEmpty(t, list)
		end := "2030-02-14"
		if n == 1 {
			end = "2030-01-23" // when the user was deleted
		}
		for _, x := range list {
			assert.Equal(t, end, x.End.String())
		}
	}
	requireSound(t, d.Store)
}

// testDunningOpen: what is asked for, and of whom, is what is open: neither what was paid
// in part nor what was credited.
func testDunningOpen(t *testing.T, database Database) {
	d := newDunned(t, database, 5, "7 remind, 21 remind")
	ctx := t.Context()
	total := map[uuid.UUID]billing.Amount{}
	var invoices []uuid.UUID // of the users, one each
	for _, userID := range d.users {
		list := d.invoicesOf(t, userID)
		require.Len(t, list, 1)
		invoices = append(invoices, list[0].ID)
		total[userID] = list[0].Total
	}
	d.pay(t, d.users[0], 1000, "a part")
	note, err := d.CreditInvoice(ctx, invoices[1], map[int]billing.Amount{1: 500}, civil("2030-01-03"), "")
	require.NoError(t, err)
	_, err = d.CreditInvoice(ctx, invoices[2], nil, civil("2030-01-03"), "")
	require.NoError(t, err)
	whole := d.pay(t, d.users[3], total[d.users[3]], "all of it")

	type asked struct {
		user uuid.UUID
		open billing.Amount
		step int
	}
	preview := func(day billing.Date) (list []asked) {
		settings, _, err := d.DunningSettings(ctx)
		require.NoError(t, err)
		require.NoError(t, d.EachDunning(ctx, &settings, day, func(a *billing.DunningAccount) error {
			for _, due := range settings.Due(a, day) {
				list = append(list, asked{a.UserID, due.Invoice.Open(), due.Step})
			}
			return nil
		}))
		return list
	}
	want := []asked{{d.users[0], total[d.users[0]] - 1000, 0}, {d.users[1], total[d.users[1]] - note.Total, 0}, {d.users[4], total[d.users[4]], 0}}
	assert.Empty(t, preview(civil("2030-01-21")))
	assert.Equal(t, want, preview(civil("2030-01-22")))
	assert.Equal(t, 3, d.dun(t, 7, 2).Reminded, "as it was said")
	assert.Empty(t, preview(civil("2030-01-22")))

	// The rest of one is paid by more than one payment, that of another by a credit note.
	d.pay(t, d.users[0], 500, "another part")
	_, err = d.CreditInvoice(ctx, invoices[1], nil, civil("2030-01-23"), "")
	require.NoError(t, err)
	want = []asked{{d.users[0], total[d.users[0]] - 1500, 1}, {d.users[4], total[d.users[4]], 1}}
	assert.Equal(t, want, preview(civil("2030-02-05")))
	assert.Equal(t, 2, d.dun(t, 21, 2).Reminded)

	// Who paid asks for it back.
	_, err = d.RefundPayment(ctx, &billing.Payment{Refunds: whole.ID, Method: billing.PaidBank, Amount: 100, ReceivedOn: civil("2030-02-05")})
	require.NoError(t, err)
	assert.Equal(t, []asked{{d.users[3], 100, 1}}, preview(civil("2030-02-05")))

	// A statement has the same of them.
	opening, closing, err := d.StatementBalances(ctx, billing.StatementFilter{UserID: d.users[0], From: at("2030-01-15T00:00:00Z")})
	require.NoError(t, err)
	assert.Equal(t, map[billing.Currency]billing.Amount{"EUR": total[d.users[0]] - 1000}, opening)
	assert.Equal(t, map[billing.Currency]billing.Amount{"EUR": total[d.users[0]] - 1500}, closing)
	opening, closing, err = d.StatementBalances(ctx, billing.StatementFilter{UserID: d.users[0], Before: at("2030-01-15T00:00:00Z")})
	require.NoError(t, err)
	assert.Equal(t, map[billing.Currency]billing.Amount{"EUR": 0}, opening)
	assert.Equal(t, map[billing.Currency]billing.Amount{"EUR": total[d.users[0]] - 1000}, closing)
	requireSound(t, d.Store)
}
