package api_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/operator"
)

// forgery is a JWT in the making, and the real key.
type forgery struct {
	header, claims map[string]any
	key            ed25519.PrivateKey
	sign           func(signed []byte) []byte
}

func (f *forgery) String() string {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(f.header) + "." + part(f.claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(f.sign([]byte(signed)))
}

// forge returns the owner's access token, made anew with the real key: as it stands it
// is good.
func forge(t *testing.T, w *world) *forgery {
	t.Helper()
	real := strings.Split(w.as(t, operator.OwnerName).bearer, ".")
	require.Len(t, real, 3)
	f := &forgery{}
	for i, part := range []*map[string]any{&f.header, &f.claims} {
		text, err := base64.RawURLEncoding.DecodeString(real[i])
		require.NoError(t, err)
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(part))
	}
	keys, err := w.store.SigningKeys(context.Background())
	require.NoError(t, err)
	for _, key := range keys {
		if key.ID.String() == f.header["kid"] {
			f.key = ed25519.NewKeyFromSeed(key.Seed)
		}
	}
	require.NotNil(t, f.key)
	f.sign = func(signed []byte) []byte { return ed25519.Sign(f.key, signed) }
	return f
}

// TestForgedTokens: a JWT is good only as we make it.
func TestForgedTokens(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		_, ours, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		now := time.Now()
		hs256 := func(key []byte) func(f *forgery) {
			return func(f *forgery) {
				f.header["alg"] = "HS256"
				f.sign = func(signed []byte) []byte {
					mac := hmac.New(sha256.New, key)
					mac.Write(signed)
					return mac.Sum(nil)
				}
			}
		}
		header := func(name string, value any) func(*forgery) {
			return func(f *forgery) { f.header[name] = value }
		}
		claim := func(name string, value any) func(*forgery) {
			return func(f *forgery) { f.claims[name] = value }
		}
		withOurKey := func(change func(*forgery)) func(*forgery) {
			return func(f *forgery) {
				f.sign = func(signed []byte) []byte { return ed25519.Sign(ours, signed) }
				change(f)
			}
		}
		jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(ours.Public().(ed25519.PublicKey))}
		public := forge(t, w).key.Public().(ed25519.PublicKey)
		second := operator.SigningKey{ID: uuid.Must(uuid.NewV7()), Seed: bytes.Repeat([]byte{7}, ed25519.SeedSize), CreatedAt: now.UTC(), Follows: uuid.MustParse(forge(t, w).header["kid"].(string))}
		require.NoError(t, w.store.AddSigningKey(t.Context(), second))
		tests := map[string]func(*forgery){
			"none":                      func(f *forgery) { f.header["alg"] = "none"; f.sign = func([]byte) []byte { return nil } },
			"None":                      func(f *forgery) { f.header["alg"] = "nOnE"; f.sign = func([]byte) []byte { return nil } },
			"no signature":              func(f *forgery) { f.sign = func([]byte) []byte { return nil } },
			"HS256 with the public key": hs256(public),
			"HS256 with its base64":     hs256([]byte(base64.RawURLEncoding.EncodeToString(public))),
			"HS256 with nothing":        hs256(nil),
			"RS256": func(f *forgery) {
				f.header["alg"] = "RS256"
				f.sign = func(b []byte) []byte { return rsaSigned(rsaKey, b) }
			},
			"no alg":                      func(f *forgery) { delete(f.header, "alg") },
			"alg of another case":         header("alg", "EDDSA"),
			"another's key":               withOurKey(func(*forgery) {}),
			"another's key as jwk":        withOurKey(header("jwk", jwk)),
			"another's key by jku":        withOurKey(header("jku", w.server.URL+"/keys.json")),
			"another's key by x5u":        withOurKey(header("x5u", w.server.URL+"/cert.pem")),
			"another's key as x5c":        withOurKey(header("x5c", []string{"MAo="})),
			"jwk beside the real key":     header("jwk", jwk),
			"jku beside the real key":     header("jku", "https://example.org/keys"),
			"x5u beside the real key":     header("x5u", "https://example.org/cert"),
			"crit":                        header("crit", []string{"exp"}),
			"b64":                         header("b64", false),
			"kid of nobody":               header("kid", uuid.NewString()),
			"kid of another key":          header("kid", second.ID.String()),
			"kid that is a path":          header("kid", "../../dev/null"),
			"kid that is SQL":             header("kid", "' OR 1=1 --"),
			"kid with space":              header("kid", " "+forge(t, w).header["kid"].(string)),
			"no kid":                      func(f *forgery) { delete(f.header, "kid") },
			"typ JWT":                     header("typ", "JWT"),
			"typ of the second factor":    header("typ", "mfa+jwt"),
			"audience of the MFA":         claim("aud", "radiusd:mfa"),
			"challenge":                   func(f *forgery) { f.header["typ"] = "mfa+jwt"; f.claims["aud"] = "radiusd:mfa" },
			"other audience":              claim("aud", "example"),
			"list of audiences":           claim("aud", []string{"radiusd:admin", "example"}),
			"no audience":                 func(f *forgery) { delete(f.claims, "aud") },
			"other issuer":                claim("iss", "https://example.org"),
			"expired":                     claim("exp", now.Add(-time.Second).Unix()),
			"no expiry":                   func(f *forgery) { delete(f.claims, "exp") },
			"expiry as text":              claim("exp", "9999999999"),
			"not yet":                     claim("nbf", now.Add(time.Hour).Unix()),
			"issued tomorrow":             claim("iat", now.Add(24*time.Hour).Unix()),
			"issued before all sign-outs": claim("sub", uuid.NewString()),
			"nobody":                      claim("sub", uuid.Nil.String()),
			"name for an id":              claim("sub", operator.OwnerName),
		}
		require.Equal(t, http.StatusOK, w.bearer(t, forge(t, w).String()).get("/plans").status, "the forgery is not good enough to show anything")
		for name, spoil := range tests {
			t.Run(name, func(t *testing.T) {
				f := forge(t, w)
				f.header, f.claims = maps.Clone(f.header), maps.Clone(f.claims)
				spoil(f)
				w.bearer(t, f.String()).get("/plans").code(http.StatusUnauthorized, "unauthenticated")
			})
		}
		good := forge(t, w).String()
		parts := strings.Split(good, ".")
		for name, text := range map[string]string{
			"JSON serialisation": `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
			"padded":             good + "==",
			"four parts":         good + "." + parts[2],
			"five parts":         good + "..",
			"standard base64":    parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "=",
			"a space inside":     parts[0] + ". " + parts[1] + "." + parts[2],
			"very long":          good + strings.Repeat("A", 100_000),
			"only dots":          "..",
			"a header twice":     base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","alg":"EdDSA","kid":"x","typ":"at+jwt"}`)) + "." + parts[1] + "." + parts[2],
		} {
			t.Run(name, func(t *testing.T) {
				w.bearer(t, text).get("/plans").code(http.StatusUnauthorized, "unauthenticated")
			})
		}
	})
}

// rsaSigned is any signature of RSA's length: the algorithm is refused before it is
// looked at.
func rsaSigned(key *rsa.PrivateKey, signed []byte) []byte {
	sum := sha256.Sum256(signed)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return signature
}

func TestOtherTokens(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.as(t, operator.OwnerName)
		signedIn, err := w.operators.SignIn(ctx, operator.OwnerName, testPassword, testAddr)
		require.NoError(t, err)
		api := w.token(t, operator.PlansRead)
		api.get("/plans").is(http.StatusOK)
		refused := func(t *testing.T, token string) {
			t.Helper()
			w.bearer(t, token).get("/plans").code(http.StatusUnauthorized, "unauthenticated")
		}
		t.Run("a refresh token is no access token", func(t *testing.T) { refused(t, signedIn.Tokens.Refresh) })
		t.Run("an API token with one bit changed", func(t *testing.T) {
			for i := range api.bearer {
				changed := []byte(api.bearer)
				changed[i] ^= 1
				refused(t, string(changed))
			}
		})
		t.Run("an API token in another form", func(t *testing.T) {
			for _, text := range []string{strings.ToUpper(api.bearer), api.bearer + "=", api.bearer[:len(api.bearer)-1], api.bearer + "a", "rd_", "rd_" + strings.Repeat("a", 84)} {
				refused(t, text)
			}
		})
		t.Run("an access token with one bit changed", func(t *testing.T) {
			good := signedIn.Tokens.Access
			last := len(good) - 1 // has bits that are no part of the signature
			for i := 0; i <= last; i = max(i+1, min(i+7, last)) {
				changed := []byte(good)
				changed[i] ^= 1
				refused(t, string(changed))
			}
		})
		t.Run("an access token after sign-out", func(t *testing.T) {
			w.bearer(t, signedIn.Tokens.Access).get("/plans").is(http.StatusOK)
			by, err := w.operators.Authenticate(ctx, signedIn.Tokens.Access, testAddr)
			require.NoError(t, err)
			require.NoError(t, w.operators.SignOut(ctx, by))
			refused(t, signedIn.Tokens.Access)
		})
	})
}

func TestAuthorizationHeader(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		good := w.as(t, operator.OwnerName).bearer
		tests := []struct {
			name   string
			values []string
			status int
		}{
			{"as it should be", []string{"Bearer " + good}, 200},
			{"the scheme in lower case, RFC 9110 section 11.1", []string{"bearer " + good}, 200},
			{"twice", []string{"Bearer " + good, "Bearer " + good}, 401},
			{"a good one first", []string{"Bearer " + good, "Basic eDp5"}, 401},
			{"a good one second", []string{"Basic eDp5", "Bearer " + good}, 401},
			{"in a list", []string{"Basic eDp5, Bearer " + good}, 401},
			{"no scheme", []string{good}, 401},
			{"nothing after the scheme", []string{"Bearer "}, 401},
			{"another scheme", []string{"Basic " + good}, 401},
			{"a tab", []string{"Bearer\t" + good}, 401},
			{"in quotes", []string{`Bearer "` + good + `"`}, 401},
			{"very long", []string{"Bearer " + strings.Repeat("A", 200_000)}, 401},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/api/v1/plans", nil)
				require.NoError(t, err)
				r.Header["Authorization"] = test.values
				response, err := noRedirects.Do(r)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				assert.Equal(t, test.status, response.StatusCode)
			})
		}
		t.Run("in the query", func(t *testing.T) {
			w.anonymous(t).get("/plans?access_token=" + good).is(http.StatusUnauthorized) // RFC 6750 section 5.3
		})
		t.Run("in a cookie", func(t *testing.T) {
			w.anonymous(t).get("/plans", "Cookie", "access_token="+good+"; Authorization=Bearer "+good).is(http.StatusUnauthorized)
		})
		t.Run("in other headers", func(t *testing.T) {
			w.anonymous(t).get("/plans", "Proxy-Authorization", "Bearer "+good, "X-Forwarded-Authorization", "Bearer "+good, "X-Api-Key", good).is(http.StatusUnauthorized)
		})
	})
}
