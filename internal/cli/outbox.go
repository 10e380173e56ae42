package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/config"
	"radiusd/operator"
	"radiusd/operator/feed"
	"radiusd/store"
)

// outbox delivers events to webhooks and to the configured broker. Every process with
// a store runs one; by a lease, one of them delivers.
type outbox struct {
	options operator.OutboxOptions // without a store
	sender  *operator.WebhookSender
	feed    *feed.Feed // nil: no broker
}

func newOutbox(cfg *config.Config, registerer prometheus.Registerer, log *slog.Logger) (*outbox, error) {
	o := &outbox{sender: newWebhookSender(cfg)}
	o.options = operator.OutboxOptions{Sender: o.sender, Registerer: registerer, Logger: log}
	if cfg.Feed.URL != "" {
		f, err := feed.New(feed.Options{URL: cfg.Feed.URL, Topic: cfg.Feed.Topic})
		if err != nil {
			return nil, err
		}
		o.feed, o.options.Feed = f, f
	}
	return o, nil
}

// newWebhookSender returns one as the configuration allows.
func newWebhookSender(cfg *config.Config) *operator.WebhookSender {
	return operator.NewWebhookSender(operator.WebhookSenderOptions{
		Allow: config.Prefixes(cfg.Admin.WebhookAllow), AllowHTTP: cfg.Admin.WebhookAllowHTTP, UserAgent: "radiusd/" + readBuild().Version,
	})
}

// run delivers until ctx is done. ready returns the store once it is open, else nil.
func (o *outbox) run(ctx context.Context, ready func() *store.Store) {
	defer o.close()
	s := ready()
	for s == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
			s = ready()
		}
	}
	o.options.Store, o.options.Webhooks = s, s
	dispatcher, err := operator.NewOutbox(o.options)
	if err != nil {
		o.options.Logger.Error("events are not delivered", "error", err)
		return
	}
	dispatcher.Run(ctx)
}

func (o *outbox) close() {
	o.sender.Close()
	if o.feed != nil {
		if err := o.feed.Close(); err != nil {
			o.options.Logger.Warn("close the feed", "error", err)
		}
	}
}
