package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// IdempotencyRetention is how long a key is remembered.
const IdempotencyRetention = 24 * time.Hour

// IdempotencyKey marks a request that its sender may send again when it did not get
// the answer: what it creates is created once.
type IdempotencyKey struct {
	// Key is what the sender chose, unique among its requests of a day.
	Key string
	// Operation is what is asked for, as "createUser".
	Operation string
	// RequestHash tells whether a request with the same key is the same request.
	RequestHash [32]byte
}

type idempotencyKey struct{}

// WithIdempotency returns a context in which one thing is created under the key. The
// create that sees it for the first time remembers it, in the same transaction, with
// the actor of the context (ActorOf) and the id of what was created. A later one of
// the same actor fails with a *RepeatedError or with ErrKeyReused and writes nothing.
func WithIdempotency(ctx context.Context, key IdempotencyKey) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// IdempotencyOf returns the key of a context; false: it has none.
func IdempotencyOf(ctx context.Context) (IdempotencyKey, bool) {
	key, ok := ctx.Value(idempotencyKey{}).(IdempotencyKey)
	return key, ok && key.Key != ""
}

// RepeatedError says that the same request was carried out before. What it made can
// be read and answered with.
type RepeatedError struct {
	// EntityID is what was created then.
	EntityID uuid.UUID
}

func (e *RepeatedError) Error() string {
	return fmt.Sprintf("this request was carried out before and made %s", e.EntityID)
}

// ErrKeyReused says that the key was used before, with another request.
var ErrKeyReused = errors.New("the idempotency key was used before with another request")
