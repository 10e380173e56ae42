package billing

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// The functions here are the only ones that know which accounts of the ledger move when.
// Each returns a transaction whose id is made of its subject and kind: posting it twice
// is refused by the store.

// PostInvoice returns the transaction of issuing an invoice, by which its total is owed,
// or a credit note, the reverse. That of an invoice over nothing has no postings, and is
// not written.
func PostInvoice(i *Invoice, at time.Time) Transaction {
	kind, sign := TransactionInvoice, Amount(1)
	if i.Kind == KindCreditNote {
		kind, sign = TransactionCreditNote, -1
	}
	return newTransaction(i.ID, kind, i.Currency, i.Number, at,
		Posting{AccountCustomer, i.UserID, sign * i.Total},
		Posting{AccountRevenue, uuid.Nil, -sign * i.Net},
		Posting{AccountTax, uuid.Nil, -sign * i.Tax})
}

// PostVoid returns the transaction that takes back an invoice or a credit note.
func PostVoid(i *Invoice, at time.Time) Transaction {
	t := PostInvoice(i, at)
	for n := range t.Postings {
		t.Postings[n].Amount = -t.Postings[n].Amount
	}
	t.ID, t.Kind = makeID("transaction", i.ID, string(TransactionVoid)), TransactionVoid
	return t
}

// accounts are where money of each method lies.
var accounts = map[PaymentMethod]AccountName{
	PaidCash: AccountCash, PaidBank: AccountBank, PaidCard: AccountCard, PaidVoucher: AccountVoucher,
}

// PostPayment returns the transaction of a payment, by which the user owes less, or of a
// refund, by which they owe it again.
func PostPayment(p *Payment, at time.Time) (Transaction, error) {
	account, ok := accounts[p.Method]
	if !ok {
		return Transaction{}, fmt.Errorf("payment method %q is unknown: want cash, bank, card or voucher", p.Method)
	}
	if p.Amount <= 0 {
		return Transaction{}, fmt.Errorf("a payment is of more than nothing, this one of %s %s", p.Currency.Format(p.Amount), p.Currency)
	}
	kind, sign := TransactionPayment, Amount(1)
	switch {
	case p.Refunds != uuid.Nil:
		kind, sign = TransactionRefund, -1
	case p.Method == PaidVoucher:
		kind = TransactionVoucher
	}
	return newTransaction(p.ID, kind, p.Currency, string(p.Method), at,
		Posting{account, uuid.Nil, sign * p.Amount},
		Posting{AccountCustomer, p.UserID, -sign * p.Amount}), nil
}

// PostWriteOff returns the transaction of giving up an amount of what is open of an invoice,
// or if it is negative, of taking that back, as it is paid or credited after all; before is
// how many such transactions of the invoice there are.
func PostWriteOff(i *Invoice, a Amount, before int, at time.Time) Transaction {
	kind := TransactionWriteOff
	if a < 0 {
		kind = TransactionRecovery
	}
	t := newTransaction(i.ID, kind, i.Currency, i.Number, at,
		Posting{AccountBadDebt, uuid.Nil, a},
		Posting{AccountCustomer, i.UserID, -a})
	if before > 0 {
		t.ID = makeID("transaction", i.ID, string(kind), before)
	}
	return t
}

// PostExpiry returns the transaction by which a user loses credit that was not used in
// time; subject is the payment that it came with, and before what was lost or given back of it
// until then. A negative amount is given back, as it was charged back; the refund is its
// subject.
func PostExpiry(subject, user uuid.UUID, c Currency, a, before Amount, at time.Time) Transaction {
	t := newTransaction(subject, TransactionExpiry, c, "", at,
		Posting{AccountCustomer, user, a},
		Posting{AccountExpired, uuid.Nil, -a})
	if before > 0 {
		t.ID = makeID("transaction", subject, string(TransactionExpiry), int(before))
	}
	return t
}

func newTransaction(subject uuid.UUID, kind TransactionKind, c Currency, memo string, at time.Time, postings ...Posting) Transaction {
	t := Transaction{ID: makeID("transaction", subject, string(kind)), At: at, Kind: kind, Currency: c, SubjectID: subject, Memo: memo}
	for _, p := range postings {
		if p.Amount != 0 {
			t.Postings = append(t.Postings, p)
		}
	}
	return t
}

// Validate returns what is wrong with a transaction: it has postings other than zero
// which add up to zero, in a currency, and names a user where and only where it posts to
// the customer account.
func (t *Transaction) Validate() error {
	var p problems
	p.need(t.ID != uuid.Nil && t.SubjectID != uuid.Nil, "id", "it has no id or no subject")
	if _, err := ParseCurrency(string(t.Currency)); err != nil {
		p = append(p, err)
	}
	p.need(len(t.Postings) > 0, "postings", "it has no postings")
	var sum Amount
	var err error
	for _, posting := range t.Postings {
		p.need(posting.Amount != 0, "postings", "it posts nothing to %s", posting.Account)
		p.need((posting.Account == AccountCustomer) == (posting.UserID != uuid.Nil), "postings", "its posting to %s must have a user if that is the customer account, and none if not", posting.Account)
		if sum, err = sum.Add(posting.Amount); err != nil {
			p = append(p, err)
			break
		}
	}
	p.need(sum == 0, "postings", "its postings add up to %s %s: they must to zero", t.Currency.Format(sum), t.Currency)
	if len(p) > 0 {
		return fmt.Errorf("transaction %s of %s: %w", t.ID, t.Kind, errors.Join(p...))
	}
	return nil
}
