package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/jobs"
	"radiusd/operator"
	"radiusd/report"
)

// problem is an answer that is an error (RFC 9457). Handlers return it, or an error
// of the domain that problemOf knows.
type problem struct {
	status     int
	code       string // stable, for programs
	detail     string // for people; no secret, no internals
	fields     []FieldError
	retryAfter time.Duration // zero: not said
	err        error         // what is behind it, for the log only
}

func (p *problem) Error() string {
	if p.err != nil {
		return p.code + ": " + p.err.Error()
	}
	return p.code + ": " + p.detail
}

func (p *problem) Unwrap() error { return p.err }

// problemf returns a problem with a detail for people.
func problemf(status int, code, format string, args ...any) *problem {
	return &problem{status: status, code: code, detail: fmt.Sprintf(format, args...)}
}

// invalid returns the problem of input that breaks a rule.
func invalid(fields ...FieldError) *problem {
	return &problem{status: http.StatusUnprocessableEntity, code: "invalid", detail: "the input breaks a rule", fields: fields}
}

// invalidField is invalid for one field.
func invalidField(field, format string, args ...any) *problem {
	return invalid(FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

// problemOf returns what an error means to the client. An error it does not know is
// internal: its text goes to the log, not to the client.
func problemOf(err error) *problem {
	var p *problem
	var throttled *operator.ThrottledError
	var forbidden *operator.ForbiddenError
	var rule *billing.RuleError
	var voucher *billing.VoucherError
	var unexplained *aaa.ExplainError
	switch {
	case errors.As(err, &p):
		return p
	case len(aaa.FieldErrors(err)) > 0:
		var fields []FieldError
		for _, f := range aaa.FieldErrors(err) {
			fields = append(fields, FieldError{Field: f.Field, Message: f.Message})
		}
		return invalid(fields...)
	case errors.As(err, &voucher):
		return problemf(http.StatusConflict, voucherCode(voucher.State), "%v", voucher)
	case errors.Is(err, billing.ErrUnknownVoucher):
		return problemf(http.StatusNotFound, "unknown_voucher", "%v", billing.ErrUnknownVoucher)
	case errors.As(err, &rule):
		return problemf(http.StatusConflict, rule.Code, "%v", err)
	case len(billing.FieldErrors(err)) > 0:
		return invalid(billingFields(err, nil)...)
	case errors.Is(err, billing.ErrOverflow):
		return invalidField("amount", "%v", billing.ErrOverflow)
	case errors.Is(err, billing.ErrRunning):
		return problemf(http.StatusConflict, "billing_running", "%v", billing.ErrRunning)
	case errors.As(err, &unexplained):
		return invalidField(unexplained.Field, "%v", unexplained.Err)
	case len(operatorFields(err)) > 0:
		return invalid(operatorFields(err)...)
	case errors.Is(err, aaa.ErrNotFound), errors.Is(err, operator.ErrNotFound), errors.Is(err, jobs.ErrNotFound):
		return problemf(http.StatusNotFound, "not_found", "%v", err)
	case errors.Is(err, aaa.ErrExists), errors.Is(err, operator.ErrExists):
		return problemf(http.StatusConflict, "exists", "%v", err)
	case errors.Is(err, aaa.ErrInUse), errors.Is(err, operator.ErrInUse):
		return problemf(http.StatusConflict, "in_use", "%v", err)
	case errors.Is(err, aaa.ErrDamaged):
		return &problem{status: http.StatusConflict, code: "damaged", detail: aaa.ErrDamaged.Error(), err: err}
	case errors.Is(err, aaa.ErrSessionEnded):
		return problemf(http.StatusConflict, "session_ended", "%v", err)
	case errors.Is(err, aaa.ErrNoNAS):
		return problemf(http.StatusConflict, "nas_unreachable", "%v", err)
	case errors.Is(err, aaa.ErrNoChange):
		return problemf(http.StatusConflict, "no_coa", "%v", err)
	case errors.Is(err, aaa.ErrNothingToChange):
		return problemf(http.StatusConflict, "nothing_to_change", "%v", err)
	case errors.Is(err, jobs.ErrState):
		return problemf(http.StatusConflict, "job_state", "%v", err)
	case errors.Is(err, aaa.ErrBatchTooLarge):
		return invalidField("filter", "%v", err)
	case errors.Is(err, aaa.ErrBadCursor):
		return problemf(http.StatusBadRequest, "bad_cursor", "the cursor is not one of this list with this filter and sort")
	case errors.Is(err, aaa.ErrBadSort):
		return problemf(http.StatusBadRequest, "bad_sort", "%v", err)
	case errors.Is(err, operator.ErrKeyReused):
		return problemf(http.StatusUnprocessableEntity, "key_reused", "the Idempotency-Key was used before for another request")
	case errors.As(err, &throttled):
		return &problem{status: http.StatusTooManyRequests, code: "throttled", detail: "too many failures for this account or from this address: wait as long as Retry-After says", retryAfter: throttled.RetryAfter}
	case errors.As(err, &forbidden):
		return problemf(http.StatusForbidden, "forbidden", "%v", forbidden)
	case errors.Is(err, operator.ErrBadCredentials):
		return problemf(http.StatusUnauthorized, "bad_credentials", "%v", operator.ErrBadCredentials)
	case errors.Is(err, operator.ErrUnknownRole):
		return invalidField("roles", "%v", err)
	case errors.Is(err, operator.ErrBuiltIn):
		return problemf(http.StatusConflict, "built_in", "%v", err)
	case errors.Is(err, operator.ErrLastOwner):
		return problemf(http.StatusConflict, "last_owner", "%v", err)
	case errors.Is(err, operator.ErrMFAEnabled), errors.Is(err, operator.ErrMFADisabled):
		return problemf(http.StatusConflict, "mfa_state", "%v", err)
	case errors.Is(err, operator.ErrTooMany):
		return problemf(http.StatusConflict, "too_many", "%v", err)
	case errors.Is(err, operator.ErrBusy):
		return &problem{status: http.StatusServiceUnavailable, code: "busy", detail: operator.ErrBusy.Error(), retryAfter: time.Second}
	case errors.Is(err, operator.ErrProvider):
		return &problem{status: http.StatusBadGateway, code: "oidc_provider", detail: operator.ErrProvider.Error() + ": try again later, or sign in with a password", err: err}
	case errors.Is(err, checkout.ErrProvider):
		return &problem{status: http.StatusBadGateway, code: "checkout_provider", detail: checkoutDetail(checkout.ErrProvider, err), err: err}
	case errors.Is(err, checkout.ErrRefund):
		return &problem{status: http.StatusBadGateway, code: "checkout_provider", detail: checkoutDetail(checkout.ErrRefund, err), err: err}
	case errors.Is(err, operator.ErrUnauthenticated):
		return problemf(http.StatusUnauthorized, "unauthenticated", "sign in first: the token is missing, has expired or was revoked")
	case errors.Is(err, aaa.ErrUnreachable), errors.Is(err, operator.ErrUnavailable):
		return &problem{status: http.StatusServiceUnavailable, code: "unavailable", detail: "the store cannot be reached at the moment", retryAfter: time.Second, err: err}
	case errors.Is(err, report.ErrUnavailable):
		return &problem{status: http.StatusServiceUnavailable, code: "unavailable", detail: report.ErrUnavailable.Error() + "; the server's log says why", err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{status: http.StatusServiceUnavailable, code: "unavailable", detail: "the request took too long", retryAfter: time.Second, err: err}
	}
	return &problem{status: http.StatusInternalServerError, code: "internal", detail: "something went wrong; the server's log has the request_id", err: err}
}

// checkoutDetail says what a payment provider has answered, if it did.
func checkoutDetail(what, err error) string {
	var refused *checkout.Error
	if errors.As(err, &refused) {
		return what.Error() + ": " + refused.Error()
	}
	return what.Error() + ": try again later"
}

// operatorFields are the field errors of package operator that err joins.
func operatorFields(err error) (fields []FieldError) {
	switch e := err.(type) {
	case *operator.FieldError:
		return []FieldError{{Field: e.Field, Message: e.Message}}
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			fields = append(fields, operatorFields(err)...)
		}
	case interface{ Unwrap() error }:
		return operatorFields(e.Unwrap())
	}
	return fields
}

// writeProblem answers a request with the problem.
func writeProblem(w http.ResponseWriter, p *problem, requestID string) {
	body := Problem{
		Type: "about:blank", Title: http.StatusText(p.status), Status: p.status,
		Code: p.code, Detail: p.detail, Errors: p.fields, RequestID: requestID,
	}
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Del("ETag")
	if p.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="radiusd"`)
	}
	if p.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(body) // the client has hung up
}
