package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// actionItems are the attributes that a CoA-Request changes, as JSON.
type actionItems struct{ p *[]aaa.Item }

type actionItem struct {
	Attribute string `json:"attribute"`
	Op        string `json:"op"`
	Value     string `json:"value"`
}

func (c actionItems) Value() (driver.Value, error) {
	list := make([]actionItem, len(*c.p))
	for i, item := range *c.p {
		list[i] = actionItem{cleanText(item.Attribute), item.Op, cleanText(item.Value)}
	}
	b, err := json.Marshal(list)
	return string(b), err
}
func (c actionItems) appendBinary(b []byte) []byte {
	value, _ := c.Value()
	return appendText(b, value.(string))
}
func (c actionItems) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return mismatch(src, "text")
	}
	var list []actionItem
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return fmt.Errorf("attributes of a session action: %w", err)
	}
	*c.p = nil
	for _, item := range list {
		*c.p = append(*c.p, aaa.Item{Kind: aaa.ReplyItem, Attribute: item.Attribute, Op: item.Op, Value: item.Value})
	}
	return nil
}

// actionFields are the columns of session_actions. StoppedAt is not one of them.
func actionFields(x *aaa.SessionAction) []field {
	return []field{
		{"id", id{&x.ID}},
		{"batch_id", id{&x.BatchID}},
		{"session_id", id{&x.SessionID}},
		{"acct_session_id", text{&x.AcctSessionID}},
		{"username", text{&x.Username}},
		{"nas_id", nullID{&x.NASID}},
		{"nas_ip", address{&x.NASAddr}},
		{"kind", word[aaa.ActionKind]{&x.Kind, aaa.ParseActionKind}},
		{"attributes", actionItems{&x.Attributes}},
		{"state", word[aaa.ActionState]{&x.State, aaa.ParseActionState}},
		{"attempts", whole[int]{&x.Attempts}},
		{"error_cause", whole[uint32]{(*uint32)(&x.ErrorCause)}},
		{"detail", text{&x.Detail}},
		{"actor", text{&x.Actor}},
		{"created_at", moment{&x.CreatedAt}},
		{"sent_at", moment{&x.SentAt}},
		{"answered_at", moment{&x.AnsweredAt}},
		{"stop_missing", flag{&x.StopMissing}},
	}
}

func batchFields(x *aaa.ActionBatch) []field {
	return []field{
		{"id", id{&x.ID}},
		{"kind", word[aaa.ActionKind]{&x.Kind, aaa.ParseActionKind}},
		{"filter", text{&x.Filter}},
		{"rate", whole[int]{&x.Rate}},
		{"actor", text{&x.Actor}},
		{"created_at", moment{&x.CreatedAt}},
		{"finished_at", moment{&x.FinishedAt}},
	}
}

// actionRows is how many actions one statement inserts: SQLite takes 32766 values.
const actionRows = 500

// stagedActions is how many actions one transaction adds, so that a large batch does not
// keep others from writing.
const stagedActions = 4 * actionRows

// stagedFor is after what time a batch is given up whose writer has not finished it.
const stagedFor = time.Hour

// QueueActions adds a batch with its actions. It sets the ids, the times and the
// batch's Totals, and the batch's Actor, if it has none, to the name of
// [operator.ActorOf]. Actions that have an outcome already keep it, and are never
// sent. A batch that waits for nothing is finished at once; one with more than
// aaa.MaxBatch is aaa.ErrBatchTooLarge. With the idempotency key of the context, a
// repeat fails as every create does.
func (s *Store) QueueActions(ctx context.Context, batch *aaa.ActionBatch, actions []aaa.SessionAction) error {
	if len(actions) > aaa.MaxBatch {
		return aaa.ErrBatchTooLarge
	}
	if batch.Actor == "" {
		batch.Actor = operator.ActorOf(ctx).Name
	}
	now := s.timestamp()
	var err error
	if batch.ID == uuid.Nil {
		if batch.ID, err = uuid.NewV7(); err != nil {
			return err
		}
	}
	batch.CreatedAt, batch.FinishedAt, batch.Totals = now, time.Time{}, aaa.ActionTotals{}
	for i := range actions {
		a := &actions[i]
		if a.ID == uuid.Nil {
			if a.ID, err = uuid.NewV7(); err != nil {
				return err
			}
		}
		a.BatchID, a.Actor, a.CreatedAt = batch.ID, batch.Actor, now
		if a.State.Pending() {
			a.State = aaa.ActionQueued
		} else {
			a.AnsweredAt = now
		}
		batch.Totals[a.State]++
	}
	if batch.Totals.Pending() == 0 {
		batch.FinishedAt = now
	}
	if len(actions) <= stagedActions {
		err = s.write(ctx, func(tx *writeTx) error {
			if err := tx.claimKey(ctx, batch.ID); err != nil {
				return err
			}
			if err := insertBatch(ctx, tx, batch, false); err != nil {
				return err
			}
			if err := insertActions(ctx, tx, actions); err != nil {
				return err
			}
			return tx.recordQueued(ctx, batch)
		})
	} else {
		err = s.stageActions(ctx, batch, actions)
	}
	if err != nil {
		return fmt.Errorf("queue session actions: %w", s.explain(err))
	}
	return nil
}

// stageActions adds a large batch in several transactions. Until the last one nobody sees
// it, and what is left of one that was broken off is deleted by maintenance.
func (s *Store) stageActions(ctx context.Context, batch *aaa.ActionBatch, actions []aaa.SessionAction) error {
	err := s.write(ctx, func(tx *writeTx) error { return insertBatch(ctx, tx, batch, true) })
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(actions, stagedActions) {
		if err := s.write(ctx, func(tx *writeTx) error { return insertActions(ctx, tx, chunk) }); err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, batch.ID); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE action_batches SET staged = $2 WHERE id = $1", batch.ID.String(), false); err != nil {
			return err
		}
		return tx.recordQueued(ctx, batch)
	})
}

func insertBatch(ctx context.Context, tx *writeTx, batch *aaa.ActionBatch, staged bool) error {
	paced := batch.CreatedAt.Add(-time.Second) // the first one may go at once
	return insert(ctx, tx.Tx, "action_batches", append(batchFields(batch), field{"paced_at", moment{&paced}}, field{"staged", flag{&staged}}))
}

// recordQueued notes that a batch is there.
func (tx *writeTx) recordQueued(ctx context.Context, batch *aaa.ActionBatch) error {
	return tx.recordBatch(ctx, "session_actions.queue", "session_action.queued", batch, map[string]any{
		"kind": batch.Kind.String(), "rate": batch.Rate, "sessions": batch.Totals.All(),
	})
}

// recordBatch writes what was asked for into the audit log: how many, not who.
func (tx *writeTx) recordBatch(ctx context.Context, action, eventKind string, batch *aaa.ActionBatch, changes map[string]any) error {
	b, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	return tx.record(ctx, operator.AuditEntry{
		Action: action, EntityKind: "action_batch", EntityID: batch.ID, EntityName: batch.Filter, Changes: b,
	}, eventKind)
}

func insertActions(ctx context.Context, tx *writeTx, actions []aaa.SessionAction) error {
	for chunk := range slices.Chunk(actions, actionRows) {
		if err := insertActionRows(ctx, tx.Tx, chunk); err != nil {
			return err
		}
	}
	return nil
}

func insertActionRows(ctx context.Context, tx *sql.Tx, actions []aaa.SessionAction) error {
	var b strings.Builder
	b.WriteString("INSERT INTO session_actions (" + names(actionFields(&aaa.SessionAction{})) + ") VALUES ")
	var args []any
	for i := range actions {
		fields := actionFields(&actions[i])
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + placeholders(len(args)+1, len(fields)) + ")")
		args = append(args, targets(fields)...)
	}
	_, err := tx.ExecContext(ctx, b.String(), args...)
	return err
}

// qualified lists the fields' columns of the table with this alias.
func qualified(alias string, fields []field) string {
	return alias + "." + strings.ReplaceAll(names(fields), ", ", ", "+alias+".")
}

var actionLists = lister[aaa.SessionAction]{
	name: "session actions", sorts: aaa.ActionSorts(),
	keys: map[string]sortKey[aaa.SessionAction]{
		"created_at": idKey("a.id", func(x *aaa.SessionAction) uuid.UUID { return x.ID }), // in the order of queueing
	},
}

// ListActionsPage returns a page of actions, and the cursor of the next page; empty:
// there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListActionsPage(ctx context.Context, filter aaa.ActionFilter, page aaa.Page) (list []aaa.SessionAction, next string, err error) {
	p, err := actionLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("session actions", err)
	}
	c := conditions{terms: []string{"a.batch_id NOT IN (SELECT id FROM action_batches WHERE staged" + s.isTrue() + ")"}}
	for _, equal := range []struct {
		column string
		id     uuid.UUID
	}{{"a.batch_id", filter.BatchID}, {"a.session_id", filter.SessionID}} {
		if equal.id != uuid.Nil {
			c.add(equal.column+" = $%d", equal.id.String())
		}
	}
	if filter.Username != "" {
		c.add("a.username = $%d", cleanText(filter.Username))
	}
	if len(filter.States) > 0 {
		var states []string
		for _, state := range filter.States {
			states = append(states, state.String())
		}
		c.in("a.state", states)
	}
	var x aaa.SessionAction
	rest, args := p.rest(c)
	err = eachRow(ctx, s.reader, selectActions(&x)+rest, args, actionTargets(&x), func() error {
		list = append(list, x)
		return nil
	})
	if err != nil {
		return nil, "", s.listFailed("session actions", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

// selectActions reads actions, and when their sessions stopped: one that was only
// inferred to have stopped has not.
func selectActions(x *aaa.SessionAction) string {
	return "SELECT " + qualified("a", actionFields(x)) + `, CASE WHEN s.stop_inferred THEN NULL ELSE s.stopped_at END
		FROM session_actions a LEFT JOIN sessions s ON s.id = a.session_id`
}

func actionTargets(x *aaa.SessionAction) []any {
	return append(targets(actionFields(x)), moment{&x.StoppedAt})
}

// ActionByID returns an action.
func (s *Store) ActionByID(ctx context.Context, actionID uuid.UUID) (*aaa.SessionAction, error) {
	var x aaa.SessionAction
	err := s.reader.QueryRowContext(ctx, selectActions(&x)+" WHERE a.id = $1", actionID.String()).Scan(actionTargets(&x)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("session action", actionID.String())
	}
	if err != nil {
		return nil, fmt.Errorf("read session action %s: %w", actionID, s.explain(err))
	}
	return &x, nil
}

// ActionBatchByID returns a batch with its totals.
func (s *Store) ActionBatchByID(ctx context.Context, batchID uuid.UUID) (*aaa.ActionBatch, error) {
	list, err := s.listBatches(ctx, "WHERE id = $1 AND NOT staged", batchID.String())
	if err != nil {
		return nil, fmt.Errorf("read batch of session actions %s: %w", batchID, s.explain(err))
	}
	if len(list) == 0 {
		return nil, notFound("batch of session actions", batchID.String())
	}
	return &list[0], nil
}

var actionBatchLists = lister[aaa.ActionBatch]{
	name: "batches of session actions", sorts: aaa.ActionSorts(),
	keys: map[string]sortKey[aaa.ActionBatch]{
		"created_at": idKey("id", func(x *aaa.ActionBatch) uuid.UUID { return x.ID }),
	},
}

// ListActionBatchesPage returns a page of batches with their totals, and the cursor of
// the next page; empty: there is none. It fails with aaa.ErrBadCursor and
// aaa.ErrBadSort.
func (s *Store) ListActionBatchesPage(ctx context.Context, page aaa.Page) (list []aaa.ActionBatch, next string, err error) {
	p, err := actionBatchLists.begin(page, nil)
	if err != nil {
		return nil, "", s.listFailed("batches of session actions", err)
	}
	rest, args := p.rest(conditions{terms: []string{"NOT staged"}})
	if list, err = s.listBatches(ctx, rest, args...); err != nil {
		return nil, "", s.listFailed("batches of session actions", err)
	}
	list, next = p.page(list)
	return list, next, nil
}

func (s *Store) listBatches(ctx context.Context, rest string, args ...any) (list []aaa.ActionBatch, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		var x aaa.ActionBatch
		fields := batchFields(&x)
		list = nil
		err := eachRow(ctx, tx, "SELECT "+names(fields)+" FROM action_batches "+rest, args, targets(fields), func() error {
			list = append(list, x)
			return nil
		})
		if err != nil {
			return err
		}
		for i := range list {
			if err := readTotals(ctx, tx, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

func readTotals(ctx context.Context, q querier, batch *aaa.ActionBatch) error {
	var state aaa.ActionState
	var count int
	return eachRow(ctx, q, "SELECT state, count(*) FROM session_actions WHERE batch_id = $1 GROUP BY state", []any{batch.ID.String()},
		[]any{word[aaa.ActionState]{&state, aaa.ParseActionState}, whole[int]{&count}}, func() error {
			batch.Totals[state] = count
			return nil
		})
}

// CancelActions skips what waits in a batch. What a node has taken already goes on.
func (s *Store) CancelActions(ctx context.Context, batchID uuid.UUID) (skipped int, err error) {
	now := s.timestamp()
	err = s.write(ctx, func(tx *writeTx) error {
		if err := lockBatches(ctx, tx, []string{batchID.String()}); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `UPDATE session_actions SET state = 'skipped', detail = 'canceled', answered_at = $2
			WHERE batch_id = $1 AND state = 'queued'`, batchID.String(), moment{&now})
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if skipped = int(n); skipped > 0 {
			if err := tx.recordBatch(ctx, "session_actions.cancel", "session_action.canceled", &aaa.ActionBatch{ID: batchID}, map[string]any{"sessions": skipped}); err != nil {
				return err
			}
		}
		return finishBatches(ctx, tx, []string{batchID.String()}, now)
	})
	if err != nil {
		return 0, fmt.Errorf("cancel session actions: %w", s.explain(err))
	}
	return skipped, nil
}

// lockBatches locks the batches in one order, so that whoever settles their last
// actions sees what others have settled.
func lockBatches(ctx context.Context, tx *writeTx, ids []string) error {
	if !tx.postgres {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT 1 FROM action_batches WHERE id = ANY ($1::text[]::uuid[]) ORDER BY id FOR UPDATE", ids)
	return err
}

// finishBatches notes those of the batches that have nothing left to wait for.
func finishBatches(ctx context.Context, tx *writeTx, ids []string, now time.Time) error {
	for _, batchID := range ids {
		_, err := tx.ExecContext(ctx, `UPDATE action_batches SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM session_actions WHERE batch_id = $1 AND state = 'queued')
			AND NOT EXISTS (SELECT 1 FROM session_actions WHERE batch_id = $1 AND state = 'sent')`, batchID, moment{&now})
		if err != nil {
			return err
		}
	}
	return nil
}

// isTrue completes a condition on a flag, so that partial indexes serve it.
func (s *Store) isTrue() string {
	if s.pool != nil {
		return ""
	}
	return " = 1"
}

// pruneActions deletes batches that were finished before, and those that were never
// finished being written.
func (s *Store) pruneActions(ctx context.Context, before time.Time) error {
	if err := s.pruneBatches(ctx, "finished_at < $1", before); err != nil {
		return err
	}
	return s.pruneBatches(ctx, "staged"+s.isTrue()+" AND created_at < $1", s.now().Add(-stagedFor))
}

// pruneBatches deletes batches with their actions, none of them in one long transaction.
func (s *Store) pruneBatches(ctx context.Context, which string, before time.Time) error {
	query := fmt.Sprintf(`DELETE FROM session_actions WHERE id IN (SELECT id FROM session_actions
		WHERE batch_id IN (SELECT id FROM action_batches WHERE %s) LIMIT %d)`, which, deleteBatch)
	for {
		var n int64
		err := s.write(ctx, func(tx *writeTx) error {
			result, err := tx.ExecContext(ctx, query, moment{&before})
			if err != nil {
				return err
			}
			if n, err = result.RowsAffected(); err != nil || n > 0 {
				return err
			}
			_, err = tx.ExecContext(ctx, "DELETE FROM action_batches WHERE "+which, moment{&before})
			return err
		})
		if err != nil {
			return fmt.Errorf("delete old session actions: %w", s.explain(err))
		}
		if n == 0 {
			return nil
		}
	}
}
