package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"radiusd/aaa"
	"radiusd/operator"
)

// Retention says how long history is kept. Zero keeps it for ever.
type Retention struct {
	AccountingRecords time.Duration
	AuthRecords       time.Duration
	Changes           time.Duration // zero: a week
	Audit             time.Duration
	// Events is how long events are kept after everybody has them; zero: a week.
	Events time.Duration
	// SessionNames is how long sessions that have stopped keep names, addresses and
	// stations.
	SessionNames time.Duration
	// Erasers are the other databases in which persons are erased.
	Erasers []aaa.PersonEraser
}

const (
	defaultChangesRetention = 7 * 24 * time.Hour
	// bootsRetention is how long Accounting-Ons and -Offs are kept that are not
	// the NAS's latest.
	bootsRetention = 400 * 24 * time.Hour
	// eventsRetention is how long events are kept if nobody says, and eventsLimit how
	// long for a consumer that does not take them.
	eventsRetention = 7 * 24 * time.Hour
	eventsLimit     = 30 * 24 * time.Hour
	// actionsRetention is how long finished session actions are kept.
	actionsRetention = 90 * 24 * time.Hour
)

// Maintain makes the partitions of the next days, deletes what is past its
// retention, adds the usage of months past up, and goes on with erasures. What the
// settings say of retention goes before what the caller says. It is to be called at start
// and every hour; several nodes may. What fails is tried again at the next call.
func (s *Store) Maintain(ctx context.Context, keep Retention) error {
	settings, err := s.Settings(ctx)
	if err != nil {
		return fmt.Errorf("maintain store: %w", err)
	}
	keep = keep.inForce(&settings)
	if keep.Changes <= 0 {
		keep.Changes = defaultChangesRetention
	}
	if keep.Events <= 0 {
		keep.Events = eventsRetention
	}
	now := s.now()
	errs := []error{
		s.pruneKeys(ctx, now.Add(-operator.IdempotencyRetention)),
		s.PruneOutbox(ctx, now.Add(-keep.Events), now.Add(-max(keep.Events, eventsLimit))),
		s.PruneChanges(ctx, now.Add(-keep.Changes)),
		s.pruneBoots(ctx, now.Add(-bootsRetention)),
		s.pruneActions(ctx, now.Add(-actionsRetention)),
		s.addUpUsage(ctx),
		s.pruneSignIns(ctx, now),
		s.resumeErasures(ctx, keep.Erasers),
	}
	if keep.SessionNames > 0 {
		errs = append(errs, s.pseudonymiseSessions(ctx, now.Add(-keep.SessionNames)))
	}
	if keep.Audit > 0 {
		errs = append(errs, s.PruneAudit(ctx, now.Add(-keep.Audit)))
	}
	for _, table := range []struct {
		partitioned
		received string // what tells the age of a row
		keep     time.Duration
	}{
		{recordPartitions, "received_at", keep.AccountingRecords},
		{authPartitions, "at", keep.AuthRecords},
	} {
		if s.pool != nil {
			errs = append(errs, s.preparePartitions(ctx, table.partitioned))
		}
		if table.keep <= 0 {
			continue
		}
		before := now.Add(-table.keep)
		rest := table.table
		if s.pool != nil {
			errs = append(errs, s.dropPartitions(ctx, table.partitioned, before))
			rest += "_default"
		}
		errs = append(errs, s.deleteOlder(ctx, rest, table.received, before))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("maintain store: %w", err)
	}
	return nil
}

// preparePartitions makes the partitions from yesterday to some days ahead.
func (s *Store) preparePartitions(ctx context.Context, p partitioned) error {
	var errs []error
	today := utcDay(s.now())
	for n := -1; n <= partitionsAhead; n++ {
		day := today.AddDate(0, 0, n)
		if err := s.createPartition(ctx, p, day); err != nil {
			errs = append(errs, fmt.Errorf("make partition %s: %w", p.name(day), err))
		}
	}
	return errors.Join(errs...)
}

// deleteBatch is how many rows a transaction deletes, so that none is long.
const deleteBatch = 5000

// deleteOlder deletes old rows from a table without partitions.
func (s *Store) deleteOlder(ctx context.Context, table, column string, before time.Time) error {
	query := fmt.Sprintf("DELETE FROM %s WHERE ctid IN (SELECT ctid FROM %s WHERE %s < $1 LIMIT %d)",
		table, table, column, deleteBatch)
	if s.pool == nil {
		// Rows lie in the order they came, so the old ones are found at the front
		// without an index, and without a look at all the others.
		query = fmt.Sprintf("DELETE FROM %s WHERE rowid IN (SELECT rowid FROM (SELECT rowid, %s FROM %s ORDER BY rowid LIMIT %d) WHERE %s < $1)",
			table, column, table, deleteBatch, column)
	}
	for {
		var n int64
		err := s.write(ctx, func(tx *writeTx) error {
			result, err := tx.ExecContext(ctx, query, moment{&before})
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		})
		if err != nil {
			return fmt.Errorf("delete old %s: %w", table, s.explain(err))
		}
		if n == 0 {
			return nil
		}
	}
}

// pruneBoots deletes old boots except the latest Accounting-On of each NAS, on
// which the ids of its sessions depend.
func (s *Store) pruneBoots(ctx context.Context, before time.Time) error {
	err := s.write(ctx, func(tx *writeTx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM nas_boots WHERE at < $1 AND (status <> 'on' OR EXISTS (
			SELECT 1 FROM nas_boots later WHERE later.nas_id = nas_boots.nas_id AND later.nas_ip = nas_boots.nas_ip
				AND later.nas_identifier = nas_boots.nas_identifier AND later.status = 'on' AND later.at > nas_boots.at))`,
			moment{&before})
		return err
	})
	if err != nil {
		return fmt.Errorf("delete old boots: %w", s.explain(err))
	}
	return nil
}
