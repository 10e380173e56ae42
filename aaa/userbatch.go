package aaa

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// MaxUserBatch is how many users a batch has at most.
const MaxUserBatch = 10_000

// UserBatch is users that were made together, for vouchers or a hotspot.
type UserBatch struct {
	ID        uuid.UUID // UUIDv7
	Name      string    // unique
	Prefix    string    // of the users' names
	Count     int       // how many were made
	PlanID    uuid.UUID // what they got; zero: no plan
	GroupIDs  []uuid.UUID
	ExpiresAt time.Time // zero: never
	CreatedBy string    // the operator, for people
	CreatedAt time.Time
	UpdatedAt time.Time
}

// BatchOptions says what names and passwords a batch is made with.
type BatchOptions struct {
	NameLength     int // random characters after the prefix; zero: 8; 6 to 32
	PasswordLength int // zero: 10; 8 to 64
}

// MadeUser is a user of a new batch. The password is nowhere else to be had.
type MadeUser struct {
	ID       uuid.UUID
	Name     string
	Password string
}

// BatchFilter selects batches.
type BatchFilter struct {
	Query string // what the name begins with, octet by octet
}

// withDefaults fills in what is zero.
func (o BatchOptions) withDefaults() BatchOptions {
	if o.NameLength == 0 {
		o.NameLength = 8
	}
	if o.PasswordLength == 0 {
		o.PasswordLength = 10
	}
	return o
}

// Validate reports everything that is wrong with a batch that is to be made, as joined
// [FieldError]s.
func (b *UserBatch) Validate(options BatchOptions) error {
	options = options.withDefaults()
	errs := []error{ValidateName("name", "batch", b.Name), validateTime("expires_at", b.ExpiresAt)}
	if b.Count < 1 || b.Count > MaxUserBatch {
		errs = append(errs, fieldErrorf("count", "a batch has 1 to %d users", MaxUserBatch))
	}
	if b.Prefix != "" {
		errs = append(errs, ValidateName("prefix", "user", b.Prefix))
	}
	if len(b.Prefix) > 64 {
		errs = append(errs, fieldErrorf("prefix", "the prefix has more than 64 octets"))
	}
	if options.NameLength < 6 || options.NameLength > 32 {
		errs = append(errs, fieldErrorf("name_length", "names have 6 to 32 random characters"))
	}
	if options.PasswordLength < 8 || options.PasswordLength > 64 {
		errs = append(errs, fieldErrorf("password_length", "passwords have 8 to 64 characters"))
	}
	seen := map[uuid.UUID]bool{}
	for i, id := range b.GroupIDs {
		if seen[id] {
			errs = append(errs, fieldErrorf(fmt.Sprintf("group_ids[%d]", i), "a group is named twice"))
		}
		seen[id] = true
	}
	return errors.Join(errs...)
}

// batchAlphabet has no characters that look like others on paper.
const batchAlphabet = "abcdefghjkmnpqrstuvwxyz23456789"

// MakeUsers makes up names and passwords for the batch, from random, which is
// crypto/rand's reader but in tests. No two names are the same.
func (b *UserBatch) MakeUsers(random io.Reader, options BatchOptions) ([]MadeUser, error) {
	options = options.withDefaults()
	made, names := make([]MadeUser, 0, b.Count), make(map[string]bool, b.Count)
	for len(made) < b.Count {
		name, err := randomText(random, options.NameLength)
		if err != nil {
			return nil, err
		}
		if names[name] {
			continue
		}
		names[name] = true
		password, err := randomText(random, options.PasswordLength)
		if err != nil {
			return nil, err
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		made = append(made, MadeUser{ID: id, Name: b.Prefix + name, Password: password})
	}
	return made, nil
}

// randomText returns characters of batchAlphabet, each as likely as the others.
func randomText(random io.Reader, length int) (string, error) {
	const fair = 256 / len(batchAlphabet) * len(batchAlphabet)
	text, octets := make([]byte, 0, length), make([]byte, length)
	for len(text) < length {
		if _, err := io.ReadFull(random, octets); err != nil {
			return "", fmt.Errorf("no random numbers: %w", err)
		}
		for _, octet := range octets {
			if int(octet) < fair && len(text) < length {
				text = append(text, batchAlphabet[int(octet)%len(batchAlphabet)])
			}
		}
	}
	return string(text), nil
}
