package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"

	"radiusd/operator"
)

// personal begins every personal datum that the canary test sends.
const personal = "canary-person-55b0"

// personalFields are the properties that hold personal data.
var personalFields = []string{"full_name", "phone", "note"}

// TestCanary puts a secret and personal data in through every operation that takes
// them, and looks for them wherever the API, the log and the tables can be looked at.
func TestCanary(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		f := newFixture(t, w)
		owner := w.token(t, operator.Permissions()...)
		clean := func(o fmt.Stringer, a *answer) {
			t.Helper()
			assert.NotContains(t, string(a.body), canary, "%s answers with a secret", o)
			assert.NotContains(t, fmt.Sprint(a.header), canary, "%s answers with a secret", o)
		}
		sent, taken := map[string]bool{}, map[string]bool{}
		for _, o := range operations(t) {
			schema := o.body()
			if schema == nil || !o.implemented {
				continue
			}
			r := example(t, o, f)
			if !plant(r.body.(map[string]any), schema) {
				continue
			}
			sent[o.OperationID] = true
			c := owner.in(t)
			if o.permission == "signed-in" {
				c = w.as(t, operator.OwnerName) // who stays so: the password is a wrong one
			}
			for _, r := range []request{r, spoiled(r)} { // taken, and refused
				a := c.send(r)
				assert.Less(t, a.status, 500, "%s: %s", o, a.body)
				taken[o.OperationID] = taken[o.OperationID] || a.status < 300
				clean(o, a)
				if !strings.Contains(o.path, "profile") && o.path != "/users" && o.path != "/users/{user_id}" {
					assert.NotContains(t, string(a.body), personal, "%s answers with personal data", o)
				}
			}
		}
		for _, id := range []string{"createUser", "replaceUser", "patchUser", "createNAS", "replaceNAS", "patchNAS"} {
			assert.True(t, taken[id], "%s has taken no secret", id)
		}
		t.Logf("sent to %v", slices.Sorted(maps.Keys(sent)))

		t.Run("no answer has a secret, nor personal data for who may not see them", func(t *testing.T) {
			blind := w.token(t, operator.AllPermissions.Without(operator.NewPermissionSet(operator.ProfilesRead, operator.ProfilesErase)).List()...)
			for _, o := range operations(t) {
				if o.method != http.MethodGet || !o.implemented || o.permission == "public" {
					continue
				}
				a := owner.in(t).send(example(t, o, f))
				clean(o, a)
				a = blind.in(t).send(example(t, o, f))
				clean(o, a)
				assert.NotContains(t, string(a.body), personal, "%s answers with personal data", o)
			}
		})
		t.Run("the log has neither", func(t *testing.T) {
			assert.NotContains(t, w.log.String(), canary)
			assert.NotContains(t, w.log.String(), personal)
		})
		t.Run("the tables have secrets sealed, and personal data in one place", func(t *testing.T) {
			tables := openTables(t, w.database)
			assert.Empty(t, tables.find(t, canary))
			for _, place := range tables.find(t, personal) {
				assert.Equal(t, "user_profiles", strings.Split(place, ".")[0], place)
			}
			assert.NotEmpty(t, tables.find(t, personal), "nothing was put in")
		})
	})
}

// plant puts secrets and personal data wherever an object has a place for them, and
// reports whether there was one.
func plant(object map[string]any, schema *openapi3.Schema) (planted bool) {
	for name, property := range schema.Properties {
		switch {
		case slices.Contains(secretFields, name) && property.Value.Type.Includes("string"):
			object[name] = canary + "-a-long-enough-secret"
			if name == "code" {
				object[name] = "canary7f"
			}
			if name == "hash" {
				delete(object, name) // instead of the password
			}
			planted = true
		case name == "note" && schema.Properties["full_name"] == nil:
			// A note about money is for who may see money, and erasure takes it.
		case slices.Contains(personalFields, name):
			object[name] = personal + " " + name
			planted = true
		case name == "profile" || name == "credential":
			inner, _ := object[name].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			object[name] = inner
			if name == "credential" {
				inner["scheme"] = "cleartext"
			}
			planted = plant(inner, property.Value) || planted
		}
	}
	return planted
}

// spoiled returns the request with something wrong beside the secret, so that it is
// refused.
func spoiled(r request) request {
	body := maps.Clone(r.body.(map[string]any))
	body["no_such_property"] = canary[:6]
	r.body = body
	return r
}
