package operator

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// SignInResult is a session, or the question for the second factor.
type SignInResult struct {
	// Tokens is nil if the second factor is asked for.
	Tokens *Tokens
	// Challenge is to be sent with the code, see VerifyMFA. It is a secret, good once.
	Challenge          string
	ChallengeExpiresAt time.Time
}

// SignIn checks a name and a password. It fails with ErrBadCredentials, with a
// *ThrottledError, or with ErrBusy; none of them, nor the work that is done, tells
// whether there is such an operator. addr is where the request comes from.
func (s *Service) SignIn(ctx context.Context, name, password string, addr netip.Addr) (*SignInResult, error) {
	began := s.now().UTC().Truncate(time.Microsecond)
	try, err := s.attempt(ctx, accountKey(name), addr)
	if err != nil {
		return nil, err
	}
	o, err := s.store.OperatorByName(ctx, NormalizeName(name))
	if err != nil && !errors.Is(err, ErrNotFound) {
		try.cancelled(ctx)
		return nil, unavailable(err)
	}
	if err != nil {
		o = &Operator{Status: Disabled}
	}
	right, err := s.hasher.verify(ctx, o.PasswordHash, password)
	if err != nil {
		try.cancelled(ctx)
		return nil, err
	}
	event := SignInEvent{Kind: SignInFailed, OperatorID: o.ID, Name: o.Name, Addr: addr, Method: "password"}
	switch {
	case o.ID == uuid.Nil:
		event.Reason = "no such operator"
	case !right:
		event.Reason = "wrong password"
	case o.Status != Active:
		event.Reason = "disabled"
	default:
		if err := try.succeeded(ctx); err != nil {
			return nil, err
		}
		return s.letIn(ctx, o, []string{byPassword}, "password", began, addr)
	}
	s.tell(ctx, event)
	return nil, ErrBadCredentials
}

// letIn begins a session, or asks for the second factor first.
func (s *Service) letIn(ctx context.Context, o *Operator, methods []string, method string, began time.Time, addr netip.Addr) (*SignInResult, error) {
	c := claims{Subject: o.ID, Methods: methods}
	if o.TOTP.Enabled() && !c.mfa() {
		challenge, err := s.sign(ctx, forChallenge, c, began, challengeLife)
		if err != nil {
			return nil, err
		}
		return &SignInResult{Challenge: challenge, ChallengeExpiresAt: began.Add(challengeLife)}, nil
	}
	tokens, err := s.openSession(ctx, o.ID, methods, began, addr)
	if err != nil {
		return nil, err
	}
	s.tell(ctx, SignInEvent{Kind: SignedIn, OperatorID: o.ID, Name: o.Name, SessionID: tokens.SessionID, Addr: addr, Method: method})
	return &SignInResult{Tokens: tokens}, nil
}

// VerifyMFA answers the challenge of SignIn with a code of the operator's app or a
// recovery code; each is good once. It fails with ErrUnauthenticated if the challenge
// is not good any more, with ErrBadCredentials if the code is wrong or was used, or
// with a *ThrottledError.
func (s *Service) VerifyMFA(ctx context.Context, challenge, code string, addr netip.Addr) (*Tokens, error) {
	c, err := s.verify(ctx, forChallenge, challenge)
	if err != nil {
		return nil, err
	}
	try, err := s.attempt(ctx, factorKey(c.Subject), addr)
	if err != nil {
		return nil, err
	}
	o, err := s.store.OperatorByID(ctx, c.Subject)
	if err != nil {
		try.cancelled(ctx)
		if errors.Is(err, ErrNotFound) {
			return nil, ErrUnauthenticated
		}
		return nil, unavailable(err)
	}
	began := c.issuedAt()
	if o.Status != Active || !o.TOTP.Enabled() || !began.After(o.TokensNotBefore) {
		return nil, ErrUnauthenticated
	}
	method, ok, err := s.useCode(ctx, o, code)
	if err != nil {
		try.cancelled(ctx)
		return nil, err
	}
	if !ok {
		s.tell(ctx, SignInEvent{Kind: SignInFailed, OperatorID: o.ID, Name: o.Name, Addr: addr, Method: method, Reason: "wrong code"})
		return nil, ErrBadCredentials
	}
	first, err := s.store.SpendToken(ctx, c.ID, s.now().UTC().Add(challengeLife+clockSkew))
	if err != nil {
		return nil, unavailable(err)
	}
	if !first {
		return nil, ErrUnauthenticated
	}
	if err := try.succeeded(ctx); err != nil {
		return nil, err
	}
	// What was signed out since the password was checked stays out.
	tokens, err := s.openSession(ctx, o.ID, append(c.Methods, byOTP, byMFA), began, addr)
	if err != nil {
		return nil, err
	}
	s.tell(ctx, SignInEvent{Kind: SignedIn, OperatorID: o.ID, Name: o.Name, SessionID: tokens.SessionID, Addr: addr, Method: method})
	return tokens, nil
}

// useCode uses up a code of the second factor, and reports whether it was good.
func (s *Service) useCode(ctx context.Context, o *Operator, code string) (method string, ok bool, err error) {
	code = normalizeCode(code)
	if isTOTPCode(code) {
		step, match := matchTOTP(o.TOTP, code, s.now())
		if !match {
			return "totp", false, nil
		}
		if ok, err = s.store.UseTOTPStep(ctx, o.ID, step); err != nil {
			return "totp", false, unavailable(err)
		}
		return "totp", ok, nil
	}
	if len(code) > maxToken {
		return "recovery_code", false, nil
	}
	if ok, err = s.store.UseRecoveryCode(ctx, o.ID, hashRecoveryCode(code)); err != nil {
		return "recovery_code", false, unavailable(err)
	}
	return "recovery_code", ok, nil
}

// SignOut ends the session of the principal: its refresh token at once, its access
// token in every process within half a minute.
func (s *Service) SignOut(ctx context.Context, by Principal) error {
	return s.CloseSession(ctx, by, by.SessionID)
}

// CloseSession ends one of the principal's own sessions.
func (s *Service) CloseSession(ctx context.Context, by Principal, sessionID uuid.UUID) error {
	if err := by.requireSession(); err != nil {
		return err
	}
	err := s.store.CloseSession(acting(ctx, by), by.OperatorID, sessionID, s.now().UTC())
	s.directory.invalidate()
	if err == nil {
		s.tell(ctx, SignInEvent{Kind: SignedOut, OperatorID: by.OperatorID, Name: by.Actor.Name, SessionID: sessionID, Addr: by.Actor.Addr})
	}
	return err
}

// Sessions returns the principal's own sessions that go on.
func (s *Service) Sessions(ctx context.Context, by Principal) ([]Session, error) {
	if err := by.requireSession(); err != nil {
		return nil, err
	}
	return s.store.OpenSessions(ctx, by.OperatorID, s.now().UTC())
}

// SignOutEverywhere ends all sessions of an operator: an operator his own, others and
// tokens only if they may change him. API tokens go on: they are no sign-ins.
func (s *Service) SignOutEverywhere(ctx context.Context, by Principal, operatorID uuid.UUID) error {
	self := operatorID == by.OperatorID && by.TokenID == uuid.Nil
	if !self {
		if err := by.Require(OperatorsWrite); err != nil {
			return err
		}
	}
	roles, err := s.rolesByName(ctx)
	if err != nil {
		return err
	}
	defer s.directory.invalidate()
	return s.store.ChangeOperator(acting(ctx, by), operatorID, func(o *Operator) error {
		if !self {
			if err := roles.mayActOn(by, o); err != nil {
				return err
			}
		}
		s.endSessions(o)
		return nil
	})
}

// endSessions makes all tokens worthless that were made up to now.
func (s *Service) endSessions(o *Operator) {
	o.TokensNotBefore = s.now().UTC().Truncate(time.Microsecond)
}
