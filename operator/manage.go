package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// NewOperator is what an operator is to be.
type NewOperator struct {
	Name        string
	DisplayName string
	Email       string
	// Password empty: he signs in through OIDC only.
	Password string
	Roles    []string
	Disabled bool
	Subject  Subject
}

// CreateOperator adds an operator. Nobody may give a role that allows what he may
// not.
func (s *Service) CreateOperator(ctx context.Context, by Principal, n NewOperator) (*Operator, error) {
	if err := by.Require(OperatorsWrite); err != nil {
		return nil, err
	}
	o := &Operator{Name: n.Name, DisplayName: n.DisplayName, Email: n.Email, Roles: n.Roles, Subject: n.Subject}
	if n.Disabled {
		o.Status = Disabled
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	roles, err := s.rolesByName(ctx)
	if err != nil {
		return nil, err
	}
	if err := roles.mayGrant(by, o.Roles); err != nil {
		return nil, err
	}
	if n.Password != "" {
		if o.PasswordHash, err = s.newPassword(ctx, o.Name, n.Password); err != nil {
			return nil, err
		}
	}
	defer s.directory.invalidate()
	if err := s.store.CreateOperator(acting(ctx, by), o); err != nil {
		return nil, err
	}
	return o, nil
}

// newPassword checks and hashes a new password.
func (s *Service) newPassword(ctx context.Context, name, password string) ([]byte, error) {
	if err := ValidatePassword(name, password); err != nil {
		return nil, err
	}
	return s.hasher.hash(ctx, password)
}

// OperatorChange says what of an operator is to change; nil leaves it.
type OperatorChange struct {
	Name, DisplayName, Email *string
	Status                   *Status
	Roles                    *[]string
	Subject                  *Subject
	// Prepare, if there is one, completes the change from what the operator is, or
	// refuses it. It must leave the operator alone, and may be called more than once.
	Prepare func(present *Operator, change *OperatorChange) error
}

// ChangeOperator changes an operator and returns him as he is then. Nobody may change
// one who may do more than himself, nor give a role that allows what he may not. Who
// is disabled is signed out.
func (s *Service) ChangeOperator(ctx context.Context, by Principal, id uuid.UUID, change OperatorChange) (*Operator, error) {
	if err := by.Require(OperatorsWrite); err != nil {
		return nil, err
	}
	roles, err := s.rolesByName(ctx)
	if err != nil {
		return nil, err
	}
	defer s.directory.invalidate()
	var changed *Operator
	err = s.store.ChangeOperator(acting(ctx, by), id, func(o *Operator) error {
		if err := roles.mayActOn(by, o); err != nil {
			return err
		}
		change := change
		if change.Prepare != nil {
			if err := change.Prepare(o, &change); err != nil {
				return err
			}
		}
		set(&o.Name, change.Name)
		set(&o.DisplayName, change.DisplayName)
		set(&o.Email, change.Email)
		set(&o.Subject, change.Subject)
		if change.Roles != nil {
			if err := roles.mayGrant(by, *change.Roles); err != nil {
				return err
			}
			o.Roles = append([]string{}, *change.Roles...)
		}
		if change.Status != nil {
			if o.Status = *change.Status; o.Status != Active {
				s.endSessions(o)
			}
		}
		changed = o
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func validateSubject(subject Subject) error {
	if (subject.Issuer == "") != (subject.ID == "") {
		return &FieldError{"oidc_subject", "needs an issuer and an id"}
	}
	if err := validateText("oidc_issuer", subject.Issuer, 1000); err != nil {
		return err
	}
	return validateText("oidc_subject", subject.ID, 255) // OpenID Connect Core 1.0 section 2
}

// DeleteOperator deletes an operator with his sessions and tokens. check, which may be
// nil, may refuse.
func (s *Service) DeleteOperator(ctx context.Context, by Principal, id uuid.UUID, check func(*Operator) error) error {
	if err := by.Require(OperatorsWrite); err != nil {
		return err
	}
	roles, err := s.rolesByName(ctx)
	if err != nil {
		return err
	}
	defer s.directory.invalidate()
	return s.store.RemoveOperator(acting(ctx, by), id, func(o *Operator) error {
		if check != nil {
			if err := check(o); err != nil {
				return err
			}
		}
		return roles.mayActOn(by, o)
	})
}

// SetPassword gives an operator a new password, signs him out and lifts what
// throttles him. For one's own see ChangePassword.
func (s *Service) SetPassword(ctx context.Context, by Principal, id uuid.UUID, password string) error {
	if err := by.Require(OperatorsWrite); err != nil {
		return err
	}
	if id == by.OperatorID {
		return &ForbiddenError{Reason: "to change one's own password takes the present one"}
	}
	o, err := s.store.OperatorByID(ctx, id)
	if err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, o.Name, password)
	if err != nil {
		return err
	}
	roles, err := s.rolesByName(ctx)
	if err != nil {
		return err
	}
	defer s.directory.invalidate()
	err = s.store.ChangeOperator(acting(ctx, by), id, func(o *Operator) error {
		if err := roles.mayActOn(by, o); err != nil {
			return err
		}
		o.PasswordHash = hash
		s.endSessions(o)
		return nil
	})
	if err != nil {
		return err
	}
	return s.forgive(ctx, o)
}

// forgive forgets an operator's failed sign-ins.
func (s *Service) forgive(ctx context.Context, o *Operator) error {
	for _, key := range []string{accountKey(o.Name), factorKey(o.ID)} {
		try := &attempt{s: s, account: key}
		if err := try.succeeded(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ChangePassword changes the principal's own password and signs him out everywhere.
// A wrong present one is ErrBadCredentials, and is throttled as at sign-in.
func (s *Service) ChangePassword(ctx context.Context, by Principal, present, next string) error {
	o, err := s.self(ctx, by)
	if err != nil {
		return err
	}
	if err := ValidatePassword(o.Name, next); err != nil {
		return err
	}
	if err := s.provePassword(ctx, by, o, present); err != nil {
		return err
	}
	proven := string(o.PasswordHash)
	hash, err := s.newPassword(ctx, o.Name, next)
	if err != nil {
		return err
	}
	defer s.directory.invalidate()
	return s.store.ChangeOperator(acting(ctx, by), o.ID, func(o *Operator) error {
		if string(o.PasswordHash) != proven {
			return ErrBadCredentials // it was changed since
		}
		o.PasswordHash = hash
		s.endSessions(o)
		return nil
	})
}

// Operators returns a page of operators.
func (s *Service) Operators(ctx context.Context, filter OperatorFilter) ([]Operator, error) {
	return s.store.ListOperators(ctx, filter)
}

// Operator returns an operator.
func (s *Service) Operator(ctx context.Context, id uuid.UUID) (*Operator, error) {
	return s.store.OperatorByID(ctx, id)
}

// OperatorName returns the name of an operator, from memory if it is known there.
func (s *Service) OperatorName(ctx context.Context, id uuid.UUID) (string, error) {
	known, err := s.directory.access(ctx)
	if err != nil {
		return "", err
	}
	if access, ok := known.operators[id]; ok {
		return access.Name, nil
	}
	o, err := s.store.OperatorByID(ctx, id)
	if err != nil {
		return "", err
	}
	return o.Name, nil
}

// OperatorNamed returns the operator of that name, in whatever case.
func (s *Service) OperatorNamed(ctx context.Context, name string) (*Operator, error) {
	return s.store.OperatorByName(ctx, NormalizeName(name))
}

// firstName is the operator that EnsureFirst makes.
const firstName = "admin"

// EnsureFirst makes the first operator, an owner, if there is none, and returns his
// name and a random password that is to be shown once. Of several processes one makes
// him; the others get empty texts.
func (s *Service) EnsureFirst(ctx context.Context) (name, password string, err error) {
	list, err := s.store.ListOperators(ctx, OperatorFilter{Limit: 1})
	if err != nil || len(list) > 0 {
		return "", "", err
	}
	password = rand.Text() // 128 bits
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return "", "", err
	}
	o := &Operator{Name: firstName, DisplayName: "First operator", Roles: []string{OwnerName}, PasswordHash: hash}
	made, err := s.store.CreateFirstOperator(ctx, o)
	if err != nil {
		return "", "", fmt.Errorf("make the first operator: %w", err)
	}
	if !made {
		return "", "", nil
	}
	s.directory.invalidate()
	return o.Name, password, nil
}

// roleSets are what the roles allow, by name.
type roleSets map[string]PermissionSet

func (s *Service) rolesByName(ctx context.Context) (roleSets, error) {
	list, err := s.store.Roles(ctx)
	if err != nil {
		return nil, err
	}
	sets := make(roleSets, len(list))
	for _, r := range list {
		sets[r.Name] = r.Permissions
	}
	return sets, nil
}

// mayGrant fails if one of the roles allows what the principal may not.
func (r roleSets) mayGrant(by Principal, names []string) error {
	for _, name := range names {
		allows, ok := r[name]
		if !ok {
			return fmt.Errorf("role %q: %w", name, ErrUnknownRole)
		}
		if missing := allows.Without(by.Permissions); missing != 0 {
			return &ForbiddenError{Missing: missing, Reason: "nobody may grant what he may not"}
		}
	}
	return nil
}

// mayActOn fails if the operator may do what the principal may not: whoever could set
// his password could do it too.
func (r roleSets) mayActOn(by Principal, o *Operator) error {
	err := r.mayGrant(by, o.Roles)
	var forbidden *ForbiddenError
	if errors.As(err, &forbidden) {
		forbidden.Reason = "the operator may do more than you"
	}
	return err
}

// mayActOn is for one operator.
func (s *Service) mayActOn(ctx context.Context, by Principal, o *Operator) error {
	if err := by.Require(OperatorsWrite); err != nil {
		return err
	}
	roles, err := s.rolesByName(ctx)
	if err != nil {
		return err
	}
	return roles.mayActOn(by, o)
}
