package api_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/operator"
)

// provider is an OpenID provider where "person-1" is signed in.
type provider struct {
	*httptest.Server
	mu    sync.Mutex
	codes map[string]url.Values // what each code was asked for with
}

const clientSecret = "the secret of the client"

func newProvider(t *testing.T, w *world) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "one"}}, nil)
	require.NoError(t, err)
	p := &provider{codes: map[string]url.Values{}}
	write := func(rw http.ResponseWriter, v any) {
		rw.Header().Set("Content-Type", "application/json")
		assert.NoError(t, json.NewEncoder(rw).Encode(v))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		write(rw, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(rw http.ResponseWriter, _ *http.Request) {
		write(rw, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		asked, ok := p.codes[r.FormValue("code")]
		delete(p.codes, r.FormValue("code"))
		verified := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(verified[:]) {
			rw.WriteHeader(http.StatusBadRequest)
			write(rw, map[string]string{"error": "invalid_grant"})
			return
		}
		now := w.clock.now()
		claims, err := json.Marshal(map[string]any{
			"iss": p.URL, "aud": asked.Get("client_id"), "sub": "person-1", "nonce": asked.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		})
		assert.NoError(t, err)
		signed, err := signer.Sign(claims)
		assert.NoError(t, err)
		text, err := signed.CompactSerialize()
		assert.NoError(t, err)
		write(rw, map[string]any{"access_token": "unused", "token_type": "Bearer", "id_token": text})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	t.Cleanup(p.CloseClientConnections)
	return p
}

// visit is the browser at the provider, which sends it back with these parameters.
func (p *provider) visit(t *testing.T, location string) (back url.Values) {
	t.Helper()
	u, err := url.Parse(location)
	require.NoError(t, err)
	asked := u.Query()
	require.Equal(t, "S256", asked.Get("code_challenge_method"))
	require.NotEmpty(t, asked.Get("nonce"))
	code := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = asked
	return url.Values{"state": asked["state"], "code": {code}, "session_state": {"of the provider"}, "iss": {p.URL}}
}

// provide makes the world's operators sign in through the provider as well.
func (w *world) provide(t *testing.T, p *provider, redirect string) {
	t.Helper()
	o, err := w.operators.NewOIDC(operator.OIDCOptions{
		Issuer: p.URL, ClientID: "radiusd", ClientSecret: clientSecret, RedirectURL: redirect,
		Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute},
	})
	require.NoError(t, err)
	w.api.OIDC, w.api.OIDCName = o, "Example ID"
	w.serve(t)
}

// begin starts a sign-in and returns where the browser is sent, and its cookie.
func begin(t *testing.T, w *world) (location string, cookie *http.Cookie) {
	t.Helper()
	a := w.anonymous(t).get("/auth/oidc/login").is(http.StatusFound)
	assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
	cookie, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	require.NoError(t, err)
	return a.header.Get("Location"), cookie
}

// comeBack is the browser that comes back from the provider.
func comeBack(t *testing.T, w *world, cookie *http.Cookie, back url.Values) *answer {
	t.Helper()
	var headers []string
	if cookie != nil {
		headers = []string{"Cookie", cookie.Name + "=" + cookie.Value}
	}
	return w.anonymous(t).get("/auth/oidc/callback?"+back.Encode(), headers...)
}

func TestOIDC(t *testing.T) {
	bothEngines(t, func(all *testing.T, w *world) {
		t := all
		t.Run("not configured", func(t *testing.T) {
			assert.False(t, into[api.OIDCInfo](w.anonymous(t).get("/auth/oidc").is(http.StatusOK)).Enabled)
			w.anonymous(t).get("/auth/oidc/login").code(http.StatusNotFound, "oidc_not_configured")
			w.anonymous(t).get("/auth/oidc/callback?state=x&code=y").code(http.StatusNotFound, "oidc_not_configured")
		})
		p := newProvider(t, w)
		w.provide(t, p, "https://radius.example/api/v1/auth/oidc/callback")
		assert.Equal(t, api.OIDCInfo{Enabled: true, Name: "Example ID"}, into[api.OIDCInfo](w.anonymous(t).get("/auth/oidc").is(http.StatusOK)))

		t.Run("a person who is no operator", func(t *testing.T) {
			location, cookie := begin(t, w)
			a := comeBack(t, w, cookie, p.visit(t, location)).code(http.StatusUnauthorized, "bad_credentials")
			assert.Contains(t, a.problem().Detail, "ask an administrator")
		})
		admin := w.as(t, "admin")
		dora := into[api.Operator](admin.post("/operators", map[string]any{
			"name": "dora", "roles": []string{"support"}, "oidc_issuer": p.URL, "oidc_subject": "person-1",
		}).is(http.StatusCreated))
		assert.False(t, dora.HasPassword)
		assert.Equal(t, "person-1", dora.OidcSubject)
		admin.post("/operators", map[string]any{"name": "double", "roles": []string{"support"}, "oidc_issuer": p.URL, "oidc_subject": "person-1"}).code(http.StatusConflict, "exists")

		t.Run("in, and the cookie is gone", func(t *testing.T) {
			location, cookie := begin(t, w)
			assert.Equal(t, "__Host-radiusd_oidc", cookie.Name)
			assert.Equal(t, "/", cookie.Path)
			assert.Empty(t, cookie.Domain)
			assert.True(t, cookie.Secure)
			assert.True(t, cookie.HttpOnly)
			assert.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
			assert.InDelta(t, 600, cookie.MaxAge, 5)
			a := comeBack(t, w, cookie, p.visit(t, location)).is(http.StatusOK)
			assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
			over, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
			require.NoError(t, err)
			assert.Equal(t, cookie.Name, over.Name)
			assert.Negative(t, over.MaxAge)
			client, tokens := w.bearerOf(t, a)
			assert.Equal(t, "dora", into[api.Me](client.get("/auth/me").is(http.StatusOK)).Name)
			w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": tokens.RefreshToken}).is(http.StatusOK)
			w.anonymous(t).post("/auth/login", map[string]string{"name": "dora", "password": testPassword}).code(http.StatusUnauthorized, "bad_credentials")
		})
		t.Run("only in the browser that began, once, and not for long", func(t *testing.T) {
			location, cookie := begin(t, w)
			_, other := begin(t, w)
			back := p.visit(t, location)
			comeBack(t, w, nil, back).code(http.StatusUnauthorized, "unauthenticated")
			comeBack(t, w, other, back).code(http.StatusUnauthorized, "unauthenticated")
			comeBack(t, w, &http.Cookie{Name: "radiusd_oidc", Value: cookie.Value}, back).code(http.StatusUnauthorized, "unauthenticated")
			comeBack(t, w, &http.Cookie{Name: cookie.Name, Value: "x" + cookie.Value}, back).code(http.StatusUnauthorized, "unauthenticated")
			comeBack(t, w, cookie, back).is(http.StatusOK)
			comeBack(t, w, cookie, p.visit(t, location)).code(http.StatusUnauthorized, "unauthenticated")
			location, cookie = begin(t, w)
			back = p.visit(t, location)
			w.clock.add(11 * time.Minute)
			comeBack(t, w, cookie, back).code(http.StatusUnauthorized, "unauthenticated")
		})
		t.Run("what another was given does not fit", func(t *testing.T) {
			location, cookie := begin(t, w)
			back := p.visit(t, location)
			other, _ := begin(t, w)
			back.Set("code", p.visit(t, other).Get("code")) // made with another verifier and nonce
			comeBack(t, w, cookie, back).code(http.StatusUnauthorized, "unauthenticated")
		})
		t.Run("the provider says no", func(t *testing.T) {
			location, cookie := begin(t, w)
			back := p.visit(t, location)
			back.Del("code")
			back.Set("error", "access_denied")
			assert.Contains(t, comeBack(t, w, cookie, back).code(http.StatusUnauthorized, "oidc_refused").problem().Detail, "access_denied")
			back.Set("error", "<script>")
			comeBack(t, w, cookie, back).field("error")
		})
		t.Run("a second factor is asked for here if the provider has seen none", func(t *testing.T) {
			location, cookie := begin(t, w)
			dora, _ := w.bearerOf(t, comeBack(t, w, cookie, p.visit(t, location)))
			enrollment := into[api.MFAEnrollment](dora.post("/auth/mfa/enroll", map[string]string{}).is(http.StatusOK))
			phone := newApp(t, w, enrollment.Secret)
			dora.post("/auth/mfa/confirm", map[string]string{"code": phone.code()}).is(http.StatusOK)
			location, cookie = begin(t, w)
			signIn := into[api.SignIn](comeBack(t, w, cookie, p.visit(t, location)).is(http.StatusOK))
			require.True(t, signIn.MfaRequired)
			dora, _ = w.bearerOf(t, w.anonymous(t).post("/auth/mfa/verify", map[string]string{"mfa_token": signIn.MfaToken, "code": phone.next()}))
			dora.post("/auth/mfa/disable", map[string]string{"code": phone.next()}).is(http.StatusNoContent)
		})
		t.Run("disabled is out", func(t *testing.T) {
			w.signInAgain(t, "admin")
			admin := w.as(t, "admin")
			admin.patch("/operators/"+dora.ID.String(), map[string]any{"status": "disabled"}).is(http.StatusOK)
			location, cookie := begin(t, w)
			comeBack(t, w, cookie, p.visit(t, location)).code(http.StatusUnauthorized, "bad_credentials")
			admin.patch("/operators/"+dora.ID.String(), map[string]any{"status": "active"}).is(http.StatusOK)
		})
		t.Run("without TLS the cookie is a plain one", func(t *testing.T) {
			w.provide(all, p, "http://127.0.0.1:8080/api/v1/auth/oidc/callback")
			location, cookie := begin(t, w)
			assert.Equal(t, "radiusd_oidc", cookie.Name)
			assert.False(t, cookie.Secure)
			assert.True(t, cookie.HttpOnly)
			comeBack(t, w, cookie, p.visit(t, location)).is(http.StatusOK)
		})
		t.Run("the provider does not answer", func(t *testing.T) {
			location, cookie := begin(t, w)
			back := p.visit(t, location)
			p.Close()
			a := comeBack(t, w, cookie, back).code(http.StatusBadGateway, "oidc_provider")
			assert.NotContains(t, string(a.body), p.URL)
			for _, secret := range []string{clientSecret, back.Get("code"), cookie.Value} {
				assert.False(t, strings.Contains(w.log.String(), secret), "the log has a secret")
			}
		})
	})
}
