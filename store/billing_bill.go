package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
)

// billWriter collects the bills of a batch and writes them with few statements.
type billWriter struct {
	tx  *writeTx
	o   billing.RunOptions
	run *billing.Run

	users         []uuid.UUID // whose bills they are
	charges       []billing.Charge
	waited        []chargePlace // charges that were pending and are on an invoice now
	subscriptions []billing.Subscription
	changed       []subscriptionChange // of these, those whose state or rate is another one
	turned        map[uuid.UUID]turn   // users of whom one has another state
	invoices      []*invoiceRow
	failures      []failureRow
}

// subscriptionChange is what became of a subscription.
type subscriptionChange struct{ was, now *billing.Subscription }

// event is what is told of it: that it has ended, once.
func (c subscriptionChange) event() string {
	if c.was.State != billing.SubscriptionEnded && c.now.State == billing.SubscriptionEnded {
		return "subscription.ended"
	}
	return "subscription.changed"
}

// chargePlace is the invoice that a charge is on.
type chargePlace struct{ chargeID, invoiceID uuid.UUID }

func placeFields(p *chargePlace) []field {
	return []field{{"id", id{&p.chargeID}}, {"invoice_id", nullID{&p.invoiceID}}}
}

type failureRow struct {
	runID, userID uuid.UUID
	at            time.Time
	err           string
}

func failureFields(f *failureRow) []field {
	return []field{{"run_id", id{&f.runID}}, {"user_id", id{&f.userID}}, {"at", moment{&f.at}}, {"error", text{&f.err}}}
}

// maxFailure bounds the text of a failure.
const maxFailure = 1000

func (b *billWriter) fail(userID uuid.UUID, err error) {
	message := err.Error()
	if len(message) > maxFailure {
		message = message[:maxFailure]
	}
	b.failures = append(b.failures, failureRow{b.run.ID, userID, b.o.Now, message})
	b.run.Failed++
}

// compute makes the bills of the users.
func (b *billWriter) compute(ctx context.Context, users []uuid.UUID, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error)) error {
	if len(users) == 0 {
		return nil
	}
	accounts, err := b.tx.readAccounts(ctx, users, b.o)
	if err != nil {
		return err
	}
	for _, account := range accounts {
		if err := ctx.Err(); err != nil {
			return err
		}
		bill, err := compute(account, b.o)
		if err == nil {
			err = checkBill(account, bill)
		}
		if err != nil {
			b.fail(account.UserID, err)
			continue
		}
		b.add(account, bill)
	}
	return nil
}

// checkBill refuses a bill that is of somebody else, or has charges on an invoice that
// are not its own.
func checkBill(a *billing.Account, bill *billing.Bill) error {
	own := make(map[uuid.UUID]bool, len(bill.Charges)+len(a.Pending))
	for i := range a.Pending {
		own[a.Pending[i].ID] = true
	}
	for i := range bill.Charges {
		c := &bill.Charges[i]
		if c.UserID != a.UserID || own[c.ID] {
			return fmt.Errorf("charge %s is of another user, or there already", c.ID)
		}
		own[c.ID] = true
	}
	for i := range bill.Subscriptions {
		if bill.Subscriptions[i].UserID != a.UserID {
			return errors.New("a subscription is of another user")
		}
	}
	for i := range bill.Invoices {
		invoice := &bill.Invoices[i]
		if invoice.Series == "" {
			return errors.New("an invoice needs a series for its number")
		}
		if invoice.UserID != a.UserID || invoice.State != billing.InvoiceDraft {
			return errors.New("an invoice is of another user, or no draft")
		}
		for _, line := range invoice.Lines {
			if !own[line.ChargeID] {
				return fmt.Errorf("charge %s is not the user's, or on two invoices", line.ChargeID)
			}
			own[line.ChargeID] = false
		}
	}
	return nil
}

func (b *billWriter) add(a *billing.Account, bill *billing.Bill) {
	pending := make(map[uuid.UUID]bool, len(a.Pending))
	for i := range a.Pending {
		pending[a.Pending[i].ID] = true
	}
	for i := range bill.Invoices {
		invoice := &invoiceRow{Invoice: bill.Invoices[i]}
		b.invoices = append(b.invoices, invoice)
		for _, line := range invoice.Lines {
			if pending[line.ChargeID] {
				b.waited = append(b.waited, chargePlace{line.ChargeID, invoice.ID})
			}
		}
	}
	b.users = append(b.users, a.UserID)
	b.charges = append(b.charges, bill.Charges...)
	b.subscriptions = append(b.subscriptions, bill.Subscriptions...)
	today := b.tx.store.today()
	if b.turned == nil {
		b.turned = map[uuid.UUID]turn{}
	}
	for i := range bill.Subscriptions {
		for j := range a.Subscriptions {
			x, old := &bill.Subscriptions[i], &a.Subscriptions[j]
			if x.ID == old.ID && (x.State != old.State || x.Rate.ID != old.Rate.ID) {
				b.changed = append(b.changed, subscriptionChange{old, x})
			}
			if x.ID == old.ID {
				b.turned[x.UserID] = max(b.turned[x.UserID], turnOf(old, x, today))
			}
		}
	}
}

// write writes the bills.
func (b *billWriter) write(ctx context.Context) error {
	tx := b.tx
	var keys []balanceKey
	var users []uuid.UUID
	for _, i := range b.invoices {
		keys = append(keys, balanceKey{i.UserID, i.Currency})
		if n := len(users); n == 0 || users[n-1] != i.UserID {
			users = append(users, i.UserID)
		}
	}
	if err := tx.lockBalances(ctx, keys); err != nil {
		return err
	}
	if err := tx.issue(ctx, b.invoices); err != nil {
		return err
	}
	if err := tx.insertInvoices(ctx, b.invoices); err != nil {
		return err
	}
	if err := tx.insertCharges(ctx, b.charges); err != nil {
		return err
	}
	var p chargePlace
	if err := updateMany(ctx, tx, "charges", filled(placeFields(&p), len(b.waited), func(i int) { p = b.waited[i] })); err != nil {
		return err
	}
	var x billing.Subscription
	if err := updateMany(ctx, tx, "subscriptions", filled(subscriptionFields(&x), len(b.subscriptions), func(i int) { x = b.subscriptions[i] })); err != nil {
		return err
	}
	if err := tx.postInvoices(ctx, b.invoices); err != nil {
		return err
	}
	var f failureRow
	if err := insertRows(ctx, tx, "billing_run_failures", filled(failureFields(&f), len(b.failures), func(i int) { f = b.failures[i] })); err != nil {
		return err
	}
	for _, c := range b.changed {
		if err := tx.emitSubscription(c.event(), c.now); err != nil {
			return err
		}
	}
	if err := tx.followSubscriptions(ctx, b.users, b.turned); err != nil {
		return err
	}
	b.run.Charges += len(b.charges)
	b.run.Invoices += len(b.invoices)
	if err := tx.allocator().settleInvoices(ctx, users); err != nil {
		return err
	}
	return tx.followInvoices(ctx, b.users)
}

// postInvoices posts invoices that were issued, and tells of them.
func (tx *writeTx) postInvoices(ctx context.Context, invoices []*invoiceRow) error {
	now := tx.store.timestamp()
	transactions := make([]billing.Transaction, len(invoices))
	for n, i := range invoices {
		transactions[n] = billing.PostInvoice(&i.Invoice, now)
		event := "invoice.issued"
		if i.Kind == billing.KindCreditNote {
			event = "credit_note.issued"
		}
		if err := tx.emitInvoice(event, &i.Invoice); err != nil {
			return err
		}
	}
	if err := tx.post(ctx, transactions); err != nil {
		return err
	}
	return tx.mailInvoices(ctx, invoices)
}

// SubscriptionEvent is the payload of events about subscriptions that a run has changed.
type SubscriptionEvent struct {
	SubscriptionID uuid.UUID                 `json:"subscription_id"`
	UserID         uuid.UUID                 `json:"user_id"`
	RateID         uuid.UUID                 `json:"rate_id"`
	State          billing.SubscriptionState `json:"state"`
}

func (tx *writeTx) emitSubscription(kind string, x *billing.Subscription) error {
	return tx.emit(kind, "subscription", x.ID, SubscriptionEvent{x.ID, x.UserID, x.Rate.ID, x.State})
}

// BillAccount makes a bill of one user by a rule such as billing.Change, and writes it as
// a run does, beside the subscriptions' states: charges, and invoices if it has some. Of o
// it sets RunID and Now. It fails with ErrNotFound if there is no such user.
func (s *Store) BillAccount(ctx context.Context, userID uuid.UUID, o billing.RunOptions, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error)) error {
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, userID); err != nil {
			return err
		}
		if err := tx.userExists(ctx, userID); err != nil {
			return err
		}
		return tx.billAccount(ctx, userID, o, compute)
	})
	return s.failed("bill user "+userID.String(), err)
}

// PreviewAccount returns what a rule such as billing.Change would make of a user's account.
// It writes nothing, and nobody waits for it. It fails with ErrNotFound if there is no such
// user.
func (s *Store) PreviewAccount(ctx context.Context, userID uuid.UUID, o billing.RunOptions, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error)) (bill *billing.Bill, err error) {
	err = s.look(ctx, func(tx *writeTx) error {
		if err := tx.userExists(ctx, userID); err != nil {
			return err
		}
		if o.Location == nil {
			o.Location = s.location
		}
		o.RunID, o.Now = uuid.Nil, s.timestamp()
		accounts, err := tx.readAccounts(ctx, []uuid.UUID{userID}, o)
		if err != nil {
			return err
		}
		bill, err = compute(accounts[0], o)
		return err
	})
	return bill, s.failed("preview the bill of a user", err)
}

// billAccount is BillAccount of a user who is there.
func (tx *writeTx) billAccount(ctx context.Context, userID uuid.UUID, o billing.RunOptions, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error)) error {
	if err := tx.writeBill(ctx, userID, o, compute); err != nil {
		return err
	}
	return tx.settle(ctx, []uuid.UUID{userID})
}

// tryBill is writeBill beside money that is booked in any case. Of an account that cannot be
// billed, such as for want of a tax rate, it writes nothing: the next run tells of it.
func (tx *writeTx) tryBill(ctx context.Context, userID uuid.UUID, o billing.RunOptions, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error)) error {
	var unbilled error
	err := tx.writeBill(ctx, userID, o, func(a *billing.Account, o billing.RunOptions) (bill *billing.Bill, err error) {
		if bill, unbilled = compute(a, o); unbilled == nil {
			unbilled = checkBill(a, bill)
		}
		return bill, unbilled
	})
	if unbilled != nil {
		return nil
	}
	return err
}

// writeBill is billAccount without settling what comes of it.
func (tx *writeTx) writeBill(ctx context.Context, userID uuid.UUID, o billing.RunOptions, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error)) error {
	if o.Location == nil {
		o.Location = tx.store.location
	}
	o.RunID, o.Now = uuid.Nil, tx.store.timestamp()
	accounts, err := tx.readAccounts(ctx, []uuid.UUID{userID}, o)
	if err != nil {
		return err
	}
	account := accounts[0]
	bill, err := compute(account, o)
	if err != nil {
		return err
	}
	if err := checkBill(account, bill); err != nil {
		return err
	}
	var run billing.Run
	b := billWriter{tx: tx, o: o, run: &run}
	b.add(account, bill)
	b.changed = nil // the audit log's events tell of them
	if err := b.write(ctx); err != nil {
		return err
	}
	for i := range bill.Subscriptions {
		x := &bill.Subscriptions[i]
		n := slices.IndexFunc(account.Subscriptions, func(old billing.Subscription) bool { return old.ID == x.ID })
		if n < 0 {
			return fmt.Errorf("subscription %s is not the account's", x.ID)
		}
		before, err := factsOf(subscriptionFields(&account.Subscriptions[n]))
		if err != nil {
			return err
		}
		event := subscriptionChange{&account.Subscriptions[n], x}.event()
		if err := tx.recordFields(ctx, "subscriptions.update", "subscription", x.ID, rateLabel(&x.Rate), before, subscriptionFields(x), event); err != nil {
			return err
		}
	}
	return nil
}
