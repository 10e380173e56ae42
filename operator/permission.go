package operator

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Permission is what a role or an API token allows: "resource:action".
type Permission string

// All permissions there are. Write includes create, change and delete, unless there
// is a permission of its own.
const (
	UsersRead       Permission = "users:read"
	UsersWrite      Permission = "users:write"
	UsersDelete     Permission = "users:delete"
	UsersImport     Permission = "users:import"
	UsersExport     Permission = "users:export"
	ProfilesRead    Permission = "profiles:read"
	ProfilesWrite   Permission = "profiles:write"
	ProfilesErase   Permission = "profiles:erase"
	PlansRead       Permission = "plans:read"
	PlansWrite      Permission = "plans:write"
	GroupsRead      Permission = "groups:read"
	GroupsWrite     Permission = "groups:write"
	NASRead         Permission = "nas:read"
	NASWrite        Permission = "nas:write"
	SessionsRead    Permission = "sessions:read"
	SessionsAct     Permission = "sessions:act"
	AccountingRead  Permission = "accounting:read"
	AuthRecordsRead Permission = "auth_records:read"
	UsageRead       Permission = "usage:read"
	ReportsRead     Permission = "reports:read"
	PolicyExplain   Permission = "policy:explain"
	OperatorsRead   Permission = "operators:read"
	OperatorsWrite  Permission = "operators:write"
	RolesRead       Permission = "roles:read"
	RolesWrite      Permission = "roles:write"
	TokensRead      Permission = "tokens:read"
	TokensWrite     Permission = "tokens:write"
	AuditRead       Permission = "audit:read"
	WebhooksRead    Permission = "webhooks:read"
	WebhooksWrite   Permission = "webhooks:write"
	SettingsRead    Permission = "settings:read"
	SettingsWrite   Permission = "settings:write"
	DictionaryRead  Permission = "dictionary:read"
	StatusRead      Permission = "status:read"
	BillingRead     Permission = "billing:read"
	BillingWrite    Permission = "billing:write"
	BillingReports  Permission = "billing:reports"
	VouchersRedeem  Permission = "vouchers:redeem"
	CheckoutCreate  Permission = "checkout:create"
)

// allPermissions gives each permission its bit in a PermissionSet.
var allPermissions = [...]Permission{
	UsersRead, UsersWrite, UsersDelete, UsersImport, UsersExport,
	ProfilesRead, ProfilesWrite, ProfilesErase,
	PlansRead, PlansWrite, GroupsRead, GroupsWrite, NASRead, NASWrite,
	SessionsRead, SessionsAct, AccountingRead, AuthRecordsRead, UsageRead, ReportsRead, PolicyExplain,
	OperatorsRead, OperatorsWrite, RolesRead, RolesWrite, TokensRead, TokensWrite,
	AuditRead, WebhooksRead, WebhooksWrite, SettingsRead, SettingsWrite,
	DictionaryRead, StatusRead, BillingRead, BillingWrite, BillingReports, VouchersRedeem, CheckoutCreate,
}

// permissionDescriptions say what each permission allows, for who makes a role.
var permissionDescriptions = map[Permission]string{
	UsersRead:       "see users, their credentials' kind, items, groups and usage",
	UsersWrite:      "create and change users, their passwords and items",
	UsersDelete:     "delete users",
	UsersImport:     "create users in numbers: import and batches",
	UsersExport:     "take all users out as a file",
	ProfilesRead:    "see users' personal data: name, address, telephone",
	ProfilesWrite:   "change users' personal data",
	ProfilesErase:   "export and erase all personal data of one user",
	PlansRead:       "see plans",
	PlansWrite:      "create, change and delete plans",
	GroupsRead:      "see groups",
	GroupsWrite:     "create, change and delete groups",
	NASRead:         "see NASes, without their secrets",
	NASWrite:        "create, change and delete NASes and their secrets",
	SessionsRead:    "see who is and was online",
	SessionsAct:     "disconnect sessions and change their authorization",
	AccountingRead:  "see accounting records",
	AuthRecordsRead: "see accepted and refused logins and why",
	UsageRead:       "see how much users have used",
	ReportsRead:     "see reports over all users",
	PolicyExplain:   "ask what would be decided about a login",
	OperatorsRead:   "see operators",
	OperatorsWrite:  "create, change and delete operators who may do no more than oneself",
	RolesRead:       "see roles",
	RolesWrite:      "create, change and delete roles that allow no more than one's own",
	TokensRead:      "see all operators' API tokens, without the tokens themselves",
	TokensWrite:     "create API tokens that may do no more than oneself, and revoke them",
	AuditRead:       "see who changed what",
	WebhooksRead:    "see webhooks and their deliveries",
	WebhooksWrite:   "create, change and delete webhooks",
	SettingsRead:    "see settings",
	SettingsWrite:   "change settings",
	DictionaryRead:  "look attributes up in the dictionary",
	StatusRead:      "see how the system is",
	BillingRead:     "see prices, subscriptions, invoices, payments and balances",
	BillingWrite:    "change prices, subscriptions, invoices, payments and balances",
	BillingReports:  "see reports on money over all users: revenue, tax, receivables",
	VouchersRedeem:  "redeem a voucher for a user",
	CheckoutCreate:  "make the page on which an invoice or an order is paid by card",
}

// Description says in a few words what the permission allows.
func (p Permission) Description() string { return permissionDescriptions[p] }

// Permissions returns all permissions there are.
func Permissions() []Permission { return slices.Clone(allPermissions[:]) }

// ParsePermission checks that there is such a permission.
func ParsePermission(s string) (Permission, error) {
	if slices.Contains(allPermissions[:], Permission(s)) {
		return Permission(s), nil
	}
	return "", fmt.Errorf("there is no permission %q", s)
}

// PermissionSet is a set of permissions. The zero value is empty. It is only good
// within one process: write it as text or as a list.
type PermissionSet uint64

// AllPermissions is the set of all permissions.
const AllPermissions = PermissionSet(1)<<len(allPermissions) - 1

// NewPermissionSet returns the set of the permissions. One that does not exist is
// left out.
func NewPermissionSet(list ...Permission) (set PermissionSet) {
	for _, p := range list {
		if i := slices.Index(allPermissions[:], p); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// ParsePermissionSet reads a list of permissions, each of which must exist.
func ParsePermissionSet(list []string) (set PermissionSet, err error) {
	for _, text := range list {
		p, err := ParsePermission(text)
		if err != nil {
			return 0, err
		}
		set |= NewPermissionSet(p)
	}
	return set, nil
}

// Has reports whether p is in the set.
func (s PermissionSet) Has(p Permission) bool {
	one := NewPermissionSet(p)
	return one != 0 && s&one != 0
}

// Contains reports whether all of other is in the set.
func (s PermissionSet) Contains(other PermissionSet) bool { return other&^s == 0 }

// Without returns the set less those of other.
func (s PermissionSet) Without(other PermissionSet) PermissionSet { return s &^ other }

// Len returns how many permissions are in the set.
func (s PermissionSet) Len() int { return bits.OnesCount64(uint64(s)) }

// List returns the permissions in a fixed order.
func (s PermissionSet) List() []Permission {
	list := make([]Permission, 0, s.Len())
	for i, p := range allPermissions {
		if s&(1<<i) != 0 {
			list = append(list, p)
		}
	}
	return list
}

// String writes the permissions with a space between them.
func (s PermissionSet) String() string {
	texts := make([]string, 0, s.Len())
	for _, p := range s.List() {
		texts = append(texts, string(p))
	}
	return strings.Join(texts, " ")
}

// MarshalJSON writes the set as a list of texts.
func (s PermissionSet) MarshalJSON() ([]byte, error) { return json.Marshal(s.List()) }

// UnmarshalJSON reads a list of texts, each of which must be a permission.
func (s *PermissionSet) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	set, err := ParsePermissionSet(list)
	if err == nil {
		*s = set
	}
	return err
}

// StoredPermissionSet reads what String wrote, of any version: what this version
// does not know allows nothing here and is left out.
func StoredPermissionSet(s string) (PermissionSet, error) {
	var set PermissionSet
	for text := range strings.FieldsSeq(s) {
		set |= NewPermissionSet(Permission(text))
	}
	return set, nil
}
