package api

import (
	"context"
	"errors"
	"net/http"

	"radiusd/operator"
)

// The second factor of auth.

func (h *auth) VerifyMFA(ctx context.Context, r VerifyMFARequestObject) (VerifyMFAResponseObject, error) {
	tokens, err := h.service.VerifyMFA(ctx, r.Body.MfaToken, r.Body.Code, operator.ActorOf(ctx).Addr)
	switch {
	case errors.Is(err, operator.ErrBadCredentials):
		return nil, problemf(http.StatusUnauthorized, "bad_credentials", "the code is wrong or was used before")
	case errors.Is(err, operator.ErrUnauthenticated):
		return nil, problemf(http.StatusUnauthorized, "unauthenticated", "the mfa_token was used before or has expired: begin with the password again")
	case err != nil:
		return nil, err
	}
	return VerifyMFA200JSONResponse(tokensOf(tokens, h.now())), nil
}

func (h *auth) EnrollMFA(ctx context.Context, r EnrollMFARequestObject) (EnrollMFAResponseObject, error) {
	enrolment, err := h.service.EnrolTOTP(ctx, principalOf(ctx), r.Body.Password)
	if err != nil {
		return nil, unproven(err, "the present password is wrong", "password")
	}
	return EnrollMFA200JSONResponse{Secret: enrolment.Secret, URI: enrolment.URL}, nil
}

func (h *auth) ConfirmMFA(ctx context.Context, r ConfirmMFARequestObject) (ConfirmMFAResponseObject, error) {
	codes, err := h.service.ConfirmTOTP(ctx, principalOf(ctx), r.Body.Code)
	if err != nil {
		return nil, unproven(err, "the code is wrong: is the clock of the device right?", "code")
	}
	return ConfirmMFA200JSONResponse{RecoveryCodes: codes}, nil
}

func (h *auth) RenewRecoveryCodes(ctx context.Context, r RenewRecoveryCodesRequestObject) (RenewRecoveryCodesResponseObject, error) {
	codes, err := h.service.NewRecoveryCodes(ctx, principalOf(ctx), r.Body.Code)
	if err != nil {
		return nil, unproven(err, "the code is wrong or was used before", "code")
	}
	return RenewRecoveryCodes200JSONResponse{RecoveryCodes: codes}, nil
}

func (h *auth) DisableMFA(ctx context.Context, r DisableMFARequestObject) (DisableMFAResponseObject, error) {
	if err := h.service.DisableTOTP(ctx, principalOf(ctx), r.Body.Password, r.Body.Code); err != nil {
		return nil, unproven(err, "the password or the code is wrong", "password", "code")
	}
	return DisableMFA204Response{}, nil
}
