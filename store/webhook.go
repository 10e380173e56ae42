package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

var webhooks = entity[operator.Webhook]{
	table: "webhooks", kind: "webhook",
	fields: func(s *Store, w *operator.Webhook) []field {
		return []field{
			{"id", id{&w.ID}},
			{"name", text{&w.Name}},
			{"url", hidden{text{&w.URL}}}, // many hold a token
			{"secret", secret{p: &w.Secret, owner: &w.ID, column: "webhooks.secret", sealer: s.sealer}},
			{"previous_secret", secret{p: &w.PreviousSecret, owner: &w.ID, column: "webhooks.previous_secret", sealer: s.sealer}},
			{"events", words{&w.Events}},
			{"enabled", flag{&w.Enabled}},
			{"disabled_reason", text{&w.DisabledReason}},
			{"created_at", moment{&w.CreatedAt}},
			{"updated_at", moment{&w.UpdatedAt}},
		}
	},
	head: func(w *operator.Webhook) head { return head{&w.ID, w.Name, &w.CreatedAt, &w.UpdatedAt} },
	valid: func(w *operator.Webhook) error {
		if w.Enabled {
			w.DisabledReason = ""
		}
		return fieldErrors(w.Validate())
	},
	// A new one begins with the next event; one that is changed is tried at once.
	save: func(ctx context.Context, tx *writeTx, w *operator.Webhook) error {
		name := operator.WebhookConsumer(w.ID)
		if err := tx.ensureConsumer(ctx, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE outbox_consumers SET attempts = 0, failing_since = NULL, next_attempt_at = NULL WHERE name = $1", name)
		return err
	},
}

// fieldErrors are the joined field errors of package operator as those of aaa, which
// all callers of the store look for.
func fieldErrors(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var list []error
	for _, err := range joined.Unwrap() {
		if wrong := (*operator.FieldError)(nil); errors.As(err, &wrong) {
			err = &aaa.FieldError{Field: wrong.Field, Message: wrong.Error()}
		}
		list = append(list, err)
	}
	return errors.Join(list...)
}

// CreateWebhook adds a webhook and sets its times, and its ID if that is zero; it
// makes a secret if there is none. It fails with ErrExists if the name is taken.
func (s *Store) CreateWebhook(ctx context.Context, w *operator.Webhook) error {
	if w.Secret == nil {
		w.Secret = operator.NewWebhookSecret()
	}
	return webhooks.create(ctx, s, w)
}

// ChangeWebhook lets fn change the webhook and writes it whole. fn may be called more
// than once. Enabling it goes on with the events after the last one delivered.
func (s *Store) ChangeWebhook(ctx context.Context, webhookID uuid.UUID, fn func(*operator.Webhook) error) error {
	return webhooks.change(ctx, s, "id", webhookID.String(), fn)
}

// RemoveWebhook deletes a webhook and the attempts at it. An error of check, which sees
// it in the same transaction, leaves it; nil checks nothing.
func (s *Store) RemoveWebhook(ctx context.Context, webhookID uuid.UUID, check func(*operator.Webhook) error) error {
	return webhooks.remove(ctx, s, "id", webhookID.String(), check)
}

// WebhookByID returns a webhook.
func (s *Store) WebhookByID(ctx context.Context, webhookID uuid.UUID) (*operator.Webhook, error) {
	return webhooks.get(ctx, s, "id", webhookID.String())
}

// Webhooks returns all webhooks by name. One whose secret cannot be opened is logged
// and left out: nothing could be signed for it.
func (s *Store) Webhooks(ctx context.Context) ([]operator.Webhook, error) {
	list, err := webhooks.list(ctx, s, s.reader, "ORDER BY name", nil, s.logDamage)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", s.explain(err))
	}
	usable := list[:0]
	for _, w := range list {
		if w.Secret != nil {
			usable = append(usable, w)
		}
	}
	return usable, nil
}

// DisableWebhook disables a webhook that does not answer any more, and tells of it by
// the event webhook.disabled.
func (s *Store) DisableWebhook(ctx context.Context, webhookID uuid.UUID, reason string) error {
	err := s.write(ctx, func(tx *writeTx) error {
		w, err := webhooks.changeIn(ctx, tx, "id", webhookID.String(), func(w *operator.Webhook) error {
			w.Enabled, w.DisabledReason = false, reason
			return nil
		})
		if err != nil {
			return err
		}
		return tx.emit("webhook.disabled", "webhook", webhookID, map[string]string{
			"entity_kind": "webhook", "entity_id": webhookID.String(), "entity_name": w.Name, "reason": reason,
		})
	})
	return webhooks.failed(s, "disable", webhookID.String(), err)
}

func deliveryFields(d *operator.Delivery) []field {
	return []field{
		{"webhook_id", id{&d.WebhookID}},
		{"event_seq", whole[uint64]{&d.EventSeq}},
		{"event_id", id{&d.EventID}},
		{"event_kind", text{&d.EventKind}},
		{"state", named[operator.DeliveryState]{&d.State}},
		{"attempt", whole[int]{&d.Attempt}},
		{"status", whole[int]{&d.Status}},
		{"error", text{&d.Error}},
		{"milliseconds", milliseconds{&d.Duration}},
		{"at", moment{&d.At}},
	}
}

// ListDeliveries returns attempts at a webhook, newest first, at most limit. before is
// the ID of the last one of the page before; zero: the first page.
func (s *Store) ListDeliveries(ctx context.Context, webhookID uuid.UUID, before uint64, limit int) (list []operator.Delivery, err error) {
	var c conditions
	c.add("webhook_id = $%d", webhookID.String())
	if before > 0 {
		c.add("id < $%d", whole[uint64]{&before})
	}
	var d operator.Delivery
	fields := readFields("id", &d.ID, deliveryFields(&d))
	err = eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM webhook_deliveries"+c.where()+" ORDER BY id DESC LIMIT "+fmt.Sprint(limit), c.args,
		targets(fields), func() error {
			list = append(list, d)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", s.explain(err))
	}
	return list, nil
}

// RequestDelivery asks for one more delivery of an event to a webhook, whether it was
// delivered before or not. It fails with ErrNotFound if there is no such webhook, or
// the event is no longer kept.
func (s *Store) RequestDelivery(ctx context.Context, webhookID, eventID uuid.UUID) (d operator.Delivery, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if _, err := webhooks.find(ctx, s, tx.Tx, "id", webhookID.String(), "", s.logDamage); err != nil {
			return err
		}
		d = operator.Delivery{WebhookID: webhookID, EventID: eventID, State: operator.DeliveryRequested, At: s.timestamp()}
		err := tx.QueryRowContext(ctx, "SELECT seq, kind FROM outbox WHERE id = $1", eventID.String()).Scan(whole[uint64]{&d.EventSeq}, text{&d.EventKind})
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("event", eventID.String())
		}
		if err != nil {
			return err
		}
		fields := deliveryFields(&d)
		return tx.QueryRowContext(ctx, insertion("webhook_deliveries", fields)+" RETURNING id", targets(fields)...).Scan(whole[uint64]{&d.ID})
	})
	return d, webhooks.failed(s, "deliver again to", webhookID.String(), err)
}

// RequestedDeliveries returns deliveries that somebody has asked for, with their
// events, oldest first, at most limit.
func (s *Store) RequestedDeliveries(ctx context.Context, webhookID uuid.UUID, limit int) (list []operator.Delivery, events []operator.Event, err error) {
	var d operator.Delivery
	fields := readFields("id", &d.ID, deliveryFields(&d))
	var payload operator.Event
	columns := "d." + strings.ReplaceAll(names(fields), ", ", ", d.") + ", e.at, e.kind, e.entity_kind, e.entity_id, e.payload"
	dest := append(targets(fields), moment{&payload.At}, text{&payload.Kind}, text{&payload.EntityKind}, nullID{&payload.EntityID}, object{&payload.Payload})
	err = eachRow(ctx, s.reader, "SELECT "+columns+" FROM webhook_deliveries d JOIN outbox e ON e.seq = d.event_seq"+
		" WHERE d.state = 'requested' AND d.webhook_id = $1 ORDER BY d.id LIMIT "+fmt.Sprint(limit), []any{webhookID.String()}, dest, func() error {
		list = append(list, d)
		e := payload
		e.Seq, e.ID = d.EventSeq, d.EventID
		events = append(events, e)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read requested deliveries: %w", s.explain(err))
	}
	return list, events, nil
}

// FinishDelivery writes how a requested delivery went.
func (s *Store) FinishDelivery(ctx context.Context, d operator.Delivery) error {
	err := s.write(ctx, func(tx *writeTx) error {
		return update(ctx, tx.Tx, "webhook_deliveries", readFields("id", &d.ID, deliveryFields(&d)))
	})
	if err != nil {
		return fmt.Errorf("write delivery: %w", s.explain(err))
	}
	return nil
}

// words is a list of words without commas, held as text with commas between them.
type words struct{ p *[]string }

func (c words) Value() (driver.Value, error) { return strings.Join(*c.p, ","), nil }
func (c words) appendBinary(b []byte) []byte { return appendText(b, strings.Join(*c.p, ",")) }
func (c words) Scan(src any) error {
	var list string
	if err := (text{&list}).Scan(src); err != nil {
		return err
	}
	*c.p = nil
	if list != "" {
		*c.p = strings.Split(list, ",")
	}
	return nil
}

// named is a value of a type that is text.
type named[T ~string] struct{ p *T }

func (c named[T]) Value() (driver.Value, error) { return string(*c.p), nil }
func (c named[T]) appendBinary(b []byte) []byte { return appendText(b, string(*c.p)) }
func (c named[T]) Scan(src any) error {
	var value string
	err := text{&value}.Scan(src)
	*c.p = T(value)
	return err
}

// milliseconds is a duration in whole milliseconds.
type milliseconds struct{ p *time.Duration }

func (c milliseconds) Value() (driver.Value, error) { return c.p.Milliseconds(), nil }
func (c milliseconds) appendBinary(b []byte) []byte { return appendBigint(b, c.p.Milliseconds()) }
func (c milliseconds) Scan(src any) error {
	v, ok := src.(int64)
	if !ok {
		return mismatch(src, "milliseconds")
	}
	*c.p = time.Duration(v) * time.Millisecond
	return nil
}
