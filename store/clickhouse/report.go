package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"radiusd/report"
)

var _ report.Source = (*Store)(nil)

// reportMemory is how much a report's query may sort or group before it goes on
// on the server's disk.
const reportMemory = 2 << 30

// reportTime is how long a query of a report may take. Without a deadline of its own,
// the driver gives up on what takes longer than a read may, however much the server
// has to say.
const reportTime = time.Hour

// eachRow runs a query and calls fn after each row was scanned into dest.
func (s *Store) eachRow(ctx context.Context, q query, dest []any, fn func() error) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	rows, err := s.conn.Query(driver.Context(ctx, driver.WithSettings(driver.Settings{
		"max_bytes_before_external_group_by": reportMemory,
		"max_bytes_before_external_sort":     reportMemory,
	})), q.text, q.args...)
	if err != nil {
		return explain(err)
	}
	defer func() {
		cancel() // else Close reads all that is left
		rows.Close()
	}()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return explain(err)
		}
		if err := fn(); err != nil {
			return err
		}
	}
	return explain(rows.Err())
}

// query is a statement that is being put together, with its arguments.
type query struct {
	text string
	args []any
}

// add appends a piece of text with its arguments.
func (q *query) add(text string, args ...any) {
	q.text += text
	q.args = append(q.args, args...)
}

// addList appends "column IN (…)".
func addList[T any](q *query, column string, values []T) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	q.add(column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")+")", args...)
}

// µs returns a time as the rollups hold it.
func µs(t time.Time) int64 { return storable(t).UnixMicro() }

// fromµs is the inverse of µs.
func fromµs(n int64) time.Time { return time.UnixMicro(n).UTC() }

// month returns the month of the table sessions that a time falls on, as a
// literal.
func (s *Store) month(t time.Time) string {
	return fmt.Sprintf("toDate('%s')", storable(t).In(s.options.Location).Format("2006-01")+"-01")
}

// silence is how long a session without a Stop is taken for open after its last
// record.
const silence = 24 * time.Hour
