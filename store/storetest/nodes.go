package storetest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/store"
)

// testSinkNodes has two nodes take in the same records at the same time, as they
// do when a NAS repeats to the second what the first was slow to answer.
func testSinkNodes(t *testing.T, database Database) {
	first, options := openNode(t, database, "a")
	options.NodeID = "b"
	second := reopen(t, options)
	db := rawDB{Raw(t, options)}
	var records []aaa.Record
	for i := range 40 {
		records = append(records, life(fmt.Sprintf("%02d", i), 4)...)
	}
	errs := make(chan error, 2)
	for n, s := range []*store.Store{first, second} {
		sink := sinkOf(t, s)
		random := rand.New(rand.NewPCG(uint64(n), 0))
		mine := slices.Clone(records)
		random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		go func() {
			for i, batch := range slices.Collect(slices.Chunk(mine, 23)) {
				if err := write(t.Context(), sink, journal.Position(i+1), batch...); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	got := dump(t, first, db)

	alone, aloneOptions := openNode(t, database, "c")
	require.NoError(t, write(t.Context(), sinkOf(t, alone), 1, records...))
	require.Equal(t, dump(t, alone, rawDB{Raw(t, aloneOptions)}), got)

	for n, s := range []*store.Store{first, second} {
		position, err := sinkOf(t, s).Cursor(t.Context())
		require.NoError(t, err)
		assert.Equal(t, journal.Position((len(records)+22)/23), position, "cursor of node %d", n)
	}
}

// testNodesBoots: a boot reaches one node, and the NAS's sessions both.
func testNodesBoots(t *testing.T, database Database) {
	const m = time.Minute
	begin := func(id string, after time.Duration) aaa.Record {
		return shifted(record(id, aaa.AcctStart, 0, 0), after)
	}
	interim := func(id string, after, length time.Duration) aaa.Record {
		return shifted(record(id, aaa.AcctInterim, length, 7), after)
	}
	stop := func(id string, after, length time.Duration) aaa.Record {
		return shifted(record(id, aaa.AcctStop, length, 9), after)
	}
	for name, tt := range map[string]struct {
		steps []func(a, b func(...aaa.Record))
		want  []string
	}{
		"a session is written before the boot that it began after": {[]func(a, b func(...aaa.Record)){
			func(a, b func(...aaa.Record)) { b(begin("1", 10*m)) },
			func(a, b func(...aaa.Record)) { a(boot(5*m), interim("1", 10*m, m)) },
			func(a, b func(...aaa.Record)) { b(interim("1", 10*m, 2*m)) },
			func(a, b func(...aaa.Record)) { a(stop("1", 10*m, 3*m)) },
		}, []string{"1 from 10m0s to 13m0s, 180 s"}},
		"a session is written after the boot, by one who does not know it": {[]func(a, b func(...aaa.Record)){
			func(a, b func(...aaa.Record)) { a(boot(5 * m)) },
			func(a, b func(...aaa.Record)) { b(begin("1", 10*m), interim("1", 10*m, m)) },
			func(a, b func(...aaa.Record)) { a(stop("1", 10*m, 3*m)) },
			func(a, b func(...aaa.Record)) { b(stop("1", 10*m, 3*m)) },
		}, []string{"1 from 10m0s to 13m0s, 180 s"}},
		"an Acct-Session-Id comes again after the boot": {[]func(a, b func(...aaa.Record)){
			func(a, b func(...aaa.Record)) { b(begin("1", -10*m), interim("1", -10*m, m)) },
			func(a, b func(...aaa.Record)) { a(boot(5 * m)) },
			func(a, b func(...aaa.Record)) { b(begin("1", 10*m), interim("1", 10*m, 2*m)) },
			func(a, b func(...aaa.Record)) { a(interim("1", 10*m, 3*m)) },
		}, []string{"1 from -10m0s to 5m0s, 60 s", "1 from 10m0s, 180 s"}},
		"two boots, of which each knows one": {[]func(a, b func(...aaa.Record)){
			func(a, b func(...aaa.Record)) { a(begin("1", 10*m)) },
			func(a, b func(...aaa.Record)) { b(boot(8*m), interim("1", 10*m, m)) },
			func(a, b func(...aaa.Record)) { a(boot(5*m), begin("2", 6*m)) },
			func(a, b func(...aaa.Record)) { a(interim("1", 10*m, 2*m)) },
			func(a, b func(...aaa.Record)) { b(interim("2", 6*m, m), interim("1", 10*m, 4*m)) },
		}, []string{"1 from 10m0s, 240 s", "2 from 6m0s to 8m0s, 60 s"}},
	} {
		for _, ahead := range []time.Duration{0, 48 * time.Hour} {
			t.Run(fmt.Sprintf("%s, the NAS's clock %v ahead", name, ahead), func(t *testing.T) {
				nodesBoots(t, database, tt.steps, tt.want, ahead)
			})
		}
	}
}

// nodesBoots has two nodes take steps, and looks at the sessions that there are then. The
// clock of the NAS is ahead: it dates what it sends later than it is received.
func nodesBoots(t *testing.T, database Database, steps []func(a, b func(...aaa.Record)), want []string, ahead time.Duration) {
	began := noon.Add(ahead)
	first, options := openNode(t, database, "a")
	options.NodeID = "b"
	second := reopen(t, options)
	nodes := [2]func(...aaa.Record){}
	sent := map[aaa.AcctStatus]int{}
	for n, s := range []*store.Store{first, second} {
		sink, resolver := sinkOf(t, s), aaa.NewLiveSessions(aaa.LiveOptions{})
		end := journal.Position(0)
		nodes[n] = func(records ...aaa.Record) {
			for i := range records {
				records[i].EventTime = records[i].EventTime.Add(ahead)
				resolver.Apply(&records[i])
				sent[records[i].Status]++
			}
			require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, Start: end, End: end + 1}))
			end++
		}
	}
	for _, step := range steps {
		step(nodes[0], nodes[1])
	}
	list, err := first.ListSessions(t.Context(), store.SessionFilter{})
	require.NoError(t, err)
	var got []string
	for _, x := range list {
		to := ""
		if !x.Open() {
			to = fmt.Sprint(" to ", x.StoppedAt.Sub(began))
		}
		got = append(got, fmt.Sprintf("%s from %v%s, %d s", x.AcctSessionID, x.StartedAt.Sub(began), to, x.SessionSeconds))
		records, err := first.SessionRecords(t.Context(), x.ID, 0)
		require.NoError(t, err)
		for _, r := range records {
			require.Equal(t, x.ID, r.SessionID)
		}
	}
	slices.Sort(got)
	require.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"))

	boots, err := second.NextBoots(t.Context())
	require.NoError(t, err)
	require.Len(t, boots, sent[aaa.AcctOn])
	require.WithinDuration(t, time.Now(), boots[0].SeenAt, time.Minute)
}

// shifted is a record of a session that began that much after noon.
func shifted(r aaa.Record, by time.Duration) aaa.Record {
	r.EventTime, r.ReceivedAt = r.EventTime.Add(by), r.ReceivedAt.Add(by)
	return r
}

// testManyWriters has nodes write the records of many NASes at once: each its own,
// and some that the others have too, of users that are on all of them.
func testManyWriters(t *testing.T, database Database) {
	const nodes, nases, users, shared = 4, 12, 10, 2
	options := database(t)
	s, options := openNode(t, func(testing.TB) store.Options { return options }, "node 0")
	db := rawDB{Raw(t, options)}
	var all []aaa.Record
	records := make([][]aaa.Record, nodes)
	for n := range nodes * nases {
		for user := range users {
			id := fmt.Sprintf("%d-%d", n, user)
			list := life(id, 3)
			for i := range list {
				r := &list[i]
				r.NASAddr, r.Username = netip.AddrFrom4([4]byte{10, 9, byte(n >> 8), byte(n)}), fmt.Sprint("user ", user)
				r.CallingStationID = fmt.Sprintf("%02d", user)
				r.NASPortID = id
				if user%2 == 0 {
					r.Class = aaa.AppendClass(nil, aaa.Nonce{byte(n), byte(user), 1})
				}
				aaa.NewResolver().Resolve(r)
			}
			all = append(all, list...)
			records[n%nodes] = append(records[n%nodes], list...)
			if n < shared {
				records[(n+1)%nodes] = append(records[(n+1)%nodes], list...) // repeated to another
			}
		}
	}
	errs := make(chan error, nodes)
	for n := range nodes {
		node := s
		if n > 0 {
			options.NodeID = fmt.Sprint("node ", n)
			node = reopen(t, options)
		}
		sink, mine := sinkOf(t, node), records[n]
		random := rand.New(rand.NewPCG(uint64(n), 1))
		random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		go func() {
			end := journal.Position(0)
			for batch := range slices.Chunk(mine, 29) {
				if err := sink.Write(t.Context(), &ingest.Batch{Records: batch, Start: end, End: end + 1}); err != nil {
					errs <- err
					return
				}
				end++
				if err := node.CloseSessions(t.Context(), []aaa.Closing{{SessionID: batch[0].SessionID, StoppedAt: noon.Add(-time.Hour)}}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range nodes {
		require.NoError(t, <-errs)
	}
	got := dump(t, s, db)
	alone, aloneOptions := openNode(t, database, "alone")
	require.NoError(t, write(t.Context(), sinkOf(t, alone), 1, all...))
	require.Equal(t, dump(t, alone, rawDB{Raw(t, aloneOptions)}), got)
	require.Equal(t, len(all), db.count(t, "accounting_records"))
	require.NotEqual(t, uuid.Nil, all[0].SessionID)
	if options.URL != "" {
		var deadlocks int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks))
		require.Zero(t, deadlocks)
	}
}
