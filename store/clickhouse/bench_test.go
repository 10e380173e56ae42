package clickhouse

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
	"radiusd/journal"
)

// benchRecords are interims of as many sessions, as a NAS sends them.
func benchRecords(n int) []aaa.Record {
	records := make([]aaa.Record, n)
	for i := range records {
		r := &records[i]
		*r = fullRecord()
		r.SessionID, r.AcctSessionID, r.Username = testID(2, i*7919%n), fmt.Sprintf("8%07x", i), fmt.Sprintf("user%d@example.net", i)
		r.FramedIP = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		r.CallingStationID = fmt.Sprintf("00-11-22-%02X-%02X-%02X", byte(i>>16), byte(i>>8), byte(i))
		r.AcctMultiSessionID, r.FramedIPv6, r.TerminateCause, r.EventDerived = "", netip.Addr{}, "", false
		r.Class = []byte("radiusd-0123456789abcdef01234567")
	}
	return records
}

// BenchmarkSink writes batches of interims. It reports the processor time that a
// record costs in this process and in the server, which merges meanwhile.
func BenchmarkSink(b *testing.B) {
	for _, size := range []int{5_000, 20_000, 50_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			server := testserver.NewClickHouseServer(b)
			s, err := Open(b.Context(), Options{URL: server.URL(), NodeID: "bench", AutoMigrate: true})
			require.NoError(b, err)
			defer s.Close()
			sink := newTestSink(b, s)
			records, number := benchRecords(size), 0
			next := func() {
				for i := range records {
					number++
					r := &records[i]
					r.ID = testID(1, number)
					r.EventTime = r.EventTime.Add(time.Millisecond / 20)
					r.ReceivedAt = r.EventTime.Add(time.Second)
					r.SessionSeconds, r.InputOctets, r.OutputOctets = r.SessionSeconds+300, r.InputOctets+uint64(number), r.OutputOctets+uint64(3*number)
				}
			}
			next()
			take(b, sink, records)
			var own time.Duration
			remote, batches := serverTime(b, server.PID()), 0
			var before, after runtime.MemStats
			var allocated uint64
			start, err := sink.Cursor(b.Context())
			require.NoError(b, err)
			for b.Loop() {
				next()
				runtime.ReadMemStats(&before)
				began := ownTime(b)
				end := start + journal.Position(len(records))
				require.NoError(b, sink.Write(b.Context(), &ingest.Batch{Records: records, Start: start, End: end}))
				start = end
				own += ownTime(b) - began
				runtime.ReadMemStats(&after)
				allocated += after.Mallocs - before.Mallocs
				batches++
			}
			written := float64(batches * size)
			b.ReportMetric(float64(own.Microseconds())/written, "client-µs/record")
			b.ReportMetric(float64((serverTime(b, server.PID())-remote).Microseconds())/written, "server-µs/record")
			b.ReportMetric(float64(allocated)/float64(batches), "mallocs/batch")
			b.ReportMetric(written/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// ownTime is the processor time that this process has used.
func ownTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// serverTime is the processor time that a process has used; zero where the system
// does not tell.
func serverTime(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	ticks, err := exec.Command("getconf", "CLK_TCK").Output()
	require.NoError(b, err)
	hz, err := strconv.Atoi(strings.TrimSpace(string(ticks)))
	require.NoError(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(b, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(b, err)
	return time.Duration(user+system) * time.Second / time.Duration(hz)
}
