package feed

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/operator"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testserver.StopRedis()
	os.Exit(code)
}

func someEvents(n int) []operator.Event {
	entityID := uuid.New()
	list := make([]operator.Event, n)
	for i := range list {
		list[i] = operator.Event{
			Seq: uint64(i + 1), ID: uuid.New(), At: time.Now(), Kind: "user.updated", EntityKind: "user", EntityID: entityID,
			Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)),
		}
	}
	return list
}

func requireBody(t *testing.T, e operator.Event, body string) {
	t.Helper()
	var got struct {
		ID   uuid.UUID
		Type string
		Data json.RawMessage
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Equal(t, e.ID, got.ID)
	require.Equal(t, e.Kind, got.Type)
	require.JSONEq(t, string(e.Payload), string(got.Data))
}

func TestRedisStream(t *testing.T) {
	server := testserver.NewRedisServer(t)
	f, err := New(Options{URL: server.URL(), Topic: "radiusd.events"})
	require.NoError(t, err)
	events := someEvents(3)
	require.NoError(t, f.Publish(t.Context(), events))

	server.Stop()
	require.Error(t, f.Publish(t.Context(), events), "an away broker is an error, and the events stay in the outbox")
	server.Start()
	require.NoError(t, f.Publish(t.Context(), events))

	options, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	client := redis.NewClient(options)
	defer client.Close()
	entries, err := client.XRange(t.Context(), "radiusd.events", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries, 3, "those before were in memory only")
	for i, entry := range entries {
		requireBody(t, events[i], entry.Values["payload"].(string))
		assert.Equal(t, events[i].ID.String(), entry.Values["id"])
		assert.Equal(t, "user.updated", entry.Values["type"])
		assert.Equal(t, events[i].EntityID.String(), entry.Values["entity_id"])
	}
	require.NoError(t, f.Close())
	require.Error(t, f.Publish(t.Context(), events), "closed")
}

// TestKafka publishes to the stand-in that comes with the client: it speaks Kafka's
// protocol and keeps nothing.
func TestKafka(t *testing.T) {
	broker := sarama.NewMockBroker(t, 1)
	defer broker.Close()
	broker.SetHandlerByMap(map[string]sarama.MockResponse{
		"MetadataRequest":       sarama.NewMockMetadataResponse(t).SetBroker(broker.Addr(), broker.BrokerID()).SetLeader("events", 0, broker.BrokerID()),
		"InitProducerIDRequest": sarama.NewMockInitProducerIDResponse(t),
		"ProduceRequest":        sarama.NewMockProduceResponse(t).SetVersion(7),
	})
	f, err := New(Options{URL: "kafka://" + broker.Addr(), Topic: "events", Timeout: time.Minute})
	require.NoError(t, err)
	require.NoError(t, f.Publish(t.Context(), someEvents(3)))
	require.NoError(t, f.Close())
	produced := 0
	for _, exchange := range broker.History() {
		if request, ok := exchange.Request.(*sarama.ProduceRequest); ok {
			produced++
			assert.Equal(t, sarama.WaitForAll, request.RequiredAcks)
		}
	}
	assert.Equal(t, 3, produced, "one by one, in order")
}

// TestBrokerAway has a server that takes connections and then says nothing.
func TestBrokerAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for _, scheme := range []string{"redis", "amqp", "kafka"} {
		f, err := New(Options{URL: scheme + "://user:canary@" + silent.Addr().String(), Topic: "events", Timeout: 200 * time.Millisecond})
		require.NoError(t, err, scheme)
		began := time.Now()
		err = f.Publish(t.Context(), someEvents(1))
		require.Error(t, err, scheme)
		assert.NotContains(t, err.Error(), "canary", scheme)
		assert.Less(t, time.Since(began), time.Minute, scheme)
		require.NoError(t, f.Close())
	}
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct{ options Options }{
		"no topic":       {Options{URL: "redis://127.0.0.1"}},
		"no URL":         {Options{Topic: "t"}},
		"unknown":        {Options{URL: "nats://user:canary@127.0.0.1", Topic: "t"}},
		"kafka, no host": {Options{URL: "kafka://user:canary@", Topic: "t"}},
		"amqp, no port":  {Options{URL: "amqp://user:canary@host:x", Topic: "t"}},
		"redis, no port": {Options{URL: "redis://user:canary@host:x", Topic: "t"}},
	} {
		_, err := New(tt.options)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "canary", name)
	}
	brokers, config, err := kafkaConfig(Options{URL: "kafka://ann:s%40crt@a:1,b,[::1]:3?tls=true", Timeout: time.Second})
	require.NoError(t, err)
	assert.Equal(t, []string{"a:1", "b:9092", "[::1]:3"}, brokers)
	assert.Equal(t, []any{true, true, "ann", "s@crt"}, []any{config.Net.TLS.Enable, config.Net.SASL.Enable, config.Net.SASL.User, config.Net.SASL.Password})
}
