package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/operator"
)

func TestAuditLog(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		admin := w.as(t, "admin")
		nas := into[api.NAS](admin.post("/nas", map[string]any{"address": "192.0.2.1", "secret": "canary-secret"}).is(http.StatusCreated))
		plan := into[api.Plan](admin.post("/plans", map[string]any{"name": "gold"}, "X-Request-Id", "r1").is(http.StatusCreated))
		admin.patch("/plans/"+plan.ID.String(), map[string]any{"rate_up": 5_000_000}).is(http.StatusOK)

		auditor := w.as(t, "auditor")
		list := into[api.AuditList](auditor.get("/audit?entity_id=" + plan.ID.String()).is(http.StatusOK))
		require.Len(t, list.Items, 2)
		changed := list.Items[0]
		assert.Equal(t, "plans.update", changed.Action)
		assert.Equal(t, "admin", changed.Actor.Name)
		assert.Equal(t, api.AuditActorKindOperator, changed.Actor.Kind)
		assert.Equal(t, "127.0.0.1", changed.Actor.Address.MustGet())
		assert.Contains(t, changed.Changes, "rate_up")
		made := auditor.get("/audit?action=nas.create").is(http.StatusOK)
		assert.NotContains(t, string(made.body), "canary")
		assert.Equal(t, nas.ID, into[api.AuditList](made).Items[0].EntityID.MustGet())

		var actions []string
		for path := "/audit?limit=2"; path != ""; {
			page := into[api.AuditList](auditor.get(path).is(http.StatusOK))
			for _, e := range page.Items {
				actions = append(actions, e.Action)
			}
			path = ""
			if next, err := page.NextCursor.Get(); err == nil {
				path = "/audit?limit=2&cursor=" + url.QueryEscape(next)
			}
		}
		assert.Contains(t, actions, "plans.update")
		assert.Contains(t, actions, "operators.create")
		auditor.get("/audit?cursor=xyz").code(http.StatusBadRequest, "bad_cursor")

		verified := into[api.AuditVerification](auditor.post("/audit/verify", nil).is(http.StatusOK))
		assert.True(t, verified.Valid, verified.Problem)
		assert.GreaterOrEqual(t, verified.Entries, int64(len(actions)))
		w.as(t, "support").get("/audit").code(http.StatusForbidden, "forbidden")

		t.Run("events", func(t *testing.T) {
			admin := admin.in(t)
			all := into[api.EventList](admin.get("/events").is(http.StatusOK))
			var types []string
			for _, e := range all.Items {
				types = append(types, e.Type)
			}
			assert.Subset(t, types, []string{"nas.created", "plan.created", "plan.updated"})
			assert.Empty(t, into[api.EventList](admin.get("/events?cursor="+url.QueryEscape(all.NextCursor)).is(http.StatusOK)).Items)
			admin.post("/plans", map[string]any{"name": "silver"}).is(http.StatusCreated)
			fresh := into[api.EventList](admin.get("/events?cursor=" + url.QueryEscape(all.NextCursor)).is(http.StatusOK))
			require.Len(t, fresh.Items, 1)
			assert.Equal(t, "plan.created", fresh.Items[0].Type)
			assert.Equal(t, "silver", fresh.Items[0].Data["entity_name"])
		})
	})
}

func TestWebhooks(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		received := make(chan http.Header, 1)
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			received <- r.Header
		}))
		t.Cleanup(receiver.Close)
		admin := w.as(t, "admin")
		created := admin.post("/webhooks", map[string]any{"name": "billing", "url": receiver.URL, "events": []string{"user.*"}}, "Idempotency-Key", "h1").is(http.StatusCreated)
		made := into[api.WebhookMade](created)
		_, err := operator.ParseWebhookSecret(made.Secret)
		require.NoError(t, err)
		admin.post("/webhooks", map[string]any{"name": "billing", "url": receiver.URL, "events": []string{"user.*"}}, "Idempotency-Key", "h1").code(http.StatusConflict, "repeated")
		path := "/webhooks/" + made.Webhook.ID.String()
		assert.Equal(t, created.header.Get("ETag"), admin.get(path).is(http.StatusOK).header.Get("ETag"))
		assert.NotContains(t, string(admin.get("/webhooks").is(http.StatusOK).body), "whsec_")

		tested := into[api.WebhookTest](admin.post(path+"/test", nil).is(http.StatusOK))
		assert.True(t, tested.Delivered, tested.Detail)
		assert.NotEmpty(t, (<-received).Get("Webhook-Signature"))

		admin.put(path, map[string]any{"name": "billing", "url": "ftp://example.org"}).field("url")
		admin.put(path, map[string]any{"name": "billing", "url": receiver.URL, "events": []string{"User Created"}}).field("events[0]")
		for _, url := range []string{"https://10.0.0.1/hook", "https://[fd00::1]/hook", "http://169.254.169.254/latest"} { // the sender of the tests allows only loopback, and http
			admin.post("/webhooks", map[string]any{"name": "inside", "url": url}).field("url")
			admin.put(path, map[string]any{"name": "billing", "url": url}).field("url")
			admin.put(path, map[string]any{"name": "billing", "url": url, "enabled": false}).field("url")
		}
		admin.put(path, map[string]any{"name": "accounts", "url": receiver.URL}, "If-Match", `"old"`).code(http.StatusPreconditionFailed, "precondition_failed")
		changed := into[api.Webhook](admin.put(path, map[string]any{"name": "accounts", "url": receiver.URL, "enabled": false}, "If-Match", created.header.Get("ETag")).is(http.StatusOK))
		assert.False(t, changed.Enabled)
		rotated := into[api.WebhookMade](admin.post(path+"/secret", nil).is(http.StatusOK))
		assert.NotEqual(t, made.Secret, rotated.Secret)

		assert.Empty(t, into[api.WebhookDeliveryList](admin.get(path+"/deliveries").is(http.StatusOK)).Items)
		event := into[api.EventList](admin.get("/events").is(http.StatusOK)).Items[0]
		asked := into[api.WebhookDelivery](admin.post(path+"/deliveries", map[string]any{"event_id": event.ID}).is(http.StatusAccepted))
		assert.Equal(t, api.WebhookDeliveryStateRequested, asked.State)
		assert.Len(t, into[api.WebhookDeliveryList](admin.get(path+"/deliveries").is(http.StatusOK)).Items, 1)
		admin.post(path+"/deliveries", map[string]any{"event_id": uuid.NewString()}).code(http.StatusNotFound, "not_found")

		admin.delete(path).is(http.StatusNoContent)
		admin.post(path+"/test", nil).code(http.StatusNotFound, "not_found")

		old := &operator.Webhook{Name: "old", URL: "https://10.0.0.1/hook", Enabled: true} // since then it is not allowed any more
		require.NoError(t, w.store.CreateWebhook(t.Context(), old))
		admin.put("/webhooks/"+old.ID.String(), map[string]any{"name": "old", "url": old.URL}).field("url")
		admin.put("/webhooks/"+old.ID.String(), map[string]any{"name": "old", "url": old.URL, "enabled": false}).is(http.StatusOK)
		w.as(t, "auditor").post("/webhooks", map[string]any{"name": "x", "url": receiver.URL}).code(http.StatusForbidden, "forbidden")
	})
}
