package testserver

import (
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"
)

// countClickHouse returns the one number that a query gives.
func countClickHouse(t *testing.T, server, query string) (n uint64, err error) {
	t.Helper()
	options, err := driver.ParseDSN(server)
	require.NoError(t, err)
	conn, err := driver.Open(options)
	require.NoError(t, err)
	defer conn.Close()
	err = conn.QueryRow(t.Context(), query).Scan(&n)
	return n, err
}

func TestClickHouseDatabasesAreApart(t *testing.T) {
	const tables = "SELECT count() FROM system.tables WHERE database = currentDatabase()"
	first := ClickHouse(t)
	require.NoError(t, executeClickHouse(first, "CREATE TABLE mark (n UInt8) ENGINE = Memory"))
	n, err := countClickHouse(t, first, tables)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	n, err = countClickHouse(t, ClickHouse(t), tables)
	require.NoError(t, err)
	require.Zero(t, n, "a new database is empty")
}

func TestClickHouseServerComesBackWithItsData(t *testing.T) {
	server := NewClickHouseServer(t)
	require.NoError(t, executeClickHouse(server.URL(), "CREATE TABLE mark (n UInt8) ENGINE = MergeTree ORDER BY n"))
	require.NoError(t, executeClickHouse(server.URL(), "INSERT INTO mark (n) SELECT 1"))
	for name, end := range map[string]func(){"stop": server.Stop, "crash": server.Crash} {
		end()
		_, err := countClickHouse(t, server.URL(), "SELECT count() FROM mark")
		require.Error(t, err, "after %s nobody answers", name)
		server.Start()
		n, err := countClickHouse(t, server.URL(), "SELECT count() FROM mark")
		require.NoError(t, err)
		require.EqualValues(t, 1, n, "after %s and start", name)
	}
}
