package operator

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// Enrolment is what an app needs to make codes. It is a secret.
type Enrolment struct {
	Secret string // in base32, to be typed
	URL    string // otpauth://…, to be shown as a QR code
}

// EnrolTOTP gives the principal's own account a new secret for codes, which is not
// asked for until ConfirmTOTP. It takes his password, if he has one, else a sign-in
// that has just begun: who finds an open browser must not lock its owner out. It fails
// with ErrMFAEnabled if there is a confirmed secret, with ErrBadCredentials or a
// *ThrottledError.
func (s *Service) EnrolTOTP(ctx context.Context, by Principal, password string) (*Enrolment, error) {
	o, err := s.self(ctx, by)
	switch {
	case err != nil:
		return nil, err
	case o.TOTP.Enabled():
		return nil, ErrMFAEnabled
	case len(o.PasswordHash) > 0:
		err = s.provePassword(ctx, by, o, password)
	default:
		err = s.requireFresh(ctx, by)
	}
	if err != nil {
		return nil, err
	}
	secret := make([]byte, totpSecret)
	if _, err := io.ReadFull(s.random, secret); err != nil {
		return nil, fmt.Errorf("make a secret for codes: %w", err)
	}
	var name string
	err = s.store.ChangeOperator(acting(ctx, by), by.OperatorID, func(o *Operator) error {
		if o.TOTP.Enabled() {
			return ErrMFAEnabled
		}
		name, o.TOTP = o.Name, TOTP{Secret: secret}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Enrolment{Secret: base32Text.EncodeToString(secret), URL: totpURL(s.issuer, name, secret)}, nil
}

// ConfirmTOTP takes a first code of the app, so that codes are asked for from now on,
// and returns recovery codes, which cannot be read again. A wrong code is
// ErrBadCredentials; nothing to confirm is ErrMFADisabled.
func (s *Service) ConfirmTOTP(ctx context.Context, by Principal, code string) ([]string, error) {
	if err := by.requireSession(); err != nil {
		return nil, err
	}
	try, err := s.attempt(ctx, factorKey(by.OperatorID), by.Actor.Addr)
	if err != nil {
		return nil, err
	}
	codes, hashes, err := newRecoveryCodes(s.random)
	if err != nil {
		return nil, err
	}
	err = s.store.ChangeOperator(acting(ctx, by), by.OperatorID, func(o *Operator) error {
		switch {
		case o.TOTP.Enabled():
			return ErrMFAEnabled
		case len(o.TOTP.Secret) == 0:
			return ErrMFADisabled
		}
		step, ok := matchTOTP(o.TOTP, normalizeCode(code), s.now())
		if !ok {
			return ErrBadCredentials
		}
		o.TOTP.EnabledAt, o.TOTP.LastStep = s.now().UTC(), step
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.store.SetRecoveryCodes(acting(ctx, by), by.OperatorID, hashes); err != nil {
		return nil, err
	}
	return codes, try.succeeded(ctx)
}

// self returns the operator who signed in.
func (s *Service) self(ctx context.Context, by Principal) (*Operator, error) {
	if err := by.requireSession(); err != nil {
		return nil, err
	}
	return s.store.OperatorByID(ctx, by.OperatorID)
}

// freshSignIn is how long ago a sign-in may have begun that stands for a password.
const freshSignIn = 10 * time.Minute

// requireFresh fails if the principal's sign-in began too long ago.
func (s *Service) requireFresh(ctx context.Context, by Principal) error {
	now := s.now().UTC()
	sessions, err := s.store.OpenSessions(ctx, by.OperatorID, now)
	if err != nil {
		return err
	}
	for _, session := range sessions {
		if session.ID == by.SessionID && now.Sub(session.StartedAt) < freshSignIn {
			return nil
		}
	}
	return &ForbiddenError{Reason: "this takes a sign-in of the last ten minutes: sign in again"}
}

// provePassword fails with ErrBadCredentials, or a *ThrottledError, if it is not the
// operator's password.
func (s *Service) provePassword(ctx context.Context, by Principal, o *Operator, password string) error {
	return s.prove(ctx, by, accountKey(o.Name), func() (bool, error) {
		return s.hasher.verify(ctx, o.PasswordHash, password)
	})
}

// proveCode uses up a code of the operator's app or a recovery code. It fails with
// ErrMFADisabled, ErrBadCredentials or a *ThrottledError.
func (s *Service) proveCode(ctx context.Context, by Principal, o *Operator, code string) error {
	if !o.TOTP.Enabled() {
		return ErrMFADisabled
	}
	return s.prove(ctx, by, factorKey(o.ID), func() (bool, error) {
		_, ok, err := s.useCode(ctx, o, code)
		return ok, err
	})
}

// prove counts what right says as an attempt for the key.
func (s *Service) prove(ctx context.Context, by Principal, key string, right func() (bool, error)) error {
	try, err := s.attempt(ctx, key, by.Actor.Addr)
	if err != nil {
		return err
	}
	ok, err := right()
	if err != nil {
		try.cancelled(ctx)
		return err
	}
	if !ok {
		return ErrBadCredentials
	}
	return try.succeeded(ctx)
}

// DisableTOTP removes the principal's own second factor and his recovery codes. It
// takes a code of the app or a recovery code, and the password of who has one.
func (s *Service) DisableTOTP(ctx context.Context, by Principal, password, code string) error {
	o, err := s.self(ctx, by)
	if err != nil {
		return err
	}
	if !o.TOTP.Enabled() {
		return ErrMFADisabled
	}
	if len(o.PasswordHash) > 0 {
		if err := s.provePassword(ctx, by, o, password); err != nil {
			return err
		}
	}
	if err := s.proveCode(ctx, by, o, code); err != nil {
		return err
	}
	return s.removeTOTP(acting(ctx, by), by.OperatorID, func(*Operator) error { return nil })
}

// NewRecoveryCodes replaces the principal's own recovery codes. It takes a code of the
// app or one of the old recovery codes.
func (s *Service) NewRecoveryCodes(ctx context.Context, by Principal, code string) ([]string, error) {
	o, err := s.self(ctx, by)
	if err != nil {
		return nil, err
	}
	if err := s.proveCode(ctx, by, o, code); err != nil {
		return nil, err
	}
	codes, hashes, err := newRecoveryCodes(s.random)
	if err != nil {
		return nil, err
	}
	return codes, s.store.SetRecoveryCodes(acting(ctx, by), by.OperatorID, hashes)
}

// ResetMFA removes another operator's second factor, who has lost it, and signs him
// out. One's own is for DisableTOTP.
func (s *Service) ResetMFA(ctx context.Context, by Principal, id uuid.UUID) error {
	if err := by.Require(OperatorsWrite); err != nil {
		return err
	}
	if id == by.OperatorID {
		return &ForbiddenError{Reason: "to disable one's own second factor takes a password or code"}
	}
	roles, err := s.rolesByName(ctx)
	if err != nil {
		return err
	}
	defer s.directory.invalidate()
	var changed *Operator
	err = s.removeTOTP(acting(ctx, by), id, func(o *Operator) error {
		changed = o
		s.endSessions(o)
		return roles.mayActOn(by, o)
	})
	if err != nil {
		return err
	}
	return s.forgive(ctx, changed)
}

func (s *Service) removeTOTP(ctx context.Context, id uuid.UUID, check func(*Operator) error) error {
	err := s.store.ChangeOperator(ctx, id, func(o *Operator) error {
		o.TOTP = TOTP{}
		return check(o)
	})
	if err != nil {
		return err
	}
	return s.store.SetRecoveryCodes(ctx, id, nil)
}
