package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
	"radiusd/operator"
	"radiusd/store/storetest"
)

type object = map[string]any

// newPlanAndGroup makes a plan and a group that users can refer to.
func newPlanAndGroup(t *testing.T, w *world) (plan api.Plan, group api.Group) {
	t.Helper()
	admin := w.as(t, "admin")
	plan = into[api.Plan](admin.post("/plans", object{"name": "gold", "rate_down": 100_000_000, "rate_up": 10_000_000}).is(http.StatusCreated))
	group = into[api.Group](admin.post("/groups", object{"name": "staff"}).is(http.StatusCreated))
	return plan, group
}

// stored is a user as the store has it.
func stored(t *testing.T, w *world, id uuid.UUID) (*aaa.User, *aaa.Profile) {
	t.Helper()
	user, profile, err := w.store.UserByID(t.Context(), id)
	require.NoError(t, err)
	return user, profile
}

func TestUsers(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		plan, group := newPlanAndGroup(t, w)
		admin := w.as(t, "admin")
		created := admin.post("/users", object{
			"username": "alice", "credential": object{"scheme": "cleartext", "password": "canary-password"},
			"plan_id": plan.ID, "expires_at": "2031-05-06T07:08:09Z", "simultaneous_use": 2,
			"groups":      []object{{"group_id": group.ID, "priority": 7}},
			"check_items": []object{{"attribute": "NAS-Port-Type", "op": "==", "value": "Ethernet"}},
			"reply_items": []object{{"attribute": "Filter-Id", "op": ":=", "value": "alice"}},
			"profile":     object{"full_name": "Alice A.", "email": "alice@example.org"},
		}).is(http.StatusCreated)
		user := into[api.User](created)
		path := "/users/" + user.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))
		assert.Equal(t, "gold", user.Plan.MustGet())
		assert.Equal(t, []api.Membership{{GroupID: group.ID, Group: "staff", Priority: 7}}, user.Groups)
		assert.Equal(t, "alice@example.org", user.Profile.Email)
		assert.Equal(t, api.UserStatus("active"), user.Status)
		assert.NotContains(t, string(created.body), "canary-password")

		got := admin.get(path).is(http.StatusOK)
		assert.Equal(t, user, into[api.User](got))
		assert.Equal(t, created.header.Get("ETag"), got.header.Get("ETag"))

		t.Run("a patch changes what it names", func(t *testing.T) {
			changed := into[api.User](admin.in(t).patch(path, object{"status": "disabled", "expires_at": nil}).is(http.StatusOK))
			want := user
			want.Status, want.UpdatedAt = "disabled", changed.UpdatedAt
			want.ExpiresAt.SetNull()
			assert.Equal(t, want, changed)
			u, p := stored(t, w, user.ID)
			assert.Equal(t, "canary-password", string(u.Credential.Secret))
			assert.Equal(t, "Alice A.", p.FullName)
		})
		t.Run("a put leaves credential and profile", func(t *testing.T) {
			changed := into[api.User](admin.in(t).put(path, object{"username": "alice"}).is(http.StatusOK))
			assert.Equal(t, api.UserStatus("active"), changed.Status)
			assert.True(t, changed.PlanID.IsNull())
			assert.True(t, changed.Plan.IsNull())
			assert.Empty(t, changed.Groups)
			assert.Empty(t, changed.CheckItems)
			assert.Equal(t, "Alice A.", changed.Profile.FullName)
			assert.Equal(t, api.CredentialScheme("cleartext"), changed.CredentialScheme)
			u, _ := stored(t, w, user.ID)
			assert.Equal(t, "canary-password", string(u.Credential.Secret))
		})
		t.Run("parts of a profile", func(t *testing.T) {
			changed := into[api.User](admin.in(t).patch(path, object{"profile": object{"phone": "+49 1", "full_name": nil}}).is(http.StatusOK))
			assert.Equal(t, &api.Profile{Phone: "+49 1", Email: "alice@example.org"}, changed.Profile)
			admin.in(t).patch(path, object{"profile": object{"email": "Alice <alice@example.org>"}}).field("profile.email")
			changed = into[api.User](admin.in(t).patch(path, object{"profile": nil}).is(http.StatusOK))
			assert.Equal(t, &api.Profile{}, changed.Profile)
		})
		t.Run("null takes the credential away", func(t *testing.T) {
			changed := into[api.User](admin.in(t).patch(path, object{"credential": nil}).is(http.StatusOK))
			assert.Equal(t, api.CredentialScheme("none"), changed.CredentialScheme)
		})
		t.Run("a change of something old is refused", func(t *testing.T) {
			admin := admin.in(t)
			old := created.header.Get("ETag")
			admin.patch(path, object{"username": "late"}, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.put(path, object{"username": "late"}, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.delete(path, "If-Match", old).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.patch(path, object{"simultaneous_use": 3}, "If-Match", "*").is(http.StatusOK)
			admin.patch(path, object{"simultaneous_use": 4}, "If-Match", admin.get(path).header.Get("ETag")).is(http.StatusOK)
			support := w.token(t, operator.UsersRead, operator.UsersWrite)
			support.patch(path, object{"simultaneous_use": 5}, "If-Match", support.get(path).header.Get("ETag")).is(http.StatusOK)
		})
		t.Run("of two changes at once one is refused", func(t *testing.T) {
			tag := admin.in(t).get(path).header.Get("ETag")
			answers := make(chan int, 4)
			for n := range cap(answers) {
				go func() { answers <- admin.in(t).patch(path, object{"simultaneous_use": 10 + n}, "If-Match", tag).status }()
			}
			counts := map[int]int{}
			for range cap(answers) {
				counts[<-answers]++
			}
			assert.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 3}, counts)
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			admin := admin.in(t)
			admin.post("/users", object{"username": "alice"}).code(http.StatusConflict, "exists")
			admin.post("/users", object{"username": "x\r\ny"}).field("username")
			admin.post("/users", object{"username": "x", "plan_id": uuid.New()}).field("plan_id")
			admin.post("/users", object{"username": "x", "groups": []object{{"group_id": uuid.New()}}}).field("groups[0]")
			admin.post("/users", object{"username": "x", "groups": []object{{"group_id": group.ID}, {"group_id": group.ID}}}).field("groups[1]")
			admin.patch(path, object{"reply_items": []object{{"attribute": "No-Such", "op": "=", "value": "1"}}}).field("reply_items[0]")
			admin.patch(path, object{"status": "asleep"}).field("status")
			admin.patch(path, object{"profile": object{"role": "owner"}}).is(http.StatusUnprocessableEntity)
			admin.patch(path, object{"expires_at": "1812-01-01T00:00:00Z"}).field("expires_at")
			admin.patch(path, object{"profile": object{"email": strings.Repeat("ä", 310) + strings.Repeat("😀", 10), "note": strings.Repeat("😀", 5000)}}).field("profile.note")
			for _, property := range []string{"id", "created_at", "batch_id", "credential_scheme", "password_hash", "balance"} {
				admin.patch(path, object{property: "x"}).is(http.StatusUnprocessableEntity)
				admin.post("/users", object{"username": "x", property: "x"}).is(http.StatusUnprocessableEntity)
			}
			admin.get("/users/"+uuid.NewString()).code(http.StatusNotFound, "not_found")
			admin.get("/users/1%27%20OR%20%271%27=%271").is(http.StatusUnprocessableEntity)
		})
		t.Run("a create that is sent again makes nothing new", func(t *testing.T) {
			admin := admin.in(t)
			first := admin.post("/users", object{"username": "once"}, "Idempotency-Key", "k1").is(http.StatusCreated)
			again := admin.post("/users", object{"username": "once"}, "Idempotency-Key", "k1").is(http.StatusCreated)
			assert.Equal(t, first.body, again.body)
			admin.post("/users", object{"username": "twice"}, "Idempotency-Key", "k1").code(http.StatusUnprocessableEntity, "key_reused")
		})
		t.Run("deleted is gone", func(t *testing.T) {
			admin := admin.in(t)
			w.as(t, "support").delete(path).code(http.StatusForbidden, "forbidden")
			admin.delete(path, "If-Match", admin.get(path).header.Get("ETag")).is(http.StatusNoContent)
			admin.get(path).code(http.StatusNotFound, "not_found")
			admin.delete(path).code(http.StatusNotFound, "not_found")
		})
	})
}

func TestUserCredentials(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		nt := "0CB6948805F797BF2A82807973B89537" // of "test"
		for name, test := range map[string]struct {
			username   string
			credential object
			field      string // of the error; empty: it is taken
			check      func(t *testing.T, c aaa.Credential)
		}{
			"none":              {credential: object{"scheme": "none"}},
			"cleartext":         {credential: object{"scheme": "cleartext", "password": "pässword"}},
			"NT":                {credential: object{"scheme": "nthash", "password": "test"}, check: func(t *testing.T, c aaa.Credential) { assert.Equal(t, nt, fmt.Sprintf("%X", c.Secret)) }},
			"NT as a hash":      {credential: object{"scheme": "nthash", "hash": nt}, check: func(t *testing.T, c aaa.Credential) { assert.Equal(t, nt, fmt.Sprintf("%X", c.Secret)) }},
			"NT with prefix":    {credential: object{"scheme": "nthash", "hash": "{NT}" + nt}},
			"argon2id":          {credential: object{"scheme": "hash", "password": "test"}, check: func(t *testing.T, c aaa.Credential) { assert.Contains(t, string(c.Secret), "$argon2id$") }},
			"crypt":             {credential: object{"scheme": "hash", "hash": "{SSHA}a1sD3zdJRMFwSDqcwMlxTEElcDFzYWx0"}},
			"a device":          {username: "AA-BB-CC-DD-EE-FF", credential: object{"scheme": "mac"}},
			"not a device":      {credential: object{"scheme": "mac"}, field: "username"},
			"no password":       {credential: object{"scheme": "cleartext"}, field: "credential.password"},
			"no scheme":         {credential: object{"password": "test"}, field: "credential.scheme"},
			"both":              {credential: object{"scheme": "hash", "password": "test", "hash": "$6$x"}, field: "credential.hash"},
			"a hash in clear":   {credential: object{"scheme": "cleartext", "hash": "test"}, field: "credential.hash"},
			"another scheme":    {credential: object{"scheme": "hash", "hash": "{NT}" + nt}, field: "credential.hash"},
			"cleartext as hash": {credential: object{"scheme": "hash", "hash": "{CLEAR}canary"}, field: "credential.hash"},
			"no hash":           {credential: object{"scheme": "hash", "hash": "canary"}, field: "credential.hash"},
			"none with one":     {credential: object{"scheme": "none", "password": "canary"}, field: "credential.scheme"},
			"too long":          {credential: object{"scheme": "cleartext", "password": strings.Repeat("canary", 30)}, field: "credential.password"},
		} {
			t.Run(name, func(t *testing.T) {
				username := test.username
				if username == "" {
					username = "user " + name
				}
				answer := admin.in(t).post("/users", object{"username": username, "credential": test.credential})
				assert.NotContains(t, string(answer.body), "canary")
				if test.field != "" {
					answer.field(test.field)
					return
				}
				user := into[api.User](answer.is(http.StatusCreated))
				assert.EqualValues(t, test.credential["scheme"], user.CredentialScheme)
				u, _ := stored(t, w, user.ID)
				require.NoError(t, u.Credential.Validate())
				if test.check != nil {
					test.check(t, u.Credential)
				}
			})
		}
	})
}

// TestUserProfilesAreApart: who may not see personal data does not see it, neither in
// what is shown nor in what a search finds.
func TestUserProfilesAreApart(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		user := into[api.User](admin.post("/users", object{"username": "u1", "profile": object{"full_name": "Canary Bird", "email": "canary@example.org", "phone": "+49 canary", "address": "Canary Wharf", "note": "canary"}}).is(http.StatusCreated))
		path := "/users/" + user.ID.String()
		for _, role := range []string{"read-only", "auditor"} {
			t.Run(role, func(t *testing.T) {
				c := w.as(t, role)
				for _, target := range []string{path, "/users", "/users?q=u", "/users?q=canary&count=true", "/users?q=%2B49&count=true", "/users?q=Canary"} {
					answer := c.get(target).is(http.StatusOK)
					assert.NotContains(t, strings.ToLower(string(answer.body)), "canary", target)
					if strings.Contains(target, "count") {
						list := into[api.UserList](answer)
						assert.Empty(t, list.Items)
						assert.Zero(t, list.Total.Count)
					}
				}
			})
		}
		t.Run("without profiles:write", func(t *testing.T) {
			c := w.token(t, operator.UsersRead, operator.UsersWrite)
			c.patch(path, object{"profile": object{"note": "x"}}).code(http.StatusForbidden, "forbidden")
			c.patch(path, object{"profile": nil}).code(http.StatusForbidden, "forbidden")
			c.put(path, object{"username": "u1", "profile": object{}}).code(http.StatusForbidden, "forbidden")
			c.post("/users", object{"username": "u2", "profile": object{"note": "x"}}).code(http.StatusForbidden, "forbidden")
			c.patch(path, object{"simultaneous_use": 1}).is(http.StatusOK)
			c.put(path, object{"username": "u1"}).is(http.StatusOK)
			_, profile := stored(t, w, user.ID)
			assert.Equal(t, "Canary Bird", profile.FullName)
		})
		t.Run("with it", func(t *testing.T) {
			support := w.as(t, "support")
			found := into[api.UserList](support.get("/users?q=canary&count=true").is(http.StatusOK))
			require.Len(t, found.Items, 1)
			assert.Equal(t, int64(1), found.Total.Count)
			assert.Equal(t, "Canary Bird", found.Items[0].Profile.FullName)
		})
	})
}

func TestListUsers(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		plan, group := newPlanAndGroup(t, w)
		for n := range 25 {
			user := &aaa.User{Name: fmt.Sprintf("user%02d", n), Status: aaa.UserStatus(n % 3)}
			if n%2 == 0 {
				user.PlanID = plan.ID
			}
			if n%5 == 0 {
				user.Groups = []aaa.Membership{{GroupID: group.ID}}
			}
			require.NoError(t, w.store.CreateUser(context.Background(), user))
		}
		support := w.as(t, "support")
		names := func(list api.UserList) (names []string) {
			for _, u := range list.Items {
				names = append(names, u.Username)
			}
			return names
		}
		t.Run("pages", func(t *testing.T) {
			support := support.in(t)
			var all []string
			target := "/users?limit=10"
			for {
				list := into[api.UserList](support.get(target).is(http.StatusOK))
				all = append(all, names(list)...)
				cursor, err := list.NextCursor.Get()
				if err != nil {
					break
				}
				target = "/users?limit=10&cursor=" + url.QueryEscape(cursor)
			}
			require.Len(t, all, 25)
			assert.IsIncreasing(t, all)
			first := into[api.UserList](support.get("/users?limit=10").is(http.StatusOK))
			support.get("/users?sort=-username&cursor="+first.NextCursor.MustGet()).code(http.StatusBadRequest, "bad_cursor")
			support.get("/users?limit=1001").field("limit")
			support.get("/users?limit=0").field("limit")
			support.get("/users?sort=credential").field("sort")
			support.get("/users?q=u&sort=username").code(http.StatusBadRequest, "bad_sort")
			support.get("/users?name=x").code(http.StatusBadRequest, "malformed_request")
		})
		t.Run("filters", func(t *testing.T) {
			for query, want := range map[string]int{
				"plan_id=" + plan.ID.String(): 13, "group_id=" + group.ID.String(): 5, "status=disabled": 8, "online=true": 0, "online=false": 25,
				"plan_id=" + uuid.NewString(): 0, "batch_id=" + uuid.NewString(): 0, "q=user1": 10, "q=nobody": 0, "created_before=2020-01-01T00:00:00Z": 0,
				"expires_from=2020-01-01T00:00:00Z": 0, "status=active&group_id=" + group.ID.String(): 2,
				"q=" + url.QueryEscape("' OR 1=1 --"): 0, "q=%25": 0,
			} {
				list := into[api.UserList](support.in(t).get("/users?limit=100&count=true&" + query).is(http.StatusOK))
				assert.Len(t, list.Items, want, query)
				assert.Equal(t, int64(want), list.Total.Count, query)
			}
			for _, u := range into[api.UserList](support.in(t).get("/users?plan_id=" + plan.ID.String()).is(http.StatusOK)).Items {
				assert.Equal(t, "gold", u.Plan.MustGet())
			}
		})
	})
}

// A password that cannot be read any more is replaced through the API.
func TestDamagedCredential(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		user := into[api.User](admin.post("/users", object{"username": "alice", "credential": object{"scheme": "cleartext", "password": "canary"}}).is(http.StatusCreated))
		path := "/users/" + user.ID.String()
		damage := func() {
			_, err := storetest.Raw(t, w.database).ExecContext(t.Context(), "UPDATE users SET credential = $1", []byte("what no key opens, whichever one it is"))
			require.NoError(t, err)
		}
		damage()
		admin.patch(path, object{"status": "disabled"}).code(http.StatusConflict, "damaged")
		admin.put(path, object{"username": "alice"}).code(http.StatusConflict, "damaged")
		admin.patch(path, object{"credential": object{"scheme": "cleartext", "password": "another"}}).is(http.StatusOK)
		admin.patch(path, object{"status": "disabled"}).is(http.StatusOK)
		damage()
		admin.put(path, object{"username": "alice", "credential": object{"scheme": "hash", "password": "a third one"}}).is(http.StatusOK)
		got, _, err := w.store.UserByID(t.Context(), user.ID)
		require.NoError(t, err)
		require.Equal(t, aaa.SchemeHash, got.Credential.Scheme)
		damage()
		admin.patch(path, object{"credential": nil}).is(http.StatusOK)
	})
}
