package httpserver

import (
	"context"
	"net/http"
	"net/netip"
)

// note is what is learnt about a request on its way, for log, metrics and trace. It
// belongs to the request's goroutine.
type note struct {
	id     string
	client netip.Addr
	route  string // the pattern that served it; empty: none
	actor  string
}

type noteKey struct{}

// noteOf returns the note of a request; one that nobody reads if it has none.
func noteOf(ctx context.Context) *note {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n
	}
	return &note{}
}

// SetActor tells the access log who makes the request of ctx. It is to be called from
// the goroutine that handles the request.
func SetActor(ctx context.Context, name string) { noteOf(ctx).actor = name }

// describe begins a request: it gets its id and its client's address.
func describe(next http.Handler, proxies proxies, tell func(context.Context, string, netip.Addr) context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := &note{client: proxies.client(r)}
		if trusted := proxies.trust(peer(r)); trusted && saneID(r.Header.Get(requestIDHeader)) {
			n.id = r.Header.Get(requestIDHeader)
		} else {
			n.id = newID()
		}
		w.Header().Set(requestIDHeader, n.id)
		ctx := context.WithValue(r.Context(), noteKey{}, n)
		if tell != nil {
			ctx = tell(ctx, n.id, n.client)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// notePattern keeps the pattern that served the request. A ServeMux writes it into the
// request that it is given, so nothing between here and the mux may copy the request.
func notePattern(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { noteOf(r.Context()).route = r.Pattern }()
		next.ServeHTTP(w, r)
	})
}
