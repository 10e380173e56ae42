package api_test

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/operator"
)

func TestSignIn(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.add(t, "alice", "support")
		t.Run("tokens are good and nowhere kept", func(t *testing.T) {
			a := w.anonymous(t).post("/auth/login", map[string]string{"name": " Alice ", "password": testPassword}).is(http.StatusOK)
			assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
			signIn := into[api.SignIn](a)
			assert.False(t, signIn.MfaRequired)
			assert.Equal(t, api.SignInTokenTypeBearer, signIn.TokenType)
			assert.InDelta(t, operator.AccessTokenLife.Seconds(), signIn.ExpiresIn, 10)
			assert.InDelta(t, operator.SessionIdle.Seconds(), signIn.RefreshExpiresIn, 10)

			me := into[api.Me](w.bearer(t, signIn.AccessToken).get("/auth/me").is(http.StatusOK))
			assert.Equal(t, api.MeKind("operator"), me.Kind)
			assert.Equal(t, "alice", me.Name)
			assert.Contains(t, me.Permissions, "users:write")
			assert.NotContains(t, me.Permissions, "operators:write")
			account := me.Operator.MustGet()
			assert.Equal(t, []string{"support"}, account.Roles)
			assert.True(t, account.HasPassword)
			assert.False(t, account.Mfa)
		})
		t.Run("a wrong password and an unknown name are answered alike", func(t *testing.T) {
			wrong := w.anonymous(t).post("/auth/login", map[string]string{"name": "alice", "password": "no such thing"}).code(http.StatusUnauthorized, "bad_credentials")
			unknown := w.anonymous(t).post("/auth/login", map[string]string{"name": "nobody", "password": "no such thing"}).code(http.StatusUnauthorized, "bad_credentials")
			assert.Equal(t, wrong.body, unknown.body)
			assert.Contains(t, string(wrong.body), "wrong name or password")
		})
		t.Run("nothing but an access token opens", func(t *testing.T) {
			_, tokens := w.login(t, "alice")
			for _, bearer := range []string{tokens.RefreshToken, "rd_x", "x.y.z", tokens.AccessToken + "x"} {
				w.bearer(t, bearer).get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			}
			w.anonymous(t).get("/auth/me?access_token="+tokens.AccessToken).code(http.StatusUnauthorized, "unauthenticated")
		})
		t.Run("malformed input", func(t *testing.T) {
			c := w.anonymous(t)
			c.post("/auth/login", map[string]any{"name": "alice"}).field("password")
			c.post("/auth/login", map[string]any{"name": "alice", "password": "x", "role": "owner"}).is(http.StatusUnprocessableEntity)
			c.post("/auth/login", `{"name":`).code(http.StatusBadRequest, "malformed_request")
		})
		t.Run("an API token is somebody too", func(t *testing.T) {
			me := into[api.Me](w.token(t, operator.NASRead).get("/auth/me").is(http.StatusOK))
			assert.Equal(t, api.MeKind("token"), me.Kind)
			assert.Equal(t, []string{"nas:read"}, me.Permissions)
			assert.True(t, me.Operator.IsNull())
		})
	})
}

// TestThrottling: what is answered does not tell whether there is such an account.
func TestThrottling(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.add(t, "alice", "support")
		w.clock.stop(t)
		bodies := map[string][]byte{}
		for i, name := range []string{"alice", "nobody"} {
			try := func(n int, password string) *answer {
				from := "192.0.2." + strconv.Itoa(100*i+n)
				return w.anonymous(t).post("/auth/login", map[string]string{"name": name, "password": password}, addrHeader, from)
			}
			for n := range 5 {
				try(n, "wrong").code(http.StatusUnauthorized, "bad_credentials")
			}
			a := try(6, testPassword).code(http.StatusTooManyRequests, "throttled")
			assert.Equal(t, "1", a.header.Get("Retry-After"))
			bodies[name] = a.body
		}
		assert.Equal(t, string(bodies["alice"]), string(bodies["nobody"]))

		t.Run("by address, whatever the account", func(t *testing.T) {
			for n := range 5 {
				w.anonymous(t).post("/auth/login", map[string]string{"name": "guess" + strconv.Itoa(n), "password": "wrong"}, addrHeader, "2001:db8::1").is(http.StatusUnauthorized)
			}
			w.anonymous(t).post("/auth/login", map[string]string{"name": "bob", "password": "wrong"}, addrHeader, "2001:db8::2").code(http.StatusTooManyRequests, "throttled")
		})
		t.Run("for a while", func(t *testing.T) {
			w.clock.add(2 * time.Second)
			w.login(t, "alice")
		})
	})
}

func TestRefresh(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		alice := w.add(t, "alice", "support")
		refresh := func(t *testing.T, token string) *answer {
			return w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": token})
		}
		t.Run("one token after the other", func(t *testing.T) {
			_, first := w.login(t, "alice")
			a := refresh(t, first.RefreshToken).is(http.StatusOK)
			assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
			second := into[api.SignIn](a)
			assert.NotEqual(t, first.RefreshToken, second.RefreshToken)
			w.bearer(t, second.AccessToken).get("/auth/me").is(http.StatusOK)
		})
		t.Run("a used token ends the whole family", func(t *testing.T) {
			other, _ := w.login(t, "alice")
			_, first := w.login(t, "alice")
			second := into[api.SignIn](refresh(t, first.RefreshToken).is(http.StatusOK))
			refresh(t, first.RefreshToken).code(http.StatusUnauthorized, "unauthenticated")
			refresh(t, second.RefreshToken).code(http.StatusUnauthorized, "unauthenticated")
			w.bearer(t, second.AccessToken).get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			w.bearer(t, first.AccessToken).get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			other.get("/auth/me").is(http.StatusOK)
		})
		t.Run("of many at once one wins", func(t *testing.T) {
			_, first := w.login(t, "alice")
			var wg sync.WaitGroup
			status := make([]int, 2)
			for i := range status {
				wg.Go(func() { status[i] = refresh(t, first.RefreshToken).status })
			}
			wg.Wait()
			slices.Sort(status)
			assert.Equal(t, []int{http.StatusOK, http.StatusUnauthorized}, status)
		})
		t.Run("not with another kind of token", func(t *testing.T) {
			_, tokens := w.login(t, "alice")
			refresh(t, tokens.AccessToken).code(http.StatusUnauthorized, "unauthenticated")
			refresh(t, "x").code(http.StatusUnauthorized, "unauthenticated")
		})
		t.Run("not for ever", func(t *testing.T) {
			_, tokens := w.login(t, "alice")
			w.clock.add(operator.SessionIdle)
			refresh(t, tokens.RefreshToken).code(http.StatusUnauthorized, "unauthenticated")
		})
		t.Run("a disabled operator is out", func(t *testing.T) {
			client, tokens := w.login(t, "alice")
			disabled := operator.Disabled
			_, err := w.operators.ChangeOperator(t.Context(), operator.Local("test"), alice.ID, operator.OperatorChange{Status: &disabled})
			require.NoError(t, err)
			client.get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			refresh(t, tokens.RefreshToken).code(http.StatusUnauthorized, "unauthenticated")
			w.anonymous(t).post("/auth/login", map[string]string{"name": "alice", "password": testPassword}).code(http.StatusUnauthorized, "bad_credentials")
		})
	})
}

func TestSignOut(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.add(t, "alice", "support")
		w.add(t, "mallory", "support")
		refused := func(t *testing.T, c *client, tokens api.SignIn) {
			t.Helper()
			c.in(t).get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": tokens.RefreshToken}).code(http.StatusUnauthorized, "unauthenticated")
		}
		t.Run("here", func(t *testing.T) {
			one, tokens := w.login(t, "alice")
			other, _ := w.login(t, "alice")
			one.post("/auth/logout", nil).is(http.StatusNoContent)
			refused(t, one, tokens)
			other.get("/auth/me").is(http.StatusOK)
		})
		t.Run("everywhere", func(t *testing.T) {
			one, first := w.login(t, "alice")
			other, second := w.login(t, "alice")
			mallory, _ := w.login(t, "mallory")
			one.post("/auth/logout-everywhere", nil).is(http.StatusNoContent)
			refused(t, one, first)
			refused(t, other, second)
			mallory.get("/auth/me").is(http.StatusOK)
			again, _ := w.login(t, "alice")
			again.get("/auth/me").is(http.StatusOK)
		})
		t.Run("there", func(t *testing.T) {
			one, _ := w.login(t, "alice")
			other, tokens := w.login(t, "alice")
			var there string
			for _, x := range into[api.SignInList](one.get("/auth/sessions").is(http.StatusOK)).Items {
				if !x.Current && there == "" {
					there = x.ID.String()
				}
			}
			require.NotEmpty(t, there)
			mallory, _ := w.login(t, "mallory")
			mallory.delete("/auth/sessions/"+there).code(http.StatusNotFound, "not_found")
			other.get("/auth/me").is(http.StatusOK)
			one.delete("/auth/sessions/" + there).is(http.StatusNoContent)
			refused(t, other, tokens)
			one.get("/auth/me").is(http.StatusOK)
		})
		t.Run("is not for machines", func(t *testing.T) {
			token := w.token(t, operator.NASRead)
			owner := w.as(t, operator.OwnerName)
			token.post("/auth/logout", nil).code(http.StatusForbidden, "forbidden")
			token.post("/auth/logout-everywhere", nil).code(http.StatusForbidden, "forbidden")
			token.get("/auth/sessions").code(http.StatusForbidden, "forbidden")
			token.post("/auth/password", map[string]string{"current_password": testPassword, "new_password": "another good password"}).code(http.StatusForbidden, "forbidden")
			owner.get("/auth/me").is(http.StatusOK)
		})
	})
}

func TestChangePassword(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.add(t, "alice", "support")
		client, tokens := w.login(t, "alice")
		change := func(present, next string) *answer {
			return client.post("/auth/password", map[string]string{"current_password": present, "new_password": next})
		}
		a := change("wrong", "a new and better one").code(http.StatusUnprocessableEntity, "bad_credentials")
		assert.Equal(t, "current_password", a.problem().Errors[0].Field)
		change(testPassword, "short").field("new_password")
		change(testPassword, "passwordpassword").field("new_password")
		client.get("/auth/me").is(http.StatusOK)

		change(testPassword, "a new and better one").is(http.StatusNoContent)
		client.get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
		w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": tokens.RefreshToken}).is(http.StatusUnauthorized)
		w.anonymous(t).post("/auth/login", map[string]string{"name": "alice", "password": testPassword}).code(http.StatusUnauthorized, "bad_credentials")
		w.anonymous(t).post("/auth/login", map[string]string{"name": "alice", "password": "a new and better one"}).is(http.StatusOK)
	})
}
