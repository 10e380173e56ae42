package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"radiusd/api"
)

func TestSettings(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		first := admin.get("/settings").is(http.StatusOK)
		assert.True(t, into[api.Settings](first).AuditRetentionDays.IsNull())
		changed := admin.patch("/settings", map[string]any{"audit_retention_days": 3650, "auth_retention_days": 0}, "If-Match", first.header.Get("ETag")).is(http.StatusOK)
		s := into[api.Settings](changed)
		assert.Equal(t, 3650, s.AuditRetentionDays.MustGet())
		assert.Zero(t, s.AuthRetentionDays.MustGet())
		assert.Equal(t, changed.header.Get("ETag"), admin.get("/settings").header.Get("ETag"))

		admin.patch("/settings", map[string]any{"auth_retention_days": 1}, "If-Match", first.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
		admin.patch("/settings", map[string]any{"event_retention_days": 0}).field("event_retention_days")
		admin.patch("/settings", map[string]any{"feed_id": 1}).is(http.StatusUnprocessableEntity)
		reset := into[api.Settings](admin.patch("/settings", map[string]any{"audit_retention_days": nil}).is(http.StatusOK))
		assert.True(t, reset.AuditRetentionDays.IsNull())

		entries := into[api.AuditList](admin.get("/audit?action=settings.").is(http.StatusOK))
		assert.Len(t, entries.Items, 2)
		w.as(t, "auditor").patch("/settings", map[string]any{"auth_retention_days": 1}).code(http.StatusForbidden, "forbidden")
	})
}
