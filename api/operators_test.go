package api_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/operator"
)

func TestOperators(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		created := admin.post("/operators", map[string]any{
			"name": "Dora", "display_name": "Dora D.", "email": "dora@example.org", "roles": []string{"support", "billing"}, "password": testPassword,
		}).is(http.StatusCreated)
		dora := into[api.Operator](created)
		path := "/operators/" + dora.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))
		assert.Equal(t, "dora", dora.Name)
		assert.Equal(t, []string{"billing", "support"}, dora.Roles)
		assert.True(t, dora.HasPassword)
		assert.False(t, dora.Mfa)
		assert.True(t, dora.LastSignInAt.IsNull())
		assert.NotContains(t, string(created.body), "argon2")

		t.Run("a sign-in is no edit", func(t *testing.T) {
			admin := admin.in(t)
			w.login(t, "dora")
			got := admin.get(path).is(http.StatusOK)
			assert.False(t, into[api.Operator](got).LastSignInAt.IsNull())
			assert.Equal(t, created.header.Get("ETag"), got.header.Get("ETag"))
			admin.patch(path, map[string]any{"display_name": "Dora"}, "If-Match", created.header.Get("ETag")).is(http.StatusOK)
		})
		t.Run("a change of something old is refused", func(t *testing.T) {
			admin := admin.in(t)
			old := created.header.Get("ETag")
			input := map[string]any{"name": "dora", "roles": []string{"support"}}
			admin.put(path, input, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.patch(path, map[string]any{"email": ""}, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.delete(path, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			got := admin.get(path).is(http.StatusOK)
			assert.Equal(t, "dora@example.org", into[api.Operator](got).Email)
			changed := into[api.Operator](admin.put(path, input, "If-Match", got.header.Get("ETag")).is(http.StatusOK))
			assert.Equal(t, []string{"support"}, changed.Roles)
			assert.Empty(t, changed.Email)
		})
		t.Run("of many changes of one state one is made", func(t *testing.T) {
			tag := admin.in(t).get(path).header.Get("ETag")
			var wg sync.WaitGroup
			status := make([]int, 4)
			for i := range status {
				wg.Go(func() {
					status[i] = admin.in(t).patch(path, map[string]any{"display_name": fmt.Sprint("Dora ", i)}, "If-Match", tag).status
				})
			}
			wg.Wait()
			count := map[int]int{}
			for _, s := range status {
				count[s]++
			}
			assert.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 3}, count)
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			admin := admin.in(t)
			input := func(name string, value any) map[string]any {
				m := map[string]any{"name": "new", "roles": []string{"support"}}
				m[name] = value
				return m
			}
			for field, value := range map[string]any{
				"name": "no spaces", "email": "x", "password": "passwordpassword", "roles": []string{"no-such-role"}, "oidc_subject": "alone", "status": "asleep",
			} {
				admin.post("/operators", input(field, value)).field(field)
			}
			for _, field := range []string{"password_hash", "permissions", "mfa", "id", "totp_secret", "tokens_not_before"} {
				admin.post("/operators", input(field, "x")).is(http.StatusUnprocessableEntity)
				admin.patch(path, map[string]any{field: "x"}).is(http.StatusUnprocessableEntity)
			}
			admin.patch(path, map[string]any{"password": testPassword}).is(http.StatusUnprocessableEntity)
			admin.post("/operators", input("name", "DORA")).code(http.StatusConflict, "exists")
			admin.get("/operators/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
		})
		t.Run("a create that is sent again makes nothing new", func(t *testing.T) {
			admin := admin.in(t)
			body := map[string]any{"name": "once", "roles": []string{"support"}}
			first := admin.post("/operators", body, "Idempotency-Key", "k1").is(http.StatusCreated)
			assert.Equal(t, first.body, admin.post("/operators", body, "Idempotency-Key", "k1").is(http.StatusCreated).body)
			body["name"] = "twice"
			admin.post("/operators", body, "Idempotency-Key", "k1").code(http.StatusUnprocessableEntity, "key_reused")
		})
		t.Run("pages", func(t *testing.T) {
			admin := admin.in(t)
			for _, name := range []string{"page-1", "page-2", "page-3"} {
				w.add(t, name, "auditor")
			}
			first := into[api.OperatorList](admin.get("/operators?role=auditor&q=PAGE&limit=2").is(http.StatusOK))
			require.Len(t, first.Items, 2)
			rest := into[api.OperatorList](admin.get("/operators?role=auditor&q=PAGE&limit=2&cursor=" + first.NextCursor.MustGet()).is(http.StatusOK))
			require.Len(t, rest.Items, 1)
			assert.Equal(t, "page-3", rest.Items[0].Name)
			assert.True(t, rest.NextCursor.IsNull())
			admin.get("/operators?role=support&limit=2&cursor="+first.NextCursor.MustGet()).code(http.StatusBadRequest, "bad_cursor")
			assert.Empty(t, into[api.OperatorList](admin.get("/operators?status=disabled").is(http.StatusOK)).Items)
		})
		t.Run("a new password signs him out", func(t *testing.T) {
			client, _ := w.login(t, "dora")
			admin := admin.in(t)
			admin.put(path+"/password", map[string]string{"password": "doradoradora"}).field("password")
			admin.put(path+"/password", map[string]string{"password": "another green bridge"}).is(http.StatusNoContent)
			client.get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			w.anonymous(t).post("/auth/login", map[string]string{"name": "dora", "password": "another green bridge"}).is(http.StatusOK)
			self := into[api.Me](admin.get("/auth/me").is(http.StatusOK)).ID.String()
			admin.put("/operators/"+self+"/password", map[string]string{"password": "another green bridge"}).code(http.StatusForbidden, "forbidden")
		})
		t.Run("signed out by another", func(t *testing.T) {
			admin := admin.in(t)
			client, tokens := w.bearerOf(t, w.anonymous(t).post("/auth/login", map[string]string{"name": "dora", "password": "another green bridge"}))
			admin.post(path+"/sign-out", nil).is(http.StatusNoContent)
			client.get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": tokens.RefreshToken}).is(http.StatusUnauthorized)
		})
		t.Run("disabled is out, with his tokens", func(t *testing.T) {
			w.add(t, "eve", "admin")
			eve, tokens := w.login(t, "eve")
			machine := w.bearer(t, into[api.APITokenMade](eve.post("/api-tokens", map[string]any{"name": "m", "permissions": []string{"nas:read"}}).is(http.StatusCreated)).Token)
			machine.get("/nas").is(http.StatusOK)
			id := into[api.Me](eve.get("/auth/me").is(http.StatusOK)).ID.String()
			admin.in(t).patch("/operators/"+id, map[string]any{"status": "disabled"}).is(http.StatusOK)
			eve.get("/auth/me").code(http.StatusUnauthorized, "unauthenticated")
			machine.get("/nas").code(http.StatusUnauthorized, "unauthenticated")
			w.anonymous(t).post("/auth/refresh", map[string]string{"refresh_token": tokens.RefreshToken}).is(http.StatusUnauthorized)
			w.anonymous(t).post("/auth/login", map[string]string{"name": "eve", "password": testPassword}).code(http.StatusUnauthorized, "bad_credentials")
		})
		t.Run("deleted is gone", func(t *testing.T) {
			admin := admin.in(t)
			admin.delete(path).is(http.StatusNoContent)
			admin.get(path).code(http.StatusNotFound, "not_found")
			admin.patch(path, map[string]any{"name": "x"}).code(http.StatusNotFound, "not_found")
			admin.put(path+"/password", map[string]string{"password": "another green bridge"}).code(http.StatusNotFound, "not_found")
		})
	})
}

func TestLastOwner(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		owner := w.as(t, operator.OwnerName)
		path := "/operators/" + into[api.Me](owner.get("/auth/me").is(http.StatusOK)).ID.String()
		owner.patch(path, map[string]any{"status": "disabled"}).code(http.StatusConflict, "last_owner")
		owner.patch(path, map[string]any{"roles": []string{"admin"}}).code(http.StatusConflict, "last_owner")
		owner.delete(path).code(http.StatusConflict, "last_owner")
		owner.get("/auth/me").is(http.StatusOK)

		w.add(t, "second", operator.OwnerName)
		owner.patch(path, map[string]any{"roles": []string{"admin"}}).is(http.StatusOK)
		owner.get("/roles").is(http.StatusOK)
		owner.post("/roles", map[string]any{"name": "x", "permissions": []string{}}).code(http.StatusForbidden, "forbidden")
	})
}

// TestEscalation: nobody becomes, makes or acts on one who may do more.
func TestEscalation(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		owner, admin := w.as(t, operator.OwnerName), w.as(t, "admin")
		me := func(c *client) string {
			return "/operators/" + into[api.Me](c.in(t).get("/auth/me").is(http.StatusOK)).ID.String()
		}
		helper := "/operators/" + w.add(t, "helper", "support").ID.String()
		boss := into[api.Role](owner.post("/roles", map[string]any{"name": "boss", "permissions": []string{"roles:read", "roles:write", "operators:write", "operators:read", "tokens:write"}}).is(http.StatusCreated))
		w.add(t, "rita", "boss")
		rita, _ := w.login(t, "rita")
		support, _ := w.login(t, "helper")
		machine := w.token(t, operator.OperatorsRead, operator.OperatorsWrite, operator.TokensWrite, operator.RolesWrite)
		all := []string{}
		for _, p := range operator.Permissions() {
			all = append(all, string(p))
		}
		tests := map[string]func() *answer{
			"admin becomes an owner": func() *answer { return admin.patch(me(admin), map[string]any{"roles": []string{"owner"}}) },
			"admin makes an owner": func() *answer {
				return admin.post("/operators", map[string]any{"name": "x", "password": testPassword, "roles": []string{"owner"}})
			},
			"admin promotes another": func() *answer { return admin.patch(helper, map[string]any{"roles": []string{"owner"}}) },
			"admin changes an owner": func() *answer { return admin.patch(me(owner), map[string]any{"email": "x@example.org"}) },
			"admin links an owner": func() *answer {
				return admin.patch(me(owner), map[string]any{"oidc_issuer": "https://x", "oidc_subject": "me"})
			},
			"admin deletes an owner":   func() *answer { return admin.delete(me(owner)) },
			"admin signs an owner out": func() *answer { return admin.post(me(owner)+"/sign-out", nil) },
			"admin sets an owner's password": func() *answer {
				return admin.put(me(owner)+"/password", map[string]string{"password": "another green bridge"})
			},
			"admin makes a role": func() *answer { return admin.post("/roles", map[string]any{"name": "x", "permissions": []string{}}) },
			"a role that may do more": func() *answer {
				return rita.post("/roles", map[string]any{"name": "x", "permissions": []string{"users:read"}})
			},
			"the own role gets more": func() *answer { return rita.patch("/roles/"+boss.ID.String(), map[string]any{"permissions": all}) },
			"a stronger role is given": func() *answer {
				return rita.post("/operators", map[string]any{"name": "x", "password": testPassword, "roles": []string{"read-only"}})
			},
			"an API token that may do more": func() *answer {
				return rita.post("/api-tokens", map[string]any{"name": "x", "permissions": []string{"users:read"}})
			},
			"a machine makes an admin": func() *answer {
				return machine.post("/operators", map[string]any{"name": "x", "password": testPassword, "roles": []string{"admin"}})
			},
			"a machine changes its maker": func() *answer { return machine.patch(me(owner), map[string]any{"email": "x@example.org"}) },
			"a machine makes one that may do more": func() *answer {
				return machine.post("/api-tokens", map[string]any{"name": "x", "permissions": all})
			},
			"support changes himself": func() *answer { return support.patch(helper, map[string]any{"roles": []string{"admin"}}) },
		}
		tables := openTables(t, w.database)
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				before := tables.state(t)
				test().code(http.StatusForbidden, "forbidden")
				assert.Equal(t, before, tables.state(t), "something was changed")
			})
		}
		assert.Equal(t, []string{"support"}, into[api.Operator](owner.get(helper).is(http.StatusOK)).Roles)
	})
}

func TestRoles(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		owner := w.as(t, operator.OwnerName)
		created := owner.post("/roles", map[string]any{"name": "Desk", "description": " the desk ", "permissions": []string{"users:read", "nas:read", "users:read"}}).is(http.StatusCreated)
		desk := into[api.Role](created)
		path := "/roles/" + desk.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))
		assert.Equal(t, "desk", desk.Name)
		assert.Equal(t, "the desk", desk.Description)
		assert.Equal(t, []string{"users:read", "nas:read"}, desk.Permissions)
		assert.False(t, desk.BuiltIn)

		t.Run("the built-in ones come first and stay as they are", func(t *testing.T) {
			owner := owner.in(t)
			list := into[api.RoleList](owner.get("/roles").is(http.StatusOK)).Items
			var names []string
			for _, r := range list {
				names = append(names, r.Name)
			}
			assert.Equal(t, []string{"owner", "admin", "billing", "support", "auditor", "read-only", "desk"}, names)
			builtIn := "/roles/" + list[5].ID.String()
			owner.patch(builtIn, map[string]any{"description": "x"}).code(http.StatusConflict, "built_in")
			owner.delete(builtIn).code(http.StatusConflict, "built_in")
			owner.post("/roles", map[string]any{"name": "owner", "permissions": []string{}}).code(http.StatusConflict, "exists")
		})
		t.Run("a change is in force at once", func(t *testing.T) {
			owner := owner.in(t)
			w.add(t, "dan", "desk")
			dan, _ := w.login(t, "dan")
			dan.get("/nas").is(http.StatusOK)
			changed := into[api.Role](owner.patch(path, map[string]any{"permissions": []string{"users:read"}}).is(http.StatusOK))
			assert.Equal(t, "the desk", changed.Description)
			dan.get("/nas").code(http.StatusForbidden, "forbidden")
			dan.get("/users").is(http.StatusOK)
		})
		t.Run("a change of something old is refused", func(t *testing.T) {
			owner := owner.in(t)
			old := created.header.Get("ETag")
			input := map[string]any{"name": "desk", "permissions": []string{}}
			owner.put(path, input, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			owner.patch(path, map[string]any{"name": "x"}, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			owner.delete(path, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			now := owner.get(path).is(http.StatusOK)
			assert.Empty(t, into[api.Role](owner.put(path, input, "If-Match", now.header.Get("ETag")).is(http.StatusOK)).Permissions)
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			owner := owner.in(t)
			owner.post("/roles", map[string]any{"name": "x", "permissions": []string{"users:read", "users:fly"}}).field("permissions[1]")
			owner.patch(path, map[string]any{"permissions": []string{"*"}}).field("permissions[0]")
			owner.post("/roles", map[string]any{"name": "no spaces", "permissions": []string{}}).field("name")
			owner.patch(path, map[string]any{"built_in": true}).is(http.StatusUnprocessableEntity)
		})
		t.Run("a create that is sent again makes nothing new", func(t *testing.T) {
			body := map[string]any{"name": "once", "permissions": []string{}}
			first := owner.in(t).post("/roles", body, "Idempotency-Key", "k1").is(http.StatusCreated)
			assert.Equal(t, first.body, owner.in(t).post("/roles", body, "Idempotency-Key", "k1").is(http.StatusCreated).body)
		})
		t.Run("while somebody has it, it stays", func(t *testing.T) {
			owner := owner.in(t)
			owner.delete(path).code(http.StatusConflict, "in_use")
			dan := into[api.OperatorList](owner.get("/operators?role=desk").is(http.StatusOK)).Items[0]
			owner.delete("/operators/" + dan.ID.String()).is(http.StatusNoContent)
			owner.delete(path).is(http.StatusNoContent)
			owner.get(path).code(http.StatusNotFound, "not_found")
		})
		t.Run("permissions say what they are", func(t *testing.T) {
			list := into[api.PermissionList](w.as(t, "read-only").get("/permissions").is(http.StatusOK)).Items
			assert.Len(t, list, len(operator.Permissions()))
			for _, p := range list {
				assert.NotEmpty(t, p.Description, p.Name)
			}
		})
	})
}
