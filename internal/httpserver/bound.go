package httpserver

import (
	"context"
	"fmt"
	"net/http"
)

// boundInFlight answers 503 to requests beyond so many at once. Streams are counted apart,
// since they last: a few exports must not keep the short requests out.
func boundInFlight(next http.Handler, routes *routeTable, most, mostStreams int) http.Handler {
	short, streams := make(chan struct{}, most), make(chan struct{}, mostStreams)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		places := short
		if routes.of(r).Stream {
			places = streams
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			writeProblem(w, r, http.StatusServiceUnavailable, "busy", "too many requests are being handled: try again")
		}
	})
}

// bound holds a request to the size of its body and to its time.
func bound(next http.Handler, routes *routeTable, l limits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := routes.of(r)
		bodyBytes := or(route.BodyBytes, l.bodyBytes)
		if r.ContentLength > bodyBytes {
			w.Header().Set("Connection", "close") // the rest of the body is not read
			writeProblem(w, r, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d octets", bodyBytes))
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, bodyBytes)
		}
		if route.Stream {
			w, r = withProgress(w, r, l.patience)
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), l.deadline)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
