package aaa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"radiusd/dictionary"
	"radiusd/radius"
)

// DirectoryOptions are what a Directory needs. Store and Dictionary are required.
type DirectoryOptions struct {
	Store      DirectoryStore
	Dictionary *dictionary.Dictionary
	// PollInterval is how often the change feed is asked; zero: 250 ms.
	PollInterval time.Duration
	// MaxBackoff bounds the pause between attempts while the store is away;
	// zero: 5 s.
	MaxBackoff time.Duration
	// SnapshotFile is where the directory is saved, to be served when the
	// process starts while the store is away; empty: nowhere.
	SnapshotFile string
	// SnapshotInterval is how often it is saved if it has changed; zero: 5 min.
	SnapshotInterval time.Duration
	// Sealer encrypts the snapshot, which holds secrets; required with SnapshotFile.
	Sealer Sealer
	// VoucherHash returns what stands for a voucher's code as somebody has typed it, a
	// keyed hash, and false for what does not have the form of a code. It must be safe for
	// concurrent use. Nil: nobody logs in with a voucher.
	VoucherHash func(typed []byte) (hash [32]byte, ok bool)
	Registerer  prometheus.Registerer // nil: no metrics
	Logger      *slog.Logger          // nil: discards
	Now         func() time.Time      // nil: time.Now
}

// Directory holds every user, plan, group and NAS in memory and follows the
// store's change feed. Lookups take no lock and do not allocate; any number of
// goroutines may make them at once.
type Directory struct {
	options DirectoryOptions
	log     *slog.Logger
	users   atomic.Pointer[userTable]
	catalog atomic.Pointer[catalog]

	mu           sync.Mutex // one change at a time
	cursor       ChangeCursor
	pending      []uuid.UUID // users that have changed, the latest last, and are to be read
	catalogStale bool        // it has changed and is to be read
	catalogNext  *catalog    // to be published when no users are pending

	planIDs  *places
	groupIDs *places

	changed      atomic.Bool  // since the last snapshot was saved
	fromSnapshot atomic.Bool  // the store has not been reached since the start
	savedAt      atomic.Int64 // of the snapshot in use, Unix seconds
	polledAt     atomic.Int64 // last time the feed was read, Unix nanoseconds
	waiting      atomic.Int64 // how many are pending, for the metrics
}

// NewDirectory returns an empty directory; Load fills it.
func NewDirectory(options DirectoryOptions) (*Directory, error) {
	if options.Store == nil || options.Dictionary == nil {
		return nil, errors.New("directory: a store and a dictionary are required")
	}
	if options.SnapshotFile != "" && options.Sealer == nil {
		return nil, errors.New("directory: a snapshot needs a sealer")
	}
	if options.PollInterval <= 0 {
		options.PollInterval = 250 * time.Millisecond
	}
	if options.MaxBackoff <= 0 {
		options.MaxBackoff = 5 * time.Second
	}
	if options.SnapshotInterval <= 0 {
		options.SnapshotInterval = 5 * time.Minute
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Directory{
		options:  options,
		log:      options.Logger,
		planIDs:  newPlaces(),
		groupIDs: newPlaces(),
	}
	d.users.Store(newUserTable())
	d.catalog.Store(&catalog{nas: newNASTable(nil, nil, nil)})
	return d, d.register(options.Registerer)
}

// LookupNAS implements [radius.NASLookup]: the NAS with the longest prefix that
// holds the address. Owner of the result is a *[NAS].
func (d *Directory) LookupNAS(source netip.Addr) *radius.NAS {
	return d.catalog.Load().nas.lookup(source)
}

// User returns a copy of the user with the name, which is compared octet by
// octet. CreatedAt, UpdatedAt and the priorities of memberships are not kept.
func (d *Directory) User(name string) (User, bool) {
	var a account
	if !d.users.Load().get([]byte(name), &a) {
		return User{}, false
	}
	return d.user(&a), true
}

// PlanOf returns the name of the user's plan; empty: there is no such user, or the
// user has none.
func (d *Directory) PlanOf(username string) string {
	var a account
	if !d.users.Load().get([]byte(username), &a) {
		return ""
	}
	if p := d.catalog.Load().plan(a.plan); p != nil {
		return p.plan.Name
	}
	return ""
}

// Prefetch reads from memory what PlanOf reads of some users, at most
// [LiveBatch] of them, all at once rather than one after the other.
func (d *Directory) Prefetch(usernames []string) {
	var names [prefetchMost][]byte
	n := min(len(usernames), len(names))
	for i, name := range usernames[:n] {
		names[i] = unsafe.Slice(unsafe.StringData(name), len(name)) // only read
	}
	d.users.Load().prefetch(names[:n])
}

// DirectoryStatus is the state of a Directory.
type DirectoryStatus struct {
	Users, Plans, Groups, NASes int
	// PolledAt is when the change feed was last read; zero: not yet.
	PolledAt time.Time
	// SnapshotInUse is true when the store has not been reached since the start
	// and a snapshot of SnapshotAt is served.
	SnapshotInUse bool
	SnapshotAt    time.Time
}

// Status returns the present state.
func (d *Directory) Status() DirectoryStatus {
	c := d.catalog.Load()
	s := DirectoryStatus{
		Users:         int(d.users.Load().live.Load()),
		Plans:         c.counts.plans,
		Groups:        c.counts.groups,
		NASes:         len(c.nas.byID),
		SnapshotInUse: d.fromSnapshot.Load(),
	}
	if at := d.polledAt.Load(); at != 0 {
		s.PolledAt = time.Unix(0, at).UTC()
	}
	if s.SnapshotInUse {
		s.SnapshotAt = time.Unix(d.savedAt.Load(), 0).UTC()
	}
	return s
}

// Load fills the directory from the store, or from the snapshot if the store
// cannot be read. It is an error if neither can. Call it before Run.
func (d *Directory) Load(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.loadStore(ctx)
	if err == nil || d.options.SnapshotFile == "" || ctx.Err() != nil {
		return err
	}
	savedAt, fileErr := d.loadSnapshot()
	if fileErr != nil {
		return errors.Join(err, fileErr)
	}
	d.fromSnapshot.Store(true)
	d.savedAt.Store(savedAt.Unix())
	d.log.Warn("the store cannot be read: serving the last snapshot of the directory",
		"error", err, "saved_at", savedAt, "users", d.users.Load().live.Load())
	return nil
}

// loadStore replaces everything with what the store has.
func (d *Directory) loadStore(ctx context.Context) error {
	began := d.options.Now()
	// The cursor first: what commits during the load is read again.
	cursor, err := d.options.Store.ChangeCursor(ctx)
	if err != nil {
		return fmt.Errorf("read the change cursor: %w", err)
	}
	c, err := d.readCatalog(ctx)
	if err != nil {
		return err
	}
	users := newUserTable()
	pace := PaceOf(ctx)
	err = d.options.Store.EachUser(ctx, func(u *User) error {
		d.putUser(users, u)
		pace.Step()
		return nil
	})
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	// Users may have brought places of plans that are not there; the catalog
	// has room for none, which is what plan returns then.
	d.catalog.Store(c)
	d.users.Store(users)
	d.cursor = cursor
	d.pending, d.catalogStale, d.catalogNext = nil, false, nil
	d.waiting.Store(0)
	d.changed.Store(true)
	d.fromSnapshot.Store(false)
	d.polledAt.Store(d.options.Now().UnixNano())
	d.log.Info("directory loaded", "users", users.live.Load(), "plans", c.counts.plans,
		"groups", c.counts.groups, "nases", len(c.nas.byID), "took", d.options.Now().Sub(began).String())
	return nil
}

// readCatalog reads plans, groups and NASes.
func (d *Directory) readCatalog(ctx context.Context) (*catalog, error) {
	plans, err := d.options.Store.Plans(ctx)
	if err != nil {
		return nil, fmt.Errorf("read plans: %w", err)
	}
	groups, err := d.options.Store.Groups(ctx)
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	nases, err := d.options.Store.NASes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read NASes: %w", err)
	}
	return d.buildCatalog(PaceOf(ctx), plans, groups, nases), nil
}

// buildCatalog compiles a catalog, keeping what is unchanged.
func (d *Directory) buildCatalog(pace *Pace, plans []Plan, groups []Group, nases []NAS) *catalog {
	before := d.catalog.Load()
	c := &catalog{nas: newNASTable(pace, nases, before.nas)}
	c.counts.plans, c.counts.groups = len(plans), len(groups)
	for _, plan := range plans {
		place := d.planIDs.of(plan.ID)
		old := before.plan(place)
		entry := compilePlan(d.options.Dictionary, plan, old)
		if entry != old && entry.policy.err != nil {
			d.log.Error("plan cannot be used: its users are refused", "plan", plan.Name, "error", entry.policy.err)
		}
		c.plans = setPlace(c.plans, place, entry)
		pace.Step()
	}
	for _, group := range groups {
		place := d.groupIDs.of(group.ID)
		old := before.group(place)
		entry := compileGroup(d.options.Dictionary, group, old)
		if entry != old && entry.policy.err != nil {
			d.log.Error("group cannot be used: its members are refused", "group", group.Name, "error", entry.policy.err)
		}
		c.groups = setPlace(c.groups, place, entry)
		pace.Step()
	}
	return c
}

func setPlace[T any](list []*T, place uint32, entry *T) []*T {
	if missing := int(place) + 1 - len(list); missing > 0 {
		list = append(list, make([]*T, missing)...)
	}
	list[place] = entry
	return list
}

// putUser publishes a user in compact form. One that cannot be held is not there any
// more: what it was before is not to stay in force.
func (d *Directory) putUser(table *userTable, u *User) {
	if u.Name == "" || len(u.Name) > math.MaxUint16 || len(u.Credential.Secret) > math.MaxUint16 {
		d.log.Error("user cannot be used: its name is empty or too long, or its credential is", "id", u.ID)
		table.remove(u.ID)
		return
	}
	a := account{
		id:           u.ID,
		text:         u.Name + string(u.Credential.Secret),
		expires:      math.MaxInt64,
		plan:         d.planIDs.of(u.PlanID),
		simultaneous: int32(min(max(u.SimultaneousUse, 0), math.MaxInt32)),
		nameLength:   uint16(len(u.Name)),
		status:       u.Status,
		suspension:   u.Suspension,
		scheme:       u.Credential.Scheme,
	}
	if !u.ExpiresAt.IsZero() {
		a.expires = u.ExpiresAt.UnixMicro()
	}
	if len(u.Items) > 0 || len(u.Groups) > 0 {
		a.rules = d.compileRules(u)
	}
	if u.Voucher != nil && a.scheme == SchemeNone {
		a.setVoucher(u.Name, u.Voucher)
	}
	err := table.put(&a)
	if err == nil {
		err = table.putCode(&a)
	}
	if err != nil {
		d.log.Error("user cannot be used", "id", u.ID, "error", err)
		table.remove(u.ID)
	}
}

func (d *Directory) compileRules(u *User) *accountRules {
	rules := &accountRules{policy: compilePolicy(d.options.Dictionary, u.Items)}
	if rules.policy.err != nil {
		d.log.Error("user cannot be used: the user is refused", "user", u.Name, "error", rules.policy.err)
	}
	memberships := slices.Clone(u.Groups)
	slices.SortStableFunc(memberships, func(a, b Membership) int { return a.Priority - b.Priority })
	for _, m := range memberships {
		rules.groups = append(rules.groups, d.groupIDs.of(m.GroupID))
	}
	return rules
}

// user is the inverse of putUser.
func (d *Directory) user(a *account) User {
	u := User{
		ID: a.id, Name: strings.Clone(a.name()), Status: a.status, Suspension: a.suspension,
		Credential:      Credential{Scheme: a.scheme},
		PlanID:          d.planIDs.id(a.plan),
		ExpiresAt:       a.expiresAt(),
		SimultaneousUse: int(a.simultaneous),
	}
	if a.scheme == schemeVoucher {
		u.Credential.Scheme = SchemeNone
		u.Voucher = &VoucherLogin{CodeHash: [32]byte([]byte(a.codeHash())), ValidFor: a.validFor()}
	} else if secret := a.secret(); secret != "" {
		u.Credential.Secret = []byte(secret)
	}
	if a.rules != nil {
		u.Items = a.rules.policy.items
		for i, place := range a.rules.groups {
			u.Groups = append(u.Groups, Membership{GroupID: d.groupIDs.id(place), Priority: i})
		}
	}
	return u
}

// register adds the directory's metrics.
func (d *Directory) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	gauge := func(name, help string, value func(DirectoryStatus) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(d.Status()) })
	}
	for _, c := range []prometheus.Collector{
		gauge("radiusd_directory_users", "Users in the directory.",
			func(s DirectoryStatus) float64 { return float64(s.Users) }),
		gauge("radiusd_directory_plans", "Plans in the directory.",
			func(s DirectoryStatus) float64 { return float64(s.Plans) }),
		gauge("radiusd_directory_groups", "Groups in the directory.",
			func(s DirectoryStatus) float64 { return float64(s.Groups) }),
		gauge("radiusd_directory_nases", "NASes in the directory.",
			func(s DirectoryStatus) float64 { return float64(s.NASes) }),
		gauge("radiusd_directory_age_seconds", "Time since the store's change feed was last read; NaN before the first time.",
			func(s DirectoryStatus) float64 {
				if s.PolledAt.IsZero() {
					return math.NaN()
				}
				return d.options.Now().Sub(s.PolledAt).Seconds()
			}),
		gauge("radiusd_directory_pending_users", "Users that have changed in the store and not here yet.",
			func(DirectoryStatus) float64 { return float64(d.waiting.Load()) }),
		gauge("radiusd_directory_snapshot_in_use", "1 while a saved snapshot is served because the store has not been reached since the start.",
			func(s DirectoryStatus) float64 {
				if s.SnapshotInUse {
					return 1
				}
				return 0
			}),
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics of the directory: %w", err)
		}
	}
	return nil
}
