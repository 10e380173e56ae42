package checkout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/billing/checkout/checkouttest"
)

var noon = time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// start returns a stand-in provider, its client and their clock.
func start(t *testing.T, change ...func(*checkout.StripeOptions)) (*checkouttest.Server, *checkout.Stripe, *clock) {
	c := &clock{at: noon}
	server := checkouttest.New(c.now)
	t.Cleanup(server.Close)
	o := checkout.StripeOptions{SecretKey: checkouttest.SecretKey, WebhookSecrets: []string{checkouttest.WebhookSecret}, URL: server.URL,
		RetryAfter: time.Millisecond, Transport: server.Client().Transport}
	for _, f := range change {
		f(&o)
	}
	stripe, err := checkout.NewStripe(o)
	require.NoError(t, err)
	return server, stripe, c
}

func order(change ...func(*checkout.Checkout)) checkout.Checkout {
	c := checkout.Checkout{Reference: "0197a000-0000-7000-8000-000000000001", Description: "Rechnung INV-000123 – Glasfaser", Amount: 4990, Currency: "EUR",
		SuccessURL: "https://portal.example/paid", CancelURL: "https://portal.example/back", Email: "anna@example.org", Language: "de",
		ExpiresAt: noon.Add(time.Hour), IdempotencyKey: "invoice-1-try-1"}
	for _, f := range change {
		f(&c)
	}
	return c
}

func TestCreateCheckout(t *testing.T) {
	server, stripe, _ := start(t)
	session, err := stripe.CreateCheckout(t.Context(), order())
	require.NoError(t, err)
	require.Equal(t, server.URL+"/c/pay/"+session.ID, session.URL)
	require.Equal(t, noon.Add(time.Hour), session.ExpiresAt)
	kept, ok := server.Session(session.ID)
	require.True(t, ok)
	require.Equal(t, int64(4990), kept.Amount)
	require.Equal(t, "eur", kept.Currency)
	require.Equal(t, "Rechnung INV-000123 – Glasfaser", kept.Description)
	require.Equal(t, "https://portal.example/back", kept.CancelURL)

	again, err := stripe.CreateCheckout(t.Context(), order())
	require.NoError(t, err)
	require.Equal(t, session, again)
	require.Equal(t, 1, server.Sessions())

	_, err = stripe.CreateCheckout(t.Context(), order(func(c *checkout.Checkout) { c.Amount++ }))
	var refused *checkout.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "idempotency_error", refused.Type)
	require.False(t, refused.Temporary)
	require.Equal(t, 1, server.Sessions())
}

// TestRetries: whatever happens on the way, there is one session, or a clear answer.
func TestRetries(t *testing.T) {
	answer := func(status int) checkouttest.Fault { return checkouttest.Fault{Status: status} }
	lose := checkouttest.Fault{Lose: true}
	header := func(status int, name, value string) checkouttest.Fault {
		return checkouttest.Fault{Status: status, Header: http.Header{name: {value}}}
	}
	for _, c := range []struct {
		name     string
		faults   []checkouttest.Fault
		requests int
		sessions int
		status   int // of the error; 0: it succeeds
	}{
		{"busy", []checkouttest.Fault{answer(429)}, 2, 1, 0},
		{"another request with the key", []checkouttest.Fault{answer(409)}, 2, 1, 0},
		{"broken for a while", []checkouttest.Fault{answer(500), answer(502), answer(503)}, 4, 1, 0},
		{"broken", []checkouttest.Fault{answer(500), answer(500), answer(500), answer(500)}, 4, 0, 500},
		{"the answer is lost", []checkouttest.Fault{lose}, 2, 1, 0},
		{"the answer is lost twice", []checkouttest.Fault{lose, lose}, 3, 1, 0},
		{"refused", []checkouttest.Fault{answer(402)}, 1, 0, 402},
		{"told to stop", []checkouttest.Fault{header(500, "Stripe-Should-Retry", "false")}, 1, 0, 500},
		{"told to go on", []checkouttest.Fault{header(400, "Stripe-Should-Retry", "true")}, 2, 1, 0},
		{"told to wait", []checkouttest.Fault{header(429, "Retry-After", "0")}, 2, 1, 0},
		{"a redirect", []checkouttest.Fault{header(307, "Location", "http://127.0.0.1:1/")}, 1, 0, 307},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, stripe, _ := start(t)
			server.Fail(c.faults...)
			_, err := stripe.CreateCheckout(t.Context(), order())
			if c.status == 0 {
				require.NoError(t, err)
			} else {
				var refused *checkout.Error
				require.ErrorAs(t, err, &refused)
				require.Equal(t, c.status, refused.Status)
				require.Equal(t, c.status >= 500 && c.requests > 1, refused.Temporary)
			}
			require.Equal(t, c.requests, server.Requests())
			require.Equal(t, c.sessions, server.Sessions())
		})
	}
}

func TestCancelled(t *testing.T) {
	server, stripe, _ := start(t, func(o *checkout.StripeOptions) { o.RetryAfter = time.Hour })
	server.Fail(checkouttest.Fault{Status: 500})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := stripe.CreateCheckout(ctx, order())
		done <- err
	}()
	require.Eventually(t, func() bool { return server.Requests() == 1 }, 20*time.Second, time.Millisecond)
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, server.Requests())
}

// TestNoSecretInErrors: the server repeats the key in its message, and fails in every
// other way.
func TestNoSecretInErrors(t *testing.T) {
	const key = "sk_test_anotherkey0123456789"
	_, wrong, _ := start(t, func(o *checkout.StripeOptions) { o.SecretKey = key; o.Retries = -1 })
	_, err := wrong.CreateCheckout(t.Context(), order())
	var refused *checkout.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusUnauthorized, refused.Status)
	require.NotContains(t, err.Error(), key)

	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"repeats everything", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Request-Id", r.Header.Get("Authorization"))
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":{"type":"%[1]s","code":"%[1]s x","param":"%[1]s\n","message":"%[1]s"}}`, "Bearer "+key)
		}},
		{"no JSON", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>"+r.Header.Get("Authorization")) }},
		{"another answer", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"`+key+`"}`) }},
		{"another amount", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"id":"cs_1","url":"https://x.example/","amount_total":4991,"currency":"eur"}`)
		}},
		{"an endless answer", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, io.LimitReader(forever{}, 4<<20))
		}},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			_, stripe, _ := start(t, func(o *checkout.StripeOptions) {
				o.SecretKey, o.URL, o.Retries, o.Transport = key, server.URL, -1, server.Client().Transport
			})
			_, err := stripe.CreateCheckout(t.Context(), order())
			require.Error(t, err)
			require.NotContains(t, err.Error(), key)
			require.Less(t, len(err.Error()), 500)
		})
	}
}

type forever struct{}

func (forever) Read(p []byte) (int, error) { return copy(p, strings.Repeat(" ", len(p))), nil }

func TestCheckoutIsChecked(t *testing.T) {
	server, stripe, _ := start(t)
	for _, c := range []struct {
		name   string
		change func(*checkout.Checkout)
		want   string
	}{
		{"no amount", func(c *checkout.Checkout) { c.Amount = 0 }, "not positive"},
		{"a negative amount", func(c *checkout.Checkout) { c.Amount = -1 }, "not positive"},
		{"no currency", func(c *checkout.Checkout) { c.Currency = "" }, "is no currency"},
		{"no reference", func(c *checkout.Checkout) { c.Reference = "" }, "the reference"},
		{"a reference with a space", func(c *checkout.Checkout) { c.Reference = "a b" }, "the reference"},
		{"a long reference", func(c *checkout.Checkout) { c.Reference = strings.Repeat("x", 201) }, "the reference"},
		{"no description", func(c *checkout.Checkout) { c.Description = "" }, "description"},
		{"no way back", func(c *checkout.Checkout) { c.CancelURL = "" }, "no URL"},
		{"a page without TLS", func(c *checkout.Checkout) { c.SuccessURL = "http://portal.example/" }, "want https"},
		{"a script", func(c *checkout.Checkout) { c.SuccessURL = "javascript:alert(1)" }, "no URL"},
		{"no idempotency key", func(c *checkout.Checkout) { c.IdempotencyKey = "" }, "idempotency key"},
		{"a key that is a header", func(c *checkout.Checkout) { c.IdempotencyKey = "a\r\nX: y" }, "idempotency key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := stripe.CreateCheckout(t.Context(), order(c.change))
			require.ErrorContains(t, err, c.want)
		})
	}
	require.Zero(t, server.Requests())
}

// TestCurrencies: what Stripe is sent for an amount, and what its event is read as.
func TestCurrencies(t *testing.T) {
	for _, c := range []struct {
		name     string
		currency billing.Currency
		amount   billing.Amount
		sent     int64
		wrong    string
	}{
		{"10.00 EUR", "EUR", 1000, 1000, ""},
		{"500 JPY", "JPY", 500, 500, ""},
		{"5 ISK are sent with two decimals", "ISK", 5, 500, ""},
		{"5 UGX are sent with two decimals", "UGX", 5, 500, ""},
		{"1200.00 MGA are sent without", "MGA", 120000, 1200, ""},
		{"1200.20 MGA", "MGA", 120020, 0, "want whole MGA"},
		{"5.120 KWD", "KWD", 5120, 5120, ""},
		{"5.124 KWD", "KWD", 5124, 0, "the last decimal must be 0"},
		{"three decimals that Stripe does not have", "IQD", 5120, 0, "IQD cannot be charged"},
		{"no decimals, and not on the list", "UYI", 5, 0, "UYI cannot be charged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, stripe, clock := start(t)
			session, err := stripe.CreateCheckout(t.Context(), order(func(o *checkout.Checkout) { o.Amount, o.Currency = c.amount, c.currency }))
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				require.Zero(t, server.Requests())
				return
			}
			require.NoError(t, err)
			kept, _ := server.Session(session.ID)
			require.Equal(t, c.sent, kept.Amount)
			server.Pay(session.ID)
			e, err := stripe.VerifyWebhook(server.Header(server.Last()), server.Last().Body, clock.now())
			require.NoError(t, err)
			require.NoError(t, e.Settles(order().Reference, c.amount, c.currency))
		})
	}
}

func TestRefund(t *testing.T) {
	server, stripe, clock := start(t)
	session, err := stripe.CreateCheckout(t.Context(), order())
	require.NoError(t, err)
	server.Pay(session.ID)
	paid, err := stripe.VerifyWebhook(server.Header(server.Last()), server.Last().Body, clock.now())
	require.NoError(t, err)

	r := checkout.Refund{PaymentID: paid.PaymentID, Reference: "credit-note-1", Amount: 1000, Currency: "EUR", IdempotencyKey: "refund-1"}
	server.Fail(checkouttest.Fault{Lose: true})
	got, err := stripe.Refund(t.Context(), r)
	require.NoError(t, err)
	require.True(t, got.Done)
	again, err := stripe.Refund(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, got, again)
	kept, _ := server.Session(session.ID)
	require.Equal(t, int64(1000), kept.Refunded, "once, though it was sent three times")

	e, err := stripe.VerifyWebhook(server.Header(server.Last()), server.Last().Body, clock.now())
	require.NoError(t, err)
	require.Equal(t, checkout.Event{ID: server.Last().ID, Type: "refund.updated", Kind: checkout.RefundDone, At: noon, PaymentID: paid.PaymentID,
		RefundID: got.ID, Reference: "credit-note-1", Amount: 1000, Currency: "EUR"}, e)

	r.IdempotencyKey, r.Amount = "refund-2", 4000
	_, err = stripe.Refund(t.Context(), r)
	var refused *checkout.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "charge_already_refunded", refused.Code)
	for _, bad := range []checkout.Refund{{}, {Amount: 1, Currency: "EUR", Reference: "x", IdempotencyKey: "k"},
		{Amount: 1, Currency: "EUR", PaymentID: "pi_1/../x", Reference: "x", IdempotencyKey: "k"}, {Amount: 1, Currency: "EUR", PaymentID: "pi_1", Reference: "x"}} {
		_, err = stripe.Refund(t.Context(), bad)
		require.Error(t, err)
		require.False(t, errors.As(err, &refused), "it was not sent")
	}
}

func TestStripeOptions(t *testing.T) {
	_, err := checkout.NewStripe(checkout.StripeOptions{SecretKey: "pk_live_public0123", WebhookSecrets: []string{"secret"}, URL: "http://api.example"})
	require.ErrorContains(t, err, "the secret key")
	require.ErrorContains(t, err, "begins with whsec_")
	require.ErrorContains(t, err, "want https")
	require.NotContains(t, err.Error(), "public0123")
	_, err = checkout.NewStripe(checkout.StripeOptions{SecretKey: "rk_live_0123456789"})
	require.EqualError(t, err, "stripe: the webhook secret is missing")
	s, err := checkout.NewStripe(checkout.StripeOptions{SecretKey: "rk_live_0123456789", WebhookSecrets: []string{"whsec_0123456789abcdef"}})
	require.NoError(t, err)
	require.Equal(t, "stripe", s.Name())
	require.Contains(t, checkout.StripeEvents(), "checkout.session.completed")
}
