package bank

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"radiusd/billing"
)

// learn finds the decimal sign and the form of dates in the beginning of the file,
// where the format does not say. What it does not find stays unknown, and what depends
// on it is an error of the row.
func (c *csvReader) learn(head []byte) (err error) {
	if c.date, err = parseDateFormat(c.format.Date); err != nil {
		return err
	}
	c.decimal = c.format.Decimal
	columns := &c.format.Columns
	signs := map[string]bool{}
	var first13, second13 bool // parts of a date that can only be days
	for row, line := range headRows(head, c.delimiter) {
		if line <= c.headerLine {
			continue
		}
		for _, name := range []string{columns.Amount, columns.Credit, columns.Debit} {
			if sign := decimalSign(c.get(row, name)); sign != "" {
				signs[sign] = true
			}
		}
		if a, b, ok := slashed(c.get(row, columns.Date)); ok {
			first13, second13 = first13 || a > 12, second13 || b > 12
		}
	}
	if c.decimal == "" && len(signs) == 1 {
		for c.decimal = range signs {
		}
	}
	if c.date == (dateFormat{}) && first13 != second13 {
		c.date.slashed = "DMY"
		if second13 {
			c.date.slashed = "MDY"
		}
	}
	return nil
}

// decimalSign returns the decimal sign of an amount that leaves no doubt; empty: it
// leaves doubt.
func decimalSign(s string) string {
	s = strings.Trim(s, "+- ")
	last := strings.LastIndexAny(s, ".,")
	if last < 0 {
		return ""
	}
	sign, whole := s[last:last+1], s[:last]
	switch {
	case strings.Contains(whole, sign): // 1.234.567
		return ""
	case strings.ContainsAny(whole, ".,"): // 1.234,50
		return sign
	case len(s)-last-1 == 3 && len(whole) <= 3 && whole != "0": // 1,234
		return ""
	}
	return sign
}

// parseMoney reads an amount as people write it: 1.234,50 or 1,234.50 or 1'234.50 or
// 12,50-. decimal is its sign; empty: not known.
func parseMoney(s, decimal string, c billing.Currency) (billing.Amount, error) {
	fail := func(format string, args ...any) (billing.Amount, error) {
		return 0, fmt.Errorf("the amount %.40q: "+format, append([]any{s}, args...)...)
	}
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(s, string(c)), string(c)))
	negative := strings.HasPrefix(text, "-") || strings.HasSuffix(text, "-")
	text = strings.TrimSpace(strings.TrimRight(strings.TrimLeft(text, "+-"), "-"))
	if decimal == "" && strings.ContainsAny(text, ".,") {
		if decimal = decimalSign(text); decimal == "" {
			return fail("it may have decimals or thousands: say which is the decimal sign")
		}
	}
	whole, fraction, point := text, "", false
	if decimal != "" {
		whole, fraction, point = strings.Cut(text, decimal)
	}
	if point && fraction == "" || strings.Trim(fraction, "0123456789") != "" {
		return fail("want one such as 1234%s50", decimal)
	}
	digits, ok := ungroup(whole)
	if !ok {
		return fail("want one such as 1234.50")
	}
	plain := digits
	if point {
		plain += "." + fraction
	}
	a, err := c.Parse(plain)
	if err != nil {
		return fail("%w", err)
	}
	if negative {
		a = -a
	}
	return a, nil
}

// ungroup takes the marks out of 1.234.567; they must all be the same, between groups
// of three.
func ungroup(s string) (string, bool) {
	mark := strings.IndexAny(s, ".,' ’\u202f")
	if mark < 0 {
		return s, s != "" && strings.Trim(s, "0123456789") == ""
	}
	sign := string([]rune(s[mark:])[0])
	groups := strings.Split(s, sign)
	for i, g := range groups {
		if strings.Trim(g, "0123456789") != "" || i > 0 && len(g) != 3 || i == 0 && (len(g) == 0 || len(g) > 3) {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

// dateFormat is how dates are written.
type dateFormat struct {
	layout  string // as package time has it; empty: found by the date
	slashed string // DMY or MDY, for 03/04/2026; empty: not known
}

// parseDateFormat reads DD.MM.YYYY and the like.
func parseDateFormat(s string) (dateFormat, error) {
	if s == "" {
		return dateFormat{}, nil
	}
	layout := strings.NewReplacer("YYYY", "2006", "YY", "06", "MM", "01", "DD", "02").Replace(strings.ToUpper(s))
	day := time.Date(2047, 11, 29, 0, 0, 0, 0, time.UTC)
	if got, err := time.Parse(layout, day.Format(layout)); err != nil || !got.Equal(day) {
		return dateFormat{}, fmt.Errorf("the form of dates %.40q: want DD, MM and YYYY or YY, such as DD.MM.YYYY", s)
	}
	return dateFormat{layout: layout}, nil
}

// slashed returns the first two numbers of a date such as 03/04/2026, whose order
// depends on the country.
func slashed(s string) (a, b int, ok bool) {
	s, _, _ = strings.Cut(s, " ")
	for _, mark := range []string{"/", "-"} {
		if n, err := fmt.Sscanf(strings.ReplaceAll(s, mark, " "), "%2d %2d", &a, &b); err == nil && n == 2 && strings.Count(s, mark) == 2 && len(s) <= 10 && strings.IndexAny(s, mark) <= 2 {
			return a, b, true
		}
	}
	return 0, 0, false
}

// parse reads a date; a time after it is left out.
func (f dateFormat) parse(s string) (billing.Date, error) {
	if s == "" {
		return billing.Date{}, errors.New("the row has no date")
	}
	day := strings.TrimSuffix(s, ".")
	if at := strings.IndexAny(day, " T"); at >= 6 {
		day = day[:at]
	}
	layouts := []string{f.layout}
	if f.layout == "" {
		layouts = []string{"2006-01-02", "2.1.2006", "2.1.06", "20060102", "2006/01/02", "2006.01.02"}
		if _, _, ok := slashed(day); ok {
			switch f.slashed {
			case "DMY":
				layouts = []string{"2/1/2006", "2/1/06", "2-1-2006", "2-1-06"}
			case "MDY":
				layouts = []string{"1/2/2006", "1/2/06", "1-2-2006", "1-2-06"}
			default:
				return billing.Date{}, fmt.Errorf("the date %.40q may begin with the day or the month: say the form of dates", s)
			}
		}
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, day); err == nil {
			return billing.DateOf(t, time.UTC), nil
		}
	}
	return billing.Date{}, fmt.Errorf("%.40q is no date of the form that the file has", s)
}
