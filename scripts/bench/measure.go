//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"radiusd/scripts/internal/testbed"
)

// A result is what one load has shown.
type result struct {
	load
	postgres time.Duration   // CPU
	whole    time.Duration   // warm-up and end included, as the counters below
	counters testbed.Metrics // of radiusd
	followed time.Duration   // CPU of radiusd from the beginning until it is at rest again
	live     float64         // the part of the server's CPU that its live view of sessions took, if measured
	effect   effect          // what the disturbance was, if there was one
}

// perSecond is the rate of answers.
func (r *result) perSecond() float64 { return float64(r.Answers) / r.Elapsed.Seconds() }

// cpu is the server's CPU time for an answer, in microseconds.
func (r *result) cpu() float64 {
	return float64(r.ServerCPU.Nanoseconds()) / 1000 / max(1, float64(r.Answers))
}

// cpuToAnswer is cpu without what follows the acknowledgement.
func (r *result) cpuToAnswer() float64 { return r.cpu() * (1 - r.live) }

// busy is the part of a core that the server used, and of its own the generator.
func (r *result) busy() (server, generator float64) {
	return r.ServerCPU.Seconds() / r.Elapsed.Seconds(), r.OwnCPU.Seconds() / r.Elapsed.Seconds()
}

// others is the part of the server's core that others used: programs that run there
// although it is the server's, the kernel's own work, and the hypervisor's.
func (r *result) others() float64 {
	return max(0, (r.CoreCPU-r.ServerCPU).Seconds()/r.Elapsed.Seconds())
}

// idle reports whether the server had time left.
func (r *result) idle() bool {
	server, _ := r.busy()
	return server < 0.9
}

// measureAll loads each contestant in turn, the other way round in every second round.
func (b *bench) measureAll(ctx context.Context) error {
	if err := b.settle(ctx); err != nil {
		return err
	}
	for round := range b.rounds {
		order := slices.Clone(b.chosen)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		results, halves := map[string]*result{}, map[string]*result{}
		for _, c := range order {
			r, err := b.measure(ctx, c, 0, round == 0 && b.cpuprofile != "")
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			results[c.name] = r
			server, generator := r.busy()
			say("round %d, %-19s %8.0f a second, %6.2f µs of CPU, server %3.0f %%, generator %3.0f %%",
				round+1, c.name+":", r.perSecond(), r.cpu(), 100*server, 100*generator)
		}
		for _, c := range order {
			if !c.latency || !b.latency {
				continue
			}
			r, err := b.measureCalm(ctx, c, b.halfRate(c, results))
			if err != nil {
				return fmt.Errorf("%s at half the rate: %w", c.name, err)
			}
			halves[c.name] = r
			say("round %d, %-19s %8.0f a second, %6.2f µs of CPU, p50 %v, p99 %v; others had %.1f %% of its core",
				round+1, c.name+" at half:", r.perSecond(), r.cpu(), r.P50, r.P99, 100*r.others())
		}
		b.results, b.halves = append(b.results, results), append(b.halves, halves)
	}
	return nil
}

// halfRate is half of what a contestant has answered, and for a floor half of what the one
// has that it is the floor of, so that their latency can be compared.
func (b *bench) halfRate(c *contestant, results map[string]*result) float64 {
	for _, above := range b.chosen {
		if above.floor == c.name && above.latency {
			return results[above.name].perSecond() / 2
		}
	}
	return results[c.name].perSecond() / 2
}

// measureCalm measures latency again when others took the server's core from it: what has
// been measured then is them. It returns the calmest, whose others the report names.
func (b *bench) measureCalm(ctx context.Context, c *contestant, rate float64) (calmest *result, err error) {
	for range calmTries {
		r, err := b.measure(ctx, c, rate, false)
		if err != nil {
			return nil, err
		}
		if calmest == nil || r.others() < calmest.others() {
			calmest = r
		}
		if b.calm <= 0 || 100*r.others() <= b.calm || b.shared(c.server) { // who shares the core is meant to be there
			break
		}
		say("%s: p99 %v, but others had %.1f %% of its core", c.name, r.P99, 100*r.others())
	}
	return calmest, nil
}

const calmTries = 5

// measure loads a contestant, as fast as it answers or at a rate.
func (b *bench) measure(ctx context.Context, c *contestant, rate float64, profile bool) (*result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := b.servers[c.server]
	r := new(result)
	before, err := scrape(ctx, s.metrics)
	if err != nil {
		return nil, err
	}
	address, concurrency := s.auth, b.concurrency
	if c.method == "acct" {
		address, concurrency = s.acct, b.acctConcurrency
	}
	if c.concurrency > 0 {
		concurrency = c.concurrency
	}
	nases := s.nases
	if nases == 0 {
		nases = b.sockets
	}
	args := append(b.ahead(c.server, b.placesFor(c.server).generator), self, "generate", "-server", address, "-method", c.method,
		"-unsigned="+strconv.FormatBool(strings.HasPrefix(c.server, "freeradius")), "-concurrency", strconv.Itoa(concurrency), "-sockets", strconv.Itoa(b.sockets), "-users", strconv.Itoa(s.users), "-nases", strconv.Itoa(nases),
		"-distinct="+strconv.FormatBool(s.nases > 0), "-mixed="+strconv.FormatBool(c.mixed),
		"-watch", strconv.Itoa(s.process.PID()), "-core", s.core, "-rate", strconv.FormatFloat(rate, 'f', 0, 64),
		"-warmup", b.warmup.String(), "-duration", b.duration.String())
	disturbed := c.disturbance != undisturbed && rate > 0
	if disturbed {
		args = append(args, "-duration", longestDisturbance.String(), "-disturbed")
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var st *stage
	if disturbed {
		if st, err = newStage(cmd); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	profiled := make(chan error, 1)
	switch {
	case disturbed: // below
	case c.stopped: // what still follows the acknowledgement is told from the rest
		go func() {
			var err error
			r.live, err = b.liveShare(ctx, s)
			profiled <- err
		}()
	case profile && s.metrics != "":
		go func() { profiled <- b.takeProfile(ctx, c, s) }()
	default:
		profiled <- nil
	}
	if c.stopped {
		b.postgres.Signal(syscall.SIGSTOP)
		defer b.postgres.Signal(syscall.SIGCONT)
	}
	postgres, start := b.postgresCPU(), time.Now()
	cpu, err := cpuOf(s.process.PID())
	if err != nil {
		return nil, err
	}
	if err = cmd.Start(); err == nil {
		if disturbed {
			st.started()
			go func() {
				var err error
				r.effect, err = b.disturb(ctx, c, s, st)
				profiled <- err
			}()
		}
		err = cmd.Wait()
	}
	if c.stopped {
		b.postgres.Signal(syscall.SIGCONT)
	}
	if err != nil {
		return nil, fmt.Errorf("load generator: %w", err)
	}
	r.whole = time.Since(start)
	if err := json.Unmarshal(out.Bytes(), &r.load); err != nil {
		return nil, fmt.Errorf("report of the load generator: %w", err)
	}
	if err := <-profiled; err != nil {
		return nil, fmt.Errorf("beside the load: %w", err)
	}
	// What the answers have left to be done in the background belongs to them.
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	followed, err := cpuOf(s.process.PID())
	if err != nil {
		return nil, err
	}
	r.followed, r.postgres = followed-cpu, b.postgresCPU()-postgres
	after, err := scrape(ctx, s.metrics)
	if err != nil {
		return nil, err
	}
	r.counters = after.Since(before)
	if r.Lost > 0 {
		say("%s: %d requests got no answer within %v", c.name, r.Lost, waitForAnswer)
		for metric, n := range r.counters {
			if name, labels, _ := strings.Cut(metric, "{"); n > 0 && labels != "" && slices.Contains(lossMetrics, name) {
				say("    %s: %.0f", metric, n)
			}
		}
	}
	switch {
	case r.Answers == 0:
		return nil, fmt.Errorf("no answers; %d lost, %d wrong: %s", r.Lost, r.Unverified, r.FirstError)
	case r.Wrong > 0 || r.Unverified > 0 && r.Lost == 0: // what comes after its request was given up fits none
		return nil, fmt.Errorf("%d answers had the wrong code, %d the wrong signature: %s", r.Wrong, r.Unverified, r.FirstError)
	}
	return r, nil
}

func (b *bench) postgresCPU() time.Duration {
	if b.postgres == nil {
		return 0
	}
	return b.postgres.CPU()
}

// settle waits until the servers are done with what the load before has left them, and the disk
// with what they have written.
func (b *bench) settle(ctx context.Context) error {
	for range 1500 { // five minutes: what accounting has left for Postgres takes its time
		before := b.allCPU()
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.allCPU()-before < 10*time.Millisecond {
			syscall.Sync()
			return nil
		}
	}
	return fmt.Errorf("the servers do not come to rest")
}

func (b *bench) allCPU() (total time.Duration) {
	for _, s := range b.servers {
		used, _ := cpuOf(s.process.PID()) // it has ended: the load will find out
		total += used
	}
	return total + b.postgresCPU()
}

// takeProfile profiles radiusd in the middle of the load into the file of the option.
func (b *bench) takeProfile(ctx context.Context, c *contestant, s *server) error {
	path := b.cpuprofile
	if first := slices.IndexFunc(b.chosen, func(o *contestant) bool { return b.servers[o.server].metrics != "" }); b.chosen[first] != c {
		path += "." + c.name
	}
	if err := b.profile(ctx, s, path); err != nil {
		return err
	}
	say("profile of %s: %s", c.name, path)
	return nil
}

// profile writes a CPU profile of the middle of the load.
func (b *bench) profile(ctx context.Context, s *server, path string) error {
	select {
	case <-time.After(b.warmup + time.Second): // the generator takes a moment to sign its requests
	case <-ctx.Done():
		return ctx.Err()
	}
	return testbed.Profile(ctx, s.metrics, b.duration-time.Second, path)
}

// liveView is a line of pprof -top with the part of the time that the live view of
// sessions took, which follows the journal on its own.
var liveView = regexp.MustCompile(`([0-9.]+)%\s+radiusd/ingest\.\(\*Ingest\)\.runLive`)

// liveShare profiles radiusd and returns the part of its CPU that the live view took.
func (b *bench) liveShare(ctx context.Context, s *server) (float64, error) {
	path := filepath.Join(b.bed.Dir, "live.pprof")
	if err := b.profile(ctx, s, path); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodefraction=0", path).Output()
	if err != nil {
		return 0, fmt.Errorf("go tool pprof: %w", err)
	}
	m := liveView.FindSubmatch(out)
	if m == nil {
		return 0, errors.New("the profile has nothing of the live view")
	}
	percent, err := strconv.ParseFloat(string(m[1]), 64)
	return percent / 100, err
}

// lossMetrics are those of radiusd that tell what became of a request without an answer.
var lossMetrics = []string{"radiusd_socket_drops_total", "radiusd_send_errors_total", "radiusd_discards_total", "radiusd_duplicates_total"}

// scrape reads the metrics of a server that has some.
func scrape(ctx context.Context, address string) (testbed.Metrics, error) {
	if address == "" {
		return nil, nil
	}
	return testbed.Scrape(ctx, address)
}
