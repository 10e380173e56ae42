package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"radiusd/radius"
)

func (a *app) benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Load a RADIUS server and verify its answers",
		Long: `Sends requests as fast as the server answers them, with a given number under way
at a time, or at a given rate, checks every answer's signatures and code, and
reports rate and latency. The exit code is 1 if an answer was wrong or missing.
With --rate, latency counts from when a request was due, so that a server that
stalls cannot hide it.

The machine that runs it must be a NAS of the server. Servers on other machines
need --remote.`,
		Example: `  radiusd bench auth --user alice --password s3cret --duration 10s
  radiusd bench auth --user 'user{n}' --password 'pw{n}' --users 100000 --rate 20000
  radiusd bench acct --sessions 10000 --interims 3 --ack-log acknowledged.csv`,
	}
	c.AddCommand(a.benchAuthCommand(), a.benchAcctCommand())
	return c
}

// benchOptions are what both loads have in common.
type benchOptions struct {
	target
	remote      bool
	concurrency int
	sockets     int
	rate        float64 // requests a second; 0: as fast as answers come
	duration    time.Duration
	count       uint64 // 0: until duration
	total       int64  // requests in all, if known
	wait        time.Duration
	user        string
	users       int
}

func (o *benchOptions) benchFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&o.server, "server", "127.0.0.1", "`HOST[:PORT]` of the server")
	flags.StringVar(&o.secret, "secret", "", "shared `SECRET` (default $"+secretVariable+"; "+loopbackSecret+" on loopback only)")
	flags.BoolVar(&o.secretStdin, "secret-stdin", false, "read the shared secret from standard input")
	flags.BoolVar(&o.remote, "remote", false, "allow a server on another machine")
	flags.IntVar(&o.concurrency, "concurrency", 64, "requests under way at a time")
	flags.IntVar(&o.sockets, "sockets", 0, "sockets to send from, each with a thread of its own (default one for each CPU, more if concurrency needs it)")
	flags.Float64Var(&o.rate, "rate", 0, "requests a second (default: as fast as answers come)")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long to send; ignored with a count")
	flags.DurationVar(&o.wait, "wait", 2*time.Second, "how long to wait for an answer before a retransmission")
	flags.IntVar(&o.tries, "tries", 5, "how often to send a request at most")
	flags.StringVar(&o.user, "user", "bench{n}", "user `NAME`; {n} counts from 1 to --users")
	flags.IntVar(&o.users, "users", 1, "how many users {n} goes through")
	a := o.a
	a.outputFlag(c)
}

// completeBench checks the options and derives what is not given.
func (o *benchOptions) completeBench(port string) error {
	o.timeout = time.Second // not used: a load has its own retransmission
	if err := o.complete(port); err != nil {
		return err
	}
	switch {
	case !o.remote && !isLoopback(o.server):
		return usagef("%s is not on this machine: give --remote if you are allowed to load it", o.server)
	case o.concurrency < 1 || o.concurrency > 1<<16:
		return usagef("--concurrency: want 1 to 65536")
	case o.rate < 0 || o.wait <= 0 || o.users < 1 || o.sockets < 0 || o.sockets > 1024:
		return usagef("--rate, --wait, --users and --sockets must not be negative, --wait and --users not zero")
	case o.count == 0 && o.duration <= 0:
		return usagef("--duration must be greater than zero")
	case len(o.user)+8 > radius.MaxValueLength:
		return usagef("--user is too long")
	}
	if o.count > 1<<40 {
		return usagef("too many: want at most %d", 1<<40)
	}
	if o.sockets == 0 {
		o.sockets = min(runtime.GOMAXPROCS(0), o.concurrency)
	}
	// A socket has 256 identifiers.
	o.sockets = min(max(o.sockets, (o.concurrency+255)/256), o.concurrency)
	return nil
}

// numbered puts a number in place of {n}.
func numbered(pattern string, n int) string {
	return strings.ReplaceAll(pattern, "{n}", strconv.Itoa(n))
}

// benchSource makes the requests of one socket and judges their answers. Its
// methods are called from one goroutine. A slot is one place for a request under
// way; slots are numbered from zero.
type benchSource interface {
	// append appends the next request of the slot to dst as a signed packet. It
	// reports false if the slot has nothing to send any more; ending says that
	// nothing new is to be begun.
	append(dst []byte, slot int, identifier uint8, ending bool) (packet []byte, ok bool, err error)
	// answered judges the answer to the request that the slot has sent, whose
	// authenticator is given. An error is a wrong answer, errUnverified one that
	// does not count as an answer.
	answered(slot int, answer radius.Packet, authenticator *[16]byte) error
	// lost says that the request of the slot got no answer.
	lost(slot int)
}

// runBench drives a source for each socket and writes the report.
func (o *benchOptions) runBench(ctx context.Context, source func(socket, slots int) (benchSource, error)) error {
	slots := make([]int, o.sockets)
	for i := range o.concurrency {
		slots[i%o.sockets]++
	}
	runs := make([]*benchSocket, o.sockets)
	var sent atomic.Int64
	for i := range runs {
		s, err := source(i, slots[i])
		if err != nil {
			return err
		}
		runs[i] = &benchSocket{source: s, server: o.server, slots: slots[i], wait: o.wait, tries: o.tries, sent: &sent}
		if o.rate > 0 {
			runs[i].interval = time.Duration(float64(time.Second) * float64(o.sockets) / o.rate)
			runs[i].offset = runs[i].interval * time.Duration(i) / time.Duration(o.sockets)
		}
		if o.count == 0 {
			runs[i].duration = o.duration
		}
	}
	progress := o.a.benchProgress(o.total, &sent)
	var wait sync.WaitGroup
	errs := make([]error, len(runs))
	start := time.Now()
	for i, run := range runs {
		wait.Go(func() { errs[i] = run.run(ctx, start) })
	}
	wait.Wait()
	progress()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	report := newBenchReport(runs, time.Since(start))
	if err := writeOne(o.a, benchColumns, report); err != nil {
		return err
	}
	switch {
	case report.wrong > 0:
		return fmt.Errorf("%d of %d answers were wrong: %w", report.wrong, report.requests, report.firstWrong)
	case report.lost > 0:
		return fmt.Errorf("%d of %d requests got no answer", report.lost, report.requests)
	}
	return ctx.Err()
}

// newBenchReport sums up what the sockets counted.
func newBenchReport(runs []*benchSocket, elapsed time.Duration) *benchReport {
	r := &benchReport{elapsed: elapsed}
	for _, run := range runs {
		r.requests += run.requests
		r.answers += run.answers
		r.wrong += run.wrong
		r.lost += run.lost
		r.retransmissions += run.retransmissions
		r.foreign += run.foreign
		r.latency.merge(&run.latency)
		if r.firstWrong == nil {
			r.firstWrong = run.firstWrong
		}
	}
	return r
}

// benchReport is the result of a load.
type benchReport struct {
	elapsed                        time.Duration
	requests, answers, wrong, lost uint64
	retransmissions, foreign       uint64
	latency                        histogram
	firstWrong                     error
}

// micros gives a quantile in microseconds, as its unit is in the column's name.
func micros(q float64) func(*benchReport) any {
	return func(r *benchReport) any { return r.latency.quantile(q).Microseconds() }
}

func humanLatency(q float64) func(*benchReport) string {
	return func(r *benchReport) string { return r.latency.quantile(q).Round(time.Microsecond).String() }
}

var benchColumns = []column[benchReport]{
	{name: "requests", value: func(r *benchReport) any { return r.requests }},
	{name: "answers", value: func(r *benchReport) any { return r.answers }},
	{name: "wrong_answers", value: func(r *benchReport) any { return r.wrong }},
	{name: "lost", value: func(r *benchReport) any { return r.lost }},
	{name: "retransmissions", value: func(r *benchReport) any { return r.retransmissions }},
	{name: "ignored_packets", value: func(r *benchReport) any { return r.foreign }},
	{name: "seconds", value: func(r *benchReport) any { return float64(r.elapsed.Milliseconds()) / 1000 }},
	{name: "answers_per_second", value: func(r *benchReport) any { return int64(float64(r.answers) / r.elapsed.Seconds()) }},
	{name: "latency_p50_us", label: "latency p50", value: micros(0.5), human: humanLatency(0.5)},
	{name: "latency_p90_us", label: "latency p90", value: micros(0.9), human: humanLatency(0.9)},
	{name: "latency_p99_us", label: "latency p99", value: micros(0.99), human: humanLatency(0.99)},
	{name: "latency_p999_us", label: "latency p99.9", value: micros(0.999), human: humanLatency(0.999)},
	{name: "latency_max_us", label: "latency max", value: micros(1), human: humanLatency(1)},
}

// createFile makes the file for a log of results; "-" is not allowed, since the
// report goes to standard output.
func createFile(path string) (io.WriteCloser, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, reason(err))
	}
	return file, nil
}
