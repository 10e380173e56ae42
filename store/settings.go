package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"radiusd/aaa"
	"radiusd/operator"
)

// settingPrefix is what the names of aaa.Settings begin with in the table settings.
const settingPrefix = "retention."

// settingsLock names the advisory lock of those who change settings.
const settingsLock = "SELECT pg_advisory_xact_lock(hashtext('radiusd settings'))"

// Settings returns the settings as they are.
func (s *Store) Settings(ctx context.Context) (aaa.Settings, error) {
	settings, err := readSettings(ctx, s.reader)
	if err != nil {
		return settings, fmt.Errorf("read settings: %w", s.explain(err))
	}
	return settings, nil
}

// UpdateSettings lets fn change the settings and writes them, in one transaction, with an
// entry in the audit log. fn may be called more than once. It returns them as they are
// then, and fails with aaa.FieldErrors if they are not valid.
func (s *Store) UpdateSettings(ctx context.Context, fn func(*aaa.Settings) error) (settings aaa.Settings, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if tx.postgres {
			if _, err := tx.ExecContext(ctx, settingsLock); err != nil {
				return err
			}
		}
		if settings, err = readSettings(ctx, tx); err != nil {
			return err
		}
		before, err := settingFacts(&settings)
		if err != nil {
			return err
		}
		if err := fn(&settings); err != nil {
			return err
		}
		if err := settings.Validate(); err != nil {
			return err
		}
		if err := keepForBilling(ctx, tx, &settings); err != nil {
			return err
		}
		after, err := settingFacts(&settings)
		if err != nil || same(before, after) {
			return err
		}
		settings.UpdatedAt = s.timestampAfter(settings.UpdatedAt)
		if err := saveSettings(ctx, tx, &settings); err != nil {
			return err
		}
		changes, err := changesOf(before, after)
		if err != nil {
			return err
		}
		return tx.record(ctx, operator.AuditEntry{Action: "settings.update", EntityKind: "settings", EntityName: "settings", Changes: changes}, "settings.updated")
	})
	if err != nil {
		return settings, fmt.Errorf("change settings: %w", s.explain(err))
	}
	return settings, nil
}

// keepForBilling refuses to lose records that billing may need.
func keepForBilling(ctx context.Context, tx *writeTx, settings *aaa.Settings) error {
	days, err := billingRecordDays(ctx, tx)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range settings.Fields() {
		if f.Days != &settings.AccountingRetentionDays && f.Days != &settings.SessionPseudonymiseDays {
			continue
		}
		if *f.Days != nil && **f.Days > 0 && **f.Days < days {
			errs = append(errs, &aaa.FieldError{Field: f.Name, Message: fmt.Sprintf(
				"%s must be at least %d, or 0: so long billing looks back at accounting records, as a price charges for usage at certain hours", f.Name, days)})
		}
	}
	return errors.Join(errs...)
}

// BillingRecordDays returns for how many days accounting records must be kept for billing;
// 0: no price needs them, as it charges by usage_daily.
func (s *Store) BillingRecordDays(ctx context.Context) (int, error) {
	days, err := billingRecordDays(ctx, s.reader)
	return days, s.failed("read for how long billing needs records", err)
}

func billingRecordDays(ctx context.Context, q querier) (int, error) {
	var needed bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM rates WHERE terms LIKE '%"hours":"_%' AND (retired_at IS NULL OR EXISTS (SELECT 1 FROM subscriptions
		WHERE state <> 'ended' AND (rate_id = rates.id OR next_rate_id = rates.id))))`).Scan(flag{&needed})
	if err != nil || !needed {
		return 0, err
	}
	settings, _, err := billingSetting.read(ctx, q)
	return settings.RecordDays(), err
}

func readSettings(ctx context.Context, q querier) (settings aaa.Settings, err error) {
	var name, value string
	var at time.Time
	err = eachRow(ctx, q, "SELECT name, value, updated_at FROM settings WHERE name >= $1 AND name < $2",
		[]any{settingPrefix, settingPrefix + "\U0010FFFF"}, []any{&name, &value, moment{&at}}, func() error {
			for _, f := range settings.Fields() {
				if f.Name != strings.TrimPrefix(name, settingPrefix) {
					continue
				}
				if at.After(settings.UpdatedAt) {
					settings.UpdatedAt = at
				}
				if value == "" {
					continue // it was set, and is not any more
				}
				days, err := strconv.Atoi(value)
				if err != nil {
					return fmt.Errorf("setting %s: %w", name, err)
				}
				*f.Days = &days
			}
			return nil
		})
	return settings, err
}

func saveSettings(ctx context.Context, tx *writeTx, settings *aaa.Settings) error {
	for _, f := range settings.Fields() {
		value := ""
		if *f.Days != nil {
			value = strconv.Itoa(**f.Days)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`,
			settingPrefix+f.Name, value, moment{&settings.UpdatedAt})
		if err != nil {
			return err
		}
	}
	return nil
}

func settingFacts(settings *aaa.Settings) ([]fact, error) {
	var facts []fact
	for _, f := range settings.Fields() {
		var value any
		if *f.Days != nil {
			value = **f.Days
		}
		made, err := newFact(f.Name, value, value)
		if err != nil {
			return nil, err
		}
		facts = append(facts, made)
	}
	return facts, nil
}

// inForce returns the retention that the settings make of the configuration's.
func (keep Retention) inForce(settings *aaa.Settings) Retention {
	for _, f := range []struct {
		days   *int
		target *time.Duration
	}{
		{settings.AccountingRetentionDays, &keep.AccountingRecords},
		{settings.AuthRetentionDays, &keep.AuthRecords},
		{settings.SessionPseudonymiseDays, &keep.SessionNames},
		{settings.AuditRetentionDays, &keep.Audit},
		{settings.EventRetentionDays, &keep.Events},
	} {
		if f.days != nil {
			*f.target = time.Duration(*f.days) * 24 * time.Hour
		}
	}
	return keep
}

// setting reads a row of the table settings; empty: there is none.
func setting(ctx context.Context, q querier, name string) (value string, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// saveSetting writes a row of the table settings.
func saveSetting(ctx context.Context, tx *writeTx, name, value string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}
