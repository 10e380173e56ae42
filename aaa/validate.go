package aaa

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"radiusd/dictionary"
	"radiusd/internal/mailaddr"
	"radiusd/radius"
)

// maxText is how many octets an attribute of RADIUS holds (RFC 2865 §5).
const maxText = 253

// ValidateName refuses a name that a database cannot hold, that no packet can carry or
// that nobody could type. kind is what it names, for the message. The error is a
// [*FieldError].
func ValidateName(field, kind, name string) error {
	switch {
	case name == "":
		return fieldErrorf(field, "a %s needs a name", kind)
	case len(name) > maxText:
		return fieldErrorf(field, "the %s name has %d octets, and RADIUS carries %d", kind, len(name), maxText)
	case !isText(name) || strings.ContainsAny(name, "\r\n"):
		return fieldErrorf(field, "%s name %q has characters that are not text", kind, name)
	}
	return nil
}

// isText reports whether a database can hold s as text.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// validateText is for a text that goes to a NAS, or may be empty.
func validateText(field, text string) error {
	if len(text) > maxText || !isText(text) {
		return fieldErrorf(field, "%s must be text of no more than %d octets", field, maxText)
	}
	return nil
}

func validateCount(field string, n int) error {
	if n < 0 {
		return fieldErrorf(field, "%s must not be negative", field)
	}
	return nil
}

// validateItems is for the items of one owner; without a dictionary, nothing is known
// of them.
func validateItems(dict *dictionary.Dictionary, items []Item) error {
	if dict == nil {
		return nil
	}
	var errs []error
	for i, item := range items {
		if !isText(item.Attribute) || !isText(item.Op) || !isText(item.Value) {
			errs = append(errs, fieldErrorf(itemField(i), "%s item %d has characters that are not text", item.Kind, i+1))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	place := 0 // errors come in the order of the items
	for _, err := range joined(ValidateItems(dict, items)) {
		var wrong *CompileError
		if errors.As(err, &wrong) {
			for i := place; i < len(items); i++ {
				if items[i].Kind == wrong.Item.Kind && items[i].quoted() == wrong.Item.quoted() {
					place = i
					break
				}
			}
		}
		errs = append(errs, fieldErrorf(itemField(place), "%v", err))
		place++
	}
	return errors.Join(errs...)
}

func itemField(i int) string { return fmt.Sprintf("items[%d]", i) }

// joined returns the errors that err joins.
func joined(err error) []error {
	if err == nil {
		return nil
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

// Validate reports everything that is wrong with the user, as joined [FieldError]s.
// Without a dictionary, items are not looked at.
func (u *User) Validate(dict *dictionary.Dictionary) error {
	errs := []error{ValidateName("username", "user", u.Name)}
	if err := u.Credential.Validate(); err != nil {
		errs = append(errs, fieldErrorf("credential", "%v", err))
	}
	if u.Credential.Scheme == SchemeMAC {
		if mac, ok := NormalizeMAC(u.Name); !ok {
			errs = append(errs, fieldErrorf("username", "%q is not a MAC address", u.Name))
		} else if mac != u.Name {
			errs = append(errs, fieldErrorf("username", "the name of a device is its MAC address as %s", mac))
		}
	}
	if int(u.Status) >= len(userStatusNames) {
		errs = append(errs, fieldErrorf("status", "unknown status %d", u.Status))
	}
	seen := map[uuid.UUID]bool{}
	for i, m := range u.Groups {
		if seen[m.GroupID] {
			errs = append(errs, fieldErrorf(fmt.Sprintf("groups[%d]", i), "the user is in a group twice"))
		}
		seen[m.GroupID] = true
	}
	return errors.Join(append(errs, validateTime("expires_at", u.ExpiresAt), validateCount("simultaneous_use", u.SimultaneousUse),
		validateItems(dict, u.Items))...)
}

// validateTime refuses times that a database has no place for.
func validateTime(field string, t time.Time) error {
	if !t.IsZero() && (t.UTC().Year() < 1970 || t.UTC().Year() > 9998) {
		return fieldErrorf(field, "%s must be between the years 1970 and 9998", field)
	}
	return nil
}

// Validate reports everything that is wrong with the plan, as joined [FieldError]s.
// Without a dictionary, items are not looked at.
func (p *Plan) Validate(dict *dictionary.Dictionary) error {
	errs := []error{ValidateName("name", "plan", p.Name)}
	for _, f := range []struct{ field, text string }{
		{"policy_up", p.PolicyUp}, {"policy_down", p.PolicyDown}, {"address_pool", p.AddressPool}, {"ipv6_pool", p.IPv6Pool},
		{"delegated_ipv6_pool", p.DelegatedIPv6Pool}, {"address_list", p.AddressList}, {"filter_id", p.FilterID},
	} {
		errs = append(errs, validateText(f.field, f.text))
	}
	for _, f := range []struct {
		field string
		span  time.Duration
	}{
		{"burst_time", p.BurstTime}, {"session_timeout", p.SessionTimeout}, {"idle_timeout", p.IdleTimeout}, {"interim_interval", p.InterimInterval},
	} {
		if f.span < 0 || f.span%time.Second != 0 || f.span/time.Second > math.MaxUint32 {
			errs = append(errs, fieldErrorf(f.field, "%s must be whole seconds from 0 to %d", f.field, uint32(math.MaxUint32)))
		}
	}
	if _, err := ParseLoginHours(p.LoginHours); err != nil {
		errs = append(errs, fieldErrorf("login_hours", "%v", err))
	}
	if p.IPv6Pool != "" && p.IPv6Pool == p.DelegatedIPv6Pool {
		errs = append(errs, fieldErrorf("delegated_ipv6_pool", "the pools for IPv6 and for delegated IPv6 prefixes must differ"))
	}
	if int(p.QuotaPeriod) >= PeriodCount {
		errs = append(errs, fieldErrorf("quota_period", "unknown period %d", p.QuotaPeriod))
	}
	return errors.Join(append(errs, validateCount("simultaneous_use", p.SimultaneousUse), validateItems(dict, p.Items))...)
}

// Validate reports everything that is wrong with the group, as joined [FieldError]s.
// Without a dictionary, items are not looked at.
func (g *Group) Validate(dict *dictionary.Dictionary) error {
	return errors.Join(ValidateName("name", "group", g.Name), validateItems(dict, g.Items))
}

// NormalizePrefix returns the one form in which a NAS's prefix is stored: masked, and
// never IPv4-mapped.
func NormalizePrefix(prefix netip.Prefix) netip.Prefix {
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked()
}

// Validate reports everything that is wrong with the NAS, as joined [FieldError]s. It
// does not know which vendors have templates.
func (n *NAS) Validate() error {
	var errs []error
	if !n.Prefix.IsValid() {
		errs = append(errs, fieldErrorf("address", "a NAS needs an address or a prefix"))
	} else if n.Prefix != NormalizePrefix(n.Prefix) {
		errs = append(errs, fieldErrorf("address", "%s has bits set beyond its length", n.Prefix))
	}
	if len(n.Secret) == 0 {
		errs = append(errs, fieldErrorf("secret", "a NAS needs a secret"))
	}
	if n.Name != "" {
		errs = append(errs, ValidateName("name", "NAS", n.Name))
	}
	if _, err := radius.ParseRequirement(n.RequireMessageAuthenticator.String()); err != nil {
		errs = append(errs, fieldErrorf("require_message_authenticator", "require_message_authenticator must be yes, no or auto"))
	}
	return errors.Join(append(errs, validateText("vendor", n.Vendor))...)
}

// Validate reports everything that is wrong with the profile, as joined [FieldError]s.
// before is what it was, and zero for a new one: an e-mail that stays is not looked at, since
// it may be from a time when it was not checked.
func (p *Profile) Validate(before *Profile) error {
	var errs []error
	for _, f := range p.Fields() {
		switch {
		case len(*f.Value) > f.most || !isText(*f.Value):
			errs = append(errs, fieldErrorf(f.Name, "%s must be text of no more than %d octets", f.Name, f.most))
		case f.Value == &p.Email && p.Email != "" && p.Email != before.Email && !mailaddr.Valid(p.Email):
			errs = append(errs, fieldErrorf(f.Name, "%s must be an address such as anna@example.org", f.Name))
		}
	}
	return errors.Join(errs...)
}
