// Package feed publishes the events of the outbox to a broker: Redis Streams,
// RabbitMQ or Kafka, through Watermill's publishers, which nothing else of the module
// imports.
//
// A message is the JSON object {"id", "type", "timestamp", "entity_kind", "entity_id",
// "data"}. Its metadata (headers in RabbitMQ and Kafka, fields of the entry in Redis)
// are type, entity_kind and entity_id. In Kafka the entity's id is the key, so that
// the events of an entity are on one partition, in order.
package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"radiusd/operator"
)

// Options says where to publish.
type Options struct {
	// URL names the broker: redis:// or rediss://user:password@host:6379/0, amqp:// or
	// amqps://user:password@host:5672/vhost, kafka://host:9092,host:9092, with
	// ?tls=true and user:password@ (SASL PLAIN) if need be.
	URL string
	// Topic is the stream, the durable fanout exchange, or the topic.
	Topic string
	// Timeout bounds connecting, and waiting for one answer; zero: 5 s.
	Timeout time.Duration
}

// Feed is an operator.Publisher. It connects when it has something to publish, and
// anew after an error.
type Feed struct {
	topic string
	open  func() (message.Publisher, error)

	mu        sync.Mutex
	publisher message.Publisher // nil: not connected
	closed    bool
}

var _ operator.Publisher = (*Feed)(nil)

const defaultTimeout = 5 * time.Second

// New checks the options. It does not connect: a broker that is away at the start is
// none of the server's business.
func New(options Options) (*Feed, error) {
	if options.Timeout <= 0 {
		options.Timeout = defaultTimeout
	}
	if options.Topic == "" {
		return nil, errors.New("feed: no topic is named")
	}
	scheme, _, _ := strings.Cut(options.URL, ":")
	f := &Feed{topic: options.Topic}
	var err error
	switch scheme {
	case "redis", "rediss", "unix":
		f.open, err = openRedis(options)
	case "amqp", "amqps":
		f.open, err = openAMQP(options)
	case "kafka":
		f.open, err = openKafka(options)
	default:
		err = errors.New("unknown scheme: want redis://, rediss://, amqp://, amqps:// or kafka://")
	}
	if err != nil {
		return nil, fmt.Errorf("feed: %w", withoutURL(err))
	}
	return f, nil
}

// Publish publishes events in order and returns when the broker has taken all of them.
func (f *Feed) Publish(ctx context.Context, events []operator.Event) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.New("the feed is closed")
	}
	if f.publisher == nil {
		if f.publisher, err = f.open(); err != nil {
			f.publisher = nil
			return fmt.Errorf("connect to the broker: %w", withoutURL(err))
		}
	}
	messages := make([]*message.Message, len(events))
	for i := range events {
		if messages[i], err = newMessage(ctx, &events[i]); err != nil {
			return err
		}
	}
	if err := f.publisher.Publish(f.topic, messages...); err != nil {
		f.publisher.Close() // the next attempt begins anew
		f.publisher = nil
		return fmt.Errorf("publish: %w", withoutURL(err))
	}
	return nil
}

// Close closes the connection.
func (f *Feed) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.publisher == nil {
		return nil
	}
	publisher := f.publisher
	f.publisher = nil
	return publisher.Close()
}

// The metadata of messages.
const (
	metaType       = "type"
	metaEntityKind = "entity_kind"
	metaEntityID   = "entity_id"
)

func newMessage(ctx context.Context, e *operator.Event) (*message.Message, error) {
	entityID := ""
	if e.EntityID != uuid.Nil {
		entityID = e.EntityID.String()
	}
	body, err := json.Marshal(struct {
		ID         uuid.UUID       `json:"id"`
		Type       string          `json:"type"`
		Timestamp  time.Time       `json:"timestamp"`
		EntityKind string          `json:"entity_kind"`
		EntityID   string          `json:"entity_id,omitempty"`
		Data       json.RawMessage `json:"data"`
	}{e.ID, e.Kind, e.At.UTC(), e.EntityKind, entityID, e.Payload})
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", e.ID, err)
	}
	m := message.NewMessage(e.ID.String(), body)
	m.Metadata.Set(metaType, e.Kind)
	m.Metadata.Set(metaEntityKind, e.EntityKind)
	m.Metadata.Set(metaEntityID, entityID)
	m.SetContext(ctx)
	return m, nil
}

// withoutURL leaves out of an error the URL, which may hold a password.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
