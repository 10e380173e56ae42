package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"radiusd/operator"
)

var operators = entity[operator.Operator]{
	table: "operators", kind: "operator",
	fields: operatorFields,
	unique: map[string]uniqueIndex{"OIDC subject": {"operators_oidc", "operators.oidc_issuer, operators.oidc_subject"}},
	head:   func(o *operator.Operator) head { return head{&o.ID, o.Name, &o.CreatedAt, &o.UpdatedAt} },
	load: func(ctx context.Context, q querier, o *operator.Operator) error {
		return completeOperators(ctx, q, []*operator.Operator{o})
	},
	valid: func(o *operator.Operator) error { return o.Validate() },
	save:  saveOperatorRoles,
	lists: func(o *operator.Operator) ([]fact, error) {
		roles, err := newFact("roles", o.Roles, o.Roles)
		return []fact{roles}, err
	},
}

func operatorFields(s *Store, o *operator.Operator) []field {
	return []field{
		{"id", id{&o.ID}},
		{"name", text{&o.Name}},
		{"display_name", personal{text{&o.DisplayName}}},
		{"email", personal{text{&o.Email}}},
		{"status", word[operator.Status]{&o.Status, operator.ParseStatus}},
		{"password_hash", secret{p: &o.PasswordHash, owner: &o.ID, column: "operators.password_hash", sealer: s.sealer}},
		{"totp_secret", secret{p: &o.TOTP.Secret, owner: &o.ID, column: "operators.totp_secret", sealer: s.sealer}},
		{"totp_enabled_at", moment{&o.TOTP.EnabledAt}},
		{"totp_last_step", whole[uint64]{&o.TOTP.LastStep}},
		{"oidc_issuer", text{&o.Subject.Issuer}},
		{"oidc_subject", personal{text{&o.Subject.ID}}},
		{"tokens_not_before", moment{&o.TokensNotBefore}},
		{"last_sign_in_at", moment{&o.LastSignInAt}},
		{"created_at", moment{&o.CreatedAt}},
		{"updated_at", moment{&o.UpdatedAt}},
	}
}

// completeOperators adds what is in other tables.
func completeOperators(ctx context.Context, q querier, list []*operator.Operator) error {
	for chunk := range slices.Chunk(list, inListSize) {
		byID := make(map[uuid.UUID]*operator.Operator, len(chunk))
		ids := make([]string, len(chunk))
		for i, o := range chunk {
			byID[o.ID] = o
			ids[i] = o.ID.String()
			o.Roles, o.RecoveryCodes = []string{}, 0
		}
		var c conditions
		c.in("operator_id", ids)
		var of uuid.UUID
		var role string
		err := eachRow(ctx, q, "SELECT operator_id, name FROM operator_roles JOIN roles ON roles.id = role_id"+c.where()+" ORDER BY name",
			c.args, []any{id{&of}, text{&role}}, func() error {
				byID[of].Roles = append(byID[of].Roles, role)
				return nil
			})
		if err != nil {
			return err
		}
		var n int
		err = eachRow(ctx, q, "SELECT operator_id, count(*) FROM recovery_codes"+c.where()+" GROUP BY operator_id",
			c.args, []any{id{&of}, whole[int]{&n}}, func() error {
				byID[of].RecoveryCodes = n
				return nil
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// saveOperatorRoles makes the operator's roles those of the given names.
func saveOperatorRoles(ctx context.Context, tx *writeTx, o *operator.Operator) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM operator_roles WHERE operator_id = $1", o.ID.String()); err != nil {
		return err
	}
	for _, name := range o.Roles {
		result, err := tx.ExecContext(ctx, "INSERT INTO operator_roles (operator_id, role_id) SELECT $1, id FROM roles WHERE name = $2",
			o.ID.String(), name)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("role %q: %w", name, operator.ErrUnknownRole))
		}
	}
	return nil
}

func isActiveOwner(o *operator.Operator) bool {
	return o.Status == operator.Active && o.HasRole(operator.OwnerName)
}

// lockOwners makes transactions wait for each other that may take an owner away or
// add the first one: each must see what the one before has left.
func lockOwners(ctx context.Context, tx *writeTx) error {
	var owner uuid.UUID
	return tx.QueryRowContext(ctx, "SELECT id FROM roles WHERE id = $1"+tx.forUpdate(), operator.OwnerRole.String()).Scan(id{&owner})
}

// requireOwner fails if there is no active owner but the one of that id. The
// transaction must hold lockOwners.
func requireOwner(ctx context.Context, tx *writeTx, but uuid.UUID) error {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM operators JOIN operator_roles ON operator_id = operators.id
		WHERE role_id = $1 AND status = 'active' AND operators.id <> $2`, operator.OwnerRole.String(), but.String()).Scan(&n)
	if err == nil && n == 0 {
		err = operator.ErrLastOwner
	}
	return err
}

// CreateOperator implements operator.OperatorStore.
func (s *Store) CreateOperator(ctx context.Context, o *operator.Operator) error {
	return operatorError(operators.create(ctx, s, o))
}

// errNotFirst means that there are operators already.
var errNotFirst = errors.New("there are operators already")

// CreateFirstOperator implements operator.OperatorStore.
func (s *Store) CreateFirstOperator(ctx context.Context, o *operator.Operator) (bool, error) {
	first := operators
	first.save = func(ctx context.Context, tx *writeTx, o *operator.Operator) error {
		if err := lockOwners(ctx, tx); err != nil {
			return err
		}
		var others int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM operators WHERE id <> $1", o.ID.String()).Scan(&others); err != nil {
			return err
		}
		if others > 0 {
			return errNotFirst
		}
		return saveOperatorRoles(ctx, tx, o)
	}
	err := first.create(ctx, s, o)
	if errors.Is(err, errNotFirst) || errors.Is(err, ErrExists) {
		return false, nil
	}
	return err == nil, operatorError(err)
}

// ChangeOperator implements operator.OperatorStore.
func (s *Store) ChangeOperator(ctx context.Context, operatorID uuid.UUID, fn func(*operator.Operator) error) error {
	wasOwner := false
	e := operators
	e.save = func(ctx context.Context, tx *writeTx, o *operator.Operator) error {
		if wasOwner && !isActiveOwner(o) {
			if err := lockOwners(ctx, tx); err != nil {
				return err
			}
			if err := requireOwner(ctx, tx, o.ID); err != nil {
				return err
			}
		}
		return saveOperatorRoles(ctx, tx, o)
	}
	return operatorError(e.change(ctx, s, "id", operatorID.String(), func(o *operator.Operator) error {
		wasOwner = isActiveOwner(o)
		return fn(o)
	}))
}

// RemoveOperator implements operator.OperatorStore.
func (s *Store) RemoveOperator(ctx context.Context, operatorID uuid.UUID, check func(*operator.Operator) error) error {
	e := operators
	e.removing = func(ctx context.Context, tx *writeTx, o *operator.Operator) error {
		if err := check(o); err != nil || !isActiveOwner(o) {
			return err
		}
		if err := lockOwners(ctx, tx); err != nil {
			return err
		}
		return requireOwner(ctx, tx, o.ID)
	}
	return operatorError(e.remove(ctx, s, "id", operatorID.String(), nil))
}

// OperatorByID implements operator.OperatorStore.
func (s *Store) OperatorByID(ctx context.Context, operatorID uuid.UUID) (*operator.Operator, error) {
	o, err := operators.get(ctx, s, "id", operatorID.String())
	return o, operatorError(err)
}

// OperatorByName implements operator.OperatorStore.
func (s *Store) OperatorByName(ctx context.Context, name string) (*operator.Operator, error) {
	o, err := operators.get(ctx, s, "name", cleanText(name))
	return o, operatorError(err)
}

// OperatorBySubject implements operator.OperatorStore.
func (s *Store) OperatorBySubject(ctx context.Context, subject operator.Subject) (*operator.Operator, error) {
	if subject.ID == "" {
		return nil, operatorError(notFound("operator", "without a subject"))
	}
	var c conditions
	c.add("oidc_issuer = $%d", cleanText(subject.Issuer))
	c.add("oidc_subject = $%d", cleanText(subject.ID))
	list, err := s.listOperators(ctx, c, "")
	if err == nil && len(list) == 0 {
		err = notFound("operator", subject.ID)
	}
	if err != nil {
		return nil, operatorError(err)
	}
	return &list[0], nil
}

// OperatorsByEmail implements operator.OperatorStore.
func (s *Store) OperatorsByEmail(ctx context.Context, email string) ([]operator.Operator, error) {
	var c conditions
	c.add("email <> '' AND lower(email) = lower($%d)", cleanText(email))
	return s.listOperators(ctx, c, " ORDER BY name")
}

// ListOperators implements operator.OperatorStore.
func (s *Store) ListOperators(ctx context.Context, filter operator.OperatorFilter) ([]operator.Operator, error) {
	var c conditions
	if filter.Search != "" {
		pattern := "%" + likeEscape(strings.ToLower(cleanText(filter.Search))) + "%"
		c.add(`(name LIKE $%d ESCAPE '\' OR lower(display_name) LIKE $%d ESCAPE '\' OR lower(email) LIKE $%d ESCAPE '\')`, pattern, pattern, pattern)
	}
	if filter.Status != nil {
		c.add("status = $%d", filter.Status.String())
	}
	if filter.Role != "" {
		c.add("id IN (SELECT operator_id FROM operator_roles JOIN roles ON roles.id = role_id WHERE roles.name = $%d)", cleanText(filter.Role))
	}
	if filter.After != "" {
		c.add("name > $%d", cleanText(filter.After))
	}
	return s.listOperators(ctx, c, " ORDER BY name LIMIT "+pageLimit(filter.Limit))
}

// pageLimit writes the size of a page; zero is pageSize.
func pageLimit(limit int) string {
	if limit <= 0 {
		limit = pageSize
	}
	return strconv.Itoa(limit)
}

// likeEscape makes a text stand for itself in a LIKE with ESCAPE '\'.
func likeEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

func (s *Store) listOperators(ctx context.Context, c conditions, rest string) (list []operator.Operator, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		if list, err = operators.list(ctx, s, tx, c.where()+rest, c.args, s.logDamage); err != nil {
			return err
		}
		pointers := make([]*operator.Operator, len(list))
		for i := range list {
			pointers[i] = &list[i]
		}
		return completeOperators(ctx, tx, pointers)
	})
	if err != nil {
		return nil, fmt.Errorf("list operators: %w", s.explain(err))
	}
	return list, nil
}

// AccessList implements operator.OperatorStore. It opens no secret.
func (s *Store) AccessList(ctx context.Context) (list []operator.Access, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		list = nil
		var a operator.Access
		var status operator.Status
		at := map[uuid.UUID]int{}
		err := eachRow(ctx, tx, "SELECT id, name, status, tokens_not_before FROM operators", nil,
			[]any{id{&a.OperatorID}, text{&a.Name}, word[operator.Status]{&status, operator.ParseStatus}, moment{&a.TokensNotBefore}}, func() error {
				a.Active = status == operator.Active
				at[a.OperatorID] = len(list)
				list = append(list, a)
				return nil
			})
		if err != nil {
			return err
		}
		var of uuid.UUID
		var r operator.Role
		return eachRow(ctx, tx, "SELECT operator_id, role_id, built_in, permissions FROM operator_roles JOIN roles ON roles.id = role_id", nil,
			[]any{id{&of}, id{&r.ID}, flag{&r.BuiltIn}, word[operator.PermissionSet]{&r.Permissions, operator.StoredPermissionSet}}, func() error {
				completeRole(&r)
				list[at[of]].Permissions |= r.Permissions
				return nil
			})
	})
	if err != nil {
		return nil, fmt.Errorf("read the operators' permissions: %w", s.explain(err))
	}
	return list, nil
}

// operatorError makes an error also one of package operator, which does not know
// this one.
func operatorError(err error) error {
	for _, pair := range []struct{ ours, theirs error }{
		{ErrNotFound, operator.ErrNotFound}, {ErrExists, operator.ErrExists}, {ErrInUse, operator.ErrInUse},
	} {
		if errors.Is(err, pair.ours) {
			return &meaning{err, pair.theirs}
		}
	}
	return err
}

// meaning is an error that is another one as well.
type meaning struct {
	error
	is error
}

func (m *meaning) Is(target error) bool { return target == m.is }
func (m *meaning) Unwrap() error        { return m.error }

var _ operator.Store = (*Store)(nil)
