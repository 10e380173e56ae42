package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestInvoiceByHand goes from charges by hand to an invoice, and credits it line by line.
func TestInvoiceByHand(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("billing", "set", "--seller-name", "Example Net")
		s.ok("tax", "set", "standard", "20")
		s.ok("user", "add", "alice", "--password", "x")
		assert.Contains(t, s.fails(exitFailed, "invoice", "draft", "alice", "--currency", "EUR"), "there is nothing to pay in EUR: no charge waits")
		assert.Contains(t, s.fails(exitFailed, "invoice", "draft", "alise"), "did you mean alice")

		s.ok("charge", "add", "alice", "25", "--description", "Visit of a technician", "--tax", "standard", "--currency", "EUR")
		s.ok("charge", "add", "alice", "12", "--description", "Router", "--tax", "standard", "--tax-included")
		draft := s.object("invoice", "draft", "alice") // 25.00 and 5.00, 10.00 and 2.00
		assert.Equal(t, []any{"draft", "", "42.00"}, []any{draft["state"], draft["number"], draft["total"]})
		assert.Len(t, draft["lines"], 2)
		assert.Empty(t, s.rows("charge", "list", "--pending"))
		id := draft["id"].(string)
		assert.Contains(t, s.ok("invoice", "list", "--state", "draft"), id, "by which it is issued")
		s.ok("invoice", "delete", id)
		assert.Len(t, s.rows("charge", "list", "--pending"), 2)
		id = s.object("invoice", "draft", "alice")["id"].(string)

		s.ok("payment", "add", "alice", "2", "--currency", "EUR")
		assert.Contains(t, s.fails(exitFailed, "invoice", "issue", id, "--due-on", "2020-01-01"), "not before it")
		assert.Contains(t, s.fails(exitUsage, "invoice", "issue", id, "--on", "soon"), "--on")
		issued := s.object("invoice", "issue", id, "--on", "2026-03-01", "--due-on", "2026-03-20")
		assert.Equal(t, []any{"issued", "INV-000001", "2026-03-01", "2026-03-20", "2.00"}, []any{issued["state"], issued["number"], issued["issued_on"], issued["due_on"], issued["paid"]})
		assert.Contains(t, s.fails(exitFailed, "invoice", "issue", id), "only a draft is issued")
		assert.Contains(t, s.fails(exitFailed, "invoice", "delete", "INV-000001"), "only a draft is deleted")

		number := map[string]string{}
		for _, line := range issued["lines"].([]any) {
			line := line.(map[string]any)
			number[line["description"].(string)] = fmt.Sprint(line["line"])
		}
		visit, router := number["Visit of a technician"], number["Router"]
		for want, lines := range map[string][]string{
			"is no number of a line": {"--line", "first"},
			"is there twice":         {"--line", "1", "--line", "1=2"},
			"is nothing":             {"--line", "1=0"},
			"EUR has 2 decimals":     {"--line", "1=0.001"},
		} {
			assert.Contains(t, s.fails(exitUsage, append([]string{"invoice", "credit", "INV-000001"}, lines...)...), want)
		}
		assert.Contains(t, s.fails(exitFailed, "invoice", "credit", "INV-000001", "--line", "3"), "has no line 3 to credit")
		part := s.object("invoice", "credit", "INV-000001", "--line", visit+"=5", "--note", "Late")
		assert.Equal(t, []any{"CN-000001", "6.00", "Late"}, []any{part["number"], part["total"], part["note"]}, "5.00 and 20 %")
		rest := s.object("invoice", "credit", "INV-000001", "--line", visit, "--line", router+"=6.00")
		assert.Equal(t, "30.00", rest["total"], "20.00 and 4.00, and 6.00 with the tax")
		assert.Contains(t, s.fails(exitFailed, "invoice", "credit", "INV-000001", "--line", visit), "nothing is left of line "+visit+" of invoice INV-000001")
		made := s.ok("invoice", "credit", "INV-000001", "-o", "csv")
		require.Equal(t, 2, strings.Count(made, "\n"), "the credit note: %s", made)
		assert.Contains(t, made, "CN-000003,credit_note")
		assert.Equal(t, "-2.00", s.rows("balance", "alice")[0]["owed"], "what was paid is credit")
		assert.Equal(t, "the books balance\n", s.ok("billing", "check"))
	})
}
