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

// personalPlaces are the tables and columns that may have personal data. What is not of
// the profile is free text about money, which erasure goes through.
var personalPlaces = []string{
	"user_profiles.", "payments.note", "payments.reference", "charges.description", "invoices.note", "invoice_lines.description",
	"order_history.note", "bank_entries.reason", "voucher_batches.note",
}

// TestCanary puts a secret and personal data in through every operation that takes
// them, and looks for them wherever the API, the log and the tables can be looked at.
func TestCanary(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		f := newFixture(t, w)
		owner := w.token(t, operator.Permissions()...)
		blind := w.token(t, operator.AllPermissions.Without(operator.NewPermissionSet(operator.ProfilesRead, operator.ProfilesErase)).List()...)
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
			if slices.Contains(o.Tags, "billing") || slices.Contains(o.Tags, "vouchers") {
				c = blind.in(t) // who may write it, and does not see it again
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
		for _, id := range []string{"createUser", "replaceUser", "patchUser", "createNAS", "replaceNAS", "patchNAS", "createPayment", "createCharge"} {
			assert.True(t, taken[id], "%s has taken nothing", id)
		}
		t.Logf("sent to %v", slices.Sorted(maps.Keys(sent)))

		t.Run("no answer has a secret, nor personal data for who may not see them", func(t *testing.T) {
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
				assert.True(t, slices.ContainsFunc(personalPlaces, func(p string) bool { return strings.HasPrefix(place, p) }), place)
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
		case slices.Contains(personalFields, name) || tells(name, schema):
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

// tells reports whether a property of billing is written by hand, and so may tell of a
// person.
func tells(name string, schema *openapi3.Schema) bool {
	switch name {
	case "description":
		return schema.Properties["tax_included"] != nil
	case "reference":
		return schema.Properties["received_on"] != nil
	}
	return name == "reason"
}

// spoiled returns the request with something wrong beside the secret, so that it is
// refused.
func spoiled(r request) request {
	body := maps.Clone(r.body.(map[string]any))
	body["no_such_property"] = canary[:6]
	r.body = body
	return r
}
