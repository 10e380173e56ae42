package store_test

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

func onEngines(b *testing.B, bench func(b *testing.B, s *store.Store)) {
	for name, database := range map[string]storetest.Database{"SQLite": sqliteDatabase, "Postgres": postgresDatabase} {
		b.Run(name, func(b *testing.B) {
			options := database(b)
			options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "bench"
			s, err := store.Open(b.Context(), options)
			require.NoError(b, err)
			defer s.Close()
			bench(b, s)
		})
	}
}

func benchmarkRows(from, n int) func(func(store.ImportRow, error) bool) {
	credential := aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte("a password")}
	return func(yield func(store.ImportRow, error) bool) {
		for i := range n {
			if !yield(store.ImportRow{Line: i, Username: fmt.Sprintf("user%08d@example.org", from+i), Credential: &credential}, nil) {
				return
			}
		}
	}
}

// BenchmarkImport imports 100,000 users at a time.
func BenchmarkImport(b *testing.B) {
	onEngines(b, func(b *testing.B, s *store.Store) {
		const n = 100_000
		for i := 0; b.Loop(); i++ {
			_, err := s.ImportUsers(b.Context(), benchmarkRows(i*n, n), store.ImportOptions{})
			require.NoError(b, err)
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "users/s")
	})
}

// BenchmarkEachUser loads 200,000 users, as a directory does.
func BenchmarkEachUser(b *testing.B) {
	onEngines(b, func(b *testing.B, s *store.Store) {
		const n = 200_000
		_, err := s.ImportUsers(b.Context(), benchmarkRows(0, n), store.ImportOptions{})
		require.NoError(b, err)
		for b.Loop() {
			seen := 0
			require.NoError(b, s.EachUser(b.Context(), func(*aaa.User) error { seen++; return nil }))
			require.Equal(b, n, seen)
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "users/s")
	})
}

// BenchmarkSink writes batches of 5000 records: nine interims to a Start and a
// Stop, of 50,000 sessions at a time.
func BenchmarkSink(b *testing.B) {
	onEngines(b, func(b *testing.B, s *store.Store) {
		const size, sessions, rounds = 5000, 50_000, 11
		require.NoError(b, s.Maintain(b.Context(), store.Retention{}))
		sink, err := s.NewSink()
		require.NoError(b, err)
		now := time.Now().UTC()
		records, began := 0, ownCPU()
		for i := 0; b.Loop(); i++ {
			first := i * size
			generation, round := first/(sessions*rounds), first/sessions%rounds
			batch := make([]aaa.Record, size)
			for n := range batch {
				batch[n] = benchmarkRecord(now, generation, round, (first+n)%sessions)
			}
			require.NoError(b, sink.Write(b.Context(), &ingest.Batch{Records: batch, Start: journal.Position(i), End: journal.Position(i + 1)}))
			records += size
		}
		b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
		b.ReportMetric(float64((ownCPU()-began).Microseconds())/float64(records), "client-µs/record")
		b.ReportMetric(float64(s.ServerCPU(b).Microseconds())/float64(records), "server-µs/record")
	})
}

// BenchmarkBoot ends 100,000 open sessions of one NAS by its Accounting-On.
func BenchmarkBoot(b *testing.B) {
	onEngines(b, func(b *testing.B, s *store.Store) {
		const size, sessions = 5000, 100_000
		sink, err := s.NewSink()
		require.NoError(b, err)
		now := time.Now().UTC()
		for b.Loop() {
			b.StopTimer()
			generation := int(time.Since(now))
			for first := 0; first < sessions; first += size {
				batch := make([]aaa.Record, size)
				for n := range batch {
					batch[n] = benchmarkRecord(now, generation, 0, first+n)
				}
				require.NoError(b, sink.Write(b.Context(), &ingest.Batch{Records: batch}))
			}
			on := aaa.Record{Status: aaa.AcctOn, NASAddr: nasAddr, NASIdentifier: "bench", EventTime: now.Add(time.Minute), ReceivedAt: now}
			aaa.NewResolver().Resolve(&on)
			b.StartTimer()
			require.NoError(b, sink.Write(b.Context(), &ingest.Batch{Records: []aaa.Record{on}}))
		}
	})
}

func benchmarkRecord(now time.Time, generation, round, session int) aaa.Record {
	number := uint64(generation)<<32 | uint64(session)
	r := aaa.Record{
		Status: aaa.AcctInterim, AcctSessionID: fmt.Sprintf("%016x", number), Username: fmt.Sprintf("user%08d@example.org", session),
		NASAddr: nasAddr, NASIdentifier: "bench", NASPort: uint32(session), NASPortID: "ether1",
		CallingStationID: "02-00-5E-10-00-01", CalledStationID: "bench", EventTime: now.Add(time.Duration(round) * time.Second),
		ReceivedAt: now.Add(time.Duration(round) * time.Second), HasSeconds: true, HasOctets: true, HasGigawords: true,
		SessionSeconds: uint64(round), InputOctets: uint64(round) << 20, OutputOctets: uint64(round) << 24,
		Class: make([]byte, 20),
	}
	switch round {
	case 0:
		r.Status, r.HasSeconds, r.HasOctets = aaa.AcctStart, false, false
	case 10:
		r.Status, r.TerminateCause = aaa.AcctStop, "User-Request"
	}
	// Ids as random as those of the resolver.
	binary.BigEndian.PutUint64(r.SessionID[:8], number*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(r.SessionID[8:], number*0xbf58476d1ce4e5b9)
	r.ID = uuid.NewSHA1(r.SessionID, []byte{byte(round)})
	return r
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
