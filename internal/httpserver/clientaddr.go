package httpserver

import (
	"net/http"
	"net/netip"
	"strings"
)

// proxies are the peers that are believed.
type proxies []netip.Prefix

func (p proxies) trust(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// peer returns the other end of the connection.
func peer(r *http.Request) netip.Addr {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// client returns where a request came from. Each proxy adds the peer that it saw at the
// end, so the list is read from the end for as long as those who wrote are trusted; the
// first address that is no trusted proxy's is the client's. What stands before it may be
// the client's invention.
//
// X-Forwarded-For goes before Forwarded (RFC 7239): of proxies that know one only, nearly
// all know the first, and hand on the other as the client sent it.
func (p proxies) client(r *http.Request) netip.Addr {
	addr := peer(r)
	if len(p) == 0 || !p.trust(addr) {
		return addr
	}
	hops := listed(r.Header.Values("X-Forwarded-For"))
	if len(hops) == 0 {
		hops = forwardedFor(r.Header.Values("Forwarded"))
	}
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break // unknown or hidden on purpose: the proxy is the last that is known
		}
		if addr = hop; !p.trust(addr) {
			break
		}
	}
	return addr
}

// secure reports whether the client's own connection is encrypted, as far as it can be
// known.
func (p proxies) secure(r *http.Request) bool {
	return r.TLS != nil || p.trust(peer(r)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// listed takes the elements of a header of one or several lines apart.
func listed(lines []string) []string {
	var list []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			list = append(list, strings.TrimSpace(element))
		}
	}
	return list
}

// forwardedFor returns the for parameters of Forwarded (RFC 7239 section 4); an element
// without one is an empty text, which is no address.
func forwardedFor(lines []string) []string {
	var hops []string
	for _, element := range listed(lines) {
		hop := ""
		for pair := range strings.SplitSeq(element, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
				hop = strings.Trim(value, `"`)
			}
		}
		hops = append(hops, hop)
	}
	return hops
}

// parseHop reads an address with or without port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1,
// [2001:db8::1], [2001:db8::1]:80.
func parseHop(text string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return addr.Unmap().WithZone(""), err == nil
}
