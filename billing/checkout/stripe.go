package checkout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"radiusd/billing"
)

// StripeVersion is the version of Stripe's API that requests are written for. Create
// the webhook endpoint with the same one.
const StripeVersion = "2025-03-31.basil"

// StripeEvents are the types of events that the webhook endpoint is to be sent.
func StripeEvents() []string {
	return []string{
		"checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
		"checkout.session.expired", "refund.created", "refund.updated", "refund.failed",
		"charge.dispute.created", "charge.dispute.closed",
	}
}

// StripeOptions are what the Stripe client needs.
type StripeOptions struct {
	// SecretKey is sk_… or, with rights on checkout sessions and refunds alone, rk_….
	SecretKey string
	// WebhookSecrets are whsec_…; more than one while one replaces another.
	WebhookSecrets []string
	// URL of the API; empty: https://api.stripe.com.
	URL string
	// Timeout is of one request; 0: 20 s.
	Timeout time.Duration
	// Retries are how often a request is sent again; negative: never, 0: 3 times.
	Retries int
	// RetryAfter is how long it waits before the first repetition, and then twice as
	// long each time, up to 8 s; 0: 500 ms.
	RetryAfter time.Duration
	// Tolerance is how old a webhook may be; 0: 5 minutes.
	Tolerance time.Duration
	// Transport carries the requests; nil: http.DefaultTransport.
	Transport http.RoundTripper
}

// Stripe takes payments by Stripe's Checkout. It is a Provider.
type Stripe struct {
	o      StripeOptions
	client *http.Client
	live   bool
}

var _ Provider = (*Stripe)(nil)

// NewStripe returns a client, or all that is wrong with the options, joined.
func NewStripe(o StripeOptions) (*Stripe, error) {
	var errs []error
	kind, mode, ok := strings.Cut(o.SecretKey, "_")
	mode, _, _ = strings.Cut(mode, "_")
	if !ok || kind != "sk" && kind != "rk" || mode != "live" && mode != "test" || strings.ContainsAny(o.SecretKey, " \r\n\t") {
		errs = append(errs, errors.New("stripe: the secret key: want one that begins with sk_live_, rk_live_, sk_test_ or rk_test_"))
	}
	if len(o.WebhookSecrets) == 0 {
		errs = append(errs, errors.New("stripe: the webhook secret is missing"))
	}
	for _, s := range o.WebhookSecrets {
		if !strings.HasPrefix(s, "whsec_") || len(s) < len("whsec_")+16 {
			errs = append(errs, errors.New("stripe: the webhook secret: want one that begins with whsec_"))
		}
	}
	if o.URL == "" {
		o.URL = "https://api.stripe.com"
	}
	if err := checkURL(o.URL); err != nil {
		errs = append(errs, fmt.Errorf("stripe: url: %w", err))
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Retries == 0 {
		o.Retries = 3
	}
	if o.RetryAfter == 0 {
		o.RetryAfter = 500 * time.Millisecond
	}
	if o.Tolerance == 0 {
		o.Tolerance = 5 * time.Minute
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	o.URL = strings.TrimSuffix(o.URL, "/")
	return &Stripe{o: o, live: mode == "live", client: &http.Client{
		Transport: o.Transport, Timeout: o.Timeout,
		// A redirect would carry the request, and maybe the key, to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// checkURL wants https, or a server on this machine.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("%.100q is no URL", s)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return fmt.Errorf("%.100q: want https", s)
	}
	return nil
}

// Name implements Provider.
func (s *Stripe) Name() string { return "stripe" }

// CreateCheckout implements Provider by a Checkout Session in the mode payment.
func (s *Stripe) CreateCheckout(ctx context.Context, c Checkout) (Session, error) {
	amount, err := toStripe(c.Amount, c.Currency)
	if err != nil {
		return Session{}, billing.Refuse(billing.CodeCardAmount, "%v", err)
	}
	if err := c.validate(); err != nil {
		return Session{}, fmt.Errorf("create a checkout: %w", err)
	}
	currency := strings.ToLower(string(c.Currency))
	form := url.Values{
		"mode":                                   {"payment"},
		"client_reference_id":                    {c.Reference},
		"success_url":                            {c.SuccessURL},
		"cancel_url":                             {c.CancelURL},
		"line_items[0][quantity]":                {"1"},
		"line_items[0][price_data][currency]":    {currency},
		"line_items[0][price_data][unit_amount]": {strconv.FormatInt(amount, 10)},
		"line_items[0][price_data][product_data][name]": {c.Description},
		"payment_intent_data[description]":              {c.Description},
		"payment_intent_data[metadata][reference]":      {c.Reference},
	}
	if c.Email != "" {
		form.Set("customer_email", c.Email)
	}
	if c.Language != "" {
		form.Set("locale", c.Language)
	}
	if !c.ExpiresAt.IsZero() {
		form.Set("expires_at", strconv.FormatInt(c.ExpiresAt.Unix(), 10))
	}
	var got stripeSession
	if err := s.post(ctx, "/v1/checkout/sessions", form, c.IdempotencyKey, &got); err != nil {
		return Session{}, fmt.Errorf("create a checkout for %q: %w", c.Reference, err)
	}
	if got.ID == "" || checkURL(got.URL) != nil || got.AmountTotal != amount || got.Currency != currency {
		return Session{}, fmt.Errorf("create a checkout for %q: the provider's answer is not for what was asked", c.Reference)
	}
	return Session{ID: got.ID, URL: got.URL, ExpiresAt: time.Unix(got.ExpiresAt, 0).UTC()}, nil
}

// validate reports all that is wrong with what is asked for, joined.
func (c *Checkout) validate() error {
	var errs []error
	if err := checkReference(c.Reference); err != nil {
		errs = append(errs, err)
	}
	if c.Description == "" || len(c.Description) > 500 {
		errs = append(errs, errors.New("the description must have 1 to 500 octets"))
	}
	for _, u := range []string{c.SuccessURL, c.CancelURL} {
		if err := checkURL(u); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, checkKey(c.IdempotencyKey))...)
}

func checkReference(s string) error {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
	if s == "" || len(s) > 200 || strings.Trim(s, letters) != "" {
		return fmt.Errorf("the reference %.40q: want 1 to 200 letters, digits, - and _", s)
	}
	return nil
}

func checkKey(s string) error {
	if s == "" || len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("the idempotency key must have 1 to 255 characters of ASCII, without spaces")
	}
	return nil
}

// Refund implements Provider.
func (s *Stripe) Refund(ctx context.Context, r Refund) (Refunded, error) {
	amount, err := toStripe(r.Amount, r.Currency)
	if err != nil {
		return Refunded{}, err
	}
	if err := errors.Join(checkReference(r.PaymentID), checkReference(r.Reference), checkKey(r.IdempotencyKey)); err != nil {
		return Refunded{}, fmt.Errorf("refund: %w", err)
	}
	form := url.Values{
		"payment_intent":      {r.PaymentID},
		"amount":              {strconv.FormatInt(amount, 10)},
		"metadata[reference]": {r.Reference},
	}
	var got stripeRefund
	if err := s.post(ctx, "/v1/refunds", form, r.IdempotencyKey, &got); err != nil {
		return Refunded{}, fmt.Errorf("refund of payment %q: %w", r.PaymentID, err)
	}
	if got.ID == "" || got.Amount != amount || got.Currency != strings.ToLower(string(r.Currency)) {
		return Refunded{}, fmt.Errorf("refund of payment %q: the provider's answer is not for what was asked", r.PaymentID)
	}
	if got.Status == "failed" || got.Status == "canceled" {
		return Refunded{}, fmt.Errorf("refund of payment %q: it has %s", r.PaymentID, got.Status)
	}
	return Refunded{ID: got.ID, Done: got.Status == "succeeded"}, nil
}

// post sends a form until there is an answer to go by, always with the same key.
func (s *Stripe) post(ctx context.Context, path string, form url.Values, key string, into any) error {
	body := form.Encode()
	for try := 0; ; try++ {
		wait, err := s.send(ctx, path, body, key, into)
		if err == nil || try >= s.o.Retries || wait < 0 {
			return err
		}
		if wait == 0 {
			wait = min(s.o.RetryAfter<<min(try, 10), 8*time.Second)
			wait = wait/2 + rand.N(wait/2+1)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-timer.C:
		}
	}
}

// maxAnswer is the longest answer that is read.
const maxAnswer = 1 << 20

// send sends a form once. With an error it says when to try again: after wait, at a
// time of the caller's choice if that is 0, never if it is negative.
func (s *Stripe) send(ctx context.Context, path, body, key string, into any) (wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL+path, strings.NewReader(body))
	if err != nil {
		return -1, errors.New("the request cannot be made")
	}
	req.Header.Set("Authorization", "Bearer "+s.o.SecretKey)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Stripe-Version", StripeVersion)
	req.Header.Set("User-Agent", "radiusd")
	answer, err := s.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return -1, fmt.Errorf("the payment provider did not answer: %w", ctx.Err())
		}
		return 0, fmt.Errorf("the payment provider cannot be reached: %w", err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return 0, fmt.Errorf("the payment provider's answer broke off: %w", err)
	}
	if len(data) > maxAnswer {
		return -1, fmt.Errorf("the payment provider's answer has more than %d octets", maxAnswer)
	}
	if answer.StatusCode != http.StatusOK {
		return refusal(answer, data)
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
		return -1, errors.New("the payment provider's answer is no JSON that is known")
	}
	return 0, nil
}

// refusal reads an answer that is an error. Its message is left out: it may repeat what
// was sent, the key with it.
func refusal(answer *http.Response, data []byte) (time.Duration, error) {
	var body struct {
		Error struct {
			Type  string `json:"type"`
			Code  string `json:"code"`
			Param string `json:"param"`
		} `json:"error"`
	}
	_ = json.Unmarshal(data, &body) // what does not parse stays empty: the status remains
	e := &Error{Status: answer.StatusCode, Type: word(body.Error.Type), Code: word(body.Error.Code), Param: word(body.Error.Param),
		RequestID: word(answer.Header.Get("Request-Id"))}
	e.Temporary = e.Status == http.StatusConflict || e.Status == http.StatusTooManyRequests || e.Status >= 500
	switch answer.Header.Get("Stripe-Should-Retry") { // Stripe knows better
	case "true":
		e.Temporary = true
	case "false":
		e.Temporary = false
	}
	if !e.Temporary {
		return -1, e
	}
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > 8 {
		seconds = 0
	}
	return time.Duration(seconds) * time.Second, e
}

// word takes a name as the API has them, and nothing else.
func word(s string) string {
	if len(s) > 100 || strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_[].") != "" {
		return ""
	}
	return s
}
