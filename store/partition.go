package store

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// In Postgres the big tables have a partition for each UTC day, so that old days
// go by dropping tables, and the days that are written to stay small. What is
// outside the days that have one goes to the default partition.

// partitioned is a table with daily partitions.
type partitioned struct{ table, column string }

var (
	recordPartitions = partitioned{"accounting_records", "event_time"}
	authPartitions   = partitioned{"auth_records", "at"}
)

// Partitions are made for days as far back, for records that were kept back by
// a NAS or a journal, and ahead, in good time before they are needed.
const (
	partitionsBack  = 31
	partitionsAhead = 2
)

// partitionLockTimeout bounds how long making or dropping a partition waits for
// the end of queries that read the table: others would wait behind it.
const partitionLockTimeout = "3s"

// partitionDays remembers which partitions there are.
type partitionDays struct {
	mu   sync.Mutex
	days map[string]bool // by partition
}

func (p partitioned) name(day time.Time) string { return p.table + "_" + day.Format("20060102") }

// dayOf returns the partition's table and reports whether a name is one of p's.
func (p partitioned) dayOf(name string) (time.Time, bool) {
	suffix, ok := strings.CutPrefix(name, p.table+"_")
	if !ok {
		return time.Time{}, false
	}
	day, err := time.Parse("20060102", suffix)
	return day, err == nil
}

func utcDay(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// ensurePartitions makes the partitions that rows of the given times want, as far
// as they should have one. It is no error if that fails: the default partition
// takes the rows, and Maintain moves them.
func (s *Store) ensurePartitions(ctx context.Context, p partitioned, times iter.Seq[time.Time]) {
	if s.pool == nil {
		return
	}
	today := utcDay(s.now())
	oldest, newest := today.AddDate(0, 0, -partitionsBack), today.AddDate(0, 0, partitionsAhead)
	var last time.Time
	for t := range times {
		day := utcDay(t)
		if !day.Equal(last) && !day.Before(oldest) && !day.After(newest) {
			s.ensurePartition(ctx, p, day)
			last = day
		}
	}
}

func (s *Store) ensurePartition(ctx context.Context, p partitioned, day time.Time) {
	name := p.name(day)
	s.partitions.mu.Lock()
	known := s.partitions.days[name]
	s.partitions.mu.Unlock()
	if known {
		return
	}
	if err := s.createPartition(ctx, p, day); err != nil {
		s.logger.Warn("a partition could not be made, the default one takes its rows", "partition", name, "err", err)
	}
	// Known even if it failed: Maintain tries again, not every batch.
	s.partitions.mu.Lock()
	defer s.partitions.mu.Unlock()
	if s.partitions.days == nil {
		s.partitions.days = map[string]bool{}
	}
	s.partitions.days[name] = true
}

// forgetPartitions has the partitions be looked for again.
func (s *Store) forgetPartitions() {
	s.partitions.mu.Lock()
	defer s.partitions.mu.Unlock()
	s.partitions.days = nil
}

// createPartition makes the partition of a day, unless it is there, and moves
// what the default one has of that day into it.
func (s *Store) createPartition(ctx context.Context, p partitioned, day time.Time) error {
	name, standard := p.name(day), p.table+"_default"
	from, to := day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)
	return s.write(ctx, func(tx *writeTx) error {
		// One at a time; attaching needs the default partition for itself.
		for _, statement := range []string{
			"SET LOCAL lock_timeout = '" + partitionLockTimeout + "'",
			"SELECT pg_advisory_xact_lock(hashtext('radiusd partitions'))",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		var exists bool
		if err := tx.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&exists); err != nil || exists {
			return err
		}
		bounds := fmt.Sprintf("%s >= '%s' AND %s < '%s'", p.column, from, p.column, to)
		for _, statement := range []string{
			"LOCK TABLE " + standard + " IN ACCESS EXCLUSIVE MODE",
			"CREATE TABLE " + name + " (LIKE " + p.table + " INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)",
			"WITH moved AS (DELETE FROM " + standard + " WHERE " + bounds + " RETURNING *) INSERT INTO " + name + " SELECT * FROM moved",
			"ALTER TABLE " + p.table + " ATTACH PARTITION " + name + " FOR VALUES FROM ('" + from + "') TO ('" + to + "')",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropPartitions drops the partitions of days that ended before the time, and
// deletes what is older in the default one.
func (s *Store) dropPartitions(ctx context.Context, p partitioned, before time.Time) error {
	var list []string
	var name string
	err := eachRow(ctx, s.reader, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass",
		[]any{p.table}, []any{&name}, func() error {
			list = append(list, name)
			return nil
		})
	if err != nil {
		return err
	}
	slices.Sort(list)
	for _, name := range list {
		day, ok := p.dayOf(name)
		if !ok || day.AddDate(0, 0, 1).After(before) {
			continue
		}
		err := s.write(ctx, func(tx *writeTx) error {
			if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+partitionLockTimeout+"'"); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+name)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop partition %s: %w", name, err)
		}
		s.logger.Info("dropped a partition that is past its retention", "partition", name)
	}
	return nil
}
