package api

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"radiusd/dictionary"
)

// Options is what the API works on. All stores are required.
type Options struct {
	// Auth tells who a bearer token stands for.
	Auth Authenticator
	// Dictionary knows the attributes of items. Required.
	Dictionary *dictionary.Dictionary

	Plans  PlanStore
	Groups GroupStore
	NASes  NASStore

	// Logger takes the errors that clients are not told. Nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// server implements the operations of the specification: each resource is a type of its
// own, in a file of its own.
type server struct {
	unimplemented
	plans
	groups
	nases
}

// unimplemented stands in for nothing: TestEveryOperationIsImplemented fails if one of
// its methods is reached.
type unimplemented struct{ gaps }

type gaps struct{ StrictServerInterface }

// New returns the API's handler, for all of BasePath.
func New(o Options) (http.Handler, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Auth == nil {
		return nil, errors.New("api: no authenticator is given")
	}
	spec, err := readSpecification()
	if err != nil {
		return nil, err
	}
	s := &server{
		plans:  plans{spec: spec, dict: o.Dictionary, store: o.Plans},
		groups: groups{spec: spec, dict: o.Dictionary, store: o.Groups},
		nases:  nases{spec: spec, store: o.NASes},
	}
	router := newRouter(spec, o.Auth, o.Logger)
	strict := NewStrictHandlerWithOptions(s, nil, StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  router.badRequest,
		ResponseErrorHandlerFunc: router.fail,
	})
	HandlerWithOptions(strict, StdHTTPServerOptions{BaseURL: BasePath, BaseRouter: router, ErrorHandlerFunc: router.badRequest})
	return router, nil
}
