package aaa

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// LiveOptions configures LiveSessions. The zero value works.
type LiveOptions struct {
	// Location is where days, weeks and months begin; nil: UTC.
	Location *time.Location
	// ReservationTTL is how long an Access-Accept holds a place among the user's
	// simultaneous sessions before the Start comes. 0: 60 s.
	ReservationTTL time.Duration
	// Liveness is after how long without a record a session is taken for ended.
	// 0: three times the longest interval between interims seen in the session,
	// but no less than MinLiveness; SilentLiveness when there were no interims.
	Liveness       time.Duration
	MinLiveness    time.Duration // 0: 15 min
	SilentLiveness time.Duration // 0: 24 h
	// ClosedRetention is how long a session is remembered after its Stop, so that
	// repeated and late records find it. 0: 1 h. Where the stop was inferred it is
	// InferredRetention, 0: 24 h.
	ClosedRetention   time.Duration
	InferredRetention time.Duration
	Registerer        prometheus.Registerer // nil: no metrics
	Logger            *slog.Logger          // nil: no log
	Now               func() time.Time      // nil: time.Now
}

func (o LiveOptions) withDefaults() LiveOptions {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.ReservationTTL, time.Minute},
		{&o.MinLiveness, 15 * time.Minute},
		{&o.SilentLiveness, 24 * time.Hour},
		{&o.ClosedRetention, time.Hour},
		{&o.InferredRetention, 24 * time.Hour},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// rebuiltInterval is the interval between interims that a session is taken to
// have which was open when the process started and had some before.
const rebuiltInterval = 10 * time.Minute

// LiveSessions is the view of the sessions in memory: those that are open, and
// for a while those that ended; how many each user has open, and what each user
// has used. It implements [Limits] for one node.
//
// It is rebuilt at start by Load, and then fed by Apply with the records of the
// journal behind the store's cursor. One writer at a time changes it (Load, Apply
// and Sweep exclude each other); Reserve, Used and the methods that list may be
// called at any time, from any goroutine, and never wait long.
type LiveSessions struct {
	opt      LiveOptions
	resolver *Resolver
	base     time.Time // monotonic times are counted from here
	seed     maphash.Seed

	writer  sync.Mutex
	nases   map[nasKey]*liveNAS // changed by the writer alone, like what hangs on it
	byAddr  map[netip.Addr][]*liveNAS
	scratch []byte
	swept   int                             // the shard that Sweep looks at next
	changed func(id uuid.UUID, left string) // nil: nobody asks

	sessions [liveShards]sessionShard
	users    [liveShards]userShard

	open     atomic.Int64
	calendar atomic.Pointer[calendar]
	inferred *prometheus.CounterVec
}

const liveShards = 256

// sessionShard holds sessions by the first octet of their id.
type sessionShard struct {
	mu  sync.RWMutex
	set liveSet[uuid.UUID, *liveSession]
}

func (ls *liveSession) key() uuid.UUID { return ls.id }

// hashSessionID: ids are as good as random, and the first octet is the shard.
func hashSessionID(id uuid.UUID) uint64 { return binary.BigEndian.Uint64(id[8:]) }

// liveSession is a session as it is kept in memory. counters, packed, user and nas are
// under the lock of its session shard; device, named, open and slot under that of its
// user, which may be held when the other is taken.
// Only the writer changes any of them, and so reads them without a lock.
type liveSession struct {
	id       uuid.UUID
	packed   string
	user     *liveUser
	nas      *liveNAS
	counters liveCounters
	previous *liveSession // in the NAS's ring
	next     *liveSession
	device   uint64 // hash of NAS address, port and station; zero: not known
	named    uint64 // hash of NAS address and Acct-Session-Id
	seen     int64  // when the last record was received, ms since base
	interval uint32 // longest between interims, in seconds; zero: there were none
	slot     int32  // index in user.sessions
	open     bool
	inferred bool
}

// liveNAS is what its sessions share.
type liveNAS struct {
	nasKey
	ring    liveSession // head of the ring of its sessions
	count   int
	wrapped bool // sends no gigawords although its counters wrap
}

// NewLiveSessions returns an empty view.
func NewLiveSessions(opt LiveOptions) *LiveSessions {
	opt = opt.withDefaults()
	l := &LiveSessions{
		opt:      opt,
		resolver: NewResolver(),
		base:     opt.Now(),
		seed:     maphash.MakeSeed(),
		nases:    make(map[nasKey]*liveNAS),
		byAddr:   make(map[netip.Addr][]*liveNAS),
		inferred: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_sessions_inferred_stops_total",
			Help: "Sessions that ended without a Stop, by cause.",
		}, []string{"cause"}),
	}
	seed := l.seed
	hashName := func(name string) uint64 { return maphash.String(seed, name) / liveShards }
	for i := range l.sessions {
		l.sessions[i].set.hash = hashSessionID
		l.users[i].set.hash = hashName
	}
	for _, cause := range []string{CauseReboot, CauseSuperseded, CauseLapsed} {
		l.inferred.WithLabelValues(cause) // there from the start, so that the first one is seen
	}
	if opt.Registerer != nil {
		opt.Registerer.MustRegister(l.inferred, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "radiusd_sessions_open", Help: "Sessions that are open, as far as this node has heard of them.",
		}, func() float64 { return float64(l.open.Load()) }))
	}
	return l
}

// Resolver returns the resolver that gives records their ids. It knows what Apply
// has seen, so a record must be applied before others resolve it.
func (l *LiveSessions) Resolver() *Resolver { return l.resolver }

// Load fills the empty view from the store. The records behind the store's cursor
// are to be applied after it. After an error it may be called again.
func (l *LiveSessions) Load(ctx context.Context, store SessionStore) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	changed := l.changed
	l.changed = nil // what is loaded is no change
	defer func() { l.changed = changed }()
	boots, err := store.Boots(ctx, time.Time{})
	if err != nil {
		return fmt.Errorf("load boots: %w", err)
	}
	l.resolver.load(boots)
	now := l.opt.Now()
	since := now.Add(-max(l.opt.ClosedRetention, l.opt.InferredRetention))
	err = store.EachSession(ctx, since, func(s *Session) error {
		l.loadSession(s, now)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load sessions: %w", err)
	}
	l.forgetUsage() // of a Load that failed half way
	var starts []time.Time
	for _, p := range []Period{PeriodDay, PeriodWeek, PeriodMonth} {
		starts = append(starts, startOfPeriod(p, now, l.opt.Location))
	}
	slices.SortFunc(starts, time.Time.Compare)
	starts = slices.CompactFunc(starts, time.Time.Equal)
	err = store.EachUsage(ctx, starts, func(d DailyUsage) error {
		l.addUsage(d.Username, d.Day, d.Usage)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load usage: %w", err)
	}
	return nil
}

// loadSession takes in a stored session. One that is open gets the time of one
// interim at least before it can lapse: its records may have waited while this
// server was down.
func (l *LiveSessions) loadSession(s *Session, now time.Time) {
	if l.sessionShard(s.ID).set.get(s.ID) != nil {
		return
	}
	l.resolver.pinStored(s)
	ls := &liveSession{id: s.ID, seen: l.elapsed(now)}
	if s.UpdatedAt.After(s.StartedAt) {
		ls.interval = uint32(rebuiltInterval / time.Second)
	}
	if s.Open() {
		timeout := l.timeout(ls)
		idle := min(max(now.Sub(s.UpdatedAt), 0), timeout-timeout/3)
		ls.seen -= idle.Milliseconds()
	}
	l.put(ls, s, true)
}

// Apply takes a record, which it resolves. It is to see the records in the order
// of the journal; one that it has seen before changes nothing.
func (l *LiveSessions) Apply(r *Record) {
	l.Observe(r)
	l.resolver.Resolve(r)
}

// Observe is Apply without the record's ID, which the live sessions do not need and
// which is dear. It keeps nothing of the record.
func (l *LiveSessions) Observe(r *Record) {
	l.writer.Lock()
	defer l.writer.Unlock()
	l.resolver.resolveSession(r)
	l.observe(r, l.session(r), l.opt.Now())
}

// session returns the record's session, nil if it is not known.
func (l *LiveSessions) session(r *Record) *liveSession {
	return l.sessionShard(r.SessionID).set.get(r.SessionID)
}

// applySession takes a record of the session, which is nil if it is not known.
func (l *LiveSessions) applySession(ls *liveSession, r *Record, now time.Time) {
	known := ls != nil
	if !known {
		ls = &liveSession{id: r.SessionID}
	}
	l.hear(ls, r, known, now)
	t, ok := l.countOn(ls, r)
	if !ok {
		t = l.merge(ls, r, known)
	}
	l.takeOver(ls.user, r, known)
	if known || !l.mayBeForgotten(r) {
		l.addStep(ls.user, t, now)
	}
}

// merge takes any record of the session.
func (l *LiveSessions) merge(ls *liveSession, r *Record, known bool) Step {
	var s Session
	if known {
		ls.load(&s)
	}
	unsettled := !known || s.StopInferred || r.Status == AcctStart
	t := StepOf(&s, r)
	if s.CounterWrapped && ls.nas != nil && !ls.nas.wrapped {
		ls.nas.wrapped = true
		l.opt.Logger.Warn("the NAS sends no gigawords although its octet counters wrap",
			"nas", s.NASAddr, "nas_identifier", s.NASIdentifier)
	}
	if unsettled {
		s.Settle(l.resolver.Boots(s.NASID, s.NASAddr, s.NASIdentifier), nil)
	}
	l.put(ls, &s, !known)
	if unsettled {
		l.supersede(ls, &s)
	}
	return t
}

// mayBeForgotten reports whether a record of a session that is not known may belong
// to one that was counted before and forgotten since: it comes late, or the session
// has lasted so long that it may have fallen silent and been given up. The store
// knows; here it is left out rather than counted twice.
func (l *LiveSessions) mayBeForgotten(r *Record) bool {
	return r.ReceivedAt.Sub(r.EventTime) >= l.opt.ClosedRetention || r.SessionSeconds >= uint64(l.opt.InferredRetention/time.Second)
}

// hear notes when the session was last heard of, and how often it is.
func (l *LiveSessions) hear(ls *liveSession, r *Record, known bool, now time.Time) {
	seen := l.elapsed(now) - max(now.Sub(r.ReceivedAt), 0).Milliseconds()
	if !known {
		ls.seen = seen
		return
	}
	if gap := (seen - ls.seen) / 1000; r.Status == AcctInterim && gap > 0 {
		ls.interval = max(ls.interval, uint32(min(gap, 1<<31)))
	}
	ls.seen = max(ls.seen, seen)
}

// elapsed is the time since base in ms; it does not follow the wall clock.
func (l *LiveSessions) elapsed(now time.Time) int64 { return now.Sub(l.base).Milliseconds() }

// supersede lets the session and those of the same device end each other.
func (l *LiveSessions) supersede(ls *liveSession, s *Session) {
	if ls.device == 0 || ls.user == nil {
		return
	}
	changed := false
	for _, other := range ls.user.sessions {
		if other == ls || other.device != ls.device {
			continue
		}
		var o Session
		other.load(&o)
		changed = s.Settle(nil, []*Session{&o}) || changed
		if o.Settle(nil, []*Session{s}) {
			l.put(other, &o, false)
		}
	}
	if changed {
		l.put(ls, s, false)
	}
}

// applyBoot ends the sessions of the NAS that began before its boot. Each is
// locked for itself, so that Access-Requests need not wait for a hundred thousand.
func (l *LiveSessions) applyBoot(r *Record) {
	boot := []Boot{r.Boot()}
	var pins []sessionKey
	for _, n := range l.byAddr[r.NASAddr] {
		if r.NASID != n.id || r.NASIdentifier != "" && r.NASIdentifier != n.identifier {
			continue
		}
		for ls := n.ring.next; ls != nil && ls != &n.ring; ls = ls.next {
			var s Session
			ls.load(&s)
			if r.Status == AcctOn && !s.StartedAt.Before(r.EventTime) {
				if _, ok := ParseClass(s.Class); !ok {
					pins = append(pins, sessionKey{s.AcctSessionID, s.Username})
				}
				continue
			}
			if s.Settle(boot, nil) {
				l.put(ls, &s, false)
			}
		}
	}
	l.resolver.add(r, pins)
}

// put stores a session and keeps every index of it right.
func (l *LiveSessions) put(ls *liveSession, s *Session, fresh bool) {
	l.scratch = appendPacked(l.scratch[:0], s)
	packed := string(l.scratch)
	user, nas := l.userOf(ls, s), l.nasOf(ls, s)

	shard := l.sessionShard(ls.id)
	shard.mu.Lock()
	left := ls.user
	ls.packed, ls.counters, ls.user = packed, countersOf(s), user
	if ls.nas != nas {
		ls.unlink()
		ls.link(nas)
	}
	if fresh {
		shard.set.add(ls)
	}
	shard.mu.Unlock()

	if left != nil && left != user {
		l.leave(left, ls)
	}
	opened, closed := l.settleUser(user, ls, s, left != user)
	if opened {
		l.open.Add(1)
	}
	if closed {
		l.open.Add(-1)
		if s.StopInferred {
			l.inferred.WithLabelValues(s.TerminateCause).Inc()
		}
	}
	if ls.inferred = s.StopInferred; closed || fresh && !s.Open() {
		ls.seen = max(ls.seen, l.elapsed(l.opt.Now()))
	}
	if l.changed != nil {
		name := ""
		if left != nil && left != user {
			name = left.name
		}
		l.changed(ls.id, name)
	}
}

// load unpacks the session.
func (ls *liveSession) load(s *Session) {
	unpack(ls.packed, &ls.counters, s)
	s.ID = ls.id
	if ls.user != nil {
		s.Username = ls.user.name
	}
	s.NASAddr, s.NASIdentifier, s.NASID = ls.nas.addr, ls.nas.identifier, ls.nas.id
}

func (l *LiveSessions) sessionShard(id uuid.UUID) *sessionShard { return &l.sessions[id[0]] }
