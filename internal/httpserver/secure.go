package httpserver

import "net/http"

// Headers that tell a browser to make nothing of an answer but what it is. A handler may
// set a Content-Security-Policy of its own over this one.
var security = [...][2]string{
	{"X-Content-Type-Options", "nosniff"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Permissions-Policy", "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()"},
}

// transportSecurity tells a browser to come by TLS only, for two years (RFC 6797). It is
// not for plain HTTP (section 7.2).
const transportSecurity = "max-age=63072000; includeSubDomains"

// secureHeaders sets the security headers.
func secureHeaders(next http.Handler, proxies proxies) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, header := range security {
			w.Header().Set(header[0], header[1])
		}
		if proxies.secure(r) {
			w.Header().Set("Strict-Transport-Security", transportSecurity)
		}
		next.ServeHTTP(w, r)
	})
}
