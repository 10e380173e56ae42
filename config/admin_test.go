package config

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdmin(t *testing.T) {
	for name, test := range map[string]struct{ yaml, want string }{
		"loopback":               {`{listen: "127.0.0.1:1"}`, ""},
		"loopback, IPv6":         {`{listen: "[::1]:1"}`, ""},
		"loopback by name":       {`{listen: "localhost:1"}`, ""},
		"all addresses":          {`{listen: ":8080"}`, "in the clear: set admin.tls_cert_file and admin.tls_key_file, or admin.insecure"},
		"a network":              {`{listen: "192.0.2.1:8080"}`, "is not loopback"},
		"a name":                 {`{listen: "radius.example.net:8080"}`, "is not loopback"},
		"with TLS":               {`{listen: ":8443", tls_cert_file: a, tls_key_file: b}`, ""},
		"behind a proxy":         {`{listen: ":8080", insecure: true}`, ""},
		"a certificate only":     {`{tls_cert_file: a}`, "go together"},
		"a key only":             {`{tls_key_file: a}`, "go together"},
		"no address":             {`{listen: ""}`, "is not an address"},
		"a proxy by name":        {`{trusted_proxies: [lb.example.net]}`, "is not a network"},
		"bits behind the length": {`{trusted_proxies: [192.0.2.1/24]}`, "want 192.0.2.0/24"},
		"any origin":             {`{cors_origins: ["*"]}`, "there is no wildcard"},
		"an origin with a path":  {`{cors_origins: ["https://a/"]}`, "is not an origin"},
		"access log":             {`{access_log: loud}`, "is not one of off, failed, all"},
		"traces by gRPC":         {`{traces: "grpc://a:4317"}`, "unknown scheme"},
		"issuer alone":           {`{oidc: {issuer: "https://a"}}`, "admin.oidc.client_id: is needed"},
		"role map":               {`{oidc: {role_map: [noc]}}`, "want text=role"},
		"unknown OIDC key":       {`{oidc: {secret: x}}`, "admin.oidc.secret: unknown key"},
		"OIDC without keys":      {`{oidc: yes}`, "want keys with values, like {issuer: …}"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, "admin: "+test.yaml+"\n"), nil)
			if test.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestAdminLists(t *testing.T) {
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")},
		Prefixes([]string{"192.0.2.0/24", "2001:db8::1"}))
	o := OIDC{RoleMap: []string{"noc=support", "noc=auditor", "boss=owner", "noc=support"}}
	assert.Equal(t, map[string][]string{"noc": {"support", "auditor"}, "boss": {"owner"}}, o.RolesByClaim())
	c := Default()
	c.Admin.Listen = ":8443"
	require.NoError(t, c.LoopbackAdmin())
	assert.Equal(t, "127.0.0.1:8443", c.Admin.Listen)
}
