package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"radiusd/aaa"
)

// pseudonymPrefix is what the names of those begin with who were erased.
const pseudonymPrefix = aaa.PseudonymPrefix

// newPseudonym returns a name that says nothing of anybody.
func newPseudonym() string { return pseudonymPrefix + strings.ToLower(rand.Text()) }

// sessionBatch is how many sessions a transaction pseudonymises, with all their records.
const sessionBatch = 200

// namedSession is a session whose name is to be replaced.
type namedSession struct{ id, name string }

// namedSessions returns sessions in the order of a query that selects id and username.
func namedSessions(ctx context.Context, q querier, query string, args ...any) (list []namedSession, err error) {
	var x namedSession
	err = eachRow(ctx, q, query, args, []any{text{&x.id}, text{&x.name}}, func() error {
		list = append(list, x)
		return nil
	})
	return list, err
}

// What a person is known by in sessions and records, beside the name.
const blankPerson = `calling_station_id = '', framed_ip = NULL, framed_ipv6 = NULL, framed_ipv6_prefix = NULL, delegated_prefix = NULL, class = NULL`

// pseudonymise replaces the name in sessions and their records, and blanks what else a
// person is known by. It returns how many rows have changed.
func pseudonymise(ctx context.Context, tx *writeTx, ids []string, pseudonym string) (n int64, err error) {
	for _, target := range []struct{ table, key string }{{"accounting_records", "session_id"}, {"sessions", "id"}} {
		err := eachChunk(tx, target.key, "uuid", ids, func(which string, args []any) error {
			result, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET username = $%d, %s WHERE %s AND username <> ''",
				target.table, len(args)+1, blankPerson, which), append(args, pseudonym)...)
			if err != nil {
				return err
			}
			changed, err := result.RowsAffected()
			n += changed
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// pseudonymisedSetting holds up to when sessions have stopped that are pseudonymised.
const pseudonymisedSetting = "sessions_pseudonymised_until"

const (
	// pseudonymiseRuns bounds how many transactions a call of Maintain takes for it.
	pseudonymiseRuns = 500
	// pseudonymiseAgain is how far back is looked again: late records change when a
	// session has stopped.
	pseudonymiseAgain = 7 * 24 * time.Hour
)

// pseudonymiseSessions takes the names from the sessions that stopped before the time. All
// of a user's in one transaction get the same pseudonym; it leads nowhere.
func (s *Store) pseudonymiseSessions(ctx context.Context, before time.Time) error {
	since, err := setting(ctx, s.reader, pseudonymisedSetting)
	if err != nil {
		return fmt.Errorf("pseudonymise sessions: %w", s.explain(err))
	}
	if at, err := parseTime(since); err == nil {
		since = from(at.Add(-pseudonymiseAgain))
	} else {
		since = from(time.Time{})
	}
	for range pseudonymiseRuns {
		var found []namedSession
		err := s.write(ctx, func(tx *writeTx) (err error) {
			found, err = namedSessions(ctx, tx, "SELECT id, username FROM sessions WHERE stopped_at >= $1 AND stopped_at < $2 AND username <> '' AND username NOT LIKE '"+
				pseudonymPrefix+"%' ORDER BY stopped_at LIMIT "+fmt.Sprint(sessionBatch), since, moment{&before})
			if err != nil {
				return err
			}
			byName := map[string][]string{}
			for _, x := range found {
				byName[x.name] = append(byName[x.name], x.id)
			}
			for _, ids := range byName {
				if _, err := pseudonymise(ctx, tx, ids, newPseudonym()); err != nil {
					return err
				}
			}
			if len(found) == sessionBatch {
				return nil
			}
			return saveSetting(ctx, tx, pseudonymisedSetting, from(before))
		})
		if err != nil {
			return fmt.Errorf("pseudonymise sessions: %w", s.explain(err))
		}
		if len(found) < sessionBatch {
			return nil
		}
	}
	return nil // the rest the next time
}
