package store_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

func openPostgres(t *testing.T) (*store.Store, *sql.DB, store.Options) {
	t.Helper()
	options := postgresDatabase(t)
	options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "node"
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, storetest.Raw(t, options), options
}

func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func exec(t *testing.T, tx *sql.Tx, statement string, args ...any) {
	t.Helper()
	_, err := tx.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

// TestLateCommit: a change whose transaction took its numbers first and commits
// last is not missed, delays no other, and comes once.
func TestLateCommit(t *testing.T) {
	s, db, _ := openPostgres(t)
	ctx := t.Context()
	const add = "INSERT INTO groups (id, name) VALUES ($1, $2)"
	first, second, third, idle := uuid.New(), uuid.New(), uuid.New(), begin(t, db)
	exec(t, idle, "SELECT pg_current_xact_id()") // an unrelated transaction that runs for hours

	cursor, err := s.ChangeCursor(ctx)
	require.NoError(t, err)
	poll := func() (ids []uuid.UUID) {
		changes, next, err := s.Changes(ctx, cursor)
		require.NoError(t, err)
		cursor = next
		for _, c := range changes {
			ids = append(ids, c.ID)
		}
		return ids
	}
	a, b := begin(t, db), begin(t, db)
	exec(t, a, add, first, "a")
	exec(t, b, add, second, "b")
	assert.Empty(t, poll())
	require.NoError(t, b.Commit())
	assert.Equal(t, []uuid.UUID{second}, poll(), "not held up by what still runs")
	assert.Empty(t, poll())
	c := begin(t, db)
	exec(t, c, add, third, "c")
	require.NoError(t, c.Commit())
	assert.Equal(t, []uuid.UUID{third}, poll())
	require.NoError(t, a.Commit())
	assert.Equal(t, []uuid.UUID{first}, poll(), "the late commit is seen")
	assert.Empty(t, poll())

	nested, rolledBack := uuid.New(), uuid.New()
	d := begin(t, db)
	exec(t, d, "SAVEPOINT one")
	exec(t, d, add, rolledBack, "rolled back")
	exec(t, d, "ROLLBACK TO one")
	exec(t, d, "SAVEPOINT two")
	exec(t, d, add, nested, "nested")
	assert.Empty(t, poll())
	require.NoError(t, d.Commit())
	assert.Equal(t, []uuid.UUID{nested}, poll(), "a change within a savepoint")
}

// TestPruneDuringTransaction: pruning never takes away what a transaction that
// still runs may add to.
func TestPruneDuringTransaction(t *testing.T) {
	s, db, _ := openPostgres(t)
	ctx := t.Context()
	cursor, err := s.ChangeCursor(ctx)
	require.NoError(t, err)
	late := begin(t, db)
	exec(t, late, "INSERT INTO groups (id, name) VALUES ($1, 'late')", uuid.New())
	require.NoError(t, s.CreateGroup(ctx, &aaa.Group{Name: "after"}))
	require.NoError(t, s.PruneChanges(ctx, time.Now().Add(time.Hour)))
	changes, cursor, err := s.Changes(ctx, cursor)
	require.NoError(t, err)
	require.Len(t, changes, 1, "what is later than the running transaction was kept")
	require.NoError(t, late.Commit())
	require.NoError(t, s.PruneChanges(ctx, time.Now().Add(time.Hour)))
	_, _, err = s.Changes(ctx, cursor)
	require.ErrorIs(t, err, aaa.ErrCursorExpired, "the late commit was deleted before it was seen, and that shows")
}

// TestPartitions: the default partition takes what has no partition yet, and
// gives it up when there is one.
func TestPartitions(t *testing.T) {
	options := postgresDatabase(t)
	now := time.Date(2030, 6, 15, 23, 0, 0, 0, time.UTC)
	options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "node"
	options.Now = func() time.Time { return now }
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer s.Close()
	db := storetest.Raw(t, options)
	sink, err := s.NewSink()
	require.NoError(t, err)
	rows := func(table string) (n int) {
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}
	var records []aaa.Record
	for n, days := range []int{-60, -1, 0, 5} {
		records = append(records, aaa.Record{Status: aaa.AcctStart, AcctSessionID: fmt.Sprint(n), NASAddr: nasAddr,
			EventTime: now.AddDate(0, 0, days), ReceivedAt: now})
		aaa.NewResolver().Resolve(&records[n])
	}
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, End: 1}))
	assert.Equal(t, 1, rows("accounting_records_20300614"))
	assert.Equal(t, 1, rows("accounting_records_20300615"))
	assert.Equal(t, 2, rows("accounting_records_default"))

	now = now.AddDate(0, 0, 4)
	require.NoError(t, s.Maintain(t.Context(), store.Retention{AccountingRecords: 4 * 24 * time.Hour}))
	assert.Equal(t, 1, rows("accounting_records_20300620"), "moved from the default one")
	assert.Equal(t, 1, rows("accounting_records_default"))
	assert.Equal(t, 1, rows("accounting_records_20300615"))
	_, err = db.ExecContext(t.Context(), "SELECT 1 FROM accounting_records_20300614")
	assert.Error(t, err, "dropped")
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, Start: 1, End: 2}))
	assert.Equal(t, 4, rows("accounting_records"), "what was dropped may come again, the others do not")

	// A query that reads for hours holds up neither the sink nor Maintain for long.
	reader := begin(t, db)
	exec(t, reader, "SELECT count(*) FROM accounting_records")
	now = now.AddDate(0, 0, 1)
	record := aaa.Record{Status: aaa.AcctStart, AcctSessionID: "later", NASAddr: nasAddr, EventTime: now.AddDate(0, 0, 2), ReceivedAt: now}
	aaa.NewResolver().Resolve(&record)
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: []aaa.Record{record}, Start: 2, End: 3}))
	assert.Equal(t, 3, rows("accounting_records_default"))
	require.NoError(t, reader.Rollback())
	require.NoError(t, s.Maintain(t.Context(), store.Retention{}))
	assert.Equal(t, 1, rows("accounting_records_20300622"))
}

func TestPostgresOpenErrors(t *testing.T) {
	options := store.Options{URL: testserver.Postgres(t), Sealer: seal.New(storetest.Key)}
	with := func(change func(*url.URL)) store.Options {
		u, err := url.Parse(options.URL)
		require.NoError(t, err)
		change(u)
		changed := options
		changed.URL = u.String()
		return changed
	}
	for name, tt := range map[string]struct {
		options store.Options
		message string
	}{
		"no such database": {with(func(u *url.URL) { u.Path = "/nowhere" }), "there is no such database"},
		"nobody listens":   {with(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "the server cannot be reached"},
		"scheme":           {store.Options{URL: "mysql://root:hunter2@127.0.0.1/x", Sealer: options.Sealer}, `unknown scheme "mysql"`},
		"not a URL":        {store.Options{URL: "postgres://u:hunter2@127.0.0.1:x/", Sealer: options.Sealer}, "store.url"},
		"not migrated":     {options, "run radiusd migrate up"},
		"no key":           {store.Options{URL: options.URL}, "no master key"},
	} {
		_, err := store.Open(t.Context(), tt.options)
		require.ErrorContains(t, err, tt.message, name)
		assert.NotContains(t, err.Error(), "hunter2", name)
	}
	_, err := store.Open(t.Context(), options)
	assert.ErrorIs(t, err, store.ErrSchemaOld)
}

// TestServerGoesAway: the store works again by itself once the server does.
func TestServerGoesAway(t *testing.T) {
	s, _, options := openPostgres(t)
	ctx := t.Context()
	require.NoError(t, s.CreateGroup(ctx, &aaa.Group{Name: "before"}))
	name := testserver.DatabaseName(t, options.URL)
	// As a fail-over does: every connection is cut, and for a while none is let in.
	admin, err := url.Parse(options.URL)
	require.NoError(t, err)
	admin.Path = "/postgres"
	other := storetest.Raw(t, store.Options{URL: admin.String()})
	_, err = other.ExecContext(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	require.NoError(t, err)
	_, err = other.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
	require.NoError(t, err)
	require.Error(t, s.CreateGroup(ctx, &aaa.Group{Name: "during"}))
	_, err = s.Plans(ctx)
	require.Error(t, err)

	_, err = other.ExecContext(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.CreateGroup(ctx, &aaa.Group{Name: "after"}) == nil }, 20*time.Second, 50*time.Millisecond)
	groups, err := s.Groups(ctx)
	require.NoError(t, err)
	assert.Len(t, groups, 2)
}
