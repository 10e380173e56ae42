package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

func subscriptionFields(x *billing.Subscription) []field {
	return []field{
		{"id", id{&x.ID}},
		{"user_id", id{&x.UserID}},
		{"rate_id", id{&x.Rate.ID}},
		{"state", term(&x.State)},
		{"start_day", civil{&x.Start}},
		{"end_day", civil{&x.End}},
		{"anchor_day", civil{&x.Anchor}},
		{"past_rates", listOf[billing.PastRate]{&x.Past}},
		{"suspensions", listOf[billing.Span]{&x.Suspensions}},
		{"charged_until", civil{&x.ChargedUntil}},
		{"rated_until", civil{&x.RatedUntil}},
		{"next_rate_id", nullID{&x.NextRateID}},
		{"next_from", civil{&x.NextFrom}},
		{"revision", whole[int]{&x.Revision}},
		{"created_at", moment{&x.CreatedAt}},
		{"updated_at", moment{&x.UpdatedAt}},
	}
}

func listedSubscription(x *billing.Subscription) []field {
	return append(subscriptionFields(x), field{usernameOf("subscriptions"), text{&x.Username}})
}

var subscriptionLists = lister[billing.Subscription]{
	name: "subscriptions", sorts: billing.SubscriptionSorts(),
	keys: map[string]sortKey[billing.Subscription]{
		"created_at": timeKey("created_at", func(x *billing.Subscription) time.Time { return x.CreatedAt }),
	},
	id: idKey("id", func(x *billing.Subscription) uuid.UUID { return x.ID }),
}

func subscriptionConditions(f billing.SubscriptionFilter) (c conditions) {
	if f.UserID != uuid.Nil {
		c.add("user_id = $%d", f.UserID.String())
	}
	if f.PlanID != uuid.Nil {
		c.add("rate_id IN (SELECT id FROM rates WHERE plan_id = $%d)", f.PlanID.String())
	}
	if f.RateID != uuid.Nil {
		c.add("rate_id = $%d", f.RateID.String())
	}
	if f.State != "" {
		c.add("state = $%d", term(&f.State))
	}
	return c
}

// subscriptionsOf reads subscriptions with their rates. rest is what follows FROM the
// table.
func (s *Store) subscriptionsOf(ctx context.Context, tx *sql.Tx, rest string, args []any) (list []billing.Subscription, err error) {
	var x billing.Subscription
	fields := listedSubscription(&x)
	err = eachRow(ctx, tx, "SELECT "+names(fields)+" FROM subscriptions "+rest, args, targets(fields), func() error {
		list = append(list, x)
		return nil
	})
	if err != nil || len(list) == 0 {
		return list, err
	}
	seen := map[uuid.UUID]bool{}
	var ids []uuid.UUID
	for i := range list {
		if rateID := list[i].Rate.ID; !seen[rateID] {
			seen[rateID] = true
			ids = append(ids, rateID)
		}
	}
	rates, err := s.ratesByID(ctx, tx, ids)
	for i := range list {
		list[i].Rate = rates[list[i].Rate.ID]
	}
	return list, err
}

func (s *Store) findSubscription(ctx context.Context, tx *sql.Tx, subscriptionID uuid.UUID, lock string) (*billing.Subscription, error) {
	list, err := s.subscriptionsOf(ctx, tx, "WHERE id = $1"+lock, []any{subscriptionID.String()})
	if err == nil && len(list) == 0 {
		err = notFound("subscription", subscriptionID.String())
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// CreateSubscription subscribes a user to a rate, of which Rate.ID is enough. It sets
// the ID if that is zero, Rate, Username and the times; what depends on the rate's terms
// (Anchor, State) unless it is given. One that is prepaid and has begun is charged as the
// next run would: without credit it is suspended from the first day on. It fails with
// ErrNotFound if there is no such user or rate.
func (s *Store) CreateSubscription(ctx context.Context, subscription *billing.Subscription) error {
	x := *subscription
	err := s.write(ctx, func(tx *writeTx) error {
		x = *subscription
		if x.ID == uuid.Nil {
			x.ID = uuid.Must(uuid.NewV7())
		}
		if err := tx.claimKey(ctx, x.ID); err != nil {
			return err
		}
		return tx.insertSubscription(ctx, &x)
	})
	if err != nil {
		return s.failed("create subscription", err)
	}
	*subscription = x
	return nil
}

// earliestStart is the year before which nobody has subscribed to anything that is billed
// here. All since the first day is charged, so a slip would be a dear one.
const earliestStart = 2000

func (tx *writeTx) insertSubscription(ctx context.Context, x *billing.Subscription) error {
	if x.Start.IsZero() {
		return &billing.FieldError{Field: "start", Message: "a subscription needs a first day"}
	}
	if x.Start.Year < earliestStart {
		return &billing.FieldError{Field: "start", Message: fmt.Sprintf("a subscription cannot begin before %d: %s is not what was meant", earliestStart, x.Start)}
	}
	if !x.End.IsZero() && x.End.Before(x.Start) {
		return &billing.FieldError{Field: "end", Message: "a subscription cannot end before it begins"}
	}
	if _, err := tx.lockAccounts(ctx, []uuid.UUID{x.UserID}); err != nil {
		return err
	}
	err := tx.QueryRowContext(ctx, "SELECT username FROM users WHERE id = $1", x.UserID.String()).Scan(&x.Username)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound("user", x.UserID.String())
	}
	if err != nil {
		return err
	}
	rate, err := findRate(ctx, tx, x.Rate.ID, "")
	if err != nil {
		return err
	}
	x.Rate = *rate
	if x.Anchor.IsZero() {
		x.Anchor = x.Start.AddDays(rate.Terms.TrialDays)
	}
	if x.State == "" {
		x.State = billing.SubscriptionActive
		if x.Anchor != x.Start {
			x.State = billing.SubscriptionTrial
		}
	}
	x.CreatedAt = tx.store.timestamp()
	x.UpdatedAt = x.CreatedAt
	if err := insert(ctx, tx.Tx, "subscriptions", subscriptionFields(x)); err != nil {
		return err
	}
	if err := tx.recordFields(ctx, "subscriptions.create", "subscription", x.ID, rateLabel(rate), nil, subscriptionFields(x), "subscription.created"); err != nil {
		return err
	}
	if err := tx.followSubscriptions(ctx, []uuid.UUID{x.UserID}, nil); err != nil {
		return err
	}
	if rate.Terms.Prepaid == billing.Postpaid || tx.store.today().Before(x.Start) {
		return nil
	}
	o, err := tx.optionsOfToday(ctx)
	if err != nil {
		return err
	}
	if err := tx.tryBill(ctx, x.UserID, o, billing.Compute); err != nil { // there must be credit for today
		return err
	}
	found, err := tx.store.findSubscription(ctx, tx.Tx, x.ID, "")
	if err == nil {
		*x = *found
	}
	return err
}

// UpdateSubscription lets fn change the subscription, by the rules of package billing,
// and writes it with the charges that fn returns, in one transaction. fn may be called
// more than once. If it changes nothing and charges nothing, nothing is written.
func (s *Store) UpdateSubscription(ctx context.Context, subscriptionID uuid.UUID, fn func(*billing.Subscription) ([]billing.Charge, error)) error {
	err := s.write(ctx, func(tx *writeTx) error {
		x, err := s.findSubscription(ctx, tx.Tx, subscriptionID, "")
		if err != nil {
			return err
		}
		if _, err := tx.lockAccounts(ctx, []uuid.UUID{x.UserID}); err != nil {
			return err
		}
		if x, err = s.findSubscription(ctx, tx.Tx, subscriptionID, tx.forUpdate()); err != nil {
			return err
		}
		before, err := factsOf(subscriptionFields(x))
		if err != nil {
			return err
		}
		old := *x
		charges, err := fn(x)
		if err != nil {
			return err
		}
		if x.ID != subscriptionID {
			return errors.New("the id of a row cannot be changed")
		}
		after, err := factsOf(subscriptionFields(x))
		if err != nil {
			return err
		}
		if err := tx.insertCharges(ctx, charges); err != nil {
			return err
		}
		if same(before, after) {
			return nil
		}
		x.UpdatedAt = s.timestampAfter(old.UpdatedAt)
		if err := update(ctx, tx.Tx, "subscriptions", subscriptionFields(x)); err != nil {
			return err
		}
		event := "subscription.changed"
		if old.State != x.State && x.State == billing.SubscriptionEnded {
			event = "subscription.ended"
		}
		rate, err := findRate(ctx, tx, x.Rate.ID, "")
		if err != nil {
			return err
		}
		if err := tx.recordFields(ctx, "subscriptions.update", "subscription", x.ID, rateLabel(rate), before, subscriptionFields(x), event); err != nil {
			return err
		}
		return tx.followSubscriptions(ctx, []uuid.UUID{x.UserID}, map[uuid.UUID]turn{x.UserID: turnOf(&old, x, s.today())})
	})
	return s.failed(fmt.Sprintf("change subscription %s", subscriptionID), err)
}

// SubscriptionByID returns a subscription with its rate. It fails with ErrNotFound.
func (s *Store) SubscriptionByID(ctx context.Context, subscriptionID uuid.UUID) (x *billing.Subscription, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		x, err = s.findSubscription(ctx, tx, subscriptionID, "")
		return err
	})
	if err != nil {
		return nil, s.failed("read subscription "+subscriptionID.String(), err)
	}
	return x, nil
}

// SubscriptionsOf returns a user's subscriptions, the ended ones too, in the order of
// their making.
func (s *Store) SubscriptionsOf(ctx context.Context, userID uuid.UUID) (list []billing.Subscription, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		list, err = s.subscriptionsOf(ctx, tx, "WHERE user_id = $1 ORDER BY created_at, id", []any{userID.String()})
		return err
	})
	if err != nil {
		return nil, s.failed("read subscriptions", err)
	}
	return list, nil
}

// ListSubscriptionsPage returns a page of subscriptions with their rates, and the cursor
// of the next page; empty: there is none. It fails with aaa.ErrBadCursor and
// aaa.ErrBadSort.
func (s *Store) ListSubscriptionsPage(ctx context.Context, filter billing.SubscriptionFilter, page aaa.Page) (list []billing.Subscription, next string, err error) {
	p, err := subscriptionLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("subscriptions", err)
	}
	rest, args := p.rest(subscriptionConditions(filter))
	err = s.read(ctx, func(tx *sql.Tx) error {
		list, err = s.subscriptionsOf(ctx, tx, rest, s.planned(args))
		return err
	})
	if err != nil {
		return nil, "", s.listFailed("subscriptions", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// CountSubscriptions counts the subscriptions that the filter selects.
func (s *Store) CountSubscriptions(ctx context.Context, filter billing.SubscriptionFilter) (aaa.Count, error) {
	return s.count(ctx, "subscriptions", "subscriptions", subscriptionConditions(filter))
}
