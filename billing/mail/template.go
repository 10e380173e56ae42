package mail

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"text/template"

	"radiusd/billing"
)

// The kinds of mails. There are as many reminders as there are steps: reminder_4 takes
// the text of reminder_3 where it has none of its own.
const (
	KindInvoice    = "invoice"
	KindCreditNote = "credit_note"
	KindReceipt    = "receipt"
	kindReminder   = "reminder_"
)

// maxSteps is how many reminders can have texts of their own.
const maxSteps = 9

// ReminderKind returns the kind of the reminder of a step: 1, 2, ….
func ReminderKind(step int) string { return fmt.Sprintf("%s%d", kindReminder, step) }

// Data is what a text is made from. Fields that do not apply are empty.
type Data struct {
	Customer    string // name
	Username    string
	Seller      billing.Party
	Number      string // of the invoice
	Corrects    string // number of the invoice that a credit note is about
	Currency    billing.Currency
	Total, Open billing.Amount
	Paid        billing.Amount // of a receipt: what came
	IssuedOn    billing.Date
	DueOn       billing.Date
	ReceivedOn  billing.Date
	Step        int // of a reminder
	DaysOverdue int
	// ActOn is when service is restricted or suspended if nothing is paid; no day: it
	// is not threatened.
	ActOn billing.Date
	// Reference is what the customer is to write into a transfer, as RFReference makes.
	Reference string
	PayURL    string // of the page to pay by card
}

//go:embed templates/*.txt
var builtin embed.FS

// maxTemplate bounds a file, maxText what it makes.
const (
	maxTemplate = 64 << 10
	maxText     = 256 << 10
)

// Templates make texts. They are safe for concurrent use.
type Templates struct {
	language string             // where a customer's has no text
	texts    map[string]*letter // by kind.language
}

// letter is a file of templates. Subject and text are apart before they are executed, so
// that no line break in a name moves what is what.
type letter struct{ subject, text *template.Template }

// LoadTemplates returns the texts of the program, with those in folder in their place;
// nil: none. Files are called KIND.LANGUAGE.txt, as reminder_1.de.txt; the first line is
// "Subject: …", then an empty one, then the text, all of it a text/template over Data
// with the functions money and date. Each is tried with sample data, and all that is
// wrong is reported, joined. language is for customers whose own has no text.
func LoadTemplates(folder fs.FS, language string) (*Templates, error) {
	t := &Templates{language: language, texts: map[string]*letter{}}
	sub, err := fs.Sub(builtin, "templates")
	if err != nil {
		return nil, err
	}
	if err := t.load(sub); err != nil {
		return nil, err
	}
	if folder != nil {
		if err := t.load(folder); err != nil {
			return nil, fmt.Errorf("mail: templates: %w", err)
		}
	}
	if t.texts[KindInvoice+"."+language] == nil {
		return nil, fmt.Errorf("mail: there are no texts in the language %q, only %s", language, strings.Join(t.Languages(), ", "))
	}
	return t, nil
}

// Languages returns those that there is any text in.
func (t *Templates) Languages() []string {
	languages := map[string]bool{}
	for name := range t.texts {
		_, language, _ := strings.Cut(name, ".")
		languages[language] = true
	}
	return slices.Sorted(maps.Keys(languages))
}

func (t *Templates) load(folder fs.FS) error {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".txt"); ok && !entry.IsDir() {
			if err := t.add(folder, name); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", entry.Name(), err))
			}
		}
	}
	return errors.Join(errs...)
}

// kinds are all that may have a text.
func kinds() []string {
	kinds := []string{KindInvoice, KindCreditNote, KindReceipt}
	for step := range maxSteps {
		kinds = append(kinds, ReminderKind(step+1))
	}
	return kinds
}

func (t *Templates) add(folder fs.FS, name string) error {
	kind, language, _ := strings.Cut(name, ".")
	if !slices.Contains(kinds(), kind) {
		return fmt.Errorf("there is no mail %q: want one of %s", kind, strings.Join(kinds(), ", "))
	}
	if len(language) < 2 || len(language) > 10 || strings.Trim(language, "abcdefghijklmnopqrstuvwxyz-") != "" {
		return fmt.Errorf("the language %q: want one such as de", language)
	}
	info, err := fs.Stat(folder, name+".txt")
	if err != nil {
		return err
	}
	if info.Size() > maxTemplate {
		return fmt.Errorf("it has more than %d KiB", maxTemplate>>10)
	}
	text, err := fs.ReadFile(folder, name+".txt")
	if err != nil {
		return err
	}
	parsed, err := parse(name, language, strings.ReplaceAll(string(text), "\r\n", "\n"))
	if err != nil {
		return err
	}
	for _, data := range samples() {
		if _, _, err := parsed.execute(&data); err != nil {
			return err
		}
	}
	t.texts[name] = parsed
	return nil
}

// samples are tried on each text: everything, and nothing.
func samples() []Data {
	day := billing.Date{Year: 2026, Month: 1, Day: 31}
	return []Data{{}, {Customer: "Anna Groß", Username: "anna", Seller: billing.Party{Name: "Muster Netz", IBAN: "DE02120300000000202051"},
		Number: "INV-000123", Corrects: "INV-000122", Currency: "EUR", Total: 4990, Open: 4990, Paid: 4990, IssuedOn: day, DueOn: day,
		ReceivedOn: day, Step: 2, DaysOverdue: 14, ActOn: day, Reference: "RF73INV000123", PayURL: "https://portal.example/pay"}}
}

// Render makes the subject and the text of a mail.
func (t *Templates) Render(kind, language string, data *Data) (subject, text string, err error) {
	parsed := t.find(kind, language)
	if parsed == nil {
		return "", "", fmt.Errorf("mail: there is no text for %q", kind)
	}
	if subject, text, err = parsed.execute(data); err != nil {
		return "", "", fmt.Errorf("mail: %w", err)
	}
	return subject, text, nil
}

// find goes from the customer's language to the default one, and of reminders to the
// steps before.
func (t *Templates) find(kind, language string) *letter {
	tries := []string{kind}
	if step, ok := strings.CutPrefix(kind, kindReminder); ok {
		var n int
		if _, err := fmt.Sscanf(step, "%d", &n); err != nil || n < 1 {
			return nil
		}
		tries = nil
		for n = min(n, maxSteps); n > 0; n-- {
			tries = append(tries, ReminderKind(n))
		}
	}
	for _, l := range []string{strings.ToLower(language), t.language} {
		for _, k := range tries {
			if found := t.texts[k+"."+l]; found != nil {
				return found
			}
		}
		if main, _, ok := strings.Cut(l, "-"); ok { // de-AT takes de
			for _, k := range tries {
				if found := t.texts[k+"."+main]; found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// parse reads a file.
func parse(name, language, file string) (*letter, error) {
	head, text, ok := strings.Cut(file, "\n\n")
	subject, isSubject := strings.CutPrefix(head, "Subject:")
	if !ok || !isSubject || strings.Contains(subject, "\n") {
		return nil, errors.New(`want "Subject: …" in the first line, an empty one, and the text`)
	}
	functions := template.FuncMap{
		"money": func(a billing.Amount, c billing.Currency) string { return money(language, a, c) },
		"date":  func(d billing.Date) string { return date(language, d) },
	}
	var l letter
	var err error
	if l.subject, err = template.New(name).Option("missingkey=error").Funcs(functions).Parse(subject); err != nil {
		return nil, err
	}
	// The lines before it are kept, for the line numbers of errors.
	if l.text, err = template.New(name).Option("missingkey=error").Funcs(functions).Parse("\n\n" + text); err != nil {
		return nil, err
	}
	return &l, nil
}

// execute makes the subject, in one line, and the text.
func (l *letter) execute(data *Data) (subject, text string, err error) {
	var head, body bounded
	if err := l.subject.Execute(&head, data); err != nil {
		return "", "", err
	}
	if err := l.text.Execute(&body, data); err != nil {
		return "", "", err
	}
	subject = strings.Join(strings.FieldsFunc(head.String(), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	text = strings.TrimSpace(body.String())
	if subject == "" || text == "" {
		return "", "", errors.New("the subject or the text is empty")
	}
	if len(subject) > 200 {
		subject = strings.ToValidUTF8(subject[:200], "")
	}
	return subject, text + "\n", nil
}

// bounded is a buffer that refuses to grow beyond maxText.
type bounded struct{ strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxText {
		return 0, fmt.Errorf("it makes more than %d KiB", maxText>>10)
	}
	return b.Builder.Write(p)
}

// money writes 1234.50 EUR, and in German 1234,50 EUR.
func money(language string, a billing.Amount, c billing.Currency) string {
	s := c.Format(a)
	if strings.HasPrefix(language, "de") {
		s = strings.Replace(s, ".", ",", 1)
	}
	return strings.TrimSpace(s + " " + string(c))
}

// date writes 31 January 2026, in German 31.01.2026, and elsewhere 2026-01-31.
func date(language string, d billing.Date) string {
	switch {
	case d.IsZero():
		return ""
	case strings.HasPrefix(language, "de"):
		return fmt.Sprintf("%02d.%02d.%04d", d.Day, d.Month, d.Year)
	case strings.HasPrefix(language, "en"):
		return fmt.Sprintf("%d %s %04d", d.Day, d.Month, d.Year)
	}
	return d.String()
}
