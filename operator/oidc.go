package operator

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/uuid"
	"golang.org/x/oauth2"
)

// OIDCOptions says how operators sign in through an OpenID provider.
type OIDCOptions struct {
	// Issuer is the provider's URL, under which /.well-known/openid-configuration is.
	Issuer       string
	ClientID     string
	ClientSecret string
	// RedirectURL is where the provider sends the browser back to.
	RedirectURL string
	// Scopes are asked for besides openid, profile and email.
	Scopes []string
	// LinkByEmail lets the first sign-in of a person find the operator by an e-mail
	// address that the provider has verified. Otherwise an operator must have been
	// given the subject before. Operators are never made by a sign-in.
	LinkByEmail bool
	// RoleClaim names a claim of the ID token with a list of texts; at each sign-in the
	// operator gets the roles that RoleMap gives for them, and no others. Empty: roles
	// are given here.
	RoleClaim string
	RoleMap   map[string][]string
	// Client asks the provider. Nil: one with a time limit.
	Client *http.Client
}

// OIDC signs operators in through an OpenID provider: authorization code with PKCE
// (RFC 7636), state and nonce. It is safe for concurrent use.
type OIDC struct {
	service *Service
	options OIDCOptions

	mu       sync.Mutex
	provider *oidc.Provider // nil until it has answered
}

const (
	oidcLife    = 10 * time.Minute // of a sign-in at the provider
	oidcTimeout = 10 * time.Second // of a request to the provider
)

// ErrProvider means that the OpenID provider does not answer, or not as it should.
var ErrProvider = errors.New("the OpenID provider does not answer as it should")

// NewOIDC returns the sign-in through a provider, which is asked at the first one.
func (s *Service) NewOIDC(options OIDCOptions) (*OIDC, error) {
	for _, required := range []struct{ name, value string }{
		{"issuer", options.Issuer}, {"client_id", options.ClientID}, {"redirect_url", options.RedirectURL},
	} {
		if required.value == "" {
			return nil, &FieldError{required.name, "is empty"}
		}
	}
	if options.Client == nil {
		options.Client = &http.Client{Timeout: oidcTimeout}
	}
	return &OIDC{service: s, options: options}, nil
}

// discover reads the provider's configuration once.
func (o *OIDC) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, o.options.Client), o.options.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrProvider, err)
		}
		o.provider = provider
	}
	return o.provider, &oauth2.Config{
		ClientID: o.options.ClientID, ClientSecret: o.options.ClientSecret, RedirectURL: o.options.RedirectURL,
		Endpoint: o.provider.Endpoint(), Scopes: append([]string{oidc.ScopeOpenID, "profile", "email"}, o.options.Scopes...),
	}, nil
}

// Secure reports whether the browser comes back over TLS.
func (o *OIDC) Secure() bool { return strings.HasPrefix(o.options.RedirectURL, "https://") }

// OIDCStart is where the browser goes to sign in.
type OIDCStart struct {
	URL string
	// Cookie binds the sign-in to the browser: to be set with HttpOnly,
	// SameSite=Lax and, if OIDC.Secure says so, Secure, and given to Finish.
	Cookie    string
	ExpiresAt time.Time
}

// oidcFlow is what the cookie holds, sealed.
type oidcFlow struct {
	State     uuid.UUID
	Nonce     string
	Verifier  string
	StartedAt time.Time
}

// Begin starts a sign-in. It keeps nothing here.
func (o *OIDC) Begin(ctx context.Context) (*OIDCStart, error) {
	_, config, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	flow := oidcFlow{Verifier: oauth2.GenerateVerifier(), StartedAt: o.service.now().UTC().Truncate(time.Microsecond)}
	if flow.State, err = uuid.NewRandom(); err != nil {
		return nil, fmt.Errorf("begin a sign-in: %w", err)
	}
	nonce := make([]byte, 16)
	if _, err := io.ReadFull(o.service.random, nonce); err != nil {
		return nil, fmt.Errorf("begin a sign-in: %w", err)
	}
	flow.Nonce = base64.RawURLEncoding.EncodeToString(nonce)
	cookie, err := o.service.sealFlow(ctx, &flow)
	if err != nil {
		return nil, err
	}
	return &OIDCStart{
		URL:    config.AuthCodeURL(flow.State.String(), oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier)),
		Cookie: cookie, ExpiresAt: flow.StartedAt.Add(oidcLife),
	}, nil
}

// Finish takes what the provider has sent back with the browser, and the cookie of
// Begin. It fails with ErrUnauthenticated if these do not fit, were used before or are
// too old, or if the provider's word is not good; with ErrBadCredentials if the
// person is no active operator; with ErrProvider if the provider fails. An operator
// whose provider has not seen a second factor is asked for the one he has here.
func (o *OIDC) Finish(ctx context.Context, cookie, state, code string, addr netip.Addr) (*SignInResult, error) {
	s := o.service
	flow, err := s.openFlow(ctx, cookie)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(flow.State.String()), []byte(state)) != 1 || code == "" {
		return nil, ErrUnauthenticated
	}
	first, err := s.store.SpendToken(ctx, flow.State, flow.StartedAt.Add(oidcLife+time.Minute))
	if err != nil {
		return nil, unavailable(err)
	}
	if !first {
		return nil, ErrUnauthenticated
	}
	person, err := o.exchange(ctx, flow, code)
	if err != nil {
		return nil, err
	}
	operator, err := o.find(ctx, person)
	if err != nil {
		if isNotFound(err) {
			s.tell(ctx, SignInEvent{Kind: SignInFailed, Addr: addr, Method: "oidc", Reason: "no such operator"})
			return nil, ErrBadCredentials
		}
		return nil, err
	}
	if operator.Status != Active {
		s.tell(ctx, SignInEvent{Kind: SignInFailed, OperatorID: operator.ID, Name: operator.Name, Addr: addr, Method: "oidc", Reason: "disabled"})
		return nil, ErrBadCredentials
	}
	if operator, err = o.updateRoles(ctx, operator, person); err != nil {
		return nil, err
	}
	if !flow.StartedAt.After(operator.TokensNotBefore) {
		return nil, ErrUnauthenticated
	}
	methods := []string{byOIDC}
	if person.mfa {
		methods = append(methods, byMFA)
	}
	return s.letIn(ctx, operator, methods, "oidc", flow.StartedAt, addr)
}

// oidcPerson is whom the provider vouches for.
type oidcPerson struct {
	subject       Subject
	email         string
	emailVerified bool
	mfa           bool
	claimed       []string // the values of RoleClaim
}

// exchange turns the code into an ID token and checks it (OpenID Connect Core 1.0
// section 3.1.3.7).
func (o *OIDC) exchange(ctx context.Context, flow *oidcFlow, code string) (*oidcPerson, error) {
	provider, config, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, o.options.Client)
	tokens, err := config.Exchange(ctx, code, oauth2.VerifierOption(flow.Verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500 {
			return nil, fmt.Errorf("%w: the provider refused the code: %s", ErrUnauthenticated, refused.ErrorCode)
		}
		return nil, fmt.Errorf("%w: exchange the code: %s", ErrProvider, providerError(err))
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return nil, fmt.Errorf("%w: it sent no ID token", ErrProvider)
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: o.options.ClientID, Now: o.service.now}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: ID token: %w", ErrUnauthenticated, err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(flow.Nonce)) != 1 {
		return nil, fmt.Errorf("%w: ID token: it is for another sign-in", ErrUnauthenticated)
	}
	all := map[string]any{}
	if err := token.Claims(&all); err != nil {
		return nil, fmt.Errorf("%w: ID token: %w", ErrUnauthenticated, err)
	}
	// With several audiences, we must be the one that it was made for.
	if azp, ok := all["azp"]; ok && azp != o.options.ClientID || !ok && len(token.Audience) > 1 {
		return nil, fmt.Errorf("%w: ID token: it was made for another client", ErrUnauthenticated)
	}
	p := &oidcPerson{subject: Subject{Issuer: token.Issuer, ID: token.Subject}}
	p.email, _ = all["email"].(string)
	p.emailVerified, _ = all["email_verified"].(bool)
	p.mfa = slices.ContainsFunc(texts(all["amr"]), func(m string) bool { return m == byMFA || m == byOTP || m == "hwk" })
	if o.options.RoleClaim != "" {
		p.claimed = texts(all[o.options.RoleClaim])
	}
	return p, nil
}

// providerError leaves the body of an answer out, which may have secrets.
func providerError(err error) string {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		return refused.Response.Status
	}
	return err.Error()
}

// texts reads a claim that is a text or a list of texts.
func texts(claim any) (list []string) {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if text, ok := one.(string); ok {
				list = append(list, text)
			}
		}
	}
	return list
}

// find returns the operator whom the person is.
func (o *OIDC) find(ctx context.Context, p *oidcPerson) (*Operator, error) {
	s := o.service
	found, err := s.store.OperatorBySubject(ctx, p.subject)
	if err == nil || !isNotFound(err) {
		return found, orUnavailable(err)
	}
	if !o.options.LinkByEmail || !p.emailVerified || p.email == "" {
		return nil, err
	}
	list, err := s.store.OperatorsByEmail(ctx, p.email)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(list) != 1 || list[0].Subject != (Subject{}) || list[0].Status != Active {
		return nil, fmt.Errorf("operator with this e-mail address: %w", ErrNotFound)
	}
	err = s.store.ChangeOperator(ctx, list[0].ID, func(current *Operator) error {
		if current.Subject != (Subject{}) || current.Email != list[0].Email {
			return ErrNotFound // somebody was faster
		}
		current.Subject = p.subject
		return nil
	})
	if err != nil {
		return nil, err
	}
	found, err = s.store.OperatorByID(ctx, list[0].ID)
	return found, orUnavailable(err)
}

// orUnavailable leaves ErrNotFound as it is.
func orUnavailable(err error) error {
	if err == nil || isNotFound(err) {
		return err
	}
	return unavailable(err)
}

// updateRoles gives the operator the roles that the provider says he has. The last
// owner stays one: somebody must be able to mend the map.
func (o *OIDC) updateRoles(ctx context.Context, operator *Operator, p *oidcPerson) (*Operator, error) {
	if o.options.RoleClaim == "" {
		return operator, nil
	}
	var roles []string
	for _, value := range p.claimed {
		roles = append(roles, o.options.RoleMap[value]...)
	}
	slices.Sort(roles)
	roles = slices.Compact(roles)
	if slices.Equal(roles, operator.Roles) {
		return operator, nil
	}
	s := o.service
	err := s.store.ChangeOperator(ctx, operator.ID, func(current *Operator) error {
		current.Roles = slices.Clone(roles)
		return nil
	})
	switch {
	case errors.Is(err, ErrLastOwner):
		s.logger.Warn("the OpenID provider would take the last owner's role", "operator", operator.Name)
		return operator, nil
	case err != nil:
		return nil, fmt.Errorf("give the roles that the provider says: %w", err)
	}
	s.directory.invalidate()
	operator.Roles = roles
	return operator, nil
}

// flowKey derives the key of the cookies from a signing key, so that all processes
// open them.
func flowKey(key SigningKey) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key.Seed, key.ID[:], "radiusd OIDC sign-in", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealFlow writes a flow as a cookie: the key's id, and what only we can read.
func (s *Service) sealFlow(ctx context.Context, flow *oidcFlow) (string, error) {
	key, err := s.keys.signing(ctx)
	if err != nil {
		return "", err
	}
	aead, err := flowKey(key)
	if err != nil {
		return "", fmt.Errorf("begin a sign-in: %w", err)
	}
	plain, err := json.Marshal(flow)
	if err != nil {
		return "", fmt.Errorf("begin a sign-in: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(slices.Clone(key.ID[:]), nil, plain, key.ID[:])), nil
}

// openFlow reads a cookie that sealFlow wrote and that is not too old.
func (s *Service) openFlow(ctx context.Context, cookie string) (*oidcFlow, error) {
	if len(cookie) > maxToken {
		return nil, ErrUnauthenticated
	}
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(b) < len(uuid.UUID{}) {
		return nil, ErrUnauthenticated
	}
	id := uuid.UUID(b[:16])
	key, err := s.keys.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	aead, err := flowKey(key)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, b[16:], id[:])
	if err != nil {
		return nil, ErrUnauthenticated
	}
	var flow oidcFlow
	if err := json.Unmarshal(plain, &flow); err != nil {
		return nil, ErrUnauthenticated
	}
	if age := s.now().Sub(flow.StartedAt); age < -clockSkew || age >= oidcLife {
		return nil, ErrUnauthenticated
	}
	return &flow, nil
}
