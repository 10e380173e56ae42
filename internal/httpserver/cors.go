package httpserver

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// What pages of allowed origins may send and read.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key"
	corsExposed = "ETag, Location, Retry-After, X-Request-Id"
	corsMaxAge  = "600" // seconds
)

// CheckOrigin returns an error unless the text is one origin as a browser sends it.
func CheckOrigin(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || text != u.Scheme+"://"+strings.ToLower(u.Host) {
		return fmt.Errorf("%q is not an origin: want a scheme and a host only, like https://console.example.net", text)
	}
	return nil
}

// allowOrigins lets pages of other origins read answers (CORS). Credentials that the
// browser adds by itself, like cookies, are never allowed, so a page can do no more than
// it has a token for.
func allowOrigins(next http.Handler, origins []string) (http.Handler, error) {
	for _, origin := range origins {
		if err := CheckOrigin(origin); err != nil {
			return nil, fmt.Errorf("httpserver: %w", err)
		}
	}
	if len(origins) == 0 {
		return next, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); slices.Contains(origins, origin) {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Cross-Origin-Resource-Policy", "cross-origin")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				header.Set("Access-Control-Allow-Methods", corsMethods)
				header.Set("Access-Control-Allow-Headers", corsHeaders)
				header.Set("Access-Control-Max-Age", corsMaxAge)
				w.WriteHeader(http.StatusNoContent)
				return
			}
			header.Set("Access-Control-Expose-Headers", corsExposed)
		}
		next.ServeHTTP(w, r)
	}), nil
}
