package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"radiusd/aaa"
)

// Boots returns the Accounting-Ons and -Offs at or after since, in order of time.
func (s *Store) Boots(ctx context.Context, since time.Time) ([]aaa.Boot, error) {
	list, err := listBoots(ctx, s.reader, "WHERE at >= $1 ORDER BY at, nas_ip, nas_identifier", []any{from(since)})
	if err != nil {
		return nil, fmt.Errorf("read boots: %w", s.explain(err))
	}
	return list, nil
}

func bootFields(b *aaa.Boot) []field {
	return []field{
		{"nas_id", id{&b.NASID}},
		{"nas_ip", address{&b.NASAddr}},
		{"nas_identifier", text{&b.NASIdentifier}},
		{"status", word[aaa.AcctStatus]{&b.Status, aaa.ParseAcctStatus}},
		{"at", moment{&b.At}},
	}
}

func listBoots(ctx context.Context, q querier, rest string, args []any) (list []aaa.Boot, err error) {
	var b aaa.Boot
	fields := bootFields(&b)
	err = eachRow(ctx, q, "SELECT "+names(fields)+" FROM nas_boots "+rest, args, targets(fields), func() error {
		list = append(list, b)
		return nil
	})
	return list, err
}

// bootCursor is a place in the boots in the order in which they were written; the
// zero one is before all.
//
// A transaction that wrote a boot may commit after another that wrote one later.
// So what is read from is not the time of the last reading, but when the oldest
// transaction began that was running at the reading before, by the database's
// clock: what was not to be seen then was written later.
type bootCursor struct{ from, next time.Time }

// bootOverlap is how far a reading goes back beyond that, for transactions that the
// database does not show to this user.
const bootOverlap = time.Minute

// NextBoots returns the boots written since it was last called, by whatever node;
// at first all, and some again and again. It is for one goroutine.
func (s *Store) NextBoots(ctx context.Context) ([]aaa.SeenBoot, error) {
	list, next, err := s.bootsSeen(ctx, s.reader, s.booted)
	if err != nil {
		s.booted = bootCursor{} // a database that failed over may have got others
		return nil, fmt.Errorf("read boots: %w", s.explain(err))
	}
	s.booted = next
	return list, nil
}

func (s *Store) bootsSeen(ctx context.Context, q querier, after bootCursor) (list []aaa.SeenBoot, next bootCursor, err error) {
	var b aaa.SeenBoot
	var began time.Time
	fields := append(bootFields(&b.Boot), field{"seen_at", moment{&b.SeenAt}})
	running := "SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', 'now') AS began"
	if s.pool != nil {
		running = "SELECT coalesce(min(xact_start), clock_timestamp()) AS began FROM pg_stat_activity WHERE datname = current_database()"
	}
	// One row at least, whose boot is empty.
	columns := strings.Replace(names(fields), "status", "coalesce(status, 'on')", 1)
	err = eachRow(ctx, q, "SELECT "+columns+", began FROM ("+running+") AS running LEFT JOIN nas_boots ON seen_at >= $1",
		[]any{from(after.from.Add(-bootOverlap))}, append(targets(fields), moment{&began}), func() error {
			if b.NASAddr.IsValid() {
				list = append(list, b)
			}
			return nil
		})
	return list, bootCursor{from: after.next, next: began}, err
}
