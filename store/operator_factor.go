package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/operator"
)

// affects runs a statement in a transaction of its own and reports whether it has
// changed a row.
func (s *Store) affects(ctx context.Context, action, statement string, args ...any) (bool, error) {
	var n int64
	err := s.write(ctx, func(tx *writeTx) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return false, fmt.Errorf("%s: %w", action, s.explain(err))
	}
	return n > 0, nil
}

// UseTOTPStep implements operator.FactorStore.
func (s *Store) UseTOTPStep(ctx context.Context, operatorID uuid.UUID, step uint64) (bool, error) {
	return s.affects(ctx, "use a code", "UPDATE operators SET totp_last_step = $2 WHERE id = $1 AND totp_last_step < $2",
		operatorID.String(), whole[uint64]{&step})
}

// SetRecoveryCodes implements operator.FactorStore.
func (s *Store) SetRecoveryCodes(ctx context.Context, operatorID uuid.UUID, hashes [][32]byte) error {
	err := s.write(ctx, func(tx *writeTx) error {
		// The row is locked: of two calls at once, the codes of one are left.
		o, err := operators.find(ctx, s, tx.Tx, "id", operatorID.String(), tx.forUpdate(), s.logDamage)
		if err != nil {
			return err
		}
		if len(hashes) == 0 && o.RecoveryCodes == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM recovery_codes WHERE operator_id = $1", operatorID.String()); err != nil {
			return err
		}
		for i := range hashes {
			hash := hashes[i][:]
			if err := insert(ctx, tx.Tx, "recovery_codes", []field{{"operator_id", id{&operatorID}}, {"hash", octets{&hash}}}); err != nil {
				return err
			}
		}
		return tx.record(ctx, operator.AuditEntry{Action: "operators.recovery_codes", EntityKind: operators.kind, EntityID: o.ID, EntityName: o.Name,
			Changes: json.RawMessage(`{"recovery_codes":{"changed":true}}`)}, "operator.updated")
	})
	return operatorError(operators.failed(s, "set recovery codes of", operatorID.String(), err))
}

// UseRecoveryCode implements operator.FactorStore.
func (s *Store) UseRecoveryCode(ctx context.Context, operatorID uuid.UUID, hash [32]byte) (bool, error) {
	key := hash[:]
	return s.affects(ctx, "use a recovery code", "DELETE FROM recovery_codes WHERE operator_id = $1 AND hash = $2",
		operatorID.String(), octets{&key})
}

// SpendToken implements operator.FactorStore.
func (s *Store) SpendToken(ctx context.Context, tokenID uuid.UUID, expiresAt time.Time) (bool, error) {
	return s.affects(ctx, "spend a token", "INSERT INTO spent_tokens (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
		tokenID.String(), moment{&expiresAt})
}

func (s *Store) signingKeyFields(k *operator.SigningKey) []field {
	return []field{
		{"id", id{&k.ID}},
		{"seed", secret{p: &k.Seed, owner: &k.ID, column: "signing_keys.seed", sealer: s.sealer}},
		{"follows", id{&k.Follows}},
		{"created_at", moment{&k.CreatedAt}},
	}
}

// SigningKeys implements operator.KeyStore.
func (s *Store) SigningKeys(ctx context.Context) (list []operator.SigningKey, err error) {
	var k operator.SigningKey
	fields := s.signingKeyFields(&k)
	err = eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM signing_keys ORDER BY created_at, id", nil, targets(fields), func() error {
		list = append(list, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", s.explain(err))
	}
	return list, nil
}

// AddSigningKey implements operator.KeyStore.
func (s *Store) AddSigningKey(ctx context.Context, key operator.SigningKey) error {
	err := s.write(ctx, func(tx *writeTx) error {
		fields := s.signingKeyFields(&key)
		return executeRows(ctx, tx, insertion("signing_keys", fields)+" ON CONFLICT (follows) DO NOTHING", listed(fields))
	})
	if err != nil {
		return fmt.Errorf("add a signing key: %w", s.explain(err))
	}
	return nil
}

// RemoveSigningKeys implements operator.KeyStore.
func (s *Store) RemoveSigningKeys(ctx context.Context, followedBefore time.Time) error {
	_, err := s.affects(ctx, "delete old signing keys",
		"DELETE FROM signing_keys WHERE id IN (SELECT follows FROM signing_keys WHERE created_at < $1)", moment{&followedBefore})
	return err
}

// LockedUntil implements operator.AttemptStore.
func (s *Store) LockedUntil(ctx context.Context, keys []string) (until time.Time, err error) {
	var c conditions
	c.in("key", keys)
	var one time.Time
	err = eachRow(ctx, s.reader, "SELECT locked_until FROM sign_in_attempts"+c.where()+" AND locked_until IS NOT NULL", c.args, []any{moment{&one}}, func() error {
		if one.After(until) {
			until = one
		}
		return nil
	})
	if err != nil {
		return until, fmt.Errorf("look for locked sign-ins: %w", s.explain(err))
	}
	return until, nil
}

// ChangeAttempts implements operator.AttemptStore.
func (s *Store) ChangeAttempts(ctx context.Context, keys []string, fn func([]operator.Attempts) error) error {
	err := s.write(ctx, func(tx *writeTx) error { return tx.changeAttempts(ctx, keys, fn) })
	if err != nil {
		return fmt.Errorf("count a sign-in: %w", s.explain(err))
	}
	return nil
}

// changeAttempts is ChangeAttempts in a transaction. While fn works, no other one has these
// keys.
func (tx *writeTx) changeAttempts(ctx context.Context, keys []string, fn func([]operator.Attempts) error) error {
	sorted := slices.Clone(keys) // all lock in one order
	slices.Sort(sorted)
	known := make([]operator.Attempts, len(keys))
	never := time.Time{}.AddDate(1, 0, 0)
	for _, key := range sorted {
		if _, err := tx.ExecContext(ctx, "INSERT INTO sign_in_attempts (key, failures, last_at) VALUES ($1, 0, $2) ON CONFLICT (key) DO NOTHING",
			key, moment{&never}); err != nil {
			return err
		}
		a := &known[slices.Index(keys, key)]
		fields := attemptFields(a)
		err := tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM sign_in_attempts WHERE key = $1"+tx.forUpdate(), key).
			Scan(targets(fields)...)
		if errors.Is(err, sql.ErrNoRows) { // deleted since
			return errRetry{err}
		}
		if err != nil {
			return err
		}
	}
	if err := fn(known); err != nil {
		return err
	}
	for i := range known {
		if known[i].Failures == 0 {
			if _, err := tx.ExecContext(ctx, "DELETE FROM sign_in_attempts WHERE key = $1", known[i].Key); err != nil {
				return err
			}
		} else if err := update(ctx, tx.Tx, "sign_in_attempts", attemptFields(&known[i])); err != nil {
			return err
		}
	}
	return nil
}

func attemptFields(a *operator.Attempts) []field {
	return []field{
		{"key", text{&a.Key}},
		{"failures", whole[int]{&a.Failures}},
		{"last_at", moment{&a.LastAt}},
		{"locked_until", moment{&a.LockedUntil}},
	}
}

// ForgetAttempts implements operator.AttemptStore. It leaves alone what others work on.
func (s *Store) ForgetAttempts(ctx context.Context, before time.Time, keep int) error {
	skip := ""
	if s.pool != nil {
		skip = " FOR UPDATE SKIP LOCKED"
	}
	_, err := s.affects(ctx, "forget old sign-ins", `DELETE FROM sign_in_attempts WHERE key IN (
		SELECT key FROM sign_in_attempts WHERE last_at < $1 AND (locked_until IS NULL OR locked_until < $1)`+skip+`)`, moment{&before})
	if err != nil {
		return err
	}
	_, err = s.affects(ctx, "forget the oldest sign-ins", `DELETE FROM sign_in_attempts WHERE last_at <= (
		SELECT last_at FROM sign_in_attempts ORDER BY last_at DESC LIMIT 1 OFFSET $1)`, keep)
	return err
}
