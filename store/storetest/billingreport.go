package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/report"
	"radiusd/store"
)

// reportRows runs a report on money.
func reportRows(t require.TestingT, s *store.Store, name string, given report.Arguments) (rows []report.Row) {
	for _, r := range report.BillingCatalogue() {
		if r.Name == name {
			require.NoError(t, r.Run(context.Background(), s, given, report.Environment{Zone: time.UTC, Now: time.Now()}, func(row report.Row) error {
				rows = append(rows, row)
				return nil
			}))
			return rows
		}
	}
	require.Fail(t, "no such report", name)
	return nil
}

// sumOfColumn adds up a column of money, counted from the last.
func sumOfColumn(rows []report.Row, fromLast int) (sum billing.Amount) {
	for _, row := range rows {
		sum += row[len(row)-fromLast].(report.Money).Amount
	}
	return sum
}

// requireReports holds that reports say what the ledger says, until any day.
func requireReports(t require.TestingT, s *store.Store, cut, last billing.Date) {
	for until, dates := range map[billing.Date][]string{cut: {"posted"}, last.AddDays(1): {"posted", "issued"}} {
		accounts := map[billing.AccountName]billing.Amount{}
		list, err := s.TrialBalance(context.Background(), until.Start(time.UTC))
		require.NoError(t, err)
		for _, account := range list {
			accounts[account.Account] += account.Balance
		}
		for _, date := range dates {
			given := func(more ...string) report.Arguments {
				a := report.Arguments{"from": "2029-01-01", "to": until.String(), "date": date}
				for i := 0; i < len(more); i += 2 {
					a[more[i]] = more[i+1]
				}
				return a
			}
			for _, by := range []string{"none", "plan", "tax-class"} {
				require.Equal(t, -accounts[billing.AccountRevenue], sumOfColumn(reportRows(t, s, "revenue", given("by", by, "period", "month")), 1), "revenue until %s by %s, %s", until, by, date)
			}
			taxes := reportRows(t, s, "tax", given("period", "quarter"))
			require.Equal(t, -accounts[billing.AccountTax], sumOfColumn(taxes, 1), "tax until %s, %s", until, date)
			require.Equal(t, -accounts[billing.AccountRevenue], sumOfColumn(taxes, 2), "net until %s, %s", until, date)
		}
		on := until.AddDays(-1).String()
		for _, by := range []string{"none", "user"} {
			owed := reportRows(t, s, "receivables", report.Arguments{"on": on, "by": by})
			require.Equal(t, accounts[billing.AccountCustomer], sumOfColumn(owed, 1), "balance on %s", on)
			require.Equal(t, sumOfColumn(owed, 3), sumOfColumn(owed, 1)+sumOfColumn(owed, 2))
			var ages billing.Amount
			for column := 4; column <= 8; column++ {
				ages += sumOfColumn(owed, column)
			}
			require.Equal(t, sumOfColumn(owed, 3), ages, "the ages add up")
		}
	}
	var open billing.Amount
	invoices, _, err := s.ListInvoicesPage(context.Background(), billing.InvoiceFilter{State: billing.InvoiceIssued, Kind: billing.KindInvoice}, aaa.Page{Limit: 1000})
	require.NoError(t, err)
	for _, i := range invoices {
		open += i.Open()
	}
	require.Equal(t, open, sumOfColumn(reportRows(t, s, "receivables", report.Arguments{"on": last.String()}), 3), "what is open now")
}

func testBillingReports(t *testing.T, database Database) {
	b := newBilled(t, database, 3)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	var alice uuid.UUID // who has gold alone: 19.99 and the set-up fee of 5.00, 29.74 with tax
	for _, alice = range b.users {
		if balance, err := b.Balance(ctx, alice, "EUR"); err == nil && balance == 2974 {
			break
		}
	}
	invoice := b.invoicesOf(t, alice)[0]
	b.setNow(at("2030-02-20T12:00:00Z"))
	b.pay(t, alice, 3000, "a")
	_, err = b.CreditInvoice(ctx, invoice.ID, map[int]billing.Amount{1: 100}, civil("2030-02-20"), "")
	require.NoError(t, err)
	requireReports(t, b.Store, civil("2030-02-01"), civil("2030-02-20"))

	// Three of gold, one of silver with it, and each with the set-up fee.
	rows := reportRows(t, b.Store, "revenue", report.Arguments{"from": "2030-01-01", "to": "2030-03-01", "by": "plan"})
	require.Len(t, rows, 3)
	eur := func(a billing.Amount) report.Money { return report.Money{Amount: a, Currency: "EUR"} }
	assert.Equal(t, []any{"gold", "EUR", eur(3 * 2499), eur(0), eur(3 * 2499)}, []any(rows[0][1:]))
	assert.Equal(t, []any{"silver", "EUR", eur(1499), eur(0), eur(1499)}, []any(rows[1][1:]))
	assert.Equal(t, []any{"gold", "EUR", eur(0), eur(100), eur(-100)}, []any(rows[2][1:]))

	// At the end of January nothing was paid, and all was due on the 15th.
	owed := reportRows(t, b.Store, "receivables", report.Arguments{"on": "2030-01-31"})
	require.Len(t, owed, 1)
	assert.Equal(t, owed[0][2], owed[0][6], "16 days overdue")
	mine := reportRows(t, b.Store, "receivables", report.Arguments{"on": "2030-02-20", "user": invoice.Buyer.Username})
	require.Len(t, mine, 1)
	assert.Equal(t, []any{eur(0), eur(26 + 119), eur(-26 - 119)}, []any(mine[0][6:]), "credit: 30.00 less 29.74, and 1.19 of the credit note")
	older := reportRows(t, b.Store, "receivables", report.Arguments{"on": "2030-01-31", "user": invoice.Buyer.Username})
	assert.Equal(t, []any{eur(2974), eur(0), eur(2974)}, []any(older[0][6:]))

	churn := reportRows(t, b.Store, "churn", report.Arguments{"from": "2029-12-01", "to": "2030-02-01"})
	assert.Equal(t, []any{uint64(0), uint64(0), uint64(0), uint64(0), ""}, []any(churn[0][1:]))
	assert.Equal(t, []any{uint64(0), uint64(4), uint64(0), uint64(4), ""}, []any(churn[1][1:]))
	used := reportRows(t, b.Store, "allowance", report.Arguments{"on": "2030-02-20", "user": invoice.Buyer.Username})
	require.Len(t, used, 1)
	assert.Equal(t, []any{"gold", "2030-02-01", "2030-03-01", "octets", uint64(0), uint64(1 << 30), "0.0", uint64(0)}, []any(used[0][1:]))
}
