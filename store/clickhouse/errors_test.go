package clickhouse

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/internal/testserver"
)

const password = "s3cret-pass/word"

// An error of Open says what failed and where, and never the password.
func TestOpenErrors(t *testing.T) {
	server, err := url.Parse(testserver.ClickHouse(t))
	require.NoError(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	defer silent.Close()
	database := func(user, host, name string) string {
		return "clickhouse://" + user + ":" + url.PathEscape(password) + "@" + host + "/" + name
	}
	for name, test := range map[string]struct {
		url       string
		is        error
		permanent bool
		says      string
	}{
		"not a URL":          {"clickhouse://u:" + password + "%zz@h/db", ErrURL, true, "clickhouse://user:password@host:9000/database"},
		"bad port":           {database("default", "127.0.0.1:x", "db"), ErrURL, true, ""},
		"nobody there":       {database("default", "127.0.0.1:1", "db"), ErrUnreachable, false, "127.0.0.1:1"},
		"several, no answer": {database("default", "127.0.0.1:1,127.0.0.1:2", "db"), ErrUnreachable, false, "127.0.0.1:1, 127.0.0.1:2"},
		"silence":            {database("default", silent.Addr().String(), "db"), ErrUnreachable, false, silent.Addr().String()},
		"not its protocol":   {database("default", silent.Addr().String(), "db"), ErrUnreachable, false, "native protocol, 9000"},
		"no port":            {database("default", "127.0.0.1", "db"), ErrUnreachable, false, "127.0.0.1:9000"},
		"wrong password":     {database("default", server.Host, "default"), ErrRefused, true, "password"},
		"unknown user":       {database("nobody", server.Host, "default"), ErrRefused, true, "user"},
		"no such database":   {"clickhouse://" + server.Host + "/nowhere", errNoDatabase, true, "nowhere"},
		"no schema":          {server.String(), ErrSchemaOld, true, "radiusd migrate up"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := Open(t.Context(), Options{URL: test.url})
			require.ErrorIs(t, err, test.is)
			require.Equal(t, test.permanent, Permanent(err))
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), password)
			require.NotContains(t, err.Error(), url.PathEscape(password))
			require.Less(t, time.Since(began), time.Minute)
		})
	}
}

func TestMigrateMakesTheDatabase(t *testing.T) {
	u, err := url.Parse(testserver.ClickHouse(t))
	require.NoError(t, err)
	u.Path += "_new"
	options := Options{URL: u.String(), NodeID: "node"}
	steps, err := MigrationStatus(t.Context(), options)
	require.NoError(t, err)
	require.Len(t, steps, 1)
	require.Zero(t, steps[0].AppliedAt, "pending, where there is no database")
	var applied []string
	for range 2 {
		require.NoError(t, Migrate(t.Context(), options, func(m Migration) { applied = append(applied, m.Name) }))
	}
	require.Equal(t, []string{"history"}, applied)
	s, err := Open(t.Context(), options)
	require.NoError(t, err)
	defer s.Close()
	defer func() {
		require.NoError(t, s.exec(context.Background(), "DROP DATABASE "+quote(strings.TrimPrefix(u.Path, "/"))))
	}()
	steps, err = MigrationStatus(t.Context(), options)
	require.NoError(t, err)
	require.NotZero(t, steps[0].AppliedAt)

	require.NoError(t, s.noteMigration(t.Context(), Migration{Version: 2, Name: "later", AppliedAt: time.Now()}))
	_, err = Open(t.Context(), Options{URL: u.String(), AutoMigrate: true})
	require.ErrorIs(t, err, ErrSchemaNew)
}

// The tables of a single server are not taken for those of a cluster.
func TestClusterByMistake(t *testing.T) {
	options := Options{URL: testserver.ClickHouse(t), NodeID: "node", Cluster: "nowhere"}
	err := Migrate(t.Context(), options, nil)
	require.ErrorIs(t, err, errNoCluster)
	require.True(t, Permanent(err))
	options.Cluster = ""
	require.NoError(t, Migrate(t.Context(), options, nil))
	options.Cluster, options.AutoMigrate = "nowhere", true
	_, err = Open(t.Context(), options)
	require.ErrorIs(t, err, errOneServer)
	require.True(t, Permanent(err))
	_, err = MigrationStatus(t.Context(), options)
	require.ErrorIs(t, err, errOneServer)
}

// While nothing changes, the error says the same, so that it is logged once.
func TestErrorsStayTheSame(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	options := Options{URL: "clickhouse://" + silent.Addr().String() + "/db?read_timeout=500ms"}
	_, first := Open(t.Context(), options)
	require.ErrorIs(t, first, ErrUnreachable)
	_, second := Open(t.Context(), options)
	require.EqualError(t, second, first.Error())
}

// A server that hangs holds up nobody for longer than they say.
func TestFrozenServer(t *testing.T) {
	server := testserver.NewClickHouseServer(t)
	s, err := Open(t.Context(), Options{URL: server.URL(), NodeID: "node", AutoMigrate: true})
	require.NoError(t, err)
	defer s.Close()
	sink := newTestSink(t, s)
	require.NoError(t, sink.Write(t.Context(), batchOf([]aaa.Record{fullRecord()})))
	server.Freeze()
	for name, call := range map[string]func(context.Context) error{
		"write":        func(ctx context.Context) error { return sink.Write(ctx, batchOf([]aaa.Record{fullRecord()})) },
		"cursor":       func(ctx context.Context) error { _, err := sink.Cursor(ctx); return err },
		"auth records": func(ctx context.Context) error { return s.AppendAuthRecords(ctx, aaa.NewAuthBatch(aaa.AuthRecord{})) },
		"maintain":     func(ctx context.Context) error { s.options.RetentionDays = 1; return s.Maintain(ctx) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		began := time.Now()
		require.Error(t, call(ctx), name)
		require.Less(t, time.Since(began), time.Minute, name)
	}
	server.Thaw()
	take(t, sink, []aaa.Record{fullRecord()})
	server.Crash()
	require.ErrorIs(t, sink.Write(t.Context(), batchOf(nil)), ErrUnreachable)
}
