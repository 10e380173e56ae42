package redis

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"radiusd/aaa"
)

// Options configures a Store. URL, NodeID and Local are required.
type Options struct {
	// URL is redis://user:password@host:port/database, rediss:// for TLS, unix:// for
	// a socket. Further addresses of a cluster follow as ?addr=host:port.
	URL     string
	Cluster bool // it is a Redis Cluster
	// Prefix is what the names of all keys begin with; empty: radiusd. It must not
	// have braces.
	Prefix string
	// NodeID tells this node from the others.
	NodeID string
	// Local is this node's own view: what others are told of, what hears of the
	// sessions that end elsewhere, and what decides while Redis is away. New has
	// it tell of its changes (LiveSessions.OnChange).
	Local *aaa.LiveSessions
	// Usage is where the users' usage is read from, by day, before Redis counts on;
	// nil: quotas go by the local view.
	Usage UsageStore
	// Location is where days, weeks and months begin; nil: UTC.
	Location *time.Location
	// Loaded reports whether Local has been loaded; nil: it has. Until then Redis
	// does not hold what this node knows.
	Loaded func() bool
	// The durations of aaa.LiveOptions, with the same defaults. All nodes must
	// agree on them.
	ReservationTTL    time.Duration
	Liveness          time.Duration
	MinLiveness       time.Duration
	SilentLiveness    time.Duration
	ClosedRetention   time.Duration
	InferredRetention time.Duration
	// Timeout is how long a call may take before Redis counts as away; 0: 300 ms.
	Timeout time.Duration
	// FlushInterval is how long changes of sessions are collected before they are
	// told; 0: 50 ms.
	FlushInterval time.Duration
	// MendRate bounds how many sessions a second are told again when Redis has lost
	// them; 0: 10,000.
	MendRate   int
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // nil: no log
	// Now is the time that the scripts go by; nil: that of the Redis server, so that
	// nodes whose clocks differ agree. Tests move it.
	Now func() time.Time
}

// UsageStore tells what users have used, as the database knows it.
type UsageStore interface {
	// UsageAccounts returns what each of the users has used, by day from since on
	// and in sum, together with the counters that are contained in it of those of
	// the user's sessions that are open or ended at or after recent. Both are
	// of the same moment. A user of whom nothing is known may be missing.
	UsageAccounts(ctx context.Context, usernames []string, since, recent time.Time) ([]aaa.UsageAccount, error)
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.ReservationTTL, time.Minute},
		{&o.MinLiveness, 15 * time.Minute},
		{&o.SilentLiveness, 24 * time.Hour},
		{&o.ClosedRetention, time.Hour},
		{&o.InferredRetention, 24 * time.Hour},
		{&o.Timeout, 300 * time.Millisecond},
		{&o.FlushInterval, 50 * time.Millisecond},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	if o.MendRate <= 0 {
		o.MendRate = 10_000
	}
	if o.Prefix == "" {
		o.Prefix = "radiusd"
	}
	if o.Loaded == nil {
		o.Loaded = func() bool { return true }
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is the view of the sessions that several nodes share. It implements
// [aaa.Limits]. All methods are safe for concurrent use.
type Store struct {
	View
	log      *slog.Logger
	scripts  scripts
	metrics  *metrics
	calendar atomic.Pointer[calendar]

	up      atomic.Bool            // Redis answers, as far as is known
	mending atomic.Bool            // not all of this node's sessions are there yet
	tried   atomic.Bool            // whether Redis answers has been found out once
	broken  chan struct{}          // has room for one: something failed
	heard   atomic.Pointer[string] // the last entry of the stream that was read

	mu     sync.Mutex
	dirty  map[uuid.UUID]string // sessions that have changed, and the user they left
	unsure map[string]struct{}  // users whose usage must be read from the store
	held   []held               // places given while Redis was away
	wake   chan struct{}        // has room for one: unsure has grown
}

// New makes a Store, which ends with Close. It connects to nothing: that is for Run.
func New(opt Options) (*Store, error) {
	if opt.URL == "" || opt.NodeID == "" || opt.Local == nil {
		return nil, errors.New("redis: URL, NodeID and Local are required")
	}
	view, err := NewView(opt)
	if err != nil {
		return nil, err
	}
	s := &Store{
		View: *view, log: view.opt.Logger, scripts: newScripts(),
		broken: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		dirty: make(map[uuid.UUID]string), unsure: make(map[string]struct{}),
	}
	if s.metrics, err = newMetrics(s, opt.Registerer); err != nil {
		return nil, errors.Join(err, view.Close())
	}
	opt.Local.OnChange(s.changed)
	return s, nil
}

// patient is how many times longer than a reservation a call may take on which no
// request waits.
const patient = 10

// newClient makes a client that gives up soon: a worker that waits for Redis
// answers nobody else, and the fallback is at hand.
func newClient(opt Options) (goredis.UniversalClient, error) {
	u := goredis.UniversalOptions{IsClusterMode: opt.Cluster, ClientName: "radiusd"}
	if opt.Cluster {
		c, err := goredis.ParseClusterURL(opt.URL)
		if err != nil {
			return nil, explainURL(err)
		}
		u.Addrs, u.Username, u.Password, u.TLSConfig = c.Addrs, c.Username, c.Password, c.TLSConfig
	} else {
		c, err := goredis.ParseURL(opt.URL)
		if err != nil {
			return nil, explainURL(err)
		}
		u.Addrs, u.Username, u.Password, u.TLSConfig, u.DB = []string{c.Addr}, c.Username, c.Password, c.TLSConfig, c.DB
	}
	if u.TLSConfig != nil {
		u.TLSConfig.MinVersion = max(u.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	// A call has a deadline of its own, within these.
	u.DialTimeout, u.ReadTimeout, u.WriteTimeout, u.PoolTimeout = opt.Timeout, patient*opt.Timeout, patient*opt.Timeout, opt.Timeout
	u.MaxRetries, u.DialerRetries, u.ContextTimeoutEnabled = -1, 1, true
	u.DisableIdentity, u.PipelinePoolSize = true, -1
	u.PoolSize = 64
	u.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // what fails is in our log, once; the library would write its own lines beside it
	return goredis.NewUniversalClient(&u), nil
}

// explainURL leaves the URL, which may have a password, out of an error.
func explainURL(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		err = cause
	}
	return fmt.Errorf("redis: the URL cannot be used: %w", err)
}

// calendar is the starts of the days that periods reach back to, as the scripts
// read them.
type calendar struct {
	from   time.Time // of the present day
	until  time.Time
	first  time.Time // the start of the first day
	packed string
	// starts of the present periods, in s since 1970; 0 for ever
	starts [aaa.PeriodCount]uint64
}

// calendarDays covers the longest month, and the week in which it begins.
const calendarDays = 40

func (s *Store) today(now time.Time) *calendar {
	c := s.calendar.Load()
	if c != nil && now.Before(c.until) && !now.Before(c.from) {
		return c
	}
	c = newCalendar(now.In(s.opt.Location))
	s.calendar.Store(c)
	return c
}

func newCalendar(now time.Time) *calendar {
	y, m, d := now.Date()
	day := func(offset int) time.Time { return time.Date(y, m, d+offset, 0, 0, 0, 0, now.Location()) }
	c := &calendar{from: day(0), until: day(1), first: day(1 - calendarDays)}
	var b []byte
	for i := 1 - calendarDays; i <= 0; i++ {
		b = binary.BigEndian.AppendUint32(b, uint32(max(day(i).Unix(), 0)))
	}
	c.packed = string(b)
	c.starts[aaa.PeriodDay] = uint64(day(0).Unix())
	c.starts[aaa.PeriodWeek] = uint64(day(-(int(now.Weekday()) + 6) % 7).Unix()) // from Monday
	c.starts[aaa.PeriodMonth] = uint64(time.Date(y, m, 1, 0, 0, 0, 0, now.Location()).Unix())
	return c
}

// settings is the first argument of every script, with the calendar if it counts.
func (s *Store) settings(withCalendar bool) []byte {
	now := s.now()
	at := uint64(0)
	if s.opt.Now != nil {
		at = uint64(now.UnixMilli())
	}
	b := make([]byte, 0, 6*8+4*calendarDays)
	b = binary.BigEndian.AppendUint64(b, at)
	for _, d := range [...]time.Duration{s.opt.Liveness, s.opt.MinLiveness, s.opt.SilentLiveness, s.opt.ClosedRetention, s.opt.InferredRetention} {
		b = binary.BigEndian.AppendUint64(b, uint64(d.Milliseconds()))
	}
	if withCalendar {
		b = append(b, s.today(now).packed...)
	}
	return b
}
