package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"

	"radiusd/operator"
)

// router takes a request to its operation, through the guard and the validation that the
// specification asks for. It is the ServeMux that the generated server registers with.
type router struct {
	spec   *specification
	mux    *http.ServeMux
	auth   *operator.Service
	tell   func(context.Context, operator.Actor) // who makes a request
	logger *slog.Logger
}

func newRouter(spec *specification, o Options) *router {
	return &router{spec: spec, mux: http.NewServeMux(), auth: o.Operators, tell: o.Observe, logger: o.Logger}
}

// HandleFunc registers an operation of the generated server. It panics if the
// specification has none for the pattern: then the generated code is stale.
func (rt *router) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	o := rt.spec.operations[pattern]
	if o == nil {
		panic("api: " + pattern + " is not in openapi.yaml: run go generate ./api")
	}
	rt.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ctx, err := rt.guard(o, r)
		if err == nil {
			r = r.WithContext(ctx)
			err = rt.spec.validate(o, r)
		}
		if err == nil {
			r, err = withIdempotency(o, r)
		}
		if err != nil {
			rt.fail(w, r, err)
			return
		}
		if o.writes() || o.access != public || o.signsIn() {
			w.Header().Set("Cache-Control", "no-store")
		}
		handler(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if escaped := r.URL.EscapedPath(); escaped != path.Clean(escaped) {
		// The mux would redirect, which no client of an API expects.
		rt.fail(w, r, problemf(http.StatusNotFound, "not_found", "there is no such path"))
		return
	}
	handler, pattern := rt.mux.Handler(r)
	if pattern != "" {
		rt.mux.ServeHTTP(w, r)
		return
	}
	// The mux knows whether it is the path or only the method that is unknown.
	answer := &discardBody{header: http.Header{}}
	handler.ServeHTTP(answer, r)
	switch answer.status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", answer.header.Get("Allow"))
		rt.fail(w, r, problemf(answer.status, "method_not_allowed", "this path takes %s", answer.header.Get("Allow")))
	default:
		rt.fail(w, r, problemf(http.StatusNotFound, "not_found", "there is no such path"))
	}
}

// discardBody takes an answer without its body.
type discardBody struct {
	header http.Header
	status int
}

func (d *discardBody) Header() http.Header         { return d.header }
func (d *discardBody) WriteHeader(status int)      { d.status = status }
func (d *discardBody) Write(b []byte) (int, error) { return len(b), nil }

// badRequest answers a request whose parameters or body the generated server cannot
// read.
func (rt *router) badRequest(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		rt.fail(w, r, problemf(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than %d octets", tooLarge.Limit))
		return
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) { // as 1.0, which is an integer to the schema
		rt.fail(w, r, invalidField(wrongType.Field, "%s is not taken here", wrongType.Value))
		return
	}
	rt.fail(w, r, problemf(http.StatusBadRequest, "malformed_request", "%v", err))
}

// fail answers a request with an error.
func (rt *router) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // the client has hung up
	}
	p := problemOf(err)
	id := RequestID(r.Context())
	if p.status >= http.StatusInternalServerError {
		rt.logger.ErrorContext(r.Context(), "a request failed", "request_id", id, "method", r.Method, "route", r.Pattern, "error", fmt.Sprint(p.err))
	}
	writeProblem(w, p, id)
}
