package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/operator"
)

func TestAPITokens(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		created := admin.post("/api-tokens", map[string]any{"name": "billing system", "permissions": []string{"users:read", "nas:read"}}).is(http.StatusCreated)
		assert.Equal(t, "no-store", created.header.Get("Cache-Control"))
		made := into[api.APITokenMade](created)
		path := "/api-tokens/" + made.APIToken.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))
		assert.Equal(t, "admin", made.APIToken.OperatorName)
		assert.True(t, made.APIToken.ExpiresAt.IsNull())
		assert.True(t, made.APIToken.LastUsedAt.IsNull())
		machine := w.bearer(t, made.Token)

		t.Run("it may what it was made for", func(t *testing.T) {
			machine := machine.in(t)
			machine.get("/nas").is(http.StatusOK)
			machine.get("/plans").code(http.StatusForbidden, "forbidden")
			got := admin.in(t).get(path).is(http.StatusOK)
			assert.False(t, into[api.APIToken](got).LastUsedAt.IsNull())
			assert.Equal(t, "127.0.0.1", into[api.APIToken](got).LastUsedFrom.MustGet())
			assert.NotContains(t, string(got.body), made.Token)
			assert.NotContains(t, string(admin.in(t).get("/api-tokens").is(http.StatusOK).body), made.Token)
		})
		t.Run("no more than its operator may at present", func(t *testing.T) {
			o := w.add(t, "fred", "admin")
			fred, _ := w.login(t, "fred")
			machine := w.bearer(t, into[api.APITokenMade](fred.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"plans:read", "settings:read"}}).is(http.StatusCreated)).Token)
			machine.get("/plans").is(http.StatusOK)
			machine.get("/settings").is(http.StatusOK)
			admin.in(t).patch("/operators/"+o.ID.String(), map[string]any{"roles": []string{"support"}}).is(http.StatusOK)
			machine.get("/plans").is(http.StatusOK)
			machine.get("/settings").code(http.StatusForbidden, "forbidden")
		})
		t.Run("only from where it was made for, and until then", func(t *testing.T) {
			made := into[api.APITokenMade](admin.in(t).post("/api-tokens", map[string]any{
				"name": "there", "permissions": []string{"nas:read"}, "sources": []string{"192.0.2.0/24", "2001:db8::7"}, "expires_at": w.clock.now().Add(time.Minute),
			}).is(http.StatusCreated))
			assert.Equal(t, []string{"192.0.2.0/24", "2001:db8::7"}, made.APIToken.Sources)
			machine := w.bearer(t, made.Token)
			machine.get("/nas", addrHeader, "192.0.2.200").is(http.StatusOK)
			machine.get("/nas", addrHeader, "2001:db8::7").is(http.StatusOK)
			machine.get("/nas", addrHeader, "198.51.100.1").code(http.StatusUnauthorized, "unauthenticated")
			w.clock.add(2 * time.Minute)
			machine.get("/nas", addrHeader, "192.0.2.200").code(http.StatusUnauthorized, "unauthenticated")
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			admin := admin.in(t)
			admin.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"nas:fly"}}).field("permissions[0]")
			admin.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{}}).field("permissions")
			admin.post("/api-tokens", map[string]any{"name": " ", "permissions": []string{"nas:read"}}).field("name")
			admin.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"nas:read"}, "sources": []string{"here"}}).field("sources[0]")
			admin.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"nas:read"}, "expires_at": "2001-01-01T00:00:00Z"}).field("expires_at")
			admin.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"nas:read"}, "operator_id": made.APIToken.OperatorID}).is(http.StatusUnprocessableEntity)
			admin.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"roles:write"}}).code(http.StatusForbidden, "forbidden")
		})
		t.Run("the secret is shown once", func(t *testing.T) {
			admin := admin.in(t)
			body := map[string]any{"name": "once", "permissions": []string{"nas:read"}}
			admin.post("/api-tokens", body, "Idempotency-Key", "k1").is(http.StatusCreated)
			admin.post("/api-tokens", body, "Idempotency-Key", "k1").code(http.StatusConflict, "repeated")
			n := 0
			for _, token := range into[api.APITokenList](admin.get("/api-tokens").is(http.StatusOK)).Items {
				if token.Name == "once" {
					n++
				}
			}
			assert.Equal(t, 1, n)
		})
		t.Run("pages", func(t *testing.T) {
			o := w.add(t, "paula", "admin")
			paula, _ := w.login(t, "paula")
			for _, name := range []string{"one", "two", "three"} {
				paula.post("/api-tokens", map[string]any{"name": name, "permissions": []string{"nas:read"}}).is(http.StatusCreated)
			}
			list := "/api-tokens?limit=2&operator_id=" + o.ID.String()
			first := into[api.APITokenList](paula.get(list).is(http.StatusOK))
			require.Len(t, first.Items, 2)
			assert.Equal(t, "one", first.Items[0].Name)
			rest := into[api.APITokenList](paula.get(list + "&cursor=" + first.NextCursor.MustGet()).is(http.StatusOK))
			require.Len(t, rest.Items, 1)
			assert.True(t, rest.NextCursor.IsNull())
			paula.get("/api-tokens?cursor="+first.NextCursor.MustGet()).code(http.StatusBadRequest, "bad_cursor")
		})
		t.Run("revoked is out", func(t *testing.T) {
			w.as(t, "support").delete(path).code(http.StatusForbidden, "forbidden")
			machine := machine.in(t)
			machine.get("/nas").is(http.StatusOK)
			admin.in(t).delete(path).is(http.StatusNoContent)
			machine.get("/nas").code(http.StatusUnauthorized, "unauthenticated")
			admin.in(t).get(path).code(http.StatusNotFound, "not_found")
		})
		t.Run("an admin does not revoke an owner's", func(t *testing.T) {
			made := into[api.APITokenMade](w.as(t, operator.OwnerName).post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"nas:read"}}).is(http.StatusCreated))
			admin.in(t).delete("/api-tokens/"+made.APIToken.ID.String()).code(http.StatusForbidden, "forbidden")
			w.bearer(t, made.Token).get("/nas").is(http.StatusOK)
		})
	})
}

// TestTokensAreNowhere: what was given out is in no log, no audit entry, no table.
func TestTokensAreNowhere(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		w.add(t, "alice", "admin")
		alice, first := w.login(t, "alice")
		second := into[api.SignIn](w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": first.RefreshToken}).is(http.StatusOK))
		machine := into[api.APITokenMade](alice.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"nas:read"}}).is(http.StatusCreated))
		w.bearer(t, machine.Token).get("/nas").is(http.StatusOK)
		enrollment := into[api.MFAEnrollment](alice.post("/auth/mfa/enroll", map[string]string{"password": testPassword}).is(http.StatusOK))
		recovery := into[api.RecoveryCodes](alice.post("/auth/mfa/confirm", map[string]string{"code": newApp(t, w, enrollment.Secret).code()}).is(http.StatusOK)).RecoveryCodes
		challenge := w.challenge(t, "alice")
		w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": first.RefreshToken}).is(http.StatusUnauthorized) // a reuse

		tables := openTables(t, w.database)
		entries := string(w.as(t, operator.OwnerName).get("/audit?limit=1000").is(http.StatusOK).body)
		require.Contains(t, entries, "refresh_token_reused")
		for name, secret := range map[string]string{
			"access": first.AccessToken, "refresh": first.RefreshToken, "the next refresh": second.RefreshToken, "API token": machine.Token,
			"TOTP secret": enrollment.Secret, "recovery code": recovery[3], "challenge": challenge, "password": testPassword,
		} {
			assert.NotContains(t, w.log.String(), secret, "the log has the %s", name)
			assert.NotContains(t, entries, secret, "the audit log has the %s", name)
			assert.Empty(t, tables.find(t, secret), "a table has the %s", name)
		}
	})
}
