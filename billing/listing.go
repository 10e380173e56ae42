package billing

import (
	"time"

	"github.com/google/uuid"
)

// What follows selects rows of lists: those to which all of it applies. A zero field
// selects all. The first of the sorts is what a list is sorted by unless something else
// is asked for; the sign there is only the direction of that.

// RateFilter selects rates.
type RateFilter struct {
	PlanID uuid.UUID
	// Offered selects those that are offered to new subscribers, or those that are not.
	Offered *bool
}

// RateSorts are the sorts of rates.
func RateSorts() []string { return []string{"-created_at"} }

// SubscriptionFilter selects subscriptions.
type SubscriptionFilter struct {
	UserID uuid.UUID
	PlanID uuid.UUID // of the present rate
	RateID uuid.UUID
	State  SubscriptionState
}

// SubscriptionSorts are the sorts of subscriptions.
func SubscriptionSorts() []string { return []string{"-created_at"} }

// OrderFilter selects orders.
type OrderFilter struct {
	UserID uuid.UUID
	State  OrderState
	Kind   OrderKind
}

// OrderSorts are the sorts of orders.
func OrderSorts() []string { return []string{"-created_at"} }

// ChargeFilter selects charges.
type ChargeFilter struct {
	UserID         uuid.UUID
	SubscriptionID uuid.UUID
	InvoiceID      uuid.UUID
	Kind           ChargeKind
	// Pending selects those that are on no invoice yet, or those that are on one.
	Pending *bool
}

// MailingFilter selects mails about invoices.
type MailingFilter struct {
	InvoiceID uuid.UUID
	UserID    uuid.UUID
	State     MailingState
}

// MailingSorts are the sorts of mails.
func MailingSorts() []string { return []string{"-created_at"} }

// ChargeSorts are the sorts of charges.
func ChargeSorts() []string { return []string{"-created_at"} }

// InvoiceFilter selects invoices and credit notes.
type InvoiceFilter struct {
	UserID   uuid.UUID
	State    InvoiceState
	Kind     InvoiceKind
	Number   string // what the number begins with
	Currency Currency
	RunID    uuid.UUID
	// OverdueOn selects invoices that are not paid in full and were due before the day.
	OverdueOn Date
	// IssuedFrom is contained, IssuedBefore is not. A draft is not issued.
	IssuedFrom, IssuedBefore Date
}

// InvoiceSorts are the sorts of invoices. By issued_on, due_on and number there are no
// drafts.
func InvoiceSorts() []string { return []string{"-created_at", "issued_on", "due_on", "number"} }

// PaymentFilter selects payments and refunds.
type PaymentFilter struct {
	UserID   uuid.UUID
	Method   PaymentMethod
	Provider string
	// Reference is what the reference begins with.
	Reference string
	Refunds   *bool // refunds, or money that came in
	// ReceivedFrom is contained, ReceivedBefore is not.
	ReceivedFrom, ReceivedBefore Date
}

// PaymentSorts are the sorts of payments.
func PaymentSorts() []string { return []string{"-created_at", "received_on"} }

// StatementFilter selects postings of a user's accounts.
type StatementFilter struct {
	UserID   uuid.UUID
	Currency Currency
	// From is contained, Before is not; they bound the transaction's time.
	From, Before time.Time
}

// StatementSorts are the sorts of a statement.
func StatementSorts() []string { return []string{"-at"} }

// StatementEntry is a posting to a user's account, as a statement has it.
type StatementEntry struct {
	TransactionID uuid.UUID
	Posting       int // 1, 2, … of the transaction
	At            time.Time
	Kind          TransactionKind
	Currency      Currency
	Amount        Amount // positive: owed
	SubjectID     uuid.UUID
	Memo          string
	// Balance is what was owed in the currency after it.
	Balance Amount
}

// TransactionFilter selects transactions of the ledger.
type TransactionFilter struct {
	Kind      TransactionKind
	SubjectID uuid.UUID // the invoice, payment, …
	// UserID and Account select those that post to the user's account, and to the account.
	UserID  uuid.UUID
	Account AccountName
	// From is contained, Before is not.
	From, Before time.Time
}

// TransactionSorts are the sorts of transactions.
func TransactionSorts() []string { return []string{"-at"} }

// AccountBalance is the sum of an account of the ledger in a currency.
type AccountBalance struct {
	Account  AccountName
	Currency Currency
	Balance  Amount // positive: a debit
}

// RunSorts are the sorts of billing runs.
func RunSorts() []string { return []string{"-started_at"} }
