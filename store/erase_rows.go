package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"radiusd/operator"
)

// erasureBatch is how many rows a transaction changes.
const erasureBatch = 1000

// sessions pseudonymises the person's sessions with their records: those that have the
// name, and those that had it and have got records since.
func (r *erasing) sessions(ctx context.Context) error {
	err := r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		found, err := namedSessions(ctx, tx, "SELECT id, username FROM sessions WHERE username = $1 AND started_at < $2 ORDER BY id LIMIT "+fmt.Sprint(sessionBatch),
			string(r.name), moment{&r.before})
		if err != nil || len(found) == 0 {
			return 0, false, err
		}
		n, err := pseudonymise(ctx, tx, sessionIDs(found), r.Pseudonym)
		return n, len(found) == sessionBatch, err
	})
	if err != nil {
		return err
	}
	// Late records of a session that has its pseudonym: it may be open, or have stopped
	// not long before the erasure.
	since := r.CreatedAt.Add(-erasureWatch)
	after := "00000000-0000-0000-0000-000000000000"
	return r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		found, err := namedSessions(ctx, tx, "SELECT id, username FROM sessions WHERE username = $1 AND (stopped_at IS NULL OR stopped_at >= $2) AND id > $3 ORDER BY id LIMIT "+
			fmt.Sprint(sessionBatch), r.Pseudonym, moment{&since}, after)
		if err != nil || len(found) == 0 {
			return 0, false, err
		}
		var n int64
		count := func(table, key, extra string) error {
			return eachChunk(tx, key, "uuid", sessionIDs(found), func(which string, args []any) error {
				result, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET username = $%d, %s WHERE %s AND %s", table, len(args)+1, blankPerson, which, extra),
					append(args, r.Pseudonym)...)
				if err != nil {
					return err
				}
				changed, err := result.RowsAffected()
				n += changed
				return err
			})
		}
		if err := count("accounting_records", "session_id", "username NOT LIKE '"+pseudonymPrefix+"%'"); err != nil {
			return 0, false, err
		}
		err = count("sessions", "id", "(calling_station_id <> '' OR framed_ip IS NOT NULL OR framed_ipv6 IS NOT NULL OR framed_ipv6_prefix IS NOT NULL OR delegated_prefix IS NOT NULL)")
		after = found[len(found)-1].id
		return n, len(found) == sessionBatch, err
	})
}

func sessionIDs(list []namedSession) []string {
	ids := make([]string, len(list))
	for i, x := range list {
		ids[i] = x.id
	}
	return ids
}

// decisions pseudonymises the person's login decisions.
func (r *erasing) decisions(ctx context.Context) error {
	return r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		result, err := tx.ExecContext(ctx, `UPDATE auth_records SET username = $1, calling_station_id = '', detail = '' WHERE (at, id) IN (
			SELECT at, id FROM auth_records WHERE username = $2 AND at < $3 ORDER BY at, id LIMIT `+fmt.Sprint(erasureBatch)+")",
			r.Pseudonym, string(r.name), moment{&r.before})
		if err != nil {
			return 0, false, err
		}
		n, err := result.RowsAffected()
		return n, n == erasureBatch, err
	})
}

// usage gives what the person has used to the pseudonym. What came late is added to it.
func (r *erasing) usage(ctx context.Context) error {
	return r.step(ctx, func(tx *writeTx) (n int64, _ bool, err error) {
		if err := tx.lockTotals(ctx, ""); err != nil {
			return 0, false, err
		}
		day := r.before.In(r.store.location).Format(dayLayout)
		counters := strings.Join(usedColumns, ", ")
		for _, t := range []struct{ table, rest, key, where string }{
			{"usage_daily", "day, " + counters, "username, day", "username = $1 AND day < $2"},
			{"usage_totals", counters, "username", "username = $1 AND $2 <> ''"},
		} {
			gone, from := "", "FROM "+t.table+" WHERE "+t.where
			where := t.where
			if tx.postgres {
				where = strings.Replace(where, "day < $2", "day < $2::text::date", 1)
				where = strings.Replace(where, "$2 <> ''", "$2::text <> ''", 1)
				gone, from = "WITH gone AS (DELETE FROM "+t.table+" WHERE "+where+" RETURNING *) ", "FROM gone"
			}
			args := []any{string(r.name), day, r.Pseudonym}
			result, err := tx.ExecContext(ctx, gone+"INSERT INTO "+t.table+" (username, "+t.rest+") SELECT $3, "+t.rest+" "+from+" "+addUp(t.table, t.key), args...)
			if err != nil {
				return 0, false, err
			}
			changed, err := result.RowsAffected()
			if err != nil {
				return 0, false, err
			}
			n += changed
			if !tx.postgres {
				if _, err := tx.ExecContext(ctx, "DELETE FROM "+t.table+" WHERE "+t.where, args[:2]...); err != nil {
					return 0, false, err
				}
			}
		}
		return n, false, nil
	})
}

// actions takes the name from what NASes were asked to do, and from what selected it.
func (r *erasing) actions(ctx context.Context) error {
	return r.step(ctx, func(tx *writeTx) (n int64, _ bool, err error) {
		contains := "instr(filter, $1) > 0"
		if tx.postgres {
			contains = "position($1 IN filter) > 0"
		}
		for _, statement := range []struct {
			query string
			args  []any
		}{
			{"UPDATE session_actions SET username = $1, detail = '' WHERE username = $2 AND created_at < $3", []any{r.Pseudonym, string(r.name), moment{&r.before}}},
			{"UPDATE action_batches SET filter = '' WHERE " + contains, []any{string(r.name)}},
		} {
			result, err := tx.ExecContext(ctx, statement.query, statement.args...)
			if err != nil {
				return 0, false, err
			}
			changed, err := result.RowsAffected()
			if err != nil {
				return 0, false, err
			}
			n += changed
		}
		return n, false, nil
	})
}

// erasureAction is the action of the audit entries that tell which others were blanked.
const erasureAction = operator.ActionErase

// auditLog blanks the entries about the person, and adds one that says which.
func (r *erasing) auditLog(ctx context.Context) error {
	quoted, err := json.Marshal(string(r.name))
	if err != nil {
		return err
	}
	return r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		contains := "instr(changes, $3) > 0"
		if tx.postgres {
			contains = "position($3 IN changes::text) > 0"
		}
		var entries []uint64
		var seq uint64
		err := eachRow(ctx, tx, "SELECT seq FROM audit_log WHERE NOT redacted AND content_mac IS NOT NULL AND action <> $2 AND (entity_id = $1 OR action LIKE 'users.%' AND entity_id IS NULL AND "+
			contains+") ORDER BY seq LIMIT "+fmt.Sprint(erasureBatch), []any{r.UserID.String(), erasureAction, string(quoted)}, []any{whole[uint64]{&seq}}, func() error {
			entries = append(entries, seq)
			return nil
		})
		if err != nil || len(entries) == 0 {
			return 0, false, err
		}
		stmt, err := tx.PrepareContext(ctx, "UPDATE audit_log SET entity_name = '', changes = '{}', redacted = $2 WHERE seq = $1")
		if err != nil {
			return 0, false, err
		}
		defer stmt.Close()
		for i := range entries {
			if _, err := stmt.ExecContext(ctx, whole[uint64]{&entries[i]}, true); err != nil {
				return 0, false, err
			}
		}
		changes, err := json.Marshal(operator.Redaction{Entries: entries})
		if err != nil {
			return 0, false, err
		}
		err = tx.record(ctx, operator.AuditEntry{Action: erasureAction, EntityKind: "user", EntityID: r.UserID, EntityName: r.Pseudonym, Changes: changes}, "")
		return int64(len(entries)), len(entries) == erasureBatch, err
	})
}

// events blanks what the outbox says of the person.
func (r *erasing) events(ctx context.Context) error {
	return r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		payload, err := json.Marshal(operator.EventPayload{EntityKind: "user", EntityID: r.UserID.String(), EntityName: r.Pseudonym})
		if err != nil {
			return 0, false, err
		}
		result, err := tx.ExecContext(ctx, "UPDATE outbox SET payload = $1 WHERE entity_id = $2 AND kind <> 'user.erased' AND CAST(payload AS text) <> $3",
			string(payload), r.UserID.String(), string(payload))
		if err != nil {
			return 0, false, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, false, err
		}
		imports, err := r.importEvents(ctx, tx)
		return n + imports, false, err
	})
}

// importEvents blanks the events of imports that name the person: those are of many users,
// and name the first.
func (r *erasing) importEvents(ctx context.Context, tx *writeTx) (int64, error) {
	quoted, err := json.Marshal(string(r.name))
	if err != nil {
		return 0, err
	}
	payload, err := json.Marshal(operator.EventPayload{EntityKind: "user"})
	if err != nil {
		return 0, err
	}
	contains := "instr(payload, $2) > 0"
	if tx.postgres {
		contains = "position($2 IN payload::text) > 0"
	}
	result, err := tx.ExecContext(ctx, "UPDATE outbox SET payload = $1 WHERE kind = 'user.imported' AND "+contains, string(payload), string(quoted))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
