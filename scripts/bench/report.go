//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"radiusd/scripts/internal/testbed"
)

// print writes the result as Markdown.
func (b *bench) print(w io.Writer) error {
	var text strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	p("%s", testbed.Heading("go run ./scripts/bench", b.versions(),
		fmt.Sprintf("%s %d users. Median of %d rounds of %v, least and most in brackets.", b.whereabouts(), b.users, b.rounds, b.duration)))
	if len(b.chosen) > 0 {
		b.printRates(p)
		b.printRatios(p)
		b.printLatency(p)
		b.printRadiusd(p)
	}
	b.printDisturbed(p)
	_, err := io.WriteString(w, text.String())
	return err
}

// whereabouts says which core has what, and how it stands to others on it.
func (b *bench) whereabouts() string {
	text := fmt.Sprintf("CPU %s has the server, CPU %s the load generator", b.places.server, b.places.generator)
	if b.postgres == nil {
		return text + b.priority()
	}
	if b.places.stores == b.places.generator {
		text += ", which shares it with Postgres: where the store is busy, the generator has less of it"
	} else {
		text += fmt.Sprintf(", CPU %s Postgres", b.places.stores)
	}
	if b.servers["radiusd-2"] != nil {
		text += fmt.Sprintf("; radiusd with two cores has CPU %s", b.places.two)
		if strings.HasSuffix(b.places.two, b.places.generator) {
			text += ", one of them the generator's, so that its CPU an answer counts and its rate does not"
		}
	}
	return text + b.priority()
}

func (b *bench) priority() string {
	if b.nice == 0 {
		return "."
	}
	return fmt.Sprintf(". All of it has nice %d.", b.nice)
}

// The comments between which a document has the result.
const (
	resultBegins = "<!-- make bench: what follows is its output -->"
	resultEnds   = "<!-- make bench: end -->"
)

// place returns what a document has before and after the result.
func place(path string) (before, after string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	before, rest, begins := strings.Cut(string(content), resultBegins)
	_, after, ends := strings.Cut(rest, resultEnds)
	if !begins || !ends {
		return "", "", fmt.Errorf("%s has no place for the result: the lines %q and %q", path, resultBegins, resultEnds)
	}
	return before + resultBegins, resultEnds + after, nil
}

// writeInto replaces the result in a document.
func (b *bench) writeInto(path string) error {
	before, after, err := place(path)
	if err != nil {
		return err
	}
	var result strings.Builder
	if err := b.print(&result); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+"\n\n"+strings.TrimSpace(result.String())+"\n\n"+after), 0o644)
}

// over collects a figure of a contestant over the rounds.
func (b *bench) over(name string, figure func(*result) float64) (values []float64) {
	for _, round := range b.results {
		if r := round[name]; r != nil {
			values = append(values, figure(r))
		}
	}
	return values
}

// spread formats the median of values, and least and most.
func spread(format string, values []float64) string {
	least, middle, most := median(values)
	if len(values) < 2 {
		return fmt.Sprintf(format, middle)
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", middle, least, most)
}

func (b *bench) printRates(p func(string, ...any)) {
	p("| | answers a second | CPU µs an answer | server's core | generator's core | lost |\n| --- | ---: | ---: | ---: | ---: | ---: |")
	var limited []string
	for _, c := range b.chosen {
		server := b.over(c.name, func(r *result) float64 { s, _ := r.busy(); return 100 * s })
		generator := b.over(c.name, func(r *result) float64 { _, g := r.busy(); return 100 * g })
		lost := 0.0
		for _, n := range b.over(c.name, func(r *result) float64 { return float64(r.Lost) }) {
			lost += n
		}
		_, s, _ := median(server)
		_, g, _ := median(generator)
		p("| %s | %s | %s | %.0f %% | %.0f %% | %.0f |", c.title, spread("%.0f", b.over(c.name, (*result).perSecond)),
			spread("%.2f", b.over(c.name, (*result).cpu)), s, g, lost)
		for _, round := range b.results {
			if r := round[c.name]; r != nil && r.idle() && c.server != "radiusd-2" {
				limited = append(limited, c.name)
				break
			}
		}
	}
	if len(limited) > 0 {
		p("\nThe server had time left with %s: the load generator was the limit, or Postgres, or the disk. There, the rate could be higher.", strings.Join(limited, ", "))
	}
	p("")
}

// ratios are those of a figure of two contestants, in each round.
func (b *bench) ratios(of, to string, figure func(*result) float64) (values []float64) {
	for _, round := range b.results {
		if x, y := round[of], round[to]; x != nil && y != nil {
			values = append(values, figure(x)/figure(y))
		}
	}
	return values
}

func (b *bench) printRatios(p func(string, ...any)) {
	var lines []string
	row := func(of, to, what, format string, figure func(*result) float64) {
		if values := b.ratios(of, to, figure); values != nil {
			lines = append(lines, fmt.Sprintf("| %s, %s to %s | %s |", what, of, to, spread(format, values)))
		}
	}
	for _, c := range b.chosen {
		row(c.name, c.floor, "CPU an answer", "%.2f", (*result).cpu)
		if c.stopped {
			row(c.name, c.floor, "CPU up to the acknowledgement", "%.2f", (*result).cpuToAnswer)
		}
	}
	for _, c := range b.chosen {
		for _, rival := range c.rivals {
			row(c.name, rival, "answers a second", "%.1f", (*result).perSecond)
		}
	}
	for _, c := range b.chosen {
		if c.stopped {
			p("Of %s, the live view of sessions, which follows the acknowledgement, took %s %% of the CPU by a profile: %s µs are left up to the acknowledgement.\n", c.name,
				spread("%.0f", b.over(c.name, func(r *result) float64 { return 100 * r.live })), spread("%.2f", b.over(c.name, (*result).cpuToAnswer)))
		}
	}
	if len(lines) > 0 {
		p("| ratio, round by round | |\n| --- | ---: |\n%s\n", strings.Join(lines, "\n"))
	}
}

// printLatency prints the latency at half the rate.
func (b *bench) printLatency(p func(string, ...any)) {
	head := false
	for _, c := range b.chosen {
		over := func(figure func(*result) float64) (values []float64) {
			for _, round := range b.halves {
				if r := round[c.name]; r != nil {
					values = append(values, figure(r))
				}
			}
			return values
		}
		rate := over((*result).perSecond)
		if rate == nil {
			continue
		}
		if !head {
			head = true
			p("| at half the rate, floors at that of what they are the floor of | requests a second | p50 ms | p99 ms | CPU µs an answer | others on its core | lost |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
		}
		lost := 0.0
		for _, n := range over(func(r *result) float64 { return float64(r.Lost) }) {
			lost += n
		}
		_, middle, _ := median(rate)
		p("| %s | %.0f | %s | %s | %s | %s %% | %.0f |", c.title, middle,
			spread("%.2f", over(func(r *result) float64 { return r.P50.Seconds() * 1000 })),
			spread("%.2f", over(func(r *result) float64 { return r.P99.Seconds() * 1000 })),
			spread("%.2f", over((*result).cpu)), spread("%.1f", over(func(r *result) float64 { return 100 * r.others() })), lost)
	}
	if !head {
		return
	}
	p("")
	var lines []string
	for _, c := range b.chosen {
		var values []float64
		for _, round := range b.halves {
			if r, floor := round[c.name], round[c.floor]; r != nil && floor != nil {
				values = append(values, r.P99.Seconds()/floor.P99.Seconds())
			}
		}
		if values != nil {
			lines = append(lines, fmt.Sprintf("| %s to %s | %s |", c.name, c.floor, spread("%.2f", values)))
		}
	}
	if lines != nil {
		p("| p99 at the same rate, round by round | |\n| --- | ---: |\n%s\n", strings.Join(lines, "\n"))
	}
	for _, round := range b.halves {
		for _, r := range round {
			if r.Preempted {
				p("Without the right to real-time priority the load generator may have been late itself.\n")
				return
			}
		}
	}
}

// printRadiusd prints what radiusd's metrics say of its loads.
func (b *bench) printRadiusd(p func(string, ...any)) {
	head := false
	for _, c := range b.chosen {
		s := b.servers[c.server]
		if s.metrics == "" {
			continue
		}
		if !head {
			head = true
			p("| radiusd | allocations an answer | octets allocated | collections a second | their CPU | auth records written, dropped | CPU µs an answer until all is done | Postgres's CPU µs an answer | ready after | memory then |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
		}
		each := func(name string) []float64 {
			return b.over(c.name, func(r *result) float64 { return r.counters[name] / float64(max(1, r.Total)) })
		}
		written, dropped := 0.0, 0.0
		for _, round := range b.results {
			if r := round[c.name]; r != nil {
				written += r.counters["radiusd_auth_records_written_total"]
				dropped += r.counters["radiusd_auth_records_dropped_total"]
			}
		}
		p("| %s | %s | %s | %s | %s | %.0f, %.0f | %s | %s | %.1f s | %d MiB |", c.name, spread("%.2f", each("go_memstats_mallocs_total")), spread("%.0f", each("go_memstats_alloc_bytes_total")),
			spread("%.1f", b.over(c.name, func(r *result) float64 { return r.counters["go_gc_duration_seconds_count"] / r.whole.Seconds() })),
			spread("%.2f %%", b.over(c.name, func(r *result) float64 {
				return 100 * r.counters["go_cpu_classes_gc_total_cpu_seconds_total"] / r.whole.Seconds()
			})),
			written, dropped,
			spread("%.2f", b.over(c.name, func(r *result) float64 { return float64(r.followed.Nanoseconds()) / 1000 / float64(max(1, r.Total)) })),
			spread("%.1f", b.over(c.name, func(r *result) float64 { return float64(r.postgres.Microseconds()) / float64(max(1, r.Total)) })),
			s.loaded.Seconds(), s.memory>>20)
	}
	if head {
		p("")
	}
}

// versions names what was measured.
func (b *bench) versions() []string {
	var list []string
	if _, err := os.Stat(b.radiusd); err == nil {
		list = append(list, testbed.RadiusdVersion(b.radiusd))
	}
	if b.postgres != nil {
		list = append(list, testbed.PostgresVersion())
	}
	if b.servers["freeradius"] != nil || b.servers["freeradius-sql"] != nil {
		list = append(list, testbed.FreeRADIUSVersion())
	}
	return list
}
