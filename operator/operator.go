package operator

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"radiusd/internal/mailaddr"
)

// Status says whether an operator may sign in.
type Status uint8

// The statuses. The zero value is active.
const (
	Active Status = iota
	Disabled
)

var statusNames = [...]string{"active", "disabled"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// ParseStatus reads a status as String writes it.
func ParseStatus(text string) (Status, error) {
	if i := slices.Index(statusNames[:], text); i >= 0 {
		return Status(i), nil
	}
	return 0, fmt.Errorf("%q is not one of %s", text, strings.Join(statusNames[:], ", "))
}

// Operator is a person who runs radiusd.
type Operator struct {
	ID uuid.UUID
	// Name is what he signs in with: unique, in the form of NormalizeName.
	Name        string
	DisplayName string
	Email       string
	Status      Status
	// Roles are the names of his roles, sorted.
	Roles []string
	// PasswordHash is in the PHC form of argon2id; nil if he has no password.
	PasswordHash []byte
	TOTP         TOTP
	// RecoveryCodes is how many recovery codes are left.
	RecoveryCodes int
	// Subject is who he is to an OIDC provider; zero if not linked to one.
	Subject Subject
	// TokensNotBefore ends every sign-in that began at this time or before.
	TokensNotBefore      time.Time
	LastSignInAt         time.Time
	CreatedAt, UpdatedAt time.Time
}

// TOTP is an operator's second factor (RFC 6238).
type TOTP struct {
	// Secret is shared with the operator's app; nil if none was enrolled.
	Secret []byte
	// EnabledAt is when a first code confirmed the secret. Zero: it is not asked for.
	EnabledAt time.Time
	// LastStep is the time step of the last code that was used; it and those before
	// are not taken again.
	LastStep uint64
}

// Enabled reports whether a code is asked for at sign-in.
func (t TOTP) Enabled() bool { return !t.EnabledAt.IsZero() }

// Subject names a person at an OIDC provider.
type Subject struct{ Issuer, ID string }

// HasRole reports whether the operator has the role of that name.
func (o *Operator) HasRole(name string) bool { return slices.Contains(o.Roles, name) }

// The longest texts, in octets.
const (
	maxName        = 64
	maxDisplayName = 200
	maxEmail       = 254 // RFC 5321 section 4.5.3.1.3
)

// NormalizeName returns the form in which names are kept and compared: without
// space around it and in lower case.
func NormalizeName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// ValidateName checks the name of an operator or a role: letters a-z, digits and
// . _ - @ +, beginning with a letter or digit. There are no letters that look like
// others.
func ValidateName(name string) error {
	if name == "" {
		return &FieldError{"name", "is empty"}
	}
	if len(name) > maxName {
		return &FieldError{"name", fmt.Sprintf("is longer than %d characters", maxName)}
	}
	for i := range len(name) {
		c := name[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || i > 0 && strings.IndexByte("._-@+", c) >= 0 {
			continue
		}
		return &FieldError{"name", "may only have a-z, 0-9 and . _ - @ +, and must begin with a letter or digit"}
	}
	return nil
}

// Validate checks what an operator may be given, and brings it into its form.
func (o *Operator) Validate() error {
	o.Name = NormalizeName(o.Name)
	if err := ValidateName(o.Name); err != nil {
		return err
	}
	if err := validateText("display_name", o.DisplayName, maxDisplayName); err != nil {
		return err
	}
	if o.Email = strings.TrimSpace(o.Email); o.Email != "" {
		if !mailaddr.Valid(o.Email) || len(o.Email) > maxEmail {
			return &FieldError{"email", "is not an address for electronic mail"}
		}
	}
	o.Roles = slices.Compact(slices.Sorted(slices.Values(o.Roles)))
	return validateSubject(o.Subject)
}

// validateText refuses what cannot be shown in a line.
func validateText(field, s string, longest int) error {
	switch {
	case len(s) > longest:
		return &FieldError{field, fmt.Sprintf("is longer than %d octets", longest)}
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &FieldError{field, "has characters that are not text"}
	}
	return nil
}
