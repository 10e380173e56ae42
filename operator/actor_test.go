package operator

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestActorOfContext(t *testing.T) {
	assert.Equal(t, Actor{Kind: ActorSystem}, ActorOf(t.Context()))
	a := Actor{Kind: ActorOperator, ID: uuid.New(), Name: "ann"}
	assert.Equal(t, a, ActorOf(WithActor(t.Context(), a)))
	renamed := a
	renamed.Name = "anna"
	assert.Equal(t, a.Key(), renamed.Key())
	assert.NotEqual(t, a.Key(), Actor{Kind: ActorLocal, Name: "ann"}.Key())
}

func TestActorKindNames(t *testing.T) {
	for _, kind := range []ActorKind{ActorSystem, ActorOperator, ActorToken, ActorLocal} {
		text, err := kind.MarshalText()
		require.NoError(t, err)
		var got ActorKind
		require.NoError(t, got.UnmarshalText(text))
		assert.Equal(t, kind, got)
	}
	_, err := ParseActorKind("nobody")
	assert.Error(t, err)
}

func TestIdempotencyOfContext(t *testing.T) {
	_, ok := IdempotencyOf(t.Context())
	assert.False(t, ok)
	_, ok = IdempotencyOf(WithIdempotency(t.Context(), IdempotencyKey{}))
	assert.False(t, ok, "an empty key is none")
	key := IdempotencyKey{Key: "k", Operation: "createUser"}
	got, ok := IdempotencyOf(WithIdempotency(context.Background(), key))
	assert.True(t, ok)
	assert.Equal(t, key, got)
}
