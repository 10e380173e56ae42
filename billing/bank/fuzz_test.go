package bank_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/bank"
)

// checkEntries is what holds of all entries of any file.
func checkEntries(t *testing.T, read func() func(func(bank.Entry, error) bool)) {
	entries, _, err := collect(read())
	for _, e := range entries {
		require.NotEmpty(t, e.Reference)
		require.LessOrEqual(t, len(e.Reference), 60)
		require.NotZero(t, e.Amount)
		require.False(t, e.BookedOn.IsZero())
		_, bad := billing.ParseCurrency(string(e.Currency))
		require.NoError(t, bad)
	}
	again, _, errAgain := collect(read())
	require.Equal(t, entries, again)
	require.Equal(t, err == nil, errAgain == nil)
}

func FuzzCAMT(f *testing.F) {
	files, err := filepath.Glob("testdata/*.xml")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkEntries(t, func() func(func(bank.Entry, error) bool) { return bank.CAMT(bytes.NewReader(data)) })
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(germanFile))
	f.Add([]byte("Buchungstag,Wertstellung,Status,Auftraggeber,Verwendungszweck,Zusatz,IBAN,End-to-End,Betrag,W\xe4hrung\n03/04/2026,,,,a,b,,,\"1,234\",EUR\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkEntries(t, func() func(func(bank.Entry, error) bool) { return bank.CSV(bytes.NewReader(data), german()) })
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("Rechnung INV-0001 23 vom 01.02.2026", "RF73INV000123", int64(4990))
	f.Add("inv nr. 12 / 2026-7, 000125", "", int64(1))
	f.Fuzz(func(t *testing.T, text, reference string, amount int64) {
		e := &bank.Entry{Currency: "EUR", Amount: billing.Amount(amount), Remittance: text, CreditorReferences: []string{reference}}
		got, err := bank.Match(t.Context(), e, ledger())
		require.NoError(t, err)
		require.NotEmpty(t, got.Reason)
		var sum billing.Amount
		for _, a := range got.Allocations {
			require.Positive(t, a.Amount)
			sum += a.Amount
		}
		require.LessOrEqual(t, sum, max(e.Amount, 0))
		require.Equal(t, got.Confidence == bank.None, len(got.UserID) == 0 || got.UserID == [16]byte{})
	})
}
