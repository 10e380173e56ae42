package cli

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/billing"
	"radiusd/config"
	"radiusd/jobs"
	"radiusd/store"
)

// jobWorkers runs background jobs. A process that has the admin API has them.
type jobWorkers struct {
	cfg      *config.Config
	registry prometheus.Registerer
	log      *slog.Logger
}

// jobOptions are those of the jobs in an open store, without workers.
func jobOptions(s *store.Store, log *slog.Logger) jobs.Options {
	h := s.Handles()
	return jobs.Options{Postgres: h.Pool, Writer: h.Writer, Reader: h.Reader, Logger: log}
}

// run runs jobs until ctx is done. ready returns the store once it is open, else nil.
func (w *jobWorkers) run(ctx context.Context, ready func() *store.Store) {
	s := ready()
	for s == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
			s = ready()
		}
	}
	options := jobOptions(s, w.log)
	options.Workers, options.Registerer = w.cfg.Jobs.Workers, w.registry
	queue, err := jobs.New(options)
	var mails *mailer
	if err == nil {
		mails, err = w.register(queue, s)
	}
	if err == nil {
		var sending sync.WaitGroup
		if mails != nil && options.Workers > 0 {
			sending.Go(func() { mails.run(ctx) })
		}
		err = queue.Run(ctx)
		sending.Wait()
	}
	if err != nil {
		w.log.Error("background jobs", "error", oneLine(err))
	}
}

// register adds all kinds of jobs that this program has. It returns who sends mails; nil:
// nobody does.
func (w *jobWorkers) register(queue *jobs.Queue, s *store.Store) (*mailer, error) {
	dict, err := openDictionary(w.cfg)
	if err != nil {
		return nil, err
	}
	night := nightBilling{store: s, dict: dict, zone: w.cfg.Location(), now: time.Now, log: w.log}
	dunning, err := registerDunning(queue, night.dun)
	if err != nil {
		return nil, err
	}
	err = registerBilling(queue, w.cfg.Billing.RunAt, night.zone, night.bill, func(ctx context.Context, asOf billing.Date) error {
		_, _, err := dunning.Insert(ctx, billingDunning{asOf})
		return err
	}, w.log)
	if err != nil {
		return nil, err
	}
	return newMailer(&w.cfg.Mail, s, queue, w.log)
}
