package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"radiusd/billing"
	"radiusd/operator"
)

// billingSetting is the name of the billing's settings in the table settings.
const billingSetting = "billing"

// BillingSettings returns how bills are made, and when that was changed; zero: never.
func (s *Store) BillingSettings(ctx context.Context) (billing.Settings, time.Time, error) {
	settings, changed, err := readBillingSettings(ctx, s.reader)
	return settings, changed, s.failed("read the settings of billing", err)
}

func readBillingSettings(ctx context.Context, q querier) (settings billing.Settings, changed time.Time, err error) {
	settings = billing.DefaultSettings()
	err = q.QueryRowContext(ctx, "SELECT value, updated_at FROM settings WHERE name = $1", billingSetting).
		Scan(structured[billing.Settings]{&settings}, moment{&changed})
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return settings, changed, err
}

// UpdateBillingSettings lets fn change how bills are made, in one transaction with an
// entry in the audit log. fn may be called more than once. It returns the settings as
// they are then.
func (s *Store) UpdateBillingSettings(ctx context.Context, fn func(*billing.Settings) error) (settings billing.Settings, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if tx.postgres {
			if _, err := tx.ExecContext(ctx, settingsLock); err != nil {
				return err
			}
		}
		var changed time.Time
		if settings, changed, err = readBillingSettings(ctx, tx); err != nil {
			return err
		}
		before, err := billingFacts(&settings)
		if err != nil {
			return err
		}
		if err := fn(&settings); err != nil {
			return err
		}
		if err := settings.Validate(); err != nil {
			return err
		}
		after, err := billingFacts(&settings)
		if err != nil || same(before, after) {
			return err
		}
		changes, err := changesOf(before, after)
		if err != nil {
			return err
		}
		changed = s.timestampAfter(changed)
		_, err = tx.ExecContext(ctx, `INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`,
			billingSetting, structured[billing.Settings]{&settings}, moment{&changed})
		if err != nil {
			return err
		}
		return tx.record(ctx, operator.AuditEntry{Action: "billing.settings.update", EntityKind: "settings", EntityName: "billing", Changes: changes}, "settings.updated")
	})
	return settings, s.failed("change the settings of billing", err)
}

// billingFacts are the settings for the audit log.
func billingFacts(settings *billing.Settings) ([]fact, error) {
	var values map[string]any
	encoded, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(encoded, &values); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var facts []fact
	for _, name := range []string{"seller", "series", "credit_series", "settle_days", "look_back_days", "due_days", "send_invoices"} {
		f, err := newFact(name, values[name], values[name])
		if err != nil {
			return nil, err
		}
		facts = append(facts, f)
	}
	return facts, nil
}
