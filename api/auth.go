package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"radiusd/operator"
)

// auth is who signs in and out, and the own account.
type auth struct {
	service *operator.Service
	now     func() time.Time
}

func (h *auth) Login(ctx context.Context, r LoginRequestObject) (LoginResponseObject, error) {
	result, err := h.service.SignIn(ctx, r.Body.Name, r.Body.Password, operator.ActorOf(ctx).Addr)
	if errors.Is(err, operator.ErrBadCredentials) {
		return nil, problemf(http.StatusUnauthorized, "bad_credentials", "wrong name or password")
	}
	if err != nil {
		return nil, err
	}
	return Login200JSONResponse(signInOf(result, h.now())), nil
}

func (h *auth) Refresh(ctx context.Context, r RefreshRequestObject) (RefreshResponseObject, error) {
	tokens, err := h.service.Refresh(ctx, r.Body.RefreshToken, operator.ActorOf(ctx).Addr)
	if errors.Is(err, operator.ErrUnauthenticated) {
		return nil, problemf(http.StatusUnauthorized, "unauthenticated", "the refresh token was used before, has expired or was signed out: sign in again")
	}
	if err != nil {
		return nil, err
	}
	return Refresh200JSONResponse(tokensOf(tokens, h.now())), nil
}

func (h *auth) Logout(ctx context.Context, _ LogoutRequestObject) (LogoutResponseObject, error) {
	if err := h.service.SignOut(ctx, principalOf(ctx)); err != nil {
		return nil, err
	}
	return Logout204Response{}, nil
}

func (h *auth) LogoutEverywhere(ctx context.Context, _ LogoutEverywhereRequestObject) (LogoutEverywhereResponseObject, error) {
	by := principalOf(ctx)
	if by.SessionID == uuid.Nil {
		return nil, &operator.ForbiddenError{Reason: "an API token has not signed in"}
	}
	if err := h.service.SignOutEverywhere(ctx, by, by.OperatorID); err != nil {
		return nil, err
	}
	return LogoutEverywhere204Response{}, nil
}

func (h *auth) GetMe(ctx context.Context, _ GetMeRequestObject) (GetMeResponseObject, error) {
	by := principalOf(ctx)
	me := Me{Kind: MeKind(by.Actor.Kind.String()), ID: by.Actor.ID, Name: by.Actor.Name, Permissions: permissionNames(by.Permissions)}
	if by.TokenID != uuid.Nil {
		me.Operator.SetNull()
		return GetMe200JSONResponse(me), nil
	}
	o, err := h.service.Operator(ctx, by.OperatorID)
	if err != nil {
		return nil, err
	}
	me.Operator.Set(MyAccount{
		DisplayName: o.DisplayName, Email: o.Email, Roles: o.Roles,
		HasPassword: len(o.PasswordHash) > 0, Mfa: o.TOTP.Enabled(), RecoveryCodes: o.RecoveryCodes,
	})
	return GetMe200JSONResponse(me), nil
}

func (h *auth) ListSignIns(ctx context.Context, _ ListSignInsRequestObject) (ListSignInsResponseObject, error) {
	by := principalOf(ctx)
	sessions, err := h.service.Sessions(ctx, by)
	if err != nil {
		return nil, err
	}
	list := SignInList{Items: make([]SignInSession, len(sessions))}
	for i, x := range sessions {
		list.Items[i] = SignInSession{
			ID: x.ID, Current: x.ID == by.SessionID, Address: textOrNull(x.Addr), Mfa: x.MFA,
			StartedAt: x.StartedAt, LastUsedAt: x.LastUsedAt, ExpiresAt: x.ExpiresAt,
		}
	}
	return ListSignIns200JSONResponse(list), nil
}

func (h *auth) EndSignIn(ctx context.Context, r EndSignInRequestObject) (EndSignInResponseObject, error) {
	if err := h.service.CloseSession(ctx, principalOf(ctx), r.SignInID); err != nil {
		return nil, err
	}
	return EndSignIn204Response{}, nil
}

func (h *auth) ChangePassword(ctx context.Context, r ChangePasswordRequestObject) (ChangePasswordResponseObject, error) {
	err := h.service.ChangePassword(ctx, principalOf(ctx), r.Body.CurrentPassword, r.Body.NewPassword)
	var wrong *operator.FieldError
	if errors.As(err, &wrong) {
		return nil, invalidField("new_password", "%s", wrong.Message)
	}
	if err != nil {
		return nil, unproven(err, "the present password is wrong", "current_password")
	}
	return ChangePassword204Response{}, nil
}

// unproven words ErrBadCredentials for who is signed in already. It is no 401: the
// access token is good, another would change nothing.
func unproven(err error, detail string, fields ...string) error {
	if !errors.Is(err, operator.ErrBadCredentials) {
		return err
	}
	p := problemf(http.StatusUnprocessableEntity, "bad_credentials", "%s", detail)
	for _, field := range fields {
		p.fields = append(p.fields, FieldError{Field: field, Message: detail})
	}
	return p
}

// signInOf is a sign-in as the API shows it.
func signInOf(result *operator.SignInResult, now time.Time) SignIn {
	if result.Tokens != nil {
		return tokensOf(result.Tokens, now)
	}
	return SignIn{MfaRequired: true, MfaToken: result.Challenge, ExpiresIn: remaining(result.ChallengeExpiresAt, now)}
}

func tokensOf(t *operator.Tokens, now time.Time) SignIn {
	return SignIn{
		TokenType: SignInTokenTypeBearer, AccessToken: t.Access, ExpiresIn: remaining(t.AccessExpiresAt, now),
		RefreshToken: t.Refresh, RefreshExpiresIn: remaining(t.RefreshExpiresAt, now),
	}
}

// remaining is how many whole seconds are left.
func remaining(until, now time.Time) int { return max(0, int(until.Sub(now)/time.Second)) }
