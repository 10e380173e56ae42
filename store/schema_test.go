package store_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

// TestDocumentedQueries runs the queries of docs/schema.md, and those columns that
// scripts may rely on, on both engines.
func TestDocumentedQueries(t *testing.T) {
	text, err := os.ReadFile("../docs/schema.md")
	require.NoError(t, err)
	queries := []string{
		`SELECT id, acct_session_id, username, nas_ip, framed_ip, calling_station_id, started_at, updated_at, stopped_at,
			session_seconds, input_octets, output_octets, terminate_cause, stop_inferred FROM sessions`,
		`SELECT record_id, session_id, acct_session_id, status, username, nas_ip, event_time, received_at,
			session_seconds, input_octets, output_octets FROM accounting_records`,
	}
	for i, block := range strings.Split(string(text), "```sql\n") {
		if i == 0 {
			continue
		}
		block, _, _ = strings.Cut(block, "```")
		var code strings.Builder
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, "--")
			code.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
		for query := range strings.SplitSeq(code.String(), ";") {
			if strings.TrimSpace(query) != "" {
				queries = append(queries, query)
			}
		}
	}
	require.Greater(t, len(queries), 10)
	for name, database := range map[string]storetest.Database{"SQLite": sqliteDatabase, "Postgres": postgresDatabase} {
		options := database(t)
		options.Sealer, options.AutoMigrate = seal.New(storetest.Key), true
		s, err := store.Open(t.Context(), options)
		require.NoError(t, err)
		defer s.Close()
		db := storetest.Raw(t, options)
		for _, query := range queries {
			_, err := db.ExecContext(t.Context(), query)
			assert.NoError(t, err, "%s: %s", name, query)
		}
	}
}
