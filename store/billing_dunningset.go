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

// dunningSetting is the name of the settings of dunning in the table settings.
const dunningSetting = "billing.dunning"

// DunningSettings returns what is done about invoices that are not paid, and when that was
// changed; zero: never, and nothing is done.
func (s *Store) DunningSettings(ctx context.Context) (billing.Dunning, time.Time, error) {
	settings, changed, err := readDunningSettings(ctx, s.reader)
	return settings, changed, s.failed("read the settings of dunning", err)
}

func readDunningSettings(ctx context.Context, q querier) (settings billing.Dunning, changed time.Time, err error) {
	settings = billing.DefaultDunning()
	err = q.QueryRowContext(ctx, "SELECT value, updated_at FROM settings WHERE name = $1", dunningSetting).
		Scan(structured[billing.Dunning]{&settings}, moment{&changed})
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return settings, changed, err
}

// UpdateDunningSettings lets fn change what is done about invoices that are not paid, in
// one transaction with an entry in the audit log. fn may be called more than once; changed
// is when the settings it gets were made. It returns them as they are then. What was done
// already stays until it is paid.
func (s *Store) UpdateDunningSettings(ctx context.Context, fn func(settings *billing.Dunning, changed time.Time) error) (settings billing.Dunning, changed time.Time, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if tx.postgres {
			if _, err := tx.ExecContext(ctx, settingsLock); err != nil {
				return err
			}
		}
		if settings, changed, err = readDunningSettings(ctx, tx); err != nil {
			return err
		}
		before, err := dunningFacts(&settings)
		if err != nil {
			return err
		}
		if err := fn(&settings, changed); err != nil {
			return err
		}
		if err := settings.Validate(); err != nil {
			return err
		}
		if err := groupExists(ctx, tx, settings.RestrictGroup); err != nil {
			return err
		}
		after, err := dunningFacts(&settings)
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
			dunningSetting, structured[billing.Dunning]{&settings}, moment{&changed})
		if err != nil {
			return err
		}
		return tx.record(ctx, operator.AuditEntry{Action: "billing.dunning.update", EntityKind: "settings", EntityName: "dunning", Changes: changes}, "settings.updated")
	})
	return settings, changed, s.failed("change the settings of dunning", err)
}

// dunningFacts are the settings for the audit log.
func dunningFacts(d *billing.Dunning) ([]fact, error) {
	var values map[string]any
	encoded, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(encoded, &values); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var facts []fact
	for _, name := range []string{"steps", "grace_days", "restrict_group", "restrict_priority", "restrict_live"} {
		f, err := newFact(name, values[name], values[name])
		if err != nil {
			return nil, err
		}
		facts = append(facts, f)
	}
	return facts, nil
}
