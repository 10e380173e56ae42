package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"radiusd/scripts/internal/testbed"
)

// print writes the result as Markdown.
func (b *bench) print(w io.Writer) error {
	var text strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	p("%s", testbed.Heading("scripts/bench-accounting", b.versions()))
	b.printSustained(p)
	b.printStages(p)
	b.printLag(p)
	b.printComparison(p)
	_, err := io.WriteString(w, text.String())
	return err
}

func (b *bench) printSustained(p func(string, ...any)) {
	l := &b.sustained
	p("#### %d records a second for %v\n", b.rate, b.duration)
	p("| | |\n| --- | ---: |")
	p("| acknowledged, after the sync | %d records, %d a second |", l.Answers, l.Rate)
	p("| answer p50, p90, p99, max | %s, %s, %s, %s |", micros(l.P50), micros(l.P90), micros(l.P99), micros(l.Max))
	p("| retransmissions | %d |", l.Retransmissions)
	if first, last := b.first(), b.last(); first != nil && last.groups > first.groups {
		groups := last.groups - first.groups
		p("| journal: records in a group, write and sync of a group | %.0f, %s |", (last.records-first.records)/groups,
			time.Duration((last.commit-first.commit)/groups*float64(time.Second)).Round(10*time.Microsecond))
	}
	p("| stores complete after the last answer | %s |", b.drained.Round(100*time.Millisecond))
	used, records := b.after.since(b.before), float64(l.Answers)
	p("| CPU a record: radiusd, Postgres, ClickHouse | %s, %s, %s |", perRecord(used.radiusd, records), perRecord(used.postgres, records), perRecord(used.clickhouse, records))
	p("| and the load generator | %s |", perRecord(l.cpu, records))
	p("| memory of radiusd, at most | %d MiB |", b.mostResident()>>20)
	p("\nThe stores against the log of acknowledgements:\n\n```\n%s```\n", b.verified)
}

// printStages prints what the profile says of each stage.
func (b *bench) printStages(p func(string, ...any)) {
	if b.profiled[""] == 0 {
		return
	}
	p("#### Stages of radiusd\n")
	p("CPU by stage, from a profile in the middle of the load, by the records that the stage has seen meanwhile.\n")
	p("| stage | records | CPU a record |\n| --- | ---: | ---: |")
	for i := len(stages) - 1; i >= 0; i-- {
		n := b.profiled[stages[i].sink]
		p("| %s | %.0f | %s |", stages[i].name, n, perRecord(b.profile[stages[i].name], n))
	}
	p("| %s | %.0f | %s |\n", otherStage, b.profiled[""], perRecord(b.profile[otherStage], b.profiled[""]))
}

// printLag prints how far the stores were behind at the start, in the middle and at the
// end of the load.
func (b *bench) printLag(p func(string, ...any)) {
	p("#### Lag\n")
	p("| after | Postgres | ClickHouse | journal on disk |\n| ---: | ---: | ---: | ---: |")
	for _, part := range []float64{0.05, 0.25, 0.5, 0.75, 1} {
		at := time.Duration(part * float64(b.duration))
		var s *sample
		for i := range b.samples {
			if b.samples[i].at <= at {
				s = &b.samples[i]
			}
		}
		if s == nil {
			continue
		}
		lag := func(sink string) string {
			return fmt.Sprintf("%.0f records, %.1f s", s.lagRecords[sink], s.lagSeconds[sink])
		}
		p("| %v | %s | %s | %.0f MiB |", s.at.Round(time.Second), lag("sql"), lag("clickhouse"), s.journal/(1<<20))
	}
	p("")
}

func (b *bench) printComparison(p func(string, ...any)) {
	if b.closedLoop.Answers == 0 {
		return
	}
	p("#### Closed loop, %d requests under way\n", b.concurrency)
	p("| | acknowledged a second | p50 | p99 |\n| --- | ---: | ---: | ---: |")
	p("| radiusd, Postgres and ClickHouse | %d | %s | %s |", b.closedLoop.Rate, micros(b.closedLoop.P50), micros(b.closedLoop.P99))
	if f := &b.freeradiusLoop; f.Answers > 0 {
		p("| FreeRADIUS, rlm_sql_postgresql | %d | %s | %s |", f.Rate, micros(f.P50), micros(f.P99))
		records := float64(f.Answers)
		p("\nFreeRADIUS: CPU a record %s, Postgres %s; rows in radacct, and with a stop: %s.",
			perRecord(b.freeradiusCPU.freeradius, records), perRecord(b.freeradiusCPU.postgres, records), b.radacct)
	}
}

func (b *bench) first() *sample {
	if len(b.samples) == 0 {
		return nil
	}
	return &b.samples[0]
}

func (b *bench) last() *sample { return &b.samples[len(b.samples)-1] }

func (b *bench) mostResident() (most int64) {
	for i := range b.samples {
		most = max(most, b.samples[i].resident)
	}
	return most
}

func micros(n int64) string {
	return (time.Duration(n) * time.Microsecond).Round(10 * time.Microsecond).String()
}

func perRecord(cpu time.Duration, records float64) string {
	return fmt.Sprintf("%.1f µs", cpu.Seconds()*1e6/max(records, 1))
}

// versions names what was measured.
func (b *bench) versions() []string {
	list := []string{testbed.RadiusdVersion(b.options.radiusd), testbed.PostgresVersion(), "ClickHouse " + b.clickhouseVersion}
	if b.freeradiusLoop.Answers > 0 {
		list = append(list, testbed.FreeRADIUSVersion())
	}
	return list
}
