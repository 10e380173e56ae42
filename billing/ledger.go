package billing

import (
	"time"

	"github.com/google/uuid"
)

// Transaction is an entry of the ledger: postings that add up to zero in its currency.
// It is never changed; a mistake is reversed by another one.
type Transaction struct {
	// ID is made from what it tells of, so that posting it again is refused.
	ID        uuid.UUID
	At        time.Time
	Kind      TransactionKind
	Currency  Currency
	SubjectID uuid.UUID // the invoice, payment, …
	// Memo says no more of a person than a number does: it can never be erased.
	Memo     string
	Postings []Posting
}

// TransactionKind says what a transaction tells of.
type TransactionKind string

// The kinds of transactions.
const (
	TransactionInvoice    TransactionKind = "invoice"
	TransactionCreditNote TransactionKind = "credit_note"
	TransactionVoid       TransactionKind = "void"
	TransactionPayment    TransactionKind = "payment"
	TransactionRefund     TransactionKind = "refund"
	TransactionWriteOff   TransactionKind = "write_off"
	TransactionRecovery   TransactionKind = "recovery" // of what was written off
	TransactionVoucher    TransactionKind = "voucher"
	TransactionExpiry     TransactionKind = "expiry" // credit that was not used in time
)

// Posting is one side of a transaction: a debit is positive, a credit negative.
type Posting struct {
	Account AccountName
	UserID  uuid.UUID // of AccountCustomer; else zero
	Amount  Amount
}

// AccountName names an account of the ledger.
type AccountName string

// The accounts. What users owe is one account for each user and currency: positive
// is owed, negative is credit.
const (
	AccountCustomer AccountName = "customer"
	AccountRevenue  AccountName = "revenue"
	AccountTax      AccountName = "tax"
	AccountCash     AccountName = "cash"
	AccountBank     AccountName = "bank"
	AccountCard     AccountName = "card"
	AccountVoucher  AccountName = "voucher" // value of vouchers redeemed
	AccountBadDebt  AccountName = "bad_debt"
	AccountExpired  AccountName = "expired_credit"
)

// Accounts returns the accounts of the ledger.
func Accounts() []AccountName {
	return []AccountName{AccountCustomer, AccountRevenue, AccountTax, AccountCash, AccountBank, AccountCard, AccountVoucher, AccountBadDebt, AccountExpired}
}

// Payment is money that came from a user, or went back (a refund).
type Payment struct {
	ID       uuid.UUID // UUIDv7
	UserID   uuid.UUID
	Username string // not written
	Method   PaymentMethod
	Currency Currency
	Amount   Amount    // positive; of a refund, what went back
	Refunds  uuid.UUID // the payment it gives back; zero: it is no refund
	// Provider and Reference name it in another system. They are unique together, so
	// that what is reported twice is booked once. Never a card number.
	Provider, Reference string
	ReceivedOn          Date
	// ChargedBack says of a refund that the money is gone already: a dispute, a direct debit
	// that was returned. It is not written.
	ChargedBack bool
	Note        string
	// ExpiresOn is the last day on which what is on no invoice can be used; no day: it
	// stays. Expired is what was lost of it.
	ExpiresOn   Date
	Expired     Amount
	Allocations []Allocation
	CreatedAt   time.Time
}

// PaymentMethod says how money came.
type PaymentMethod string

// The methods of payment.
const (
	PaidCash    PaymentMethod = "cash"
	PaidBank    PaymentMethod = "bank"
	PaidCard    PaymentMethod = "card"
	PaidVoucher PaymentMethod = "voucher"
)

// Allocation is what of a payment, credit note or write-off goes to an invoice. What is
// not allocated is the user's credit, and goes to the next invoice.
type Allocation struct {
	InvoiceID uuid.UUID
	Number    string // of the invoice; not written
	Amount    Amount
	At        time.Time
}
