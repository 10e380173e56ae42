package api_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
)

func TestNAS(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		created := admin.post("/nas", object{"name": "bras1", "address": "192.0.2.1", "secret": "canary-first", "vendor": "MikroTik"}).is(http.StatusCreated)
		nas := into[api.NAS](created)
		path := "/nas/" + nas.ID.String()
		assert.Equal(t, api.BasePath+path, created.header.Get("Location"))
		assert.Equal(t, api.Requirement("yes"), nas.RequireMessageAuthenticator)
		assert.Equal(t, nas, into[api.NAS](admin.get(path).is(http.StatusOK)))
		secrets := func(t *testing.T) (present, previous string) {
			t.Helper()
			kept, err := w.store.NASByID(t.Context(), nas.ID)
			require.NoError(t, err)
			return string(kept.Secret), string(kept.PreviousSecret)
		}

		t.Run("secrets change and are not shown", func(t *testing.T) {
			for _, step := range []struct {
				patch             object
				present, previous string
			}{
				{object{"coa_port": 1700}, "canary-first", ""},
				{object{"secret": "canary-second", "keep_previous_secret": true}, "canary-second", "canary-first"},
				{object{"name": "bras2"}, "canary-second", "canary-first"},
				{object{"keep_previous_secret": false}, "canary-second", ""},
			} {
				a := admin.in(t).patch(path, step.patch).is(http.StatusOK)
				assert.NotContains(t, string(a.body), "canary")
				assert.Equal(t, step.previous != "", into[api.NAS](a).HasPreviousSecret)
				present, previous := secrets(t)
				assert.Equal(t, step.present, present)
				assert.Equal(t, step.previous, previous)
			}
		})
		t.Run("a put leaves the secret", func(t *testing.T) {
			replaced := into[api.NAS](admin.in(t).put(path, object{"address": "192.0.2.1", "name": "bras1"}).is(http.StatusOK))
			assert.Empty(t, replaced.Vendor)
			assert.Zero(t, replaced.CoaPort)
			present, _ := secrets(t)
			assert.Equal(t, "canary-second", present)
		})
		t.Run("a change of something old is refused", func(t *testing.T) {
			admin := admin.in(t)
			admin.patch(path, object{"name": "late"}, "If-Match", created.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
			admin.delete(path, "If-Match", created.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
		})
		t.Run("wrong input is told by field", func(t *testing.T) {
			admin := admin.in(t)
			admin.post("/nas", object{"address": "192.0.2.9"}).field("secret")
			admin.post("/nas", object{"address": "192.0.2.0/33", "secret": "x"}).field("address")
			admin.post("/nas", object{"address": "192.0.2.9", "secret": "x", "coa_port": 70000}).field("coa_port")
			admin.post("/nas", object{"address": "192.0.2.9", "secret": "x", "vendor": "mikrotick"}).field("vendor")
			admin.patch(path, object{"vendor": "mikrotick"}).field("vendor")
			admin.post("/nas", object{"address": "192.0.2.1", "secret": "x"}).code(http.StatusConflict, "exists")
			taken := admin.post("/nas", object{"address": "192.0.2.9", "name": "bras1", "secret": "x"}).code(http.StatusConflict, "exists").problem()
			assert.Contains(t, taken.Detail, "another with its name")
		})
		t.Run("a vendor whose templates have gone stays", func(t *testing.T) {
			old := &aaa.NAS{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Secret: []byte("x"), Vendor: "our-own"}
			require.NoError(t, w.store.CreateNAS(t.Context(), old))
			changed := into[api.NAS](admin.in(t).patch("/nas/"+old.ID.String(), object{"coa_port": 1700}).is(http.StatusOK))
			assert.Equal(t, "our-own", changed.Vendor)
		})
		t.Run("which one an address is of", func(t *testing.T) {
			found := into[api.NASList](admin.in(t).get("/nas?contains=198.51.100.7").is(http.StatusOK))
			require.Len(t, found.Items, 1)
			assert.Equal(t, "198.51.100.0/24", found.Items[0].Address)
		})
		t.Run("deleted is gone", func(t *testing.T) {
			admin := admin.in(t)
			admin.delete(path).is(http.StatusNoContent)
			admin.get(path).code(http.StatusNotFound, "not_found")
		})
	})
}
