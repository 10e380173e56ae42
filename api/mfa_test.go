package api_test

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec: RFC 6238 section 1.2
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/operator"
)

// app is an authenticator app (RFC 6238).
type app struct {
	key   []byte
	clock *clock
	shown string // the last code
}

func newApp(t *testing.T, w *world, secret string) *app {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	require.NoError(t, err)
	return &app{key: key, clock: w.clock}
}

// code is what the app shows now.
func (a *app) code() string {
	mac := hmac.New(sha1.New, a.key)
	_ = binary.Write(mac, binary.BigEndian, a.clock.now().Unix()/30)
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&0xf:]) & 0x7fffffff
	a.shown = fmt.Sprintf("%06d", n%1_000_000)
	return a.shown
}

// next waits for a code that was not shown before, and returns it.
func (a *app) next() string {
	a.clock.add(30 * time.Second)
	return a.code()
}

// enroll gives an operator a second factor.
func (w *world) enroll(t *testing.T, c *client) (*app, []string) {
	t.Helper()
	enrollment := into[api.MFAEnrollment](c.post("/auth/mfa/enroll", map[string]string{"password": testPassword}).is(http.StatusOK))
	a := newApp(t, w, enrollment.Secret)
	return a, into[api.RecoveryCodes](c.post("/auth/mfa/confirm", map[string]string{"code": a.code()}).is(http.StatusOK)).RecoveryCodes
}

// challenge signs an operator in as far as the second factor.
func (w *world) challenge(t *testing.T, name string) string {
	t.Helper()
	signIn := into[api.SignIn](w.anonymous(t).post("/auth/login", map[string]string{"name": name, "password": testPassword}).is(http.StatusOK))
	require.True(t, signIn.MfaRequired)
	require.Empty(t, signIn.AccessToken)
	require.Empty(t, signIn.RefreshToken)
	require.Positive(t, signIn.ExpiresIn)
	return signIn.MfaToken
}

func TestMFA(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.add(t, "alice", "support")
		alice, _ := w.login(t, "alice")
		verify := func(t *testing.T, challenge, code string) *answer {
			return w.anonymous(t).post("/auth/mfa/verify", map[string]string{"mfa_token": challenge, "code": code})
		}
		alice.post("/auth/mfa/confirm", map[string]string{"code": "123456"}).code(http.StatusConflict, "mfa_state")
		alice.post("/auth/mfa/enroll", map[string]string{"password": "wrong"}).code(http.StatusUnprocessableEntity, "bad_credentials")
		alice.post("/auth/mfa/enroll", map[string]string{}).code(http.StatusUnprocessableEntity, "bad_credentials")
		enrollment := alice.post("/auth/mfa/enroll", map[string]string{"password": testPassword}).is(http.StatusOK)
		assert.Equal(t, "no-store", enrollment.header.Get("Cache-Control"))
		assert.Contains(t, into[api.MFAEnrollment](enrollment).URI, "otpauth://totp/")
		w.login(t, "alice") // is not asked before the first code
		alice.post("/auth/mfa/confirm", map[string]string{"code": "000000"}).code(http.StatusUnprocessableEntity, "bad_credentials")
		phone, recovery := w.enroll(t, alice)
		require.Len(t, recovery, 10)
		assert.Equal(t, 10, into[api.Me](alice.get("/auth/me").is(http.StatusOK)).Operator.MustGet().RecoveryCodes)
		alice.post("/auth/mfa/enroll", map[string]string{"password": testPassword}).code(http.StatusConflict, "mfa_state")
		verify(t, w.challenge(t, "alice"), phone.shown).code(http.StatusUnauthorized, "bad_credentials") // it confirmed

		t.Run("a code is good once", func(t *testing.T) {
			w.clock.add(time.Hour) // what failed before is forgotten
			code := phone.next()
			signIn := verify(t, w.challenge(t, "alice"), code).is(http.StatusOK)
			assert.Equal(t, "no-store", signIn.header.Get("Cache-Control"))
			assert.False(t, into[api.SignIn](signIn).MfaRequired)
			w.bearer(t, into[api.SignIn](signIn).AccessToken).get("/auth/me").is(http.StatusOK)
			verify(t, w.challenge(t, "alice"), code).code(http.StatusUnauthorized, "bad_credentials")
		})
		t.Run("a challenge is good once and opens nothing", func(t *testing.T) {
			w.clock.add(time.Hour) // what failed before is forgotten
			challenge := w.challenge(t, "alice")
			w.bearer(t, challenge).get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": challenge}).code(http.StatusUnauthorized, "unauthenticated")
			verify(t, challenge, phone.next()).is(http.StatusOK)
			verify(t, challenge, phone.next()).code(http.StatusUnauthorized, "unauthenticated")
			verify(t, "x", phone.next()).code(http.StatusUnauthorized, "unauthenticated")
		})
		t.Run("a recovery code is good once", func(t *testing.T) {
			w.clock.add(time.Hour) // what failed before is forgotten
			verify(t, w.challenge(t, "alice"), recovery[0]).is(http.StatusOK)
			verify(t, w.challenge(t, "alice"), recovery[0]).code(http.StatusUnauthorized, "bad_credentials")
		})
		t.Run("guessing is throttled", func(t *testing.T) {
			w.clock.add(time.Hour) // what failed before is forgotten
			w.clock.stop(t)
			challenge := w.challenge(t, "alice")
			guess := func(n int) *answer {
				return w.anonymous(t).post("/auth/mfa/verify", map[string]string{"mfa_token": challenge, "code": "000000"}, addrHeader, fmt.Sprintf("198.51.100.%d", n))
			}
			for n := range 5 {
				guess(n).code(http.StatusUnauthorized, "bad_credentials")
			}
			assert.NotEmpty(t, guess(6).code(http.StatusTooManyRequests, "throttled").header.Get("Retry-After"))
			w.clock.add(2 * time.Second)
		})
		t.Run("new recovery codes end the old ones", func(t *testing.T) {
			w.clock.add(time.Hour) // what failed before is forgotten
			alice, _ := w.bearerOf(t, verify(t, w.challenge(t, "alice"), phone.next()))
			alice.post("/auth/mfa/recovery-codes", map[string]string{"code": "000000"}).code(http.StatusUnprocessableEntity, "bad_credentials")
			fresh := into[api.RecoveryCodes](alice.post("/auth/mfa/recovery-codes", map[string]string{"code": phone.next()}).is(http.StatusOK)).RecoveryCodes
			require.Len(t, fresh, 10)
			verify(t, w.challenge(t, "alice"), recovery[1]).code(http.StatusUnauthorized, "bad_credentials")
			verify(t, w.challenge(t, "alice"), fresh[1]).is(http.StatusOK)
		})
		t.Run("to remove it takes password and code", func(t *testing.T) {
			w.clock.add(time.Hour) // what failed before is forgotten
			alice, _ := w.bearerOf(t, verify(t, w.challenge(t, "alice"), phone.next()))
			remove := func(password, code string) *answer {
				return alice.post("/auth/mfa/disable", map[string]string{"password": password, "code": code})
			}
			remove("wrong", phone.next()).code(http.StatusUnprocessableEntity, "bad_credentials")
			remove(testPassword, "000000").code(http.StatusUnprocessableEntity, "bad_credentials")
			alice.post("/auth/mfa/disable", map[string]string{"code": phone.next()}).code(http.StatusUnprocessableEntity, "bad_credentials")
			remove(testPassword, phone.next()).is(http.StatusNoContent)
			w.login(t, "alice")
			remove(testPassword, phone.next()).code(http.StatusConflict, "mfa_state")
		})
	})
}

// TestMFAReset: another operator helps who has lost it.
func TestMFAReset(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		o := w.add(t, "alice", "support")
		path := "/operators/" + o.ID.String()
		alice, tokens := w.login(t, "alice")
		w.enroll(t, alice)
		assert.True(t, into[api.Operator](w.as(t, "admin").get(path).is(http.StatusOK)).Mfa)

		alice.delete(path+"/mfa").code(http.StatusForbidden, "forbidden")
		w.as(t, "admin").delete(path + "/mfa").is(http.StatusNoContent)
		alice.get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
		w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": tokens.RefreshToken}).is(http.StatusUnauthorized)
		alice, _ = w.login(t, "alice")
		assert.False(t, into[api.Me](alice.get("/auth/me").is(http.StatusOK)).Operator.MustGet().Mfa)

		admin := w.as(t, "admin")
		self := into[api.Me](admin.get("/auth/me").is(http.StatusOK)).ID.String()
		admin.delete("/operators/"+self+"/mfa").code(http.StatusForbidden, "forbidden")
		owner := into[api.Me](w.as(t, operator.OwnerName).get("/auth/me").is(http.StatusOK)).ID.String()
		admin.delete("/operators/"+owner+"/mfa").code(http.StatusForbidden, "forbidden")
	})
}
