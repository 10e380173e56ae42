package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// A cursor of the change feed is a mark of the feed it belongs to, and a place
// in it:
//
//   - SQLite: the last sequence number. Writers take turns, so numbers are in the
//     order of commits.
//   - Postgres: a snapshot as pg_current_snapshot prints it, xmin:xmax:running. What is
//     new is what that snapshot did not see: rows of transactions that were
//     running then or began later. So a change that commits late is seen when it
//     commits, and a transaction that runs for hours delays no other's changes.
//
// The mark is a random id of the database and, in Postgres, the timeline, which
// changes when a standby takes over: it may have lost the last transactions and
// give their numbers to others.

// feedSetting holds the random id of the database.
const feedSetting = "feed_id"

// changesFloorSetting holds the highest number that was deleted from changes:
// the sequence number in SQLite, the transaction id in Postgres.
const changesFloorSetting = "changes_floor"

// maxChanges is how many changes are worth following one by one. Beyond, reading
// everything again is faster.
const maxChanges = 250_000

func (s *Store) identifyFeed(ctx context.Context) error {
	_, err := s.ensureSetting(ctx, feedSetting, newFeed())
	return err
}

// newFeed makes the id of a feed. A database that is restored gets another one, also
// under a program that has it open.
func newFeed() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// ChangeCursor returns the present end of the change feed.
func (s *Store) ChangeCursor(ctx context.Context) (aaa.ChangeCursor, error) {
	place, err := s.feedPlace(ctx, s.reader)
	if err != nil {
		return "", fmt.Errorf("change feed: %w", s.explain(err))
	}
	return aaa.ChangeCursor(place), nil
}

// feedEnd is the query for the present end of the feed.
func (s *Store) feedEnd() string {
	const feed = "(SELECT value FROM settings WHERE name = '" + feedSetting + "') || '/' || "
	if s.pool != nil {
		return feed + `substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) || '/' || pg_current_snapshot()::text`
	}
	return feed + `coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)`
}

func (s *Store) feedPlace(ctx context.Context, q querier) (place string, err error) {
	err = q.QueryRowContext(ctx, "SELECT "+s.feedEnd()).Scan(&place)
	return place, err
}

// Changes returns what was committed after the cursor, each entity once, and the
// cursor to go on from. It fails with aaa.ErrCursorExpired when it cannot tell
// what was committed since.
func (s *Store) Changes(ctx context.Context, after aaa.ChangeCursor) ([]aaa.Change, aaa.ChangeCursor, error) {
	var changes []aaa.Change
	var place string
	err := s.read(ctx, func(tx *sql.Tx) (err error) {
		if place, err = s.feedPlace(ctx, tx); err != nil {
			return err
		}
		changes, err = s.changesSince(ctx, tx, after, place)
		return err
	})
	if errors.Is(err, aaa.ErrCursorExpired) {
		return nil, "", err
	}
	if err != nil {
		return nil, "", fmt.Errorf("change feed: %w", s.explain(err))
	}
	return changes, aaa.ChangeCursor(place), nil
}

func (s *Store) changesSince(ctx context.Context, tx *sql.Tx, after aaa.ChangeCursor, place string) ([]aaa.Change, error) {
	var since feedPosition
	if after != "" {
		feed, rest, _ := strings.Cut(string(after), "/")
		endFeed, endRest, _ := strings.Cut(place, "/")
		end, err := parsePosition(endRest)
		if err != nil {
			return nil, err
		}
		since, err = parsePosition(rest)
		if err != nil || feed != endFeed || since.timeline != end.timeline || since.next > end.next {
			return nil, fmt.Errorf("%w: it belongs to another database", aaa.ErrCursorExpired)
		}
	}
	if floor, err := s.changesFloor(ctx, tx); err != nil {
		return nil, err
	} else if floor > 0 && floor >= since.oldest {
		return nil, fmt.Errorf("%w: changes since then have been deleted", aaa.ErrCursorExpired)
	}

	read := s.changesSQLite
	if s.pool != nil {
		read = s.changesPostgres
	}
	changes, rows, err := read(ctx, tx, since)
	if err == nil && rows > maxChanges {
		return nil, fmt.Errorf("%w: there are more than %d changes since", aaa.ErrCursorExpired, maxChanges)
	}
	return changes, err
}

// changesSQLite reads at most maxChanges+1 rows of the feed, each entity once.
func (s *Store) changesSQLite(ctx context.Context, tx *sql.Tx, since feedPosition) (changes []aaa.Change, rows int, err error) {
	var change aaa.Change
	seen := map[aaa.Change]bool{}
	err = eachRow(ctx, tx, "SELECT entity, entity_id FROM changes WHERE seq >= $1 ORDER BY seq LIMIT $2",
		[]any{since.next, maxChanges + 1}, []any{&change.Entity, id{&change.ID}}, func() error {
			rows++
			if !seen[change] {
				seen[change] = true
				changes = append(changes, change)
			}
			return nil
		})
	return changes, rows, err
}

// changesPostgres is changesSQLite for Postgres, which brings the ids of an entity in
// one value: a hundred thousand of them are read in no time.
func (s *Store) changesPostgres(ctx context.Context, tx *sql.Tx, since feedPosition) (changes []aaa.Change, rows int, err error) {
	which, args := "xid >= $1::text::xid8", []any{strconv.FormatUint(since.next, 10), maxChanges + 1}
	if len(since.running) > 0 {
		which += " OR xid = ANY ($3::text[]::xid8[])"
		args = append(args, since.running)
	}
	var entity aaa.Entity
	var n int
	var ids sql.RawBytes
	err = eachRow(ctx, tx, `SELECT entity, sum(n)::bigint, string_agg(uuid_send(entity_id), '' ORDER BY first) FROM (
			SELECT entity, entity_id, count(*) AS n, min(seq) AS first
			FROM (SELECT seq, entity, entity_id FROM changes WHERE `+which+` ORDER BY seq LIMIT $2) AS new GROUP BY entity, entity_id
		) AS once GROUP BY entity`, args, []any{&entity, &n, &ids}, func() error {
		rows += n
		changes = slices.Grow(changes, len(ids)/len(uuid.UUID{}))
		for id := range slices.Chunk(ids, len(uuid.UUID{})) {
			changes = append(changes, aaa.Change{Entity: entity, ID: uuid.UUID(id)})
		}
		return nil
	})
	return changes, rows, err
}

// feedPosition is a parsed cursor. In SQLite next is the first sequence number
// that is new. In Postgres it is the first transaction id that had not been given
// out, running are lower ones that had not ended, and all below oldest had.
type feedPosition struct {
	timeline     string
	oldest, next uint64
	running      []string
}

// parsePosition reads "17" (SQLite) or "00000001/731:740:731,735" (Postgres).
func parsePosition(text string) (p feedPosition, err error) {
	timeline, snapshot, postgres := strings.Cut(text, "/")
	if !postgres {
		last, err := strconv.ParseUint(text, 10, 63)
		return feedPosition{oldest: last + 1, next: last + 1}, err
	}
	parts := strings.Split(snapshot, ":")
	if len(parts) != 3 {
		return p, fmt.Errorf("%q is not a snapshot", snapshot)
	}
	p.timeline = timeline
	if p.oldest, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return p, err
	}
	if p.next, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return p, err
	}
	if parts[2] != "" {
		p.running = strings.Split(parts[2], ",")
	}
	return p, nil
}

func (s *Store) changesFloor(ctx context.Context, q querier) (uint64, error) {
	var value string
	err := q.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", changesFloorSetting).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(value, 10, 64)
}

// PruneChanges deletes changes made before the time. A cursor that has not yet
// seen them expires. In Postgres, what was made after the start of a transaction
// that still runs is kept, so that the transaction's own changes, whenever it
// commits, cannot be missed for want of the rest.
func (s *Store) PruneChanges(ctx context.Context, before time.Time) error {
	floorQuery := "SELECT max(seq) FROM changes WHERE at < $1"
	deletion := "DELETE FROM changes WHERE at < $1 AND seq <= $2"
	if s.pool != nil {
		floorQuery = `SELECT (SELECT xid::text FROM changes
			WHERE at < $1 AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid DESC LIMIT 1)`
		deletion = "DELETE FROM changes WHERE at < $1 AND xid <= $2::text::xid8"
	}
	err := s.write(ctx, func(tx *writeTx) error {
		var floor sql.NullString
		if err := tx.QueryRowContext(ctx, floorQuery, moment{&before}).Scan(&floor); err != nil || !floor.Valid {
			return err
		}
		if _, err := tx.ExecContext(ctx, deletion, moment{&before}, floor.String); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, changesFloorSetting, floor.String)
		return err
	})
	if err != nil {
		return fmt.Errorf("prune changes: %w", s.explain(err))
	}
	return nil
}
