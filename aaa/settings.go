package aaa

import (
	"errors"
	"time"
)

// Settings are what can be changed while the servers run; it is in force at the next
// maintenance, within an hour. A nil number of days is the configuration's, or if it has
// none, the default.
type Settings struct {
	// AccountingRetentionDays and AuthRetentionDays are how long accounting records and
	// login decisions are kept; zero: for good; nil: store.retention_days.
	AccountingRetentionDays, AuthRetentionDays *int
	// SessionPseudonymiseDays is after how many days a session that has stopped, and its
	// records, lose the user's name, addresses and station. Zero and nil: never.
	SessionPseudonymiseDays *int
	// AuditRetentionDays is how long the audit log is kept; zero and nil: for good.
	AuditRetentionDays *int
	// EventRetentionDays is how long events of the outbox are kept that have been
	// delivered, at least 1; nil: a week.
	EventRetentionDays *int
	// UpdatedAt is when a setting was changed last; zero: never. Every change gives
	// another one.
	UpdatedAt time.Time
}

// SettingField is one of the settings.
type SettingField struct {
	Name string // as in the tables and the API
	Days **int
	// Least and Most bound the value.
	Least, Most int
}

// Fields returns the settings, which they point into.
func (s *Settings) Fields() []SettingField {
	const century = 36500
	return []SettingField{
		{"accounting_retention_days", &s.AccountingRetentionDays, 0, century},
		{"auth_retention_days", &s.AuthRetentionDays, 0, century},
		{"session_pseudonymise_days", &s.SessionPseudonymiseDays, 0, century},
		{"audit_retention_days", &s.AuditRetentionDays, 0, century},
		{"event_retention_days", &s.EventRetentionDays, 1, 3650},
	}
}

// Validate reports everything that is wrong, as joined [FieldError]s.
func (s *Settings) Validate() error {
	var errs []error
	for _, f := range s.Fields() {
		if days := *f.Days; days != nil && (*days < f.Least || *days > f.Most) {
			errs = append(errs, fieldErrorf(f.Name, "%s must be from %d to %d", f.Name, f.Least, f.Most))
		}
	}
	return errors.Join(errs...)
}
