package aaa

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
)

// usersPerRead bounds how many users are read from the store at once.
const usersPerRead = 1000

// Kick makes Run read the change feed now rather than at its next turn. It does
// not block; whoever changes the store in this process calls it.
func (d *Directory) Kick() {
	select {
	case d.kick <- struct{}{}:
	default: // one is pending already
	}
}

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
		case <-d.kick:
		case <-timer.C:
		}
		if err := d.Refresh(ctx); err == nil {
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
// that is in force. If the directory came from a snapshot it is loaded anew.
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
		changes, next, err := d.options.Store.Changes(ctx, d.cursor)
		if errors.Is(err, ErrCursorExpired) {
			d.log.Warn("the change feed has moved on: loading the directory anew")
			return d.loadStore(ctx)
		}
		if err != nil {
			return fmt.Errorf("read the change feed: %w", err)
		}
		if err := d.apply(ctx, changes); err != nil {
			return err
		}
		done := len(changes) == 0 || next == d.cursor
		d.cursor = next
		if done {
			d.polledAt.Store(d.options.Now().UnixNano())
			return nil
		}
	}
}

// apply reads again what has changed. Nothing is taken in before everything that
// belongs to the same changes could be read, except that users come in portions.
func (d *Directory) apply(ctx context.Context, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	catalogChanged := false
	var users []uuid.UUID
	for _, change := range changes {
		switch change.Entity {
		case EntityUser:
			users = append(users, change.ID)
		case EntityPlan, EntityGroup, EntityNAS:
			catalogChanged = true
		}
	}
	if catalogChanged {
		c, err := d.readCatalog(ctx)
		if err != nil {
			return err
		}
		// Users that come with a new plan find it, and those that leave a
		// deleted one still have it until they have left.
		d.catalog.Store(c.with(d.catalog.Load()))
		defer d.catalog.Store(c)
	}
	slices.SortFunc(users, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	users = slices.Compact(users)
	for ids := range slices.Chunk(users, usersPerRead) {
		if err := d.applyUsers(ctx, ids); err != nil {
			return err
		}
	}
	d.changed.Store(true)
	return nil
}

func (d *Directory) applyUsers(ctx context.Context, ids []uuid.UUID) error {
	found, err := d.options.Store.UsersByID(ctx, ids)
	if err != nil {
		return fmt.Errorf("read changed users: %w", err)
	}
	table := d.users.Load()
	gone := make(map[uuid.UUID]struct{}, len(ids))
	for _, id := range ids {
		gone[id] = struct{}{}
	}
	for i := range found {
		d.putUser(table, &found[i])
		delete(gone, found[i].ID)
	}
	for id := range gone {
		table.remove(id)
	}
	return nil
}
