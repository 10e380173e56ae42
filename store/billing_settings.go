package store

import (
	"context"
	"time"

	"radiusd/billing"
)

// billingSetting is how bills are made.
var billingSetting = settingRow[billing.Settings]{
	name: "billing", preset: billing.DefaultSettings, action: "billing.settings.update", entity: "billing",
	facts: []string{"seller", "series", "credit_series", "settle_days", "look_back_days", "due_days", "send_invoices"},
}

// BillingSettings returns how bills are made, and when that was changed; zero: never.
func (s *Store) BillingSettings(ctx context.Context) (billing.Settings, time.Time, error) {
	settings, changed, err := billingSetting.read(ctx, s.reader)
	return settings, changed, s.failed("read the settings of billing", err)
}

// UpdateBillingSettings lets fn change how bills are made, in one transaction with an
// entry in the audit log. fn may be called more than once. It returns the settings as
// they are then.
func (s *Store) UpdateBillingSettings(ctx context.Context, fn func(*billing.Settings) error) (billing.Settings, error) {
	settings, _, err := billingSetting.update(ctx, s, func(_ *writeTx, settings *billing.Settings, _ time.Time) error {
		if err := fn(settings); err != nil {
			return err
		}
		return settings.Validate()
	})
	return settings, s.failed("change the settings of billing", err)
}
