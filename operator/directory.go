package operator

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	// accessFresh is how long what an operator may do is taken from memory; a change
	// made by another process is in force within this time.
	accessFresh = 30 * time.Second
	// staleLimit is how long it is when the store does not answer. After that nobody
	// is let in: somebody may have been shut out.
	staleLimit = time.Minute
	// accessAgain is how long the store is left alone after it did not answer.
	accessAgain = time.Second
	// maxCachedTokens bounds the API tokens in memory.
	maxCachedTokens = 10_000
)

// directory is what operators and API tokens may do, in memory.
type directory struct {
	store interface {
		OperatorStore
		SessionStore
		TokenStore
	}
	now    func() time.Time
	logger *slog.Logger
	// generation goes up with each change that this process makes.
	generation atomic.Uint64

	mu       sync.Mutex
	snapshot *accessSnapshot
	failedAt time.Time
	tokens   map[uuid.UUID]*cachedToken
}

// accessSnapshot is immutable.
type accessSnapshot struct {
	generation uint64
	at         time.Time
	operators  map[uuid.UUID]Access
	closed     map[uuid.UUID]struct{} // sessions
}

type cachedToken struct {
	generation uint64
	at         time.Time
	token      APIToken
	touchedAt  time.Time
}

func newDirectory(store Store, now func() time.Time, logger *slog.Logger) *directory {
	return &directory{store: store, now: now, logger: logger, tokens: map[uuid.UUID]*cachedToken{}}
}

// invalidate makes a change of this process be in force at once in this process.
func (d *directory) invalidate() { d.generation.Add(1) }

// access returns what is known of all operators, at most accessFresh old, or
// staleLimit if the store does not answer.
func (d *directory) access(ctx context.Context) (*accessSnapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, generation := d.now(), d.generation.Load()
	known := d.snapshot
	if known != nil {
		age := now.Sub(known.at)
		if known.generation == generation && age >= 0 && age < accessFresh {
			return known, nil
		}
		if age >= 0 && age < staleLimit && now.Sub(d.failedAt) < accessAgain {
			return known, nil
		}
	}
	fresh, err := d.load(ctx, now, generation)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d.failedAt = now
		if known != nil && now.Sub(known.at) < staleLimit {
			d.logger.Warn("the operators' permissions cannot be read, those known before are in force", "error", err)
			return known, nil
		}
		return nil, unavailable(err)
	}
	d.snapshot, d.failedAt = fresh, time.Time{}
	return fresh, nil
}

func (d *directory) load(ctx context.Context, now time.Time, generation uint64) (*accessSnapshot, error) {
	list, err := d.store.AccessList(ctx)
	if err != nil {
		return nil, err
	}
	closed, err := d.store.SessionsClosedSince(ctx, now.Add(-AccessTokenLife-time.Minute))
	if err != nil {
		return nil, err
	}
	s := &accessSnapshot{generation: generation, at: now,
		operators: make(map[uuid.UUID]Access, len(list)), closed: make(map[uuid.UUID]struct{}, len(closed))}
	for _, a := range list {
		s.operators[a.OperatorID] = a
	}
	for _, id := range closed {
		s.closed[id] = struct{}{}
	}
	return s, nil
}

// token returns an API token, at most accessFresh old, or staleLimit if the store
// does not answer; touch says that its use is to be noted.
func (d *directory) token(ctx context.Context, id uuid.UUID) (token APIToken, touch bool, err error) {
	now, generation := d.now(), d.generation.Load()
	d.mu.Lock()
	known := d.tokens[id]
	fresh := known != nil && known.generation == generation && now.Sub(known.at) < accessFresh && !now.Before(known.at)
	if fresh {
		token, touch = known.token, known.touch(now)
	}
	d.mu.Unlock()
	if fresh {
		return token, touch, nil
	}
	read, err := d.store.APITokenByID(ctx, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		known = d.tokens[id]
		if !isNotFound(err) && known != nil && now.Sub(known.at) < staleLimit {
			return known.token, false, nil
		}
		delete(d.tokens, id)
		return token, false, err
	}
	if len(d.tokens) >= maxCachedTokens {
		clear(d.tokens)
	}
	cached := &cachedToken{generation: generation, at: now, token: *read, touchedAt: read.LastUsedAt}
	d.tokens[id] = cached
	return cached.token, cached.touch(now), nil
}

// touchEvery is how often the use of an API token is noted.
const touchEvery = time.Minute

// touch reports whether the use of a token at now is to be noted, and takes it as
// noted.
func (c *cachedToken) touch(now time.Time) bool {
	if now.Sub(c.touchedAt) < touchEvery {
		return false
	}
	c.touchedAt = now
	return true
}
