package operator

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Role is a named set of permissions that operators have.
type Role struct {
	ID          uuid.UUID
	Name        string // unique, see ValidateName
	Description string
	Permissions PermissionSet
	// BuiltIn roles cannot be changed or deleted; what they allow is said by the
	// program, so that a new permission reaches them with a new version.
	BuiltIn              bool
	CreatedAt, UpdatedAt time.Time
}

// The ids of the built-in roles; they are the same in every database.
var (
	OwnerRole    = builtInID(1)
	AdminRole    = builtInID(2)
	BillingRole  = builtInID(3)
	SupportRole  = builtInID(4)
	AuditorRole  = builtInID(5)
	ReadOnlyRole = builtInID(6)
)

func builtInID(n byte) uuid.UUID { return uuid.UUID{6: 0x70, 8: 0x80, 15: n} }

// OwnerName is the name of the role that may do everything. There is always an
// active operator who has it.
const OwnerName = "owner"

// BuiltInRoles returns the roles every database has.
//
// An admin may do all but make and change roles. As nobody may act on an operator
// who may do more than himself, an admin cannot change, disable, delete, reset or
// promote to an owner. An auditor sees all that is configured and who did what, but
// no personal data.
func BuiltInRoles() []Role {
	network := []Permission{UsersRead, PlansRead, GroupsRead, NASRead, SessionsRead, AccountingRead, AuthRecordsRead, UsageRead, DictionaryRead, StatusRead}
	with := func(more ...Permission) PermissionSet {
		return NewPermissionSet(network...) | NewPermissionSet(more...)
	}
	return []Role{
		{ID: OwnerRole, Name: OwnerName, Description: "may do everything", Permissions: AllPermissions, BuiltIn: true},
		{ID: AdminRole, Name: "admin", Description: "may do everything but change roles and act on owners",
			Permissions: AllPermissions.Without(NewPermissionSet(RolesWrite)), BuiltIn: true},
		{ID: BillingRole, Name: "billing", Description: "invoices, payments and the usage they rest on",
			Permissions: with(ProfilesRead, ProfilesWrite, ReportsRead, BillingRead, BillingWrite, BillingReports, VouchersRedeem, CheckoutCreate), BuiltIn: true},
		{ID: SupportRole, Name: "support", Description: "helps users: changes them, sees and ends their sessions",
			Permissions: with(UsersWrite, ProfilesRead, ProfilesWrite, SessionsAct, PolicyExplain, BillingRead), BuiltIn: true},
		{ID: AuditorRole, Name: "auditor", Description: "sees configuration, history and the audit log, no personal data",
			Permissions: with(ReportsRead, PolicyExplain, OperatorsRead, RolesRead, TokensRead, AuditRead, WebhooksRead, SettingsRead, BillingRead, BillingReports), BuiltIn: true},
		{ID: ReadOnlyRole, Name: "read-only", Description: "sees the network, its users and their accounts, no personal data",
			Permissions: with(ReportsRead, BillingRead, BillingReports), BuiltIn: true},
	}
}

// BuiltInPermissions returns what a built-in role allows; nothing for another id.
func BuiltInPermissions(id uuid.UUID) PermissionSet {
	roles := BuiltInRoles()
	if i := slices.IndexFunc(roles, func(r Role) bool { return r.ID == id }); i >= 0 {
		return roles[i].Permissions
	}
	return 0
}
