package testserver

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestPostgresDatabasesAreApart(t *testing.T) {
	first := Postgres(t)
	conn, err := pgx.Connect(t.Context(), first)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE mark (n int)")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))

	tables := func(databaseURL string) (n int) {
		conn, err := pgx.Connect(t.Context(), databaseURL)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE tablename = 'mark'").Scan(&n))
		return n
	}
	require.Equal(t, 0, tables(Postgres(t)), "a new database is empty")
	require.Equal(t, 1, tables(PostgresFrom(t, DatabaseName(t, first))), "a copy is not")
}

func TestPostgresServerComesBackWithItsData(t *testing.T) {
	server := NewPostgresServer(t)
	count := func(statement string) (n int, err error) {
		conn, err := pgx.Connect(t.Context(), server.URL())
		if err != nil {
			return 0, err
		}
		defer conn.Close(t.Context())
		err = conn.QueryRow(t.Context(), statement).Scan(&n)
		return n, err
	}
	_, err := count("CREATE TABLE mark AS SELECT 1 AS n")
	require.ErrorIs(t, err, pgx.ErrNoRows)
	for name, end := range map[string]func(){"stop": server.Stop, "crash": server.Crash} {
		end()
		_, err := count("SELECT 1")
		require.Error(t, err, "after %s nobody answers", name)
		server.Start()
		n, err := count("SELECT count(*) FROM mark")
		require.NoError(t, err)
		require.Equal(t, 1, n, "after %s and start", name)
	}
}

func TestPostgresStandbyLosesWhatItWasNotSent(t *testing.T) {
	primary := NewPostgresServer(t)
	primary.execute("CREATE TABLE mark (n int)", "INSERT INTO mark VALUES (1)")
	standby := primary.Standby(t)
	primary.execute("INSERT INTO mark VALUES (2)")
	standby.CaughtUp(primary)
	standby.CutOff()
	primary.execute("INSERT INTO mark VALUES (3)")
	primary.Crash()
	standby.Promote()
	standby.execute("INSERT INTO mark VALUES (4)")
	var marks string
	standby.query("SELECT string_agg(n::text, ' ' ORDER BY n) FROM mark", &marks)
	require.Equal(t, "1 2 4", marks)
}
