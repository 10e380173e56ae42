package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"radiusd/operator"
)

// A settingRow is a row of the table settings that holds a structure as JSON.
type settingRow[T any] struct {
	name   string
	preset func() T // when there is no row
	facts  []string // the fields that the audit log tells of, by their names in JSON
	action string   // in the audit log
	entity string   // its name there
}

// read returns the setting, and when it was changed; zero: never.
func (d *settingRow[T]) read(ctx context.Context, q querier) (value T, changed time.Time, err error) {
	value = d.preset()
	err = q.QueryRowContext(ctx, "SELECT value, updated_at FROM settings WHERE name = $1", d.name).
		Scan(structured[T]{&value}, moment{&changed})
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return value, changed, err
}

// update lets fn change and check the setting, in one transaction with an entry in the
// audit log. fn may be called more than once.
func (d *settingRow[T]) update(ctx context.Context, s *Store, fn func(tx *writeTx, value *T, changed time.Time) error) (value T, changed time.Time, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if tx.postgres {
			if _, err := tx.ExecContext(ctx, settingsLock); err != nil {
				return err
			}
		}
		if value, changed, err = d.read(ctx, tx); err != nil {
			return err
		}
		before, err := d.factsOf(&value)
		if err != nil {
			return err
		}
		if err := fn(tx, &value, changed); err != nil {
			return err
		}
		after, err := d.factsOf(&value)
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
			d.name, structured[T]{&value}, moment{&changed})
		if err != nil {
			return err
		}
		return tx.record(ctx, operator.AuditEntry{Action: d.action, EntityKind: "settings", EntityName: d.entity, Changes: changes}, "settings.updated")
	})
	return value, changed, err
}

func (d *settingRow[T]) factsOf(value *T) ([]fact, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if err := json.Unmarshal(encoded, &values); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	facts := make([]fact, 0, len(d.facts))
	for _, name := range d.facts {
		f, err := newFact(name, values[name], values[name])
		if err != nil {
			return nil, err
		}
		facts = append(facts, f)
	}
	return facts, nil
}
