package bank

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"radiusd/billing"
)

// The formats of files.
const (
	FormatCAMT = "camt"
	FormatCSV  = "csv"
)

// Open reads a file of a format; an empty one is found out: what begins with < is
// CAMT.053. It returns the entries and the format.
func Open(r io.Reader, format string, f CSVFormat) (iter.Seq2[Entry, error], string, error) {
	if format == "" {
		buffered := bufio.NewReader(r)
		head, err := buffered.Peek(512)
		if err != nil && err != io.EOF {
			return nil, "", err
		}
		r, format = buffered, FormatCSV
		text := bytes.ReplaceAll(head, []byte{0}, nil) // UTF-16
		text = bytes.TrimLeft(text, "\xef\xbb\xbf\xff\xfe \t\r\n")
		if bytes.HasPrefix(text, []byte("<")) {
			format = FormatCAMT
		}
	}
	switch format {
	case FormatCAMT:
		return CAMT(r), format, nil
	case FormatCSV:
		if err := f.Validate(); err != nil {
			return nil, "", err
		}
		return CSV(r, f), format, nil
	}
	return nil, "", fmt.Errorf("%q is no format of bank statements: want %s or %s", format, FormatCAMT, FormatCSV)
}

// csvSettings are what a CSVFormat is made of, by name.
func csvSettings(f *CSVFormat) map[string]*string {
	c := &f.Columns
	return map[string]*string{
		"date": &c.Date, "amount": &c.Amount, "credit": &c.Credit, "debit": &c.Debit, "direction": &c.Direction,
		"value_date": &c.ValueDate, "currency_column": &c.Currency, "reference": &c.Reference, "name": &c.Name, "iban": &c.IBAN,
		"creditor_reference": &c.CreditorReference, "end_to_end_id": &c.EndToEndID, "state": &c.State,
		"decimal": &f.Decimal, "date_order": &f.Date, "charset": &f.Charset, "account": &f.Account,
	}
}

// CSVSettings returns the names that ParseCSVFormat takes, in order.
func CSVSettings() []string {
	names := []string{"remittance", "delimiter", "currency"}
	for name := range csvSettings(&CSVFormat{}) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ParseCSVFormat reads a format from settings such as amount=Betrag: for date, amount and
// the like what the column is called in the header, for decimal, date_order, charset,
// delimiter (a sign, or tab), currency and account how to read the file. remittance may be
// given several times. The format is not validated.
func ParseCSVFormat(settings []string) (f CSVFormat, err error) {
	byName := csvSettings(&f)
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || value == "" {
			return f, fmt.Errorf("%.60q: want NAME=VALUE", setting)
		}
		switch name {
		case "remittance":
			f.Columns.Remittance = append(f.Columns.Remittance, value)
		case "currency":
			if f.Currency, err = billing.ParseCurrency(strings.ToUpper(value)); err != nil {
				return f, err
			}
		case "delimiter":
			if value == "tab" {
				value = "\t"
			}
			signs := []rune(value)
			if len(signs) != 1 {
				return f, fmt.Errorf("the delimiter %.10q: want one sign, or tab", value)
			}
			f.Delimiter = signs[0]
		default:
			p := byName[name]
			if p == nil {
				return f, fmt.Errorf("there is no setting %.60q: want one of %s", name, strings.Join(CSVSettings(), ", "))
			}
			*p = value
		}
	}
	return f, nil
}
