package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/radius"
	"radiusd/store"
)

const (
	snapshotFile   = "directory.snapshot"
	quarantineFile = "quarantine.jsonl"
	// drainTime is how long what is in flight may take after SIGTERM.
	drainTime = 10 * time.Second
	// sessionsTime is how long a start may wait for the live sessions.
	sessionsTime = 5 * time.Second
)

func (a *app) serveCommand() *cobra.Command {
	var demo bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Runs the RADIUS server until SIGTERM or SIGINT, then finishes what is in flight.
Without a configuration it keeps everything in the folder data: an SQLite
database, the accounting journal and the master key.

SIGHUP reads the configuration again. A file with mistakes changes nothing; what
can change only at a start is named in the log.

With --demo it serves loopback only and adds a NAS 127.0.0.1 with the secret
testing123, some plans, and the users alice (password wonderland), bob (builder)
and carol (christmas, suspended), for a first try. A server without --demo does
not start on that data.`,
		Example: `  radiusd serve --demo
  radiusd serve --config /etc/radiusd/radiusd.yaml`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return a.serve(c.Context(), cfg, demo, hangup)
		},
	}
	c.Flags().BoolVar(&demo, "demo", false, "serve loopback only, with well-known users and secrets to try")
	return c
}

// serve runs until ctx is done or a part fails.
func (a *app) serve(ctx context.Context, cfg *config.Config, demo bool, hangup <-chan os.Signal) error {
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
	n, err := newNode(ctx, cfg, demo, log)
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
			a.reload(cfg, level, log)
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
func (a *app) reload(running *config.Config, level *slog.LevelVar, log *slog.Logger) {
	fresh, err := a.loadConfig()
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

// node is a running server: its parts, in the order in which they are made. They
// end in the opposite order, so that nothing loses what it stands on.
type node struct {
	log      *slog.Logger
	registry *prometheus.Registry

	backend    *backend
	journal    *journal.Journal
	directory  *aaa.Directory
	live       *aaa.LiveSessions
	records    *aaa.AuthRecorder
	ingest     *ingest.Ingest
	server     *radius.Server
	access     *aaa.Access
	accounting *aaa.Accounting
	observer   *observer
	keep       store.Retention

	background *errgroup.Group
	quit       context.CancelFunc // ends what runs in the background
	failed     <-chan struct{}    // something in the background ended by itself
}

// newNode makes all parts and fills what is in memory; nothing is answered yet. On
// an error it closes what it has opened.
func newNode(ctx context.Context, cfg *config.Config, demo bool, log *slog.Logger) (_ *node, err error) {
	history := time.Duration(cfg.Store.RetentionDays) * 24 * time.Hour
	n := &node{
		log: log, registry: prometheus.NewRegistry(),
		keep: store.Retention{AccountingRecords: history, AuthRecords: history},
	}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildMetric())

	dict, err := openDictionary(cfg)
	if err != nil {
		return nil, err
	}
	templates, err := aaa.LoadTemplates(dict, cfg.Templates.Files...)
	if err != nil {
		return nil, err
	}
	nodeID, err := openNodeID(cfg)
	if err != nil {
		return nil, err
	}
	// The journal first: its lock keeps a second server off data_dir.
	n.journal, err = journal.Open(journal.Options{
		Dir:          filepath.Join(cfg.DataDir, journalDir),
		SegmentBytes: int64(cfg.Journal.SegmentBytes),
		MaxBytes:     int64(cfg.Journal.MaxBytes),
		Logger:       log,
	})
	if err != nil {
		return nil, err
	}
	options, madeKey, err := storeOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	n.backend = &backend{log: log, open: func(ctx context.Context) (*store.Store, error) {
		s, err := openStoreWith(ctx, options, madeKey, nodeID, cfg.Store.AutoMigrate)
		if err != nil {
			return nil, err
		}
		if demo {
			err = seedDemo(ctx, s)
		} else {
			err = refuseDemo(ctx, s)
		}
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	}}
	snapshot := filepath.Join(cfg.DataDir, snapshotFile)
	if err := n.backend.connect(ctx); err != nil {
		if _, noSnapshot := os.Stat(snapshot); noSnapshot != nil || !errors.Is(err, store.ErrUnreachable) {
			return nil, err
		}
		log.Error("starting without the store", "error", err)
	}
	n.directory, err = aaa.NewDirectory(aaa.DirectoryOptions{
		Store: n.backend, Dictionary: dict, SnapshotFile: snapshot, Sealer: options.Sealer,
		Registerer: n.registry, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	if err := n.directory.Load(ctx); err != nil {
		return nil, err
	}
	n.live = aaa.NewLiveSessions(aaa.LiveOptions{
		Location: cfg.Location(), Liveness: cfg.Sessions.Liveness, ReservationTTL: cfg.Sessions.Reservation,
		Registerer: n.registry, Logger: log,
	})
	n.records, err = aaa.NewAuthRecorder(aaa.AuthRecorderOptions{Store: n.backend, Registerer: n.registry, Logger: log})
	if err != nil {
		return nil, err
	}
	n.access, err = aaa.NewAccess(aaa.AccessOptions{
		Directory: n.directory, Dictionary: dict, Templates: templates, Limits: n.live, Records: n.records,
		Location: cfg.Location(), RejectDelay: orAtOnce(cfg.Auth.RejectDelay), Registerer: n.registry, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	n.ingest, err = ingest.New(ingest.Options{
		Journal: n.journal, Decoder: aaa.NewDecoder(dict), Live: n.live, Sessions: n.backend,
		Sinks: []ingest.Sink{n.backend}, Quarantine: filepath.Join(cfg.DataDir, quarantineFile),
		Registerer: n.registry, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	n.accounting = &aaa.Accounting{Journal: n.journal}
	n.server = &radius.Server{
		Handler: radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
			if r.Packet.Code() == radius.AccountingRequest {
				n.accounting.ServeRADIUS(w, r)
			} else {
				n.access.ServeRADIUS(w, r)
			}
		}),
		NASes: n.directory, Auth: cfg.Auth.Listen, Acct: cfg.Acct.Listen, AcctReady: n.accounting.Ready,
		Listeners: cfg.Radius.Listeners, Workers: cfg.Auth.Workers, QueueLength: cfg.Auth.QueueLength,
		DuplicateWindow: cfg.Radius.DuplicateWindow, Registerer: n.registry, Logger: log,
	}
	if cfg.Metrics.Listen != "" {
		n.observer, err = observe(cfg.Metrics.Listen, n.registry, n.checks(), n.access, log)
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// start begins to answer.
func (n *node) start() error {
	background, quit := context.WithCancel(context.Background())
	n.quit = quit
	n.background, background = errgroup.WithContext(background)
	n.failed = background.Done()
	run := func(f func(context.Context)) {
		n.background.Go(func() error { f(background); return nil })
	}
	run(n.backend.await)
	run(func(ctx context.Context) { n.backend.maintain(ctx, n.keep) })
	run(n.directory.Run)
	run(n.records.Run)
	n.background.Go(func() error { return n.ingest.Run(background) })
	n.awaitSessions()
	return n.server.Start()
}

// awaitSessions waits until the live sessions are known, so that limits hold from
// the first request on, but not for a store that is away.
func (n *node) awaitSessions() {
	deadline := time.Now().Add(sessionsTime)
	for !n.ingest.Loaded() {
		if n.backend.opened.Load() == nil || time.Now().After(deadline) {
			n.log.Warn("the sessions are not known yet: limits and quotas count from now on until they are")
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stop answers what is in flight, lets it reach the journal and, as far as time
// allows, the stores, and ends.
func (n *node) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err := n.server.Shutdown(ctx)
	n.quit()
	err = errors.Join(err, n.background.Wait())
	if err != nil {
		return err
	}
	n.log.Info("stopped")
	return nil
}

// close closes what is open, in the opposite order.
func (n *node) close() {
	if n.observer != nil {
		if err := n.observer.close(); err != nil {
			n.log.Warn("close the metrics listener", "error", err)
		}
	}
	if n.journal != nil {
		if err := n.journal.Close(); err != nil {
			n.log.Error("close the journal", "error", err)
		}
	}
	if n.backend != nil {
		if err := n.backend.close(); err != nil {
			n.log.Warn("close the store", "error", err)
		}
	}
}

// staleAfter is how long the store's change feed may be silent before a probe is
// told.
const staleAfter = 10 * time.Second

// checks are the conditions of readiness. A store that is away is none of them:
// the server answers without it, and no other node would do better.
func (n *node) checks() []check {
	return []check{
		{"directory", func() (string, error) {
			status := n.directory.Status()
			switch age := time.Since(status.PolledAt).Truncate(time.Second); {
			case status.SnapshotInUse:
				return fmt.Sprintf("the store has not been reached since the start: serving the snapshot of %s",
					status.SnapshotAt.Format(time.RFC3339)), nil
			case status.PolledAt.IsZero():
				return "", errors.New("not loaded yet")
			case age > staleAfter:
				return fmt.Sprintf("the store has not been read for %v: serving what was read before", age), nil
			}
			return "ok", nil
		}},
		{"journal", func() (string, error) {
			if stats := n.journal.Stats(); stats.Err != nil || n.accounting.Ready() {
				return "ok", stats.Err
			}
			return "", journal.ErrFull
		}},
	}
}

// logReady says where the server listens, for people and for scripts.
func (n *node) logReady(demo bool) {
	auth, acct := n.server.Addrs()
	status := n.directory.Status()
	attributes := []any{"auth", addresses(auth), "acct", addresses(acct)}
	if n.observer != nil {
		attributes = append(attributes, "metrics", n.observer.address())
	}
	attributes = append(attributes, "store", n.backend.engine(),
		"users", status.Users, "plans", status.Plans, "nases", status.NASes, "sessions", n.live.OpenCount())
	n.log.Info("ready", attributes...)
	if demo {
		n.log.Info("demo: try it", "command", `echo "User-Name=alice,User-Password=wonderland" | radclient `+auth[0].String()+` auth `+demoSecret)
	}
	if status.NASes == 0 {
		n.log.Warn("no NAS is known, so every packet is dropped in silence: add one with `radiusd nas add ADDRESS --secret-stdin`")
	}
}

func addresses(list []netip.AddrPort) []string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return texts
}

// orAtOnce turns a configured delay into an option in which zero is the default
// and a negative one is none.
func orAtOnce(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// buildMetric tells which build runs.
func buildMetric() prometheus.Collector {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "radiusd_build_info",
		Help: "Always 1; which build runs is in the labels.",
	}, []string{"version", "goversion"})
	info := readBuild()
	g.WithLabelValues(info.Version, info.GoVersion).Set(1)
	return g
}
