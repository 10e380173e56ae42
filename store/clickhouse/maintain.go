package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// aged is a table that Maintain keeps short: what its partitions are made by, and
// what tells the age of a row.
type aged struct{ table, partition, age string }

// agedTables are the tables of single records, and the rollups from which it can be
// told who had an address. usage_daily stays, as the store's does.
var agedTables = []aged{
	{"accounting_records", "event_time", "received_at"},
	{"auth_records", "at", "at"},
	{"usage_hourly", "hour", "hour"},
	{"sessions", "month", "addMonths(month, 1)"},
}

// Maintain deletes what is past its retention. It is to be called every hour; several
// nodes may. Servers since 19.6 delete by themselves, once they know when (TTL);
// older ones lose whole months, as soon as none of a month's records is to be kept.
// What fails is tried again at the next call.
func (s *Store) Maintain(ctx context.Context) error {
	var errs []error
	for _, t := range agedTables {
		if s.version.atLeast(19, 6) {
			errs = append(errs, s.setTTL(ctx, t))
		} else if s.options.RetentionDays > 0 {
			errs = append(errs, s.dropMonths(ctx, t))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("maintain ClickHouse: %w", err)
	}
	return nil
}

// ttl is a table's TTL, written as the server writes it into its definition.
func (t aged) ttl(days int) string { return fmt.Sprintf("%s + toIntervalDay(%d)", t.age, days) }

// setTTL tells the server how long to keep a table's rows, if it knows otherwise.
func (s *Store) setTTL(ctx context.Context, t aged) error {
	table := s.schema.localName(t.table)
	definition, err := s.definition(ctx, table)
	if err != nil {
		return fmt.Errorf("read the definition of %s: %w", table, err)
	}
	statement := alterTTL(s.schema, t, s.options.RetentionDays, definition)
	if statement == "" {
		return nil
	}
	if err := s.exec(ctx, statement); err != nil {
		return fmt.Errorf("set the TTL of %s: %w", table, err)
	}
	return nil
}

func (s *Store) definition(ctx context.Context, table string) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	err = s.conn.QueryRow(ctx, "SELECT create_table_query FROM system.tables WHERE database = ? AND name = ?", s.schema.database, table).Scan(&text)
	return text, explain(err)
}

// dropMonths drops the partitions that hold nothing that is to be kept. Only whole
// months before the one in which the retention begins are looked at.
func (s *Store) dropMonths(ctx context.Context, t aged) error {
	since := s.now().UTC().AddDate(0, 0, -s.options.RetentionDays)
	months, err := s.oldMonths(ctx, t, since)
	if err != nil {
		return fmt.Errorf("list old months of %s: %w", t.table, err)
	}
	for _, month := range months {
		if err := s.exec(ctx, dropPartition(s.schema, t.table, month)); err != nil {
			return fmt.Errorf("drop month %d of %s: %w", month, t.table, err)
		}
	}
	return nil
}

func (s *Store) oldMonths(ctx context.Context, t aged, since time.Time) (months []uint32, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	rows, err := s.conn.Query(ctx, oldMonths(s.schema, t), since.Format(time.DateOnly), since.Format(time.DateOnly))
	if err != nil {
		return nil, explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var month uint32
		if err := rows.Scan(&month); err != nil {
			return nil, err
		}
		months = append(months, month)
	}
	return months, explain(rows.Err())
}
