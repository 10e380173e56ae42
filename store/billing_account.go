package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// billingReader collects what a run must know of users, in one transaction, with few
// queries for all of them.
type billingReader struct {
	tx       *writeTx
	o        billing.RunOptions
	users    []uuid.UUID // in order
	accounts map[uuid.UUID]*billing.Account
	rates    map[uuid.UUID]billing.Rate
	since    map[uuid.UUID]billing.Date // whose usage is needed, and from when
	renamed  map[uuid.UUID]bool         // of these, see writeTx.renamed
}

// billable returns the next users, at most limit, that may have something to charge: with
// a subscription that goes on, or has ended and is not charged or looked back at to its
// end, or with charges that wait for an invoice. Those who were deleted are not.
func (tx *writeTx) billable(ctx context.Context, after uuid.UUID, o billing.RunOptions, limit int) ([]uuid.UUID, error) {
	lookBack := o.AsOf.AddDays(-max(o.LookBack, 0))
	return listIDs(ctx, tx.Tx, `SELECT user_id FROM (
		SELECT user_id FROM (SELECT DISTINCT user_id FROM subscriptions WHERE user_id > $1 AND (state <> 'ended' OR end_day IS NULL OR end_day > $2
			OR charged_until IS NULL OR charged_until < end_day OR rated_until IS NULL OR rated_until < end_day)
			AND EXISTS (SELECT 1 FROM users WHERE users.id = subscriptions.user_id) ORDER BY user_id LIMIT $3) AS subscribed
		UNION SELECT user_id FROM (SELECT DISTINCT user_id FROM charges WHERE invoice_id IS NULL AND user_id > $1
			AND EXISTS (SELECT 1 FROM users WHERE users.id = charges.user_id) ORDER BY user_id LIMIT $3) AS waiting
		) AS both_of_them ORDER BY user_id LIMIT $3`, []any{after.String(), civil{&lookBack}, limit})
}

// readAccounts reads the accounts of the users. If the transaction writes, it keeps others
// from changing what is read until it ends.
func (tx *writeTx) readAccounts(ctx context.Context, users []uuid.UUID, o billing.RunOptions) ([]*billing.Account, error) {
	r := billingReader{tx: tx, o: o, users: users, accounts: make(map[uuid.UUID]*billing.Account, len(users)),
		since: map[uuid.UUID]billing.Date{}}
	for _, userID := range users {
		r.accounts[userID] = &billing.Account{UserID: userID, Credit: map[billing.Currency]billing.Amount{}, Ended: map[billing.Currency]billing.Amount{}}
	}
	for _, read := range []func(context.Context) error{r.readCredit, r.readSubscriptions, r.readPending, r.readBilled, r.readGivenBack, r.readBuyers, r.readRated, r.readRates, r.readUsage, r.readHours} {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	list := make([]*billing.Account, len(users))
	for i, userID := range users {
		list[i] = r.accounts[userID]
	}
	return list, nil
}

// each reads rows of the users from a table; add adds terms, and order is what follows
// them.
func (r *billingReader) each(ctx context.Context, table string, fields []field, add func(*conditions), order string, fn func() error) error {
	return eachChunk(r.tx, "user_id", "uuid", texts(r.users), func(which string, ids []any) error {
		c := conditions{terms: []string{which}, args: slices.Clone(ids)}
		if add != nil {
			add(&c)
		}
		return eachRow(ctx, r.tx, "SELECT "+names(fields)+" FROM "+table+c.where()+order, c.args, targets(fields), fn)
	})
}

func (r *billingReader) readSubscriptions(ctx context.Context) error {
	var x billing.Subscription
	fields := subscriptionFields(&x)
	wanted := map[uuid.UUID]bool{}
	var ids []uuid.UUID
	want := func(rateID uuid.UUID) {
		if rateID != uuid.Nil && !wanted[rateID] {
			wanted[rateID] = true
			ids = append(ids, rateID)
		}
	}
	erased, err := r.erased(ctx)
	if err != nil {
		return err
	}
	err = r.each(ctx, "subscriptions", fields, nil, " ORDER BY user_id, created_at, id"+r.tx.forUpdate(), func() error {
		account := r.accounts[x.UserID]
		if x.State == billing.SubscriptionEnded && (!r.unfinished(&x) || x.CreatedAt.Before(erased[x.UserID])) {
			account.Former = append(account.Former, x)
		} else {
			account.Subscriptions = append(account.Subscriptions, x)
		}
		want(x.Rate.ID)
		want(x.NextRateID)
		for _, past := range x.Past {
			want(past.RateID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.rates, err = r.tx.store.ratesByID(ctx, r.tx.Tx, ids); err != nil {
		return err
	}
	for _, account := range r.accounts {
		account.Rates = r.rates
		for _, list := range [][]billing.Subscription{account.Subscriptions, account.Former} {
			for i := range list {
				list[i].Rate = r.rates[list[i].Rate.ID]
			}
		}
		if since := billing.UsageSince(account.Subscriptions, r.rates, r.o); !since.IsZero() {
			r.since[account.UserID] = since
		}
	}
	return nil
}

// erased returns when users were erased who are kept. What was sold to them before that was
// billed to its end then.
func (r *billingReader) erased(ctx context.Context) (map[uuid.UUID]time.Time, error) {
	list := map[uuid.UUID]time.Time{}
	var userID uuid.UUID
	var when time.Time
	err := eachChunk(r.tx, "user_id", "uuid", texts(r.users), func(which string, args []any) error {
		return eachRow(ctx, r.tx, "SELECT user_id, created_at FROM erasures WHERE "+which, args, []any{id{&userID}, moment{&when}}, func() error {
			list[userID] = when
			return nil
		})
	})
	return list, err
}

// unfinished is what billable says of a subscription that has ended.
func (r *billingReader) unfinished(x *billing.Subscription) bool {
	return x.End.IsZero() || r.o.AsOf.AddDays(-max(r.o.LookBack, 0)).Before(x.End) || x.ChargedUntil.Before(x.End) || x.RatedUntil.Before(x.End)
}

func (r *billingReader) readPending(ctx context.Context) error {
	var c billing.Charge
	fields := chargeFields(&c)
	return r.each(ctx, "charges", fields, func(c *conditions) { c.add("invoice_id IS NULL") }, " ORDER BY user_id, id"+r.tx.forUpdate(), func() error {
		account := r.accounts[c.UserID]
		account.Pending = append(account.Pending, c)
		return nil
	})
}

// readBilled reads what the invoices were about of users with no subscription that goes on:
// in a run, for it is much. Those of somebody who is billed alone may be ended by that.
func (r *billingReader) readBilled(ctx context.Context) error {
	var leaving []uuid.UUID
	for _, userID := range r.users {
		stays := func(x billing.Subscription) bool { return x.End.IsZero() || r.o.AsOf.Before(x.End) }
		if len(r.users) == 1 || !slices.ContainsFunc(r.accounts[userID].Subscriptions, stays) {
			leaving = append(leaving, userID)
		}
	}
	return eachChunk(r.tx, "c.user_id", "uuid", texts(leaving), func(which string, args []any) error {
		var userID uuid.UUID
		var b billing.Billed
		return eachRow(ctx, r.tx, `SELECT DISTINCT c.user_id, i.issued_on, i.series, i.sequence, c.subscription_id, i.currency, i.number
			FROM charges c JOIN invoices i ON i.id = c.invoice_id
			WHERE `+which+` AND i.kind = 'invoice' AND i.state IN ('issued', 'paid') ORDER BY 1, 2, 3, 4`, args,
			[]any{id{&userID}, new(any), new(any), new(any), nullID{&b.SubscriptionID}, term(&b.Currency), text{&b.Number}}, func() error {
				account := r.accounts[userID]
				account.Billed = append(account.Billed, b)
				return nil
			})
	})
}

// readGivenBack reads what was given back of users' charges whose days may be credited:
// those of somebody who is billed alone, and in a run of those who change.
func (r *billingReader) readGivenBack(ctx context.Context) error {
	var changing []uuid.UUID
	for _, userID := range r.users {
		changes := func(x billing.Subscription) bool { return x.NextRateID != uuid.Nil && !r.o.AsOf.Before(x.NextFrom) }
		if len(r.users) == 1 || slices.ContainsFunc(r.accounts[userID].Subscriptions, changes) {
			changing = append(changing, userID)
		}
	}
	var userID uuid.UUID
	var g billing.GivenBack
	fields := []any{id{&userID}, nullID{&g.SubscriptionID}, civil{&g.Period.From}, civil{&g.Period.To}, money(&g.Charged), money(&g.Amount)}
	const what = `SELECT c.user_id, c.subscription_id, c.period_from, coalesce((SELECT min(a.period_from) FROM charges a WHERE a.subscription_id = c.subscription_id
		AND a.kind = 'period' AND a.created_at > c.created_at AND a.period_from < c.period_to AND a.period_to > c.period_from), c.period_to), c.amount, `
	for _, from := range []struct{ query, group string }{
		{`CAST(sum(l.gross) AS bigint) FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id JOIN charges c ON c.id = l.charge_id
			WHERE i.kind = 'credit_note' AND i.corrects IS NOT NULL AND i.state <> 'void'`, " GROUP BY c.id"},
		{"c.amount FROM invoices i JOIN charges c ON c.invoice_id = i.id WHERE i.kind = 'invoice' AND i.state = 'void'", ""},
	} {
		err := eachChunk(r.tx, "i.user_id", "uuid", texts(changing), func(which string, args []any) error {
			return eachRow(ctx, r.tx, what+from.query+" AND c.kind = 'period' AND "+which+from.group, args, fields, func() error {
				r.accounts[userID].GivenBack = append(r.accounts[userID].GivenBack, g)
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *billingReader) readCredit(ctx context.Context) error {
	balances, err := r.tx.lockAccounts(ctx, r.users)
	if err != nil {
		return err
	}
	for k, balance := range balances {
		r.accounts[k.userID].Credit[k.currency] = -balance
	}
	return eachChunk(r.tx, "user_id", "uuid", texts(r.users), func(which string, args []any) error {
		c := conditions{terms: []string{which, "rest > 0"}, args: slices.Clone(args)}
		c.add("expires_on < $%d", civil{&r.o.AsOf})
		var k balanceKey
		var ended billing.Amount
		return eachRow(ctx, r.tx, "SELECT user_id, currency, CAST(sum(rest) AS bigint) FROM payments"+c.where()+" GROUP BY user_id, currency", c.args,
			[]any{id{&k.userID}, term(&k.currency), money(&ended)}, func() error {
				r.accounts[k.userID].Ended[k.currency] = ended
				return nil
			})
	})
}

func (r *billingReader) readBuyers(ctx context.Context) error {
	return eachChunk(r.tx, "users.id", "uuid", texts(r.users), func(which string, args []any) error {
		var userID uuid.UUID
		var username string
		var p aaa.Profile
		return eachRow(ctx, r.tx, `SELECT users.id, username, coalesce(full_name, ''), coalesce(email, ''), coalesce(phone, ''), coalesce(address, '')
			FROM users LEFT JOIN user_profiles ON user_id = users.id WHERE `+which, args,
			[]any{id{&userID}, &username, &p.FullName, &p.Email, &p.Phone, &p.Address}, func() error {
				account := r.accounts[userID]
				account.Username, account.Buyer = username, buyerOf(username, p, r.o.Seller)
				return nil
			})
	})
}

// buyerOf is how a user stands on an invoice. Profiles have no country: who is served is
// taken to be where the seller is.
func buyerOf(username string, p aaa.Profile, seller billing.Party) billing.Party {
	name := p.FullName
	if name == "" {
		name = username
	}
	return billing.Party{Name: name, Address: p.Address, Email: p.Email, Phone: p.Phone, Username: username, Country: seller.Country}
}

// earliest returns the first day of usage that is needed of anybody.
func (r *billingReader) earliest() (day billing.Date) {
	for _, since := range r.since {
		if day.IsZero() || since.Before(day) {
			day = since
		}
	}
	return day
}

// readRated reads charges for usage, in the order of their making.
func (r *billingReader) readRated(ctx context.Context) error {
	if len(r.since) == 0 {
		return nil
	}
	earliest := r.earliest()
	var c billing.Charge
	fields := chargeFields(&c)
	return r.each(ctx, "charges", fields, func(c *conditions) {
		c.add("kind IN ('usage', 'adjustment') AND period_to > $%d", civil{&earliest})
	}, " ORDER BY user_id, created_at, id", func() error {
		if since, wanted := r.since[c.UserID]; wanted && since.Before(c.Period.To) {
			account := r.accounts[c.UserID]
			account.Rated = append(account.Rated, c)
		}
		return nil
	})
}

// readRates reads the rates that charges were made at and no subscription has any more.
func (r *billingReader) readRates(ctx context.Context) error {
	var ids []uuid.UUID
	for _, account := range r.accounts {
		for i := range account.Rated {
			rateID := account.Rated[i].Inputs.RateID
			if _, known := r.rates[rateID]; !known && rateID != uuid.Nil && !slices.Contains(ids, rateID) {
				ids = append(ids, rateID)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	more, err := r.tx.store.ratesByID(ctx, r.tx.Tx, ids)
	for rateID, rate := range more {
		r.rates[rateID] = rate
	}
	return err
}

func (r *billingReader) readUsage(ctx context.Context) error {
	names := make(map[uuid.UUID]string, len(r.since))
	for userID := range r.since {
		names[userID] = r.accounts[userID].Username
	}
	var err error
	if r.renamed, err = r.tx.renamed(ctx, names); err != nil {
		return err
	}
	usage, err := r.tx.usageOfMany(ctx, names, r.since, r.renamed)
	for userID, days := range usage {
		r.accounts[userID].Usage = days
	}
	return err
}

// readHours cuts the usage of those who pay by the hour of the day out of the records of
// their sessions.
func (r *billingReader) readHours(ctx context.Context) error {
	cuts := map[uuid.UUID]*hourCut{}
	for userID, since := range r.since {
		account := r.accounts[userID]
		cut := &hourCut{username: account.Username, since: since, loc: r.o.Location}
		for _, text := range billing.HoursOf(slices.Concat(account.Subscriptions, account.Former), r.rates) {
			if err := cut.add(text); err != nil {
				return err
			}
		}
		if len(cut.hours) > 0 {
			cuts[userID] = cut
		}
	}
	if err := r.tx.cutHours(ctx, cuts, r.renamed); err != nil {
		return err
	}
	for userID, cut := range cuts {
		account := r.accounts[userID]
		if account.HoursErr = cut.err; cut.err == nil { // which keeps nobody else from being billed
			account.Hours = cut.usage()
		}
	}
	return nil
}
