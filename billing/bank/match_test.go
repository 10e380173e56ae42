package bank_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/bank"
)

// invoices is a lookup.
type invoices struct {
	series []string
	all    []billing.Invoice
	err    error
}

func (l invoices) Series(context.Context) ([]string, error) { return l.series, nil }

func (l invoices) InvoicesByNumber(_ context.Context, numbers []string) ([]billing.Invoice, error) {
	var found []billing.Invoice
	for _, i := range l.all {
		if slices.Contains(numbers, i.Number) {
			found = append(found, i)
		}
	}
	return found, l.err
}

func (l invoices) InvoicesOfAmount(_ context.Context, c billing.Currency, open billing.Amount) ([]billing.Invoice, error) {
	var found []billing.Invoice
	for _, i := range l.all {
		if i.Currency == c && i.Open() == open && i.State == billing.InvoiceIssued && i.Kind == billing.KindInvoice {
			found = append(found, i)
		}
	}
	return found, l.err
}

var anna, bob = uuid.MustParse("0197a000-0000-7000-8000-00000000000a"), uuid.MustParse("0197a000-0000-7000-8000-00000000000b")

func invoice(number string, user uuid.UUID, total billing.Amount, change ...func(*billing.Invoice)) billing.Invoice {
	i := billing.Invoice{ID: uuid.NewSHA1(anna, []byte(number)), Number: number, Kind: billing.KindInvoice, State: billing.InvoiceIssued,
		UserID: user, Currency: "EUR", IssuedOn: day(2026, 1, 1), Total: total}
	for _, f := range change {
		f(&i)
	}
	return i
}

func ledger() invoices {
	state := func(s billing.InvoiceState) func(*billing.Invoice) { return func(i *billing.Invoice) { i.State = s } }
	return invoices{series: []string{"INV", "INV-B", "2026"}, all: []billing.Invoice{
		invoice("INV-000012", anna, 1000),
		invoice("INV-000123", anna, 4990),
		invoice("INV-000124", anna, 2000, func(i *billing.Invoice) { i.Paid = 500 }),
		invoice("INV-000125", bob, 4990),
		invoice("INV-120501", bob, 1),
		invoice("INV-000004", bob, 100), invoice("INV-000456", anna, 100),
		invoice("INV-000300", anna, 100, state(billing.InvoicePaid)),
		invoice("INV-000301", anna, 100, state(billing.InvoiceVoid)),
		invoice("INV-000302", anna, 100, func(i *billing.Invoice) { i.Kind = billing.KindCreditNote }),
		invoice("INV-000303", anna, 100, func(i *billing.Invoice) { i.Currency = "USD" }),
		invoice("INV-B-000123", bob, 700),
		invoice("2026-000007", bob, 900),
	}}
}

func TestMatch(t *testing.T) {
	rf, err := billing.RFReference("INV-000123")
	require.NoError(t, err)
	for _, c := range []struct {
		name       string
		remittance string
		structured []string
		amount     billing.Amount
		want       bank.Confidence
		user       uuid.UUID
		pays       map[string]billing.Amount
		reason     string
	}{
		{"as printed", "INV-000123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, "names INV-000123, and the amount is what is open"},
		{"in a sentence", "Rechnung INV-000123 vom 01.02.2026, danke", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, "open"},
		{"in small letters", "inv-000123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"no mark", "inv000123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"another mark", "INV/000123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"torn by the bank's lines", "RE INV-0001 23 DANKE", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"torn, or another number and a word after it", "RE INV-0004 56 DANKE", nil, 100, bank.None, uuid.Nil, nil, "can mean INV-000456 or INV-000004"},
		{"torn in the series", "IN V-000123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"zeros missing, the amount right", "inv 123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"zeros missing, another amount", "inv 123", nil, 4000, bank.Likely, anna, map[string]billing.Amount{"INV-000123": 4000}, "without its zeros"},
		{"a word between", "Inv.-Nr. 123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"in part", "INV-000123", nil, 4000, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4000}, "pays 40.00 EUR of 49.90 EUR"},
		{"too much", "INV-000123", nil, 5000, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, "0.10 EUR more than is open"},
		{"the rest of one paid in part", "INV-000124", nil, 1500, bank.Certain, anna, map[string]billing.Amount{"INV-000124": 1500}, "is what is open"},
		{"two", "INV-000123, INV-000124", nil, 6490, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990, "INV-000124": 1500}, "is what is open"},
		{"two, the second without its series", "INV-000123 + 000124", nil, 6490, bank.Likely, anna, map[string]billing.Amount{"INV-000123": 4990, "INV-000124": 1500}, "without its series"},
		{"two, and too little", "INV-000123, INV-000124", nil, 6000, bank.Likely, anna, map[string]billing.Amount{"INV-000123": 4990, "INV-000124": 1010}, "not enough for all"},
		{"the same twice", "INV-000123 INV 123", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"of two customers", "INV-000123 INV-000125", nil, 9980, bank.None, uuid.Nil, nil, "different customers"},
		{"a longer series", "INV-B-000123", nil, 700, bank.Certain, bob, map[string]billing.Amount{"INV-B-000123": 700}, ""},
		{"the date after it is no number", "INV 12 01.02.2026", nil, 1000, bank.Certain, anna, map[string]billing.Amount{"INV-000012": 1000}, ""},
		{"12 or 120501", "INV 12 05 01", nil, 1000, bank.None, uuid.Nil, nil, "can mean INV-120501 or INV-000012"},
		{"a series of digits", "2026-000007", nil, 900, bank.Certain, bob, map[string]billing.Amount{"2026-000007": 900}, ""},
		{"a series of digits, short", "2026-7", nil, 900, bank.Certain, bob, map[string]billing.Amount{"2026-000007": 900}, ""},
		{"a month is no series", "Miete 01.2026 7 Tage", nil, 900, bank.None, uuid.Nil, nil, "names no invoice"},
		{"in a word", "COINV 123", nil, 4990, bank.None, uuid.Nil, nil, "names no invoice"},
		{"digits and letters", "INV-12B", nil, 1000, bank.None, uuid.Nil, nil, "names no invoice"},
		{"digits alone, amount right", "Zahlung 000125", nil, 4990, bank.Likely, bob, map[string]billing.Amount{"INV-000125": 4990}, "without its series"},
		{"digits alone, another amount", "Kunde 000125", nil, 4000, bank.None, uuid.Nil, nil, "the amount is another"},
		{"digits alone, two series", "000123", nil, 700, bank.None, uuid.Nil, nil, "can mean INV-000123 or INV-B-000123"},
		{"nothing", "", nil, 4990, bank.None, uuid.Nil, nil, "names no invoice"},
		{"one that does not exist", "INV-000999", nil, 4990, bank.None, uuid.Nil, nil, "there is no invoice INV-000999"},
		{"one that does and one that does not", "INV-000123 INV-000999", nil, 4990, bank.Likely, anna, map[string]billing.Amount{"INV-000123": 4990}, "there is no invoice INV-000999"},
		{"paid already", "INV-000300", nil, 100, bank.Likely, anna, nil, "paid already"},
		{"void", "INV-000301", nil, 100, bank.Likely, anna, nil, "void"},
		{"a credit note", "INV-000302", nil, 100, bank.Likely, anna, nil, "credit note"},
		{"another currency", "INV-000303", nil, 100, bank.Likely, anna, nil, "in USD, the money in EUR"},
		{"one paid and one open", "INV-000300 INV-000123", nil, 4990, bank.Likely, anna, map[string]billing.Amount{"INV-000123": 4990}, "paid already"},
		{"a structured reference", "", []string{rf}, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"printed in groups", "", []string{"rf73 INV0 0012 3"}, 100, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 100}, ""},
		{"the reference in the text", "Zahlung RF73 INV0 0012 3 danke", nil, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"a number as structured reference", "", []string{"INV-000123"}, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"the reference and the number", "INV-000123", []string{rf}, 4990, bank.Certain, anna, map[string]billing.Amount{"INV-000123": 4990}, ""},
		{"a reference of somebody else", "", []string{"RF18539007547034"}, 4990, bank.None, uuid.Nil, nil, "names no invoice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := bank.Match(t.Context(), &bank.Entry{Currency: "EUR", Amount: c.amount, Remittance: c.remittance, CreditorReferences: c.structured}, ledger())
			require.NoError(t, err)
			require.Equal(t, c.want, got.Confidence, got.Reason)
			require.Equal(t, c.user, got.UserID)
			pays := map[string]billing.Amount{}
			var sum billing.Amount
			for _, a := range got.Allocations {
				pays[a.Number] = a.Amount
				sum += a.Amount
				require.Equal(t, uuid.NewSHA1(anna, []byte(a.Number)), a.InvoiceID)
			}
			if c.pays == nil {
				c.pays = map[string]billing.Amount{}
			}
			require.Equal(t, c.pays, pays)
			require.LessOrEqual(t, sum, c.amount)
			require.Contains(t, got.Reason, c.reason)
			require.NotEmpty(t, got.Reason)
		})
	}
}

func TestMatchNoPayment(t *testing.T) {
	for _, c := range []struct {
		name, want string
		entry      bank.Entry
	}{
		{"pending", "not booked", bank.Entry{Amount: 4990, Pending: true}},
		{"reversed", "undoes", bank.Entry{Amount: 4990, Reversal: true}},
		{"out", "went out", bank.Entry{Amount: -4990}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.entry.Currency, c.entry.Remittance = "EUR", "INV-000123"
			got, err := bank.Match(t.Context(), &c.entry, ledger())
			require.NoError(t, err)
			require.Equal(t, bank.None, got.Confidence)
			require.Contains(t, got.Reason, c.want)
			require.Empty(t, got.Allocations)
		})
	}
}

// TestMatchReadsTheNumbersOfBilling: what billing writes is found, as it is and as a
// creditor reference.
func TestMatchReadsTheNumbersOfBilling(t *testing.T) {
	for _, n := range []int64{1, 999999, 1000000, 123456789} {
		number := billing.InvoiceNumber("INV", n)
		l := invoices{series: []string{"INV"}, all: []billing.Invoice{invoice(number, anna, 100)}}
		reference, err := billing.RFReference(number)
		require.NoError(t, err)
		for _, text := range []string{number, reference} {
			got, err := bank.Match(t.Context(), &bank.Entry{Currency: "EUR", Amount: 100, Remittance: text}, l)
			require.NoError(t, err)
			require.Equal(t, bank.Certain, got.Confidence, "%s: %s", text, got.Reason)
		}
	}
}

func TestMatchLookupFails(t *testing.T) {
	l := ledger()
	l.err = errors.New("the database is away")
	_, err := bank.Match(t.Context(), &bank.Entry{Currency: "EUR", Amount: 1, Remittance: "INV-000123"}, l)
	require.ErrorIs(t, err, l.err)
}
