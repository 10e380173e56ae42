package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/operator"
)

func (a *app) serveCommand() *cobra.Command {
	var demo, admin bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Runs the RADIUS server until SIGTERM or SIGINT, then finishes what is in flight.
Without a configuration it keeps everything in the folder data: an SQLite
database, the accounting journal and the master key.

SIGHUP reads the configuration again. A file with mistakes changes nothing; what
can change only at a start is named in the log.

With --admin, or admin.enabled, it runs the admin API at admin.listen too, which
shows the first operator's password on standard error, once, when it makes him. See
/api/docs there.

With --demo it serves loopback only and adds a NAS 127.0.0.1 with the secret
testing123, some plans, and the users alice (password wonderland), bob (builder)
and carol (christmas, suspended), for a first try. A server without --demo does
not start on that data.`,
		Example: `  radiusd serve --demo
  radiusd serve --admin
  radiusd serve --config /etc/radiusd/radiusd.yaml`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			var overrides []config.Override
			if admin {
				overrides = append(overrides, config.Override{Key: "admin.enabled", Value: "true", Flag: "--admin"})
			}
			cfg, err := a.loadConfig(overrides...)
			if err != nil {
				return err
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return a.serve(operator.WithActor(c.Context(), operator.Actor{}), cfg, demo, hangup, overrides...)
		},
	}
	c.Flags().BoolVar(&demo, "demo", false, "serve loopback only, with well-known users and secrets to try")
	c.Flags().BoolVar(&admin, "admin", false, "run the admin API too")
	return c
}

// serveGCPercent lets the heap grow to three times what is live: users and sessions are
// most of it and seldom change, and to look through them less often saves some 2 % of
// the CPU that accounting takes (docs/benchmarks.md). GOGC, if set, decides instead.
const serveGCPercent = 200

// serve runs until ctx is done or a part fails. The overrides are those that cfg was
// loaded with.
func (a *app) serve(ctx context.Context, cfg *config.Config, demo bool, hangup <-chan os.Signal, overrides ...config.Override) error {
	level := new(slog.LevelVar)
	log := a.logger(cfg, level)
	for _, warning := range cfg.Warnings() {
		log.Warn(warning)
	}
	if demo {
		if err := onLoopback(cfg); err != nil {
			return err
		}
	}
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(serveGCPercent)
	}
	n, err := newNode(ctx, cfg, demo, a.stderr, log)
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.start(); err != nil {
		return err
	}
	n.logReady(demo)

	for {
		select {
		case <-hangup:
			a.reload(cfg, demo, level, log, overrides...)
		case <-ctx.Done():
			log.Info("stopping: finishing what is in flight")
			return n.stop()
		case <-n.failed:
			return n.stop()
		}
	}
}

// reload reads the configuration again and takes what can change while the server
// runs. A wrong one changes nothing.
func (a *app) reload(running *config.Config, demo bool, level *slog.LevelVar, log *slog.Logger, overrides ...config.Override) {
	fresh, err := a.loadConfig(overrides...)
	if err == nil && demo {
		err = onLoopback(fresh)
	}
	if err != nil {
		log.Error("configuration not reloaded: the old one stays", "error", oneLine(err))
		return
	}
	level.Set(fresh.Log.Level)
	restart := fresh.Changed(running, "log.level")
	if len(restart) > 0 {
		log.Warn("configuration reloaded; these settings need a restart", "keys", restart)
		return
	}
	log.Info("configuration reloaded")
}
