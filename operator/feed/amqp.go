package feed

import (
	"errors"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// openAMQP publishes persistent messages to a durable fanout exchange, and waits for
// RabbitMQ to confirm each of them.
func openAMQP(options Options) (func() (message.Publisher, error), error) {
	if _, err := amqp091.ParseURI(options.URL); err != nil {
		return nil, errors.New("the URL is not one like amqp://user:password@host:5672/vhost")
	}
	config := amqp.NewDurablePubSubConfig(options.URL, nil)
	config.Connection.AmqpConfig = &amqp091.Config{Dial: amqp091.DefaultDial(options.Timeout), Heartbeat: 2 * options.Timeout}
	config.Publish.ConfirmDelivery = true
	return func() (message.Publisher, error) {
		return amqp.NewPublisher(config, watermill.NopLogger{})
	}, nil
}
