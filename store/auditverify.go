package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"radiusd/operator"
)

// VerifyAudit checks that the audit log is as radiusd wrote it: no entry changed,
// deleted, inserted or cut off. What it finds first is the *operator.AuditError. A
// log that was put back as a whole, to how it was at some time, cannot be told from
// one that ends there, unless expect is the Head of an earlier report. It reads one
// state of the log from its beginning, in memory for one entry; progress, which may
// be nil, is called now and then with the number of entries checked.
func (s *Store) VerifyAudit(ctx context.Context, expect operator.AuditMark, progress func(done, of uint64)) (report operator.AuditReport, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		anchor, err := s.auditMark(ctx, tx, operator.AuditAnchor)
		if err != nil {
			return err
		}
		head, err := s.auditMark(ctx, tx, operator.AuditHead)
		if err != nil {
			return err
		}
		verifier, err := s.chain.Verifier(anchor, head, expect)
		if err != nil {
			return err
		}
		var e operator.AuditEntry
		var last, done uint64
		fields := auditFields(&e)
		for i, f := range fields {
			fields[i].column = careful{f.column, f.name, &last}
		}
		total := head.Seq - min(head.Seq, anchor.Seq)
		err = eachRow(ctx, tx, "SELECT "+names(fields)+" FROM audit_log ORDER BY seq", nil, targets(fields), func() error {
			last = e.Seq
			if done++; progress != nil && done%10_000 == 0 {
				progress(done, max(done, total))
			}
			return verifier.Add(&e)
		})
		if err != nil {
			return err
		}
		report, err = verifier.End()
		return err
	})
	if found := (*operator.AuditError)(nil); errors.As(err, &found) {
		return report, found
	}
	if err != nil {
		return report, fmt.Errorf("verify the audit log: %w", s.explain(err))
	}
	return report, nil
}

// auditMark is mark for one that somebody may have written nonsense into.
func (s *Store) auditMark(ctx context.Context, q querier, name string) (operator.SignedMark, error) {
	m, err := s.mark(ctx, q, name, "")
	if err != nil && kindOf(err) == kindOther && ctx.Err() == nil {
		return m, &operator.AuditError{Seq: m.Seq, Problem: fmt.Sprintf("is named by a row of audit_marks that cannot be read: the %s was changed", name)}
	}
	return m, err
}

// careful is a column of an entry that somebody may have written nonsense into.
type careful struct {
	column
	name string
	last *uint64 // the entry before
}

func (c careful) Scan(src any) error {
	if err := c.column.Scan(src); err != nil {
		return &operator.AuditError{Seq: *c.last + 1, Problem: fmt.Sprintf("was changed: its column %s cannot be read", c.name)}
	}
	return nil
}

// PruneAudit deletes the entries from before the time, and signs where the log now
// begins. It checks what it deletes: from the first entry that is not as radiusd
// wrote it on, nothing is deleted, and the *operator.AuditError says which one it is.
func (s *Store) PruneAudit(ctx context.Context, before time.Time) error {
	for more := true; more; {
		err := s.write(ctx, func(tx *writeTx) error {
			more = false
			// Who writes an entry does not wait: this holds the anchor, not the head.
			if err := s.ensureMark(ctx, tx, operator.AuditAnchor); err != nil {
				return err
			}
			anchor, err := s.mark(ctx, tx, operator.AuditAnchor, tx.forUpdate())
			if err != nil {
				return err
			}
			verifier, err := s.chain.Verifier(anchor, operator.SignedMark{}, operator.AuditMark{})
			if err != nil {
				return err
			}
			var e operator.AuditEntry
			var n int
			fields := auditFields(&e)
			columns := names(fields)
			// What is not in order stays, for it is evidence.
			err = eachRow(ctx, tx, fmt.Sprintf("SELECT %s FROM (SELECT %s FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT %d) AS oldest WHERE at < $2 ORDER BY seq",
				columns, columns, deleteBatch), []any{whole[uint64]{&anchor.Seq}, moment{&before}}, targets(fields), func() error {
				n++
				return verifier.Add(&e)
			})
			if err != nil || n == 0 {
				return err
			}
			end := operator.AuditMark{Seq: e.Seq, Hash: e.Hash}
			if err := tx.saveMark(ctx, operator.AuditAnchor, end); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "DELETE FROM audit_log WHERE seq > $1 AND seq <= $2", whole[uint64]{&anchor.Seq}, whole[uint64]{&end.Seq})
			more = n == deleteBatch
			return err
		})
		if err != nil {
			return fmt.Errorf("delete old audit entries: %w", s.explain(err))
		}
	}
	return nil
}
