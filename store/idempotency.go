package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/operator"
)

// claimKey remembers the idempotency key of the context, if it has one, together
// with what the transaction creates. It fails with *operator.RepeatedError or
// operator.ErrKeyReused if the key was used before. Of two transactions that claim a
// key at once, the later one waits for the other. It is to be called before anything
// else is written.
func (tx *writeTx) claimKey(ctx context.Context, entityID uuid.UUID) error {
	key, ok := operator.IdempotencyOf(ctx)
	if !ok {
		return nil
	}
	actor := operator.ActorOf(ctx).Key()
	key.RequestHash = tx.store.requestMAC(key.RequestHash)
	now := tx.store.timestamp()
	expired := now.Add(-operator.IdempotencyRetention)
	if _, err := tx.ExecContext(ctx, "DELETE FROM idempotency_keys WHERE actor = $1 AND key = $2 AND created_at <= $3",
		cleanText(actor), cleanText(key.Key), moment{&expired}); err != nil {
		return err
	}
	fields := []field{
		{"actor", text{&actor}},
		{"key", text{&key.Key}},
		{"operation", text{&key.Operation}},
		{"request_hash", digest{&key.RequestHash}},
		{"entity_id", id{&entityID}},
		{"created_at", moment{&now}},
	}
	result, err := tx.ExecContext(ctx, insertion("idempotency_keys", fields)+" ON CONFLICT (actor, key) DO NOTHING", targets(fields)...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	before := key
	err = tx.QueryRowContext(ctx, "SELECT operation, request_hash, entity_id FROM idempotency_keys WHERE actor = $1 AND key = $2",
		cleanText(actor), cleanText(key.Key)).Scan(text{&before.Operation}, digest{&before.RequestHash}, id{&entityID})
	if err != nil {
		return err
	}
	if before.Operation != cleanText(key.Operation) || before.RequestHash != key.RequestHash {
		return operator.ErrKeyReused
	}
	return &operator.RepeatedError{EntityID: entityID}
}

// keyMade says that what the claimed key of the context stands for was there before, under
// another id than it was claimed with.
func (tx *writeTx) keyMade(ctx context.Context, entityID uuid.UUID) error {
	key, ok := operator.IdempotencyOf(ctx)
	if !ok {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE idempotency_keys SET entity_id = $3 WHERE actor = $1 AND key = $2",
		cleanText(operator.ActorOf(ctx).Key()), cleanText(key.Key), id{&entityID})
	return err
}

// CheckKey fails as claimKey does if the idempotency key of the context was used before, and
// writes nothing. It is for what cannot be worked out again once it was carried out.
func (s *Store) CheckKey(ctx context.Context) error {
	key, ok := operator.IdempotencyOf(ctx)
	if !ok {
		return nil
	}
	expired := s.timestamp().Add(-operator.IdempotencyRetention)
	var before operator.IdempotencyKey
	var entityID uuid.UUID
	err := s.reader.QueryRowContext(ctx, "SELECT operation, request_hash, entity_id FROM idempotency_keys WHERE actor = $1 AND key = $2 AND created_at > $3",
		cleanText(operator.ActorOf(ctx).Key()), cleanText(key.Key), moment{&expired}).Scan(text{&before.Operation}, digest{&before.RequestHash}, id{&entityID})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for an idempotency key: %w", s.explain(err))
	case before.Operation != cleanText(key.Operation) || before.RequestHash != s.requestMAC(key.RequestHash):
		return operator.ErrKeyReused
	}
	return &operator.RepeatedError{EntityID: entityID}
}

// requestPurpose is what the key of requestMAC is derived from the master key for.
const requestPurpose = "idempotency"

// requestMAC stands for the hash of a request in the database. A request may have a
// password in it: from a plain hash of the rest, which can be read there, it could be
// guessed as fast as SHA-256 goes, whatever it is hashed with itself.
func (s *Store) requestMAC(hash [32]byte) [32]byte {
	key := s.sealer.Derive(requestPurpose)
	mac := hmac.New(sha256.New, key[:])
	mac.Write(hash[:])
	return [32]byte(mac.Sum(nil))
}

// pruneKeys forgets idempotency keys from before the time.
func (s *Store) pruneKeys(ctx context.Context, before time.Time) error {
	err := s.write(ctx, func(tx *writeTx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM idempotency_keys WHERE created_at < $1", moment{&before})
		return err
	})
	if err != nil {
		return fmt.Errorf("delete old idempotency keys: %w", s.explain(err))
	}
	return nil
}
