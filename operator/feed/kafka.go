package feed

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

// openKafka publishes by a producer that waits for all replicas.
func openKafka(options Options) (func() (message.Publisher, error), error) {
	brokers, config, err := kafkaConfig(options)
	if err != nil {
		return nil, err
	}
	return func() (message.Publisher, error) {
		return kafka.NewPublisher(kafka.PublisherConfig{
			Brokers: brokers, OverwriteSaramaConfig: config,
			Marshaler: kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
				return m.Metadata.Get(metaEntityID), nil
			}),
		}, watermill.NopLogger{})
	}, nil
}

// kafkaConfig reads a URL that may name several hosts, which net/url does not take.
func kafkaConfig(options Options) (brokers []string, config *sarama.Config, err error) {
	wrong := errors.New("the URL is not one like kafka://user:password@host:9092,host:9092?tls=true")
	rest, ok := strings.CutPrefix(options.URL, "kafka://")
	hosts, query, _ := strings.Cut(rest, "?")
	values, queryErr := url.ParseQuery(query)
	if !ok || queryErr != nil {
		return nil, nil, wrong
	}
	config = sarama.NewConfig()
	config.ClientID = "radiusd"
	config.Version = sarama.V2_1_0_0
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	config.Producer.Retry.Max, config.Metadata.Retry.Max = 2, 1 // the outbox tries again
	config.Producer.Timeout = options.Timeout
	config.Net.DialTimeout, config.Net.ReadTimeout, config.Net.WriteTimeout = options.Timeout, options.Timeout, options.Timeout
	config.Net.TLS.Enable = values.Get("tls") == "true"
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		u, err := url.Parse("kafka://" + hosts[:at] + "@host")
		if err != nil || u.User == nil {
			return nil, nil, wrong
		}
		config.Net.SASL.Enable = true
		config.Net.SASL.User = u.User.Username()
		config.Net.SASL.Password, _ = u.User.Password()
		hosts = hosts[at+1:]
	}
	for host := range strings.SplitSeq(strings.TrimSuffix(hosts, "/"), ",") {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "9092")
		}
		if strings.HasPrefix(host, ":") {
			return nil, nil, wrong
		}
		brokers = append(brokers, host)
	}
	return brokers, config, config.Validate()
}
