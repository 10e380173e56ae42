package httpserver

import (
	"fmt"
	"net/http"
	"time"
)

// Route is what is special about some requests.
type Route struct {
	// Pattern selects requests as one of [http.ServeMux] does, e.g.
	// "POST /api/v1/users/import" or "/api/v1/auth/". The most specific one decides.
	Pattern string
	// BodyBytes bounds the body. Zero: Options.BodyBytes.
	BodyBytes int64
	// Stream is for long bodies and answers: there is no deadline as long as the client
	// makes progress.
	Stream bool
	// Uncompressed keeps the answer as it is. Compression gives away by the length what
	// an answer with a secret has in common with text that an attacker chose (BREACH,
	// CVE-2013-3587), so answers with tokens go without.
	Uncompressed bool
}

// routeTable finds the Route of a request.
type routeTable struct {
	mux       *http.ServeMux
	byPattern map[string]*Route
}

func newRouteTable(list []Route) (t *routeTable, err error) {
	t = &routeTable{mux: http.NewServeMux(), byPattern: map[string]*Route{}}
	defer func() { // ServeMux panics on a pattern that is wrong or there twice
		if wrong := recover(); wrong != nil {
			t, err = nil, fmt.Errorf("httpserver: routes: %v", wrong)
		}
	}()
	for _, route := range list {
		t.mux.Handle(route.Pattern, http.NotFoundHandler())
		t.byPattern[route.Pattern] = &route
	}
	return t, nil
}

var ordinary Route

// of returns the request's route; never nil.
func (t *routeTable) of(r *http.Request) *Route {
	if _, pattern := t.mux.Handler(r); pattern != "" {
		return t.byPattern[pattern]
	}
	return &ordinary
}

// limits are what bounds a request that no Route speaks of.
type limits struct {
	bodyBytes int64
	deadline  time.Duration
	patience  time.Duration
}
