package mail_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/mail"
)

func data() *mail.Data {
	return &mail.Data{Customer: "Anna Groß", Seller: billing.Party{Name: "Müster Netz", IBAN: "DE02120300000000202051"}, Number: "INV-000123",
		Currency: "EUR", Total: 104990, Open: 4990, Paid: 100000, IssuedOn: billing.Date{Year: 2026, Month: 1, Day: 5},
		DueOn: billing.Date{Year: 2026, Month: 1, Day: 19}, ReceivedOn: billing.Date{Year: 2026, Month: 1, Day: 7}, DaysOverdue: 14,
		ActOn: billing.Date{Year: 2026, Month: 2, Day: 9}, Reference: "RF73INV000123", PayURL: "https://portal.example/pay"}
}

func TestBuiltinTexts(t *testing.T) {
	texts, err := mail.LoadTemplates(nil, "en")
	require.NoError(t, err)
	require.Equal(t, []string{"de", "en"}, texts.Languages())
	for _, c := range []struct {
		kind, language, subject string
		has                     []string
	}{
		{mail.KindInvoice, "en", "Invoice INV-000123 from Müster Netz", []string{"Dear Anna Groß,", "of 5 January 2026 over 1049.90 EUR", "pay 49.90 EUR by 19 January 2026", "RF73INV000123", "https://portal.example/pay"}},
		{mail.KindInvoice, "de", "Rechnung INV-000123 von Müster Netz", []string{"Guten Tag Anna Groß,", "vom 05.01.2026 über 1049,90 EUR", "49,90 EUR bis zum 19.01.2026", "DE02120300000000202051"}},
		{mail.KindInvoice, "de-AT", "Rechnung INV-000123 von Müster Netz", nil},
		{mail.KindInvoice, "fr", "Invoice INV-000123 from Müster Netz", nil},
		{mail.KindCreditNote, "de", "Gutschrift INV-000123 von Müster Netz", nil},
		{mail.KindReceipt, "en", "We have received your payment of 1000.00 EUR", []string{"on 7 January 2026 for the invoice INV-000123", "49.90 EUR are still open"}},
		{mail.KindReceipt, "de", "Ihre Zahlung über 1000,00 EUR ist eingegangen", nil},
		{mail.ReminderKind(1), "en", "Reminder: invoice INV-000123 is due", []string{"was due on 19 January 2026"}},
		{mail.ReminderKind(2), "de", "Mahnung: Rechnung INV-000123 ist 14 Tage überfällig", []string{"bis zum 09.02.2026"}},
		{mail.ReminderKind(3), "en", "Last reminder: invoice INV-000123", []string{"suspend your access"}},
		{mail.ReminderKind(20), "en", "Last reminder: invoice INV-000123", nil},
	} {
		t.Run(c.kind+" "+c.language, func(t *testing.T) {
			subject, text, err := texts.Render(c.kind, c.language, data())
			require.NoError(t, err)
			require.Equal(t, c.subject, subject)
			for _, want := range c.has {
				require.Contains(t, text, want)
			}
			require.Contains(t, text, "Müster Netz\n")
			require.NotContains(t, text, "\n\n\n", text)
			require.NotContains(t, text, "<no value>")
		})
	}
	d := data()
	d.Open = 0
	_, text, err := texts.Render(mail.KindInvoice, "en", d)
	require.NoError(t, err)
	require.Contains(t, text, "Nothing is left to pay")
	for _, kind := range []string{"", "farewell", "reminder_0", "reminder_x"} {
		_, _, err = texts.Render(kind, "en", d)
		require.ErrorContains(t, err, "no text for")
	}
}

func TestOwnTexts(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	texts, err := mail.LoadTemplates(fstest.MapFS{
		"invoice.fr.txt": file("Subject: Facture {{.Number}}\r\n\r\nBonjour {{.Customer}}, {{money .Open .Currency}} pour le {{date .DueOn}}\r\n"),
		"receipt.en.txt": file("Subject: Thanks {{.Customer}}\n\nThanks"),
		"README.md":      file("no mail"),
	}, "fr")
	require.NoError(t, err)
	subject, text, err := texts.Render(mail.KindInvoice, "FR", data())
	require.NoError(t, err)
	require.Equal(t, "Facture INV-000123", subject)
	require.Equal(t, "Bonjour Anna Groß, 49.90 EUR pour le 2026-01-19\n", text)

	d := data()
	d.Customer = "Eve\r\nBcc: all@example.org"
	subject, _, err = texts.Render(mail.KindReceipt, "en", d)
	require.NoError(t, err)
	require.Equal(t, "Thanks Eve Bcc: all@example.org", subject, "data cannot begin a header")
	d.Customer = "Eve\n\nAnother body"
	subject, text, err = texts.Render(mail.KindReceipt, "en", d)
	require.NoError(t, err)
	require.Equal(t, "Thanks Eve Another body", subject)
	require.Equal(t, "Thanks\n", text)
}

func TestTextsThatAreWrong(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"does not parse", "invoice.en.txt", "Subject: x\n\n{{.Number", "invoice.en"},
		{"a field that is not there", "invoice.en.txt", "Subject: x\n\n{{.Nummer}}", "Nummer"},
		{"a field that is not there, where it is seldom seen", "invoice.en.txt", "Subject: x\n\n{{if .PayURL}}{{.Nummer}}{{end}}x", "Nummer"},
		{"a function that is not there", "invoice.en.txt", "Subject: x\n\n{{exec .Number}}", "exec"},
		{"a function used wrongly", "invoice.en.txt", "Subject: x\n\n{{money .Number .Currency}}", "invoice.en:3:8"},
		{"no subject", "invoice.en.txt", "Hello\n\nx", "Subject"},
		{"an empty subject", "invoice.en.txt", "Subject: \n\nx", "is empty"},
		{"no text", "invoice.en.txt", "Subject: x\n", "Subject"},
		{"an empty text", "invoice.en.txt", "Subject: x\n\n{{.PayURL}}", "is empty"},
		{"a subject of two lines", "invoice.en.txt", "Subject: x\nCc: y\n\nx", "Subject"},
		{"a kind that is not there", "invioce.en.txt", "Subject: x\n\nx", `no mail "invioce"`},
		{"no language", "invoice.txt", "Subject: x\n\nx", "language"},
		{"too long", "invoice.en.txt", "Subject: x\n\n" + strings.Repeat("x", 70<<10), "64 KiB"},
		{"makes too much", "invoice.en.txt", "Subject: x\n\n{{range 100000}}xxxxxxxxxx{{end}}", "256 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := mail.LoadTemplates(fstest.MapFS{c.file: &fstest.MapFile{Data: []byte(c.text)}}, "en")
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, c.file)
		})
	}
	_, err := mail.LoadTemplates(nil, "xx")
	require.ErrorContains(t, err, "only de, en")
}
