package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/operator"
)

func operatorSessionFields(x *operator.Session) []field {
	return []field{
		{"id", id{&x.ID}},
		{"operator_id", id{&x.OperatorID}},
		{"mfa", flag{&x.MFA}},
		{"address", address{&x.Addr}},
		{"started_at", moment{&x.StartedAt}},
		{"last_used_at", moment{&x.LastUsedAt}},
		{"expires_at", moment{&x.ExpiresAt}},
		{"closed_at", moment{&x.ClosedAt}},
	}
}

// OpenSession implements operator.SessionStore.
func (s *Store) OpenSession(ctx context.Context, x *operator.Session, token operator.RefreshToken, keep int) error {
	err := s.write(ctx, func(tx *writeTx) error {
		if err := insert(ctx, tx.Tx, "operator_sessions", operatorSessionFields(x)); err != nil {
			return err
		}
		if err := insertRefresh(ctx, tx, x.ID, token); err != nil {
			return err
		}
		// Sign-ins that came later but were begun earlier do not turn the time back.
		if _, err := tx.ExecContext(ctx, "UPDATE operators SET last_sign_in_at = $2 WHERE id = $1 AND (last_sign_in_at IS NULL OR last_sign_in_at < $2)",
			x.OperatorID.String(), moment{&x.StartedAt}); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE operator_sessions SET closed_at = $2 WHERE operator_id = $1 AND closed_at IS NULL AND id NOT IN (
			SELECT id FROM operator_sessions WHERE operator_id = $1 AND closed_at IS NULL ORDER BY started_at DESC, id DESC LIMIT $3)`,
			x.OperatorID.String(), moment{&x.StartedAt}, keep)
		return err
	})
	if err != nil {
		return fmt.Errorf("open a session: %w", s.explain(err))
	}
	return nil
}

func insertRefresh(ctx context.Context, tx *writeTx, sessionID uuid.UUID, token operator.RefreshToken) error {
	hash := token.Hash[:]
	return insert(ctx, tx.Tx, "refresh_tokens", []field{
		{"hash", octets{&hash}}, {"session_id", id{&sessionID}}, {"expires_at", moment{&token.ExpiresAt}},
	})
}

// RotateRefresh implements operator.SessionStore.
func (s *Store) RotateRefresh(ctx context.Context, hash [32]byte, next operator.RefreshToken, at time.Time, addr netip.Addr) (x operator.Session, outcome operator.Rotation, err error) {
	// Texts that are made up must not make the database write.
	key, known := hash[:], false
	err = s.reader.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM refresh_tokens WHERE hash = $1)", octets{&key}).Scan(flag{&known})
	if err == nil && !known {
		return operator.Session{}, operator.RefreshUnknown, nil
	}
	if err != nil {
		return operator.Session{}, operator.RefreshUnknown, fmt.Errorf("rotate a refresh token: %w", s.explain(err))
	}
	err = s.write(ctx, func(tx *writeTx) (err error) {
		x, outcome, err = rotateRefresh(ctx, tx, hash, next, at, addr)
		return err
	})
	if err != nil {
		return operator.Session{}, operator.RefreshUnknown, fmt.Errorf("rotate a refresh token: %w", s.explain(err))
	}
	return x, outcome, nil
}

func rotateRefresh(ctx context.Context, tx *writeTx, hash [32]byte, next operator.RefreshToken, at time.Time, addr netip.Addr) (x operator.Session, outcome operator.Rotation, err error) {
	key := hash[:]
	var sessionID uuid.UUID
	var expiresAt, usedAt time.Time
	// Whoever comes second waits here, and then sees the token used.
	err = tx.QueryRowContext(ctx, "SELECT session_id, expires_at, used_at FROM refresh_tokens WHERE hash = $1"+tx.forUpdate(), octets{&key}).
		Scan(id{&sessionID}, moment{&expiresAt}, moment{&usedAt})
	if errors.Is(err, sql.ErrNoRows) {
		return x, operator.RefreshUnknown, nil
	}
	if err != nil {
		return x, outcome, err
	}
	fields := operatorSessionFields(&x)
	if err := tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM operator_sessions WHERE id = $1"+tx.forUpdate(), sessionID.String()).
		Scan(targets(fields)...); err != nil {
		return x, outcome, err
	}
	if !usedAt.IsZero() {
		_, err := tx.ExecContext(ctx, "UPDATE operator_sessions SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL", sessionID.String(), moment{&at})
		return x, operator.RefreshReused, err
	}
	var status operator.Status
	var notBefore time.Time
	if err := tx.QueryRowContext(ctx, "SELECT status, tokens_not_before FROM operators WHERE id = $1", x.OperatorID.String()).
		Scan(word[operator.Status]{&status, operator.ParseStatus}, moment{&notBefore}); err != nil {
		return x, outcome, err
	}
	if !at.Before(expiresAt) || !at.Before(x.ExpiresAt) || !x.ClosedAt.IsZero() || status != operator.Active || !x.StartedAt.After(notBefore) {
		return x, operator.RefreshExpired, nil
	}
	if _, err := tx.ExecContext(ctx, "UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1", octets{&key}, moment{&at}); err != nil {
		return x, outcome, err
	}
	if err := insertRefresh(ctx, tx, x.ID, next); err != nil {
		return x, outcome, err
	}
	x.LastUsedAt, x.Addr = at, addr
	return x, operator.RefreshRotated, update(ctx, tx.Tx, "operator_sessions", fields)
}

// CloseSession implements operator.SessionStore.
func (s *Store) CloseSession(ctx context.Context, operatorID, sessionID uuid.UUID, at time.Time) error {
	err := s.write(ctx, func(tx *writeTx) error {
		result, err := tx.ExecContext(ctx, "UPDATE operator_sessions SET closed_at = coalesce(closed_at, $3) WHERE id = $1 AND operator_id = $2",
			sessionID.String(), operatorID.String(), moment{&at})
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, notFound("session", sessionID.String()))
		}
		return nil
	})
	if err != nil {
		return operatorError(fmt.Errorf("close a session: %w", s.explain(err)))
	}
	return nil
}

// OpenSessions implements operator.SessionStore.
func (s *Store) OpenSessions(ctx context.Context, operatorID uuid.UUID, at time.Time) (list []operator.Session, err error) {
	var x operator.Session
	fields := operatorSessionFields(&x)
	err = eachRow(ctx, s.reader, "SELECT "+names(fields)+` FROM operator_sessions WHERE operator_id = $1 AND closed_at IS NULL AND expires_at > $2
		AND EXISTS (SELECT 1 FROM refresh_tokens WHERE session_id = operator_sessions.id AND used_at IS NULL AND expires_at > $2)
		AND EXISTS (SELECT 1 FROM operators WHERE operators.id = operator_id AND (tokens_not_before IS NULL OR tokens_not_before < started_at))
		ORDER BY started_at DESC, id DESC`, []any{operatorID.String(), moment{&at}}, targets(fields), func() error {
		list = append(list, x)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions of an operator: %w", s.explain(err))
	}
	return list, nil
}

// SessionsClosedSince implements operator.SessionStore.
func (s *Store) SessionsClosedSince(ctx context.Context, since time.Time) (list []uuid.UUID, err error) {
	var x uuid.UUID
	err = eachRow(ctx, s.reader, "SELECT id FROM operator_sessions WHERE closed_at >= $1", []any{moment{&since}}, []any{id{&x}}, func() error {
		list = append(list, x)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read closed sessions of operators: %w", s.explain(err))
	}
	return list, nil
}

// pruneSignIns deletes what sign-ins have left behind and nobody asks for any more.
func (s *Store) pruneSignIns(ctx context.Context, now time.Time) error {
	// A while longer than it may be used: reuse after that is told by its absence.
	before := now.Add(-24 * time.Hour)
	err := s.write(ctx, func(tx *writeTx) error {
		for _, query := range []string{
			"DELETE FROM operator_sessions WHERE expires_at < $1",
			"DELETE FROM operator_sessions WHERE closed_at < $1",
			"DELETE FROM spent_tokens WHERE expires_at < $1",
			"DELETE FROM sign_in_attempts WHERE last_at < $1",
		} {
			if _, err := tx.ExecContext(ctx, query, moment{&before}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete old sign-ins: %w", s.explain(err))
	}
	return nil
}
