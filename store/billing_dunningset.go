package store

import (
	"context"
	"time"

	"radiusd/billing"
)

// dunningSetting is what is done about invoices that are not paid.
var dunningSetting = settingRow[billing.Dunning]{
	name: "billing.dunning", preset: billing.DefaultDunning, action: "billing.dunning.update", entity: "dunning",
	facts: []string{"steps", "grace_days", "restrict_group", "restrict_priority", "restrict_live"},
}

// DunningSettings returns what is done about invoices that are not paid, and when that was
// changed; zero: never, and nothing is done.
func (s *Store) DunningSettings(ctx context.Context) (billing.Dunning, time.Time, error) {
	settings, changed, err := dunningSetting.read(ctx, s.reader)
	return settings, changed, s.failed("read the settings of dunning", err)
}

// UpdateDunningSettings lets fn change what is done about invoices that are not paid, in
// one transaction with an entry in the audit log. fn may be called more than once; changed
// is when the settings it gets were made. It returns them as they are then. What was done
// already stays until it is paid.
func (s *Store) UpdateDunningSettings(ctx context.Context, fn func(settings *billing.Dunning, changed time.Time) error) (billing.Dunning, time.Time, error) {
	settings, changed, err := dunningSetting.update(ctx, s, func(tx *writeTx, settings *billing.Dunning, changed time.Time) error {
		if err := fn(settings, changed); err != nil {
			return err
		}
		if err := settings.Validate(); err != nil {
			return err
		}
		return groupExists(ctx, tx, settings.RestrictGroup)
	})
	return settings, changed, s.failed("change the settings of dunning", err)
}
