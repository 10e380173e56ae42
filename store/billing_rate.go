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
	"radiusd/operator"
)

func rateFields(r *billing.Rate) []field {
	return []field{
		{"id", id{&r.ID}},
		{"plan_id", id{&r.PlanID}},
		{"version", whole[int]{&r.Version}},
		{"currency", term(&r.Currency)},
		{"terms", structured[billing.Terms]{&r.Terms}},
		{"created_at", moment{&r.CreatedAt}},
		{"retired_at", moment{&r.RetiredAt}},
	}
}

// listedRate are the fields of a rate that is read.
func listedRate(r *billing.Rate) []field {
	return append(rateFields(r), field{"(SELECT name FROM plans WHERE plans.id = rates.plan_id)", text{&r.PlanName}})
}

var rateLists = lister[billing.Rate]{
	name: "rates", sorts: billing.RateSorts(),
	keys: map[string]sortKey[billing.Rate]{"created_at": timeKey("created_at", func(r *billing.Rate) time.Time { return r.CreatedAt })},
	id:   idKey("id", func(r *billing.Rate) uuid.UUID { return r.ID }),
}

func rateConditions(f billing.RateFilter) (c conditions) {
	if f.PlanID != uuid.Nil {
		c.add("plan_id = $%d", f.PlanID.String())
	}
	if f.Offered != nil {
		if *f.Offered {
			c.add("retired_at IS NULL")
		} else {
			c.add("retired_at IS NOT NULL")
		}
	}
	return c
}

// CreateRate adds a version of what the plan costs, which is offered from now on in place
// of the one before; subscribers keep theirs. It sets the rate's ID if that is zero, its
// Version, PlanName and CreatedAt. It fails with ErrNotFound if there is no such plan.
func (s *Store) CreateRate(ctx context.Context, rate *billing.Rate) error {
	r := *rate
	if r.ID == uuid.Nil {
		r.ID = uuid.Must(uuid.NewV7())
	}
	if err := r.Terms.Validate(r.Currency); err != nil {
		return err
	}
	for i, u := range r.Terms.Usage {
		if _, err := aaa.ParseLoginHours(u.Hours); err != nil {
			return &billing.FieldError{Field: "usage", Message: fmt.Sprintf("usage %d: %v", i+1, err)}
		}
	}
	r.CreatedAt, r.RetiredAt = s.timestamp(), time.Time{}
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, r.ID); err != nil {
			return err
		}
		// Whoever makes another version of the plan waits here.
		err := tx.QueryRowContext(ctx, "SELECT name FROM plans WHERE id = $1"+tx.forUpdate(), r.PlanID.String()).Scan(&r.PlanName)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("plan", r.PlanID.String())
		}
		if err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) + 1 FROM rates WHERE plan_id = $1", r.PlanID.String()).
			Scan(&r.Version); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE rates SET retired_at = $2 WHERE plan_id = $1 AND retired_at IS NULL",
			r.PlanID.String(), moment{&r.CreatedAt}); err != nil {
			return err
		}
		if err := insert(ctx, tx.Tx, "rates", rateFields(&r)); err != nil {
			return err
		}
		return tx.recordFields(ctx, "rates.create", "rate", r.ID, rateLabel(&r), nil, rateFields(&r), "rate.created")
	})
	if err != nil {
		return s.failed("create rate", err)
	}
	*rate = r
	return nil
}

// RetireRate ends the offer of a rate. Who has it keeps it.
func (s *Store) RetireRate(ctx context.Context, rateID uuid.UUID) error {
	err := s.write(ctx, func(tx *writeTx) error {
		r, err := findRate(ctx, tx, rateID, tx.forUpdate())
		if err != nil || !r.RetiredAt.IsZero() {
			return err
		}
		before, err := factsOf(rateFields(r))
		if err != nil {
			return err
		}
		r.RetiredAt = s.timestamp()
		if err := update(ctx, tx.Tx, "rates", rateFields(r)); err != nil {
			return err
		}
		return tx.recordFields(ctx, "rates.retire", "rate", r.ID, rateLabel(r), before, rateFields(r), "rate.retired")
	})
	return s.failed("retire rate "+rateID.String(), err)
}

// rateLabel names a rate for people.
func rateLabel(r *billing.Rate) string { return fmt.Sprintf("%s, version %d", r.PlanName, r.Version) }

func findRate(ctx context.Context, q querier, rateID uuid.UUID, lock string) (*billing.Rate, error) {
	var r billing.Rate
	fields := listedRate(&r)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM rates WHERE id = $1"+lock, rateID.String()).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("rate", rateID.String())
	}
	return &r, err
}

// ratesByID reads rates of which there may be many.
func (s *Store) ratesByID(ctx context.Context, tx *sql.Tx, ids []uuid.UUID) (map[uuid.UUID]billing.Rate, error) {
	rates := make(map[uuid.UUID]billing.Rate, len(ids))
	var r billing.Rate
	fields := listedRate(&r)
	chunks := &writeTx{Tx: tx, postgres: s.pool != nil}
	err := eachChunk(chunks, "id", "uuid", texts(ids), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM rates WHERE "+which, args, targets(fields), func() error {
			rates[r.ID] = r
			return nil
		})
	})
	return rates, err
}

// RateByID returns a rate. It fails with ErrNotFound.
func (s *Store) RateByID(ctx context.Context, rateID uuid.UUID) (*billing.Rate, error) {
	r, err := findRate(ctx, s.reader, rateID, "")
	if err != nil {
		return nil, s.failed("read rate "+rateID.String(), err)
	}
	return r, nil
}

// OfferedRate returns the rate of a plan that is offered to new subscribers. It fails
// with ErrNotFound if there is none.
func (s *Store) OfferedRate(ctx context.Context, planID uuid.UUID) (*billing.Rate, error) {
	var r billing.Rate
	fields := listedRate(&r)
	err := s.reader.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM rates WHERE plan_id = $1 AND retired_at IS NULL", planID.String()).
		Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = notFound("rate of plan", planID.String())
	}
	if err != nil {
		return nil, s.failed("read rate", err)
	}
	return &r, nil
}

// ListRatesPage returns a page of rates, and the cursor of the next page; empty: there
// is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListRatesPage(ctx context.Context, filter billing.RateFilter, page aaa.Page) ([]billing.Rate, string, error) {
	return listRows(ctx, s, rateLists, "rates", listedRate, rateConditions(filter), filter, page)
}

// listRows reads a page of a table by itself.
func listRows[T any](ctx context.Context, s *Store, lists lister[T], table string, fields func(*T) []field, c conditions, filter any, page aaa.Page) (rows []T, next string, err error) {
	p, err := lists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed(lists.name, err)
	}
	rest, args := p.rest(c)
	var row T
	list := fields(&row)
	err = s.eachListed(ctx, "SELECT "+names(list)+" FROM "+table+rest, args, targets(list), func() error {
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, "", s.listFailed(lists.name, err)
	}
	rows, next = p.page(rows)
	return rows, next, nil
}

func taxRateFields(r *billing.TaxRate, createdAt, updatedAt *time.Time) []field {
	return []field{
		{"id", id{&r.ID}},
		{"class", text{&r.Class}},
		{"name", text{&r.Name}},
		{"percent", decimal{&r.Percent}},
		{"category", text{&r.Category}},
		{"exemption_reason", text{&r.ExemptionReason}},
		{"valid_from", civil{&r.From}},
		{"created_at", moment{createdAt}},
		{"updated_at", moment{updatedAt}},
	}
}

// oneTax fails if the class has another rate from that day on.
func (tx *writeTx) oneTax(ctx context.Context, r *billing.TaxRate) error {
	var other string
	err := tx.QueryRowContext(ctx, "SELECT name FROM tax_rates WHERE class = $1 AND valid_from = $2 AND name <> $3 LIMIT 1", text{&r.Class}, civil{&r.From}, text{&r.Name}).Scan(&other)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = &billing.FieldError{Field: "name", Message: fmt.Sprintf("class %s is taxed with %s from %s on: a class has one rate at a time, so delete that one, or set the sum of both under one name",
			r.Class, other, r.From)}
	}
	return err
}

// SetTaxRate writes what a class is taxed with from a day on: a new rate, or in place of
// the one of the same Class, Name and From, whose ID it takes. Invoices that are issued
// keep the tax they have.
func (s *Store) SetTaxRate(ctx context.Context, rate *billing.TaxRate) error {
	if err := rate.Validate(); err != nil {
		return err
	}
	r := *rate
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.oneTax(ctx, &r); err != nil {
			return err
		}
		var old billing.TaxRate
		var createdAt, updatedAt time.Time
		var before []fact
		now := s.timestamp()
		fields := taxRateFields(&old, &createdAt, &updatedAt)
		err := tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM tax_rates WHERE class = $1 AND name = $2 AND valid_from = $3"+tx.forUpdate(),
			text{&r.Class}, text{&r.Name}, civil{&r.From}).Scan(targets(fields)...)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			createdAt = now
			if r.ID == uuid.Nil {
				r.ID = uuid.Must(uuid.NewV7())
			}
		case err != nil:
			return err
		default:
			r.ID = old.ID
			if before, err = factsOf(fields); err != nil {
				return err
			}
		}
		if err := tx.claimKey(ctx, r.ID); err != nil {
			return err
		}
		updatedAt = now
		fields = taxRateFields(&r, &createdAt, &updatedAt)
		after, err := factsOf(fields)
		if err != nil || before != nil && same(before, after) {
			return err
		}
		if before == nil {
			err = retryOnUnique(insert(ctx, tx.Tx, "tax_rates", fields))
		} else {
			err = update(ctx, tx.Tx, "tax_rates", fields)
		}
		if err != nil {
			return err
		}
		return tx.recordFields(ctx, "tax_rates.set", "tax_rate", r.ID, r.Class+" "+r.Name, before, fields, "tax_rate.set")
	})
	if err != nil {
		return s.failed("set tax rate", err)
	}
	*rate = r
	return nil
}

// DeleteTaxRate takes a tax rate away. Invoices that are issued keep the tax they have.
func (s *Store) DeleteTaxRate(ctx context.Context, rateID uuid.UUID) error {
	err := s.write(ctx, func(tx *writeTx) error {
		var r billing.TaxRate
		var createdAt, updatedAt time.Time
		fields := taxRateFields(&r, &createdAt, &updatedAt)
		err := tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM tax_rates WHERE id = $1"+tx.forUpdate(), rateID.String()).Scan(targets(fields)...)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("tax rate", rateID.String())
		}
		if err != nil {
			return err
		}
		before, err := factsOf(fields)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM tax_rates WHERE id = $1", rateID.String()); err != nil {
			return err
		}
		return tx.recordFields(ctx, "tax_rates.delete", "tax_rate", r.ID, r.Class+" "+r.Name, before, nil, "tax_rate.deleted")
	})
	return s.failed("delete tax rate "+rateID.String(), err)
}

// TaxRates returns all tax rates by class, name and day.
func (s *Store) TaxRates(ctx context.Context) ([]billing.TaxRate, error) {
	list, err := taxRates(ctx, s.reader)
	return list, s.failed("read tax rates", err)
}

func taxRates(ctx context.Context, q querier) (list []billing.TaxRate, err error) {
	var r billing.TaxRate
	var createdAt, updatedAt time.Time
	fields := taxRateFields(&r, &createdAt, &updatedAt)
	err = eachRow(ctx, q, "SELECT "+names(fields)+" FROM tax_rates ORDER BY class, name, valid_from", nil, targets(fields), func() error {
		list = append(list, r)
		return nil
	})
	return list, err
}

// recordFields writes a change of a row into the audit log and the outbox. before is nil
// of a new row, after of one that has gone.
func (tx *writeTx) recordFields(ctx context.Context, action, kind string, entityID uuid.UUID, label string, before []fact, after []field, event string) error {
	var facts []fact
	var err error
	if after != nil {
		if facts, err = factsOf(after); err != nil {
			return err
		}
	}
	changes, err := changesOf(before, facts)
	if err != nil {
		return err
	}
	return tx.record(ctx, operator.AuditEntry{Action: action, EntityKind: kind, EntityID: entityID, EntityName: label, Changes: changes}, event)
}

// failed words an error of an action.
func (s *Store) failed(action string, err error) error {
	var repeated *operator.RepeatedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound), errors.As(err, &repeated), errors.Is(err, operator.ErrKeyReused), billing.IsRefusal(err):
		return err // that says all; action may have an id
	}
	return fmt.Errorf("%s: %w", action, s.explain(err))
}
