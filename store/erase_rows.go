package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"radiusd/aaa"
	"radiusd/operator"
)

// erasureBatch is how many rows a transaction changes.
const erasureBatch = 1000

// sessions pseudonymises the person's sessions with their records.
func (r *erasing) sessions(ctx context.Context) error {
	return r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		c := r.of.rows("started_at")
		found, err := namedSessions(ctx, tx, "SELECT id, username FROM sessions"+c.where()+" ORDER BY id LIMIT "+fmt.Sprint(sessionBatch), c.args...)
		if err != nil || len(found) == 0 {
			return 0, false, err
		}
		n, err := pseudonymise(ctx, tx, sessionIDs(found), r.Pseudonym)
		return n, len(found) == sessionBatch, err
	})
}

// lateRecords pseudonymises what has come for sessions that have their pseudonym: they may
// be open, or have stopped not long before the erasure.
func (r *erasing) lateRecords(ctx context.Context) error {
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
		c := r.of.rows("at")
		n, err := r.change(ctx, tx, "UPDATE auth_records SET username = $%d, calling_station_id = '', detail = '' WHERE (at, id) IN (SELECT at, id FROM auth_records"+
			c.where()+" ORDER BY at, id LIMIT "+fmt.Sprint(erasureBatch)+")", c.args)
		return n, n == erasureBatch, err
	})
}

// change runs a statement that has the pseudonym as its last argument.
func (r *erasing) change(ctx context.Context, tx *writeTx, statement string, args []any) (rows int64, err error) {
	result, err := tx.ExecContext(ctx, fmt.Sprintf(statement, len(args)+1), append(args, r.Pseudonym)...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// usage gives what the person has used to the pseudonym. What came late is added to it. A
// day on which the name changed hands stays with the other one.
func (r *erasing) usage(ctx context.Context) error {
	return r.step(ctx, func(tx *writeTx) (n int64, _ bool, err error) {
		if err := tx.lockTotals(ctx, ""); err != nil {
			return 0, false, err
		}
		var all conditions
		all.add("username = $%d", r.of.Name)
		if n, err = r.moveUsage(ctx, tx, "usage_daily", "day, ", r.of.days(r.store)); err != nil {
			return 0, false, err
		}
		if !r.of.shared() {
			totals, err := r.moveUsage(ctx, tx, "usage_totals", "", all)
			return n + totals, false, err
		}
		if n > 0 {
			err = r.sumUp(ctx, tx)
		}
		return n, false, err
	})
}

// moveUsage adds rows of a table of usage to those of the pseudonym. day is the rest of its
// key.
func (r *erasing) moveUsage(ctx context.Context, tx *writeTx, table, day string, which conditions) (int64, error) {
	columns := day + strings.Join(usedColumns, ", ")
	key := strings.TrimSuffix("username, "+day, ", ")
	gone, from := "", "FROM "+table+which.where()
	if tx.postgres {
		gone, from = "WITH gone AS (DELETE FROM "+table+which.where()+" RETURNING *) ", "FROM gone"
	}
	n, err := r.change(ctx, tx, gone+"INSERT INTO "+table+" (username, "+columns+") SELECT $%d, "+columns+" "+from+" "+addUp(table, key), which.args)
	if err != nil || tx.postgres {
		return n, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM "+table+which.where(), which.args...)
	return n, err
}

// sumUp makes the totals of the name and of the pseudonym anew from their days: some of them
// have gone from the one to the other.
func (r *erasing) sumUp(ctx context.Context, tx *writeTx) error {
	until, err := totalsUntil(ctx, tx)
	if err != nil || until == "" {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM usage_totals WHERE username IN ($1, $2)", r.of.Name, r.Pseudonym); err != nil {
		return err
	}
	day := "$3"
	if tx.postgres {
		day += "::text::date"
	}
	sums := strings.Join(r.store.usageSums(usageFields(new(aaa.DailyUsage), r.store.location)), ", ")
	_, err = tx.ExecContext(ctx, "INSERT INTO usage_totals (username, session_seconds, input_octets, output_octets) SELECT username, "+sums+
		" FROM usage_daily WHERE username IN ($1, $2) AND day < "+day+" GROUP BY username", r.of.Name, r.Pseudonym, until)
	return err
}

// actions takes the name from what NASes were asked to do, and from what selected it.
func (r *erasing) actions(ctx context.Context) error {
	return r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		c := r.of.rows("created_at")
		n, err := r.change(ctx, tx, "UPDATE session_actions SET username = $%d, detail = ''"+c.where(), c.args)
		if err != nil {
			return 0, false, err
		}
		batches := r.selectedBy("filter", "created_at")
		result, err := tx.ExecContext(ctx, "UPDATE action_batches SET filter = ''"+batches.where(), batches.args...)
		if err != nil {
			return 0, false, err
		}
		more, err := result.RowsAffected()
		return n + more, false, err
	})
}

// selectedBy is which rows have a column with words that select the person's sessions
// ([aaa.SessionFilter.Words]), by the column that has their time.
func (r *erasing) selectedBy(column, at string) (c conditions) {
	var terms []string
	var args []any
	for _, words := range r.selections() {
		terms = append(terms, column+" = $%d OR substr("+column+", 1, $%d) = $%d")
		args = append(args, words, utf8.RuneCountInString(words)+1, words+",")
	}
	c.add("("+strings.Join(terms, " OR ")+")", args...)
	c.span(at, r.of.From, r.of.Before)
	return c
}

// selections are the words that the selections of the person's sessions begin with. Before
// billing wrote them as others do, it put its own name before them.
func (r *erasing) selections() []string {
	words := (&aaa.SessionFilter{Username: r.of.Name}).Words("")
	return []string{words, "dunning: " + words, "billing: " + words}
}

// erasureAction is the action of the audit entries that tell which others were blanked.
const erasureAction = operator.ActionErase

// auditLog blanks the entries about the person, and adds one that says which.
func (r *erasing) auditLog(ctx context.Context) error {
	quoted, err := json.Marshal(r.of.Name)
	if err != nil {
		return err
	}
	return r.step(ctx, func(tx *writeTx) (int64, bool, error) {
		contains := "instr(changes, $%d) > 0"
		if tx.postgres {
			contains = "position($%d IN changes::text) > 0"
		}
		batches := r.selectedBy("entity_name", "at")
		c := conditions{args: batches.args}
		c.add("NOT redacted AND content_mac IS NOT NULL AND action <> $%d AND (entity_id = $%d OR action LIKE 'users.%%' AND entity_id IS NULL AND "+contains+
			" OR entity_kind = 'action_batch' AND "+strings.ReplaceAll(strings.Join(batches.terms, " AND "), "%", "%%")+")", erasureAction, r.UserID.String(), string(quoted))
		var entries []uint64
		var seq uint64
		err := eachRow(ctx, tx, "SELECT seq FROM audit_log"+c.where()+" ORDER BY seq LIMIT "+fmt.Sprint(erasureBatch), c.args, []any{whole[uint64]{&seq}}, func() error {
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
		imports, err := r.blankEvents(ctx, tx, "user.imported", "user", r.of.Name, "") // they name the first of many users
		if err != nil {
			return 0, false, err
		}
		n += imports
		for _, words := range r.selections() {
			batches, err := r.blankEvents(ctx, tx, "session_action.queued", "action_batch", words, words+",")
			if err != nil {
				return 0, false, err
			}
			n += batches
		}
		return n, false, nil
	})
}

// blankEvents blanks the events of a kind whose payload has one text as a string, or a
// string that begins with the other; empty: none does.
func (r *erasing) blankEvents(ctx context.Context, tx *writeTx, kind, entityKind, whole, beginning string) (int64, error) {
	payload, err := json.Marshal(operator.EventPayload{EntityKind: entityKind})
	if err != nil {
		return 0, err
	}
	quoted, err := json.Marshal(whole)
	if err != nil {
		return 0, err
	}
	begins := quoted
	if beginning != "" {
		if begins, err = json.Marshal(beginning); err != nil {
			return 0, err
		}
		begins = bytes.TrimSuffix(begins, []byte{'"'})
	}
	contains := "(instr(payload, $%d) > 0 OR instr(payload, $%d) > 0)"
	if tx.postgres {
		contains = "(position($%d IN payload::text) > 0 OR position($%d IN payload::text) > 0)"
	}
	c := conditions{args: []any{string(payload)}}
	c.add("kind = $%d", kind)
	c.add(contains, string(quoted), string(begins))
	c.span("at", r.of.From, r.of.Before)
	result, err := tx.ExecContext(ctx, "UPDATE outbox SET payload = $1"+c.where(), c.args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
