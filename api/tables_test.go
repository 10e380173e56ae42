package api_test

import (
	"database/sql"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers that tables opens
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"radiusd/store"
)

// bookkeeping are the columns that a request may change that changes nothing else: the
// last use of an API token, to the minute.
var bookkeeping = map[string][]string{"api_tokens": {"last_used_at", "last_used_from"}}

// tables sees the database behind the store's back.
type tables struct {
	db    *sql.DB
	names []string
}

func openTables(t *testing.T, options store.Options) *tables {
	t.Helper()
	driver, source := "pgx", options.URL
	list := `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`
	if options.URL == "" {
		driver, source = "sqlite", (&url.URL{Scheme: "file", Path: options.Path, RawQuery: "mode=ro&_pragma=busy_timeout(15000)"}).String()
		list = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	}
	db, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	rows, err := db.QueryContext(t.Context(), list)
	require.NoError(t, err)
	defer rows.Close()
	x := &tables{db: db}
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		x.names = append(x.names, name)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(x.names), 30)
	slices.Sort(x.names)
	return x
}

// each calls fn with the values of each row of a table.
func (x *tables) each(t *testing.T, table string, fn func(columns []string, values []any)) {
	t.Helper()
	rows, err := x.db.QueryContext(t.Context(), `SELECT * FROM "`+table+`"`)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	values, pointers := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		require.NoError(t, rows.Scan(pointers...))
		fn(columns, values)
	}
	require.NoError(t, rows.Err())
}

// state is a hash of the rows of each table, in whatever order they are.
func (x *tables) state(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, table := range x.names {
		rows, sum := 0, uint64(0)
		x.each(t, table, func(columns []string, values []any) {
			hash := fnv.New64a()
			for i, value := range values {
				if !slices.Contains(bookkeeping[table], columns[i]) {
					fmt.Fprintf(hash, "%s=%v\x00", columns[i], value)
				}
			}
			sum += hash.Sum64()
			rows++
		})
		state[table] = fmt.Sprintf("%d rows, %016x", rows, sum)
	}
	return state
}

// find returns where in the database a text stands.
func (x *tables) find(t *testing.T, text string) (places []string) {
	t.Helper()
	for _, table := range x.names {
		x.each(t, table, func(columns []string, values []any) {
			for i, value := range values {
				if b, ok := value.([]byte); ok {
					value = string(b)
				}
				if place := table + "." + columns[i]; strings.Contains(fmt.Sprint(value), text) && !slices.Contains(places, place) {
					places = append(places, place)
				}
			}
		})
	}
	return places
}
