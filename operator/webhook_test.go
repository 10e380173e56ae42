package operator

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func someEvent() *Event {
	return &Event{Seq: 7, ID: uuid.New(), At: time.Now().UTC(), Kind: "user.created", EntityKind: "user", Payload: json.RawMessage(`{"entity_name":"alice"}`)}
}

func someHook(url string) *Webhook {
	return &Webhook{ID: uuid.New(), Name: "hook", URL: url, Secret: []byte(strings.Repeat("s", 32)), Enabled: true}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// TestWebhookSignature has the example of the Standard Webhooks specification's own
// libraries.
func TestWebhookSignature(t *testing.T) {
	secret, err := ParseWebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	w := Webhook{Secret: secret}
	got := w.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	assert.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", got)
	w.PreviousSecret = NewWebhookSecret()
	assert.Len(t, strings.Fields(w.signature("m", time.Now(), nil)), 2, "the old secret signs, too")
	again, err := ParseWebhookSecret(FormatWebhookSecret(w.PreviousSecret))
	require.NoError(t, err)
	assert.Equal(t, w.PreviousSecret, again)
}

func TestWebhookSend(t *testing.T) {
	w := someHook("")
	e := someEvent()
	var checked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		mac := hmac.New(sha256.New, w.Secret)
		fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
		assert.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), r.Header.Get("webhook-signature"))
		assert.Equal(t, "evt_"+e.ID.String(), id)
		assert.Equal(t, "application/json", r.Header.Get("content-type"))
		var got map[string]any
		assert.NoError(t, json.Unmarshal(body, &got))
		assert.Equal(t, []any{"user.created", map[string]any{"entity_name": "alice"}}, []any{got["type"], got["data"]})
		checked.Add(1)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	w.URL = server.URL
	s := NewWebhookSender(WebhookSenderOptions{Allow: loopback, RootCAs: roots})
	defer s.Close()
	status, err := s.Send(t.Context(), w, e)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status)
	assert.EqualValues(t, 1, checked.Load())

	strangers := NewWebhookSender(WebhookSenderOptions{Allow: loopback})
	defer strangers.Close()
	_, err = strangers.Send(t.Context(), w, e)
	require.ErrorContains(t, err, "certificate")
}

func TestWebhookSendFails(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(rw, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/gone":
			rw.WriteHeader(http.StatusGone)
		case "/later":
			rw.Header().Set("Retry-After", "120")
			rw.WriteHeader(http.StatusServiceUnavailable)
		case "/endless": // a body without an end is not read to its end
			for range 1000 {
				if _, err := rw.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "/silent":
			<-release
		}
	}))
	defer server.Close()
	defer close(release)
	s := NewWebhookSender(WebhookSenderOptions{Allow: loopback, AllowHTTP: true})
	defer s.Close()
	hasty := NewWebhookSender(WebhookSenderOptions{Allow: loopback, AllowHTTP: true, Timeout: 500 * time.Millisecond})
	defer hasty.Close()
	send := func(path string) *DeliveryError {
		sender := s
		if path == "/silent" {
			sender = hasty
		}
		_, err := sender.Send(t.Context(), someHook(server.URL+path+"?token=canary"), someEvent())
		var failed *DeliveryError
		if err != nil {
			require.ErrorAs(t, err, &failed)
			assert.NotContains(t, err.Error(), "canary")
		}
		return failed
	}
	assert.Equal(t, http.StatusTemporaryRedirect, send("/redirect").Status)
	assert.Zero(t, reached.Load(), "no redirect is followed")
	assert.True(t, send("/gone").Gone)
	assert.Equal(t, 2*time.Minute, send("/later").RetryAfter)
	assert.Nil(t, send("/endless"))
	assert.NotNil(t, send("/silent"))

	strict := NewWebhookSender(WebhookSenderOptions{Allow: loopback})
	defer strict.Close()
	_, err := strict.Send(t.Context(), someHook(server.URL), someEvent())
	require.ErrorContains(t, err, "admin.webhook_allow_http")
	guarded := NewWebhookSender(WebhookSenderOptions{AllowHTTP: true})
	defer guarded.Close()
	t.Setenv("HTTP_PROXY", elsewhere.URL)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
		_, err = guarded.Send(t.Context(), someHook("http://"+net.JoinHostPort(strings.Trim(host, "[]"), port)), someEvent())
		require.ErrorContains(t, err, "webhooks may not go", host)
	}
	response, err := guarded.client.Get(server.URL) // as with a name that was resolved
	if err == nil {
		response.Body.Close()
	}
	require.ErrorContains(t, err, "webhooks may not go")
	assert.Zero(t, reached.Load(), "no proxy is used")
}

func TestInternalAddresses(t *testing.T) {
	for _, text := range []string{
		"127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255",
		"192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
		"::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "fe80::1", "fec0::1",
		"fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "2001:db8::1",
	} {
		assert.NotEmpty(t, internal(netip.MustParseAddr(text)), text)
	}
	for _, text := range []string{"8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1", "2606:4700::1", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8"} {
		assert.Empty(t, internal(netip.MustParseAddr(text)), text)
	}
	s := NewWebhookSender(WebhookSenderOptions{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	assert.NoError(t, s.control("tcp4", "10.1.2.3:443", nil))
	assert.NoError(t, s.control("tcp6", "[::ffff:10.1.2.3]:443", nil))
	assert.Error(t, s.control("tcp4", "10.2.2.3:443", nil))
	assert.Error(t, s.control("tcp6", "[fe80::1%eth0]:443", nil))
	assert.Error(t, s.control("unix", "/run/docker.sock", nil))
}

// TestWebhookCheckURL: what shows without resolving a name is refused before anything is sent.
func TestWebhookCheckURL(t *testing.T) {
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for name, tt := range map[string]struct {
		options WebhookSenderOptions
		url     string
		refused string // empty: it is not
	}{
		"a name":                 {WebhookSenderOptions{}, "https://example.org/hook", ""},
		"a name to be resolved":  {WebhookSenderOptions{}, "https://intranet.example.org", ""},
		"a public address":       {WebhookSenderOptions{}, "https://8.8.8.8:8443/hook", ""},
		"a public IPv6 address":  {WebhookSenderOptions{}, "https://[2606:4700::1]/hook", ""},
		"http":                   {WebhookSenderOptions{}, "http://example.org/hook", "admin.webhook_allow_http"},
		"http is allowed":        {WebhookSenderOptions{AllowHTTP: true}, "http://example.org/hook", ""},
		"private":                {WebhookSenderOptions{}, "https://10.2.0.1/hook", "10.2.0.1 is private"},
		"private of others":      {WebhookSenderOptions{Allow: allowed}, "https://10.2.0.1/hook", "10.2.0.1 is private"},
		"private but allowed":    {WebhookSenderOptions{Allow: allowed}, "https://10.1.0.1/hook", ""},
		"metadata":               {WebhookSenderOptions{AllowHTTP: true}, "http://169.254.169.254/latest", "link-local"},
		"loopback":               {WebhookSenderOptions{}, "https://127.0.0.1:8080", "of this host"},
		"loopback, absolute":     {WebhookSenderOptions{}, "https://127.0.0.1./", "of this host"},
		"IPv6 loopback":          {WebhookSenderOptions{}, "https://[::1]/", "not of the public internet"},
		"IPv4 in IPv6":           {WebhookSenderOptions{}, "https://[::ffff:10.1.0.1]/", "10.1.0.1 is private"},
		"IPv4 in IPv6, allowed":  {WebhookSenderOptions{Allow: allowed}, "https://[::ffff:10.1.0.1]/", ""},
		"an address with a zone": {WebhookSenderOptions{}, "https://[fe80::1%25eth0]/", "not of the public internet"},
		"localhost":              {WebhookSenderOptions{}, "https://LocalHost:8443/", "127.0.0.1 is of this host"},
		"localhost, absolute":    {WebhookSenderOptions{}, "https://localhost./", "of this host"},
		"below localhost":        {WebhookSenderOptions{}, "https://crm.localhost/", "of this host"},
		"no localhost":           {WebhookSenderOptions{}, "https://notlocalhost/", ""},
		"localhost is allowed":   {WebhookSenderOptions{Allow: loopback[:1]}, "https://localhost/", ""},
		"so by IPv6":             {WebhookSenderOptions{Allow: loopback[1:]}, "https://localhost/", ""},
		"only a port":            {WebhookSenderOptions{}, "https://:443/", "of this host"},
		"no URL":                 {WebhookSenderOptions{}, "https://canary%zz", "cannot be used"},
	} {
		s := NewWebhookSender(tt.options)
		err := s.CheckURL(tt.url)
		if tt.refused == "" {
			assert.NoError(t, err, name)
			continue
		}
		var wrong *FieldError
		if assert.ErrorAs(t, err, &wrong, name) {
			assert.Equal(t, "url", wrong.Field, name)
			assert.Contains(t, wrong.Message, tt.refused, name)
			assert.NotContains(t, wrong.Message, "canary", name)
		}
		_, err = s.Send(t.Context(), someHook(tt.url), someEvent())
		assert.ErrorContains(t, err, tt.refused, "%s: nor is it sent to", name)
	}
}

func TestWebhookValidate(t *testing.T) {
	require.NoError(t, someHook("https://example.org/x").Validate())
	for name, tt := range map[string]struct {
		change func(*Webhook)
		field  string
	}{
		"no name":      {func(w *Webhook) { w.Name = "" }, "name"},
		"a line break": {func(w *Webhook) { w.Name = "a\nb" }, "name"},
		"file":         {func(w *Webhook) { w.URL = "file:///etc/passwd" }, "url"},
		"no host":      {func(w *Webhook) { w.URL = "https://" }, "url"},
		"user":         {func(w *Webhook) { w.URL = "https://a:b@example.org" }, "url"},
		"short secret": {func(w *Webhook) { w.Secret = []byte("x") }, "secret"},
		"events":       {func(w *Webhook) { w.Events = []string{"user.*", "User,"} }, "events[1]"},
	} {
		w := someHook("https://example.org/x")
		tt.change(w)
		var wrong *FieldError
		require.True(t, errors.As(w.Validate(), &wrong), name)
		assert.Equal(t, tt.field, wrong.Field, name)
	}
	w := Webhook{Events: []string{"user.*", "plan.updated"}}
	for kind, want := range map[string]bool{"user.created": true, "plan.updated": true, "plan.created": false, "username": false} {
		assert.Equal(t, want, w.Wants(kind), kind)
	}
	assert.True(t, (&Webhook{}).Wants("anything"))
}
