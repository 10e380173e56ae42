package aaa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	// usersPerRead bounds how many users are read from the store at once.
	usersPerRead = 500
	// pollWhileBusy is how often the feed is read while users wait to be read.
	pollWhileBusy = 250 * time.Millisecond
	// maxPending is how many users wait before more changes are read; beyond, everything
	// is read again.
	maxPending = 1_000_000
)

// Run follows the change feed until ctx is done, then saves a snapshot and
// returns. While the store is away it goes on trying, at growing intervals, and
// what is in memory stays in force.
func (d *Directory) Run(ctx context.Context) {
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		d.saveSnapshots(ctx)
	}()
	defer func() { <-saved }()

	pause := d.options.PollInterval
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := d.Refresh(WithPace(ctx)); err == nil {
			if pause != d.options.PollInterval {
				d.log.Info("the change feed can be read again")
			}
			pause = d.options.PollInterval
		} else if ctx.Err() == nil {
			if pause == d.options.PollInterval {
				d.log.Error("the change feed cannot be read: the directory stays as it is", "error", err)
			}
			// With jitter, so that nodes do not come back in step.
			pause = min(2*pause+rand.N(pause), max(d.options.MaxBackoff, d.options.PollInterval+1))
		}
		timer.Reset(pause)
	}
}

// Refresh reads the change feed and takes in what has changed; when it returns,
// that is in force. If the directory came from a snapshot it is loaded anew. With the
// context of [WithPace] it leaves the processor to others.
//
// What has changed last is taken in first, so that one change does not wait for the
// hundred thousand before it.
func (d *Directory) Refresh(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fromSnapshot.Load() {
		if err := d.loadStore(ctx); err != nil {
			return err
		}
		d.log.Info("the store is back: the snapshot is no longer in use")
		return nil
	}
	for {
		read, err := d.readChanges(ctx)
		if errors.Is(err, ErrCursorExpired) {
			d.log.Warn("the change feed has moved on: loading the directory anew")
			return d.loadStore(ctx)
		}
		if err != nil {
			return fmt.Errorf("read the change feed: %w", err)
		}
		if err := d.apply(ctx); err != nil {
			return err
		}
		if read == 0 && len(d.pending) == 0 {
			return nil
		}
	}
}

// readChanges reads the feed to its present end and notes what is to be read again.
func (d *Directory) readChanges(ctx context.Context) (read int, err error) {
	for {
		if len(d.pending) > maxPending {
			return read, fmt.Errorf("%w: %d users wait to be read", ErrCursorExpired, len(d.pending))
		}
		changes, next, err := d.options.Store.Changes(ctx, d.cursor)
		if err != nil {
			return read, err
		}
		for _, change := range changes {
			switch change.Entity {
			case EntityUser:
				d.pending = append(d.pending, change.ID)
			case EntityPlan, EntityGroup, EntityNAS:
				d.catalogStale = true
			}
		}
		read += len(changes)
		done := len(changes) == 0 || next == d.cursor
		d.cursor = next
		d.waiting.Store(int64(len(d.pending)))
		if done {
			d.polledAt.Store(d.options.Now().UnixNano())
			return read, nil
		}
	}
}

// apply reads again what has changed, until all is in force or it is time to look for
// changes that cannot wait. What fails stays to be read.
func (d *Directory) apply(ctx context.Context) error {
	if d.catalogStale {
		c, err := d.readCatalog(ctx)
		if err != nil {
			return err
		}
		// Users that come with a new plan find it, and those that leave a
		// deleted one still have it until they have left.
		d.catalog.Store(c.with(d.catalog.Load()))
		d.catalogNext, d.catalogStale = c, false
		d.changed.Store(true)
	}
	for began := time.Now(); len(d.pending) > 0 && time.Since(began) < pollWhileBusy; {
		ids := slices.Clone(d.pending[max(0, len(d.pending)-usersPerRead):])
		if err := d.applyUsers(ctx, ids); err != nil {
			return err
		}
		d.pending = d.pending[:len(d.pending)-len(ids)]
		d.waiting.Store(int64(len(d.pending)))
		d.changed.Store(true)
	}
	if len(d.pending) > 0 {
		return nil
	}
	d.pending = nil
	if d.catalogNext != nil {
		d.catalog.Store(d.catalogNext)
		d.catalogNext = nil
	}
	return nil
}

// applyUsers reads the users anew; those that are not there any more have been deleted.
func (d *Directory) applyUsers(ctx context.Context, ids []uuid.UUID) error {
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	found, err := d.options.Store.UsersByID(ctx, slices.Compact(ids))
	if err != nil {
		return fmt.Errorf("read changed users: %w", err)
	}
	pace, table := PaceOf(ctx), d.users.Load()
	there := make(map[uuid.UUID]struct{}, len(found))
	for i := range found {
		there[found[i].ID] = struct{}{}
		d.putUser(table, &found[i])
		pace.Step()
	}
	for _, id := range ids {
		if _, ok := there[id]; !ok {
			table.remove(id)
		}
	}
	return nil
}
