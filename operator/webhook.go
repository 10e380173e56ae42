package operator

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Webhook is a URL that events are posted to, signed as the Standard Webhooks
// specification says (www.standardwebhooks.com).
type Webhook struct {
	ID   uuid.UUID
	Name string
	URL  string
	// Secret is the key of the signatures, 24 to 64 octets.
	Secret []byte
	// PreviousSecret, if set, signs as well, while the receiver changes to Secret.
	PreviousSecret []byte
	// Events are kinds of events, or beginnings of such as user.*; empty: all.
	Events  []string
	Enabled bool
	// DisabledReason says why radiusd has disabled it; empty: it has not.
	DisabledReason       string
	CreatedAt, UpdatedAt time.Time
}

// webhookSecretPrefix marks a secret in text.
const webhookSecretPrefix = "whsec_"

// NewWebhookSecret returns a random secret.
func NewWebhookSecret() []byte {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		panic(err) // crypto/rand never fails
	}
	return secret
}

// FormatWebhookSecret writes a secret as receivers take it: whsec_ and base64.
func FormatWebhookSecret(secret []byte) string {
	return webhookSecretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// ParseWebhookSecret reads a secret as FormatWebhookSecret writes it.
func ParseWebhookSecret(text string) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, webhookSecretPrefix))
	if err != nil || !strings.HasPrefix(text, webhookSecretPrefix) {
		return nil, errors.New("the secret is not whsec_ and base64")
	}
	if err := checkWebhookSecret(secret); err != nil {
		return nil, fmt.Errorf("the secret %w", err)
	}
	return secret, nil
}

func checkWebhookSecret(secret []byte) error {
	if len(secret) < 24 || len(secret) > 64 {
		return fmt.Errorf("has %d octets: want 24 to 64", len(secret))
	}
	return nil
}

// Validate reports all that is wrong with the webhook, as joined *FieldError. Where it may
// lead is the sender's matter: see [WebhookSender.CheckURL].
func (w *Webhook) Validate() error {
	var errs []error
	fail := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	if w.Name == "" || len(w.Name) > 253 || !utf8.ValidString(w.Name) || strings.ContainsFunc(w.Name, unicode.IsControl) {
		fail("name", "is not a text of 1 to 253 octets")
	}
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		fail("url", "is not one like https://example.org/hook") // not the URL itself: it may hold a token
	case u.User != nil:
		fail("url", "must not hold a user and password")
	case len(w.URL) > 2048:
		fail("url", "is longer than 2048 octets")
	}
	if err := checkWebhookSecret(w.Secret); err != nil {
		fail("secret", "%v", err)
	}
	if err := checkWebhookSecret(w.PreviousSecret); w.PreviousSecret != nil && err != nil {
		fail("previous_secret", "%v", err)
	}
	for i, pattern := range w.Events {
		if name := strings.TrimSuffix(pattern, ".*"); name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_.") != "" {
			fail(fmt.Sprintf("events[%d]", i), "%q is not a kind like user.created or user.*", pattern)
		}
	}
	return errors.Join(errs...)
}

// Wants reports whether the webhook takes events of a kind.
func (w *Webhook) Wants(kind string) bool {
	for _, pattern := range w.Events {
		if beginning, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(kind, beginning) || kind == pattern {
			return true
		}
	}
	return len(w.Events) == 0
}

// signature is the header webhook-signature: one signature for each secret.
func (w *Webhook) signature(id string, at time.Time, body []byte) string {
	var list []string
	for _, secret := range [][]byte{w.Secret, w.PreviousSecret} {
		if secret == nil {
			continue
		}
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "%s.%s.", id, strconv.FormatInt(at.Unix(), 10))
		mac.Write(body)
		list = append(list, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(list, " ")
}

// DeliveryState is how a delivery to a webhook stands.
type DeliveryState string

// The states of deliveries.
const (
	// DeliveryRequested: somebody has asked for it, and it waits.
	DeliveryRequested DeliveryState = "requested"
	// DeliveryDone: the receiver has answered 2xx.
	DeliveryDone DeliveryState = "delivered"
	// DeliveryFailed: this attempt was in vain.
	DeliveryFailed DeliveryState = "failed"
)

// Delivery is an attempt to deliver an event to a webhook, or the wish to do so
// again.
type Delivery struct {
	ID        uint64
	WebhookID uuid.UUID
	EventSeq  uint64
	EventID   uuid.UUID
	EventKind string
	State     DeliveryState
	// Attempt counts from 1; 0: it was asked for.
	Attempt int
	// Status is of HTTP; 0: there was no answer.
	Status   int
	Error    string
	Duration time.Duration
	At       time.Time
}
