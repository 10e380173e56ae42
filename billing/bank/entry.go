package bank

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"radiusd/billing"
)

// Entry is a movement on the account: one transaction, also where the bank has booked
// several together.
type Entry struct {
	// Reference names the entry for good: the bank's own reference (AcctSvcrRef) and a
	// digest of account, day and amount, since banks use references again; without one a
	// digest of all that is known of it, with a count among equal ones, and of the statement.
	// It has at most 60 characters.
	Reference string
	// Equal is what the references of equal entries begin with, in whatever statement, of
	// which this is the Nth in its own; empty: the bank has a reference for it. They are not
	// kept.
	Equal string
	Nth   int
	// Statement tells apart the statements of a file. It is not kept.
	Statement int
	// Account is ours, an IBAN if the bank says so; empty: the file does not tell.
	Account string
	Line    int // in the file, where the entry begins
	// BookedOn is the day the bank booked it on, ValueOn the day it counts from.
	BookedOn, ValueOn billing.Date
	Currency          billing.Currency
	// Amount is positive if money came in, negative if it went out, never zero.
	Amount billing.Amount
	// Pending means that the bank has not booked it (PDNG, INFO, FUTR): it may never
	// come.
	Pending bool
	// Reversal means that it undoes an earlier booking (RvslInd), or is a payment that
	// came back (RtrInf).
	Reversal bool
	// Name and IBAN are of the other side: who paid, or was paid. The account may have
	// another form than an IBAN.
	Name, IBAN string
	// CreditorReferences are structured references, such as RF18539007547034, as the
	// bank delivers them: not checked.
	CreditorReferences []string
	// Remittance is what the payer wrote.
	Remittance string
	// EndToEndID is the payer's own name for the payment.
	EndToEndID string
}

// NoPayment says in words why the entry is no payment of a customer; empty: it may be
// one.
func (e *Entry) NoPayment() string {
	switch {
	case e.Pending:
		return "the bank has not booked it yet"
	case e.Reversal:
		return "it undoes an earlier booking"
	case e.Amount <= 0:
		return "money went out"
	}
	return ""
}

// EntryError is what is wrong with one entry of a file. The others are read.
type EntryError struct {
	Line int // where the entry begins
	Err  error
}

func (e *EntryError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Err) }
func (e *EntryError) Unwrap() error { return e.Err }

// These bound what a file may be. Beyond them it is no statement, or was made to do
// harm.
const (
	maxFile    = 1 << 30  // octets of a file
	maxEntries = 1 << 20  // entries of a file
	maxToken   = 64 << 10 // octets of one text, tag or row
	maxEntry   = 16 << 20 // octets of one entry with all its transactions
	maxText    = 4 << 10  // octets of the remittance, and of each other field
)

// ErrTooLarge means that a file, or a part of it, is beyond what a bank statement has.
var ErrTooLarge = errors.New("too large for a bank statement")

// entryRef names an entry that the bank has a reference for. part tells apart what
// shares one: 1, 2, … of a batch; 0: it is alone.
func entryRef(e *Entry, bankRef string, part int) string {
	sum := digest(e.Account, e.BookedOn.String(), string(e.Currency), fmt.Sprint(int64(e.Amount)), bankRef, fmt.Sprint(part))
	return fmt.Sprintf("%.43s-%s", bankRef, hex.EncodeToString(sum[:8]))
}

// occurrences tells apart entries that are equal in all that is known of them.
type occurrences map[[16]byte]int

// name names an entry without a reference of the bank, in a statement that has an id. Equal
// ones are counted in the order of the statement, which a bank keeps when it delivers the
// same days again.
func (o occurrences) name(e *Entry, statement string) {
	facts := []string{e.Account, e.BookedOn.String(), string(e.Currency), fmt.Sprint(int64(e.Amount)),
		e.Name, e.IBAN, e.Remittance, e.EndToEndID}
	sum := digest(append(facts, e.CreditorReferences...)...)
	o[sum]++
	of := digest(statement)
	e.Equal, e.Nth = equalPrefix+hex.EncodeToString(sum[:]), o[sum]
	e.Reference = fmt.Sprintf("%s-%d-%s", e.Equal, e.Nth, hex.EncodeToString(of[:4]))
}

// EqualOf returns what Equal is of entries with a reference; empty: the bank has one for it.
func EqualOf(reference string) string {
	const length = len(equalPrefix) + 2*len([16]byte{})
	if !strings.HasPrefix(reference, equalPrefix) || len(reference) <= length || reference[length] != '-' {
		return ""
	}
	return reference[:length]
}

// equalPrefix begins the references that are made here.
const equalPrefix = "sha256-"

// digest is of the texts and where one ends and the next begins.
func digest(texts ...string) [16]byte {
	h := sha256.New()
	for _, s := range texts {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return [16]byte(h.Sum(nil))
}

// clean makes one line of a text, without control characters, cut at maxText.
func clean(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\u00a0' }), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}
