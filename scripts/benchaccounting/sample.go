package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"radiusd/scripts/internal/testbed"
)

// sample is the state of radiusd at a moment.
type sample struct {
	at         time.Duration
	lagSeconds map[string]float64 // by sink
	lagRecords map[string]float64
	taken      map[string]float64 // records, since the start
	journal    float64            // bytes on disk
	resident   int64              // of radiusd, bytes
	records    float64            // journalled since the start
	groups     float64
	commit     float64 // seconds
}

// usage is the CPU time that the servers have used.
type usage struct{ radiusd, postgres, clickhouse, freeradius time.Duration }

func (u usage) since(before usage) usage {
	return usage{u.radiusd - before.radiusd, u.postgres - before.postgres, u.clickhouse - before.clickhouse, u.freeradius - before.freeradius}
}

func (b *bench) usage() usage {
	return usage{b.radiusd.CPU(), b.postgres.Process.CPU(), b.clickhouse.CPU(), b.freeradiusServer.CPU()}
}

// scrape reads radiusd's metrics.
func (b *bench) scrape(ctx context.Context) (s sample, err error) {
	m, err := testbed.Scrape(ctx, b.metrics)
	if err != nil {
		return s, err
	}
	s = sample{
		lagSeconds: m.By("radiusd_ingest_lag_seconds", "sink"), lagRecords: m.By("radiusd_ingest_lag_records", "sink"),
		taken:   m.By("radiusd_ingest_records_total", "sink"),
		journal: m["radiusd_journal_bytes"], records: m["radiusd_journal_records_total"],
		groups: m["radiusd_journal_groups_total"], commit: m["radiusd_journal_commit_seconds_total"],
	}
	if len(s.lagRecords) < 2 {
		return s, fmt.Errorf("radiusd has %d sinks so far", len(s.lagRecords))
	}
	return s, nil
}

// sample takes a sample every second.
func (b *bench) sample(ctx context.Context) {
	start := time.Now()
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		if s, err := b.scrape(ctx); err == nil {
			s.at, s.resident = time.Since(start), b.radiusd.Resident()
			b.samples = append(b.samples, s)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

// awaitDrained waits until both stores have everything, and returns how long that took.
func (b *bench) awaitDrained(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	for time.Since(start) < 10*time.Minute {
		s, err := b.scrape(ctx)
		if err != nil {
			return 0, err
		}
		left := 0.0
		for _, n := range s.lagRecords {
			left += n
		}
		if left == 0 {
			return time.Since(start), nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return 0, fmt.Errorf("the stores did not catch up")
}

// stages are the parts of radiusd by the functions on their stacks, the first that fits,
// and the sink whose records they have seen; empty: all records.
var stages = []struct {
	name, sink string
	pattern    *regexp.Regexp
}{
	{"ClickHouse sink: encode and send", "clickhouse", regexp.MustCompile(`store/clickhouse|clickhouse-go|ch-go`)},
	{"Postgres sink: merge sessions, encode and send", "sql", regexp.MustCompile(`radiusd/store\.|pgx`)},
	{"each sink: read the journal and decode", "both", regexp.MustCompile(`ingest\.\(\*sinkLoop\)`)},
	{"decode and live sessions", "", regexp.MustCompile(`ingest\.\(\*Ingest\)\.runLive`)},
	{"journal: write and sync, and the replies' signatures", "", regexp.MustCompile(`radiusd/journal\.`)},
	{"sockets: receive, verify, append; send", "", regexp.MustCompile(`radiusd/radius\.`)},
	{"garbage collection", "", regexp.MustCompile(`runtime\.gcBgMarkWorker|runtime\.bgsweep|runtime\.bgscavenge`)},
}

const otherStage = "scheduler and the rest"

// takeProfile profiles radiusd in the middle of the load.
func (b *bench) takeProfile(ctx context.Context) error {
	length := min(b.duration/3, 20*time.Second)
	select {
	case <-time.After(b.duration / 3):
	case <-ctx.Done():
		return nil
	}
	before, err := b.scrape(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(b.dir, "cpu.pprof")
	if err := testbed.Profile(ctx, b.metrics, length, path); err != nil {
		return err
	}
	after, err := b.scrape(ctx)
	if err != nil {
		return err
	}
	b.profiled = map[string]float64{"": after.records - before.records}
	for sink := range after.taken {
		taken := after.taken[sink] - before.taken[sink]
		b.profiled[sink] = taken
		b.profiled["both"] += taken
	}
	traces, err := exec.Command("go", "tool", "pprof", "-traces", b.options.radiusd, path).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	b.profile = readTraces(string(traces))
	return nil
}

// readTraces sums up the CPU time of each stage from what pprof -traces prints: for each
// stack a line of dashes, and its time before the innermost function.
func readTraces(text string) map[string]time.Duration {
	sums := map[string]time.Duration{}
	for stack := range strings.SplitSeq(text, "-----------+-------------------------------------------------------\n") {
		first, _, _ := strings.Cut(strings.TrimSpace(stack), " ")
		took, err := time.ParseDuration(first)
		if err != nil {
			continue // the head
		}
		name := otherStage
		for _, stage := range stages {
			if stage.pattern.MatchString(stack) {
				name = stage.name
				break
			}
		}
		sums[name] += took
	}
	return sums
}
