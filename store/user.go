package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"radiusd/aaa"
)

var users = entity[aaa.User]{
	table: "users", kind: "user",
	fields: usersFields,
	head:   userHead,
	valid: func(u *aaa.User) error {
		if u.Status != aaa.UserSuspended {
			u.Suspension = aaa.SuspendedByHand // of the next suspension, unless it says
		}
		return u.Validate(nil)
	},
	load: func(ctx context.Context, q querier, u *aaa.User) error {
		list := []aaa.User{*u}
		err := completeUsers(ctx, q, list, "= $1", []any{u.ID.String()})
		*u = list[0]
		return err
	},
	save: func(ctx context.Context, tx *writeTx, u *aaa.User) error {
		if err := writeMemberships(ctx, tx, u.ID, u.Groups); err != nil {
			return err
		}
		return writeItems(ctx, tx, "user_id", u.ID, u.Items)
	},
	lists: func(u *aaa.User) ([]fact, error) {
		groups, err := membershipFact(u.Groups)
		if err != nil {
			return nil, err
		}
		items, err := itemFact(u.Items)
		return []fact{groups, items}, err
	},
	refers: func(ctx context.Context, q querier, u *aaa.User) error {
		var errs []error
		refer := func(field, table string, id uuid.UUID) {
			var n int
			if err := q.QueryRowContext(ctx, "SELECT count(*) FROM "+table+" WHERE id = $1", id.String()).Scan(&n); err != nil {
				errs = append(errs, err)
			} else if n == 0 {
				errs = append(errs, &aaa.FieldError{Field: field, Message: fmt.Sprintf("%s %s does not exist", strings.TrimSuffix(table, "s"), id)})
			}
		}
		if u.PlanID != uuid.Nil {
			refer("plan_id", "plans", u.PlanID)
		}
		for i, m := range u.Groups {
			refer(fmt.Sprintf("groups[%d]", i), "groups", m.GroupID)
		}
		return errors.Join(errs...)
	},
}

func userHead(u *aaa.User) head { return head{&u.ID, u.Name, &u.CreatedAt, &u.UpdatedAt} }

// account is a user with its profile, as they are written together.
type account struct {
	user          aaa.User
	profile       aaa.Profile
	storedName    string // empty: it is new
	storedProfile aaa.Profile
	closing       aaa.CloseOptions // of one that is removed
}

var accounts = entity[account]{
	table: "users", kind: "user",
	fields: func(s *Store, a *account) []field { return usersFields(s, &a.user) },
	head:   func(a *account) head { return userHead(&a.user) },
	valid:  func(a *account) error { return errors.Join(users.valid(&a.user), a.profile.Validate(&a.storedProfile)) },
	load: func(ctx context.Context, q querier, a *account) (err error) {
		if err := users.load(ctx, q, &a.user); err != nil {
			return err
		}
		a.profile, err = readProfile(ctx, q, a.user.ID)
		a.storedName, a.storedProfile = a.user.Name, a.profile
		return err
	},
	save: func(ctx context.Context, tx *writeTx, a *account) error {
		if err := users.save(ctx, tx, &a.user); err != nil {
			return err
		}
		if a.storedName != "" && a.storedName != a.user.Name {
			if err := keepFormerName(ctx, tx, &a.user, a.storedName); err != nil {
				return err
			}
		}
		if a.profile == a.storedProfile {
			return nil
		}
		return upsert(ctx, tx, "user_profiles", "user_id", listed(profileFields(&a.user.ID, &a.profile, &a.user.UpdatedAt)))
	},
	lists: func(a *account) ([]fact, error) {
		lists, err := users.lists(&a.user)
		if err != nil {
			return nil, err
		}
		profile, err := factsOf(profileFields(&a.user.ID, &a.profile, &a.user.UpdatedAt))
		return append(lists, profile...), err
	},
	refers:   func(ctx context.Context, q querier, a *account) error { return users.refers(ctx, q, &a.user) },
	noSecret: func(a *account) bool { return a.user.Credential.Scheme == aaa.SchemeNone },
	removing: func(ctx context.Context, tx *writeTx, a *account) error {
		if err := tx.closeAccount(ctx, a.user.ID, a.user.Name, a.closing); err != nil {
			return err
		}
		return tx.withoutLogin(ctx, a.user.ID)
	},
}

func usersFields(s *Store, u *aaa.User) []field {
	return []field{
		{"id", id{&u.ID}},
		{"username", text{&u.Name}},
		{"status", word[aaa.UserStatus]{&u.Status, aaa.ParseUserStatus}},
		{"suspension", word[aaa.Suspension]{&u.Suspension, aaa.ParseSuspension}},
		{"credential_scheme", word[aaa.Scheme]{&u.Credential.Scheme, aaa.ParseScheme}},
		{"credential", secret{p: &u.Credential.Secret, owner: &u.ID, column: "users.credential", sealer: s.sealer}},
		{"plan_id", nullID{&u.PlanID}},
		{"expires_at", moment{&u.ExpiresAt}},
		{"simultaneous_use", whole[int]{&u.SimultaneousUse}},
		{"created_at", moment{&u.CreatedAt}},
		{"updated_at", moment{&u.UpdatedAt}},
	}
}

// CreateUser adds a user and sets its times, and its ID if that is zero. It fails
// with ErrExists if the name is taken.
func (s *Store) CreateUser(ctx context.Context, user *aaa.User) error {
	return s.CreateUserWithProfile(ctx, user, &aaa.Profile{})
}

// CreateUserWithProfile is CreateUser with the user's personal data.
func (s *Store) CreateUserWithProfile(ctx context.Context, user *aaa.User, profile *aaa.Profile) error {
	a := account{user: *user, profile: *profile}
	if err := accounts.create(ctx, s, &a); err != nil {
		return err
	}
	*user = a.user
	return nil
}

// ChangeUser lets fn change the user of that id and its profile, and writes both
// whole, in one transaction with what was read. An error of fn leaves all as it was.
// fn may be called more than once. It may change the name, but not the ID.
func (s *Store) ChangeUser(ctx context.Context, userID uuid.UUID, fn func(*aaa.User, *aaa.Profile) error) error {
	return s.changeAccount(ctx, "id", userID.String(), func(_ *writeTx, a *account) error { return fn(&a.user, &a.profile) })
}

// changeAccount changes an account for an operator.
func (s *Store) changeAccount(ctx context.Context, column string, value any, fn func(*writeTx, *account) error) error {
	return accounts.changeWith(ctx, s, column, value, func(tx *writeTx, a *account) error {
		before := a.user
		if err := fn(tx, a); err != nil {
			return err
		}
		return tx.awaitCredit(ctx, &before, &a.user)
	})
}

// ReplaceUser is ChangeUser for who describes all of a user without knowing what billing
// has done since: the user stays in the groups that dunning has put it into.
func (s *Store) ReplaceUser(ctx context.Context, userID uuid.UUID, fn func(*aaa.User, *aaa.Profile) error) error {
	return s.changeAccount(ctx, "id", userID.String(), func(tx *writeTx, a *account) error {
		imposed, err := restrictions(ctx, tx, "user_id = $1", []any{userID.String()})
		if err != nil {
			return err
		}
		before := slices.Clone(a.user.Groups)
		if err := fn(&a.user, &a.profile); err != nil {
			return err
		}
		for _, m := range before {
			if imposed[restriction{userID, m.GroupID}] {
				a.user.Groups = slices.DeleteFunc(a.user.Groups, func(given aaa.Membership) bool { return given.GroupID == m.GroupID })
				a.user.Groups = append(a.user.Groups, m)
			}
		}
		slices.SortStableFunc(a.user.Groups, func(x, y aaa.Membership) int { return cmp.Compare(x.Priority, y.Priority) })
		return nil
	})
}

// RemoveUser removes the user of that id as DeleteUser does, whose account is closed by the
// options. An error of check, which sees it in the same transaction, leaves it; nil checks
// nothing.
func (s *Store) RemoveUser(ctx context.Context, userID uuid.UUID, options aaa.CloseOptions, check func(*aaa.User, *aaa.Profile) error) error {
	return accounts.remove(ctx, s, "id", userID.String(), func(a *account) error {
		a.closing = options
		if check == nil {
			return nil
		}
		return check(&a.user, &a.profile)
	})
}

// UpdateUser lets fn change the user and writes it whole. fn may be called more
// than once. It may change the name, but not the ID.
func (s *Store) UpdateUser(ctx context.Context, name string, fn func(*aaa.User) error) error {
	return s.changeAccount(ctx, "username", name, func(_ *writeTx, a *account) error { return fn(&a.user) })
}

// DeleteUser removes a user with its profile. Sessions and accounting records
// stay: they are history. So do the books: subscriptions end today, and what is left to
// bill is billed, by the settings of billing; it fails with ErrInUse if it cannot be.
func (s *Store) DeleteUser(ctx context.Context, name string) error {
	return accounts.remove(ctx, s, "username", name, nil)
}

// UserByID returns a user with its groups and items, and its profile; one that was
// never set is empty.
func (s *Store) UserByID(ctx context.Context, userID uuid.UUID) (*aaa.User, *aaa.Profile, error) {
	a, err := accounts.get(ctx, s, "id", userID.String())
	if err != nil {
		return nil, nil, err
	}
	return &a.user, &a.profile, nil
}

// UserByName returns a user with its groups and items.
func (s *Store) UserByName(ctx context.Context, name string) (*aaa.User, error) {
	return users.get(ctx, s, "username", name)
}

// UserFilter selects users and one page of them. The zero value is the first
// page of all.
type UserFilter struct {
	Prefix string // of the name
	Status *aaa.UserStatus
	PlanID uuid.UUID
	After  string // the last name of the page before
	Limit  int    // zero: 1000
}

const pageSize = 1000

func (f UserFilter) conditions() conditions {
	var c conditions
	if f.Prefix != "" {
		// A range rather than LIKE, which the index of both engines serves.
		c.add("username >= $%d", f.Prefix)
		c.add("username < $%d", f.Prefix+"\U0010FFFF")
	}
	if f.Status != nil {
		c.add("status = $%d", f.Status.String())
	}
	if f.PlanID != uuid.Nil {
		c.add("plan_id = $%d", f.PlanID.String())
	}
	return c
}

// ListUsers returns a page of users by name, with their groups and items.
func (s *Store) ListUsers(ctx context.Context, filter UserFilter) (list []aaa.User, err error) {
	c := filter.conditions()
	if filter.After != "" {
		c.add("username > $%d", filter.After)
	}
	limit := filter.Limit
	if limit <= 0 {
		limit = pageSize
	}
	rest := c.where() + " ORDER BY username LIMIT " + fmt.Sprint(limit)
	err = s.read(ctx, func(tx *sql.Tx) error {
		if list, err = users.list(ctx, s, tx, rest, c.args, s.logDamage); err != nil {
			return err
		}
		return s.completeUsersByID(ctx, tx, list)
	})
	if err != nil {
		return nil, fmt.Errorf("list users: %w", s.explain(err))
	}
	return list, nil
}

// UsersByID returns those of the users that exist, with their groups and items,
// in no particular order.
func (s *Store) UsersByID(ctx context.Context, ids []uuid.UUID) (list []aaa.User, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		for chunk := range slices.Chunk(ids, inListSize) {
			which, args := s.isOneOf(chunk)
			found, err := users.list(ctx, s, tx, "WHERE id "+which, args, s.logDamage)
			if err != nil {
				return err
			}
			if err := completeUsers(ctx, tx, found, which, args); err != nil {
				return err
			}
			list = append(list, found...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read users: %w", s.explain(err))
	}
	return list, nil
}

// eachUserPage is how many users EachUser reads at once.
const eachUserPage = 5000

// EachUser calls fn for every user in the order of their ids. It reads page by
// page from one state of the database: three range scans over sorted indexes for
// each page, and memory for one page. The user belongs to fn only during the
// call; its slices may be kept. A credential that cannot be opened is logged and
// left empty, so that one damaged row does not keep out everybody.
func (s *Store) EachUser(ctx context.Context, fn func(*aaa.User) error) error {
	return s.read(ctx, func(tx *sql.Tx) error {
		last := uuid.Nil
		for {
			page, err := users.list(ctx, s, tx, "WHERE id > $1 ORDER BY id LIMIT "+fmt.Sprint(eachUserPage), []any{last.String()}, s.logDamage)
			if err != nil {
				return fmt.Errorf("read users: %w", s.explain(err))
			}
			if len(page) == 0 {
				return nil
			}
			first := page[0].ID
			last = page[len(page)-1].ID
			if err := completeUsers(ctx, tx, page, "BETWEEN $1 AND $2", []any{first.String(), last.String()}); err != nil {
				return fmt.Errorf("read users: %w", s.explain(err))
			}
			for i := range page {
				if err := fn(&page[i]); err != nil {
					return err
				}
			}
			if len(page) < eachUserPage {
				return nil
			}
		}
	})
}

// inListSize is how many values an IN list holds at most.
const inListSize = 500

func (s *Store) completeUsersByID(ctx context.Context, q querier, list []aaa.User) error {
	for chunk := range slices.Chunk(list, inListSize) {
		ids := make([]uuid.UUID, len(chunk))
		for i := range chunk {
			ids[i] = chunk[i].ID
		}
		which, args := s.isOneOf(ids)
		if err := completeUsers(ctx, q, chunk, which, args); err != nil {
			return err
		}
	}
	return nil
}

// completeUsers adds groups, items and vouchers to users that were read. which says, of
// user_id, which rows belong to them.
func completeUsers(ctx context.Context, q querier, list []aaa.User, which string, args []any) error {
	byID := make(map[uuid.UUID]*aaa.User, len(list))
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	var userID uuid.UUID
	var m aaa.Membership
	err := eachRow(ctx, q, "SELECT user_id, group_id, priority FROM user_groups WHERE user_id "+which+" ORDER BY user_id, priority, group_id",
		args, []any{id{&userID}, id{&m.GroupID}, whole[int]{&m.Priority}}, func() error {
			if user := byID[userID]; user != nil {
				user.Groups = append(user.Groups, m)
			}
			return nil
		})
	if err != nil {
		return err
	}
	err = eachItem(ctx, q, "user_id", "user_id "+which, args, func(owner uuid.UUID, item aaa.Item) {
		if user := byID[owner]; user != nil {
			user.Items = append(user.Items, item)
		}
	})
	if err != nil {
		return err
	}
	return eachVoucherLogin(ctx, q, which, args, func(userID uuid.UUID, login aaa.VoucherLogin) {
		if user := byID[userID]; user != nil {
			user.Voucher = &login
		}
	})
}

// writeMemberships makes the user's groups the given ones.
func writeMemberships(ctx context.Context, tx *writeTx, userID uuid.UUID, memberships []aaa.Membership) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM user_groups WHERE user_id = $1", userID.String()); err != nil {
		return err
	}
	for i := range memberships {
		if err := insert(ctx, tx.Tx, "user_groups", membershipFields(&userID, &memberships[i])); err != nil {
			return err
		}
	}
	return nil
}

func membershipFields(userID *uuid.UUID, m *aaa.Membership) []field {
	return []field{
		{"user_id", id{userID}},
		{"group_id", id{&m.GroupID}},
		{"priority", whole[int]{&m.Priority}},
	}
}

// isOneOf returns a condition for a column of ids, and its arguments: one array in
// Postgres, so that the statement is the same for any number.
func (s *Store) isOneOf(ids []uuid.UUID) (which string, args []any) {
	if s.pool != nil {
		return "= ANY ($1::text[]::uuid[])", []any{texts(ids)}
	}
	return "IN (" + placeholders(1, len(ids)) + ")", arguments(texts(ids))
}

func texts(ids []uuid.UUID) []string {
	list := make([]string, len(ids))
	for i, u := range ids {
		list[i] = u.String()
	}
	return list
}
