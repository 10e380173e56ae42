package checkout_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/billing/checkout/checkouttest"
)

// paid returns a stand-in with one payment, and the event about it.
func paid(t *testing.T, change ...func(*checkout.StripeOptions)) (*checkouttest.Server, *checkout.Stripe, *clock, checkouttest.Event) {
	server, stripe, clock := start(t, change...)
	session, err := stripe.CreateCheckout(t.Context(), order())
	require.NoError(t, err)
	server.Pay(session.ID)
	return server, stripe, clock, server.Last()
}

func TestWebhookSignature(t *testing.T) {
	server, stripe, clock, e := paid(t)
	sign := func(at time.Time, secrets ...string) string { return checkouttest.Sign(e.Body, at, secrets...) }
	good := sign(noon, checkouttest.WebhookSecret)
	_, sum, _ := strings.Cut(good, ",v1=")
	sum, _, _ = strings.Cut(sum, ",")
	const other = "whsec_anothersecret0123456789"
	tampered := bytes.Replace(e.Body, []byte(`"amount_total":4990`), []byte(`"amount_total":4991`), 1)
	require.NotEqual(t, e.Body, tampered)
	for _, c := range []struct {
		name   string
		header []string
		body   []byte
		ok     bool
	}{
		{"as sent", []string{good}, e.Body, true},
		{"two secrets, the second ours", []string{sign(noon, other, checkouttest.WebhookSecret)}, e.Body, true},
		{"a schema that is to come", []string{good + ",v2=abc"}, e.Body, true},
		{"4 minutes late", []string{sign(noon.Add(-4*time.Minute), checkouttest.WebhookSecret)}, e.Body, true},
		{"6 minutes late", []string{sign(noon.Add(-6*time.Minute), checkouttest.WebhookSecret)}, e.Body, false},
		{"6 minutes early", []string{sign(noon.Add(6*time.Minute), checkouttest.WebhookSecret)}, e.Body, false},
		{"another secret", []string{sign(noon, other)}, e.Body, false},
		{"the amount changed", []string{good}, tampered, false},
		{"a space added", []string{good}, append(slices.Clone(e.Body), ' '), false},
		{"the time changed", []string{strings.Replace(good, "t=", "t=1", 1)}, e.Body, false},
		{"the time made new", []string{strings.Replace(sign(noon.Add(-time.Hour), checkouttest.WebhookSecret), "t="+unix(noon.Add(-time.Hour)), "t="+unix(noon), 1)}, e.Body, false},
		{"two times", []string{"t=1," + good}, e.Body, false},
		{"signed as v0", []string{"t=" + unix(noon) + ",v0=" + sum}, e.Body, false},
		{"half a signature", []string{good[:60]}, e.Body, false},
		{"an empty signature", []string{"t=" + unix(noon) + ",v1="}, e.Body, false},
		{"no time", []string{"v1=" + sum}, e.Body, false},
		{"a time that is none", []string{"t=now,v1=" + sum}, e.Body, false},
		{"a huge time", []string{"t=99999999999999999999,v1=" + sum}, e.Body, false},
		{"no header", nil, e.Body, false},
		{"an empty header", []string{""}, e.Body, false},
		{"two headers", []string{good, good}, e.Body, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := stripe.VerifyWebhook(http.Header{"Stripe-Signature": c.header}, c.body, clock.now())
			if c.ok {
				require.NoError(t, err)
				require.Equal(t, checkout.Paid, got.Kind)
				return
			}
			require.ErrorIs(t, err, checkout.ErrSignature)
			require.Equal(t, checkout.Event{}, got, "nothing of it is handed on")
			require.NotContains(t, err.Error(), "whsec")
		})
	}
	header := server.Header(e)
	clock.add(10 * time.Minute)
	_, err := stripe.VerifyWebhook(header, e.Body, clock.now())
	require.ErrorIs(t, err, checkout.ErrSignature, "the same request again, later")
	_, err = stripe.VerifyWebhook(server.Header(e), make([]byte, checkout.MaxWebhookBytes+1), clock.now())
	require.ErrorContains(t, err, "octets")
}

func unix(at time.Time) string {
	s := checkouttest.Sign(nil, at)
	s, _, _ = strings.Cut(s, ",")
	return strings.TrimPrefix(s, "t=")
}

func TestSecretsRoll(t *testing.T) {
	const next = "whsec_thenextsecret0123456789"
	_, stripe, clock, e := paid(t, func(o *checkout.StripeOptions) { o.WebhookSecrets = append(o.WebhookSecrets, next) })
	for _, secret := range []string{checkouttest.WebhookSecret, next} {
		_, err := stripe.VerifyWebhook(http.Header{"Stripe-Signature": {checkouttest.Sign(e.Body, noon, secret)}}, e.Body, clock.now())
		require.NoError(t, err)
	}
}

// TestEvents has each thing that can happen to a payment, and what its last event says.
func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(*checkouttest.Server, string)
		want   []checkout.Kind
		amount billing.Amount
	}{
		{"paid", (*checkouttest.Server).Pay, []checkout.Kind{checkout.Paid}, 4990},
		{"paid later", func(s *checkouttest.Server, id string) { s.PayLater(id); s.Settle(id) }, []checkout.Kind{checkout.Pending, checkout.Paid}, 4990},
		{"not paid later", func(s *checkouttest.Server, id string) { s.PayLater(id); s.FailPayment(id) }, []checkout.Kind{checkout.Pending, checkout.Failed}, 4990},
		{"expired", (*checkouttest.Server).Expire, []checkout.Kind{checkout.Expired}, 4990},
		{"refunded by hand", func(s *checkouttest.Server, id string) { s.Pay(id); s.RefundByHand(id, 990) },
			[]checkout.Kind{checkout.Paid, checkout.RefundDone, checkout.Ignored, checkout.RefundDone}, 990},
		{"a refund that comes back", func(s *checkouttest.Server, id string) { s.Pay(id); s.RefundFails(id, 990) },
			[]checkout.Kind{checkout.Paid, checkout.Ignored, checkout.Ignored, checkout.Ignored, checkout.RefundFailed}, 990},
		{"disputed and won", func(s *checkouttest.Server, id string) { s.Pay(id); s.Dispute(id); s.CloseDispute(id, "won") },
			[]checkout.Kind{checkout.Paid, checkout.Disputed, checkout.DisputeWon}, 4990},
		{"disputed and lost", func(s *checkouttest.Server, id string) { s.Pay(id); s.Dispute(id); s.CloseDispute(id, "lost") },
			[]checkout.Kind{checkout.Paid, checkout.Disputed, checkout.DisputeLost}, 4990},
		{"an inquiry", func(s *checkouttest.Server, id string) { s.Pay(id); s.CloseDispute(id, "warning_closed") },
			[]checkout.Kind{checkout.Paid, checkout.Ignored}, 4990},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, stripe, clock := start(t)
			session, err := stripe.CreateCheckout(t.Context(), order())
			require.NoError(t, err)
			c.do(server, session.ID)
			var kinds []checkout.Kind
			var last checkout.Event
			for _, e := range server.Events() {
				last, err = stripe.VerifyWebhook(server.Header(e), e.Body, clock.now())
				require.NoError(t, err)
				require.Equal(t, e.ID, last.ID)
				kinds = append(kinds, last.Kind)
			}
			require.Equal(t, c.want, kinds)
			require.Equal(t, c.amount, last.Amount)
			require.Equal(t, billing.Currency("EUR"), last.Currency)
			if last.CheckoutID != "" {
				require.Equal(t, session.ID, last.CheckoutID)
				require.Equal(t, order().Reference, last.Reference)
			}
		})
	}
}

func TestEventsThatAreNotOurs(t *testing.T) {
	_, stripe, clock := start(t)
	event := func(kind, object string) string {
		return `{"id":"evt_1","object":"event","type":"` + kind + `","created":1,"livemode":false,"data":{"object":` + object + `}}`
	}
	const session = `{"id":"cs_1","mode":"payment","client_reference_id":"r","amount_total":1,"currency":"eur","payment_status":"paid","payment_intent":"pi_1"}`
	change := func(old, new string) string { return strings.Replace(session, old, new, 1) }
	for _, c := range []struct {
		name, body string
		kind       checkout.Kind
		wrong      string
	}{
		{"good", event("checkout.session.completed", session), checkout.Paid, ""},
		{"the payment whole", event("checkout.session.completed", change(`"pi_1"`, `{"id":"pi_1","object":"payment_intent"}`)), checkout.Paid, ""},
		{"another type", event("customer.created", `{}`), checkout.Ignored, ""},
		{"a subscription of somebody else", event("checkout.session.completed", change("payment", "subscription")), checkout.Ignored, ""},
		{"without our reference", event("checkout.session.completed", change(`"r"`, "null")), checkout.Ignored, ""},
		{"paid without a payment", event("checkout.session.completed", change(`"pi_1"`, "null")), "", "names no payment"},
		{"another state", event("checkout.session.completed", change(`"paid"`, `"maybe"`)), "", "payment status"},
		{"a negative amount", event("checkout.session.completed", change(`:1,"cur`, `:-1,"cur`)), "", "negative"},
		{"half a cent", event("checkout.session.completed", change(`:1,"cur`, `:1.5,"cur`)), "", "evt_1"},
		{"no currency", event("checkout.session.completed", change("eur", "")), "", "is no currency"},
		{"an object that is none", event("checkout.session.completed", `[]`), "", "evt_1"},
		{"a refund without a payment", event("refund.updated", `{"id":"re_1","amount":1,"currency":"eur","status":"succeeded"}`), "", "names no refund"},
		{"live, with a key for tests", strings.Replace(event("checkout.session.completed", session), "false", "true", 1), "", "another mode"},
		{"no event", `{"id":"x","object":"charge","type":"y"}`, "", "no event"},
		{"no JSON", `id=evt_1`, "", "no JSON"},
		{"two documents", event("customer.created", `{}`) + "{}", "", "no JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{"Stripe-Signature": {checkouttest.Sign([]byte(c.body), noon, checkouttest.WebhookSecret)}}
			got, err := stripe.VerifyWebhook(header, []byte(c.body), clock.now())
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				require.NotErrorIs(t, err, checkout.ErrSignature)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.kind, got.Kind)
		})
	}
}

func TestSettles(t *testing.T) {
	e := checkout.Event{Kind: checkout.Paid, Reference: "r", Amount: 4990, Currency: "EUR"}
	require.NoError(t, e.Settles("r", 4990, "EUR"))
	require.ErrorIs(t, e.Settles("r", 4991, "EUR"), checkout.ErrMismatch)
	require.ErrorIs(t, e.Settles("r", 4990, "USD"), checkout.ErrMismatch)
	require.ErrorIs(t, e.Settles("q", 4990, "EUR"), checkout.ErrMismatch)
	e.Kind = checkout.Pending
	require.ErrorIs(t, e.Settles("r", 4990, "EUR"), checkout.ErrMismatch)
}

// books holds payments and refunds as billing.Payment does: by Provider and Reference,
// which are unique.
type books struct {
	mu   sync.Mutex
	rows map[string]billing.Amount
}

func (b *books) endpoint(t *testing.T, p checkout.Provider, now func() time.Time) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, checkout.MaxWebhookBytes))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		e, err := p.VerifyWebhook(r.Header, body, now())
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e.Kind {
		case checkout.Paid:
			b.rows[p.Name()+" "+e.PaymentID] = e.Amount
		case checkout.RefundDone:
			b.rows[p.Name()+" "+e.RefundID] = -e.Amount
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// TestAnyOrderAnyNumber: however often and in whatever order events come, the books
// come out the same.
func TestAnyOrderAnyNumber(t *testing.T) {
	server, stripe, clock := start(t)
	var total billing.Amount
	for i := range 5 {
		session, err := stripe.CreateCheckout(t.Context(), order(func(c *checkout.Checkout) { c.IdempotencyKey += string(rune('a' + i)) }))
		require.NoError(t, err)
		server.PayLater(session.ID)
		server.Settle(session.ID)
		server.RefundByHand(session.ID, int64(100*i+10))
		total += 4990 - billing.Amount(100*i+10)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := &books{rows: map[string]billing.Amount{}}
		events := append(server.Events(), server.Events()...)
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		endpoint := b.endpoint(t, stripe, clock.now)
		statuses, err := server.Send(t.Context(), endpoint.URL, events...)
		require.NoError(t, err)
		require.Equal(t, slices.Repeat([]int{200}, len(events)), statuses)
		require.Len(t, b.rows, 10)
		var sum billing.Amount
		for _, a := range b.rows {
			sum += a
		}
		require.Equal(t, total, sum)
	}
}

func FuzzVerifyWebhook(f *testing.F) {
	stripe, err := checkout.NewStripe(checkout.StripeOptions{SecretKey: checkouttest.SecretKey, WebhookSecrets: []string{checkouttest.WebhookSecret}})
	require.NoError(f, err)
	f.Add("t=1,v1=00", []byte(`{"id":"evt_1","object":"event","type":"refund.updated","livemode":false,"data":{"object":{"id":"re_1","amount":1,"currency":"eur","status":"succeeded","payment_intent":{"id":"pi"}}}}`))
	f.Add("t=1,v1=00", []byte(`{"id":"evt_1","object":"event","type":"checkout.session.completed","livemode":false,"data":{"object":{"id":"cs_1","mode":"payment","client_reference_id":"r","amount_total":100,"currency":"isk","payment_status":"paid","payment_intent":"pi_1"}}}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		_, err := stripe.VerifyWebhook(http.Header{"Stripe-Signature": {header}}, body, noon)
		require.ErrorIs(t, err, checkout.ErrSignature)
		signed := http.Header{"Stripe-Signature": {checkouttest.Sign(body, noon, checkouttest.WebhookSecret)}}
		e, err := stripe.VerifyWebhook(signed, body, noon)
		if err != nil {
			require.Equal(t, checkout.Event{}, e)
			return
		}
		require.NotEmpty(t, e.ID)
		require.GreaterOrEqual(t, e.Amount, billing.Amount(0))
		if e.Kind == checkout.Paid || e.Kind == checkout.RefundDone {
			require.NotEmpty(t, e.PaymentID)
		}
	})
}
