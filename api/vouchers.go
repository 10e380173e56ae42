package api

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

// VoucherStore makes and keeps vouchers; see PlanStore for what is the same.
type VoucherStore interface {
	ListVoucherBatchesPage(ctx context.Context, filter billing.VoucherBatchFilter, page aaa.Page) (batches []billing.VoucherBatch, next string, err error)
	CountVoucherBatches(ctx context.Context, filter billing.VoucherBatchFilter) (aaa.Count, error)
	VoucherBatchByID(ctx context.Context, id uuid.UUID) (*billing.VoucherBatch, error)
	// CreateVoucherBatch and RenewVoucherCodes return codes that are nowhere else.
	CreateVoucherBatch(ctx context.Context, batch *billing.VoucherBatch) ([]billing.MadeVoucher, error)
	RenewVoucherCodes(ctx context.Context, batchID uuid.UUID) (*billing.VoucherBatch, []billing.MadeVoucher, error)
	RevokeVoucherBatch(ctx context.Context, batchID uuid.UUID, check func(*billing.VoucherBatch) error) (int, error)
	ListVouchersPage(ctx context.Context, filter billing.VoucherFilter, page aaa.Page) (vouchers []billing.Voucher, next string, err error)
	CountVouchers(ctx context.Context, filter billing.VoucherFilter) (aaa.Count, error)
	VoucherByID(ctx context.Context, id uuid.UUID) (*billing.Voucher, error)
	RevokeVoucher(ctx context.Context, id uuid.UUID, check func(*billing.Voucher) error) error
	RedeemVoucher(ctx context.Context, userID uuid.UUID, code string, from netip.Addr) (*billing.Redemption, error)
	// VoucherHash is as in aaa.DirectoryOptions.
	VoucherHash(typed []byte) (hash [32]byte, ok bool)
}

// voucherUsers are those whom vouchers are redeemed for.
type voucherUsers interface {
	UserByID(ctx context.Context, id uuid.UUID) (*aaa.User, *aaa.Profile, error)
}

// vouchers are the resources /voucher-batches and /vouchers.
type vouchers struct {
	store VoucherStore
	users voucherUsers
	now   func() time.Time
}

func (h *vouchers) ListVoucherBatches(ctx context.Context, r ListVoucherBatchesRequestObject) (ListVoucherBatchesResponseObject, error) {
	filter := billing.VoucherBatchFilter{Query: r.Params.Q, Kind: billing.VoucherKind(r.Params.Kind)}
	found, next, err := h.store.ListVoucherBatchesPage(ctx, filter, page(r.Params.Cursor, r.Params.Limit, r.Params.Sort))
	if err != nil {
		return nil, err
	}
	list := VoucherBatchList{Items: make([]VoucherBatch, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = voucherBatchOf(ctx, &found[i])
	}
	if r.Params.Count {
		if list.Total, err = total(h.store.CountVoucherBatches(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListVoucherBatches200JSONResponse(list), nil
}

func (h *vouchers) CreateVoucherBatch(ctx context.Context, r CreateVoucherBatchRequestObject) (CreateVoucherBatchResponseObject, error) {
	batch := &billing.VoucherBatch{
		Name: r.Body.Name, Kind: billing.VoucherKind(r.Body.Kind), Count: r.Body.Count, PlanID: r.Body.PlanID,
		Validity: time.Duration(r.Body.Validity) * time.Second, RedeemBefore: r.Body.RedeemBefore, CodeLength: r.Body.CodeLength, Note: r.Body.Note,
		CreatedBy: operator.ActorOf(ctx).Name,
	}
	if r.Body.Value != nil {
		var err error
		if batch.Amount, batch.Currency, err = moneyIn("value", *r.Body.Value); err != nil {
			return nil, err
		}
	}
	made, err := h.store.CreateVoucherBatch(ctx, batch)
	if id, again := repeated(err); again {
		return nil, repeatedOnce(id)
	}
	if err != nil {
		return nil, err
	}
	return CreateVoucherBatch201JSONResponse{
		Body:    vouchersMade(ctx, batch, made),
		Headers: CreateVoucherBatch201ResponseHeaders{Location: location("voucher-batches", batch.ID)},
	}, nil
}

func (h *vouchers) GetVoucherBatch(ctx context.Context, r GetVoucherBatchRequestObject) (GetVoucherBatchResponseObject, error) {
	batch, err := h.store.VoucherBatchByID(ctx, r.VoucherBatchID)
	if err != nil {
		return nil, err
	}
	return GetVoucherBatch200JSONResponse(voucherBatchOf(ctx, batch)), nil
}

func (h *vouchers) RenewVoucherCodes(ctx context.Context, r RenewVoucherCodesRequestObject) (RenewVoucherCodesResponseObject, error) {
	_, made, err := h.store.RenewVoucherCodes(ctx, r.VoucherBatchID)
	if id, again := repeated(err); again {
		return nil, repeatedOnce(id)
	}
	if err != nil {
		return nil, err
	}
	batch, err := h.store.VoucherBatchByID(ctx, r.VoucherBatchID)
	if err != nil {
		return nil, err
	}
	return RenewVoucherCodes200JSONResponse(vouchersMade(ctx, batch, made)), nil
}

func (h *vouchers) RevokeVoucherBatch(ctx context.Context, r RevokeVoucherBatchRequestObject) (RevokeVoucherBatchResponseObject, error) {
	if _, err := h.store.RevokeVoucherBatch(ctx, r.VoucherBatchID, nil); err != nil {
		return nil, err
	}
	batch, err := h.store.VoucherBatchByID(ctx, r.VoucherBatchID)
	if err != nil {
		return nil, err
	}
	return RevokeVoucherBatch200JSONResponse(voucherBatchOf(ctx, batch)), nil
}

func (h *vouchers) ListVouchers(ctx context.Context, r ListVouchersRequestObject) (ListVouchersResponseObject, error) {
	filter := billing.VoucherFilter{
		BatchID: r.Params.BatchID, State: billing.VoucherState(r.Params.State), UserID: r.Params.UserID, Serial: r.Params.Serial,
	}
	// The cursor is of the filter, which must not have a time that differs between pages.
	found, next, err := h.store.ListVouchersPage(ctx, filter, page(r.Params.Cursor, r.Params.Limit, r.Params.Sort))
	if err != nil {
		return nil, err
	}
	list := VoucherList{Items: make([]Voucher, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = h.voucherOf(&found[i])
	}
	if r.Params.Count {
		if list.Total, err = total(h.store.CountVouchers(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListVouchers200JSONResponse(list), nil
}

func (h *vouchers) GetVoucher(ctx context.Context, r GetVoucherRequestObject) (GetVoucherResponseObject, error) {
	voucher, err := h.store.VoucherByID(ctx, r.VoucherID)
	if err != nil {
		return nil, err
	}
	return GetVoucher200JSONResponse(h.voucherOf(voucher)), nil
}

func (h *vouchers) RevokeVoucher(ctx context.Context, r RevokeVoucherRequestObject) (RevokeVoucherResponseObject, error) {
	if err := h.store.RevokeVoucher(ctx, r.VoucherID, nil); err != nil {
		return nil, err
	}
	voucher, err := h.store.VoucherByID(ctx, r.VoucherID)
	if err != nil {
		return nil, err
	}
	return RevokeVoucher200JSONResponse(h.voucherOf(voucher)), nil
}

func (h *vouchers) RedeemVoucher(ctx context.Context, r RedeemVoucherRequestObject) (RedeemVoucherResponseObject, error) {
	var from netip.Addr
	if r.Body.ClientAddress != "" {
		var err error
		if from, err = netip.ParseAddr(r.Body.ClientAddress); err != nil || from.Zone() != "" {
			return nil, invalidField("client_address", "want an IP address")
		}
	}
	redeemed, err := h.store.RedeemVoucher(ctx, r.Body.UserID, r.Body.Code, from)
	if id, again := repeated(err); again {
		redeemed, err = h.redeemedBefore(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	body := Redemption{Voucher: h.voucherOf(&redeemed.Voucher), UserExpiresAt: timeOrNull(redeemed.ExpiresAt)}
	if redeemed.Batch.Kind == billing.VoucherValue {
		value := moneyOf(redeemed.Batch.Currency, redeemed.Batch.Amount)
		body.Value = &value
	}
	return RedeemVoucher200JSONResponse(body), nil
}

// redeemedBefore is what came of a voucher that the same request has redeemed.
func (h *vouchers) redeemedBefore(ctx context.Context, voucherID uuid.UUID) (*billing.Redemption, error) {
	voucher, err := h.store.VoucherByID(ctx, voucherID)
	if err != nil {
		return nil, err
	}
	batch, err := h.store.VoucherBatchByID(ctx, voucher.BatchID)
	if err != nil {
		return nil, err
	}
	r := &billing.Redemption{Voucher: *voucher, Batch: *batch}
	if batch.Kind == billing.VoucherPlan {
		user, _, err := h.users.UserByID(ctx, voucher.UserID)
		if err != nil {
			return nil, err
		}
		r.ExpiresAt = user.ExpiresAt
	}
	return r, nil
}

// voucherCode is the code of the problem that a voucher of the state cannot be redeemed.
func voucherCode(state billing.VoucherState) string {
	if state == billing.VoucherNew {
		return "voucher_refused" // it is the user's doing
	}
	return "voucher_" + string(state)
}

func vouchersMade(ctx context.Context, batch *billing.VoucherBatch, made []billing.MadeVoucher) VouchersMade {
	body := VouchersMade{Batch: voucherBatchOf(ctx, batch), Vouchers: make([]MadeVoucher, len(made))}
	for i, v := range made {
		body.Vouchers[i] = MadeVoucher{Serial: v.Serial, Code: v.Code}
	}
	return body
}

// voucherBatchOf is a batch as the API shows it to the caller.
func voucherBatchOf(ctx context.Context, b *billing.VoucherBatch) VoucherBatch {
	body := VoucherBatch{
		ID: b.ID, Number: b.Number, Name: b.Name, Kind: VoucherKind(b.Kind), Count: b.Count, PlanID: idOrNull(b.PlanID), Plan: b.Plan,
		Validity: int64(b.Validity / time.Second), RedeemBefore: timeOrNull(b.RedeemBefore), CodeLength: b.CodeLength, Note: freeText(ctx, b.Note), CreatedBy: b.CreatedBy,
		Counts:    VoucherCounts{New: b.Counts.New, Used: b.Counts.Used, Expired: b.Counts.Expired, Revoked: b.Counts.Revoked},
		CreatedAt: b.CreatedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(),
	}
	if b.Kind == billing.VoucherValue {
		value := moneyOf(b.Currency, b.Amount)
		body.Value = &value
	}
	return body
}

// voucherOf is a voucher as the API shows it.
func (h *vouchers) voucherOf(v *billing.Voucher) Voucher {
	return Voucher{
		ID: v.ID, BatchID: v.BatchID, Batch: v.Batch, Kind: VoucherKind(v.Kind), Serial: v.Serial, State: VoucherState(v.StateAt(h.now())),
		UserID: idOrNull(v.UserID), Username: v.Username, RedeemedAt: timeOrNull(v.RedeemedAt), RedeemedBy: v.RedeemedBy,
		ExpiresAt: timeOrNull(v.ExpiresAt), PaymentID: idOrNull(v.PaymentID), CreatedAt: v.CreatedAt.UTC(), UpdatedAt: v.UpdatedAt.UTC(),
	}
}
