package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"radiusd/api"
)

// TestSecretItems: what is hidden in packets, and masked in the audit log, is not for
// everybody who may look at a user.
func TestSecretItems(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		owner := w.as(t, "owner")
		items := []object{
			{"attribute": "Tunnel-Password:1", "op": ":=", "value": canary + "-tunnel"},
			{"attribute": "Cisco-AVPair", "op": "+=", "value": "psk=" + canary},
			{"attribute": "Filter-Id", "op": ":=", "value": "shown"},
		}
		group := into[api.Group](owner.post("/groups", object{"name": "g", "reply_items": items}).is(http.StatusCreated))
		plan := into[api.Plan](owner.post("/plans", object{"name": "p", "reply_items": items}).is(http.StatusCreated))
		user := into[api.User](owner.post("/users", object{"username": "alice", "reply_items": items}).is(http.StatusCreated))
		paths := []string{
			"/users", "/users/" + user.ID.String(), "/groups", "/groups/" + group.ID.String(), "/plans", "/plans/" + plan.ID.String(),
		}
		for _, path := range paths {
			t.Run(path, func(t *testing.T) {
				for _, role := range []string{"read-only", "auditor", "billing"} {
					body := string(w.as(t, role).get(path).is(http.StatusOK).body)
					assert.NotContains(t, body, canary, role)
					assert.Contains(t, body, `"shown"`, role)
				}
				assert.Contains(t, string(owner.in(t).get(path).is(http.StatusOK).body), canary)
			})
		}
		t.Run("a change keeps what the one who makes it sees", func(t *testing.T) {
			owner := owner.in(t)
			tag := owner.get("/users/" + user.ID.String()).is(http.StatusOK).header.Get("ETag")
			owner.patch("/users/"+user.ID.String(), object{"simultaneous_use": 2}, "If-Match", tag).is(http.StatusOK)
			assert.Contains(t, string(owner.get("/users/"+user.ID.String()).is(http.StatusOK).body), canary+"-tunnel")
		})
		t.Run("the audit log masks them", func(t *testing.T) {
			assert.NotContains(t, string(w.as(t, "auditor").get("/audit").is(http.StatusOK).body), canary)
		})
	})
}
