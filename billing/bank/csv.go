package bank

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"radiusd/billing"
)

// CSVFormat says how to read a bank's CSV. What is left empty is found out, or not
// there; only the columns for day and amount are needed, and a currency.
type CSVFormat struct {
	Columns CSVColumns
	// Delimiter is between the fields; 0: found by the header, of ; , | and tab.
	Delimiter rune
	// Decimal is the decimal sign, "." or ","; empty: found by the amounts.
	Decimal string
	// Date is the order of day, month and year, as DD.MM.YYYY, MM/DD/YY or YYYYMMDD;
	// empty: found by the dates.
	Date string
	// Charset is utf-8, iso-8859-1, iso-8859-15 or windows-1252; empty: UTF-8 or
	// UTF-16 by its mark, else UTF-8 or Windows-1252 by the first letter beyond ASCII.
	Charset string
	// Currency is of rows that do not tell.
	Currency billing.Currency
	// Account is ours.
	Account string
}

// CSVColumns are the names of columns as they stand in the header, in any case. The
// header is looked for in the first 100 rows.
type CSVColumns struct {
	Date string
	// Amount is signed, unless Direction tells; or Credit and Debit are columns of
	// their own.
	Amount, Credit, Debit string
	// Direction has D, S, DBIT, DEBIT, SOLL or - for money that went out, and C, H,
	// CRDT, CREDIT, HABEN or + for money that came in.
	Direction string
	ValueDate string
	Currency  string
	Reference string // the bank's, the same in every export
	Name      string
	IBAN      string
	// Remittance are joined with spaces.
	Remittance        []string
	CreditorReference string
	EndToEndID        string
	// State has booked, BOOK, gebucht or nothing for what is booked, anything else for
	// what is not.
	State string
}

// Validate reports all that is wrong with the format, joined.
func (f *CSVFormat) Validate() error {
	var errs []error
	c := &f.Columns
	if c.Date == "" {
		errs = append(errs, errors.New("columns: date is missing"))
	}
	if (c.Amount == "") == (c.Credit == "") {
		errs = append(errs, errors.New("columns: want either amount, or credit and debit"))
	}
	if c.Debit != "" && c.Credit == "" {
		errs = append(errs, errors.New("columns: debit goes with credit"))
	}
	if c.Direction != "" && c.Amount == "" {
		errs = append(errs, errors.New("columns: direction goes with amount"))
	}
	if c.Currency == "" && f.Currency == "" {
		errs = append(errs, errors.New("want a currency, or a column for it"))
	}
	if f.Currency != "" {
		if _, err := billing.ParseCurrency(string(f.Currency)); err != nil {
			errs = append(errs, err)
		}
	}
	if f.Decimal != "" && f.Decimal != "." && f.Decimal != "," {
		errs = append(errs, fmt.Errorf("the decimal sign %.10q: want . or ,", f.Decimal))
	}
	if _, err := parseDateFormat(f.Date); err != nil {
		errs = append(errs, err)
	}
	if f.Charset != "" {
		if _, err := charsetNamed(f.Charset); err != nil {
			errs = append(errs, err)
		}
	}
	if d := f.Delimiter; d != 0 && !slices.Contains(delimiters, d) {
		errs = append(errs, fmt.Errorf("the delimiter %q: want ; , | or tab", d))
	}
	return errors.Join(errs...)
}

var delimiters = []rune{';', ',', '\t', '|'}

// maxHeaderRow is how far down the header is looked for: banks put the account and the
// balance before it.
const maxHeaderRow = 100

// CSV reads the entries of a CSV file. Rows after the header that are empty are left
// out. An error that is an *EntryError is about one row, and the next ones follow; any
// other is the last.
func CSV(r io.Reader, f CSVFormat) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := readCSV(r, f, yield); err != nil && !errors.Is(err, errStopped) {
			yield(Entry{}, err)
		}
	}
}

func readCSV(r io.Reader, f CSVFormat, yield func(Entry, error) bool) error {
	if err := f.Validate(); err != nil {
		return fmt.Errorf("the format of the CSV: %w", err)
	}
	file, r, err := fileDigest(r)
	if err != nil {
		return err
	}
	text, err := newTextReader(r, f.Charset)
	if err != nil {
		return err
	}
	head, err := text.Peek()
	if err != nil {
		return err
	}
	c := csvReader{format: f, seen: occurrences{}, file: file}
	if err := c.findHeader(head); err != nil {
		return err
	}
	if err := c.learn(head); err != nil {
		return err
	}
	rows := newRows(text, c.delimiter)
	for entries := 0; ; {
		row, line, err := rows.next()
		if err == io.EOF {
			return nil
		}
		if wrong, ok := errors.AsType[*EntryError](err); ok {
			if line > c.headerLine && !yield(Entry{}, wrong) {
				return errStopped
			}
			continue
		}
		if err != nil {
			return err
		}
		if line <= c.headerLine || empty(row) {
			continue
		}
		if entries++; entries > maxEntries {
			return fmt.Errorf("line %d: %w: more than %d entries", line, ErrTooLarge, maxEntries)
		}
		e, err := c.entry(row, line)
		if err != nil {
			err = &EntryError{line, err}
		}
		if !yield(e, err) {
			return errStopped
		}
	}
}

// maxDigest is how much of a file is looked at to tell it from others.
const maxDigest = 4 << 20

// fileDigest returns what a file is told from others by, as a CSV has no id, and a reader of
// all of it.
func fileDigest(r io.Reader) (string, io.Reader, error) {
	head, err := io.ReadAll(io.LimitReader(r, maxDigest))
	if err != nil {
		return "", nil, err
	}
	sum := digest(string(head))
	return string(sum[:]), io.MultiReader(bytes.NewReader(head), r), nil
}

func empty(row []string) bool {
	return !slices.ContainsFunc(row, func(s string) bool { return strings.TrimSpace(s) != "" })
}

// rows reads CSV row by row, each within maxToken.
type rows struct {
	text *textReader
	csv  *csv.Reader
	line int // where the last row begins
}

func newRows(text *textReader, delimiter rune) *rows {
	r := csv.NewReader(text)
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = delimiter, -1, true
	return &rows{text: text, csv: r}
}

// next returns the next row, valid until the next call, and the line it begins on. An
// *EntryError is of one row.
func (r *rows) next() ([]string, int, error) {
	r.text.left = 2 * maxToken // the CSV reader reads some KiB ahead
	row, err := r.csv.Read()
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok && !errors.Is(err, ErrTooLarge) {
		return nil, wrong.StartLine, &EntryError{wrong.StartLine, fmt.Errorf("the CSV is broken: %w (line %d, column %d)", wrong.Err, wrong.Line, wrong.Column)}
	}
	if err == io.EOF {
		return nil, 0, err
	}
	if err != nil {
		return nil, 0, fmt.Errorf("after line %d: %w", r.line, err)
	}
	r.line, _ = r.csv.FieldPos(0)
	for _, s := range row {
		if !utf8.ValidString(s) {
			return nil, r.line, &EntryError{r.line, errors.New("the text is no UTF-8: say which charset the file has")}
		}
	}
	return row, r.line, nil
}

// csvReader makes entries of rows.
type csvReader struct {
	format     CSVFormat
	delimiter  rune
	headerLine int
	column     map[string]int // by the name in CSVColumns, in lower case
	decimal    string
	date       dateFormat
	seen       occurrences
	file       string // what tells it from others
}

// findHeader finds the row with all columns, and the delimiter by which it has them.
func (c *csvReader) findHeader(head []byte) error {
	try := delimiters
	if c.format.Delimiter != 0 {
		try = []rune{c.format.Delimiter}
	}
	want := c.format.Columns.names()
	best, bestMissing := "", want
	for _, d := range try {
		for row, line := range headRows(head, d) {
			column := map[string]int{}
			for i, name := range row {
				if name = heading(name); name != "" {
					if _, twice := column[name]; !twice {
						column[name] = i
					}
				}
			}
			missing := slices.DeleteFunc(slices.Clone(want), func(n string) bool { _, ok := column[heading(n)]; return ok })
			if len(missing) == 0 {
				c.delimiter, c.headerLine, c.column = d, line, column
				return nil
			}
			if len(missing) < len(bestMissing) {
				bestMissing, best = missing, fmt.Sprintf("; line %d has the others", line)
			}
			if line > maxHeaderRow {
				break
			}
		}
	}
	return fmt.Errorf("no row has the columns of the header: missing %q%s", bestMissing, best)
}

// headRows reads the rows of the beginning of a file, as far as they are whole.
func headRows(head []byte, delimiter rune) iter.Seq2[[]string, int] {
	return func(yield func([]string, int) bool) {
		r := csv.NewReader(bytes.NewReader(head))
		r.Comma, r.FieldsPerRecord = delimiter, -1
		for {
			row, err := r.Read()
			if wrong, ok := errors.AsType[*csv.ParseError](err); ok && wrong.Line < 2*maxHeaderRow {
				continue
			}
			if err != nil {
				return
			}
			line, _ := r.FieldPos(0)
			if !yield(row, line) {
				return
			}
		}
	}
}

func heading(s string) string { return strings.ToLower(clean(s)) }

// names are all that are configured.
func (c *CSVColumns) names() []string {
	names := append([]string{c.Date, c.Amount, c.Credit, c.Debit, c.Direction, c.ValueDate, c.Currency, c.Reference,
		c.Name, c.IBAN, c.CreditorReference, c.EndToEndID, c.State}, c.Remittance...)
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

// get returns the field of a column; empty if the row is too short.
func (c *csvReader) get(row []string, column string) string {
	i, ok := c.column[heading(column)]
	if !ok || i >= len(row) {
		return ""
	}
	return clean(row[i])
}

func (c *csvReader) entry(row []string, line int) (Entry, error) {
	columns := &c.format.Columns
	e := Entry{Account: compact(c.format.Account), Line: line, Currency: c.format.Currency}
	var err error
	if s := c.get(row, columns.Currency); s != "" {
		if e.Currency, err = billing.ParseCurrency(strings.ToUpper(s)); err != nil {
			return Entry{}, err
		}
	}
	if e.Currency == "" {
		return Entry{}, errors.New("the row has no currency")
	}
	if e.BookedOn, err = c.date.parse(c.get(row, columns.Date)); err != nil {
		return Entry{}, err
	}
	if e.ValueOn = e.BookedOn; c.get(row, columns.ValueDate) != "" {
		if e.ValueOn, err = c.date.parse(c.get(row, columns.ValueDate)); err != nil {
			return Entry{}, err
		}
	}
	if e.Amount, err = c.amount(row, e.Currency); err != nil {
		return Entry{}, err
	}
	e.Name, e.IBAN = c.get(row, columns.Name), compact(c.get(row, columns.IBAN))
	var lines []string
	for _, name := range columns.Remittance {
		if s := c.get(row, name); s != "" {
			lines = append(lines, s)
		}
	}
	e.Remittance = clean(strings.Join(lines, " "))
	if s := c.get(row, columns.CreditorReference); s != "" {
		e.CreditorReferences = []string{s}
	}
	e.EndToEndID = known(c.get(row, columns.EndToEndID))
	switch strings.ToLower(c.get(row, columns.State)) {
	case "", "booked", "book", "gebucht", "umsatz gebucht":
	default:
		e.Pending = true
	}
	if ref := known(c.get(row, columns.Reference)); ref != "" {
		e.Reference = entryRef(&e, ref, 0)
	} else {
		c.seen.name(&e, c.file)
	}
	return e, nil
}

// amount reads the amount of a row with its direction.
func (c *csvReader) amount(row []string, currency billing.Currency) (billing.Amount, error) {
	columns := &c.format.Columns
	parse := func(column string) (billing.Amount, error) {
		s := c.get(row, column)
		if s == "" {
			return 0, nil
		}
		return parseMoney(s, c.decimal, currency)
	}
	if columns.Amount == "" {
		credit, err := parse(columns.Credit)
		if err != nil {
			return 0, err
		}
		debit, err := parse(columns.Debit)
		if err != nil {
			return 0, err
		}
		if debit < 0 { // some banks write the sign there too
			debit = -debit
		}
		if (credit == 0) == (debit == 0) {
			return 0, fmt.Errorf("the row wants an amount in %q or in %q", columns.Credit, columns.Debit)
		}
		return credit - debit, nil
	}
	a, err := parse(columns.Amount)
	if err != nil {
		return 0, err
	}
	if a == 0 {
		return 0, errors.New("the row has no amount, or zero")
	}
	if columns.Direction == "" {
		return a, nil
	}
	switch d := strings.ToUpper(c.get(row, columns.Direction)); d {
	case "D", "S", "DBIT", "DEBIT", "SOLL", "-":
		return -max(a, -a), nil
	case "C", "H", "CRDT", "CREDIT", "HABEN", "+":
		return max(a, -a), nil
	default:
		return 0, fmt.Errorf("the direction is %.40q: want C or D, CRDT or DBIT, H or S, + or -", d)
	}
}
