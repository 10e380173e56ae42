package aaa

import (
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/dictionary"
	"radiusd/radius"
)

// AccessOptions are what an Access needs. Directory, Dictionary and Templates are
// required.
type AccessOptions struct {
	Directory  *Directory
	Dictionary *dictionary.Dictionary
	Templates  *Templates
	// Limits counts sessions and usage. Without it, users with a limit or a
	// quota are refused.
	Limits Limits
	// FirstUses begins the validity of vouchers. Without it, new vouchers are refused.
	FirstUses *FirstUses
	// Records takes the decisions; nil: they are not recorded.
	Records *AuthRecorder
	// Location is the time zone of login hours; nil: UTC.
	Location *time.Location
	// RejectDelay is how long after the request an Access-Reject leaves at the
	// earliest; zero: 1 s; negative: at once.
	RejectDelay time.Duration
	// RejectMessages are sent as Reply-Message when a user with the right password
	// is refused for the reason. Others are told nothing.
	RejectMessages map[Reason]string
	// VerifiedCache is how many passwords that were right against a slow hash are
	// remembered, as keyed digests; zero: 10,000; negative: none.
	VerifiedCache int
	// Rand seeds the generators of nonces and must not fail; nil: crypto/rand.
	Rand       io.Reader
	Now        func() time.Time      // nil: the time the request was received
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // nil: discards
}

// Access answers Access-Requests from the directory. It implements
// [radius.Handler].
type Access struct {
	options   AccessOptions
	log       *slog.Logger
	hasher    *hasher
	verified  *verifiedCache // nil: none
	noPlan    *planEntry     // empty: the plan of users without one
	decisions [methodCount][reasonCount]prometheus.Counter
	watches   watches
	guesses   guesses
	exchanges sync.Pool // *exchange
	deferred  func(w *radius.Reply, r *radius.Request)
	// nextUnmade is when to log again that a reply cannot be made, in Unix nanoseconds.
	nextUnmade atomic.Int64
}

// Decision is whether an Access-Request is accepted, and why.
type Decision struct {
	Reason Reason // ReasonAccepted: accepted
	Method Method
	Detail string // for the operator, no secret; may be empty
}

// Accepted reports whether the user gets in.
func (d Decision) Accepted() bool { return d.Reason == ReasonAccepted }

// NewAccess returns a handler for Access-Requests.
func NewAccess(options AccessOptions) (*Access, error) {
	if options.Directory == nil || options.Dictionary == nil || options.Templates == nil {
		return nil, errors.New("access: a directory, a dictionary and templates are required")
	}
	if options.Location == nil {
		options.Location = time.UTC
	}
	if options.RejectDelay == 0 {
		options.RejectDelay = time.Second
	}
	if options.VerifiedCache == 0 {
		options.VerifiedCache = 10_000
	}
	if options.Rand == nil {
		options.Rand = cryptorand.Reader
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Access{options: options, log: options.Logger, noPlan: new(planEntry)}
	a.exchanges.New = a.newExchange
	a.deferred = func(w *radius.Reply, r *radius.Request) { a.serve(w, r, true) }
	var err error
	if a.hasher, err = newHasher(); err != nil {
		return nil, err
	}
	if options.VerifiedCache > 0 {
		if a.verified, err = newVerifiedCache(options.VerifiedCache); err != nil {
			return nil, err
		}
	}
	return a, a.register(options.Registerer)
}

// newExchange has a generator of its own, so that no login asks the system for a few
// octets.
func (a *Access) newExchange() any {
	var seed [32]byte
	if _, err := io.ReadFull(a.options.Rand, seed[:]); err != nil {
		panic("access: no random numbers: " + err.Error()) // crypto/rand never fails
	}
	return &exchange{random: rand.NewChaCha8(seed)}
}

// register makes a counter for each method and reason, so that counting a
// decision looks nothing up.
func (a *Access) register(r prometheus.Registerer) error {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "radiusd_auth_decisions_total",
		Help: "Decisions about Access-Requests by authentication method and reason.",
	}, []string{"method", "reason"})
	for m := range a.decisions {
		for reason := range a.decisions[m] {
			a.decisions[m][reason] = decisions.WithLabelValues(Method(m).String(), Reason(reason).String())
		}
	}
	if r == nil {
		return nil
	}
	if err := r.Register(decisions); err != nil {
		return fmt.Errorf("register metrics of access: %w", err)
	}
	return nil
}

// PrepareRADIUS implements [radius.Preparer]: the users of the batch are on their way
// from memory while the first of them is decided upon.
func (a *Access) PrepareRADIUS(packets []radius.Packet) {
	users := a.options.Directory.users.Load()
	var names [prefetchMost][]byte
	n := 0
	for _, p := range packets {
		if p.Code() != radius.AccessRequest || n == len(names) {
			continue
		}
		if name, ok := p.Attributes().Get(radius.TypeUserName); ok {
			names[n] = name
			n++
		}
	}
	users.prefetch(names[:n])
}

// ServeRADIUS answers an Access-Request.
func (a *Access) ServeRADIUS(w *radius.Reply, r *radius.Request) { a.serve(w, r, false) }

// serve decides and answers. What takes long is put off unless mayBlock; then the
// whole decision is made again, off the listener.
func (a *Access) serve(w *radius.Reply, r *radius.Request, mayBlock bool) {
	if r.Packet.Code() != radius.AccessRequest {
		w.Discard(radius.DiscardHandler)
		return
	}
	x := a.exchanges.Get().(*exchange)
	defer a.exchanges.Put(x)
	defer x.release()
	x.begin(a, r, mayBlock)
	decision := a.answer(w, x)
	if x.deferred {
		w.Defer(a.deferred)
		return
	}
	a.decisions[decision.Method][decision.Reason].Inc()
	if a.options.Records != nil {
		a.options.Records.add(x, decision)
	}
	if a.watches.active.Load() {
		a.watches.publish(a, w, x, decision)
	}
	w.Send()
}

// answer decides and fills in the reply, unless the decision is put off.
func (a *Access) answer(w *radius.Reply, x *exchange) Decision {
	decision := a.decide(x)
	if x.deferred {
		return decision
	}
	if decision.Accepted() {
		err := a.accept(w, x)
		if err == nil && x.begins {
			if err = a.options.FirstUses.begin(x.account, x.now); err != nil {
				w.Reset()
			}
		}
		if err != nil {
			decision = x.refuse(ReasonInternal, err.Error())
			a.logUnmade(x, err)
			if x.reserved {
				a.options.Limits.Release(x.account.name(), x.nonce)
			}
		}
	}
	if !decision.Accepted() {
		a.reject(w, x, decision)
	}
	return decision
}

// logUnmade tells that a reply could not be made, once a minute: a plan that is at
// fault has many users. Their auth records have the rest.
func (a *Access) logUnmade(x *exchange, err error) {
	now, next := x.request.Received.UnixNano(), a.nextUnmade.Load()
	if now < next || !a.nextUnmade.CompareAndSwap(next, now+int64(time.Minute)) {
		return
	}
	a.log.Error("reply cannot be made: refused (not repeated for a minute, for other users either)",
		"user", x.account.name(), "plan", x.plan.plan.Name, "nas", x.request.NAS.Name, "error", err)
}

// decide is the way of an Access-Request from top to bottom.
func (a *Access) decide(x *exchange) Decision {
	if d := a.identify(x); !d.Accepted() {
		return d
	}
	a.gather(x)
	if d := a.authenticate(x); !d.Accepted() || x.deferred {
		x.step = stepAuthenticate
		return d
	}
	return a.authorize(x)
}
