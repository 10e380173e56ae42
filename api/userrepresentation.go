package api

import (
	"cmp"
	"context"
	"errors"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// represent returns users as the API shows them. Who may not see profiles gets none.
func (h *users) represent(ctx context.Context, rows []aaa.UserRow) []User {
	profiles := principalOf(ctx).Can(operator.ProfilesRead)
	list := make([]User, len(rows))
	for i := range rows {
		list[i] = userOf(&rows[i])
		hideSecrets(ctx, h.dict, operator.UsersWrite, list[i].CheckItems, list[i].ReplyItems)
		if profiles {
			profile := profileOf(&rows[i].Profile)
			list[i].Profile = &profile
		}
	}
	return list
}

// userOf is a user as the API shows it, without the profile.
func userOf(u *aaa.UserRow) User {
	memberships := make([]Membership, len(u.Groups))
	for i, m := range u.Groups {
		memberships[i] = Membership{GroupID: m.GroupID, Group: u.GroupNames[i], Priority: m.Priority}
	}
	return User{
		ID: u.ID, Username: u.Name, Status: UserStatus(u.Status.String()), Suspension: UserSuspension(cmp.Or(u.Suspension.String(), "none")),
		CredentialScheme: CredentialScheme(u.Scheme.String()),
		PlanID:           idOrNull(u.PlanID), Plan: orNull(u.Plan, u.PlanID != uuid.Nil), Groups: memberships,
		ExpiresAt: timeOrNull(u.ExpiresAt), SimultaneousUse: u.SimultaneousUse,
		CheckItems: itemsOf(u.Items, aaa.CheckItem), ReplyItems: itemsOf(u.Items, aaa.ReplyItem),
		BatchID: idOrNull(u.BatchID), CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(),
	}
}

// userOfRow is the row as a user without a credential.
func userOfRow(u *aaa.UserRow) *aaa.User {
	return &aaa.User{
		ID: u.ID, Name: u.Name, Status: u.Status, Suspension: u.Suspension, PlanID: u.PlanID, Groups: u.Groups,
		ExpiresAt: u.ExpiresAt, SimultaneousUse: u.SimultaneousUse, Items: u.Items,
	}
}

// userInputOf is the input that would make the user what it is, but for the credential.
func userInputOf(u *aaa.User, p *aaa.Profile) UserInput {
	groups := make([]MembershipInput, len(u.Groups))
	for i, m := range u.Groups {
		groups[i] = MembershipInput{GroupID: m.GroupID, Priority: m.Priority}
	}
	profile := profileOf(p)
	return UserInput{
		Username: u.Name, Status: UserStatus(u.Status.String()),
		PlanID: idOrNull(u.PlanID), ExpiresAt: timeOrNull(u.ExpiresAt), SimultaneousUse: u.SimultaneousUse, Groups: groups,
		CheckItems: itemsOf(u.Items, aaa.CheckItem), ReplyItems: itemsOf(u.Items, aaa.ReplyItem), Profile: &profile,
	}
}

// fill makes user and profile what the input says. A credential or profile that it does
// not have stays, and without a status so does what billing has suspended.
func (h *users) fill(user *aaa.User, profile *aaa.Profile, in UserInput, credential *aaa.Credential) error {
	status := aaa.UserActive
	if in.Status == "" && user.SuspendedByBilling() {
		status = aaa.UserSuspended
	}
	if in.Status != "" {
		var err error
		if status, err = aaa.ParseUserStatus(string(in.Status)); err != nil {
			return invalidField("status", "%v", err)
		}
	}
	user.Name, user.Status, user.SimultaneousUse = in.Username, status, in.SimultaneousUse
	user.PlanID, user.ExpiresAt = orZero(in.PlanID), orZero(in.ExpiresAt)
	user.Groups = nil
	for _, m := range in.Groups {
		user.Groups = append(user.Groups, aaa.Membership{GroupID: m.GroupID, Priority: m.Priority})
	}
	user.Items = toItems(in.CheckItems, in.ReplyItems)
	if credential != nil {
		user.Credential = *credential
	}
	if user.Credential.Scheme == aaa.SchemeMAC {
		if mac, ok := aaa.NormalizeMAC(user.Name); ok {
			user.Name = mac
		}
	}
	before := *profile
	if in.Profile != nil {
		*profile = toProfile(*in.Profile)
	}
	return errors.Join(nameItems(user.Validate(h.dict), in.CheckItems), inside("profile", profile.Validate(&before)))
}

// inside words errors of a part by where that stands in the whole.
func inside(part string, err error) error {
	wrong := aaa.FieldErrors(err)
	if len(wrong) == 0 {
		return err
	}
	errs := make([]error, len(wrong))
	for i, e := range wrong {
		errs[i] = &aaa.FieldError{Field: part + "." + e.Field, Message: e.Message}
	}
	return errors.Join(errs...)
}

func profileOf(p *aaa.Profile) Profile {
	return Profile{FullName: p.FullName, Email: p.Email, Phone: p.Phone, Address: p.Address, Note: p.Note}
}

func toProfile(p Profile) aaa.Profile {
	return aaa.Profile{FullName: p.FullName, Email: p.Email, Phone: p.Phone, Address: p.Address, Note: p.Note}
}

// credentialOf makes a credential. To hash a password takes its time. at is what the
// names of fields begin with. No error repeats a secret.
func credentialOf(at string, in CredentialInput) (*aaa.Credential, error) {
	scheme, err := aaa.ParseScheme(string(in.Scheme))
	if err != nil {
		return nil, invalidField(at+"scheme", "there is no such scheme")
	}
	credential, secret := aaa.Credential{Scheme: scheme}, in.Password != "" || in.Hash != ""
	switch {
	case scheme == aaa.SchemeNone || scheme == aaa.SchemeMAC:
		if secret {
			return nil, invalidField(at+"scheme", "%s has neither password nor hash", scheme)
		}
		return &credential, nil
	case !secret && scheme == aaa.SchemeCleartext:
		return nil, invalidField(at+"password", "%s needs a password", scheme)
	case !secret:
		return nil, invalidField(at+"password", "%s needs a password or a hash", scheme)
	case in.Password != "" && in.Hash != "":
		return nil, invalidField(at+"hash", "only one of password and hash can be given")
	case in.Password != "":
		form := map[aaa.Scheme]string{aaa.SchemeCleartext: "cleartext", aaa.SchemeNTHash: "nt", aaa.SchemeHash: "argon2id"}[scheme]
		if credential, err = aaa.NewCredential(in.Password, form); err != nil {
			return nil, invalidField(at+"password", "%v", err)
		}
		return &credential, nil
	case scheme == aaa.SchemeCleartext:
		return nil, invalidField(at+"hash", "cleartext needs the password itself")
	}
	hash := in.Hash
	if scheme == aaa.SchemeNTHash && len(hash) == 32 {
		hash = "{NT}" + hash
	}
	if credential, err = aaa.ParseCredential(hash); err != nil {
		return nil, invalidField(at+"hash", "%v", err)
	}
	if credential.Scheme != scheme {
		return nil, invalidField(at+"hash", "this is no hash of the scheme %s", scheme)
	}
	return &credential, nil
}
