package bank

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"radiusd/billing"
)

// Lookup knows the invoices. It may be asked by several goroutines at once.
type Lookup interface {
	// Series returns the series that invoices are numbered in.
	Series(ctx context.Context) ([]string, error)
	// InvoicesByNumber returns those of the numbers that exist, in any order: ID,
	// Number, Kind, State, UserID, Currency, IssuedOn, Total and Paid.
	InvoicesByNumber(ctx context.Context, numbers []string) ([]billing.Invoice, error)
	// InvoicesOfAmount returns invoices of which just that is open, with Buyer as well;
	// of very many only some.
	InvoicesOfAmount(ctx context.Context, currency billing.Currency, open billing.Amount) ([]billing.Invoice, error)
}

// Confidence says how sure a match is.
type Confidence string

// The confidences.
const (
	Certain Confidence = "certain" // to be booked
	Likely  Confidence = "likely"  // to be shown to a person, who decides
	None    Confidence = "none"    // there is nothing to go by, or too much
)

// Result is what an entry pays.
type Result struct {
	Confidence Confidence
	// UserID is the customer that the money is from; zero with None. What is not
	// allocated is their credit.
	UserID uuid.UUID
	// Allocations are to the invoices that the entry names, in the order of their
	// issue. They add up to the entry's amount or less. At is zero.
	Allocations []billing.Allocation
	Reason      string // in words, for a person
}

func none(format string, args ...any) Result {
	return Result{Confidence: None, Reason: fmt.Sprintf(format, args...)}
}

// Match finds the invoices that an entry pays by their numbers, in a structured
// reference or in what the payer wrote; where a text can mean two existing invoices it
// takes neither. Money that names no invoice is Likely to be for the one of just that
// amount whose buyer has the payer's name, if there is one alone. An error is of the
// lookup.
func Match(ctx context.Context, e *Entry, l Lookup) (Result, error) {
	if why := e.NoPayment(); why != "" {
		return none("%s", why), nil
	}
	series, err := l.Series(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("load the series of invoices: %w", err)
	}
	named := namedBy(e, series)
	var numbers []string
	for _, m := range named {
		numbers = append(numbers, m.numbers...)
	}
	if len(numbers) == 0 {
		return byPayer(ctx, e, l)
	}
	slices.Sort(numbers)
	invoices, err := l.InvoicesByNumber(ctx, slices.Compact(numbers))
	if err != nil {
		return Result{}, fmt.Errorf("look up the invoices of a bank entry: %w", err)
	}
	byNumber := map[string]*billing.Invoice{}
	for i := range invoices {
		byNumber[invoices[i].Number] = &invoices[i]
	}
	return decide(e, named, byNumber), nil
}

// byPayer looks for the invoice of an entry that names none.
func byPayer(ctx context.Context, e *Entry, l Lookup) (Result, error) {
	nothing := none("it names no invoice")
	payer := nameWords(e.Name)
	if len(payer) == 0 {
		return nothing, nil
	}
	invoices, err := l.InvoicesOfAmount(ctx, e.Currency, e.Amount)
	if err != nil {
		return Result{}, fmt.Errorf("look up the invoices of an amount: %w", err)
	}
	var found *billing.Invoice
	for i := range invoices {
		if !slices.Equal(nameWords(invoices[i].Buyer.Name), payer) {
			continue
		}
		if found != nil {
			return none("it names no invoice, and several of this amount are of %s", found.Buyer.Name), nil
		}
		found = &invoices[i]
	}
	if found == nil || unpayable(found, e) != "" {
		return nothing, nil
	}
	return Result{
		Confidence: Likely, UserID: found.UserID, Reason: "it names no invoice, but the amount and the payer's name are those of " + found.Number,
		Allocations: []billing.Allocation{{InvoiceID: found.ID, Number: found.Number, Amount: e.Amount}},
	}, nil
}

// nameWords are the words of a name in order of the alphabet: banks write names in any.
func nameWords(name string) []string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) })
	slices.Sort(words)
	return words
}

// namedBy returns what the entry names. Structured references come first, with those
// in the text: their check digits exclude a mistake.
func namedBy(e *Entry, series []string) []mention {
	var named []mention
	bodies := findReferences(e.Remittance)
	text := e.Remittance
	for _, ref := range e.CreditorReferences {
		if body, err := billing.ParseRFReference(ref); err == nil {
			bodies = append(bodies, body)
		} else {
			text += " " + ref // a number as it is, or a reference that is wrong
		}
	}
	for _, body := range bodies {
		for _, m := range findMentions(body, series) {
			m.written = "the reference for " + strings.Join(m.numbers, " or ")
			named = append(named, m)
		}
	}
	return append(named, findMentions(text, series)...)
}

// decision is what is gathered on the way to a result.
type decision struct {
	invoices []*billing.Invoice
	exact    bool     // all were named with all their digits
	bare     bool     // one was named by digits alone
	doubts   []string // why a person should look
}

func decide(e *Entry, named []mention, byNumber map[string]*billing.Invoice) Result {
	d := decision{exact: true}
	for _, m := range named {
		if reason := d.add(m, byNumber); reason != "" {
			return none("%s", reason)
		}
	}
	if len(d.invoices) == 0 {
		if len(d.doubts) > 0 {
			return none("%s", strings.Join(d.doubts, "; "))
		}
		return none("it names no invoice that exists")
	}
	user := d.invoices[0].UserID
	for _, i := range d.invoices {
		if i.UserID != user {
			return none("%s and %s are of different customers", d.invoices[0].Number, i.Number)
		}
	}
	return d.allocate(e, user)
}

// add takes a mention in, or says why nothing can be made of the entry.
func (d *decision) add(m mention, byNumber map[string]*billing.Invoice) string {
	var exist []*billing.Invoice
	for _, n := range m.numbers {
		if i := byNumber[n]; i != nil {
			exist = append(exist, i)
		}
	}
	switch {
	case len(exist) > 1:
		return fmt.Sprintf("%q can mean %s or %s", m.written, exist[0].Number, exist[1].Number)
	case len(exist) == 0:
		if m.full && !m.bare {
			d.doubts = append(d.doubts, fmt.Sprintf("there is no invoice %s", strings.Join(m.numbers, " or ")))
		}
		return ""
	case slices.Contains(d.invoices, exist[0]):
		return ""
	}
	d.invoices = append(d.invoices, exist[0])
	d.exact = d.exact && m.full && !m.bare
	d.bare = d.bare || m.bare
	return ""
}

// allocate spreads the amount over the invoices and says how sure that is.
func (d *decision) allocate(e *Entry, user uuid.UUID) Result {
	slices.SortFunc(d.invoices, func(a, b *billing.Invoice) int {
		if a.IssuedOn != b.IssuedOn {
			return b.IssuedOn.DaysUntil(a.IssuedOn)
		}
		return strings.Compare(a.Number, b.Number)
	})
	r := Result{UserID: user}
	var open billing.Amount
	left := e.Amount
	var numbers []string
	for _, i := range d.invoices {
		if doubt := unpayable(i, e); doubt != "" {
			d.doubts = append(d.doubts, doubt)
			continue
		}
		sum, err := open.Add(i.Open())
		if err != nil {
			return none("%s: %s", i.Number, err)
		}
		open = sum
		numbers = append(numbers, i.Number)
		if part := min(left, i.Open()); part > 0 {
			r.Allocations = append(r.Allocations, billing.Allocation{InvoiceID: i.ID, Number: i.Number, Amount: part})
			left -= part
		}
	}
	d.weigh(&r, e, open, numbers)
	return r
}

// weigh sets the confidence and its reason.
func (d *decision) weigh(r *Result, e *Entry, open billing.Amount, numbers []string) {
	if len(numbers) == 0 {
		r.Confidence, r.Reason = Likely, strings.Join(d.doubts, "; ")
		return
	}
	money := func(a billing.Amount) string { return e.Currency.Format(a) + " " + string(e.Currency) }
	reason := "names " + strings.Join(numbers, ", ")
	switch {
	case open == e.Amount:
		reason += ", and the amount is what is open"
	case open > e.Amount:
		reason += ", and pays " + money(e.Amount) + " of " + money(open)
		if len(numbers) > 1 {
			d.doubts = append(d.doubts, "the amount is not enough for all of them")
		}
	default:
		reason += ", and pays " + money(e.Amount-open) + " more than is open"
	}
	switch {
	case d.bare && open != e.Amount: // six digits and another amount: by chance
		*r = none("%s, without a series, and the amount is another", reason)
		return
	case d.bare:
		d.doubts = append(d.doubts, "the number stands there without its series")
	case !d.exact && open != e.Amount:
		d.doubts = append(d.doubts, "the number is written without its zeros")
	}
	r.Confidence = Certain
	if len(d.doubts) > 0 {
		r.Confidence = Likely
		reason += "; but " + strings.Join(d.doubts, "; ")
	}
	r.Reason = reason
}

// unpayable says why nothing can be allocated to an invoice.
func unpayable(i *billing.Invoice, e *Entry) string {
	switch {
	case i.Kind == billing.KindCreditNote:
		return i.Number + " is a credit note"
	case i.State == billing.InvoiceVoid:
		return i.Number + " is void"
	case i.State == billing.InvoiceDraft:
		return i.Number + " is not issued"
	case i.State == billing.InvoicePaid || i.Open() <= 0:
		return i.Number + " is paid already"
	case i.Currency != e.Currency:
		return fmt.Sprintf("%s is in %s, the money in %s", i.Number, i.Currency, e.Currency)
	}
	return ""
}
