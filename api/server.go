package api

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"radiusd/dictionary"
	"radiusd/operator"
)

// Options is what the API works on.
type Options struct {
	// Store keeps everything but operators. Required.
	Store Store
	// Operators signs in and manages who may use the API. Required.
	Operators *operator.Service
	// Dictionary knows the attributes of items. Required.
	Dictionary *dictionary.Dictionary

	// Logger takes the errors that clients are not told. Nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Store keeps what the resources are of; each file declares its part.
type Store interface {
	PlanStore
	GroupStore
	NASStore
	UserStore
	NameStore
}

// server implements the operations of the specification: each resource is a type of its
// own, in a file of its own.
type server struct {
	unimplemented
	plans
	groups
	nases
	users
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
	if o.Store == nil || o.Operators == nil || o.Dictionary == nil {
		return nil, errors.New("api: a store, operators and a dictionary are needed")
	}
	spec, err := readSpecification()
	if err != nil {
		return nil, err
	}
	s := &server{
		plans:  plans{spec: spec, dict: o.Dictionary, store: o.Store},
		groups: groups{spec: spec, dict: o.Dictionary, store: o.Store},
		nases:  nases{spec: spec, store: o.Store},
		users:  users{spec: spec, dict: o.Dictionary, store: o.Store, names: o.Store},
	}
	router := newRouter(spec, o.Operators, o.Logger)
	strict := NewStrictHandlerWithOptions(s, nil, StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  router.badRequest,
		ResponseErrorHandlerFunc: router.fail,
	})
	HandlerWithOptions(strict, StdHTTPServerOptions{BaseURL: BasePath, BaseRouter: router, ErrorHandlerFunc: router.badRequest})
	return router, nil
}
