package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// Options says how a Service works.
type Options struct {
	// Store keeps everything. Required.
	Store Store
	// Issuer is who signs the tokens, and the name that apps show beside TOTP codes.
	// It must be the same in all processes. Empty: "radiusd".
	Issuer string
	// Notify takes what happened at sign-in. It must be fast. Nil: nobody listens.
	Notify func(ctx context.Context, event SignInEvent)
	// Logger takes what the one who runs the server should know. Nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Service signs operators in and manages them. It is safe for concurrent use; any
// number of processes may work on one store.
type Service struct {
	store     Store
	issuer    string
	notify    func(context.Context, SignInEvent)
	logger    *slog.Logger
	now       func() time.Time
	random    io.Reader
	hasher    *hasher
	keys      *keyring
	verified  verifiedTokens
	directory *directory
	forgotAt  atomic.Pointer[time.Time]
}

// New returns a Service. It does not use the store yet.
func New(options Options) (*Service, error) {
	if options.Store == nil {
		return nil, errors.New("operator: no store is given")
	}
	s := &Service{
		store: options.Store, issuer: options.Issuer, notify: options.Notify, logger: options.Logger, now: options.Now,
		random: rand.Reader, hasher: newHasher(),
	}
	if s.issuer == "" {
		s.issuer = "radiusd"
	}
	if s.notify == nil {
		s.notify = func(context.Context, SignInEvent) {}
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.keys = &keyring{store: options.Store, now: s.now, random: s.random}
	s.directory = newDirectory(options.Store, s.now, s.logger)
	return s, nil
}

// unavailable words an error of the store for whoever waits to be let in.
func unavailable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// acting makes the changes of ctx those of the principal, unless they are somebody's
// already.
func acting(ctx context.Context, by Principal) context.Context {
	if ActorOf(ctx) == (Actor{}) {
		return WithActor(ctx, by.Actor)
	}
	return ctx
}
