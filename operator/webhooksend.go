package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// WebhookSenderOptions says how to send.
type WebhookSenderOptions struct {
	// Allow are networks that webhooks may be in although they are private or
	// otherwise not of the public internet.
	Allow []netip.Prefix
	// AllowHTTP allows URLs without TLS.
	AllowHTTP bool
	// Timeout bounds a delivery; zero: 15 s.
	Timeout time.Duration
	// UserAgent is the header; empty: radiusd.
	UserAgent string
	// Resolver resolves names. Nil: the system's.
	Resolver *net.Resolver
	// RootCAs are the authorities that certificates must be from. Nil: the system's.
	RootCAs *x509.CertPool
}

// WebhookSender posts events. It follows no redirect, uses no proxy, and connects to
// no address of this network: what is checked is the address a connection goes to,
// after the name was resolved. It is safe for concurrent use.
type WebhookSender struct {
	options WebhookSenderOptions
	client  *http.Client
}

// The bounds of an answer. Of its body nothing is kept.
const (
	defaultWebhookTimeout = 15 * time.Second
	maxAnswerHeader       = 64 << 10
	maxAnswerBody         = 64 << 10
	maxRetryAfter         = time.Hour
)

// NewWebhookSender returns a sender.
func NewWebhookSender(options WebhookSenderOptions) *WebhookSender {
	if options.Timeout <= 0 {
		options.Timeout = defaultWebhookTimeout
	}
	if options.UserAgent == "" {
		options.UserAgent = "radiusd"
	}
	s := &WebhookSender{options: options}
	dialer := &net.Dialer{Timeout: options.Timeout, Resolver: options.Resolver, Control: s.control}
	transport := &http.Transport{
		Proxy:                  nil, // a proxy would connect where we must not
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    options.Timeout,
		ResponseHeaderTimeout:  options.Timeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		MaxConnsPerHost:        16,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{RootCAs: options.RootCAs, MinVersion: tls.VersionTLS12},
	}
	s.client = &http.Client{
		Transport:     transport,
		Timeout:       options.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// Close closes idle connections.
func (s *WebhookSender) Close() { s.client.CloseIdleConnections() }

// DeliveryError is why a delivery failed.
type DeliveryError struct {
	Status int // of HTTP; 0: there was no answer
	// RetryAfter is what the receiver asks for; zero: nothing.
	RetryAfter time.Duration
	// Gone means that the receiver wants no more (410 Gone).
	Gone bool
	Err  error
}

func (e *DeliveryError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("the receiver answered %d %s", e.Status, http.StatusText(e.Status))
}

// Unwrap returns what went wrong.
func (e *DeliveryError) Unwrap() error { return e.Err }

// Send posts one event and returns the status of the answer. Every error is a
// *DeliveryError.
func (s *WebhookSender) Send(ctx context.Context, w *Webhook, e *Event) (status int, err error) {
	body, err := json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{e.Kind, e.At.UTC(), e.Payload})
	if err != nil {
		return 0, &DeliveryError{Err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, &DeliveryError{Err: errors.New("the URL cannot be used")}
	}
	if err := s.checkURL(request.URL); err != nil {
		return 0, &DeliveryError{Err: err}
	}
	now := time.Now()
	id := "evt_" + e.ID.String()
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", s.options.UserAgent)
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("Webhook-Signature", w.signature(id, now, body))
	response, err := s.client.Do(request)
	if err != nil {
		var wrapped *url.Error // it quotes the URL, which may hold a token
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return 0, &DeliveryError{Err: err}
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswerBody)) // so that the connection can be used again
	status = response.StatusCode
	if status >= 200 && status < 300 {
		return status, nil
	}
	failed := &DeliveryError{Status: status, Gone: status == http.StatusGone}
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 31); err == nil {
		failed.RetryAfter = min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	return status, failed
}

// CheckURL refuses, with a *FieldError, a URL that nothing would be sent to, as far as that
// shows without resolving its name.
func (s *WebhookSender) CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return &FieldError{"url", "cannot be used"} // the error quotes it, and it may hold a token
	}
	return s.checkURL(u)
}

func (s *WebhookSender) checkURL(u *url.URL) error {
	if u.Scheme != "https" && !s.options.AllowHTTP {
		return &FieldError{"url", "is not https://, which the configuration does not allow (admin.webhook_allow_http)"}
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	var err error
	if addr, notLiteral := netip.ParseAddr(host); notLiteral == nil {
		err = s.checkAddr(addr)
	} else if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 section 6.3
		if err = s.checkAddr(netip.IPv6Loopback()); err != nil {
			err = s.checkAddr(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		}
	}
	if err != nil {
		return &FieldError{"url", "leads where none may: " + err.Error()}
	}
	return nil
}

// control refuses connections to addresses that are not of the public internet.
func (s *WebhookSender) control(network, address string, _ syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return fmt.Errorf("a webhook is reached by TCP, not by %s", network)
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address", address)
	}
	return s.checkAddr(target.Addr())
}

// checkAddr refuses an address that is not of the public internet, nor allowed.
func (s *WebhookSender) checkAddr(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range s.options.Allow {
		if prefix.Contains(addr) {
			return nil
		}
	}
	if reason := internal(addr); reason != "" {
		return fmt.Errorf("%s is %s, where webhooks may not go unless admin.webhook_allow says so", addr, reason)
	}
	return nil
}

// internalNetworks are what is not of the public internet (RFC 6890 and IANA's
// registries of special-purpose addresses). What embeds an IPv4 address is among
// them, since a gateway could turn it into one of the own network.
var internalNetworks = func() (list []internalNetwork) {
	for _, n := range []struct{ prefix, reason string }{
		{"0.0.0.0/8", "of this host"},
		{"10.0.0.0/8", "private"},
		{"100.64.0.0/10", "of a provider's own network (RFC 6598)"},
		{"127.0.0.0/8", "of this host"},
		{"169.254.0.0/16", "link-local"}, // the metadata of cloud machines as well
		{"172.16.0.0/12", "private"},
		{"192.0.0.0/24", "reserved"},
		{"192.0.2.0/24", "for documentation"},
		{"192.88.99.0/24", "of a 6to4 relay"},
		{"192.168.0.0/16", "private"},
		{"198.18.0.0/15", "for benchmarks"},
		{"198.51.100.0/24", "for documentation"},
		{"203.0.113.0/24", "for documentation"},
		{"224.0.0.0/4", "multicast"},
		{"240.0.0.0/4", "reserved"},
		{"::/3", "not of the public internet"}, // unspecified, loopback, IPv4-compatible, NAT64 64:ff9b::/96 and 64:ff9b:1::/48
		{"2001::/23", "reserved"},              // Teredo 2001::/32 as well
		{"2001:db8::/32", "for documentation"},
		{"2002::/16", "a tunnel to IPv4 (6to4)"},
		{"3fff::/20", "for documentation"},
		{"4000::/2", "not of the public internet"},
		{"8000::/1", "not of the public internet"}, // unique local fc00::/7, link-local fe80::/10, multicast ff00::/8
	} {
		list = append(list, internalNetwork{netip.MustParsePrefix(n.prefix), n.reason})
	}
	return list
}()

type internalNetwork struct {
	prefix netip.Prefix
	reason string
}

// internal says what kind of address it is that a webhook must not have; empty: it
// may.
func internal(addr netip.Addr) string {
	addr = addr.Unmap()
	for _, n := range internalNetworks {
		if n.prefix.Contains(addr) {
			return n.reason
		}
	}
	return ""
}
