package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBillingReports(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "x")
		s.ok("tax", "set", "standard", "19")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--tax", "standard", "--due-days", "14", "--usage", "octets allowance=100GiB price=0.10 per=1GiB")
		s.ok("billing", "set", "--seller-name", "Example Net")
		s.ok("subscription", "add", "alice", "home", "--from", "2026-01-01", "--until", "2026-02-01")
		s.ok("billing", "run", "--as-of", "2026-01-01")

		revenue := s.rows("report", "revenue", "--by", "plan", "--from", "2026-01-01", "--to", "2027-01-01")
		require.Len(t, revenue, 1)
		assert.Equal(t, []any{"home", "EUR", "29.90"}, []any{revenue[0]["plan"], revenue[0]["currency"], revenue[0]["revenue"]})
		assert.Contains(t, s.ok("report", "revenue", "--from", "2026-01-01", "--to", "2027-01-01"), "2026-01")
		tax := s.rows("report", "tax", "--period", "quarter", "--from", "2026-01-01", "--to", "2027-01-01")
		require.Len(t, tax, 1)
		assert.Equal(t, []any{"VAT", "S", "19", "29.90", "5.68"}, []any{tax[0]["name"], tax[0]["category"], tax[0]["percent"], tax[0]["net"], tax[0]["tax"]})
		s.ok("invoice", "credit", "INV-000001")
		csv := s.ok("report", "revenue", "--date", "posted", "--period", "year", "--from", "2026-01-01", "--to", "tomorrow", "-o", "csv")
		assert.True(t, strings.HasPrefix(csv, "start,currency,invoiced,credited,revenue\n"), csv)
		owed := s.rows("report", "receivables", "--on", "2026-02-14")
		require.Len(t, owed, 1)
		assert.Equal(t, []any{"35.58", "0.00"}, []any{owed[0]["days_0_30"], owed[0]["not_due"]}, "due on 15 January, 30 days before")
		churn := s.rows("report", "churn", "--from", "2026-01-01", "--to", "2026-03-01")
		require.Len(t, churn, 2)
		assert.Equal(t, []any{1.0, 1.0, 0.0, "100.0"}, []any{churn[0]["started"], churn[1]["ended"], churn[1]["at_end"], churn[1]["churn_percent"]})
		used := s.rows("report", "allowance", "--on", "2026-01-20", "--user", "alice")
		require.Len(t, used, 1)
		assert.Equal(t, []any{"octets", 0.0, 107374182400.0}, []any{used[0]["metric"], used[0]["used"], used[0]["allowance"]})
		assert.Contains(t, s.fails(exitUsage, "report", "revenue", "--by", "colour"), `--by: "colour" is not one of none, plan, tax-class`)
		assert.Contains(t, s.fails(exitUsage, "report", "tax", "--from", "2026-01-01T10:00:00Z"), "want a day")
	})
}
