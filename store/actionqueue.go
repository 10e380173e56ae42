package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

const (
	// batchesAtOnce is how many batches a node looks into at one time.
	batchesAtOnce = 32
	// pacedBurst is how much of a second's rate may be sent at once: what has
	// accumulated between two looks at the queue.
	pacedBurst = 4
	// candidates is how many actions are looked at for each that is wanted: NASes
	// that have no room are among them.
	candidates = 4
)

// ready appends the term that says that an action waits, or that its lease has
// expired, and that its NAS has room.
func ready(c *conditions, claim *aaa.ActionClaim, now time.Time) {
	c.add("(state = 'queued' OR state = 'sent' AND lease_until <= $%d)", moment{&now})
	if len(claim.Busy) == 0 {
		return
	}
	first := len(c.args) + 1
	for i := range claim.Busy {
		c.args = append(c.args, address{&claim.Busy[i]})
	}
	c.terms = append(c.terms, "(nas_ip IS NULL OR nas_ip NOT IN ("+placeholders(first, len(claim.Busy))+"))")
}

// openBatch is a batch that has actions to be taken.
type openBatch struct {
	id      uuid.UUID
	rate    int
	pacedAt time.Time
}

// allowed returns how many actions the rate allows now.
func (b *openBatch) allowed(now time.Time) int {
	if b.rate <= 0 {
		return aaa.MaxBatch
	}
	burst := max(b.rate/pacedBurst, 1)
	elapsed := min(max(now.Sub(b.pacedAt), 0), time.Second)
	return min(int(elapsed*time.Duration(b.rate)/time.Second), burst)
}

// use notes that so many were taken. What the rate would have allowed before and
// nobody took is not made up for, but for a burst.
func (b *openBatch) use(now time.Time, taken int) {
	if b.rate <= 0 {
		return
	}
	interval := time.Second / time.Duration(b.rate)
	burst := max(b.rate/pacedBurst, 1)
	if earliest := now.Add(-time.Duration(burst) * interval); b.pacedAt.Before(earliest) {
		b.pacedAt = earliest
	}
	b.pacedAt = b.pacedAt.Add(time.Duration(taken) * interval)
}

// ClaimActions implements [aaa.ActionQueue].
func (s *Store) ClaimActions(ctx context.Context, claim aaa.ActionClaim) ([]aaa.ClaimedAction, error) {
	now := s.timestamp()
	// Nearly always there is nothing: a look without a transaction that writes.
	open, err := s.openBatches(ctx, s.reader, &claim, now, "")
	if err != nil || len(open) == 0 || claim.Limit <= 0 {
		return nil, err
	}
	var claimed []aaa.ClaimedAction
	err = s.write(ctx, func(tx *writeTx) error {
		claimed = nil
		lock := ""
		if tx.postgres {
			lock = " FOR UPDATE SKIP LOCKED" // another node is at those
		}
		batches, err := s.openBatches(ctx, tx, &claim, now, lock)
		if err != nil {
			return err
		}
		room := roomOf(claim)
		for i := range batches {
			// A share for each, so that a large batch does not keep others waiting.
			share := max((claim.Limit-len(claimed))/(len(batches)-i), 1)
			taken, err := claimOf(ctx, tx, &batches[i], min(share, claim.Limit-len(claimed)), &claim, room, now)
			if err != nil {
				return err
			}
			claimed = append(claimed, taken...)
		}
		return readSessions(ctx, tx, claimed)
	})
	if err != nil {
		return nil, fmt.Errorf("take session actions: %w", s.explain(err))
	}
	return claimed, nil
}

// roomOf returns a function that takes a place at a NAS, if there is one.
func roomOf(claim aaa.ActionClaim) func(netip.Addr) bool {
	taken := make(map[netip.Addr]int)
	return func(nas netip.Addr) bool {
		if claim.Room != nil && taken[nas] >= claim.Room(nas) {
			return false
		}
		taken[nas]++
		return true
	}
}

func (s *Store) openBatches(ctx context.Context, q querier, claim *aaa.ActionClaim, now time.Time, lock string) (list []openBatch, err error) {
	var batch, action conditions
	batch.terms = append(batch.terms, "b.finished_at IS NULL", "NOT b.staged")
	if claim.Batch != uuid.Nil {
		batch.add("b.id = $%d", claim.Batch.String())
	}
	action.args = batch.args
	ready(&action, claim, now)
	var b openBatch
	query := "SELECT b.id, b.rate, b.paced_at FROM action_batches b" + batch.where() +
		" AND EXISTS (SELECT 1 FROM session_actions" + action.where() + " AND batch_id = b.id)" +
		fmt.Sprintf(" ORDER BY b.created_at, b.id LIMIT %d", batchesAtOnce) + lock
	err = eachRow(ctx, q, query, action.args, []any{id{&b.id}, whole[int]{&b.rate}, moment{&b.pacedAt}}, func() error {
		if b.allowed(now) > 0 {
			list = append(list, b)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for session actions: %w", s.explain(err))
	}
	return list, nil
}

// claimOf takes actions of one batch.
func claimOf(ctx context.Context, tx *writeTx, b *openBatch, limit int, claim *aaa.ActionClaim, room func(netip.Addr) bool, now time.Time) ([]aaa.ClaimedAction, error) {
	limit = min(limit, b.allowed(now))
	if limit <= 0 {
		return nil, nil
	}
	var x aaa.SessionAction
	fields := actionFields(&x)
	var c conditions
	c.add("batch_id = $%d", b.id.String())
	ready(&c, claim, now)
	var taken []aaa.ClaimedAction
	query := "SELECT " + names(fields) + " FROM session_actions" + c.where() + fmt.Sprintf(" ORDER BY id LIMIT %d", limit*candidates)
	err := eachRow(ctx, tx, query, c.args, targets(fields), func() error {
		if len(taken) < limit && room(x.NASAddr) {
			x.State, x.SentAt = aaa.ActionSent, now
			taken = append(taken, aaa.ClaimedAction{SessionAction: x})
		}
		return nil
	})
	if err != nil || len(taken) == 0 {
		return nil, err
	}
	until := now.Add(claim.Lease)
	stmt, err := tx.PrepareContext(ctx, "UPDATE session_actions SET state = 'sent', sent_at = $2, lease_until = $3 WHERE id = $1")
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	for i := range taken {
		if _, err := stmt.ExecContext(ctx, taken[i].ID.String(), moment{&now}, moment{&until}); err != nil {
			return nil, err
		}
	}
	b.use(now, len(taken))
	_, err = tx.ExecContext(ctx, "UPDATE action_batches SET paced_at = $2 WHERE id = $1", b.id.String(), moment{&b.pacedAt})
	return taken, err
}

// readSessions adds the sessions to what was taken.
func readSessions(ctx context.Context, tx *writeTx, claimed []aaa.ClaimedAction) error {
	ids := make([]uuid.UUID, len(claimed))
	for i := range claimed {
		ids[i] = claimed[i].SessionID
	}
	slices.SortFunc(ids, compareIDs)
	sessions := make(map[uuid.UUID]*aaa.Session, len(ids))
	err := eachChunk(tx, "id", "uuid", texts(slices.Compact(ids)), func(which string, args []any) error {
		list, err := listSessions(ctx, tx, "WHERE "+which, args)
		for i := range list {
			sessions[list[i].ID] = &list[i]
		}
		return err
	})
	for i := range claimed {
		claimed[i].Session = sessions[claimed[i].SessionID]
	}
	return err
}

// RecordActions implements [aaa.ActionQueue].
func (s *Store) RecordActions(ctx context.Context, outcomes []aaa.SessionAction, stopBy time.Time) error {
	outcomes = slices.Clone(outcomes)
	slices.SortFunc(outcomes, func(a, b aaa.SessionAction) int { return compareIDs(a.ID, b.ID) })
	var batches []uuid.UUID
	for i := range outcomes {
		batches = append(batches, outcomes[i].BatchID)
	}
	slices.SortFunc(batches, compareIDs)
	ids := texts(slices.Compact(batches))
	err := s.write(ctx, func(tx *writeTx) error {
		if err := lockBatches(ctx, tx, ids); err != nil {
			return err
		}
		stmt, err := tx.PrepareContext(ctx, `UPDATE session_actions SET state = $2, attempts = $3, error_cause = $4, detail = $5,
			answered_at = $6, lease_until = NULL, stop_due_at = $7 WHERE id = $1 AND state IN ('queued', 'sent')`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for i := range outcomes {
			o := &outcomes[i]
			var stopDue time.Time
			if o.Kind == aaa.ActionDisconnect && o.State == aaa.ActionAcknowledged {
				stopDue = stopBy
			}
			cause := uint32(o.ErrorCause)
			if _, err := stmt.ExecContext(ctx, o.ID.String(), o.State.String(), whole[int]{&o.Attempts}, whole[uint32]{&cause},
				text{&o.Detail}, moment{&o.AnsweredAt}, moment{&stopDue}); err != nil {
				return err
			}
		}
		return finishBatches(ctx, tx, ids, s.timestamp())
	})
	if err != nil {
		return fmt.Errorf("record session actions: %w", s.explain(err))
	}
	return nil
}

// ReleaseActions implements [aaa.ActionQueue].
func (s *Store) ReleaseActions(ctx context.Context, actionIDs []uuid.UUID) error {
	actionIDs = slices.Clone(actionIDs)
	slices.SortFunc(actionIDs, compareIDs)
	err := s.write(ctx, func(tx *writeTx) error {
		return eachChunk(tx, "id", "uuid", texts(actionIDs), func(which string, args []any) error {
			_, err := tx.ExecContext(ctx, "UPDATE session_actions SET state = 'queued', sent_at = NULL, lease_until = NULL WHERE state = 'sent' AND "+which, args...)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("give session actions back: %w", s.explain(err))
	}
	return nil
}

// OverdueStops implements [aaa.ActionQueue].
func (s *Store) OverdueStops(ctx context.Context, again time.Time, limit int) ([]aaa.ClaimedAction, error) {
	now := s.timestamp()
	due, err := overdueActions(ctx, s.reader, now, 1, "") // nearly always there is none
	if err != nil {
		return nil, fmt.Errorf("look for missing Stops: %w", s.explain(err))
	}
	if len(due) == 0 {
		return nil, nil
	}
	var overdue []aaa.ClaimedAction
	err = s.write(ctx, func(tx *writeTx) error {
		overdue = nil
		lock := ""
		if tx.postgres {
			lock = " FOR UPDATE SKIP LOCKED"
		}
		due, err := overdueActions(ctx, tx, now, limit, lock)
		if err != nil {
			return err
		}
		actions := make([]aaa.ClaimedAction, len(due))
		for i := range due {
			actions[i].SessionAction = due[i].action
		}
		if err := readSessions(ctx, tx, actions); err != nil {
			return err
		}
		for i := range actions {
			c := &actions[i]
			var next time.Time // none: nothing is awaited any more
			if open := c.Session != nil && c.Session.Open(); open {
				if c.StopMissing = due[i].repeated; !due[i].repeated {
					due[i].repeated, next = true, again
				}
				overdue = append(overdue, *c)
			}
			if _, err := tx.ExecContext(ctx, "UPDATE session_actions SET stop_due_at = $2, stop_repeated = $3, stop_missing = $4 WHERE id = $1",
				c.ID.String(), moment{&next}, flag{&due[i].repeated}, flag{&c.StopMissing}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for missing Stops: %w", s.explain(err))
	}
	return overdue, nil
}

// overdueAction is a disconnect whose Stop should have come.
type overdueAction struct {
	action   aaa.SessionAction
	repeated bool
}

func overdueActions(ctx context.Context, q querier, now time.Time, limit int, lock string) (list []overdueAction, err error) {
	var x overdueAction
	fields := append(actionFields(&x.action), field{"stop_repeated", flag{&x.repeated}})
	query := "SELECT " + names(fields) + " FROM session_actions WHERE stop_due_at <= $1 ORDER BY stop_due_at" + fmt.Sprintf(" LIMIT %d", limit) + lock
	err = eachRow(ctx, q, query, []any{moment{&now}}, targets(fields), func() error {
		list = append(list, x)
		return nil
	})
	return list, err
}

// RepeatedActions implements [aaa.ActionQueue].
func (s *Store) RepeatedActions(ctx context.Context, repeated []aaa.SessionAction) error {
	err := s.write(ctx, func(tx *writeTx) error {
		for i := range repeated {
			r := &repeated[i]
			if _, err := tx.ExecContext(ctx, `UPDATE session_actions SET attempts = $2, detail = CASE WHEN $3 = '' THEN detail ELSE $3 END
				WHERE id = $1`, r.ID.String(), whole[int]{&r.Attempts}, text{&r.Detail}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record repeated session actions: %w", s.explain(err))
	}
	return nil
}

// GoneSessions implements [aaa.ActionQueue].
func (s *Store) GoneSessions(ctx context.Context, since time.Time) (gone []aaa.GoneSession, err error) {
	var g aaa.GoneSession
	err = eachRow(ctx, s.reader, "SELECT session_id, answered_at FROM session_actions WHERE state = 'gone' AND answered_at >= $1",
		[]any{from(since)}, []any{id{&g.ID}, moment{&g.At}}, func() error {
			gone = append(gone, g)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("look for sessions that are gone: %w", s.explain(err))
	}
	return gone, nil
}

var _ aaa.ActionQueue = (*Store)(nil)
