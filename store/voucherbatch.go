package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
	"radiusd/store/seal"
)

// voucherPurpose is what the key of the codes' hashes is derived from the master key for.
const voucherPurpose = "voucher codes"

// VoucherKey returns the key that the codes of vouchers are hashed under.
func VoucherKey(sealer *seal.Sealer) billing.VoucherKey {
	return billing.VoucherKey(sealer.Derive(voucherPurpose))
}

// VoucherHash returns what stands for a voucher's code as somebody has typed it.
func (s *Store) VoucherHash(typed []byte) (hash [32]byte, ok bool) {
	key := VoucherKey(s.sealer)
	return key.Hash(typed)
}

func voucherBatchFields(b *billing.VoucherBatch) []field {
	return []field{
		{"id", id{&b.ID}},
		{"number", whole[int]{&b.Number}},
		{"name", text{&b.Name}},
		{"kind", term(&b.Kind)},
		{"count", whole[int]{&b.Count}},
		{"plan_id", nullID{&b.PlanID}},
		{"validity", seconds{&b.Validity}},
		{"currency", term(&b.Currency)},
		{"amount", money(&b.Amount)},
		{"redeem_before", moment{&b.RedeemBefore}},
		{"code_length", whole[int]{&b.CodeLength}},
		{"note", personal{text{&b.Note}}},
		{"created_by", text{&b.CreatedBy}},
		{"created_at", moment{&b.CreatedAt}},
		{"updated_at", moment{&b.UpdatedAt}},
	}
}

func listedVoucherBatch(b *billing.VoucherBatch) []field {
	return append(voucherBatchFields(b), field{"coalesce((SELECT plans.name FROM plans WHERE plans.id = plan_id), '')", text{&b.Plan}})
}

// voucherRow is a voucher as it is written.
type voucherRow struct {
	billing.Voucher
	codeHash [32]byte
	loginID  uuid.UUID // the user that logs in with it; zero: none
}

func voucherFields(v *voucherRow) []field {
	return []field{
		{"id", id{&v.ID}},
		{"batch_id", id{&v.BatchID}},
		{"serial", text{&v.Serial}},
		{"code_hash", hidden{digest{&v.codeHash}}},
		{"state", term(&v.State)},
		{"login_id", nullID{&v.loginID}},
		{"user_id", nullID{&v.UserID}},
		{"redeemed_at", moment{&v.RedeemedAt}},
		{"redeemed_by", text{&v.RedeemedBy}},
		{"expires_at", moment{&v.ExpiresAt}},
		{"payment_id", nullID{&v.PaymentID}},
		{"created_at", moment{&v.CreatedAt}},
		{"updated_at", moment{&v.UpdatedAt}},
	}
}

// CreateVoucherBatch makes a batch with its vouchers in one transaction, and returns
// their codes, which are nowhere else to be had: only hashes of them are kept. A voucher
// for a plan is also a user, whose name is the serial and who logs in with the code. It
// sets the batch's ID if that is zero, Number, Plan, Counts and the times. It fails with
// ErrExists if the name is taken, and with *billing.FieldErrors.
func (s *Store) CreateVoucherBatch(ctx context.Context, batch *billing.VoucherBatch) (made []billing.MadeVoucher, err error) {
	b := *batch
	if b.CodeLength == 0 {
		b.CodeLength = billing.DefaultCodeLength
	}
	if b.ID == uuid.Nil {
		b.ID = uuid.Must(uuid.NewV7())
	}
	b.CreatedAt = s.timestamp()
	b.UpdatedAt = b.CreatedAt
	b.RedeemBefore = b.RedeemBefore.UTC().Truncate(time.Microsecond)
	if err := b.Validate(b.CreatedAt); err != nil {
		return nil, err
	}
	err = s.write(ctx, func(tx *writeTx) (err error) {
		if err := tx.claimKey(ctx, b.ID); err != nil {
			return err
		}
		if b.PlanID != uuid.Nil {
			err := tx.QueryRowContext(ctx, "SELECT name FROM plans WHERE id = $1", b.PlanID.String()).Scan(text{&b.Plan})
			if errors.Is(err, sql.ErrNoRows) {
				return &billing.FieldError{Field: "plan_id", Message: "plan " + b.PlanID.String() + " does not exist"}
			}
			if err != nil {
				return err
			}
		}
		var taken int
		err = tx.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM voucher_batches WHERE name = $1), (SELECT coalesce(max(number), 0) + 1 FROM voucher_batches)",
			cleanText(b.Name)).Scan(&taken, whole[int]{&b.Number})
		if err != nil {
			return err
		}
		if taken > 0 {
			return fmt.Errorf("batch %q: %w", b.Name, ErrExists)
		}
		// Who was faster with the name or the number is seen the next time.
		if err := insert(ctx, tx.Tx, "voucher_batches", voucherBatchFields(&b)); err != nil {
			return retryOnUnique(err)
		}
		if made, err = tx.makeVouchers(ctx, &b); err != nil {
			return retryOnUnique(err)
		}
		return tx.recordFields(ctx, "voucher_batches.create", "voucher_batch", b.ID, b.Name, nil, voucherBatchFields(&b), "voucher_batch.created")
	})
	if err != nil {
		return nil, s.voucherFailed("create batch of vouchers", err)
	}
	b.Counts = billing.VoucherCounts{New: b.Count}
	*batch = b
	return made, nil
}

// makeVouchers makes the vouchers of a new batch.
func (tx *writeTx) makeVouchers(ctx context.Context, b *billing.VoucherBatch) ([]billing.MadeVoucher, error) {
	codes, err := billing.MakeCodes(rand.Reader, b.Count, b.CodeLength)
	if err != nil {
		return nil, err
	}
	key := VoucherKey(tx.store.sealer)
	made, rows := make([]billing.MadeVoucher, b.Count), make([]voucherRow, b.Count)
	for i, code := range codes {
		v := &rows[i]
		made[i] = billing.MadeVoucher{Serial: b.Serial(i + 1), Code: billing.FormatCode(code)}
		v.Voucher = billing.Voucher{
			ID: uuid.Must(uuid.NewV7()), BatchID: b.ID, Serial: made[i].Serial, State: billing.VoucherNew,
			ExpiresAt: b.RedeemBefore, CreatedAt: b.CreatedAt, UpdatedAt: b.CreatedAt,
		}
		v.codeHash, _ = key.Hash([]byte(code))
		if b.Kind == billing.VoucherPlan {
			v.loginID = uuid.Must(uuid.NewV7())
			v.UserID = v.loginID
		}
	}
	var v voucherRow
	if err := insertRows(ctx, tx, "vouchers", filled(voucherFields(&v), len(rows), func(i int) { v = rows[i] })); err != nil || b.Kind != billing.VoucherPlan {
		return made, err
	}
	// The servers read them after the commit, and find both.
	var u aaa.User
	return made, insertRows(ctx, tx, "users", filled(usersFields(tx.store, &u), len(rows), func(i int) {
		u = aaa.User{ID: rows[i].loginID, Name: rows[i].Serial, PlanID: b.PlanID, ExpiresAt: b.RedeemBefore, CreatedAt: b.CreatedAt, UpdatedAt: b.CreatedAt}
	}))
}

// RenewVoucherCodes gives those vouchers of a batch that are new other codes, which it
// returns; those they had are good for nothing from then on.
func (s *Store) RenewVoucherCodes(ctx context.Context, batchID uuid.UUID) (batch *billing.VoucherBatch, made []billing.MadeVoucher, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if batch, err = findVoucherBatch(ctx, tx, "id", batchID.String(), tx.forUpdate()); err != nil {
			return err
		}
		if err := tx.claimKey(ctx, batch.ID); err != nil {
			return err
		}
		rows, err := tx.lockVouchers(ctx, "batch_id = $1 AND state = 'new' ORDER BY serial", batchID.String())
		if err != nil {
			return err
		}
		codes, err := billing.MakeCodes(rand.Reader, len(rows), batch.CodeLength)
		if err != nil {
			return err
		}
		key, now := VoucherKey(s.sealer), s.timestamp()
		made = made[:0]
		for i, code := range codes {
			rows[i].codeHash, _ = key.Hash([]byte(code))
			rows[i].UpdatedAt = now
			made = append(made, billing.MadeVoucher{Serial: rows[i].Serial, Code: billing.FormatCode(code)})
		}
		var v voucherRow
		fields := []field{{"id", id{&v.ID}}, {"code_hash", digest{&v.codeHash}}, {"updated_at", moment{&v.UpdatedAt}}}
		if err := updateMany(ctx, tx, "vouchers", filled(fields, len(rows), func(i int) { v = rows[i] })); err != nil {
			return retryOnUnique(err)
		}
		if err := tx.touchLogins(ctx, batchID, now, ""); err != nil {
			return err
		}
		return tx.record(ctx, operator.AuditEntry{
			Action: "voucher_batches.new_codes", EntityKind: "voucher_batch", EntityID: batch.ID, EntityName: batch.Name,
		}, "voucher_batch.new_codes")
	})
	if err != nil {
		return nil, nil, s.voucherFailed("renew the codes of a batch of vouchers", err)
	}
	return batch, made, nil
}

// touchLogins changes the users of a batch's new vouchers, so that the servers read them
// anew. set is what else is changed.
func (tx *writeTx) touchLogins(ctx context.Context, batchID uuid.UUID, now time.Time, set string) error {
	_, err := tx.ExecContext(ctx, "UPDATE users SET "+set+"updated_at = $2 WHERE id IN (SELECT login_id FROM vouchers WHERE batch_id = $1 AND state = 'new' AND login_id IS NOT NULL)",
		batchID.String(), moment{&now})
	return err
}

// RevokeVoucherBatch revokes those vouchers of a batch that are new, and returns how many.
// check sees the batch in the same transaction; nil: nothing is checked.
func (s *Store) RevokeVoucherBatch(ctx context.Context, batchID uuid.UUID, check func(*billing.VoucherBatch) error) (revoked int, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		b, err := findVoucherBatch(ctx, tx, "id", batchID.String(), tx.forUpdate())
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(b); err != nil {
				return err
			}
		}
		now := s.timestampAfter(b.UpdatedAt)
		if err := tx.touchLogins(ctx, batchID, now, "status = 'disabled', "); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "UPDATE vouchers SET state = 'revoked', updated_at = $2 WHERE batch_id = $1 AND state = 'new'", batchID.String(), moment{&now})
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if revoked = int(n); err != nil || revoked == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE voucher_batches SET updated_at = $2 WHERE id = $1", batchID.String(), moment{&now}); err != nil {
			return err
		}
		count, err := newFact("revoked", revoked, revoked)
		if err != nil {
			return err
		}
		changes, err := changesOf(nil, []fact{count})
		if err != nil {
			return err
		}
		return tx.record(ctx, operator.AuditEntry{
			Action: "voucher_batches.revoke", EntityKind: "voucher_batch", EntityID: b.ID, EntityName: b.Name, Changes: changes,
		}, "voucher_batch.revoked")
	})
	return revoked, s.voucherFailed("revoke batch of vouchers", err)
}

func findVoucherBatch(ctx context.Context, q querier, column, value, lock string) (*billing.VoucherBatch, error) {
	var b billing.VoucherBatch
	fields := listedVoucherBatch(&b)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM voucher_batches WHERE "+column+" = $1"+lock, value).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("batch of vouchers", value)
	}
	return &b, err
}

// VoucherBatchByID returns a batch with its counts. It fails with ErrNotFound.
func (s *Store) VoucherBatchByID(ctx context.Context, batchID uuid.UUID) (*billing.VoucherBatch, error) {
	return s.voucherBatchBy(ctx, "id", batchID.String())
}

// VoucherBatchByName returns a batch with its counts. It fails with ErrNotFound.
func (s *Store) VoucherBatchByName(ctx context.Context, name string) (*billing.VoucherBatch, error) {
	return s.voucherBatchBy(ctx, "name", cleanText(name))
}

func (s *Store) voucherBatchBy(ctx context.Context, column, value string) (b *billing.VoucherBatch, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		if b, err = findVoucherBatch(ctx, tx, column, value, ""); err != nil {
			return err
		}
		return s.countVouchers(ctx, tx, []*billing.VoucherBatch{b})
	})
	if err != nil {
		return nil, s.voucherFailed("read batch of vouchers", err)
	}
	return b, nil
}

// countVouchers fills in how many vouchers of the batches are in which state now.
func (s *Store) countVouchers(ctx context.Context, q querier, batches []*billing.VoucherBatch) error {
	byID := make(map[uuid.UUID]*billing.VoucherBatch, len(batches))
	ids := make([]string, len(batches))
	for i, b := range batches {
		byID[b.ID], ids[i] = b, b.ID.String()
		b.Counts = billing.VoucherCounts{}
	}
	if len(ids) == 0 {
		return nil
	}
	now := s.timestamp()
	var c conditions
	c.in("batch_id", ids)
	var batchID uuid.UUID
	var state billing.VoucherState
	var n int
	query := fmt.Sprintf("SELECT batch_id, CASE WHEN state <> 'revoked' AND expires_at <= $%d THEN 'expired' ELSE state END AS state_now, count(*) FROM vouchers%s GROUP BY batch_id, state_now",
		len(c.args)+1, c.where())
	return eachRow(ctx, q, query, append(c.args, moment{&now}), []any{id{&batchID}, term(&state), &n}, func() error {
		counts := &byID[batchID].Counts
		switch state {
		case billing.VoucherNew:
			counts.New = n
		case billing.VoucherUsed:
			counts.Used = n
		case billing.VoucherExpired:
			counts.Expired = n
		case billing.VoucherRevoked:
			counts.Revoked = n
		}
		return nil
	})
}

var voucherBatchLists = lister[billing.VoucherBatch]{
	name: "voucher batches", sorts: billing.VoucherBatchSorts(),
	keys: map[string]sortKey[billing.VoucherBatch]{
		"name":       uniqueKey(textKey("name", func(b *billing.VoucherBatch) string { return b.Name })),
		"created_at": timeKey("created_at", func(b *billing.VoucherBatch) time.Time { return b.CreatedAt }),
	},
	id: idKey("id", func(b *billing.VoucherBatch) uuid.UUID { return b.ID }),
}

func voucherBatchConditions(f billing.VoucherBatchFilter) (c conditions) {
	c.prefix("name", f.Query)
	if f.Kind != "" {
		c.add("kind = $%d", term(&f.Kind))
	}
	return c
}

// ListVoucherBatchesPage returns a page of batches with their counts, and the cursor of
// the next page; empty: there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListVoucherBatchesPage(ctx context.Context, filter billing.VoucherBatchFilter, page aaa.Page) ([]billing.VoucherBatch, string, error) {
	list, next, err := listRows(ctx, s, voucherBatchLists, "voucher_batches", listedVoucherBatch, voucherBatchConditions(filter), filter, page)
	if err != nil {
		return nil, "", err
	}
	batches := make([]*billing.VoucherBatch, len(list))
	for i := range list {
		batches[i] = &list[i]
	}
	if err := s.countVouchers(ctx, s.reader, batches); err != nil {
		return nil, "", s.listFailed("voucher batches", err)
	}
	return list, next, nil
}

// CountVoucherBatches counts the batches that the filter selects.
func (s *Store) CountVoucherBatches(ctx context.Context, filter billing.VoucherBatchFilter) (aaa.Count, error) {
	return s.count(ctx, "voucher batches", "voucher_batches", voucherBatchConditions(filter))
}
