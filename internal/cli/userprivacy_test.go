package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErasePerson(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("user", "add", "alice", "--password", "wonderland", "--full-name", "Alice Liddell")
		var document map[string]any
		text := s.ok("user", "export-data", "alice")
		require.NoError(t, json.Unmarshal([]byte(text), &document))
		require.NotContains(t, text, "wonderland")
		require.Equal(t, "Alice Liddell", document["profile"].(map[string]any)["full_name"])
		require.Contains(t, s.fails(1, "user", "export-data", "alic"), "did you mean alice")
		require.Contains(t, s.fails(2, "user", "erase", "alice"), "Give --yes")
		require.Contains(t, s.fails(1, "user", "erase", "alic", "--yes"), "did you mean alice")
		out := s.ok("user", "erase", "alice", "--yes")
		require.Contains(t, out, "user alice is erased")
		require.Empty(t, s.rows("user", "list"))
		pseudonym := strings.Fields(strings.SplitAfter(out, "; ")[1])[0]
		require.Contains(t, s.ok("user", "erase", pseudonym, "--yes"), pseudonym)
	})
}
