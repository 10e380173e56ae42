package checkouttest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Event is a webhook to be sent.
type Event struct {
	ID, Type string
	Body     []byte
}

// Events returns all events so far, in the order in which things happened.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

// Last returns the event that came last.
func (s *Server) Last() Event {
	events := s.Events()
	return events[len(events)-1]
}

// Sign returns the header Stripe-Signature for a body, signed at a time with each of
// the secrets.
func Sign(body []byte, at time.Time, secrets ...string) string {
	header := fmt.Sprintf("t=%d", at.Unix())
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
		header += ",v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	return header + ",v0=" + strings.Repeat("0", 64)
}

// Header returns the headers that an event is sent with now.
func (s *Server) Header(e Event) http.Header {
	return http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Stripe-Signature": {Sign(e.Body, s.Now(), WebhookSecret)}}
}

// Send posts events to an endpoint in the order they are given, signed now, and returns
// the status of each answer. An event may be given more than once.
func (s *Server) Send(ctx context.Context, endpoint string, events ...Event) ([]int, error) {
	var statuses []int
	for _, e := range events {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(e.Body))
		if err != nil {
			return statuses, err
		}
		req.Header = s.Header(e)
		answer, err := s.Client().Do(req)
		if err != nil {
			return statuses, err
		}
		_ = answer.Body.Close() // nothing is read of it
		statuses = append(statuses, answer.StatusCode)
	}
	return statuses, nil
}

// change does something to a session, under the lock. It panics for one that is not
// there: the test is wrong.
func (s *Server) change(id string, f func(*Session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[id]
	if session == nil {
		panic("checkouttest: no session " + id)
	}
	f(session)
}

// complete ends the page; status is paid, or unpaid where the money is to come.
func (s *Server) complete(session *Session, status string) {
	if session.Status != "open" {
		panic("checkouttest: the session is " + session.Status)
	}
	session.Status, session.PaymentStatus = "complete", status
	session.PaymentIntent = s.id("pi_")
	s.payments[session.PaymentIntent] = session
	s.emit("checkout.session.completed", s.sessionObject(session))
}

// Pay has the customer pay by card.
func (s *Server) Pay(id string) {
	s.change(id, func(session *Session) { s.complete(session, "paid") })
}

// PayLater has the customer pay by a method that takes days.
func (s *Server) PayLater(id string) {
	s.change(id, func(session *Session) { s.complete(session, "unpaid") })
}

// Settle has the money of PayLater come.
func (s *Server) Settle(id string) {
	s.change(id, func(session *Session) {
		session.PaymentStatus = "paid"
		s.emit("checkout.session.async_payment_succeeded", s.sessionObject(session))
	})
}

// FailPayment has the money of PayLater not come.
func (s *Server) FailPayment(id string) {
	s.change(id, func(session *Session) {
		s.emit("checkout.session.async_payment_failed", s.sessionObject(session))
	})
}

// Expire ends a page that nobody paid on.
func (s *Server) Expire(id string) {
	s.change(id, func(session *Session) {
		session.Status = "expired"
		s.emit("checkout.session.expired", s.sessionObject(session))
	})
}

// RefundByHand has somebody refund in the provider's own pages.
func (s *Server) RefundByHand(id string, amount int64) {
	s.change(id, func(session *Session) { s.refund(session, amount, "", "succeeded") })
}

// RefundFails has the customer's bank send a refund back.
func (s *Server) RefundFails(id string, amount int64) {
	s.change(id, func(session *Session) {
		refund := s.refund(session, amount, "", "pending")
		refund.Status = "failed"
		session.Refunded -= amount
		s.emit("refund.failed", refundObject(refund))
	})
}

// FailRefund has the customer's bank send back the refund that was made last.
func (s *Server) FailRefund() {
	s.mu.Lock()
	defer s.mu.Unlock()
	refund := s.refunds[len(s.refunds)-1]
	refund.Status = "failed"
	s.payments[refund.PaymentIntent].Refunded -= refund.Amount
	s.emit("refund.failed", refundObject(refund))
}

// Dispute has the customer's bank take the money back.
func (s *Server) Dispute(id string) {
	s.change(id, func(session *Session) { s.emit("charge.dispute.created", disputeObject(session, "needs_response")) })
}

// CloseDispute decides a dispute; status is won or lost.
func (s *Server) CloseDispute(id, status string) {
	s.change(id, func(session *Session) { s.emit("charge.dispute.closed", disputeObject(session, status)) })
}

// refund makes a refund and tells of it, as the provider does: when it is made, and
// again when it is done.
func (s *Server) refund(session *Session, amount int64, reference, status string) *Refund {
	session.Refunded += amount
	r := &Refund{ID: s.id("re_"), PaymentIntent: session.PaymentIntent, Currency: session.Currency, Status: status, Reference: reference, Amount: amount}
	s.refunds = append(s.refunds, r)
	s.emit("refund.created", refundObject(r))
	s.emit("charge.refunded", map[string]any{"id": "ch_" + session.PaymentIntent, "object": "charge", "amount_refunded": session.Refunded})
	s.emit("refund.updated", refundObject(r))
	return r
}

// Card is in the details of the card that all events have, which nobody is to keep.
const Card = "card-details-4242-0b77"

func (s *Server) emit(kind string, object map[string]any) {
	object["payment_method_details"] = map[string]any{"type": "card", "card": map[string]any{"brand": "visa", "last4": Card, "fingerprint": Card}}
	e := Event{ID: s.id("evt_"), Type: kind}
	e.Body = marshal(map[string]any{"id": e.ID, "object": "event", "api_version": "2025-03-31.basil", "type": kind,
		"created": s.Now().Unix(), "livemode": false, "pending_webhooks": 1, "data": map[string]any{"object": object}})
	s.events = append(s.events, e)
}

func (s *Server) sessionObject(session *Session) map[string]any {
	object := map[string]any{"id": session.ID, "object": "checkout.session", "mode": "payment", "client_reference_id": session.Reference,
		"amount_subtotal": session.Amount, "amount_total": session.Amount, "currency": session.Currency, "status": session.Status,
		"payment_status": session.PaymentStatus, "payment_intent": nil, "expires_at": session.ExpiresAt.Unix(), "livemode": false, "url": nil,
		"success_url": session.SuccessURL, "cancel_url": session.CancelURL, "metadata": map[string]string{}}
	if session.Status == "open" {
		object["url"] = s.URL + "/c/pay/" + session.ID
	}
	if session.PaymentIntent != "" {
		object["payment_intent"] = session.PaymentIntent
	}
	return object
}

func refundObject(r *Refund) map[string]any {
	metadata := map[string]string{}
	if r.Reference != "" {
		metadata["reference"] = r.Reference
	}
	return map[string]any{"id": r.ID, "object": "refund", "amount": r.Amount, "currency": r.Currency, "status": r.Status,
		"payment_intent": r.PaymentIntent, "charge": "ch_" + r.PaymentIntent, "metadata": metadata}
}

func disputeObject(session *Session, status string) map[string]any {
	return map[string]any{"id": "dp_" + session.PaymentIntent, "object": "dispute", "amount": session.Amount, "currency": session.Currency,
		"status": status, "payment_intent": session.PaymentIntent, "charge": "ch_" + session.PaymentIntent, "reason": "fraudulent"}
}
