package checkout

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSignatures bounds what is compared; Stripe sends one for each secret.
const maxSignatures = 16

// VerifyWebhook implements Provider by the header Stripe-Signature: t is when it was
// signed, v1 the HMAC-SHA256 of t, a point and the body.
func (s *Stripe) VerifyWebhook(header http.Header, body []byte, now time.Time) (Event, error) {
	if len(body) > MaxWebhookBytes {
		return Event{}, fmt.Errorf("the webhook has more than %d octets", MaxWebhookBytes)
	}
	if err := s.verify(header.Values("Stripe-Signature"), body, now); err != nil {
		return Event{}, err
	}
	return s.readEvent(body)
}

func (s *Stripe) verify(headers []string, body []byte, now time.Time) error {
	if len(headers) != 1 {
		return fmt.Errorf("%w: want one header Stripe-Signature", ErrSignature)
	}
	var signed string
	var signatures [][]byte
	for part := range strings.SplitSeq(headers[0], ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			if signed != "" {
				return fmt.Errorf("%w: it has two times", ErrSignature)
			}
			signed = value
		case "v1": // v0 is of test events only, and never to be taken
			sum, err := hex.DecodeString(value)
			if err == nil && len(sum) == sha256.Size && len(signatures) < maxSignatures {
				signatures = append(signatures, sum)
			}
		}
	}
	if len(signed) > 15 || strings.Trim(signed, "0123456789") != "" {
		return fmt.Errorf("%w: its time is none", ErrSignature)
	}
	seconds, err := strconv.ParseInt(signed, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: its time is none", ErrSignature)
	}
	if !s.signedBy(signed, body, signatures) {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > s.o.Tolerance || age < -s.o.Tolerance {
		return fmt.Errorf("%w: it was signed %s ago, more than %s", ErrSignature, age.Round(time.Second), s.o.Tolerance)
	}
	return nil
}

// signedBy compares with each secret, in constant time.
func (s *Stripe) signedBy(signed string, body []byte, signatures [][]byte) bool {
	ok := false
	for _, secret := range s.o.WebhookSecrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(signed + "."))
		mac.Write(body)
		sum := mac.Sum(nil)
		for _, signature := range signatures {
			ok = hmac.Equal(sum, signature) || ok
		}
	}
	return ok
}

// What is read of Stripe's objects.
type (
	stripeEvent struct {
		ID       string `json:"id"`
		Object   string `json:"object"`
		Type     string `json:"type"`
		Created  int64  `json:"created"`
		LiveMode bool   `json:"livemode"`
		Data     struct {
			Object json.RawMessage `json:"object"`
		} `json:"data"`
	}
	stripeSession struct {
		ID            string   `json:"id"`
		Mode          string   `json:"mode"`
		URL           string   `json:"url"`
		Reference     string   `json:"client_reference_id"`
		AmountTotal   int64    `json:"amount_total"`
		Currency      string   `json:"currency"`
		PaymentStatus string   `json:"payment_status"`
		PaymentIntent stripeID `json:"payment_intent"`
		ExpiresAt     int64    `json:"expires_at"`
	}
	stripeRefund struct {
		ID            string   `json:"id"`
		Amount        int64    `json:"amount"`
		Currency      string   `json:"currency"`
		Status        string   `json:"status"`
		PaymentIntent stripeID `json:"payment_intent"`
		Metadata      struct {
			Reference string `json:"reference"`
		} `json:"metadata"`
	}
	stripeDispute struct {
		ID            string   `json:"id"`
		Amount        int64    `json:"amount"`
		Currency      string   `json:"currency"`
		Status        string   `json:"status"`
		PaymentIntent stripeID `json:"payment_intent"`
	}
)

// stripeID is the id of an object that stands there as its id, or whole.
type stripeID string

// UnmarshalJSON implements json.Unmarshaler.
func (id *stripeID) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if len(data) > 0 && data[0] == '{' {
		var object struct {
			ID string `json:"id"`
		}
		err := json.Unmarshal(data, &object)
		*id = stripeID(object.ID)
		return err
	}
	return json.Unmarshal(data, (*string)(id))
}

// readEvent reads an event that is known to be Stripe's.
func (s *Stripe) readEvent(body []byte) (Event, error) {
	var got stripeEvent
	if err := json.Unmarshal(body, &got); err != nil {
		return Event{}, fmt.Errorf("the webhook is no JSON that is known: %w", err)
	}
	if got.ID == "" || got.Type == "" || got.Object != "event" {
		return Event{}, errors.New("the webhook is no event")
	}
	if got.LiveMode != s.live {
		return Event{}, fmt.Errorf("the event %.100q is of another mode than the secret key: one is for tests", got.ID)
	}
	e := Event{ID: got.ID, Type: got.Type, Kind: Ignored, At: time.Unix(got.Created, 0).UTC()}
	read, ok := map[string]func(*Event, json.RawMessage) error{
		"checkout.session.completed":               readSession,
		"checkout.session.async_payment_succeeded": readSession,
		"checkout.session.async_payment_failed":    readSession,
		"checkout.session.expired":                 readSession,
		"refund.created":                           readRefund,
		"refund.updated":                           readRefund,
		"refund.failed":                            readRefund,
		"charge.refund.updated":                    readRefund,
		"charge.dispute.created":                   readDispute,
		"charge.dispute.closed":                    readDispute,
	}[got.Type]
	if !ok {
		return e, nil
	}
	if err := read(&e, got.Data.Object); err != nil {
		return Event{}, fmt.Errorf("the event %.100q (%s): %w", got.ID, got.Type, err)
	}
	return e, nil
}

func readSession(e *Event, data json.RawMessage) (err error) {
	var got stripeSession
	if err := json.Unmarshal(data, &got); err != nil {
		return err
	}
	if got.Mode != "payment" || got.Reference == "" {
		return nil // of somebody else who uses the same account
	}
	e.CheckoutID, e.PaymentID, e.Reference = got.ID, string(got.PaymentIntent), got.Reference
	if e.Amount, e.Currency, err = fromStripe(got.AmountTotal, got.Currency); err != nil {
		return err
	}
	switch {
	case e.Type == "checkout.session.expired":
		e.Kind = Expired
	case e.Type == "checkout.session.async_payment_failed":
		e.Kind = Failed
	case got.PaymentStatus == "paid":
		e.Kind = Paid
		if e.PaymentID == "" {
			return errors.New("it is paid and names no payment")
		}
	case got.PaymentStatus == "unpaid" && e.Type == "checkout.session.completed":
		e.Kind = Pending
	default:
		return fmt.Errorf("its payment status is %.40q", got.PaymentStatus)
	}
	return nil
}

func readRefund(e *Event, data json.RawMessage) (err error) {
	var got stripeRefund
	if err := json.Unmarshal(data, &got); err != nil {
		return err
	}
	e.RefundID, e.PaymentID, e.Reference = got.ID, string(got.PaymentIntent), got.Metadata.Reference
	if e.Amount, e.Currency, err = fromStripe(got.Amount, got.Currency); err != nil {
		return err
	}
	if e.RefundID == "" || e.PaymentID == "" {
		return errors.New("it names no refund, or no payment")
	}
	switch got.Status {
	case "succeeded":
		e.Kind = RefundDone
	case "failed", "canceled":
		e.Kind = RefundFailed
	}
	return nil // pending, requires_action: an event will tell
}

func readDispute(e *Event, data json.RawMessage) (err error) {
	var got stripeDispute
	if err := json.Unmarshal(data, &got); err != nil {
		return err
	}
	e.DisputeID, e.PaymentID = got.ID, string(got.PaymentIntent)
	if e.Amount, e.Currency, err = fromStripe(got.Amount, got.Currency); err != nil {
		return err
	}
	if e.DisputeID == "" || e.PaymentID == "" {
		return errors.New("it names no dispute, or no payment")
	}
	switch {
	case strings.HasPrefix(got.Status, "warning"): // an inquiry: no money has moved
	case got.Status == "won":
		e.Kind = DisputeWon
	case got.Status == "lost":
		e.Kind = DisputeLost
	case e.Type == "charge.dispute.created":
		e.Kind = Disputed
	}
	return nil
}
