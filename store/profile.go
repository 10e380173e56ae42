package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

func profileFields(userID *uuid.UUID, p *aaa.Profile, updatedAt *time.Time) []field {
	return []field{
		{"user_id", id{userID}},
		{"full_name", personal{text{&p.FullName}}},
		{"email", personal{text{&p.Email}}},
		{"phone", personal{text{&p.Phone}}},
		{"address", personal{text{&p.Address}}},
		{"note", personal{text{&p.Note}}},
		{"updated_at", moment{updatedAt}},
	}
}

// readProfile returns a user's profile; one that was never set is empty.
func readProfile(ctx context.Context, q querier, userID uuid.UUID) (p aaa.Profile, err error) {
	var updatedAt time.Time
	fields := profileFields(&userID, &p, &updatedAt)
	err = q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM user_profiles WHERE user_id = $1", userID.String()).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return p, err
}

// UserProfile returns a user's profile; one that was never set is empty.
func (s *Store) UserProfile(ctx context.Context, username string) (aaa.Profile, error) {
	a, err := accounts.get(ctx, s, "username", username)
	if err != nil {
		return aaa.Profile{}, err
	}
	return a.profile, nil
}

// UpdateUserProfile lets fn change a user's profile. fn may be called more than
// once.
func (s *Store) UpdateUserProfile(ctx context.Context, username string, fn func(*aaa.Profile) error) error {
	return accounts.change(ctx, s, "username", username, func(a *account) error { return fn(&a.profile) })
}

// EachUserProfile calls fn for every user that has a profile.
func (s *Store) EachUserProfile(ctx context.Context, fn func(userID uuid.UUID, p aaa.Profile) error) error {
	var userID uuid.UUID
	var p aaa.Profile
	var updatedAt time.Time
	fields := profileFields(&userID, &p, &updatedAt)
	err := eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM user_profiles ORDER BY user_id", nil, targets(fields),
		func() error { return fn(userID, p) })
	if err != nil {
		return fmt.Errorf("read profiles: %w", s.explain(err))
	}
	return nil
}

var _ aaa.DirectoryStore = (*Store)(nil)
