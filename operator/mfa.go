package operator

import (
	"context"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// Enrolment is what an app needs to make codes. It is a secret.
type Enrolment struct {
	Secret string // in base32, to be typed
	URL    string // otpauth://…, to be shown as a QR code
}

// EnrolTOTP gives the principal's own account a new secret for codes, which is not
// asked for until ConfirmTOTP. It fails with ErrMFAEnabled if there is a confirmed one.
func (s *Service) EnrolTOTP(ctx context.Context, by Principal) (*Enrolment, error) {
	if err := by.requireSession(); err != nil {
		return nil, err
	}
	secret := make([]byte, totpSecret)
	if _, err := io.ReadFull(s.random, secret); err != nil {
		return nil, fmt.Errorf("make a secret for codes: %w", err)
	}
	var name string
	err := s.store.ChangeOperator(acting(ctx, by), by.OperatorID, func(o *Operator) error {
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

// Proof is what shows that it is the operator himself who sits there: one of both.
type Proof struct {
	Password string
	Code     string // of the app, or a recovery code
}

// prove fails with ErrBadCredentials, or a *ThrottledError, if the proof is not good.
func (s *Service) prove(ctx context.Context, by Principal, o *Operator, proof Proof) error {
	key := accountKey(o.Name)
	if proof.Password == "" {
		key = factorKey(o.ID)
	}
	try, err := s.attempt(ctx, key, by.Actor.Addr)
	if err != nil {
		return err
	}
	var ok bool
	switch {
	case proof.Password != "":
		ok, err = s.hasher.verify(ctx, o.PasswordHash, proof.Password)
	case proof.Code != "" && o.TOTP.Enabled():
		_, ok, err = s.useCode(ctx, o, proof.Code)
	}
	if err != nil {
		try.cancelled(ctx)
		return err
	}
	if !ok {
		return ErrBadCredentials
	}
	return try.succeeded(ctx)
}

// proven is prove for the principal's own account with a second factor.
func (s *Service) proven(ctx context.Context, by Principal, proof Proof) error {
	if err := by.requireSession(); err != nil {
		return err
	}
	o, err := s.store.OperatorByID(ctx, by.OperatorID)
	if err != nil {
		return err
	}
	if !o.TOTP.Enabled() {
		return ErrMFADisabled
	}
	return s.prove(ctx, by, o, proof)
}

// DisableTOTP removes the principal's own second factor and his recovery codes.
func (s *Service) DisableTOTP(ctx context.Context, by Principal, proof Proof) error {
	if err := s.proven(ctx, by, proof); err != nil {
		return err
	}
	return s.removeTOTP(acting(ctx, by), by.OperatorID, func(*Operator) error { return nil })
}

// NewRecoveryCodes replaces the principal's own recovery codes.
func (s *Service) NewRecoveryCodes(ctx context.Context, by Principal, proof Proof) ([]string, error) {
	if err := s.proven(ctx, by, proof); err != nil {
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
