package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

// TestDeletedUserPays: deleting a user bills what is left, and it can be paid afterwards.
func TestDeletedUserPays(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "x")
		s.ok("plan", "price", "home", "--currency", "EUR", "--price", "29.90", "--tax", "school")
		s.ok("billing", "set", "--seller-name", "Example Net", "--series", "A")
		s.ok("subscription", "add", "alice", "home", "--from", "2026-02-01", "--until", "2026-03-01")
		s.ok("charge", "add", "alice", "10.00", "--description", "cable", "--currency", "EUR", "--tax", "school")
		assert.Contains(t, s.fails(exitFailed, "user", "delete", "alice", "--yes"), `what is left to bill cannot be billed: tax class "school" has no rate`)
		assert.Contains(t, s.fails(exitFailed, "user", "erase", "alice", "--yes"), `what is left to bill cannot be billed`)
		s.ok("tax", "set", "school", "0", "--category", "Z")

		assert.Contains(t, s.ok("user", "delete", "alice", "--yes"), "user alice deleted\n39.90 EUR are owed still: payments are booked to ")
		invoice := s.object("invoice", "show", "A-000001")
		assert.Equal(t, "39.90", invoice["total"])
		id := invoice["user_id"].(string)
		assert.Contains(t, s.fails(exitFailed, "payment", "add", "alice", "1.00"), "one that was deleted is named by the user_id of an invoice")
		assert.Contains(t, s.fails(exitFailed, "payment", "add", strings.Repeat("0", 31)+"-1", "1.00"), "not found")
		s.ok("payment", "add", id, "9.90")
		assert.Equal(t, "30.00", s.rows("balance", id)[0]["owed"])
		assert.Len(t, s.rows("statement", id), 4, "opening, invoice, payment and closing")
		ref, err := billing.RFReference("A-000001")
		require.NoError(t, err)
		file := camtFile(t, s, camtEntry("B1", "20.00", "<Strd><CdtrRefInf><Ref>"+ref+"</Ref></CdtrRefInf></Strd>")+camtEntry("B2", "10.00", "<Ustrd>?</Ustrd>"))
		lines := s.rows("payment", "import", file)
		require.Len(t, lines, 2)
		assert.Equal(t, []any{"booked", "unmatched"}, []any{lines[0]["outcome"], lines[1]["outcome"]})
		s.ok("payment", "assign", fmt.Sprint(s.rows("payment", "entries", "--unmatched")[0]["id"]), id)
		assert.Equal(t, "paid", s.object("invoice", "show", "A-000001")["state"])
		assert.Len(t, s.rows("payment", "list", "--user", id), 3)
	})
}
