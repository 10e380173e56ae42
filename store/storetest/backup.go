package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/operator"
	"radiusd/store"
	"radiusd/store/archive"
	"radiusd/store/seal"
)

// Identity opens the suite's backups.
var Identity = func() *age.X25519Identity {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err)
	}
	return identity
}()

// Backup makes a backup of a store.
func Backup(t testing.TB, s *store.Store) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := s.Backup(t.Context(), &out, store.BackupOptions{Recipients: []age.Recipient{Identity.Recipient()}, Program: "test"})
	require.NoError(t, err)
	return out.Bytes()
}

// Restore restores a backup.
func Restore(ctx context.Context, options store.Options, backup io.Reader, how store.RestoreOptions) (*archive.Manifest, error) {
	return RestoreWith(ctx, options, backup, Identity.String(), how)
}

// RestoreWith restores a backup that the identity opens.
func RestoreWith(ctx context.Context, options store.Options, backup io.Reader, identity string, how store.RestoreOptions) (*archive.Manifest, error) {
	key, err := age.ParseX25519Identity(identity)
	if err != nil {
		return nil, err
	}
	in, err := archive.NewReader(backup, key)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return store.Restore(ctx, options, in, how)
}

// Fill gives a store, whose Options have a NodeID, something of everything.
func Fill(t testing.TB, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	plan := &aaa.Plan{Name: "home \"quoted\" \\ 😀", PolicyUp: "tab\tline\nreturn\r\\N", RateUp: 1 << 40}
	require.NoError(t, s.CreatePlan(ctx, plan))
	group := &aaa.Group{Name: "gröup"}
	require.NoError(t, s.CreateGroup(ctx, group))
	for i := range 50 {
		user := newUser(fmt.Sprintf("user-%02d", i))
		user.PlanID = plan.ID
		user.Groups = []aaa.Membership{{GroupID: group.ID, Priority: i}}
		user.Items = []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: ":=", Value: `a\b"c`}}
		if i%2 == 0 {
			user.ExpiresAt = noon.Add(time.Duration(i) * time.Microsecond)
		}
		require.NoError(t, s.CreateUser(ctx, user))
	}
	require.NoError(t, s.DeleteUser(ctx, "user-49")) // the last number of its items is given out
	require.NoError(t, s.UpdateUserProfile(ctx, "user-01", func(p *aaa.Profile) error {
		p.FullName, p.Note = "Ada \x01 Lovelace \U0001F600", strings.Repeat("long ", 1000)
		return nil
	}))
	for _, prefix := range []string{"192.0.2.1/32", "2001:db8::/32", "10.0.0.0/8"} {
		require.NoError(t, s.CreateNAS(ctx, newNAS(prefix)))
	}
	sink := sinkOf(t, s)
	var records []aaa.Record
	for i := range 30 {
		records = append(records, life(fmt.Sprintf("%02d", i), 3)...)
	}
	records = append(records, boot(time.Hour))
	for i, days := range []int{-400, -40, -1, 1} {
		r := record(fmt.Sprint("far", i), aaa.AcctStop, 0, 1<<40)
		r.EventTime = r.EventTime.AddDate(0, 0, days)
		r.Class = []byte{0, 1, 0xff}
		aaa.NewResolver().Resolve(&r)
		records = append(records, r)
	}
	require.NoError(t, write(ctx, sink, 4711, records...))
	var decisions []aaa.AuthRecord
	for i := range 20 {
		decisions = append(decisions, aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: noon.AddDate(0, 0, -i), Username: "user-01", Reason: aaa.ReasonWrongPassword, NASAddr: nasAddr})
	}
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(decisions...)))
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
}

// ofDatabase are the tables that are not in a backup.
var ofDatabase = []string{
	"changes", "goose_db_version",
	"job_runs", "river_client", "river_client_queue", "river_job", "river_leader", "river_migration", "river_queue",
}

// Rows returns all rows of a database but those that a restored one has of its own, as
// its engine writes them.
func Rows(t testing.TB, options store.Options) map[string][]string {
	t.Helper()
	db := Raw(t, options)
	tables := Tables(t, options)
	rows := map[string][]string{}
	for _, table := range tables {
		if slices.Contains(ofDatabase, table) {
			continue
		}
		query := "SELECT t::text FROM " + table + " t"
		if options.URL == "" {
			query = "SELECT * FROM " + table
		}
		rows[table] = []string{}
		found, err := db.QueryContext(t.Context(), query)
		require.NoError(t, err)
		columns, err := found.Columns()
		require.NoError(t, err)
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		for found.Next() {
			require.NoError(t, found.Scan(dest...))
			row := fmt.Sprintf("%#v", values)
			if !strings.Contains(row, "feed_id") && !strings.Contains(row, "changes_floor") {
				rows[table] = append(rows[table], row)
			}
		}
		require.NoError(t, found.Err())
		slices.Sort(rows[table])
	}
	return rows
}

// Tables lists the tables of a database, as its catalog has them, without the database's
// own.
func Tables(t testing.TB, options store.Options) (tables []string) {
	t.Helper()
	query := `SELECT table_name FROM information_schema.tables t WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
		AND NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(quote_ident(table_name)))`
	if options.URL == "" {
		query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	}
	rows, err := Raw(t, options).QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var table string
		require.NoError(t, rows.Scan(&table))
		tables = append(tables, table)
	}
	require.NoError(t, rows.Err())
	slices.Sort(tables)
	return tables
}

// newOptions makes a new database that is not open.
func newOptions(t testing.TB, database Database) store.Options {
	options := database(t)
	options.Sealer, options.NodeID = seal.New(Key), "a"
	return options
}

func testBackup(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	Fill(t, s)
	before, err := s.ChangeCursor(ctx)
	require.NoError(t, err)
	backup := Backup(t, s)
	assert.NotContains(t, string(backup), "user-01")

	in, err := archive.NewReader(bytes.NewReader(backup), Identity)
	require.NoError(t, err)
	defer in.Close()
	manifest, err := archive.Verify(in, nil)
	require.NoError(t, err)
	var backedUp []string
	for _, part := range manifest.Parts {
		backedUp = append(backedUp, part.Table)
	}
	assert.ElementsMatch(t, Tables(t, options), append(backedUp, ofDatabase...),
		"every table is in a backup, or is named here and in notBackedUp with the reason")
	for _, table := range backedUp {
		wanted := len(Rows(t, options)[table])
		assert.EqualValues(t, wanted, manifest.Parts[slices.Index(backedUp, table)].Rows, table)
	}

	for name, prepare := range map[string]func(store.Options){
		"into a new database": func(store.Options) {},
		"into an empty store": func(o store.Options) { require.NoError(t, store.Migrate(ctx, o, nil)) },
	} {
		fresh := newOptions(t, database)
		prepare(fresh)
		restored, err := Restore(ctx, fresh, bytes.NewReader(backup), store.RestoreOptions{})
		require.NoError(t, err, name)
		assert.Equal(t, manifest, restored, name)
		assert.Equal(t, Rows(t, options), Rows(t, fresh), name)

		other := reopen(t, fresh)
		list, err := other.NASes(ctx)
		require.NoError(t, err)
		require.Len(t, list, 3)
		assert.Equal(t, canary, string(list[0].Secret), "secrets open under the master key")
		_, _, err = other.Changes(ctx, before)
		assert.ErrorIs(t, err, aaa.ErrCursorExpired, name)
		changes, _, err := other.Changes(ctx, "")
		require.NoError(t, err)
		assert.Empty(t, changes, "nothing was recorded while loading")
		report, err := other.VerifyAudit(ctx, operator.AuditMark{}, nil)
		require.NoError(t, err, "the audit log is a valid chain")
		assert.Greater(t, report.Entries, uint64(50))
		position, err := sinkOf(t, other).Cursor(ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 4711, position)

		// Numbers go on, triggers work, and what was taken before is not counted again.
		after, err := other.ChangeCursor(ctx)
		require.NoError(t, err)
		user := newUser("new")
		user.Items = []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: ":=", Value: "x"}}
		require.NoError(t, other.CreateUser(ctx, user))
		var last int64
		require.NoError(t, Raw(t, fresh).QueryRowContext(ctx, "SELECT max(id) FROM attributes").Scan(&last))
		assert.EqualValues(t, 51, last, "the 50th was deleted")
		changes, _, err = other.Changes(ctx, after)
		require.NoError(t, err)
		assert.NotEmpty(t, changes)
		counted := Rows(t, fresh)["usage_daily"]
		require.NoError(t, write(ctx, sinkOf(t, other), 5000, life("00", 3)...))
		assert.Equal(t, counted, Rows(t, fresh)["usage_daily"])
	}
}

func testRestoreRefuses(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	Fill(t, s)
	backup := Backup(t, s)

	_, err := Restore(ctx, options, bytes.NewReader(backup), store.RestoreOptions{})
	require.ErrorIs(t, err, store.ErrNotEmpty)
	wrong := options
	wrong.Sealer = seal.New(seal.NewKey())
	_, err = Restore(ctx, wrong, bytes.NewReader(backup), store.RestoreOptions{Replace: true})
	require.ErrorIs(t, err, seal.ErrWrongKey)

	// A running node, whose cursor is of before, and whose journal goes on.
	cursor, err := s.ChangeCursor(ctx)
	require.NoError(t, err)
	require.NoError(t, s.CreateUser(ctx, newUser("after the backup")))
	sink := sinkOf(t, s)
	require.NoError(t, write(ctx, sink, 6000, life("later", 1)...))
	rows := Rows(t, options)
	for name, change := range map[string]func(b []byte) []byte{
		"first octet":  func(b []byte) []byte { b[0] ^= 1; return b },
		"header":       func(b []byte) []byte { b[100] ^= 1; return b },
		"middle":       func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"last octet":   func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b },
		"cut short":    func(b []byte) []byte { return b[:len(b)-1] },
		"cut in half":  func(b []byte) []byte { return b[:len(b)/2] },
		"header only":  func(b []byte) []byte { return b[:150] },
		"empty":        func(b []byte) []byte { return nil },
		"more follows": func(b []byte) []byte { return append(b, 'x') },
	} {
		_, err := Restore(ctx, options, bytes.NewReader(change(slices.Clone(backup))), store.RestoreOptions{Replace: true})
		require.Error(t, err, name)
		assert.True(t, errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrNotArchive) || errors.Is(err, archive.ErrWrongIdentity), "%s: %v", name, err)
		assert.Equal(t, rows, Rows(t, options), name)
	}

	_, err = Restore(ctx, options, bytes.NewReader(backup), store.RestoreOptions{Replace: true})
	require.NoError(t, err)
	_, err = s.UserByName(ctx, "after the backup")
	require.ErrorIs(t, err, store.ErrNotFound)
	_, _, err = s.Changes(ctx, cursor)
	require.ErrorIs(t, err, aaa.ErrCursorExpired, "also under a node that has the store open")
	err = sink.Write(ctx, &ingest.Batch{Records: life("06", 1), Start: 6000, End: 7000})
	require.ErrorIs(t, err, ingest.ErrCursorMoved, "the node learns that its journal is to be read again")
	require.NoError(t, write(ctx, sink, 6000, life("later", 1)...))
}

// testBackupUnderLoad: a backup has one state, whatever is written meanwhile, and the
// journal goes on from exactly there.
func testBackupUnderLoad(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	Fill(t, s)
	batch := func(n int) []aaa.Record { return life(fmt.Sprintf("load-%d-%03d", n%7, n), 2) }
	const before, most = 50, 400 // batches when the backup begins, and until it is done
	batches := 0
	start, made := make(chan struct{}), make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		sink, err := s.NewSink()
		for last := false; err == nil && !last; batches++ {
			if batches == before {
				close(start)
			}
			if batches == most {
				<-made
			}
			select {
			case <-made:
				last = true
			default:
			}
			err = write(ctx, sink, journal.Position(10_000+batches), batch(batches)...)
		}
		failed <- err
	}()
	select {
	case <-start:
	case err := <-failed:
		require.NoError(t, err)
	}
	backup := Backup(t, s)
	close(made)
	require.NoError(t, <-failed)
	t.Log("batches when the backup was done:", batches)

	fresh := newOptions(t, database)
	_, err := Restore(ctx, fresh, bytes.NewReader(backup), store.RestoreOptions{})
	require.NoError(t, err)
	restored := reopen(t, fresh)
	db := rawDB{Raw(t, fresh)}
	sink := sinkOf(t, restored)
	cursor, err := sink.Cursor(ctx)
	require.NoError(t, err)
	taken := int(cursor-10_000) + 1
	require.GreaterOrEqual(t, taken, before)
	require.Less(t, taken, batches, "the backup was made while records came")
	check := func(n int) {
		t.Helper()
		var records, sessions, differing int
		require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM accounting_records WHERE acct_session_id LIKE 'load-%'").Scan(&records))
		require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM sessions WHERE acct_session_id LIKE 'load-%'").Scan(&sessions))
		assert.Equal(t, 4*n, records)
		assert.Equal(t, n, sessions)
		require.NoError(t, db.QueryRowContext(ctx, `SELECT count(*) FROM sessions s WHERE input_octets <>
			(SELECT max(coalesce(input_octets, 0)) FROM accounting_records r WHERE r.session_id = s.id)`).Scan(&differing))
		assert.Zero(t, differing, "a session is what its records say")
		require.NoError(t, db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT username, sum(input_octets) AS used FROM sessions GROUP BY username) s
			JOIN (SELECT username, sum(input_octets) AS used FROM usage_daily GROUP BY username) d ON d.username = s.username WHERE s.used <> d.used`).Scan(&differing))
		assert.Zero(t, differing, "and so is the usage")
	}
	check(taken)
	for n := taken; n < batches; n++ {
		require.NoError(t, write(ctx, sink, journal.Position(10_000+n), batch(n)...))
	}
	check(batches)
}

// testBackupBilling: a restored ledger is that of the backup, and still guarded.
func testBackupBilling(t *testing.T, database Database) {
	b := newBilled(t, database, 4)
	fillBilling(t, b)
	want := dumpBilling(t, b.options)
	for _, table := range []string{"payments", "payment_allocations", "invoice_lines", "ledger_postings"} {
		require.NotEmpty(t, want[table])
	}
	options := database(t)
	options.Sealer = sealer()
	_, err := Restore(t.Context(), options, bytes.NewReader(Backup(t, b.Store)), store.RestoreOptions{})
	require.NoError(t, err)
	assert.Equal(t, want, dumpBilling(t, options))
	restored := reopen(t, options)
	requireSound(t, restored)
	_, err = Raw(t, options).ExecContext(t.Context(), "DELETE FROM ledger_postings")
	assert.ErrorContains(t, err, "append-only")
}
