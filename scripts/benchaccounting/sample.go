package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
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

var sinkLabel = regexp.MustCompile(`sink="([^"]*)"`)

// scrape reads radiusd's metrics.
func (b *bench) scrape(ctx context.Context) (s sample, err error) {
	s = sample{lagSeconds: map[string]float64{}, lagRecords: map[string]float64{}, taken: map[string]float64{}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.metrics+"/metrics", nil)
	if err != nil {
		return s, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		metric, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(metric, "{")
		sink := ""
		if m := sinkLabel.FindStringSubmatch(labels); m != nil {
			sink = m[1]
		}
		switch name {
		case "radiusd_ingest_lag_seconds":
			s.lagSeconds[sink] = value
		case "radiusd_ingest_lag_records":
			s.lagRecords[sink] = value
		case "radiusd_ingest_records_total":
			s.taken[sink] = value
		case "radiusd_journal_bytes":
			s.journal = value
		case "radiusd_journal_records_total":
			s.records = value
		case "radiusd_journal_groups_total":
			s.groups = value
		case "radiusd_journal_commit_seconds_total":
			s.commit = value
		}
	}
	if len(s.lagRecords) < 2 {
		return s, fmt.Errorf("radiusd has %d sinks so far", len(s.lagRecords))
	}
	return s, lines.Err()
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
	response, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", b.metrics, int(length.Seconds())))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	path := filepath.Join(b.dir, "cpu.pprof")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, response.Body); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
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
