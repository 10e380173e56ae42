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

// Profile is personal data of a user, apart from credentials. Nothing on the
// network reads it.
type Profile struct {
	FullName string
	Email    string
	Phone    string
	Address  string
	Note     string
}

func profileFields(userID *uuid.UUID, p *Profile, updatedAt *time.Time) []field {
	return []field{
		{"user_id", id{userID}},
		{"full_name", text{&p.FullName}},
		{"email", text{&p.Email}},
		{"phone", text{&p.Phone}},
		{"address", text{&p.Address}},
		{"note", text{&p.Note}},
		{"updated_at", moment{updatedAt}},
	}
}

// UserProfile returns a user's profile; one that was never set is empty.
func (s *Store) UserProfile(ctx context.Context, username string) (Profile, error) {
	var p Profile
	var userID uuid.UUID
	err := s.read(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT id FROM users WHERE username = $1", username).Scan(id{&userID})
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("user", username)
		}
		if err != nil {
			return err
		}
		var updatedAt time.Time
		fields := profileFields(&userID, &p, &updatedAt)
		err = tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM user_profiles WHERE user_id = $1", userID.String()).
			Scan(targets(fields)...)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return p, users.failed(s, "read profile of", username, err)
}

// UpdateUserProfile lets fn change a user's profile. fn may be called more than
// once.
func (s *Store) UpdateUserProfile(ctx context.Context, username string, fn func(*Profile) error) error {
	err := s.write(ctx, func(tx *writeTx) error {
		var userID uuid.UUID
		err := tx.QueryRowContext(ctx, "SELECT id FROM users WHERE username = $1"+tx.forUpdate(), username).Scan(id{&userID})
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("user", username)
		}
		if err != nil {
			return err
		}
		var p Profile
		var updatedAt time.Time
		fields := profileFields(&userID, &p, &updatedAt)
		err = tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM user_profiles WHERE user_id = $1", userID.String()).
			Scan(targets(fields)...)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := fn(&p); err != nil {
			return err
		}
		updatedAt = s.timestamp()
		return upsert(ctx, tx, "user_profiles", "user_id", listed(fields))
	})
	return users.failed(s, "change profile of", username, err)
}

// EachUserProfile calls fn for every user that has a profile.
func (s *Store) EachUserProfile(ctx context.Context, fn func(userID uuid.UUID, p Profile) error) error {
	var userID uuid.UUID
	var p Profile
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
