package aaa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// FirstUsesOptions are what FirstUses needs. Store and Directory are required.
type FirstUsesOptions struct {
	Store     FirstUseStore
	Directory *Directory
	// Max is how many first uses are known here that the store, or the directory, does
	// not know yet; zero: 100,000. Beyond, new vouchers are refused.
	Max int
	// Interval is how long first uses are collected before they are written; zero: 50 ms.
	Interval time.Duration
	// MaxBackoff bounds the pause between attempts while the store is away; zero: 5 s.
	MaxBackoff time.Duration
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // nil: discards
}

// FirstUses are the first logins of vouchers that the directory does not know of yet. A
// first use is in force at once, and written to the store from a goroutine, again and
// again while the store is away. One that is lost because the process is killed is seen
// again in the accounting of the session that it began: in what the journal still has
// (Seen), or in the sessions that the store has, which Run looks through when it begins.
type FirstUses struct {
	options FirstUsesOptions
	log     *slog.Logger
	wake    chan struct{}
	failed  prometheus.Counter

	mu     sync.Mutex
	known  map[uuid.UUID]*firstUse
	unsent []uuid.UUID // of those that are to be written
}

type firstUse struct {
	name   string
	at     time.Time
	unsent bool
}

// firstUseBatch is how many first uses are written at once.
const firstUseBatch = 500

var errManyFirstUses = errors.New("too many first uses of vouchers wait for the store")

// NewFirstUses returns an empty FirstUses; nothing is written until Run.
func NewFirstUses(options FirstUsesOptions) (*FirstUses, error) {
	if options.Store == nil || options.Directory == nil {
		return nil, errors.New("first uses: a store and a directory are required")
	}
	if options.Max <= 0 {
		options.Max = 100_000
	}
	if options.Interval <= 0 {
		options.Interval = 50 * time.Millisecond
	}
	if options.MaxBackoff <= 0 {
		options.MaxBackoff = 5 * time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	u := &FirstUses{options: options, log: options.Logger, wake: make(chan struct{}, 1), known: map[uuid.UUID]*firstUse{}}
	u.failed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "radiusd_voucher_first_use_write_errors_total", Help: "Attempts to write first uses of vouchers that failed.",
	})
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "radiusd_voucher_first_uses_waiting", Help: "First uses of vouchers that are not in the store yet.",
	}, func() float64 {
		u.mu.Lock()
		defer u.mu.Unlock()
		return float64(len(u.unsent))
	})
	if options.Registerer != nil {
		for _, c := range []prometheus.Collector{u.failed, waiting} {
			if err := options.Registerer.Register(c); err != nil {
				return nil, fmt.Errorf("register metrics of first uses: %w", err)
			}
		}
	}
	return u, nil
}

// at returns the first use of a voucher that the directory does not know of.
func (u *FirstUses) at(userID uuid.UUID) (time.Time, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if use := u.known[userID]; use != nil {
		return use.at, true
	}
	return time.Time{}, false
}

// begin notes that a voucher is used. The earliest time counts.
func (u *FirstUses) begin(a *account, at time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	use := u.known[a.id]
	switch {
	case use == nil && len(u.known) >= u.options.Max:
		return errManyFirstUses
	case use == nil:
		use = &firstUse{name: strings.Clone(a.name()), at: at}
		u.known[a.id] = use
	case !at.Before(use.at):
		return nil
	}
	use.at = at
	if !use.unsent {
		use.unsent = true
		u.unsent = append(u.unsent, a.id)
	}
	select {
	case u.wake <- struct{}{}:
	default:
	}
	return nil
}

// Seen takes note of an accounting record, which tells of the first use of a voucher if
// the process that let it in was killed before that was written. The record is not kept.
func (u *FirstUses) Seen(r *Record) {
	users := u.options.Directory.users.Load()
	if users.codes.live.Load() == 0 || r.Username == "" {
		return
	}
	var a account
	if !users.get([]byte(r.Username), &a) || a.scheme != schemeVoucher || a.validFor() == 0 {
		return
	}
	if err := u.begin(&a, r.ReceivedAt); err != nil {
		u.log.Error("the first use of a voucher is not noted", "user", a.name(), "error", err)
	}
}

// Run writes first uses until ctx is done, then what is left, for which it takes no
// longer than five seconds.
func (u *FirstUses) Run(ctx context.Context) {
	sweep := time.NewTicker(time.Second)
	defer sweep.Stop()
	pause := u.options.Interval
	recovered := u.recover(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := u.flush(last); err != nil {
				u.log.Error("first uses of vouchers were not recorded", "error", err)
			}
			return
		case <-sweep.C:
			if !recovered {
				recovered = u.recover(ctx)
			}
			u.sweep()
			continue
		case <-u.wake:
		}
		select {
		case <-ctx.Done():
			continue
		case <-time.After(pause):
		}
		switch err := u.flush(ctx); {
		case err == nil && pause != u.options.Interval:
			u.log.Info("first uses of vouchers are recorded again")
			pause = u.options.Interval
		case err != nil && ctx.Err() == nil:
			if pause == u.options.Interval {
				u.log.Error("first uses of vouchers cannot be recorded for now", "error", err)
			}
			pause = min(2*pause, max(u.options.MaxBackoff, u.options.Interval+1))
		}
	}
}

// lostFor is how long ago a process may have been killed for its first uses to be found.
const lostFor = 24 * time.Hour

// recover begins what the sessions in the store tell of, and reports whether they could
// be read.
func (u *FirstUses) recover(ctx context.Context) bool {
	if u.options.Directory.users.Load().codes.live.Load() == 0 {
		return true
	}
	lost, err := u.options.Store.LostFirstUses(ctx, u.options.Directory.options.Now().Add(-lostFor))
	if err == nil && len(lost) > 0 {
		err = u.options.Store.RecordFirstUses(ctx, lost)
	}
	return err == nil
}

// flush writes what waits, in batches. What cannot be written waits on.
func (u *FirstUses) flush(ctx context.Context) error {
	for {
		batch := u.take()
		if len(batch) == 0 {
			return nil
		}
		if err := u.options.Store.RecordFirstUses(ctx, batch); err != nil {
			u.failed.Inc()
			u.giveBack(batch)
			return err
		}
	}
}

func (u *FirstUses) take() []FirstUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := min(len(u.unsent), firstUseBatch)
	batch := make([]FirstUse, 0, n)
	for _, userID := range u.unsent[:n] {
		if use := u.known[userID]; use != nil {
			use.unsent = false
			batch = append(batch, FirstUse{UserID: userID, At: use.at})
		}
	}
	if u.unsent = u.unsent[n:]; len(u.unsent) == 0 {
		u.unsent = nil
	}
	return batch
}

func (u *FirstUses) giveBack(batch []FirstUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range batch {
		if use := u.known[b.UserID]; use != nil && !use.unsent {
			use.unsent = true
			u.unsent = append(u.unsent, b.UserID)
		}
	}
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// sweep forgets what the directory knows by now.
func (u *FirstUses) sweep() {
	u.mu.Lock()
	defer u.mu.Unlock()
	users := u.options.Directory.users.Load()
	var a account
	for userID, use := range u.known {
		if use.unsent {
			continue
		}
		if !users.get([]byte(use.name), &a) || a.id != userID || a.scheme != schemeVoucher || a.validFor() == 0 {
			delete(u.known, userID)
		}
	}
}
