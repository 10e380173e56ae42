package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/operator"
)

var (
	_ operator.EventStore   = (*Store)(nil)
	_ operator.WebhookStore = (*Store)(nil)
)

// readFields are a table's fields with the sequence number that the database gives.
func readFields(number string, p *uint64, fields []field) []field {
	return append([]field{{number, whole[uint64]{p}}}, fields...)
}

// EventsAfter returns the next events of the outbox, at most limit, in the order of
// Seq, which is that of commits: no event appears behind one that was returned.
func (s *Store) EventsAfter(ctx context.Context, position uint64, limit int) (list []operator.Event, err error) {
	var e operator.Event
	fields := readFields("seq", &e.Seq, eventFields(&e))
	err = eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM outbox WHERE seq > $1 ORDER BY seq LIMIT "+fmt.Sprint(limit),
		[]any{whole[uint64]{&position}}, targets(fields), func() error {
			list = append(list, e)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", s.explain(err))
	}
	return list, nil
}

// AppendEvent writes an event about something that no change of the store stands for.
// The payload must have a JSON form, without secrets and without personal data.
func (s *Store) AppendEvent(ctx context.Context, kind, entityKind string, entityID uuid.UUID, payload any) error {
	err := s.write(ctx, func(tx *writeTx) error { return tx.emit(kind, entityKind, entityID, payload) })
	if err != nil {
		return s.explain(err)
	}
	return nil
}

// HoldLease takes or renews a lease for a time by the database's clock, and reports
// whether the holder has it. Zero gives it back.
func (s *Store) HoldLease(ctx context.Context, name, holder string, ttl time.Duration) (held bool, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if ttl <= 0 {
			_, err := tx.ExecContext(ctx, "DELETE FROM outbox_leases WHERE name = $1 AND holder = $2", name, holder)
			return err
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO outbox_leases (name, holder, expires_at) VALUES ($1, $2, `+s.fromNow("$3")+`)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
			WHERE outbox_leases.holder = excluded.holder OR outbox_leases.expires_at <= `+s.fromNow("0"),
			name, holder, ttl.Seconds())
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		held = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", name, s.explain(err))
	}
	return held, nil
}

// fromNow is the SQL for the time in so many seconds, by the database's clock.
func (s *Store) fromNow(seconds string) string {
	if s.pool != nil {
		return "clock_timestamp() + make_interval(secs => " + seconds + "::float8)"
	}
	return "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', " + seconds + " || ' seconds')"
}

func consumerFields(c *operator.Consumer, updatedAt *time.Time) []field {
	return []field{
		{"name", text{&c.Name}},
		{"position", whole[uint64]{&c.Position}},
		{"attempts", whole[int]{&c.Attempts}},
		{"failing_since", moment{&c.FailingSince}},
		{"next_attempt_at", moment{&c.NextAttemptAt}},
		{"last_error", text{&c.LastError}},
		{"updated_at", moment{updatedAt}},
	}
}

// Consumer returns how far a consumer of the outbox has come. A new one begins at the
// present end.
func (s *Store) Consumer(ctx context.Context, name string) (c operator.Consumer, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if err := tx.ensureConsumer(ctx, name); err != nil {
			return err
		}
		var updatedAt time.Time
		fields := consumerFields(&c, &updatedAt)
		return tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM outbox_consumers WHERE name = $1", name).Scan(targets(fields)...)
	})
	if err != nil {
		return c, fmt.Errorf("read consumer %s: %w", name, s.explain(err))
	}
	return c, nil
}

func (tx *writeTx) ensureConsumer(ctx context.Context, name string) error {
	now := tx.store.timestamp()
	c := operator.Consumer{Name: name}
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM outbox").Scan(whole[uint64]{&c.Position}); err != nil {
		return err
	}
	fields := consumerFields(&c, &now)
	_, err := tx.ExecContext(ctx, insertion("outbox_consumers", fields)+" ON CONFLICT (name) DO NOTHING", targets(fields)...)
	return err
}

// SaveConsumer writes how far a consumer has come, and attempts at a webhook. It fails
// with operator.ErrLeaseLost if the holder has no longer the lease.
func (s *Store) SaveConsumer(ctx context.Context, holder string, c operator.Consumer, attempts []operator.Delivery) error {
	err := s.write(ctx, func(tx *writeTx) error {
		var held bool
		err := tx.QueryRowContext(ctx, "SELECT expires_at > "+s.fromNow("0")+" FROM outbox_leases WHERE name = $1 AND holder = $2"+tx.forUpdate(),
			operator.OutboxLease, holder).Scan(flag{&held})
		if errors.Is(err, sql.ErrNoRows) || err == nil && !held {
			return operator.ErrLeaseLost
		}
		if err != nil {
			return err
		}
		now := s.timestamp()
		if err := update(ctx, tx.Tx, "outbox_consumers", consumerFields(&c, &now)); err != nil {
			return err
		}
		if len(attempts) == 0 {
			return nil
		}
		var d operator.Delivery
		return executeRows(ctx, tx, insertion("webhook_deliveries", deliveryFields(&d))+" ON CONFLICT DO NOTHING",
			filled(deliveryFields(&d), len(attempts), func(i int) { d = attempts[i] }))
	})
	if err != nil {
		return fmt.Errorf("save consumer %s: %w", c.Name, s.explain(err))
	}
	return nil
}

// OutboxStatus returns how far each consumer has come, and the Seq of the last event.
func (s *Store) OutboxStatus(ctx context.Context) (consumers []operator.Consumer, last uint64, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM outbox").Scan(whole[uint64]{&last}); err != nil {
			return err
		}
		var c operator.Consumer
		var updatedAt time.Time
		fields := consumerFields(&c, &updatedAt)
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM outbox_consumers ORDER BY name", nil, targets(fields), func() error {
			consumers = append(consumers, c)
			return nil
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the outbox: %w", s.explain(err))
	}
	return consumers, last, nil
}

// PruneOutbox deletes events, and attempts at webhooks, from before the time that
// nobody waits for, and those from before the limit whoever waits: a consumer that is
// never heard of again must not fill the disk.
func (s *Store) PruneOutbox(ctx context.Context, before, limit time.Time) error {
	hook := "'" + strings.TrimSuffix(operator.WebhookConsumer(uuid.Nil), uuid.Nil.String()) + "' || CAST(w.id AS text)"
	err := s.write(ctx, func(tx *writeTx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM outbox_consumers WHERE name <> $1 AND NOT EXISTS (SELECT 1 FROM webhooks w WHERE outbox_consumers.name = "+hook+")",
			operator.FeedConsumer)
		return err
	})
	if err == nil {
		err = s.deleteBatches(ctx, `DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE at < $1 AND (at < $2 OR seq <= coalesce(
			(SELECT min(position) FROM outbox_consumers c WHERE c.name = $3 OR EXISTS (SELECT 1 FROM webhooks w WHERE w.enabled AND c.name = `+hook+`)),
			9223372036854775807)) ORDER BY seq LIMIT `+fmt.Sprint(deleteBatch)+")", moment{&before}, moment{&limit}, operator.FeedConsumer)
	}
	if err == nil {
		err = s.deleteBatches(ctx, "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE at < $1 ORDER BY id LIMIT "+
			fmt.Sprint(deleteBatch)+")", moment{&before})
	}
	if err != nil {
		return fmt.Errorf("delete old events: %w", s.explain(err))
	}
	return nil
}

// deleteBatches runs a statement that deletes some rows until it finds none.
func (s *Store) deleteBatches(ctx context.Context, statement string, args ...any) error {
	for {
		var n int64
		err := s.write(ctx, func(tx *writeTx) error {
			result, err := tx.ExecContext(ctx, statement, args...)
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		})
		if err != nil || n < deleteBatch {
			return err
		}
	}
}
