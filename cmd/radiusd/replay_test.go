package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// ClickHouse has no transactions: a batch is inserted, then its cursor. Whoever dies
// between the two, or after a part of the batch, inserts it again, and since more has
// come meanwhile, with other boundaries. The network is slow here, so that a kill
// meets that moment.
func TestClickHouseTakesBatchesAgainWithOtherBoundaries(t *testing.T) {
	t.Parallel()
	server := testserver.NewClickHouseServer(t)
	direct, err := url.Parse(server.URL())
	require.NoError(t, err)
	link := newLink(t, direct.Host)
	through := *direct
	through.Host = link.address
	f := newFaultSite(t, "", fmt.Sprintf("clickhouse: {url: %q}", through.String()))
	radiusd := f.start()
	link.latency.Store(int64(100 * time.Millisecond))
	load := f.accounting("--rate", "2000", "--duration", "1h", "--open", "500", "--nas", "3")
	db := history(t, server.URL())

	between := 0
	for round := 0; between < 4; round++ {
		require.Less(t, round, 40, "a kill between a batch and its cursor")
		if round == 2 { // and a ClickHouse that is away for a while
			server.Stop()
			radiusd.logs("accounting is held up")
			server.Start()
			radiusd.logs("accounting goes on")
		}
		before, position := historyState(t, db)
		var now int64
		for began := time.Now(); now <= before; now, _ = historyState(t, db) {
			require.Less(t, time.Since(began), patience, "records reach ClickHouse")
		}
		link.freeze()
		radiusd.kill()
		link.thaw()
		if _, after := historyState(t, db); after == position {
			between++
		}
		radiusd = f.start()
	}
	load.stop()
	link.latency.Store(0)
	t.Logf("%s", f.verifyLog(load.logs))
	require.Zero(t, radiusd.terminate(), radiusd.logged())
}

// historyState returns how many rows ClickHouse has, copies included, and the cursor.
func historyState(t *testing.T, db *sql.DB) (rows, position int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return db.QueryRowContext(ctx, "SELECT toInt64(count()) FROM accounting_records").Scan(&rows) == nil &&
			db.QueryRowContext(ctx, "SELECT toInt64(argMax(position, version)) FROM ingest_cursors").Scan(&position) == nil
	}, patience, time.Millisecond)
	return rows, position
}
