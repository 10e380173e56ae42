package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/dictionary"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/radius"
	"radiusd/store"
	"radiusd/store/redis"
	"radiusd/store/seal"
)

const (
	snapshotFile   = "directory.snapshot"
	quarantineFile = "quarantine.jsonl"
	// drainTime is how long what is in flight may take after SIGTERM; half of it
	// more is for what has been answered to reach the stores.
	drainTime = 6 * time.Second
	// sessionsTime is how long a start may wait for the live sessions.
	sessionsTime = 5 * time.Second
)

// node is a running server: its parts, in the order in which they are made. They
// end in the opposite order, so that nothing loses what it stands on.
type node struct {
	log      *slog.Logger
	registry *prometheus.Registry

	backend    *backend
	history    *history // nil: no ClickHouse
	journal    *journal.Journal
	directory  *aaa.Directory
	live       *aaa.LiveSessions
	shared     *redis.Store // nil: this node counts alone
	records    *aaa.AuthRecorder
	firstUses  *aaa.FirstUses
	ingest     *ingest.Ingest
	server     *radius.Server
	access     *aaa.Access
	accounting *aaa.Accounting
	client     radius.Client // of actions
	actions    *aaa.Actions
	observer   *observer
	outbox     *outbox
	jobs       *jobWorkers // nil: another process runs jobs
	admin      *adminHTTP  // nil: it is no business of this process
	traces     *traces     // nil: none
	keep       store.Retention

	serving    atomic.Bool // requests are taken
	background *errgroup.Group
	quit       context.CancelFunc // ends what runs in the background
	failed     <-chan struct{}    // something in the background ended by itself
}

// newNode makes all parts and fills what is in memory; nothing is answered yet. On
// an error it closes what it has opened.
func newNode(ctx context.Context, cfg *config.Config, demo bool, stderr io.Writer, log *slog.Logger) (_ *node, err error) {
	history := time.Duration(cfg.Store.RetentionDays) * 24 * time.Hour
	n := &node{
		log: log, registry: prometheus.NewRegistry(),
		keep: store.Retention{AccountingRecords: history, AuthRecords: history, Audit: time.Duration(cfg.Audit.RetentionDays) * 24 * time.Hour},
	}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	n.registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/cpu/classes/gc/total:cpu-seconds$`)})),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildMetric())
	dict, err := openDictionary(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Admin.Enabled {
		if n.traces, err = openTraces(ctx, cfg, "radiusd", log); err != nil {
			return nil, err
		}
	}
	sealer, err := n.openData(ctx, cfg, demo)
	if err != nil {
		return nil, err
	}
	if err := n.fillMemory(ctx, cfg, dict, sealer); err != nil {
		return nil, err
	}
	if err := n.openShared(cfg); err != nil {
		return nil, err
	}
	if err := n.makeHandlers(cfg, dict); err != nil {
		return nil, err
	}
	n.server = &radius.Server{
		Handler: n, NASes: n.directory, Auth: cfg.Auth.Listen, Acct: cfg.Acct.Listen, AcctReady: n.accounting.Ready,
		Listeners: cfg.Radius.Listeners, Workers: workers(cfg), QueueLength: cfg.Auth.QueueLength,
		DuplicateWindow: cfg.Radius.DuplicateWindow, Registerer: n.registry, Logger: log,
	}
	if n.outbox, err = newOutbox(cfg, n.registry, log); err != nil {
		return nil, err
	}
	if cfg.Admin.Enabled {
		n.jobs = &jobWorkers{cfg, n.registry, log}
		if n.admin, err = listenAdmin(cfg, dict, n.registry, n.traces, stderr, log); err != nil {
			return nil, err
		}
	}
	if cfg.Metrics.Listen != "" {
		n.observer, err = observe("metrics.listen", cfg.Metrics.Listen, n.registry, n.checks(), n.access, log)
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// openData opens what is on disk: the journal first, whose lock keeps a second
// server off data_dir, then the store. A store that is away, or whose disk is full,
// is waited for only if there is a snapshot of the directory to serve meanwhile.
func (n *node) openData(ctx context.Context, cfg *config.Config, demo bool) (*seal.Sealer, error) {
	nodeID, err := openNodeID(cfg)
	if err != nil {
		return nil, err
	}
	n.journal, err = journal.Open(journal.Options{
		Dir:          filepath.Join(cfg.DataDir, journalDir),
		SegmentBytes: int64(cfg.Journal.SegmentBytes),
		MaxBytes:     int64(cfg.Journal.MaxBytes),
		Begin:        journalBegin(time.Now()),
		Logger:       n.log,
	})
	if err != nil {
		return nil, adviseDamage(err)
	}
	options, madeKey, err := storeOptions(cfg, n.log)
	if err != nil {
		return nil, err
	}
	options.Tracer = n.traces.tracer()
	n.backend = &backend{log: n.log, open: func(ctx context.Context) (*store.Store, error) {
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
	_, noSnapshot := os.Stat(filepath.Join(cfg.DataDir, snapshotFile))
	if err := n.backend.connect(ctx); err != nil {
		if noSnapshot != nil || !store.MayPass(err) {
			return nil, err
		}
		if madeKey != "" {
			return nil, errNoMasterKey(madeKey, snapshotFile)
		}
		n.backend.failed = err
		n.log.Error("starting without the store, trying again", "error", err)
	}
	if cfg.ClickHouse.URL != "" {
		if n.history, err = openHistory(ctx, cfg, nodeID, noSnapshot != nil, n.log); err != nil {
			return nil, err
		}
	}
	return options.Sealer, nil
}

// journalBegin is where a new journal begins: behind all positions of one that it
// may replace, whose cursors the stores still have, unless that one grew by more
// than 4 MiB a second all its time.
func journalBegin(now time.Time) journal.Position {
	return journal.Position(max(now.UnixMilli(), 0)) << 12
}

// fillMemory loads the directory and makes the live sessions, which ingest loads.
func (n *node) fillMemory(ctx context.Context, cfg *config.Config, dict *dictionary.Dictionary, sealer *seal.Sealer) (err error) {
	voucherKey := store.VoucherKey(sealer)
	n.directory, err = aaa.NewDirectory(aaa.DirectoryOptions{
		Store: n.backend, Dictionary: dict, VoucherHash: voucherKey.Hash,
		SnapshotFile: filepath.Join(cfg.DataDir, snapshotFile), Sealer: sealer,
		Registerer: n.registry, Logger: n.log,
	})
	if err != nil {
		return err
	}
	if err := n.directory.Load(ctx); err != nil {
		return err
	}
	n.firstUses, err = aaa.NewFirstUses(aaa.FirstUsesOptions{Store: n.backend, Directory: n.directory, Registerer: n.registry, Logger: n.log})
	if err != nil {
		return err
	}
	n.live = aaa.NewLiveSessions(aaa.LiveOptions{
		Location: cfg.Location(), Liveness: cfg.Sessions.Liveness, ReservationTTL: cfg.Sessions.Reservation,
		Registerer: n.registry, Logger: n.log,
	})
	sinks := []ingest.Sink{n.backend}
	if n.history != nil {
		sinks = append(sinks, n.history)
	}
	n.ingest, err = ingest.New(ingest.Options{
		Journal: n.journal, Decoder: aaa.NewDecoder(dict), Live: n.live, Sessions: n.backend, Boots: n.backend,
		PlanOf: n.directory.PlanOf, Username: n.directory.Username, Prefetch: n.directory.Prefetch, Seen: n.firstUses.Seen, Sinks: sinks, Quarantine: filepath.Join(cfg.DataDir, quarantineFile),
		Keep: cfg.Journal.Keep, DrainTimeout: drainTime / 2, Registerer: n.registry, Logger: n.log,
	})
	return err
}

// makeHandlers makes what answers requests.
func (n *node) makeHandlers(cfg *config.Config, dict *dictionary.Dictionary) error {
	templates, err := aaa.LoadTemplates(dict, cfg.Templates.Files...)
	if err != nil {
		return err
	}
	stores := []aaa.AuthStore{{Name: store.SinkName, Store: n.backend}}
	if n.history != nil {
		stores = append(stores, n.history.authStore())
	}
	n.records, err = aaa.NewAuthRecorder(aaa.AuthRecorderOptions{Stores: stores, RefusedOnly: cfg.Auth.Record == "refused", Registerer: n.registry, Logger: n.log})
	if err != nil {
		return err
	}
	n.access, err = aaa.NewAccess(aaa.AccessOptions{
		Directory: n.directory, Dictionary: dict, Templates: templates, Limits: n.limits(), Records: n.records, FirstUses: n.firstUses,
		Location: cfg.Location(), RejectDelay: orAtOnce(cfg.Auth.RejectDelay), Registerer: n.registry, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.accounting = &aaa.Accounting{Journal: n.journal}
	n.actions, err = aaa.NewActions(aaa.ActionsOptions{
		Queue: n.backend, NASes: n.directory, Dictionary: dict, Templates: templates, Client: &n.client,
		Live: n.live, Registerer: n.registry, Logger: n.log,
	})
	return err
}

// PrepareRADIUS implements radius.Preparer.
func (n *node) PrepareRADIUS(packets []radius.Packet) { n.access.PrepareRADIUS(packets) }

// ServeRADIUS implements radius.Handler.
func (n *node) ServeRADIUS(w *radius.Reply, r *radius.Request) {
	if r.Packet.Code() == radius.AccountingRequest {
		n.accounting.ServeRADIUS(w, r)
	} else {
		n.access.ServeRADIUS(w, r)
	}
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
	if n.history != nil {
		n.keep.Erasers = append(n.keep.Erasers, n.history)
	}
	run(n.backend.await)
	run(func(ctx context.Context) { n.backend.maintain(ctx, n.keep) })
	if n.history != nil {
		run(n.history.run)
	}
	run(func(ctx context.Context) { n.outbox.run(ctx, n.backend.store) })
	run(func(ctx context.Context) { runErasures(ctx, n.backend.store, n.keep.Erasers, n.log) })
	if n.jobs != nil {
		run(func(ctx context.Context) { n.jobs.run(ctx, n.backend.store) })
	}
	if n.admin != nil {
		n.background.Go(func() error { return n.admin.run(background, n.backend.awaitOpen) })
	}
	run(n.directory.Run)
	run(n.records.Run)
	run(n.firstUses.Run)
	run(n.actions.Run)
	n.background.Go(func() error { return n.ingest.Run(background) })
	if n.shared != nil {
		run(n.shared.Run)
	}
	n.awaitSessions()
	if err := n.server.Start(); err != nil {
		quit()
		return errors.Join(err, n.background.Wait())
	}
	n.serving.Store(true)
	return nil
}

// awaitSessions waits until the live sessions are known, so that limits hold from
// the first request on, but not for a store that is away.
func (n *node) awaitSessions() {
	deadline := time.Now().Add(sessionsTime)
	for n.shared != nil && !n.shared.Tried() && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
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
	n.serving.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var servers errgroup.Group
	servers.Go(func() error { return n.server.Shutdown(ctx) })
	if n.admin != nil {
		servers.Go(func() error { return n.admin.stop(ctx) })
	}
	err := servers.Wait()
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
	_ = n.client.Close() // only says so to exchanges, and there are none any more
	if n.admin != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.admin.server.Shutdown(ended) // stop has told
	}
	n.traces.close(n.log)
	if n.shared != nil {
		if err := n.shared.Close(); err != nil {
			n.log.Warn("close Redis", "error", err)
		}
	}
	if n.journal != nil {
		if err := n.journal.Close(); err != nil {
			n.log.Error("close the journal", "error", err)
		}
	}
	if n.history != nil {
		if err := n.history.close(); err != nil {
			n.log.Warn("close ClickHouse", "error", err)
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
		{"server", func() (string, error) {
			if !n.serving.Load() {
				return "", errors.New("no requests are taken: the server is starting or stopping")
			}
			return "ok", nil
		}},
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
			switch stats := n.journal.Stats(); {
			case stats.Err != nil:
				return "", stats.Err
			case !n.accounting.Ready():
				return "", journal.ErrFull
			case stats.Damage != nil:
				return fmt.Sprintf("accounting is recorded and answered, but the stores wait: %v", adviseDamage(stats.Damage)), nil
			case stats.NearlyFull:
				return fmt.Sprintf("%d %% full, waiting for %s", stats.Bytes*100/stats.MaxBytes, stats.HeldBy), nil
			}
			return "ok", nil
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
	if n.admin != nil {
		attributes = append(attributes, "admin", n.admin.url())
	}
	attributes = append(attributes, "store", n.backend.engine(),
		"users", status.Users, "plans", status.Plans, "nases", status.NASes, "sessions", n.live.OpenCount())
	n.log.Info("ready", attributes...)
	if demo && len(auth) > 0 {
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
