package operator_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/operator"
)

// provider is an OpenID provider that says what a test wants.
type provider struct {
	*httptest.Server
	t      *testing.T
	key    *rsa.PrivateKey
	clock  *clock
	claims map[string]any // on top of those that are right
	signer *rsa.PrivateKey
	grants map[string]grant
}

type grant struct{ challenge, nonce string }

const clientID = "radiusd-console"

func newProvider(t *testing.T, c *clock) *provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p := &provider{t: t, key: key, signer: key, clock: c, claims: map[string]any{}, grants: map[string]grant{}}
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		assert.NoError(t, json.NewEncoder(w).Encode(v))
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		write(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		write(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		g, ok := p.grants[r.FormValue("code")]
		verified := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || g.challenge != base64.RawURLEncoding.EncodeToString(verified[:]) {
			w.WriteHeader(http.StatusBadRequest)
			write(w, map[string]string{"error": "invalid_grant"})
			return
		}
		delete(p.grants, r.FormValue("code"))
		write(w, map[string]any{"access_token": "unused", "token_type": "Bearer", "id_token": p.idToken(g.nonce)})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) idToken(nonce string) string {
	now := p.clock.Now()
	claims := map[string]any{"iss": p.URL, "aud": clientID, "sub": "person-1", "nonce": nonce, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	maps.Copy(claims, p.claims)
	payload, err := json.Marshal(claims)
	require.NoError(p.t, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.signer, KeyID: "one"}}, nil)
	require.NoError(p.t, err)
	signed, err := signer.Sign(payload)
	require.NoError(p.t, err)
	text, err := signed.CompactSerialize()
	require.NoError(p.t, err)
	return text
}

// visit is the browser at the provider: it returns the state and a code.
func (p *provider) visit(address string) (state, code string) {
	u, err := url.Parse(address)
	require.NoError(p.t, err)
	q := u.Query()
	require.Equal(p.t, "S256", q.Get("code_challenge_method"))
	require.Equal(p.t, "code", q.Get("response_type"))
	code = rand.Text()
	p.grants[code] = grant{q.Get("code_challenge"), q.Get("nonce")}
	return q.Get("state"), code
}

// site is a service with a provider.
func newSite(t *testing.T, change func(*operator.OIDCOptions)) (*world, *provider, *operator.OIDC) {
	w := sqliteWorld(t)
	p := newProvider(t, w.clock)
	options := operator.OIDCOptions{Issuer: p.URL, ClientID: clientID, ClientSecret: "hush", RedirectURL: "https://radius.example/callback", Client: p.Client()}
	if change != nil {
		change(&options)
	}
	o, err := w.NewOIDC(options)
	require.NoError(t, err)
	t.Cleanup(p.Client().CloseIdleConnections)
	return w, p, o
}

// known adds an operator who is known to the provider.
func known(w *world, p *provider, name string, roles ...string) *operator.Operator {
	o, err := w.CreateOperator(w.t.Context(), local, operator.NewOperator{Name: name, Roles: roles, Subject: operator.Subject{Issuer: p.URL, ID: "person-1"}})
	require.NoError(w.t, err)
	w.clock.add(time.Second)
	return o
}

func signInByOIDC(t *testing.T, p *provider, o *operator.OIDC) (*operator.SignInResult, error) {
	start, err := o.Begin(t.Context())
	require.NoError(t, err)
	state, code := p.visit(start.URL)
	return o.Finish(t.Context(), start.Cookie, state, code, here)
}

func TestOIDC(t *testing.T) {
	w, p, o := newSite(t, nil)
	alice := known(w, p, "alice", "support")
	result, err := signInByOIDC(t, p, o)
	require.NoError(t, err)
	who, err := w.Authenticate(t.Context(), result.Tokens.Access, here)
	require.NoError(t, err)
	assert.Equal(t, alice.ID, who.OperatorID)
	assert.False(t, who.MFA)
	p.claims["amr"] = []string{"pwd", "mfa"}
	result, err = signInByOIDC(t, p, o)
	require.NoError(t, err)
	who, err = w.Authenticate(t.Context(), result.Tokens.Access, here)
	require.NoError(t, err)
	assert.True(t, who.MFA)
}

// TestOIDCRefuses spoils one thing at a time.
func TestOIDCRefuses(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		claims map[string]any
		spoil  func(p *provider)
		want   error
	}{
		"wrong nonce":             {claims: map[string]any{"nonce": "another"}, want: operator.ErrUnauthenticated},
		"no nonce":                {claims: map[string]any{"nonce": nil}, want: operator.ErrUnauthenticated},
		"wrong audience":          {claims: map[string]any{"aud": "another"}, want: operator.ErrUnauthenticated},
		"several audiences":       {claims: map[string]any{"aud": []string{clientID, "another"}}, want: operator.ErrUnauthenticated},
		"made for another":        {claims: map[string]any{"azp": "another"}, want: operator.ErrUnauthenticated},
		"wrong issuer":            {claims: map[string]any{"iss": "https://evil.example"}, want: operator.ErrUnauthenticated},
		"expired":                 {claims: map[string]any{"exp": 1}, want: operator.ErrUnauthenticated},
		"another key":             {spoil: func(p *provider) { p.signer = other }, want: operator.ErrUnauthenticated},
		"another person":          {claims: map[string]any{"sub": "person-2"}, want: operator.ErrBadCredentials},
		"e-mail, not configured":  {claims: map[string]any{"sub": "person-2", "email": "bob@example.org", "email_verified": true}, want: operator.ErrBadCredentials},
		"another challenge":       {spoil: func(p *provider) { replaceGrants(p, grant{challenge: "another"}) }, want: operator.ErrUnauthenticated},
		"a code that is not good": {spoil: func(p *provider) { clear(p.grants) }, want: operator.ErrUnauthenticated},
		"the provider is away":    {spoil: func(p *provider) { p.CloseClientConnections(); p.Listener.Close() }, want: operator.ErrProvider},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, o := newSite(t, nil)
			known(w, p, "alice", "support")
			_, err := w.CreateOperator(t.Context(), local, operator.NewOperator{Name: "bob", Email: "bob@example.org"})
			require.NoError(t, err)
			start, err := o.Begin(t.Context())
			require.NoError(t, err)
			state, code := p.visit(start.URL)
			maps.Copy(p.claims, tt.claims)
			if tt.spoil != nil {
				tt.spoil(p)
			}
			result, err := o.Finish(t.Context(), start.Cookie, state, code, here)
			require.ErrorIs(t, err, tt.want)
			assert.Nil(t, result)
			assert.NotContains(t, err.Error(), "hush")
		})
	}
}

func replaceGrants(p *provider, g grant) {
	for code := range p.grants {
		p.grants[code] = g
	}
}

func TestOIDCState(t *testing.T) {
	w, p, o := newSite(t, nil)
	ctx := t.Context()
	known(w, p, "alice", "support")
	start, err := o.Begin(ctx)
	require.NoError(t, err)
	state, code := p.visit(start.URL)
	second, err := o.Begin(ctx)
	require.NoError(t, err)
	for name, cookie := range map[string]string{"of another sign-in": second.Cookie, "none": "", "changed": start.Cookie[:len(start.Cookie)-2] + "AA", "cut": start.Cookie[:20]} {
		_, err := o.Finish(ctx, cookie, state, code, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated, name)
	}
	_, err = o.Finish(ctx, start.Cookie, "", code, here)
	assert.ErrorIs(t, err, operator.ErrUnauthenticated, "no state")
	_, err = o.Finish(ctx, start.Cookie, state, code, here)
	require.NoError(t, err)
	_, code = p.visit(start.URL) // the same state and nonce again, with a new code
	_, err = o.Finish(ctx, start.Cookie, state, code, here)
	assert.ErrorIs(t, err, operator.ErrUnauthenticated, "replayed state")

	state, code = p.visit(second.URL)
	w.clock.add(10 * time.Minute)
	_, err = o.Finish(ctx, second.Cookie, state, code, here)
	assert.ErrorIs(t, err, operator.ErrUnauthenticated, "too late")
	assert.NotContains(t, start.URL, "hush")
}

func TestOIDCLinksByEmail(t *testing.T) {
	link := func(o *operator.OIDCOptions) { o.LinkByEmail = true }
	for name, tt := range map[string]struct {
		claims    map[string]any
		operators []operator.NewOperator
		linked    bool
	}{
		"verified":     {map[string]any{"email": "Alice@Example.org", "email_verified": true}, []operator.NewOperator{{Name: "alice", Email: "alice@example.org"}}, true},
		"not verified": {map[string]any{"email": "alice@example.org", "email_verified": false}, []operator.NewOperator{{Name: "alice", Email: "alice@example.org"}}, false},
		"not said":     {map[string]any{"email": "alice@example.org"}, []operator.NewOperator{{Name: "alice", Email: "alice@example.org"}}, false},
		"empty":        {map[string]any{"email": "", "email_verified": true}, []operator.NewOperator{{Name: "alice"}}, false},
		"two of them": {map[string]any{"email": "alice@example.org", "email_verified": true},
			[]operator.NewOperator{{Name: "alice", Email: "alice@example.org"}, {Name: "alicia", Email: "alice@example.org"}}, false},
		"linked to somebody else": {map[string]any{"email": "alice@example.org", "email_verified": true},
			[]operator.NewOperator{{Name: "alice", Email: "alice@example.org", Subject: operator.Subject{Issuer: "https://other.example", ID: "x"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, o := newSite(t, link)
			for _, n := range tt.operators {
				_, err := w.CreateOperator(t.Context(), local, n)
				require.NoError(t, err)
			}
			maps.Copy(p.claims, tt.claims)
			result, err := signInByOIDC(t, p, o)
			if !tt.linked {
				require.ErrorIs(t, err, operator.ErrBadCredentials)
				return
			}
			require.NoError(t, err)
			alice, err := w.OperatorNamed(t.Context(), "alice")
			require.NoError(t, err)
			assert.Equal(t, alice.ID, result.Tokens.OperatorID)
			assert.Equal(t, operator.Subject{Issuer: p.URL, ID: "person-1"}, alice.Subject)
			p.claims["email_verified"] = false
			_, err = signInByOIDC(t, p, o)
			require.NoError(t, err, "from now on by the subject")
		})
	}
}

func TestOIDCRoles(t *testing.T) {
	w, p, o := newSite(t, func(o *operator.OIDCOptions) {
		o.RoleClaim, o.RoleMap = "groups", map[string][]string{"netops": {"admin"}, "desk": {"support", "read-only"}}
	})
	ctx := t.Context()
	alice := known(w, p, "alice", "owner")
	p.claims["groups"] = []any{"desk", "strangers", 7}
	_, err := signInByOIDC(t, p, o)
	require.NoError(t, err)
	roles := func() []string {
		got, err := w.Operator(ctx, alice.ID)
		require.NoError(t, err)
		return got.Roles
	}
	assert.Equal(t, []string{"owner"}, roles(), "the last owner stays one")
	w.add("bob", "owner")
	result, err := signInByOIDC(t, p, o)
	require.NoError(t, err)
	assert.Equal(t, []string{"read-only", "support"}, roles())
	who, err := w.Authenticate(ctx, result.Tokens.Access, here)
	require.NoError(t, err)
	assert.False(t, who.Can(operator.PlansWrite))
	p.claims["groups"] = "netops"
	_, err = signInByOIDC(t, p, o)
	require.NoError(t, err)
	assert.Equal(t, []string{"admin"}, roles())
	delete(p.claims, "groups")
	_, err = signInByOIDC(t, p, o)
	require.NoError(t, err)
	assert.Empty(t, roles())
}

// TestOIDCKeepsSecondFactor: a provider that has seen none does not do away with it.
func TestOIDCKeepsSecondFactor(t *testing.T) {
	w, p, o := newSite(t, nil)
	ctx := t.Context()
	known(w, p, "alice", "support")
	result, err := signInByOIDC(t, p, o)
	require.NoError(t, err)
	who, err := w.Authenticate(ctx, result.Tokens.Access, here)
	require.NoError(t, err)
	w.clock.add(11 * time.Minute)
	_, err = w.EnrolTOTP(ctx, who, "")
	var forbidden *operator.ForbiddenError
	require.ErrorAs(t, err, &forbidden, "without a password it takes a fresh sign-in")
	result, err = signInByOIDC(t, p, o)
	require.NoError(t, err)
	who, err = w.Authenticate(ctx, result.Tokens.Access, here)
	require.NoError(t, err)
	enrolment, err := w.EnrolTOTP(ctx, who, "")
	require.NoError(t, err)
	_, err = w.ConfirmTOTP(ctx, who, operator.Code(enrolment.Secret, w.clock.Now()))
	require.NoError(t, err)
	result, err = signInByOIDC(t, p, o)
	require.NoError(t, err)
	assert.Nil(t, result.Tokens)
	assert.NotEmpty(t, result.Challenge)
}
