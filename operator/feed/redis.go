package feed

import (
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// maxStream is about how many entries a stream holds before the oldest go: Redis keeps
// them in memory.
const maxStream = 1_000_000

func openRedis(options Options) (func() (message.Publisher, error), error) {
	parsed, err := redis.ParseURL(options.URL)
	if err != nil {
		return nil, err
	}
	parsed.DialTimeout, parsed.ReadTimeout, parsed.WriteTimeout = options.Timeout, options.Timeout, options.Timeout
	parsed.MaxRetries = -1 // the outbox tries again
	parsed.DisableIdentity = true
	return func() (message.Publisher, error) {
		return redisstream.NewPublisher(redisstream.PublisherConfig{
			Client: redis.NewClient(parsed), Marshaller: redisFields{}, DefaultMaxlen: maxStream,
		}, nil)
	}, nil
}

// redisFields writes a message as fields that any client reads.
type redisFields struct{}

func (redisFields) Marshal(_ string, m *message.Message) (map[string]any, error) {
	return map[string]any{
		"id": m.UUID, metaType: m.Metadata.Get(metaType), metaEntityKind: m.Metadata.Get(metaEntityKind),
		metaEntityID: m.Metadata.Get(metaEntityID), "payload": []byte(m.Payload),
	}, nil
}
