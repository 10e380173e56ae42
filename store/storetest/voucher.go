package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
	"radiusd/store"
)

// vouchered is a store with a clock that a test sets, a plan and a user.
type vouchered struct {
	*store.Store
	options store.Options
	now     atomic.Pointer[time.Time]
	plan    *aaa.Plan
	alice   *aaa.User
}

func newVouchered(t *testing.T, database Database) *vouchered {
	v := &vouchered{plan: &aaa.Plan{Name: "day", SimultaneousUse: 1}, alice: newUser("alice")}
	v.set("2030-01-01T12:00:00Z")
	v.options = database(t)
	v.options.Sealer, v.options.AutoMigrate = sealer(), true
	v.options.Now = func() time.Time { return *v.now.Load() }
	v.Store = reopen(t, v.options)
	require.NoError(t, v.CreatePlan(t.Context(), v.plan))
	require.NoError(t, v.CreateUser(t.Context(), v.alice))
	return v
}

func (v *vouchered) set(text string) {
	now := at(text)
	v.now.Store(&now)
}

// planBatch makes a batch of vouchers for a day of the plan.
func (v *vouchered) planBatch(t *testing.T, name string, count int) (*billing.VoucherBatch, []billing.MadeVoucher) {
	t.Helper()
	batch := &billing.VoucherBatch{Name: name, Kind: billing.VoucherPlan, Count: count, PlanID: v.plan.ID, Validity: 24 * time.Hour, RedeemBefore: at("2030-02-01T00:00:00Z"), CreatedBy: "olga"}
	made, err := v.CreateVoucherBatch(t.Context(), batch)
	require.NoError(t, err)
	require.Len(t, made, count)
	return batch, made
}

// valueBatch makes a batch of vouchers of ten euro.
func (v *vouchered) valueBatch(t *testing.T, name string, count int) []billing.MadeVoucher {
	t.Helper()
	made, err := v.CreateVoucherBatch(t.Context(), &billing.VoucherBatch{Name: name, Kind: billing.VoucherValue, Count: count, Currency: "EUR", Amount: 1000, RedeemBefore: at("2030-02-01T00:00:00Z")})
	require.NoError(t, err)
	return made
}

func (v *vouchered) voucher(t *testing.T, serial string) *billing.Voucher {
	t.Helper()
	found, err := v.VoucherBySerial(t.Context(), serial)
	require.NoError(t, err)
	return found
}

func (v *vouchered) user(t *testing.T, name string) *aaa.User {
	t.Helper()
	user, err := v.UserByName(t.Context(), name)
	require.NoError(t, err)
	return user
}

// testVouchers makes vouchers, renews their codes and revokes them.
func testVouchers(t *testing.T, database Database) {
	v := newVouchered(t, database)
	ctx := operator.WithIdempotency(t.Context(), operator.IdempotencyKey{Key: "once", Operation: "create"})
	f := follow(t, v.Store)
	batch := &billing.VoucherBatch{Name: "march", Kind: billing.VoucherPlan, Count: 150, PlanID: v.plan.ID, Validity: time.Hour, CreatedBy: "olga"}
	made, err := v.CreateVoucherBatch(ctx, batch)
	require.NoError(t, err)
	require.Len(t, made, 150)
	_, err = v.CreateVoucherBatch(ctx, &billing.VoucherBatch{Name: "march", Kind: billing.VoucherPlan, Count: 150, PlanID: v.plan.ID, Validity: time.Hour})
	var repeated *operator.RepeatedError
	require.ErrorAs(t, err, &repeated)
	assert.Equal(t, batch.ID, repeated.EntityID)
	assert.Len(t, f.poll(), 150, "each is a user")
	ctx = t.Context()
	got, err := v.VoucherBatchByName(ctx, "march")
	require.NoError(t, err)
	assert.Equal(t, batch, got)
	assert.Equal(t, "day", got.Plan)
	assert.Equal(t, billing.VoucherCounts{New: 150}, got.Counts)
	seen := map[string]bool{}
	places := map[int]map[byte]bool{}
	for _, m := range made {
		require.Regexp(t, "^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$", m.Code)
		seen[m.Code] = true
		for i := range len(m.Code) {
			if places[i] == nil {
				places[i] = map[byte]bool{}
			}
			places[i][m.Code[i]] = true
		}
	}
	assert.Len(t, seen, 150)
	for i, characters := range places { // but for the dashes
		assert.True(t, i%5 == 4 || len(characters) > 20, "place %d of the codes has %d of 32 characters", i, len(characters))
	}

	key := store.VoucherKey(v.options.Sealer)
	hash, _ := key.Hash([]byte(strings.ToLower(made[6].Code)))
	user := v.user(t, "v1-00007")
	assert.Equal(t, v.plan.ID, user.PlanID)
	assert.Equal(t, &aaa.VoucherLogin{CodeHash: hash, ValidFor: time.Hour}, user.Voucher)
	byID, err := v.UsersByID(ctx, []uuid.UUID{user.ID, v.alice.ID})
	require.NoError(t, err)
	require.Len(t, byID, 2)
	vouchers := 0
	require.NoError(t, v.EachUser(ctx, func(u *aaa.User) error {
		if u.Voucher != nil {
			vouchers++
		}
		return nil
	}))
	assert.Equal(t, 150, vouchers)

	// Other codes: the old one is unknown.
	_, renewed, err := v.RenewVoucherCodes(ctx, batch.ID)
	require.NoError(t, err)
	require.Len(t, renewed, 150)
	assert.Equal(t, made[6].Serial, renewed[6].Serial)
	assert.NotEqual(t, made[6].Code, renewed[6].Code)
	assert.Len(t, f.poll(), 150)
	assert.NotEqual(t, hash, v.user(t, "v1-00007").Voucher.CodeHash)
	_, err = v.RedeemVoucher(ctx, v.alice.ID, made[6].Code, netip.Addr{})
	assert.ErrorIs(t, err, billing.ErrUnknownVoucher)

	// One is revoked, one deleted, and then the rest.
	require.NoError(t, v.RevokeVoucher(ctx, v.voucher(t, "v1-00001").ID, nil))
	assert.Equal(t, aaa.UserDisabled, v.user(t, "v1-00001").Status)
	require.NoError(t, v.DeleteUser(ctx, "v1-00002"))
	assert.Equal(t, billing.VoucherRevoked, v.voucher(t, "v1-00002").State)
	n, err := v.RevokeVoucherBatch(ctx, batch.ID, nil)
	require.NoError(t, err)
	assert.Equal(t, 148, n)
	assert.Equal(t, aaa.UserDisabled, v.user(t, "v1-00150").Status)
	_, err = v.RedeemVoucher(ctx, v.alice.ID, renewed[9].Code, netip.Addr{})
	var refused *billing.VoucherError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, billing.VoucherRevoked, refused.State)

	// Lists.
	v.valueBatch(t, "april", 3)
	batches := walk(t, aaa.Page{Limit: 1}, func(p aaa.Page) ([]billing.VoucherBatch, string, error) {
		return v.ListVoucherBatchesPage(ctx, billing.VoucherBatchFilter{}, p)
	}, func() {})
	require.Len(t, batches, 2)
	assert.Equal(t, billing.VoucherCounts{Revoked: 150}, batches[1].Counts)
	count, err := v.CountVouchers(ctx, billing.VoucherFilter{BatchID: batch.ID, State: billing.VoucherRevoked})
	require.NoError(t, err)
	assert.Equal(t, aaa.Count{N: 150}, count)
	v.set("2030-02-01T00:00:00Z")
	list := walk(t, aaa.Page{Limit: 2}, func(p aaa.Page) ([]billing.Voucher, string, error) {
		return v.ListVouchersPage(ctx, billing.VoucherFilter{State: billing.VoucherExpired}, p)
	}, func() {})
	require.Len(t, list, 3)
	assert.Equal(t, "v2-00001", list[0].Serial)
	assert.Equal(t, billing.VoucherValue, list[0].Kind)
	assert.Equal(t, "april", list[0].Batch)

	// What is wrong is told.
	_, err = v.CreateVoucherBatch(ctx, &billing.VoucherBatch{Name: "march", Kind: billing.VoucherPlan, Count: 1, PlanID: v.plan.ID, Validity: time.Hour})
	require.ErrorIs(t, err, store.ErrExists)
	_, err = v.CreateVoucherBatch(ctx, &billing.VoucherBatch{Name: "may", Kind: billing.VoucherPlan, Count: 1, PlanID: uuid.New(), Validity: time.Hour})
	var field *billing.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "plan_id", field.Field)
	require.ErrorIs(t, v.DeletePlan(ctx, "day"), store.ErrInUse)

	// No code is anywhere in the database, in no spelling.
	dump := dumpTables(t, v.options)
	for _, m := range append(made, renewed...) {
		code, _ := billing.NormalizeCode(m.Code)
		require.NotContains(t, dump, code)
		require.NotContains(t, dump, m.Code)
	}
}

// dumpTables returns all that the tables about users, billing and changes hold, as text in capitals.
func dumpTables(t *testing.T, options store.Options) string {
	db := Raw(t, options)
	var b strings.Builder
	for _, table := range []string{"users", "vouchers", "voucher_batches", "audit_log", "outbox", "payments", "orders", "order_history", "idempotency_keys", "sign_in_attempts", "settings", "auth_records", "ledger_transactions"} {
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		for rows.Next() {
			require.NoError(t, rows.Scan(targets...))
			for _, value := range values {
				if octets, ok := value.([]byte); ok {
					value = string(octets)
				}
				fmt.Fprintf(&b, "%v\t", value)
			}
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return strings.ToUpper(b.String())
}

// testVoucherUses has vouchers logged in with.
func testVoucherUses(t *testing.T, database Database) {
	v := newVouchered(t, database)
	ctx := t.Context()
	_, made := v.planBatch(t, "march", 4)
	f := follow(t, v.Store)
	use := func(serial, when string) {
		t.Helper()
		require.NoError(t, v.RecordFirstUses(ctx, []aaa.FirstUse{{UserID: v.user(t, serial).ID, At: at(when)}, {UserID: v.alice.ID, At: at(when)}, {UserID: uuid.New(), At: at(when)}}))
	}
	assert.Equal(t, at("2030-02-01T00:00:00Z"), v.user(t, "v1-00001").ExpiresAt, "to be used until then")
	use("v1-00001", "2030-01-05T08:00:01.5Z")
	assert.Len(t, f.poll(), 1, "the servers hear of it")
	user := v.user(t, "v1-00001")
	assert.Equal(t, at("2030-01-06T08:00:01.5Z"), user.ExpiresAt)
	assert.Zero(t, user.Voucher.ValidFor, "its time has begun")
	// Another node saw it earlier, and one later.
	use("v1-00001", "2030-01-05T08:00:00Z")
	use("v1-00001", "2030-01-05T08:00:09Z")
	assert.Equal(t, at("2030-01-06T08:00:00Z"), v.user(t, "v1-00001").ExpiresAt)
	found := v.voucher(t, "v1-00001")
	assert.Equal(t, billing.VoucherUsed, found.State)
	assert.Equal(t, at("2030-01-05T08:00:00Z"), found.RedeemedAt)
	assert.Equal(t, at("2030-01-06T08:00:00Z"), found.ExpiresAt)
	assert.Equal(t, billing.VoucherExpired, found.StateAt(at("2030-01-06T08:00:00Z")))
	// What an operator has set stays.
	require.NoError(t, v.UpdateUser(ctx, "v1-00001", func(u *aaa.User) error { u.ExpiresAt = at("2030-03-01T00:00:00Z"); return nil }))
	use("v1-00001", "2030-01-05T07:00:00Z")
	assert.Equal(t, at("2030-03-01T00:00:00Z"), v.user(t, "v1-00001").ExpiresAt)
	// Before it was made is by a clock that is wrong.
	use("v1-00002", "1999-01-01T00:00:00Z")
	assert.Equal(t, at("2030-01-02T12:00:00Z"), v.user(t, "v1-00002").ExpiresAt)
	// One that was revoked, or redeemed for a user, does not begin.
	require.NoError(t, v.RevokeVoucher(ctx, v.voucher(t, "v1-00003").ID, nil))
	use("v1-00003", "2030-01-05T08:00:00Z")
	assert.Equal(t, billing.VoucherRevoked, v.voucher(t, "v1-00003").State)
	_, err := v.RedeemVoucher(ctx, v.alice.ID, made[3].Code, netip.Addr{})
	require.NoError(t, err)
	use("v1-00004", "2030-01-01T12:00:00Z")
	assert.Equal(t, "alice", v.voucher(t, "v1-00004").Username)

	// A login and a redemption at once: one of them has it.
	_, err = v.RedeemVoucher(ctx, v.alice.ID, made[0].Code, netip.Addr{})
	var refused *billing.VoucherError
	require.ErrorAs(t, err, &refused)
	require.NoError(t, v.RevokeVoucher(ctx, v.voucher(t, "v1-00001").ID, nil), "also one in use")
	require.ErrorAs(t, v.RevokeVoucher(ctx, v.voucher(t, "v1-00004").ID, nil), &refused, "but not one that was redeemed for a user")
	assert.Equal(t, 3, countEvents(t, v.options, "voucher.redeemed"), "one for each, whoever saw it how often")
}

func countEvents(t *testing.T, options store.Options, kind string) (n int) {
	t.Helper()
	require.NoError(t, Raw(t, options).QueryRowContext(t.Context(), "SELECT count(*) FROM outbox WHERE kind = '"+kind+"'").Scan(&n))
	return n
}

// testVoucherRedeem redeems vouchers for a user.
func testVoucherRedeem(t *testing.T, database Database) {
	v := newVouchered(t, database)
	ctx := operator.WithActor(t.Context(), operator.Actor{Kind: operator.ActorLocal, Name: "olga"})
	gift, days := v.valueBatch(t, "gift", 3), []billing.MadeVoucher(nil)
	_, days = v.planBatch(t, "days", 3)
	refused := func(code, message string) {
		t.Helper()
		_, err := v.RedeemVoucher(ctx, v.alice.ID, code, netip.Addr{})
		var refused *billing.VoucherError
		require.ErrorAs(t, err, &refused)
		assert.Contains(t, refused.Message, message)
	}

	once := operator.WithIdempotency(ctx, operator.IdempotencyKey{Key: "k", Operation: "redeem"})
	r, err := v.RedeemVoucher(once, v.alice.ID, " "+strings.ToLower(strings.ReplaceAll(gift[0].Code, "-", " ")), netip.Addr{})
	require.NoError(t, err)
	balance, err := v.Balance(ctx, v.alice.ID, "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(-1000), balance)
	payment, err := v.PaymentByID(ctx, r.Voucher.PaymentID)
	require.NoError(t, err)
	assert.Equal(t, billing.PaidVoucher, payment.Method)
	assert.Equal(t, "v1-00001", payment.Reference)
	order, err := v.OrderByID(ctx, r.OrderID)
	require.NoError(t, err)
	assert.Equal(t, billing.OrderCompleted, order.State)
	assert.Equal(t, billing.OrderVoucher, order.Kind)
	assert.Equal(t, payment.ID, order.PaymentID)
	assert.Equal(t, "olga", r.Voucher.RedeemedBy)
	assert.Equal(t, "alice", r.Voucher.Username)
	_, err = v.RedeemVoucher(once, v.alice.ID, gift[0].Code, netip.Addr{})
	var repeated *operator.RepeatedError
	require.ErrorAs(t, err, &repeated)
	refused(gift[0].Code, "was used on 2030-01-01T12:00:00Z")
	requireSound(t, v.Store)

	// Plans: the first gives it, the second adds its time.
	r, err = v.RedeemVoucher(ctx, v.alice.ID, days[0].Code, netip.Addr{})
	require.NoError(t, err)
	assert.Equal(t, at("2030-01-02T12:00:00Z"), r.ExpiresAt)
	r, err = v.RedeemVoucher(ctx, v.alice.ID, days[1].Code, netip.Addr{})
	require.NoError(t, err)
	assert.Equal(t, at("2030-01-03T12:00:00Z"), r.ExpiresAt)
	alice := v.user(t, "alice")
	assert.Equal(t, v.plan.ID, alice.PlanID)
	assert.Equal(t, r.ExpiresAt, alice.ExpiresAt)
	assert.Equal(t, aaa.UserDisabled, v.user(t, "v2-00002").Status, "nobody logs in with it")
	require.NoError(t, v.UpdateUser(ctx, "alice", func(u *aaa.User) error { u.ExpiresAt = time.Time{}; return nil }))
	refused(days[2].Code, "does not expire")
	assert.Equal(t, billing.VoucherNew, v.voucher(t, days[2].Serial).State)
	_, err = v.RedeemVoucher(ctx, v.user(t, days[2].Serial).ID, days[2].Code, netip.Addr{})
	require.Error(t, err, "for itself")

	v.set("2030-02-01T00:00:00Z")
	refused(gift[1].Code, "expired on 2030-02-01T00:00:00Z")

}

// testVoucherGuesses tries codes that no voucher has: whom it is for, the address it comes
// from and an operator are throttled, a token that many people redeem through is not.
func testVoucherGuesses(t *testing.T, database Database) {
	v := newVouchered(t, database)
	gift := v.valueBatch(t, "gift", 3)
	people := make([]uuid.UUID, 60)
	for i := range people {
		user := newUser(fmt.Sprintf("person%d", i))
		require.NoError(t, v.CreateUser(t.Context(), user))
		people[i] = user.ID
	}
	portal := operator.WithActor(t.Context(), operator.Actor{Kind: operator.ActorToken, ID: uuid.New(), Name: "portal"})
	olga := operator.WithActor(t.Context(), operator.Actor{Kind: operator.ActorOperator, ID: uuid.New(), Name: "olga"})
	hotel, home := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")
	guess := func(ctx context.Context, userID uuid.UUID, from netip.Addr) error {
		_, err := v.RedeemVoucher(ctx, userID, "AAAA-BBBB-CCCC", from)
		return err
	}
	throttled := func(err error, wait time.Duration) {
		t.Helper()
		var throttled *operator.ThrottledError
		require.ErrorAs(t, err, &throttled)
		assert.Equal(t, wait, throttled.RetryAfter)
	}
	require.ErrorIs(t, guess(portal, uuid.New(), hotel), aaa.ErrNotFound, "made-up users are not a guess each")

	// The user, however the code comes, and though it is right.
	for range 5 {
		require.ErrorIs(t, guess(portal, v.alice.ID, hotel), billing.ErrUnknownVoucher)
	}
	_, err := v.RedeemVoucher(olga, v.alice.ID, gift[0].Code, home)
	throttled(err, time.Second)
	// Others who redeem through the same portal, from there and elsewhere.
	_, err = v.RedeemVoucher(portal, people[0], gift[0].Code, hotel)
	require.NoError(t, err)
	for _, id := range people {
		require.ErrorIs(t, guess(portal, id, netip.Addr{}), billing.ErrUnknownVoucher)
	}
	_, err = v.RedeemVoucher(portal, people[0], gift[1].Code, netip.Addr{})
	require.NoError(t, err)
	// A code that was used is no guess.
	for range 10 {
		var used *billing.VoucherError
		_, err = v.RedeemVoucher(portal, people[1], gift[1].Code, hotel)
		require.ErrorAs(t, err, &used)
	}
	// Who redeems is one person if he signed in.
	for _, id := range people[:5] {
		require.ErrorIs(t, guess(olga, id, netip.Addr{}), billing.ErrUnknownVoucher)
	}
	throttled(guess(olga, people[6], netip.Addr{}), time.Second)

	// An address, which many may share.
	v.set("2030-01-01T12:30:00Z")
	for i := range 30 {
		require.ErrorIs(t, guess(portal, people[i], home), billing.ErrUnknownVoucher)
	}
	throttled(guess(portal, people[40], home), time.Second)
	require.ErrorIs(t, guess(portal, people[40], hotel), billing.ErrUnknownVoucher)
	v.set("2030-01-01T12:30:01Z")
	require.ErrorIs(t, guess(portal, people[41], home), billing.ErrUnknownVoucher, "after a while they are looked at again")
	throttled(guess(portal, people[42], home), 2*time.Second)

	// As many at once are no more than in turn.
	v.set("2030-01-01T13:30:00Z")
	second := reopen(t, v.options)
	var unknown atomic.Int32
	var all sync.WaitGroup
	for i := range 12 {
		node := []*store.Store{v.Store, second}[i%2]
		all.Go(func() {
			if _, err := node.RedeemVoucher(portal, v.alice.ID, "short", hotel); errors.Is(err, billing.ErrUnknownVoucher) {
				unknown.Add(1)
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 5, unknown.Load())
}

// testVoucherOnce redeems one voucher many times at once, from two nodes.
func testVoucherOnce(t *testing.T, database Database) {
	v := newVouchered(t, database)
	second := reopen(t, v.options)
	gift := v.valueBatch(t, "gift", 1)
	_, days := v.planBatch(t, "days", 1)
	for _, code := range []string{gift[0].Code, days[0].Code} {
		var done atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			node := []*store.Store{v.Store, second}[i%2]
			all.Go(func() {
				_, err := node.RedeemVoucher(t.Context(), v.alice.ID, code, netip.Addr{})
				var refused *billing.VoucherError
				switch {
				case err == nil:
					done.Add(1)
				default:
					assert.ErrorAs(t, err, &refused)
				}
			})
		}
		all.Wait()
		assert.EqualValues(t, 1, done.Load())
	}
	balance, err := v.Balance(t.Context(), v.alice.ID, "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(-1000), balance)
	assert.Equal(t, at("2030-01-02T12:00:00Z"), v.user(t, "alice").ExpiresAt)
	requireSound(t, v.Store)
}
