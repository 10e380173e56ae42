package document

import (
	"fmt"
	"slices"
	"strings"

	"radiusd/billing"
)

// locale is a language and its way to write numbers and days.
type locale struct {
	tag     string // BCP 47
	decimal string
	group   string
	date    func(billing.Date) string
	words   words
}

// words are the texts of documents. Those with %s or %d take, in this order, what their
// comment names.
type words struct {
	invoice, creditNote               string
	draft, void, paidMark             string
	number, issued, due, period       string
	customer, taxID, register         string
	corrects                          string // number of the invoice
	position, description, quantity   string
	unitPrice, taxRate, amount, gross string
	carried, brought                  string
	net, tax                          string // tax: name, percent, net, currency
	total, credit, paid, open         string
	payBy                             string // amount, currency, day, number
	payNow                            string // amount, currency, number
	nothingToPay                      string
	bank, iban, bic, reference        string
	phone, email                      string
	page                              string // page, pages
	voucher, validity, code           string
	units                             map[string]string
}

// locales are the languages that documents are made in, by tag.
var locales = map[string]locale{
	"en": {
		tag: "en", decimal: ".", group: ",",
		date: func(d billing.Date) string { return fmt.Sprintf("%d %s %d", d.Day, d.Month.String()[:3], d.Year) },
		words: words{
			invoice: "Invoice", creditNote: "Credit note",
			draft: "DRAFT", void: "VOID", paidMark: "PAID",
			number: "Number", issued: "Date", due: "Due date", period: "Period",
			customer: "Customer", taxID: "VAT ID", register: "Register",
			corrects: "Credits invoice %s",
			position: "#", description: "Description", quantity: "Quantity",
			unitPrice: "Unit price", taxRate: "Tax", amount: "Amount", gross: "Amount incl. tax",
			carried: "Carried forward", brought: "Brought forward",
			net: "Net total", tax: "%s %s %% on %s %s",
			total: "Total", credit: "Total credit", paid: "Paid", open: "To pay",
			payBy:        "Please pay %s %s by %s, quoting %s.",
			payNow:       "Please pay %s %s, quoting %s.",
			nothingToPay: "Nothing is left to pay.",
			bank:         "Bank details", iban: "IBAN", bic: "BIC", reference: "Reference",
			phone: "Phone", email: "E-mail",
			page:    "Page %d of %d",
			voucher: "Voucher", validity: "Validity", code: "Code",
			units: map[string]string{
				"DAY": "day|days", "WEE": "week|weeks", "MON": "month|months", "QAN": "quarter|quarters", "ANN": "year|years",
				"SEC": "s", "MIN": "min", "HUR": "h", "AD": "B", "2P": "kB", "4L": "MB", "E34": "GB", "E35": "TB",
				"E64": "KiB", "E63": "MiB", "E62": "GiB", "E61": "TiB", "C62": "", "EA": "", "H87": "",
			},
		},
	},
	"de": {
		tag: "de", decimal: ",", group: ".",
		date: func(d billing.Date) string { return fmt.Sprintf("%02d.%02d.%d", d.Day, d.Month, d.Year) },
		words: words{
			invoice: "Rechnung", creditNote: "Gutschrift",
			draft: "ENTWURF", void: "STORNIERT", paidMark: "BEZAHLT",
			number: "Nummer", issued: "Datum", due: "Fällig am", period: "Zeitraum",
			customer: "Kunde", taxID: "USt-IdNr.", register: "Register",
			corrects: "Gutschrift zur Rechnung %s",
			position: "Pos.", description: "Bezeichnung", quantity: "Menge",
			unitPrice: "Einzelpreis", taxRate: "Steuer", amount: "Betrag", gross: "Betrag brutto",
			carried: "Übertrag", brought: "Übertrag",
			net: "Summe netto", tax: "%s %s %% auf %s %s",
			total: "Gesamtbetrag", credit: "Gutschriftbetrag", paid: "Bezahlt", open: "Zu zahlen",
			payBy:        "Bitte zahlen Sie %s %s bis zum %s und geben Sie dabei %s an.",
			payNow:       "Bitte zahlen Sie %s %s und geben Sie dabei %s an.",
			nothingToPay: "Es ist nichts mehr zu zahlen.",
			bank:         "Bankverbindung", iban: "IBAN", bic: "BIC", reference: "Verwendungszweck",
			phone: "Telefon", email: "E-Mail",
			page:    "Seite %d von %d",
			voucher: "Gutschein", validity: "Gültigkeit", code: "Code",
			units: map[string]string{
				"DAY": "Tag|Tage", "WEE": "Woche|Wochen", "MON": "Monat|Monate", "QAN": "Quartal|Quartale", "ANN": "Jahr|Jahre",
				"SEC": "s", "MIN": "min", "HUR": "h", "AD": "B", "2P": "kB", "4L": "MB", "E34": "GB", "E35": "TB",
				"E64": "KiB", "E63": "MiB", "E62": "GiB", "E61": "TiB", "C62": "", "EA": "", "H87": "",
			},
		},
	},
}

// Locales returns the tags of the languages that documents can be made in.
func Locales() []string {
	var tags []string
	for tag := range locales {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

// Speaks reports whether documents can be made in the language of a BCP 47 tag; the empty
// one is the default.
func Speaks(tag string) bool {
	_, err := localeOf(tag)
	return err == nil
}

// localeOf returns the locale of a tag, or of its language: de-AT is written as de.
func localeOf(tag string) (locale, error) {
	if tag == "" {
		tag = "en"
	}
	language, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
	l, ok := locales[language]
	if !ok {
		return locale{}, fmt.Errorf("no documents can be made in the language %q: there are %s", tag, strings.Join(Locales(), ", "))
	}
	return l, nil
}

// money writes an amount without its currency.
func (l *locale) money(c billing.Currency, a billing.Amount) string { return l.number(c.Format(a)) }

// number writes a decimal number, which has a point and no groups, in the locale's way.
func (l *locale) number(s string) string {
	body, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(body, ".")
	var b strings.Builder
	if negative {
		b.WriteByte('-')
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(l.group)
		}
		b.WriteRune(digit)
	}
	if fraction != "" {
		b.WriteString(l.decimal + fraction)
	}
	return b.String()
}

// day writes a day; no day is the empty text.
func (l *locale) day(d billing.Date) string {
	if d.IsZero() {
		return ""
	}
	return l.date(d)
}

// span writes the first and the last day of a span.
func (l *locale) span(s billing.Span) string {
	switch {
	case s.From.IsZero():
		return ""
	case s.To.IsZero():
		return l.day(s.From) + " –"
	case s.To.AddDays(-1) == s.From:
		return l.day(s.From)
	}
	return l.day(s.From) + " – " + l.day(s.To.AddDays(-1))
}

// unit writes the unit of a quantity, a code of UNECE Recommendation 20 or a word.
func (l *locale) unit(unit, quantity string) string {
	if word, ok := l.words.units[unitCode(unit)]; ok {
		one, more, plural := strings.Cut(word, "|")
		if plural && quantity != "1" && quantity != "-1" {
			return more
		}
		return one
	}
	return clean(unit, 20)
}
