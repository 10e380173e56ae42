package clickhouse

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocumentedQueries runs what docs/schema.md says of ClickHouse.
func TestDocumentedQueries(t *testing.T) {
	text, err := os.ReadFile("../../docs/schema.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## In ClickHouse\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	s, n := openTest(t), 0
	for i, block := range strings.Split(section, "```") {
		if i%2 == 0 {
			continue
		}
		for statement := range strings.SplitSeq(withoutComments(block), ";\n") {
			if statement = strings.TrimSpace(statement); statement != "" {
				require.NoError(t, s.exec(t.Context(), statement), statement)
				n++
			}
		}
	}
	require.Equal(t, 4, n)
}
