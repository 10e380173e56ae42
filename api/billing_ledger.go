package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// LedgerStore keeps the books.
type LedgerStore interface {
	Balances(ctx context.Context, userID uuid.UUID) (map[billing.Currency]billing.Amount, error)
	StatementPage(ctx context.Context, filter billing.StatementFilter, page aaa.Page) (list []billing.StatementEntry, next string, err error)
	StatementBalances(ctx context.Context, filter billing.StatementFilter) (opening, closing map[billing.Currency]billing.Amount, err error)
	ListTransactionsPage(ctx context.Context, filter billing.TransactionFilter, page aaa.Page) (list []billing.Transaction, next string, err error)
	CheckLedger(ctx context.Context) (complaints []string, err error)
}

// ledger are the resources of what users owe, and /ledger.
type ledger struct {
	store LedgerStore
	users UserStore
}

func (h *ledger) GetUserBalance(ctx context.Context, r GetUserBalanceRequestObject) (GetUserBalanceResponseObject, error) {
	balances, err := h.balances(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	return GetUserBalance200JSONResponse{UserID: r.UserID, Balances: sums(balances)}, nil
}

// balances are those of a user who is there, or was and has some.
func (h *ledger) balances(ctx context.Context, userID uuid.UUID) (map[billing.Currency]billing.Amount, error) {
	balances, err := h.store.Balances(ctx, userID)
	if err == nil && len(balances) == 0 {
		_, err = h.users.UserRowByID(ctx, userID)
	}
	return balances, err
}

func (h *ledger) GetUserStatement(ctx context.Context, r GetUserStatementRequestObject) (GetUserStatementResponseObject, error) {
	p := r.Params
	if _, err := h.balances(ctx, r.UserID); err != nil {
		return nil, err
	}
	filter := billing.StatementFilter{UserID: r.UserID, Currency: billing.Currency(p.Currency), From: p.From, Before: p.Before}
	found, next, err := h.store.StatementPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	opening, closing, err := h.store.StatementBalances(ctx, filter)
	if err != nil {
		return nil, err
	}
	list := Statement{Opening: sums(opening), Closing: sums(closing), Items: make([]StatementEntry, len(found)), NextCursor: nextCursor(next)}
	for i, e := range found {
		list.Items[i] = StatementEntry{
			TransactionID: e.TransactionID, At: e.At, Kind: TransactionKind(e.Kind), Amount: moneyOf(e.Currency, e.Amount),
			Balance: moneyOf(e.Currency, e.Balance), SubjectID: idOrNull(e.SubjectID), Memo: e.Memo,
		}
	}
	return GetUserStatement200JSONResponse(list), nil
}

func (h *ledger) ListTransactions(ctx context.Context, r ListTransactionsRequestObject) (ListTransactionsResponseObject, error) {
	p := r.Params
	filter := billing.TransactionFilter{Kind: billing.TransactionKind(p.Kind), SubjectID: p.SubjectID, From: p.From, Before: p.Before}
	found, next, err := h.store.ListTransactionsPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := TransactionList{Items: make([]Transaction, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		t := &found[i]
		postings := make([]Posting, len(t.Postings))
		for n, p := range t.Postings {
			postings[n] = Posting{Account: string(p.Account), UserID: idOrNull(p.UserID), Amount: moneyOf(t.Currency, p.Amount)}
		}
		list.Items[i] = Transaction{ID: t.ID, At: t.At, Kind: TransactionKind(t.Kind), SubjectID: idOrNull(t.SubjectID), Memo: t.Memo, Postings: postings}
	}
	return ListTransactions200JSONResponse(list), nil
}

// ledgerCheckTime bounds how long the books are added up for an answer.
const ledgerCheckTime = 2 * time.Minute

func (h *ledger) CheckLedger(ctx context.Context, _ CheckLedgerRequestObject) (CheckLedgerResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerCheckTime)
	defer cancel()
	complaints, err := h.store.CheckLedger(ctx)
	if err != nil {
		return nil, err
	}
	if complaints == nil {
		complaints = []string{}
	}
	return CheckLedger200JSONResponse{Balances: len(complaints) == 0, Complaints: complaints}, nil
}
