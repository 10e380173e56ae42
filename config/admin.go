package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// admin checks the admin API's settings.
func (v *validator) admin(a *Admin) {
	v.checkErr("admin.listen", checkListen(a.Listen))
	v.check("admin.listen", a.TLSCertFile != "" || a.Insecure || isLoopback(a.Listen),
		"%q is not loopback, and without TLS passwords and tokens would cross the network in the clear: set admin.tls_cert_file and admin.tls_key_file, or admin.insecure if a proxy before it ends TLS", a.Listen)
	v.check("admin.tls_key_file", (a.TLSCertFile == "") == (a.TLSKeyFile == ""), "admin.tls_cert_file and admin.tls_key_file go together: one of them is empty")
	v.optionalListen("admin.metrics_listen", a.MetricsListen)
	v.prefixes("admin.trusted_proxies", a.TrustedProxies)
	v.prefixes("admin.webhook_allow", a.WebhookAllow)
	for _, origin := range a.CORSOrigins {
		v.checkErr("admin.cors_origins", checkOrigin(origin))
	}
	v.url("admin.traces", a.Traces, "http", "https")

	v.url("admin.oidc.issuer", a.OIDC.Issuer, "https", "http")
	v.url("admin.oidc.redirect_url", a.OIDC.RedirectURL, "https", "http")
	for _, needed := range []struct{ key, value string }{
		{"admin.oidc.client_id", a.OIDC.ClientID}, {"admin.oidc.redirect_url", a.OIDC.RedirectURL},
	} {
		v.check(needed.key, a.OIDC.Issuer == "" || needed.value != "", "is needed with admin.oidc.issuer")
	}
	for _, entry := range a.OIDC.RoleMap {
		claim, role, ok := strings.Cut(entry, "=")
		v.check("admin.oidc.role_map", ok && claim != "" && role != "", "%q: want text=role", entry)
	}
}

// prefixes checks a list of networks.
func (v *validator) prefixes(key string, list []string) {
	for _, text := range list {
		if _, err := parsePrefix(text); err != nil {
			v.fail(key, err)
		}
	}
}

// parsePrefix reads a network, or a single address.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network: want a prefix, like 192.0.2.0/24 or 2001:db8::/32, or an address", text)
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its length: want %s", text, prefix.Masked())
	}
	return prefix, nil
}

// Prefixes turns a list of networks that has been validated into prefixes.
func Prefixes(list []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, text := range list {
		if prefix, err := parsePrefix(text); err == nil {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

// RolesByClaim gives the roles for each text of the role claim.
func (o *OIDC) RolesByClaim() map[string][]string {
	roles := map[string][]string{}
	for _, entry := range o.RoleMap {
		if claim, role, ok := strings.Cut(entry, "="); ok && !slices.Contains(roles[claim], role) {
			roles[claim] = append(roles[claim], role)
		}
	}
	return roles
}

// checkOrigin checks a web origin, as browsers send it.
func checkOrigin(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || text != u.Scheme+"://"+strings.ToLower(u.Host) {
		return fmt.Errorf("%q is not an origin: want a scheme and a host, like https://console.example.net; there is no wildcard", text)
	}
	return nil
}

// isLoopback reports whether an address can be reached from this machine only. A wrong one
// has a problem of its own.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// LoopbackAdmin moves the admin API's address to loopback, keeping the port.
func (c *Config) LoopbackAdmin() error {
	_, port, err := net.SplitHostPort(c.Admin.Listen)
	if err != nil {
		return errors.Join(errors.New("admin.listen"), err)
	}
	if !isLoopback(c.Admin.Listen) {
		c.Admin.Listen = net.JoinHostPort("127.0.0.1", port)
	}
	return nil
}
