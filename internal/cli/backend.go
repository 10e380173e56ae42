package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/store"
)

// backend is the store of a running server, which may come later than the server:
// one that starts while Postgres is away serves from the directory's snapshot and
// journals accounting. Until the store is open, all methods fail, and those who
// call them try again by themselves, as they do when it goes away later.
type backend struct {
	open func(context.Context) (*store.Store, error)
	log  *slog.Logger

	failed error // why it could not be opened at the start; set before await
	opened atomic.Pointer[openedStore]
}

type openedStore struct {
	*store.Store
	sink *store.Sink
}

// errStoreAway says that the store has not been opened yet.
var errStoreAway = errors.New("the store has not been reached since the start")

// connect opens the store.
func (b *backend) connect(ctx context.Context) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	sink, err := s.NewSink()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	b.opened.Store(&openedStore{s, sink})
	return nil
}

// await opens the store as soon as it can be reached. An error that waiting does not
// mend is logged when it changes, since the server is of use without the store.
func (b *backend) await(ctx context.Context) {
	if b.opened.Load() == nil && keepTrying(ctx, b.connect, func(err error) {
		b.log.Error("the store cannot be opened, trying again", "error", err)
	}, b.failed) {
		b.log.Info("the store is open")
	}
}

// keepTrying calls try with growing pauses until it succeeds; false: ctx ended before.
// It calls report with each error that is another than the one before; told is the
// one that is known already, or nil.
func keepTrying(ctx context.Context, try func(context.Context) error, report func(error), told error) bool {
	last := fmt.Sprint(told)
	for pause := time.Second; ; pause = min(2*pause, 5*time.Second) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		err := try(ctx)
		if err == nil {
			return true
		}
		if text := err.Error(); ctx.Err() == nil && text != last {
			last = text
			report(err)
		}
	}
}

// maintain prepares partitions and deletes what is past its retention, hourly.
func (b *backend) maintain(ctx context.Context, keep store.Retention) {
	for pause := time.Duration(0); ; pause = time.Hour {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		s := b.awaitOpen(ctx)
		if s == nil {
			return
		}
		if pause == 0 {
			b.warnOfRetention(ctx, s, keep)
		}
		if err := s.Maintain(ctx, keep); err != nil && ctx.Err() == nil {
			b.log.Error("maintenance of the store failed, next try in an hour", "error", err)
		}
	}
}

// warnOfRetention tells if accounting records are to be deleted that billing may need.
func (b *backend) warnOfRetention(ctx context.Context, s *store.Store, keep store.Retention) {
	settings, err := s.Settings(ctx)
	if err != nil || settings.AccountingRetentionDays != nil { // what is set was checked
		return
	}
	kept := int(keep.AccountingRecords / (24 * time.Hour))
	if days, err := s.BillingRecordDays(ctx); err == nil && 0 < kept && kept < days {
		b.log.Warn("store.retention_days deletes accounting records that billing looks back at, as a price charges for usage at certain hours: such users cannot be billed when their records are gone",
			"retention_days", kept, "needed_days", days)
	}
}

// store is the store, or nil until it is open.
func (b *backend) store() *store.Store {
	if s := b.opened.Load(); s != nil {
		return s.Store
	}
	return nil
}

// awaitOpen returns the store as soon as it is open; nil: ctx ended before.
func (b *backend) awaitOpen(ctx context.Context) *store.Store {
	for {
		if s := b.store(); s != nil {
			return s
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// engine names the store that was opened.
func (b *backend) engine() string {
	if s := b.opened.Load(); s != nil {
		return s.Engine()
	}
	return "away"
}

// closeTime bounds how long a store that hangs may hold up the end of the process:
// everything it has not taken is in the journal.
const closeTime = 2 * time.Second

func (b *backend) close() error {
	s := b.opened.Load()
	if s == nil {
		return nil
	}
	return closeInTime(s.Close)
}

// closeInTime calls a store's Close, and waits for it no longer than closeTime.
func closeInTime(closeStore func() error) error {
	closed := make(chan error, 1)
	go func() { closed <- closeStore() }() // ends with the process, if not before
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTime):
		return errors.New("it does not answer, leaving its connections to the system")
	}
}

// with calls fn on the store, if it is open.
func with[T any](b *backend, fn func(*openedStore) (T, error)) (T, error) {
	s := b.opened.Load()
	if s == nil {
		var none T
		return none, errStoreAway
	}
	return fn(s)
}

// do is with for what returns only an error.
func (b *backend) do(fn func(*openedStore) error) error {
	_, err := with(b, func(s *openedStore) (struct{}, error) { return struct{}{}, fn(s) })
	return err
}

// What follows is aaa.DirectoryStore, aaa.AuthRecordStore, aaa.SessionStore,
// aaa.ActionQueue, redis.UsageStore, ingest.BootFeed and ingest.Sink on the store once
// it is open.

func (b *backend) ChangeCursor(ctx context.Context) (aaa.ChangeCursor, error) {
	return with(b, func(s *openedStore) (aaa.ChangeCursor, error) { return s.ChangeCursor(ctx) })
}

func (b *backend) Changes(ctx context.Context, after aaa.ChangeCursor) (changes []aaa.Change, next aaa.ChangeCursor, err error) {
	err = b.do(func(s *openedStore) error {
		changes, next, err = s.Changes(ctx, after)
		return err
	})
	return changes, next, err
}

func (b *backend) Plans(ctx context.Context) ([]aaa.Plan, error) {
	return with(b, func(s *openedStore) ([]aaa.Plan, error) { return s.Plans(ctx) })
}

func (b *backend) Groups(ctx context.Context) ([]aaa.Group, error) {
	return with(b, func(s *openedStore) ([]aaa.Group, error) { return s.Groups(ctx) })
}

func (b *backend) NASes(ctx context.Context) ([]aaa.NAS, error) {
	return with(b, func(s *openedStore) ([]aaa.NAS, error) { return s.NASes(ctx) })
}

func (b *backend) EachUser(ctx context.Context, fn func(*aaa.User) error) error {
	return b.do(func(s *openedStore) error { return s.EachUser(ctx, fn) })
}

func (b *backend) UsersByID(ctx context.Context, ids []uuid.UUID) ([]aaa.User, error) {
	return with(b, func(s *openedStore) ([]aaa.User, error) { return s.UsersByID(ctx, ids) })
}

func (b *backend) AppendAuthRecords(ctx context.Context, batch *aaa.AuthBatch) error {
	return b.do(func(s *openedStore) error { return s.AppendAuthRecords(ctx, batch) })
}

func (b *backend) RecordFirstUses(ctx context.Context, uses []aaa.FirstUse) error {
	return b.do(func(s *openedStore) error { return s.RecordFirstUses(ctx, uses) })
}

func (b *backend) LostFirstUses(ctx context.Context, since time.Time) ([]aaa.FirstUse, error) {
	return with(b, func(s *openedStore) ([]aaa.FirstUse, error) { return s.LostFirstUses(ctx, since) })
}

func (b *backend) EachSession(ctx context.Context, since time.Time, fn func(*aaa.Session) error) error {
	return b.do(func(s *openedStore) error { return s.EachSession(ctx, since, fn) })
}

func (b *backend) Boots(ctx context.Context, since time.Time) ([]aaa.Boot, error) {
	return with(b, func(s *openedStore) ([]aaa.Boot, error) { return s.Boots(ctx, since) })
}

func (b *backend) NextBoots(ctx context.Context) ([]aaa.SeenBoot, error) {
	return with(b, func(s *openedStore) ([]aaa.SeenBoot, error) { return s.NextBoots(ctx) })
}

func (b *backend) EachUsage(ctx context.Context, starts []time.Time, fn func(aaa.DailyUsage) error) error {
	return b.do(func(s *openedStore) error { return s.EachUsage(ctx, starts, fn) })
}

func (b *backend) UsageAccounts(ctx context.Context, usernames []string, since, recent time.Time) ([]aaa.UsageAccount, error) {
	return with(b, func(s *openedStore) ([]aaa.UsageAccount, error) {
		return s.UsageAccounts(ctx, usernames, since, recent)
	})
}

func (b *backend) Name() string { return store.SinkName }

func (b *backend) Cursor(ctx context.Context) (journal.Position, error) {
	return with(b, func(s *openedStore) (journal.Position, error) { return s.sink.Cursor(ctx) })
}

func (b *backend) Write(ctx context.Context, batch *ingest.Batch) error {
	return b.do(func(s *openedStore) error { return s.sink.Write(ctx, batch) })
}

func (b *backend) CloseSessions(ctx context.Context, closings []aaa.Closing) error {
	return b.do(func(s *openedStore) error { return s.CloseSessions(ctx, closings) })
}

func (b *backend) ClaimActions(ctx context.Context, claim aaa.ActionClaim) ([]aaa.ClaimedAction, error) {
	return with(b, func(s *openedStore) ([]aaa.ClaimedAction, error) { return s.ClaimActions(ctx, claim) })
}

func (b *backend) RecordActions(ctx context.Context, outcomes []aaa.SessionAction, stopBy time.Time) error {
	return b.do(func(s *openedStore) error { return s.RecordActions(ctx, outcomes, stopBy) })
}

func (b *backend) ReleaseActions(ctx context.Context, ids []uuid.UUID) error {
	return b.do(func(s *openedStore) error { return s.ReleaseActions(ctx, ids) })
}

func (b *backend) OverdueStops(ctx context.Context, again time.Time, limit int) ([]aaa.ClaimedAction, error) {
	return with(b, func(s *openedStore) ([]aaa.ClaimedAction, error) { return s.OverdueStops(ctx, again, limit) })
}

func (b *backend) RepeatedActions(ctx context.Context, repeated []aaa.SessionAction) error {
	return b.do(func(s *openedStore) error { return s.RepeatedActions(ctx, repeated) })
}

func (b *backend) GoneSessions(ctx context.Context, since time.Time) ([]aaa.GoneSession, error) {
	return with(b, func(s *openedStore) ([]aaa.GoneSession, error) { return s.GoneSessions(ctx, since) })
}
