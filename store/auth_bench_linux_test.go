package store_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
)

// BenchmarkAppendAuthRecords writes batches of logins of 100,000 users.
func BenchmarkAppendAuthRecords(b *testing.B) {
	for _, size := range []int{500, 8192} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			onEngines(b, func(b *testing.B, s *store.Store) {
				require.NoError(b, s.Maintain(b.Context(), store.Retention{}))
				// Made first, so that nothing but the writing is measured.
				const batches = 64
				began := time.Now().UTC()
				made, n := make([]*aaa.AuthBatch, 0, batches), 0
				remake := func() {
					made = made[:0]
					for range batches {
						made = append(made, benchmarkLogins(began, n, size))
						n += size
					}
				}
				remake()
				require.NoError(b, s.AppendAuthRecords(b.Context(), made[0]))
				made = made[1:]
				var records int
				var client, server time.Duration
				var mallocs uint64
				for b.Loop() {
					if len(made) == 0 {
						b.StopTimer()
						remake()
						b.StartTimer()
					}
					before := mallocsNow()
					clientBefore := ownCPU()
					require.NoError(b, s.AppendAuthRecords(b.Context(), made[0]))
					client += ownCPU() - clientBefore
					mallocs += mallocsNow() - before
					made, records = made[1:], records+size
				}
				server = s.ServerCPU(b)
				per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(records) }
				b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
				b.ReportMetric(per(client), "client-µs/record")
				b.ReportMetric(per(server), "server-µs/record")
				b.ReportMetric(float64(mallocs)/float64(records), "allocs/record")
			})
		})
	}
}

// benchmarkLogins are decisions 5 µs apart, the first of which has a number.
func benchmarkLogins(began time.Time, first, n int) *aaa.AuthBatch {
	records := make([]aaa.AuthRecord, n)
	for i := range records {
		number := first + i
		records[i] = aaa.AuthRecord{
			ID: uuid.Must(uuid.NewV7()), At: began.Add(time.Duration(number) * 5 * time.Microsecond),
			Username: fmt.Sprintf("user%08d@example.org", number*7919%100_000), Accepted: true, Method: aaa.MethodPAP,
			NASID: uuid.UUID{1}, NASAddr: netip.AddrFrom4([4]byte{10, 0, 0, byte(number)}), NASPortID: "ether1",
			CallingStationID: "02-00-5E-10-00-01", CalledStationID: "service1", SessionNonce: aaa.Nonce{1, byte(number), byte(number >> 8)},
		}
	}
	return aaa.NewAuthBatch(records...)
}

func mallocsNow() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
