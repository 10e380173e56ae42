package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

func listedVoucher(v *voucherRow) []field {
	return append(voucherFields(v),
		field{"(SELECT voucher_batches.name FROM voucher_batches WHERE voucher_batches.id = vouchers.batch_id)", text{&v.Batch}},
		field{"(SELECT voucher_batches.kind FROM voucher_batches WHERE voucher_batches.id = vouchers.batch_id)", term(&v.Kind)},
		field{usernameOf("vouchers"), text{&v.Username}})
}

var voucherLists = lister[voucherRow]{
	name: "vouchers", sorts: billing.VoucherSorts(),
	keys: map[string]sortKey[voucherRow]{
		"serial":     uniqueKey(textKey("serial", func(v *voucherRow) string { return v.Serial })),
		"created_at": timeKey("created_at", func(v *voucherRow) time.Time { return v.CreatedAt }),
	},
	id: idKey("id", func(v *voucherRow) uuid.UUID { return v.ID }),
}

func voucherConditions(f billing.VoucherFilter) (c conditions) {
	if f.BatchID != uuid.Nil {
		c.add("batch_id = $%d", f.BatchID.String())
	}
	if f.UserID != uuid.Nil {
		c.add("user_id = $%d", f.UserID.String())
	}
	c.prefix("serial", f.Serial)
	switch f.State {
	case "":
	case billing.VoucherRevoked:
		c.add("state = 'revoked'")
	case billing.VoucherExpired:
		c.add("state IN ('new', 'used') AND expires_at <= $%d", moment{&f.Now})
	default:
		c.add("state = $%d", term(&f.State))
		c.add("(expires_at IS NULL OR expires_at > $%d)", moment{&f.Now})
	}
	return c
}

// asOf is the filter at the present, unless it has a time.
func (s *Store) asOf(f billing.VoucherFilter) billing.VoucherFilter {
	if f.Now.IsZero() {
		f.Now = s.timestamp()
	}
	return f
}

// ListVouchersPage returns a page of vouchers, and the cursor of the next page; empty:
// there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListVouchersPage(ctx context.Context, filter billing.VoucherFilter, page aaa.Page) (list []billing.Voucher, next string, err error) {
	rows, next, err := listRows(ctx, s, voucherLists, "vouchers", listedVoucher, voucherConditions(s.asOf(filter)), filter, page)
	for i := range rows {
		list = append(list, rows[i].Voucher)
	}
	return list, next, err
}

// CountVouchers counts the vouchers that the filter selects.
func (s *Store) CountVouchers(ctx context.Context, filter billing.VoucherFilter) (aaa.Count, error) {
	return s.count(ctx, "vouchers", "vouchers", voucherConditions(s.asOf(filter)))
}

func findVoucher(ctx context.Context, q querier, where, lock string, args ...any) (*voucherRow, error) {
	var v voucherRow
	fields := listedVoucher(&v)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM vouchers WHERE "+where+lock, args...).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("voucher", "")
	}
	return &v, err
}

// lockVouchers reads and locks vouchers.
func (tx *writeTx) lockVouchers(ctx context.Context, where string, args ...any) (rows []voucherRow, err error) {
	var v voucherRow
	fields := listedVoucher(&v)
	err = eachRow(ctx, tx, "SELECT "+names(fields)+" FROM vouchers WHERE "+where+tx.forUpdate(), args, targets(fields), func() error {
		rows = append(rows, v)
		return nil
	})
	return rows, err
}

// VoucherByID returns a voucher. It fails with ErrNotFound.
func (s *Store) VoucherByID(ctx context.Context, voucherID uuid.UUID) (*billing.Voucher, error) {
	return s.voucherBy(ctx, "id = $1", voucherID.String())
}

// VoucherBySerial returns a voucher. It fails with ErrNotFound.
func (s *Store) VoucherBySerial(ctx context.Context, serial string) (*billing.Voucher, error) {
	return s.voucherBy(ctx, "serial = $1", cleanText(serial))
}

func (s *Store) voucherBy(ctx context.Context, where, value string) (*billing.Voucher, error) {
	v, err := findVoucher(ctx, s.reader, where, "", value)
	if err != nil {
		return nil, s.voucherFailed("read voucher "+value, err)
	}
	return &v.Voucher, nil
}

// RevokeVoucher revokes a voucher: nobody logs in with it any more, or redeems it. One
// that was redeemed for a user cannot be revoked (ErrInUse): take the time, or the
// payment, back instead. check sees it in the same transaction; nil: nothing is checked.
func (s *Store) RevokeVoucher(ctx context.Context, voucherID uuid.UUID, check func(*billing.Voucher) error) error {
	err := s.write(ctx, func(tx *writeTx) error {
		v, err := findVoucher(ctx, tx, "id = $1", tx.forUpdate(), voucherID.String())
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(&v.Voucher); err != nil {
				return err
			}
		}
		switch {
		case v.State == billing.VoucherRevoked:
			return nil
		case v.State == billing.VoucherUsed && v.UserID != v.loginID:
			return &billing.VoucherError{State: billing.VoucherUsed, Message: "voucher " + v.Serial + " was redeemed for a user: take back what they got instead"}
		}
		before, err := factsOf(voucherFields(v))
		if err != nil {
			return err
		}
		v.State, v.UpdatedAt = billing.VoucherRevoked, s.timestampAfter(v.UpdatedAt)
		if err := update(ctx, tx.Tx, "vouchers", voucherFields(v)); err != nil {
			return err
		}
		if err := tx.disableLogin(ctx, v); err != nil {
			return err
		}
		return tx.recordFields(ctx, "vouchers.revoke", "voucher", v.ID, v.Serial, before, voucherFields(v), "voucher.revoked")
	})
	return s.voucherFailed("revoke voucher", err)
}

// disableLogin keeps the user from logging in who is the voucher, if there is one still.
func (tx *writeTx) disableLogin(ctx context.Context, v *voucherRow) error {
	if v.loginID == uuid.Nil {
		return nil
	}
	_, err := users.changeIn(ctx, tx, "id", v.loginID.String(), func(u *aaa.User) error {
		u.Status = aaa.UserDisabled
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// VoucherEvent is the payload of events about the redemption of vouchers.
type VoucherEvent struct {
	VoucherID uuid.UUID           `json:"voucher_id"`
	BatchID   uuid.UUID           `json:"batch_id"`
	Serial    string              `json:"serial"`
	Kind      billing.VoucherKind `json:"kind"`
	UserID    uuid.UUID           `json:"user_id"`
	Login     bool                `json:"login"` // by logging in, not for another user
	ExpiresAt time.Time           `json:"expires_at,omitzero"`
	PaymentID uuid.UUID           `json:"payment_id,omitzero"`
}

func (tx *writeTx) emitVoucher(v *voucherRow, until time.Time) error {
	return tx.emit("voucher.redeemed", "voucher", v.ID, VoucherEvent{
		VoucherID: v.ID, BatchID: v.BatchID, Serial: v.Serial, Kind: v.Kind, UserID: v.UserID,
		Login: v.loginID != uuid.Nil && v.UserID == v.loginID, ExpiresAt: until, PaymentID: v.PaymentID,
	})
}

// voucherFailed words an error of an action, and leaves those alone that are for who
// redeems.
func (s *Store) voucherFailed(action string, err error) error {
	var refused *billing.VoucherError
	var throttled *operator.ThrottledError
	if errors.As(err, &refused) || errors.As(err, &throttled) || errors.Is(err, billing.ErrUnknownVoucher) || errors.Is(err, ErrExists) {
		return err
	}
	return s.failed(action, err)
}

// eachVoucherLogin calls fn with what the users who are vouchers log in by. which says, of
// login_id, which.
func eachVoucherLogin(ctx context.Context, q querier, which string, args []any, fn func(userID uuid.UUID, login aaa.VoucherLogin)) error {
	var userID uuid.UUID
	var login aaa.VoucherLogin
	return eachRow(ctx, q, `SELECT login_id, code_hash, CASE WHEN state = 'new' THEN validity ELSE 0 END
		FROM vouchers JOIN voucher_batches ON voucher_batches.id = vouchers.batch_id WHERE login_id `+which,
		args, []any{id{&userID}, digest{&login.CodeHash}, seconds{&login.ValidFor}}, func() error {
			fn(userID, login)
			return nil
		})
}

// RecordFirstUses implements aaa.FirstUseStore.
func (s *Store) RecordFirstUses(ctx context.Context, uses []aaa.FirstUse) error {
	at := make(map[string]time.Time, len(uses))
	for _, use := range uses {
		key := use.UserID.String()
		if before, ok := at[key]; !ok || use.At.Before(before) {
			at[key] = use.At.UTC().Truncate(time.Microsecond)
		}
	}
	logins := make([]string, 0, len(at))
	for login := range at {
		logins = append(logins, login)
	}
	err := s.write(ctx, func(tx *writeTx) error {
		return eachChunk(tx, "login_id", "uuid", logins, func(which string, args []any) error {
			rows, err := tx.lockVouchers(ctx, which+" ORDER BY id", args...)
			if err != nil {
				return err
			}
			for i := range rows {
				if err := tx.firstUse(ctx, &rows[i], at[rows[i].loginID.String()]); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return s.voucherFailed("record first uses of vouchers", err)
}

// LostFirstUses implements aaa.FirstUseStore.
func (s *Store) LostFirstUses(ctx context.Context, since time.Time) (uses []aaa.FirstUse, err error) {
	var use aaa.FirstUse
	err = eachRow(ctx, s.reader, `SELECT vouchers.login_id, min(sessions.started_at) FROM sessions
		JOIN users ON users.username = sessions.username JOIN vouchers ON vouchers.login_id = users.id
		WHERE vouchers.state = 'new' AND sessions.started_at >= $1 GROUP BY vouchers.login_id`,
		[]any{moment{&since}}, []any{id{&use.UserID}, moment{&use.At}}, func() error {
			uses = append(uses, use)
			return nil
		})
	if err != nil {
		return nil, s.voucherFailed("look for first uses of vouchers", err)
	}
	return uses, nil
}

// firstUse notes that a voucher was logged in with at a time. Of several times the
// earliest counts, whichever node or record it comes from.
func (tx *writeTx) firstUse(ctx context.Context, v *voucherRow, at time.Time) error {
	if at.Before(v.CreatedAt) {
		at = v.CreatedAt // by a clock that is wrong
	}
	login := v.UserID == v.loginID
	if v.State != billing.VoucherNew && (v.State != billing.VoucherUsed || !login || !at.Before(v.RedeemedAt)) {
		return nil
	}
	batch, err := findVoucherBatch(ctx, tx, "id", v.BatchID.String(), "")
	if err != nil {
		return err
	}
	before, isNew := v.ExpiresAt, v.State == billing.VoucherNew
	v.State, v.RedeemedAt, v.ExpiresAt = billing.VoucherUsed, at, at.Add(batch.Validity)
	v.UpdatedAt = tx.store.timestampAfter(v.UpdatedAt)
	if err := update(ctx, tx.Tx, "vouchers", voucherFields(v)); err != nil {
		return err
	}
	// What somebody has set since is left alone. The servers read the user in any case.
	_, err = tx.ExecContext(ctx, "UPDATE users SET expires_at = CASE WHEN $4 OR expires_at = $5 THEN $2 ELSE expires_at END, updated_at = $3 WHERE id = $1",
		v.loginID.String(), moment{&v.ExpiresAt}, moment{&v.UpdatedAt}, isNew, moment{&before})
	if err != nil || !isNew {
		return err
	}
	return tx.emitVoucher(v, v.ExpiresAt)
}

// withoutLogin has a voucher revoked whose user is deleted: nobody can log in with it.
func (tx *writeTx) withoutLogin(ctx context.Context, userID uuid.UUID) error {
	now := tx.store.timestamp()
	_, err := tx.ExecContext(ctx, "UPDATE vouchers SET state = 'revoked', updated_at = $2 WHERE login_id = $1 AND state = 'new'", userID.String(), moment{&now})
	return err
}
