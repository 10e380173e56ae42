package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

func chargeFields(c *billing.Charge) []field {
	return []field{
		{"id", id{&c.ID}},
		{"user_id", id{&c.UserID}},
		{"subscription_id", nullID{&c.SubscriptionID}},
		{"kind", term(&c.Kind)},
		{"description", personal{text{&c.Description}}},
		{"period_from", civil{&c.Period.From}},
		{"period_to", civil{&c.Period.To}},
		{"currency", term(&c.Currency)},
		{"quantity", decimal{&c.Quantity}},
		{"unit", text{&c.Unit}},
		{"unit_price", decimal{&c.UnitPrice}},
		{"amount", money(&c.Amount)},
		{"tax_class", text{&c.TaxClass}},
		{"tax_included", flag{&c.TaxIncluded}},
		{"inputs", structured[billing.Inputs]{&c.Inputs}},
		{"invoice_id", nullID{&c.InvoiceID}},
		{"created_at", moment{&c.CreatedAt}},
	}
}

var chargeLists = lister[billing.Charge]{
	name: "charges", sorts: billing.ChargeSorts(),
	keys: map[string]sortKey[billing.Charge]{"created_at": timeKey("created_at", func(c *billing.Charge) time.Time { return c.CreatedAt })},
	id:   idKey("id", func(c *billing.Charge) uuid.UUID { return c.ID }),
}

func chargeConditions(f billing.ChargeFilter) (c conditions) {
	for _, term := range []struct {
		column string
		id     uuid.UUID
	}{{"user_id", f.UserID}, {"subscription_id", f.SubscriptionID}, {"invoice_id", f.InvoiceID}} {
		if term.id != uuid.Nil {
			c.add(term.column+" = $%d", term.id.String())
		}
	}
	if f.Kind != "" {
		c.add("kind = $%d", term(&f.Kind))
	}
	if f.Pending != nil {
		c.add(map[bool]string{true: "invoice_id IS NULL", false: "invoice_id IS NOT NULL"}[*f.Pending])
	}
	return c
}

// insertCharges adds charges. One that exists already fails: it is the same one.
func (tx *writeTx) insertCharges(ctx context.Context, charges []billing.Charge) error {
	var c billing.Charge
	return insertRows(ctx, tx, "charges", filled(chargeFields(&c), len(charges), func(i int) { c = charges[i] }))
}

// CreateCharge charges a user by hand; the next run puts it on an invoice. A negative
// amount is a credit: prepaid days and orders are paid from it at once, invoices that are
// issued already are not. It sets the ID if that is zero, Kind, InvoiceID and CreatedAt. It
// fails with ErrNotFound if there is no such user, and as billing.CheckManual and
// billing.CheckCredit say.
func (s *Store) CreateCharge(ctx context.Context, charge *billing.Charge) error {
	c := *charge
	if c.ID == uuid.Nil {
		c.ID = uuid.Must(uuid.NewV7())
	}
	c.Kind, c.InvoiceID, c.CreatedAt = billing.ChargeManual, uuid.Nil, s.timestamp()
	if _, err := billing.ParseCurrency(string(c.Currency)); err != nil {
		return &billing.FieldError{Field: "currency", Message: err.Error()}
	}
	if c.Amount == 0 {
		return &billing.FieldError{Field: "amount", Message: "a charge is of an amount other than 0"}
	}
	if err := checkAmount(c.Amount, c.Currency); err != nil {
		return err
	}
	if c.Description == "" {
		return &billing.FieldError{Field: "description", Message: "a charge needs a description, which stands on the invoice"}
	}
	if err := billing.CheckManual(&c); err != nil {
		return err
	}
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, c.ID); err != nil {
			return err
		}
		if _, err := tx.lockAccounts(ctx, []uuid.UUID{c.UserID}); err != nil { // or the user is deleted meanwhile
			return err
		}
		if err := tx.userExists(ctx, c.UserID); err != nil {
			return err
		}
		subscriptions, err := s.subscriptionsOf(ctx, tx.Tx, "WHERE user_id = $1 AND state <> 'ended' ORDER BY created_at, id", []any{c.UserID.String()})
		if err == nil {
			err = billing.CheckCredit(&c, subscriptions)
		}
		if err != nil {
			return err
		}
		if err := tx.insertCharges(ctx, []billing.Charge{c}); err != nil {
			return err
		}
		if err := tx.recordFields(ctx, "charges.create", "charge", c.ID, "", nil, chargeFields(&c), "charge.created"); err != nil || c.Amount > 0 {
			return err
		}
		return tx.settle(ctx, []uuid.UUID{c.UserID})
	})
	if err != nil {
		return s.failed("create charge", err)
	}
	*charge = c
	return nil
}

// userExists fails with ErrNotFound if there is no such user.
func (tx *writeTx) userExists(ctx context.Context, userID uuid.UUID) error {
	var one int
	err := tx.QueryRowContext(ctx, "SELECT 1 FROM users WHERE id = $1", userID.String()).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound("user", userID.String())
	}
	return err
}

// DeleteCharge takes back a charge that was made by hand and is on no invoice yet.
func (s *Store) DeleteCharge(ctx context.Context, chargeID uuid.UUID) error {
	err := s.write(ctx, func(tx *writeTx) error {
		c, err := findCharge(ctx, tx, chargeID, "")
		if err != nil {
			return err
		}
		if _, err := tx.lockAccounts(ctx, []uuid.UUID{c.UserID}); err != nil {
			return err
		}
		if c, err = findCharge(ctx, tx, chargeID, tx.forUpdate()); err != nil {
			return err
		}
		if c.Kind != billing.ChargeManual || c.InvoiceID != uuid.Nil {
			return billing.Refuse(billing.CodeChargeState, "only what was charged by hand and is on no invoice can be taken back; others are credited")
		}
		before, err := factsOf(chargeFields(c))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM charges WHERE id = $1", chargeID.String()); err != nil {
			return err
		}
		if err := tx.recordFields(ctx, "charges.delete", "charge", chargeID, "", before, nil, "charge.deleted"); err != nil {
			return err
		}
		return tx.settle(ctx, []uuid.UUID{c.UserID})
	})
	return s.failed("delete charge "+chargeID.String(), err)
}

func findCharge(ctx context.Context, q querier, chargeID uuid.UUID, lock string) (*billing.Charge, error) {
	var c billing.Charge
	fields := chargeFields(&c)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM charges WHERE id = $1"+lock, chargeID.String()).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("charge", chargeID.String())
	}
	return &c, err
}

// ChargeByID returns a charge. It fails with ErrNotFound.
func (s *Store) ChargeByID(ctx context.Context, chargeID uuid.UUID) (*billing.Charge, error) {
	c, err := findCharge(ctx, s.reader, chargeID, "")
	if err != nil {
		return nil, s.failed("read charge "+chargeID.String(), err)
	}
	return c, nil
}

// ListChargesPage returns a page of charges, and the cursor of the next page; empty:
// there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListChargesPage(ctx context.Context, filter billing.ChargeFilter, page aaa.Page) ([]billing.Charge, string, error) {
	return listRows(ctx, s, chargeLists, "charges", chargeFields, chargeConditions(filter), filter, page)
}

// ChargeSessions returns the sessions behind a charge: a page of those that the user had
// in its period, by the present name and those before. A charge for no period has none.
func (s *Store) ChargeSessions(ctx context.Context, chargeID uuid.UUID, page aaa.Page) (list []aaa.Session, next string, err error) {
	c, err := s.ChargeByID(ctx, chargeID)
	if err != nil {
		return nil, "", err
	}
	if c.Period.From.IsZero() || c.Period.To.IsZero() {
		return nil, "", nil
	}
	p, err := sessionLists.begin(page, chargeID)
	if err != nil {
		return nil, "", s.listFailed("sessions", err)
	}
	began, ends := c.Period.From.Start(s.location), c.Period.To.Start(s.location)
	err = s.read(ctx, func(tx *sql.Tx) error {
		names, err := recordNames(ctx, tx, c.UserID)
		if err != nil {
			return err
		}
		var where conditions
		var any []string
		for _, n := range names {
			var one conditions
			one.args = where.args
			one.add("username = $%d", n.Name)
			one.span("started_at", n.From, n.Before)
			any, where.args = append(any, strings.Join(one.terms, " AND ")), one.args
		}
		where.terms = []string{"(" + strings.Join(any, " OR ") + ")"}
		where.add("started_at < $%d AND (stopped_at IS NULL OR stopped_at >= $%d)", moment{&ends}, moment{&began})
		rest, args := p.rest(where)
		list, err = listSessions(ctx, tx, rest, s.planned(args))
		return err
	})
	if err != nil {
		return nil, "", s.listFailed("sessions", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// ChargeUsage returns what is known now of the user's usage on the days of a charge; what
// was known then stands in its Inputs.
func (s *Store) ChargeUsage(ctx context.Context, chargeID uuid.UUID) (list []billing.DayUsage, err error) {
	c, err := s.ChargeByID(ctx, chargeID)
	if err != nil || c.Period.From.IsZero() || c.Period.To.IsZero() {
		return nil, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		list, err = s.usageOf(ctx, tx, c.UserID, c.Period)
		return err
	})
	if err != nil {
		return nil, s.failed("read usage of charge "+chargeID.String(), err)
	}
	return list, nil
}

// usageOf returns what a user used on days, under whatever name, in order.
func (s *Store) usageOf(ctx context.Context, q querier, userID uuid.UUID, days billing.Span) (list []billing.DayUsage, err error) {
	names, err := recordNames(ctx, q, userID)
	if err != nil {
		return nil, err
	}
	sums := map[billing.Date]billing.DayUsage{}
	for _, n := range names {
		c := n.days(s)
		c.add("day >= $%d", civil{&days.From})
		if !days.To.IsZero() {
			c.add("day < $%d", civil{&days.To})
		}
		var d billing.DayUsage
		err := eachRow(ctx, q, "SELECT day, session_seconds, input_octets, output_octets FROM usage_daily"+c.where(), c.args,
			[]any{civil{&d.Day}, whole[uint64]{&d.Seconds}, whole[uint64]{&d.Upload}, whole[uint64]{&d.Download}}, func() error {
				sum := sums[d.Day]
				sums[d.Day] = billing.DayUsage{Day: d.Day, Seconds: sum.Seconds + d.Seconds, Upload: sum.Upload + d.Upload, Download: sum.Download + d.Download}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b billing.DayUsage) int { return a.Day.Compare(b.Day) }), nil
}
