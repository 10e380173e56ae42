package bank

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"radiusd/billing"
)

// camtEntry is an entry (Ntry) as it stands in the file.
type camtEntry struct {
	line                 int
	amount, ccy          string
	direction, reversal  string
	state, booked, value string
	ref                  string // AcctSvcrRef
	info                 string // AddtlNtryInf
	transactions         []transaction
	tooLarge             bool
	transaction          *transaction // that is being read
}

// transaction is one of the transactions of an entry (TxDtls).
type transaction struct {
	amount, ccy            string
	direction              string
	ref, endToEnd          string
	repeated               bool // another one of the entry has the same ref
	returned               bool
	debtor, debtorIBAN     string
	creditor, creditorIBAN string
	lines                  []string // Ustrd
	references             []string // of Strd
	info                   string   // AddtlTxInf
}

const transactionPath = entryPath + "/NtryDtls/TxDtls"

// read reads to the end of the entry. An entry that is too large is read as well, and
// forgotten.
func (n *camtEntry) read(x *xmlReader) error {
	begin := x.in.total
	for {
		e, err := x.next()
		if err == io.EOF {
			return x.fail(errors.New("the file ends in an entry"))
		}
		if err != nil {
			return err
		}
		if x.in.total-begin > maxEntry {
			n.tooLarge, n.transactions, n.transaction = true, nil, nil
		}
		switch {
		case e.Path == entryPath:
			return nil
		case n.tooLarge:
		case e.Path == transactionPath && e.Start:
			n.transactions = append(n.transactions, transaction{})
			n.transaction = &n.transactions[len(n.transactions)-1]
		case e.Path == transactionPath:
			n.transaction = nil
		case n.transaction != nil:
			n.transaction.set(strings.TrimPrefix(e.Path, transactionPath+"/"), e)
		case e.Leaf:
			n.set(strings.TrimPrefix(e.Path, entryPath+"/"), e)
		}
	}
}

func (n *camtEntry) set(path string, e element) {
	switch path {
	case "Amt":
		n.amount, n.ccy = e.Text, e.Ccy
	case "CdtDbtInd":
		n.direction = e.Text
	case "RvslInd":
		n.reversal = e.Text
	case "Sts", "Sts/Cd", "Sts/Prtry": // a code of its own until version 07, a choice from 08
		n.state = e.Text
	case "BookgDt/Dt", "BookgDt/DtTm":
		n.booked = e.Text
	case "ValDt/Dt", "ValDt/DtTm":
		n.value = e.Text
	case "AcctSvcrRef":
		n.ref = known(e.Text)
	case "AddtlNtryInf":
		n.info = e.Text
	}
}

func (t *transaction) set(path string, e element) {
	if strings.HasPrefix(path, "RtrInf/") {
		t.returned = true
	}
	if !e.Leaf {
		return
	}
	switch path {
	case "Amt":
		t.amount, t.ccy = e.Text, e.Ccy
	case "AmtDtls/TxAmt/Amt": // where version 02 has it
		if t.amount == "" {
			t.amount, t.ccy = e.Text, e.Ccy
		}
	case "CdtDbtInd":
		t.direction = e.Text
	case "Refs/AcctSvcrRef":
		t.ref = known(e.Text)
	case "Refs/EndToEndId":
		t.endToEnd = known(e.Text)
	case "RltdPties/Dbtr/Nm", "RltdPties/Dbtr/Pty/Nm": // Pty from version 08
		t.debtor = e.Text
	case "RltdPties/DbtrAcct/Id/IBAN", "RltdPties/DbtrAcct/Id/Othr/Id":
		t.debtorIBAN = compact(e.Text)
	case "RltdPties/Cdtr/Nm", "RltdPties/Cdtr/Pty/Nm":
		t.creditor = e.Text
	case "RltdPties/CdtrAcct/Id/IBAN", "RltdPties/CdtrAcct/Id/Othr/Id":
		t.creditorIBAN = compact(e.Text)
	case "RmtInf/Ustrd", "RmtInf/Strd/AddtlRmtInf":
		t.lines = append(t.lines, e.Text)
	case "RmtInf/Strd/CdtrRefInf/Ref":
		t.references = append(t.references, e.Text)
	case "RmtInf/Strd/RfrdDocInf/Nb":
		t.lines = append(t.lines, e.Text)
	case "AddtlTxInf":
		t.info = e.Text
	}
}

// known makes nothing of the words that banks write where they know nothing.
func known(s string) string {
	switch strings.ToUpper(s) {
	case "NOTPROVIDED", "NONREF", "NONE", "NOREF":
		return ""
	}
	return s
}

// entries returns what the entry came to: one for each transaction, or one.
func (n *camtEntry) entries(account string) ([]Entry, error) {
	if n.tooLarge {
		return nil, fmt.Errorf("the entry has more than %d MiB: %w", maxEntry>>20, ErrTooLarge)
	}
	e := Entry{Account: account, Line: n.line}
	amount, currency, err := camtAmount(n.amount, n.ccy)
	if err != nil {
		return nil, fmt.Errorf("the entry's amount: %w", err)
	}
	if amount == 0 {
		return nil, errors.New("the entry's amount is zero")
	}
	e.Currency = currency
	if e.Amount, err = signed(amount, n.direction); err != nil {
		return nil, err
	}
	switch n.reversal {
	case "true", "1":
		e.Reversal = true
	case "false", "0", "":
	default:
		return nil, fmt.Errorf("RvslInd is %q: want true or false", n.reversal)
	}
	switch n.state {
	case "BOOK":
	case "PDNG", "INFO", "FUTR":
		e.Pending = true
	default:
		return nil, fmt.Errorf("the entry's state (Sts) is %q: want BOOK, PDNG, INFO or FUTR", n.state)
	}
	if e.BookedOn, err = camtDate(n.booked); err != nil {
		return nil, fmt.Errorf("the booking date: %w", err)
	}
	if e.ValueOn, err = camtDate(n.value); err != nil {
		return nil, fmt.Errorf("the value date: %w", err)
	}
	if e.BookedOn.IsZero() {
		e.BookedOn = e.ValueOn
	}
	if e.BookedOn.IsZero() {
		return nil, errors.New("the entry has neither a booking date nor a value date")
	}
	if len(n.transactions) == 0 {
		e.Remittance = n.info
		return []Entry{e}, nil
	}
	return n.split(e)
}

// split makes an entry of each transaction, and holds their amounts to the entry's.
func (n *camtEntry) split(whole Entry) ([]Entry, error) {
	n.markRepeated()
	entries := make([]Entry, len(n.transactions))
	var sum billing.Amount
	for i := range n.transactions {
		t := &n.transactions[i]
		e := whole
		if len(n.transactions) > 1 { // of one alone, the entry's amount is what was booked
			if err := t.amountOf(&e, n.direction); err != nil {
				return nil, fmt.Errorf("transaction %d of %d: %w", i+1, len(n.transactions), err)
			}
		}
		var err error
		if sum, err = sum.Add(e.Amount); err != nil {
			return nil, err
		}
		e.Name, e.IBAN = t.debtor, t.debtorIBAN
		if (e.Amount < 0) != e.Reversal { // the payer of a reversal is who had been paid
			e.Name, e.IBAN = t.creditor, t.creditorIBAN
		}
		e.Reversal = e.Reversal || t.returned
		e.EndToEndID, e.CreditorReferences = t.endToEnd, t.references
		e.Remittance = clean(strings.Join(t.lines, " "))
		if e.Remittance == "" && len(t.references) == 0 {
			e.Remittance = t.info
		}
		if e.Remittance == "" && len(t.references) == 0 && len(n.transactions) == 1 {
			e.Remittance = n.info
		}
		entries[i] = e
	}
	if sum != whole.Amount {
		return nil, fmt.Errorf("the %d transactions of the entry add up to %s %s, but it is of %s", len(entries),
			whole.Currency.Format(sum), whole.Currency, whole.Currency.Format(whole.Amount))
	}
	return entries, nil
}

// amountOf sets the amount of a transaction in a batch.
func (t *transaction) amountOf(e *Entry, direction string) error {
	if t.amount == "" {
		return errors.New("it has no amount, and the entry is of several")
	}
	amount, currency, err := camtAmount(t.amount, t.ccy)
	if err != nil {
		return err
	}
	if currency != e.Currency {
		return fmt.Errorf("it is in %s, the entry in %s", currency, e.Currency)
	}
	if amount == 0 {
		return errors.New("its amount is zero")
	}
	if t.direction != "" {
		direction = t.direction
	}
	e.Amount, err = signed(amount, direction)
	return err
}

// markRepeated finds references that transactions share, as where a bank repeats the
// batch's.
func (n *camtEntry) markRepeated() {
	count := map[string]int{}
	for _, t := range n.transactions {
		count[t.ref]++
	}
	for i := range n.transactions {
		n.transactions[i].repeated = count[n.transactions[i].ref] > 1
	}
	for i := range n.transactions {
		n.transactions[i].references = slices.DeleteFunc(n.transactions[i].references, func(s string) bool { return s == "" })
	}
}

func signed(a billing.Amount, direction string) (billing.Amount, error) {
	switch direction {
	case "CRDT":
		return a, nil
	case "DBIT":
		return -a, nil
	}
	return 0, fmt.Errorf("CdtDbtInd is %q: want CRDT or DBIT", direction)
}
