package httpserver

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClientAddress(t *testing.T) {
	const proxy, stranger = "192.0.2.1:80", "198.51.100.7:4711"
	for name, test := range map[string]struct {
		peer    string
		headers []string
		want    string
	}{
		"no proxy":                       {stranger, nil, "198.51.100.7"},
		"a stranger's X-Forwarded-For":   {stranger, []string{"X-Forwarded-For", "203.0.113.9"}, "198.51.100.7"},
		"a stranger's Forwarded":         {stranger, []string{"Forwarded", "for=203.0.113.9"}, "198.51.100.7"},
		"a proxy that says nothing":      {proxy, nil, "192.0.2.1"},
		"a proxy's word":                 {proxy, []string{"X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		"what the client made up":        {proxy, []string{"X-Forwarded-For", "127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		"two lines are one list":         {proxy, []string{"X-Forwarded-For", "127.0.0.1", "X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		"two proxies":                    {proxy, []string{"X-Forwarded-For", "203.0.113.9, 192.0.2.2"}, "203.0.113.9"},
		"proxies only":                   {proxy, []string{"X-Forwarded-For", "192.0.2.3, 192.0.2.2"}, "192.0.2.3"},
		"with a port":                    {proxy, []string{"X-Forwarded-For", "203.0.113.9:1234"}, "203.0.113.9"},
		"IPv6":                           {"[2001:db8:ffff::1]:80", []string{"X-Forwarded-For", "2001:db8::9"}, "2001:db8::9"},
		"IPv4 in IPv6":                   {"[::ffff:192.0.2.1]:80", []string{"X-Forwarded-For", "::ffff:203.0.113.9"}, "203.0.113.9"},
		"nonsense":                       {proxy, []string{"X-Forwarded-For", "203.0.113.9, <script>"}, "192.0.2.1"},
		"empty":                          {proxy, []string{"X-Forwarded-For", ""}, "192.0.2.1"},
		"Forwarded":                      {proxy, []string{"Forwarded", `for=127.0.0.1, for="203.0.113.9:80";proto=https`}, "203.0.113.9"},
		"Forwarded, IPv6":                {proxy, []string{"Forwarded", `proto=https; For="[2001:db8::9]:80"`}, "2001:db8::9"},
		"Forwarded, hidden":              {proxy, []string{"Forwarded", `for=203.0.113.9, for=_hidden`}, "192.0.2.1"},
		"a Forwarded that was handed on": {proxy, []string{"Forwarded", "for=127.0.0.1", "X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		"a peer that is no address":      {"@", []string{"X-Forwarded-For", "203.0.113.9"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			var told netip.Addr
			o := options(t, func(http.ResponseWriter, *http.Request) {})
			o.Describe = func(ctx context.Context, _ string, client netip.Addr) context.Context {
				told = client
				return ctx
			}
			ask(chain(t, o), "GET", "/", nil, append([]string{"peer", test.peer}, test.headers...)...)
			require.Equal(t, test.want, told.String())
		})
	}
}
