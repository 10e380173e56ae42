package aaa

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// UserStatus says whether a user may use the network at all.
type UserStatus uint8

// The states of a user. Only an active user is ever accepted.
const (
	UserActive UserStatus = iota
	UserDisabled
	UserSuspended
)

var userStatusNames = [...]string{"active", "disabled", "suspended"}

// String returns the status as it stands in the users table.
func (s UserStatus) String() string {
	if int(s) < len(userStatusNames) {
		return userStatusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// ParseUserStatus reads a status as String writes it.
func ParseUserStatus(s string) (UserStatus, error) {
	for i, name := range userStatusNames {
		if s == name {
			return UserStatus(i), nil
		}
	}
	return 0, fmt.Errorf("unknown status %q: want active, disabled or suspended", s)
}

// Suspension says who suspended a user, and why.
type Suspension uint8

// The suspensions. Billing lifts those that are its own, and no other.
const (
	SuspendedByHand  Suspension = iota // by an operator
	SuspendedOverdue                   // an invoice is not paid
	SuspendedBalance                   // the credit of a prepaid subscription is used up
)

var suspensionNames = [...]string{"", "overdue", "balance"}

// String returns the suspension as it stands in the users table.
func (s Suspension) String() string {
	if int(s) < len(suspensionNames) {
		return suspensionNames[s]
	}
	return fmt.Sprintf("suspension(%d)", uint8(s))
}

// ParseSuspension reads a suspension as String writes it.
func ParseSuspension(s string) (Suspension, error) {
	for i, name := range suspensionNames {
		if s == name {
			return Suspension(i), nil
		}
	}
	return 0, fmt.Errorf("unknown suspension %q", s)
}

var suspensionDetails = [...]string{"", "an invoice is overdue", "the balance is used up"}

// Detail says why, for the record of a refusal; empty: an operator knows.
func (s Suspension) Detail() string { return suspensionDetails[min(int(s), len(suspensionDetails)-1)] }

// message is what a user is told who has the right password; empty: nothing.
func (s Suspension) message() string {
	if s == SuspendedByHand {
		return ""
	}
	return "Your account is suspended: " + s.Detail() + "."
}

// SuspendedByBilling reports whether billing has suspended the user, and will lift that.
// What replaces users without knowing of it is to leave it.
func (u *User) SuspendedByBilling() bool {
	return u.Status == UserSuspended && u.Suspension != SuspendedByHand
}

// User is one subscriber, device or employee that a NAS asks about.
type User struct {
	ID     uuid.UUID // UUIDv7
	Name   string    // User-Name, compared octet by octet; unique
	Status UserStatus
	// Suspension says why Status is UserSuspended. With any other one it is none.
	Suspension Suspension
	Credential Credential
	PlanID     uuid.UUID // zero: no plan
	Groups     []Membership
	ExpiresAt  time.Time // zero: never
	// SimultaneousUse is how many sessions may be open at once;
	// zero leaves it to the plan.
	SimultaneousUse int
	Items           []Item // check and reply items of this user alone
	// Voucher is set if the user is a voucher, and without effect if Credential is. It is
	// read with the user, and not written.
	Voucher   *VoucherLogin
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Membership puts a user into a group. Groups apply in ascending priority; the
// first to set an attribute wins over the later ones.
type Membership struct {
	GroupID  uuid.UUID
	Priority int
}

// Scheme says how a Credential's secret is to be compared.
type Scheme uint8

// The credential schemes. Which methods each can serve is a matter of
// cryptography: CHAP needs the cleartext, MS-CHAP the cleartext or the NT hash,
// PAP any of them.
const (
	// SchemeNone has no secret: every password check is refused.
	SchemeNone Scheme = iota
	// SchemeCleartext holds the password itself. Serves every method.
	SchemeCleartext
	// SchemeNTHash holds the 16 octets of MD4(UTF-16LE(password)).
	SchemeNTHash
	// SchemeHash holds a self-describing hash as text, as crypt(3), LDAP and
	// argon2 write them: $6$…, $2b$…, $argon2id$…, {SSHA}…. Serves PAP only.
	SchemeHash
	// SchemeMAC has no secret: the user is a device that is known by its MAC
	// address alone (MAC authentication). Its name is the address in the
	// normal form of NormalizeMAC.
	SchemeMAC
)

// schemeVoucher is the scheme of users who are vouchers, in memory only: they have no
// credential in the store.
const schemeVoucher Scheme = 255

var schemeNames = [...]string{"none", "cleartext", "nthash", "hash", "mac"}

// String returns the scheme as it stands in the users table.
func (s Scheme) String() string {
	if int(s) < len(schemeNames) {
		return schemeNames[s]
	}
	if s == schemeVoucher {
		return "voucher"
	}
	return fmt.Sprintf("scheme(%d)", uint8(s))
}

// ParseScheme reads a scheme as String writes it.
func ParseScheme(s string) (Scheme, error) {
	for i, name := range schemeNames {
		if s == name {
			return Scheme(i), nil
		}
	}
	return 0, fmt.Errorf("unknown credential scheme %q", s)
}

// Credential is what a user is authenticated by. It is in the clear in memory
// and sealed in the store.
type Credential struct {
	Scheme Scheme
	Secret []byte
}

// String hides the secret from logs and errors.
func (c Credential) String() string { return c.Scheme.String() + ":…" }

// GoString hides the secret from %#v as well.
func (c Credential) GoString() string { return c.String() }
