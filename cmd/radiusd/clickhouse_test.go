package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// history opens the ClickHouse beside the server.
func history(t *testing.T, url string) *sql.DB {
	t.Helper()
	options, err := clickhouse.ParseDSN(url)
	require.NoError(t, err)
	options.DialTimeout, options.ReadTimeout = 2*time.Second, 10*time.Second
	db := clickhouse.OpenDB(options)
	t.Cleanup(func() { db.Close() })
	return db
}

// clickhouseSessionOf is sessionOf in ClickHouse's words.
const clickhouseSessionOf = "if(nas_identifier LIKE 'bench-%', concat(nas_identifier, ' ', acct_session_id), acct_session_id)"

// awaitHistory waits until ClickHouse has as many records as were acknowledged, or
// more.
func awaitHistory(t *testing.T, db *sql.DB, acks []acknowledged) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var n int
		err := db.QueryRowContext(ctx, "SELECT toInt64(uniqExact(record_id)) FROM accounting_records").Scan(&n)
		return err == nil && n >= len(acks)
	}, patience, 100*time.Millisecond, "%d records were acknowledged", len(acks))
}

// requireHistoryExactlyOnce fails the test unless ClickHouse has the acknowledged
// records, each once and nothing else, and its rollups the sessions' counters.
func requireHistoryExactlyOnce(t *testing.T, db *sql.DB, acks []acknowledged) {
	t.Helper()
	require.NotEmpty(t, acks)
	expected := make(map[acknowledged]int, len(acks))
	sessions := make(map[string]acknowledged)
	for _, a := range acks {
		expected[a]++
		if a.status != "on" && a.status != "off" {
			last := sessions[a.session]
			sessions[a.session] = acknowledged{session: a.session, username: a.username,
				seconds: max(last.seconds, a.seconds), input: max(last.input, a.input), output: max(last.output, a.output)}
		}
	}
	rows, err := db.Query("SELECT " + clickhouseSessionOf + ` AS session, status, username, toInt64(ifNull(session_seconds, 0)),
		toInt64(ifNull(input_octets, 0)), toInt64(ifNull(output_octets, 0)) FROM accounting_records FINAL`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var a acknowledged
		require.NoError(t, rows.Scan(&a.session, &a.status, &a.username, &a.seconds, &a.input, &a.output))
		expected[a]--
	}
	require.NoError(t, rows.Err())
	for a, missing := range expected {
		require.Zero(t, missing, "acknowledged more (or, negative, less) often than in ClickHouse: %+v", a)
	}
	for _, rollup := range []string{"usage_hourly", "usage_daily", "sessions"} {
		// The rollups do not all know Acct-Session-Id: users have the sums. Records can be
		// seen a moment before their rollups.
		want, got := sumsByUser(sessions), rollupSums(t, db, rollup)
		for began := time.Now(); !maps.Equal(want, got) && time.Since(began) < patience; {
			got = rollupSums(t, db, rollup)
		}
		require.Equal(t, want, got, rollup)
	}
}

func sumsByUser(sessions map[string]acknowledged) map[string][3]int64 {
	sums := make(map[string][3]int64)
	for _, a := range sessions {
		sum := sums[a.username]
		sums[a.username] = [3]int64{sum[0] + a.seconds, sum[1] + a.input, sum[2] + a.output}
	}
	return sums
}

func rollupSums(t *testing.T, db *sql.DB, rollup string) map[string][3]int64 {
	t.Helper()
	rows, err := db.Query(fmt.Sprintf(`SELECT user, toInt64(sum(seconds)), toInt64(sum(input)), toInt64(sum(output)) FROM (
		SELECT session_id, max(username) AS user, tupleElement(maxMerge(high), 1) AS seconds, maxMerge(input_max) AS input, maxMerge(output_max) AS output
		FROM %s GROUP BY session_id) GROUP BY user`, rollup))
	require.NoError(t, err)
	defer rows.Close()
	sums := make(map[string][3]int64)
	for rows.Next() {
		var name string
		var sum [3]int64
		require.NoError(t, rows.Scan(&name, &sum[0], &sum[1], &sum[2]))
		sums[name] = sum
	}
	require.NoError(t, rows.Err())
	return sums
}

// clickhouseSetting is the line of the configuration.
func clickhouseSetting(server *testserver.ClickHouseServer) string {
	return fmt.Sprintf("clickhouse: {url: %q}", server.URL())
}

// While ClickHouse is away or hangs, nothing else notices; when it is back, it gets
// what it has missed.
func TestClickHouseGoesAwayUnderLoadAndComesBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testserver.ClickHouseServer){
		"stopped": (*testserver.ClickHouseServer).Stop,
		"crashed": (*testserver.ClickHouseServer).Crash,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NewClickHouseServer(t)
			f := newFaultSite(t, "", clickhouseSetting(server))
			f.addUser("alice", "looking-glass")
			radiusd := f.start()
			load := f.accounting("--rate", "500", "--duration", "10s")
			db := history(t, server.URL())
			require.Eventually(t, func() bool { return count(t, db, "SELECT count() FROM accounting_records") > 100 },
				patience, 20*time.Millisecond)

			end(server)
			radiusd.logs("accounting is held up")
			require.True(t, f.login("alice", "looking-glass"), "authentication goes on")
			require.False(t, f.login("alice", "wrong"))
			acks := load.finish()
			store := f.database()
			awaitStored(t, store, acks)

			server.Start()
			radiusd.logs("accounting goes on")
			awaitHistory(t, db, acks)
			require.Eventually(t, func() bool {
				return count(t, db, "SELECT count() FROM (SELECT username FROM auth_records FINAL WHERE username = 'alice')") == 2
			}, patience, 50*time.Millisecond, "decisions reach it as well")
			require.Zero(t, radiusd.terminate(), radiusd.logged())
			requireHistoryExactlyOnce(t, db, acks)
			requireExactlyOnce(t, store, acks)
		})
	}
}

// count asks ClickHouse for a number; -1: it does not answer.
func count(t *testing.T, db *sql.DB, query string) (n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := db.QueryRowContext(ctx, strings.Replace(query, "count()", "toInt64(count())", 1)).Scan(&n); err != nil {
		return -1
	}
	return n
}

func TestServerStartsWhileClickHouseIsAway(t *testing.T) {
	t.Parallel()
	server := testserver.NewClickHouseServer(t)
	server.Stop()
	f := plainFaultSite(t, "", clickhouseSetting(server))
	f.secret("nas", "add", "127.0.0.1", "--require-message-authenticator", "no")
	_, errs, code := f.run("", "migrate", "up")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "ClickHouse at 127.0.0.1")
	require.Contains(t, errs, "the server cannot be reached")

	radiusd := f.start()
	require.Contains(t, radiusd.logged(), "starting without ClickHouse", "an operator is told")
	acks := f.accounting("--rate", "500", "--duration", "1s").finish()
	radiusd.kill()
	radiusd = f.start()
	server.Start()
	radiusd.logs("ClickHouse is open")
	db := history(t, server.URL())
	awaitHistory(t, db, acks)
	requireHistoryExactlyOnce(t, db, acks)
	require.Zero(t, radiusd.terminate(), radiusd.logged())
	require.Contains(t, f.do("migrate", "status"), "clickhouse")
	require.Contains(t, f.do("migrate", "up"), "up to date")
}

// What is wrong with ClickHouse's settings is an error on the first start of a node. One
// that has served before serves again: logins do not wait for a history.
func TestOnlyAFirstStartFailsForClickHouse(t *testing.T) {
	t.Parallel()
	server := testserver.NewClickHouseServer(t)
	wrong := fmt.Sprintf("clickhouse: {url: %q, cluster: nowhere}", server.URL())
	f := newFaultSite(t, "", "")
	f.addUser("alice", "looking-glass")
	f.settings(wrong)
	_, errs, code := f.run("", "serve")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "the server knows no such cluster")

	f.settings(clickhouseSetting(server))
	radiusd := f.start()
	require.Zero(t, radiusd.terminate(), radiusd.logged())
	f.settings(wrong)
	radiusd = f.start()
	require.Contains(t, radiusd.logged(), "starting without ClickHouse")
	require.True(t, f.login("alice", "looking-glass"))
	require.Zero(t, radiusd.terminate(), radiusd.logged())
}

// A ClickHouse that hangs holds up neither answers nor the other store nor the end.
func TestClickHouseHangs(t *testing.T) {
	t.Parallel()
	server := testserver.NewClickHouseServer(t)
	f := newFaultSite(t, "", clickhouseSetting(server))
	f.addUser("alice", "looking-glass")
	radiusd := f.start()
	db := history(t, server.URL())
	acks := f.accounting("--rate", "500", "--duration", "1s").finish()
	awaitHistory(t, db, acks)

	server.Freeze()
	require.True(t, f.login("alice", "looking-glass"))
	acks = append(acks, f.accounting("--rate", "500", "--duration", "1s", "--seed", "2").finish()...)
	awaitStored(t, f.database(), acks)
	require.Zero(t, radiusd.terminate(), radiusd.logged())
	radiusd = f.start() // nor does it hold up the start
	require.True(t, f.login("alice", "looking-glass"))

	server.Thaw()
	awaitHistory(t, db, acks)
	require.Zero(t, radiusd.terminate(), radiusd.logged())
	requireHistoryExactlyOnce(t, db, acks)
}
