package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/billing/checkout/checkouttest"
)

// failingBook takes no events.
type failingBook struct{ err error }

func (b failingBook) AskCheckout(context.Context, *checkout.Request) (string, error) {
	return "", b.err
}
func (b failingBook) SaveCheckout(context.Context, uuid.UUID, checkout.Session) error {
	return b.err
}
func (b failingBook) TakeCheckoutEvent(context.Context, string, *checkout.Event, billing.RunOptions) (string, error) {
	return "done", b.err
}

// TestWebhookAnswers: what is not signed is refused for good, what fails here is asked for
// again.
func TestWebhookAnswers(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
	stripe, err := checkout.NewStripe(checkout.StripeOptions{SecretKey: checkouttest.SecretKey, WebhookSecrets: []string{checkouttest.WebhookSecret}})
	require.NoError(t, err)
	body := `{"id": "evt_1", "object": "event", "type": "checkout.session.expired", "livemode": false, "data": {"object": {"id": "cs_1", "mode": "payment", "client_reference_id": "x", "amount_total": 100, "currency": "eur"}}}`
	good := checkouttest.Sign([]byte(body), now(), checkouttest.WebhookSecret)
	for name, tt := range map[string]struct {
		body, signature string
		err             error
		want            int
	}{
		"signed":            {body, good, nil, http.StatusNoContent},
		"forged":            {body, checkouttest.Sign([]byte(body), now(), "whsec_somebodyelse0123456789"), nil, http.StatusBadRequest},
		"old":               {body, checkouttest.Sign([]byte(body), now().Add(-time.Hour), checkouttest.WebhookSecret), nil, http.StatusBadRequest},
		"changed":           {strings.Replace(body, "100", "101", 1), good, nil, http.StatusBadRequest},
		"without signature": {body, "", nil, http.StatusBadRequest},
		"too large":         {strings.Repeat("x", checkout.MaxWebhookBytes+1), good, nil, http.StatusRequestEntityTooLarge},
		"the store is away": {body, good, errors.New("no database"), http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			desk := &checkout.Desk{Provider: stripe, Book: failingBook{tt.err}, Zone: time.UTC, Now: now,
				Rules: func(context.Context, billing.Date) (billing.RunOptions, error) { return billing.RunOptions{}, nil }}
			r := httptest.NewRequest(http.MethodPost, checkoutWebhook, strings.NewReader(tt.body))
			if tt.signature != "" {
				r.Header.Set("Stripe-Signature", tt.signature)
			}
			w := httptest.NewRecorder()
			webhookHandler(desk, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
			assert.Equal(t, tt.want, w.Code)
			assert.NotContains(t, w.Body.String(), "database")
		})
	}
}

func TestInvoiceCheckout(t *testing.T) {
	provider := checkouttest.New(time.Now)
	t.Cleanup(provider.Close)
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "x")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90")
		s.ok("billing", "set", "--seller-name", "Example Net")
		s.ok("subscription", "add", "alice", "home", "--from", "2026-02-01", "--until", "2026-03-01")
		s.ok("billing", "run", "--as-of", "2026-02-01")
		assert.Contains(t, s.fails(exitFailed, "invoice", "checkout", "INV-000001"), "names no provider of card payments")
		key, secret := filepath.Join(s.dir, "stripe.key"), filepath.Join(s.dir, "stripe.webhook")
		require.NoError(t, os.WriteFile(key, []byte(checkouttest.SecretKey+"\n"), 0o600))
		require.NoError(t, os.WriteFile(secret, []byte(checkouttest.WebhookSecret+"\n"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "radiusd.yaml"), []byte("billing: {checkout: {provider: stripe, secret_key_file: "+key+", webhook_secret_file: "+secret+", url: "+provider.URL+
			", success_url: https://isp.example/paid, cancel_url: https://isp.example/bills}}\n"), 0o600))
		page := s.object("invoice", "checkout", "INV-000001")
		assert.Equal(t, []any{"29.90", "EUR", "open"}, []any{page["amount"], page["currency"], page["state"]})
		assert.Contains(t, page["url"], "http")
		assert.Equal(t, page["url"], s.object("invoice", "checkout", "INV-000001")["url"])
		order := s.object("order", "add", "alice", "top_up", "--amount", "20")
		assert.Equal(t, "20.00", s.object("order", "checkout", order["id"].(string))["amount"])
		assert.Contains(t, s.fails(exitFailed, "order", "complete", order["id"].(string)), "the order is open: only one that is paid is completed")

		// What was paid there is given back there.
		db := s.open()
		pageID, err := uuid.Parse(page["id"].(string))
		require.NoError(t, err)
		request, err := db.CheckoutByID(t.Context(), pageID)
		require.NoError(t, err)
		provider.Pay(request.SessionID)
		stripe, err := checkout.NewStripe(checkout.StripeOptions{SecretKey: checkouttest.SecretKey, WebhookSecrets: []string{checkouttest.WebhookSecret}, URL: provider.URL})
		require.NoError(t, err)
		desk := &checkout.Desk{Provider: stripe, Book: db, Zone: time.UTC, Now: time.Now,
			Rules: func(context.Context, billing.Date) (billing.RunOptions, error) { return billing.RunOptions{}, nil }}
		_, err = desk.Take(t.Context(), provider.Header(provider.Last()), provider.Last().Body)
		require.NoError(t, err)
		payment := s.rows("payment", "list")[0]["id"].(string)
		back := s.object("payment", "refund", payment, "9.90")
		assert.Equal(t, []any{"card", "stripe", "-9.90"}, []any{back["method"], back["provider"], back["amount"]})
		assert.Contains(t, back["reference"], "re_")
		session, _ := provider.Session(request.SessionID)
		assert.EqualValues(t, 990, session.Refunded)
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "radiusd.yaml"), nil, 0o600))
		assert.Contains(t, s.fails(exitFailed, "payment", "refund", payment, "1"), "the payment came by stripe, which is not configured here")
		assert.Contains(t, s.fails(exitFailed, "payment", "add", "alice", "1000000000000.01"), "it must be at most 1000000000000.00 EUR")
	})
}
