package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"radiusd/aaa"
)

// renamed is a table whose rows have a person's name.
type renamed struct {
	table string
	// inKey: the name is part of the key, which no mutation changes. Rows are written again
	// under the other name, and then deleted; to write them twice does no harm.
	inKey bool
	// from and before bound the time of a row, in the words of a condition, with %d for the
	// time.
	from, before string
	// blank are the other columns that tell of a person; all are texts.
	blank []string
}

var addresses = []string{"calling_station_id", "framed_ip", "framed_ipv6", "framed_ipv6_prefix", "delegated_prefix"}

var renamedTables = []renamed{
	{"accounting_records", false, "event_time >= toDateTime(%d)", "event_time < toDateTime(%d)", append([]string{"class"}, addresses...)},
	{"auth_records", true, "at >= toDateTime(%d)", "at < toDateTime(%d)", []string{"calling_station_id", "detail"}},
	{"usage_hourly", true, "hour >= toStartOfHour(toDateTime(%d))", "hour < toDateTime(%d)", nil},
	{"usage_daily", true, "day >= toDate(toDateTime(%d))", "day <= toDate(toDateTime(%d))", nil},
	{"sessions", true, "month >= toStartOfMonth(toDateTime(%d))", "month <= toDate(toDateTime(%d))", addresses},
}

// ErasePerson implements [aaa.PersonEraser]. The server deletes the old rows in the
// background, usually within a minute. usage_daily and sessions go by whole days and
// months.
func (s *Store) ErasePerson(ctx context.Context, name aaa.UserName, pseudonym string) error {
	for _, t := range renamedTables {
		if err := s.rename(ctx, t, name, pseudonym); err != nil {
			return fmt.Errorf("erase a person in table %s of ClickHouse: %w", t.table, err)
		}
	}
	return nil
}

func (s *Store) rename(ctx context.Context, t renamed, name aaa.UserName, pseudonym string) error {
	where := "username = " + literal(name.Name)
	for _, bound := range []struct {
		condition string
		at        time.Time
	}{{t.from, name.From}, {t.before, name.Before}} {
		if !bound.at.IsZero() {
			where += " AND " + fmt.Sprintf(bound.condition, bound.at.Unix())
		}
	}
	n, err := s.countRows(ctx, "SELECT count() FROM "+s.schema.qualified(t.table)+" WHERE "+where)
	if err != nil || n == 0 {
		return err
	}
	alter := strings.TrimSpace("ALTER TABLE "+s.schema.local(t.table)+" "+s.schema.onCluster()) + " "
	sets := []string{"username = " + literal(pseudonym)}
	for _, column := range t.blank {
		sets = append(sets, column+" = ''")
	}
	if !t.inKey {
		return s.exec(ctx, alter+"UPDATE "+strings.Join(sets, ", ")+" WHERE "+where)
	}
	columns, err := s.columnsOf(ctx, t.table)
	if err != nil {
		return err
	}
	values := make([]string, len(columns))
	for i, column := range columns {
		values[i] = column
		for _, set := range sets {
			if name, value, _ := strings.Cut(set, " = "); name == column {
				values[i] = value
			}
		}
	}
	table := s.schema.qualified(t.table)
	err = s.exec(ctx, "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") SELECT "+strings.Join(values, ", ")+" FROM "+table+" WHERE "+where)
	if err != nil {
		return err
	}
	return s.exec(ctx, alter+"DELETE WHERE "+where)
}

func (s *Store) countRows(ctx context.Context, query string) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	err = s.conn.QueryRow(ctx, query).Scan(&n)
	return n, explain(err)
}

// columnsOf lists a table's columns.
func (s *Store) columnsOf(ctx context.Context, table string) (list []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	rows, err := s.conn.Query(ctx, "SELECT name FROM system.columns WHERE database = ? AND table = ?", s.schema.database, s.schema.localName(table))
	if err != nil {
		return nil, explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, explain(rows.Err())
}

var _ aaa.PersonEraser = (*Store)(nil)
