package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"radiusd/operator"
)

// openID is the sign-in through an OpenID provider.
type openID struct {
	provider *operator.OIDC // nil: there is none
	name     string
	now      func() time.Time
}

var errNoProvider = problemf(http.StatusNotFound, "oidc_not_configured", "sign-in through an OpenID provider is not set up: sign in with a password")

func (h *openID) GetOIDC(context.Context, GetOIDCRequestObject) (GetOIDCResponseObject, error) {
	if h.provider == nil {
		return GetOIDC200JSONResponse{}, nil
	}
	return GetOIDC200JSONResponse{Enabled: true, Name: h.name}, nil
}

func (h *openID) StartOIDC(ctx context.Context, _ StartOIDCRequestObject) (StartOIDCResponseObject, error) {
	if h.provider == nil {
		return nil, errNoProvider
	}
	start, err := h.provider.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return StartOIDC302Response{Headers: StartOIDC302ResponseHeaders{
		Location: start.URL, SetCookie: h.cookie(start.Cookie, remaining(start.ExpiresAt, h.now())),
	}}, nil
}

func (h *openID) FinishOIDC(ctx context.Context, r FinishOIDCRequestObject) (FinishOIDCResponseObject, error) {
	if h.provider == nil {
		return nil, errNoProvider
	}
	cookie := r.Params.Cookie
	if h.provider.Secure() {
		cookie = r.Params.SecureCookie
	}
	switch {
	case cookie == "":
		return nil, problemf(http.StatusUnauthorized, "unauthenticated", "this browser has not begun a sign-in, or too long ago: begin again")
	case r.Params.Error != "":
		return nil, problemf(http.StatusUnauthorized, "oidc_refused", "the OpenID provider has not signed you in: %s", r.Params.Error)
	}
	result, err := h.provider.Finish(ctx, cookie, r.Params.State, r.Params.Code, operator.ActorOf(ctx).Addr)
	switch {
	case errors.Is(err, operator.ErrBadCredentials):
		return nil, problemf(http.StatusUnauthorized, "bad_credentials", "the OpenID provider knows you, but there is no active operator for you here: ask an administrator")
	case errors.Is(err, operator.ErrUnauthenticated):
		return nil, problemf(http.StatusUnauthorized, "unauthenticated", "this sign-in was begun in another browser, or too long ago, or is finished: begin again")
	case err != nil:
		return nil, err
	}
	return FinishOIDC200JSONResponse{
		Body: signInOf(result, h.now()), Headers: FinishOIDC200ResponseHeaders{SetCookie: h.cookie("", -1)},
	}, nil
}

// cookie returns the cookie that binds a sign-in to the browser, for so many seconds; a
// negative number deletes it. With TLS only this host can set it (RFC 6265bis section
// 4.1.3.2). It comes with the way back from the provider's site, so it is not strict.
func (h *openID) cookie(value string, seconds int) string {
	cookie := http.Cookie{Name: "radiusd_oidc", Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if h.provider.Secure() {
		cookie.Name, cookie.Secure = "__Host-"+cookie.Name, true
	}
	return cookie.String()
}
