package bank

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"radiusd/billing"
)

// The versions of CAMT.053 that are read. They differ little in what matters here: where
// the state and the name of a party stand, and the amount of a transaction in a batch.
const (
	camtSpace      = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
	camtMinVersion = "02"
	camtMaxVersion = "08"
)

// CAMT reads the entries of a CAMT.053 file, of all statements in it. An entry that is
// a batch gives one Entry for each of its transactions. An error that is an *EntryError
// is about one entry, and the next ones follow; any other is the last.
func CAMT(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := readCAMT(r, yield); err != nil && !errors.Is(err, errStopped) {
			yield(Entry{}, err)
		}
	}
}

var errStopped = errors.New("the caller wants no more")

// The path of what is read, once the message has been found.
const (
	stmtPath  = "BkToCstmrStmt/Stmt"
	entryPath = stmtPath + "/Ntry"
)

func readCAMT(r io.Reader, yield func(Entry, error) bool) error {
	x, err := newXMLReader(r)
	if err != nil {
		return err
	}
	if err := findMessage(x); err != nil {
		return err
	}
	statement := newStatement(0)
	statements, entries := 0, 0
	for {
		e, err := x.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case !strings.HasPrefix(e.Path, stmtPath):
		case e.Start && e.Path == stmtPath:
			statements++
			statement = newStatement(statements)
		case e.Start && e.Path == entryPath:
			if entries++; entries > maxEntries {
				return x.fail(fmt.Errorf("%w: more than %d entries", ErrTooLarge, maxEntries))
			}
			n := camtEntry{line: x.line()}
			if err := n.read(x); err != nil {
				return err
			}
			if !statement.deliver(&n, yield) {
				return errStopped
			}
		case e.Leaf:
			statement.set(strings.TrimPrefix(e.Path, stmtPath+"/"), e.Text)
		}
	}
}

// findMessage reads up to the message, which may stand in an envelope, and makes it the
// root of all paths.
func findMessage(x *xmlReader) error {
	for {
		e, err := x.next()
		if err == io.EOF {
			return errors.New("there is no CAMT.053 statement (BkToCstmrStmt) in the file")
		}
		if err != nil {
			return err
		}
		if !e.Start {
			continue
		}
		switch name := x.path[len(x.path)-1]; name {
		case "BkToCstmrStmt":
			version, ok := strings.CutPrefix(e.Space, camtSpace)
			if !ok || len(version) != 2 || version < camtMinVersion || version > camtMaxVersion {
				return x.fail(fmt.Errorf("the statement is of the namespace %.80q: want %s%s to %s", e.Space, camtSpace, camtMinVersion, camtMaxVersion))
			}
			x.root = len(x.path) - 1
			return nil
		case "BkToCstmrAcctRpt", "BkToCstmrDbtCdtNtfctn":
			return x.fail(fmt.Errorf("the file has a %s (CAMT.052 or .054), which the bank may change yet: want the statement, CAMT.053", name))
		}
	}
}

// statement is what all entries of a statement share.
type statement struct {
	nth         int // of the file
	id          string
	iban, other string
	seen        occurrences
}

func newStatement(nth int) statement { return statement{nth: nth, seen: occurrences{}} }

func (s *statement) set(path, text string) {
	switch path {
	case "Id":
		s.id = text
	case "Acct/Id/IBAN":
		s.iban = compact(text)
	case "Acct/Id/Othr/Id":
		s.other = text
	}
}

// deliver hands on what an entry came to, and reports whether there may be more.
func (s *statement) deliver(n *camtEntry, yield func(Entry, error) bool) bool {
	account := s.iban
	if account == "" {
		account = s.other
	}
	entries, err := n.entries(account)
	if err != nil {
		return yield(Entry{}, &EntryError{n.line, err})
	}
	for i := range entries {
		e := &entries[i]
		e.Statement = s.nth
		switch own := bankReference(n.transactions, i); {
		case own != "" && own != n.ref:
			e.Reference = entryRef(e, own, 0)
		case n.ref != "" && len(entries) == 1:
			e.Reference = entryRef(e, n.ref, 0)
		case n.ref != "":
			e.Reference = entryRef(e, n.ref, i+1)
		default:
			s.seen.name(e, s.id)
		}
		if !yield(*e, nil) {
			return false
		}
	}
	return true
}

// bankReference is the bank's reference of a transaction, where no other one of the
// batch has the same.
func bankReference(transactions []transaction, i int) string {
	if i >= len(transactions) || transactions[i].repeated {
		return ""
	}
	return transactions[i].ref
}

// compact is an IBAN without spaces.
func compact(s string) string {
	return strings.ToUpper(strings.Join(strings.Fields(s), ""))
}

// camtAmount reads an amount as XML has it: xs:decimal, never negative in CAMT.
func camtAmount(text, ccy string) (billing.Amount, billing.Currency, error) {
	c, err := billing.ParseCurrency(ccy)
	if err != nil {
		return 0, "", err
	}
	a, err := c.Parse(plainDecimal(text))
	if err != nil {
		return 0, "", err
	}
	if a < 0 {
		return 0, "", fmt.Errorf("the amount %q is negative: the direction stands in CdtDbtInd", text)
	}
	return a, c, nil
}

// plainDecimal takes away what xs:decimal allows beyond a plain number: +5, .5 and 5.
func plainDecimal(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "+"), ".")
	if strings.HasPrefix(s, ".") {
		s = "0" + s
	}
	return s
}

// camtDate reads Dt, or the day of DtTm as the bank wrote it.
func camtDate(s string) (billing.Date, error) {
	if day, _, ok := strings.Cut(s, "T"); ok {
		s = day
	}
	if len(s) > len("2006-01-02") { // a zone, which xs:date allows: 2026-01-31+01:00, 2026-01-31Z
		s = s[:len("2006-01-02")]
	}
	return billing.ParseDate(s)
}
