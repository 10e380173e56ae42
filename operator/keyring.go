package operator

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// keyLife is how long a key signs.
	keyLife = 30 * 24 * time.Hour
	// keyVerifies is how long a key verifies after another has taken over: longer
	// than any token that it signed lives.
	keyVerifies = time.Hour
	// keysFresh is how long keys that were read are taken as the present ones, and
	// keysAgain how long nothing is read for a key that is not known.
	keysFresh = 30 * time.Second
	keysAgain = time.Second
)

// keyring is the signing keys, shared through the store.
type keyring struct {
	store  KeyStore
	now    func() time.Time
	random io.Reader

	mu     sync.Mutex
	keys   []SigningKey // the newest last
	readAt time.Time
}

// signing returns the key that signs at present. It makes one if there is none, or
// if the last is too old.
func (k *keyring) signing(ctx context.Context) (SigningKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, keysFresh); err != nil {
		return SigningKey{}, err
	}
	newest := k.newest()
	if newest.ID != uuid.Nil && k.now().Sub(newest.CreatedAt) < keyLife {
		return newest, nil
	}
	if err := k.rotate(ctx, newest.ID); err != nil {
		return SigningKey{}, err
	}
	return k.newest(), nil
}

// rotate adds a key after the newest, or finds the one that another process has
// added.
func (k *keyring) rotate(ctx context.Context, follows uuid.UUID) error {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(k.random, seed); err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	now := k.now().UTC()
	if err := k.store.AddSigningKey(ctx, SigningKey{ID: id, Seed: seed, Follows: follows, CreatedAt: now}); err != nil {
		return unavailable(err)
	}
	if err := k.store.RemoveSigningKeys(ctx, now.Add(-keyVerifies)); err != nil {
		return unavailable(err)
	}
	return k.refresh(ctx, 0)
}

// verifying returns the public key of that id, if it is one of ours.
func (k *keyring) verifying(ctx context.Context, id uuid.UUID) (ed25519.PublicKey, error) {
	key, err := k.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(key.Seed).Public().(ed25519.PublicKey), nil
}

// byID returns a key that verifies; one that was followed by another long ago does
// not.
func (k *keyring) byID(ctx context.Context, id uuid.UUID) (SigningKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, keysFresh); err != nil {
		return SigningKey{}, err
	}
	key, ok := k.find(id)
	if !ok { // another process may just have made it
		if err := k.refresh(ctx, keysAgain); err != nil {
			return SigningKey{}, err
		}
		if key, ok = k.find(id); !ok {
			return SigningKey{}, ErrUnauthenticated
		}
	}
	return key, nil
}

func (k *keyring) find(id uuid.UUID) (SigningKey, bool) {
	for i, key := range k.keys {
		if key.ID == id {
			followed := i+1 < len(k.keys) && k.now().Sub(k.keys[i+1].CreatedAt) >= keyVerifies
			return key, !followed
		}
	}
	return SigningKey{}, false
}

func (k *keyring) newest() SigningKey {
	if len(k.keys) == 0 {
		return SigningKey{}
	}
	return k.keys[len(k.keys)-1]
}

// refresh reads the keys if what is known is older than fresh.
func (k *keyring) refresh(ctx context.Context, fresh time.Duration) error {
	now := k.now()
	if !k.readAt.IsZero() && now.Sub(k.readAt) < fresh && !now.Before(k.readAt) {
		return nil
	}
	keys, err := k.store.SigningKeys(ctx)
	if err != nil {
		if k.readAt.IsZero() || now.Sub(k.readAt) >= staleLimit {
			return unavailable(err)
		}
		return nil // those that are known do
	}
	for _, key := range keys {
		if len(key.Seed) != ed25519.SeedSize {
			return fmt.Errorf("%w: signing key %s is damaged", ErrUnavailable, key.ID)
		}
	}
	k.keys, k.readAt = keys, now
	return nil
}
