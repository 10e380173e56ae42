package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"radiusd/config"
	"radiusd/store"
)

func (a *app) adminServeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the admin API",
		Long: `Runs the admin API at admin.listen until SIGTERM or SIGINT, then finishes the requests
in flight. Its documentation is at /api/docs.

It works on Postgres, beside any number of radiusd nodes and of its own kind. The
embedded SQLite store belongs to one process: there, run radiusd serve --admin.

On the first start, when there is no operator yet, it makes one and writes the
password to standard error, this once.

SIGHUP reads the configuration again for log.level; the TLS certificate is read
again by itself when its files change.`,
		Example: `  adminapi serve --config /etc/radiusd/radiusd.yaml
  adminapi operator add alice --role owner`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if cfg.Store.URL == "" {
				return usagef("store.url is empty, so the store is SQLite, which belongs to one process: run the API inside the server with `radiusd serve --admin`, or set store.url to a Postgres database")
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return a.adminServe(c.Context(), cfg, hangup)
		},
	}
}

// adminGCPercent lets the heap grow to five times what is live. That is some 20 MiB, of
// which little changes: with 100, a third of the CPU of a read was to look through it.
const adminGCPercent = 400

// adminServe runs until ctx is done or a part fails.
func (a *app) adminServe(ctx context.Context, cfg *config.Config, hangup <-chan os.Signal) error {
	level := new(slog.LevelVar)
	log := a.logger(cfg, level)
	for _, warning := range cfg.Warnings() {
		log.Warn(warning)
	}
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(adminGCPercent)
	}
	p, err := a.newAdminProcess(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer p.close()
	for {
		select {
		case <-hangup:
			a.reload(cfg, false, level, log)
		case <-ctx.Done():
			log.Info("stopping: finishing the requests in flight")
			return p.stop()
		case <-p.failed:
			return p.stop()
		}
	}
}

// adminProcess is adminapi serve: its parts.
type adminProcess struct {
	log      *slog.Logger
	traces   *traces
	store    atomic.Pointer[store.Store] // nil until it is open
	admin    *adminHTTP
	outbox   *outbox
	jobs     *jobWorkers
	observer *observer // nil: none

	background *errgroup.Group
	quit       context.CancelFunc
	failed     <-chan struct{}
}

// newAdminProcess opens everything and serves. A store that is away is waited for while
// requests are answered 503; what waiting does not mend is returned.
func (a *app) newAdminProcess(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *adminProcess, err error) {
	p := &adminProcess{log: log}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildMetric())
	dict, err := openDictionary(cfg)
	if err != nil {
		return nil, err
	}
	if p.traces, err = openTraces(ctx, cfg, "adminapi", log); err != nil {
		return nil, err
	}
	options, madeKey, err := storeOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	options.Tracer = p.traces.tracer()
	open := func(ctx context.Context) error {
		s, err := openStoreWith(ctx, options, madeKey, "", cfg.Store.AutoMigrate)
		if err == nil {
			p.store.Store(s)
		}
		return err
	}
	away := open(ctx)
	if away != nil {
		if !store.MayPass(away) {
			return nil, away
		}
		if madeKey != "" {
			return nil, fmt.Errorf("%w (and there is no master key at %s: copy it from the nodes)", away, madeKey)
		}
		log.Error("starting without the store, trying again", "error", oneLine(away))
	}
	if p.admin, err = listenAdmin(cfg, dict, registry, p.traces, a.stderr, log); err != nil {
		return nil, err
	}
	if p.outbox, err = newOutbox(cfg, registry, log); err != nil {
		return nil, err
	}
	p.jobs = &jobWorkers{cfg, registry, log}
	if cfg.Admin.MetricsListen != "" {
		checks := []check{{"store", func() (string, error) { return "ok", p.admin.ready(context.Background()) }}}
		if p.observer, err = observe("admin.metrics_listen", cfg.Admin.MetricsListen, registry, checks, nil, log); err != nil {
			return nil, err
		}
	}

	background, quit := context.WithCancel(context.Background())
	p.quit = quit
	p.background, background = errgroup.WithContext(background)
	p.failed = background.Done()
	p.background.Go(func() error {
		return p.admin.run(background, func(ctx context.Context) *store.Store {
			if away != nil && keepTrying(ctx, open, func(err error) {
				log.Error("the store cannot be opened, trying again", "error", oneLine(err))
			}, away) {
				log.Info("the store is open")
			}
			return p.store.Load()
		})
	})
	p.background.Go(func() error { p.outbox.run(background, p.store.Load); return nil })
	p.background.Go(func() error { p.jobs.run(background, p.store.Load); return nil })
	p.background.Go(func() error { runErasures(background, p.store.Load, historyErasers(cfg, log), log); return nil })
	attributes := []any{"admin", p.admin.url()}
	if p.observer != nil {
		attributes = append(attributes, "metrics", p.observer.address())
	}
	log.Info("ready", attributes...)
	return p, nil
}

// stop finishes the requests in flight and ends.
func (p *adminProcess) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err := p.admin.stop(ctx)
	p.quit()
	if err = errors.Join(err, p.background.Wait()); err != nil {
		return err
	}
	p.log.Info("stopped")
	return nil
}

// close closes what is open, in the opposite order.
func (p *adminProcess) close() {
	if p.quit != nil {
		p.quit()
		_ = p.background.Wait() // stop has told
	}
	if p.observer != nil {
		if err := p.observer.close(); err != nil {
			p.log.Warn("close the metrics listener", "error", err)
		}
	}
	if p.admin != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.admin.server.Shutdown(ended) // stop has told
	}
	p.traces.close(p.log)
	if s := p.store.Load(); s != nil {
		if err := closeInTime(s.Close); err != nil {
			p.log.Warn("close the store", "error", err)
		}
	}
}
