// Package checkouttest is a payment provider for tests: it answers as Stripe's
// documentation says, and lets a test do what customers and banks do.
//
// It checks what a real one checks (the key, the version, the form's fields, amounts,
// idempotency keys), so that a client that passes here sends what is accepted there.
// What it does not do: a page to pay on.
package checkouttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The secrets of every Server.
const (
	SecretKey     = "sk_test_checkouttest0123456789"
	WebhookSecret = "whsec_checkouttest0123456789abcdef"
)

// Server is the provider. Its methods may be called by several goroutines at once.
type Server struct {
	*httptest.Server
	// Now is the time, of events and pages.
	Now func() time.Time

	mu       sync.Mutex
	next     int
	sessions map[string]*Session
	payments map[string]*Session // by payment intent
	refunds  []*Refund
	answers  map[string]answer // by idempotency key
	faults   []Fault
	requests int
	events   []Event
}

// Session is a checkout session as the provider keeps it. Amounts are in its units.
type Session struct {
	ID, Reference, Description, Currency string
	SuccessURL, CancelURL                string
	Amount, Refunded                     int64
	Status, PaymentStatus                string
	PaymentIntent                        string
	ExpiresAt                            time.Time
}

// Refund is a refund as the provider keeps it.
type Refund struct {
	ID, PaymentIntent, Currency, Status, Reference string
	Amount                                         int64
}

// Fault is what the server does with a request instead of answering it.
type Fault struct {
	Status int         // answer with this, and do nothing
	Header http.Header // of that answer
	Lose   bool        // do what was asked, and close the connection without an answer
}

// answer is kept for an idempotency key.
type answer struct {
	request string // path and form
	status  int
	body    []byte
}

// New starts a server on the loopback interface; the caller closes it.
func New(now func() time.Time) *Server {
	s := &Server{Now: now, sessions: map[string]*Session{}, payments: map[string]*Session{}, answers: map[string]answer{}}
	s.Server = httptest.NewServer(s)
	return s
}

// Fail makes the next requests meet these faults, one each.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Requests returns how many requests came.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Sessions returns how many sessions there are.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Session returns a session as it stands; false: there is none.
func (s *Server) Session(id string) (Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.sessions[id]; session != nil {
		return *session, true
	}
	return Session{}, false
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	var fault Fault
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	w.Header().Set("Request-Id", fmt.Sprintf("req_%d", s.requests))
	if fault.Status != 0 {
		for name, values := range fault.Header {
			w.Header()[name] = values
		}
		status, body := failure(fault.Status, "api_error", "", "", "made to fail")
		write(w, status, body)
		return
	}
	status, body := s.answer(w, r)
	if fault.Lose {
		panic(http.ErrAbortHandler)
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

func failure(status int, kind, code, param, message string) (int, []byte) {
	body, err := json.Marshal(map[string]any{"error": map[string]string{"type": kind, "code": code, "param": param, "message": message}})
	if err != nil {
		panic(err)
	}
	return status, body
}

func invalid(code, param, message string) (int, []byte) {
	return failure(http.StatusBadRequest, "invalid_request_error", code, param, message)
}

// answer checks what is the same for all requests, and keeps answers by their keys.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) (int, []byte) {
	if key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || key != SecretKey {
		return failure(http.StatusUnauthorized, "invalid_request_error", "", "", "Invalid API Key provided: "+key)
	}
	if r.Header.Get("Stripe-Version") == "" {
		return invalid("", "", "this server wants the version pinned")
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Method != http.MethodPost {
		return invalid("", "", "want a POST of a form")
	}
	if err := r.ParseForm(); err != nil {
		return invalid("", "", "the form is broken")
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > 255 {
		return invalid("", "", "this server wants an idempotency key of at most 255 characters")
	}
	request := r.URL.Path + "?" + r.PostForm.Encode()
	if kept, ok := s.answers[key]; ok {
		if kept.request != request {
			return failure(http.StatusBadRequest, "idempotency_error", "", "", "the key was used with other parameters")
		}
		w.Header().Set("Idempotent-Replayed", "true")
		return kept.status, kept.body
	}
	var status int
	var body []byte
	switch r.URL.Path {
	case "/v1/checkout/sessions":
		status, body = s.createSession(form{r.PostForm})
	case "/v1/refunds":
		status, body = s.createRefund(form{r.PostForm})
	default:
		return failure(http.StatusNotFound, "invalid_request_error", "", "", "Unrecognized request URL")
	}
	s.answers[key] = answer{request, status, body}
	return status, body
}

// form is what was sent; what has been looked at is known.
type form struct{ url.Values }

func (f form) take(name string) string {
	v := f.Get(name)
	f.Del(name)
	return v
}

// rest is a field that nobody has looked at.
func (f form) rest() string {
	for name := range f.Values {
		return name
	}
	return ""
}

func (s *Server) createSession(f form) (int, []byte) {
	const item = "line_items[0][price_data]"
	session := &Session{Reference: f.take("client_reference_id"), Currency: f.take(item + "[currency]"), Description: f.take(item + "[product_data][name]"),
		SuccessURL: f.take("success_url"), CancelURL: f.take("cancel_url"), Status: "open", PaymentStatus: "unpaid"}
	for _, need := range []struct{ name, value string }{{"success_url", session.SuccessURL}, {item + "[currency]", session.Currency},
		{item + "[product_data][name]", session.Description}} {
		if need.value == "" {
			return invalid("parameter_missing", need.name, "Missing required param: "+need.name)
		}
	}
	if mode := f.take("mode"); mode != "payment" {
		return invalid("", "mode", "this server knows the mode payment alone")
	}
	if len(session.Reference) > 200 {
		return invalid("", "client_reference_id", "too long")
	}
	if session.Currency != strings.ToLower(session.Currency) || len(session.Currency) != 3 {
		return invalid("", item+"[currency]", "Invalid currency")
	}
	quantity, _ := strconv.ParseInt(f.take("line_items[0][quantity]"), 10, 64)
	amount, err := strconv.ParseInt(f.take(item+"[unit_amount]"), 10, 64)
	if err != nil || amount <= 0 || quantity != 1 || amount > 99999999 {
		return invalid("parameter_invalid_integer", item+"[unit_amount]", "Invalid integer")
	}
	if !chargeable(amount, session.Currency) {
		return invalid("", item+"[unit_amount]", "Invalid amount for the currency")
	}
	session.Amount = amount
	now := s.Now()
	session.ExpiresAt = now.Add(24 * time.Hour)
	if text := f.take("expires_at"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		session.ExpiresAt = time.Unix(seconds, 0)
		if in := session.ExpiresAt.Sub(now); err != nil || in < 30*time.Minute-time.Second || in > 24*time.Hour {
			return invalid("", "expires_at", "want 30 minutes to 24 hours from now")
		}
	}
	for _, known := range []string{"customer_email", "locale", "payment_intent_data[description]", "payment_intent_data[metadata][reference]"} {
		f.take(known)
	}
	if unknown := f.rest(); unknown != "" {
		return invalid("parameter_unknown", unknown, "Received unknown parameter: "+unknown)
	}
	session.ID = s.id("cs_test_")
	s.sessions[session.ID] = session
	return http.StatusOK, marshal(s.sessionObject(session))
}

// chargeable is the rule for amounts of currencies without decimals that are sent with
// two, and of those with three.
func chargeable(amount int64, currency string) bool {
	switch currency {
	case "isk", "ugx":
		return amount%100 == 0
	case "bhd", "jod", "kwd", "omr", "tnd":
		return amount%10 == 0
	}
	return true
}

func (s *Server) createRefund(f form) (int, []byte) {
	session := s.payments[f.take("payment_intent")]
	if session == nil {
		return invalid("resource_missing", "payment_intent", "No such payment_intent")
	}
	amount, err := strconv.ParseInt(f.take("amount"), 10, 64)
	if err != nil || amount <= 0 || !chargeable(amount, session.Currency) {
		return invalid("parameter_invalid_integer", "amount", "Invalid integer")
	}
	if amount > session.Amount-session.Refunded {
		return invalid("charge_already_refunded", "amount", "greater than what is left of the charge")
	}
	reference := f.take("metadata[reference]")
	if unknown := f.rest(); unknown != "" {
		return invalid("parameter_unknown", unknown, "Received unknown parameter: "+unknown)
	}
	refund := s.refund(session, amount, reference, "succeeded")
	return http.StatusOK, marshal(refundObject(refund))
}

func (s *Server) id(prefix string) string {
	s.next++
	return fmt.Sprintf("%s%06d", prefix, s.next)
}

func marshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return body
}
