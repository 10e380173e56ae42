package cli

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
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
  radiusd bench acct --sessions 10000 --interims 3 --log acknowledged.csv
  radiusd bench verify acknowledged.csv`,
	}
	c.AddCommand(a.benchAuthCommand(), a.benchAcctCommand(), a.benchVerifyCommand())
	return c
}

// benchOptions are what both loads have in common.
type benchOptions struct {
	target
	servers     []string
	remote      bool
	concurrency int
	sockets     int
	rate        float64 // requests a second; 0: as fast as answers come
	duration    time.Duration
	count       uint64 // 0: until duration
	total       int64  // requests in all, if known
	wait        time.Duration
	maxWait     time.Duration
	giveUp      int // transmissions of a request; 0: until it is answered
	user        string
	users       int
	seed        uint64
}

func (o *benchOptions) benchFlags(c *cobra.Command, tries int) {
	flags := c.Flags()
	flags.StringArrayVar(&o.servers, "server", []string{"127.0.0.1"}, "`HOST[:PORT]` of the server (repeated: of several)")
	flags.StringVar(&o.secret, "secret", "", "shared `SECRET` (default $"+secretVariable+"; "+loopbackSecret+" on loopback only)")
	flags.BoolVar(&o.secretStdin, "secret-stdin", false, "read the shared secret from standard input")
	flags.BoolVar(&o.remote, "remote", false, "allow a server on another machine")
	flags.IntVar(&o.concurrency, "concurrency", 64, "requests under way at a time")
	flags.IntVar(&o.sockets, "sockets", 0, "sockets to send from, each with a thread of its own (default one for each CPU, more if concurrency needs it)")
	flags.Float64Var(&o.rate, "rate", 0, "requests a second (default: as fast as answers come)")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long to begin anything new; ignored with a count")
	flags.DurationVar(&o.wait, "wait", 2*time.Second, "how long to wait for an answer before the first retransmission; doubled with each (RFC 5080 section 2.2.1)")
	flags.DurationVar(&o.maxWait, "max-wait", 16*time.Second, "how long to wait between retransmissions at most")
	flags.IntVar(&o.giveUp, "tries", tries, "how often to send a request at most; 0: until it is answered")
	flags.StringVar(&o.user, "user", "bench{n}", "user `NAME`; {n} counts from 1 to --users")
	flags.IntVar(&o.users, "users", 1, "how many users {n} goes through")
	flags.Uint64Var(&o.seed, "seed", 0, "what is random depends on this `NUMBER` (default another one each time)")
	o.a.outputFlag(c)
}

// identifiersUsed of a socket's 256 carry a request each; the others are for
// requests that are sent again under a new Identifier.
const identifiersUsed = 192

// completeBench checks the options and derives what is not given.
func (o *benchOptions) completeBench(port string) error {
	o.timeout, o.tries = time.Second, 1 // not used: a load has its own retransmission
	if len(o.servers) > 16 {
		return usagef("--server: want at most 16")
	}
	for i, server := range o.servers {
		o.server = server
		if err := o.complete(port); err != nil {
			return err
		}
		o.servers[i], o.secretStdin = o.server, false
		if !o.remote && !isLoopback(o.server) {
			return usagef("%s is not on this machine: give --remote if you are allowed to load it", o.server)
		}
	}
	switch {
	case o.concurrency < 1 || o.concurrency > 1<<16:
		return usagef("--concurrency: want 1 to 65536")
	case o.rate < 0 || o.wait <= 0 || o.users < 1 || o.sockets < 0 || o.sockets > 1024 || o.giveUp < 0:
		return usagef("--rate, --wait, --tries, --users and --sockets must not be negative, --wait and --users not zero")
	case o.count == 0 && o.duration <= 0:
		return usagef("--duration must be greater than zero")
	case len(o.user)+8 > radius.MaxValueLength:
		return usagef("--user is too long")
	}
	if o.count > 1<<40 {
		return usagef("too many: want at most %d", 1<<40)
	}
	o.maxWait = max(o.maxWait, o.wait)
	if o.sockets == 0 {
		o.sockets = min(runtime.GOMAXPROCS(0), o.concurrency)
	}
	o.sockets = min(max(o.sockets, (o.concurrency+identifiersUsed-1)/identifiersUsed), o.concurrency)
	if o.seed == 0 {
		o.seed = rand.Uint64N(1<<53) + 1 // as JSON's numbers hold it
	}
	return nil
}

// numbered puts a number in place of {n}.
func numbered(pattern string, n int) string {
	return strings.ReplaceAll(pattern, "{n}", strconv.Itoa(n))
}

// benchSource makes the requests of one thread and judges their answers. Its
// methods are called from one goroutine. A slot is one place for a request under
// way; slots are numbered from zero.
type benchSource interface {
	// begin decides on the next request of a slot that has none; ending says that
	// nothing new is to be begun. It returns zero if there is one, how long to wait
	// if there may be one later, and less than zero if there will be none.
	begin(slot int, now time.Time, ending bool) (wait time.Duration)
	// encode appends the slot's request to dst as a signed packet; since is how long
	// ago it was sent first.
	encode(dst []byte, slot int, identifier uint8, since time.Duration) ([]byte, error)
	// fate says what is to become of a transmission of the slot's request; tries is
	// how many there were before, since how long ago the first one was.
	fate(slot, tries int, since time.Duration) fate
	// answered judges the answer to the request of the slot that has the
	// authenticator. An error is a wrong answer, errUnverified one that does not
	// count as an answer.
	answered(slot int, answer radius.Packet, authenticator *[16]byte) error
	// forgotten reports whether who has sent the slot's request knows nothing of it
	// any more.
	forgotten(slot int) bool
	// lost says that the request of the slot gets no answer.
	lost(slot int)
}

// fate is what becomes of a transmission. The zero value is the packet as sent
// before, to the first server, and a network that delivers everything once.
type fate struct {
	link       int  // the server it goes to
	renew      bool // encode it anew, under a new Identifier
	lose       bool // the network loses the request
	loseAnswer bool // or its answer
	repeat     bool // the network delivers the request twice
	repeatLate bool // or once more when it was answered
}

// runBench drives a source for each socket and writes the report.
func (o *benchOptions) runBench(ctx context.Context, addresses []string, source func(socket, slots int) (benchSource, error)) error {
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
		runs[i] = &benchSocket{
			source: s, addresses: addresses, slots: slots[i], wait: o.wait, maxWait: o.maxWait, giveUp: o.giveUp,
			sent: &sent, random: rand.New(rand.NewPCG(o.seed, uint64(i))),
		}
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
	for _, err := range errs { // what one has met, all have met
		if err != nil {
			return err
		}
	}
	report := newBenchReport(runs, time.Since(start))
	report.seed = o.seed
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
		r.abandoned += run.abandoned
		r.retransmissions += run.retransmissions
		r.repeats += run.repeats
		r.dropped += run.dropped
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
	elapsed                                   time.Duration
	seed                                      uint64
	requests, answers, wrong, lost, abandoned uint64
	retransmissions, repeats, dropped         uint64
	foreign                                   uint64
	latency                                   histogram
	firstWrong                                error
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
	{name: "abandoned", value: func(r *benchReport) any { return r.abandoned }},
	{name: "retransmissions", value: func(r *benchReport) any { return r.retransmissions }},
	{name: "repeated_packets", value: func(r *benchReport) any { return r.repeats }},
	{name: "dropped_packets", value: func(r *benchReport) any { return r.dropped }},
	{name: "ignored_packets", value: func(r *benchReport) any { return r.foreign }},
	{name: "seconds", value: func(r *benchReport) any { return float64(r.elapsed.Milliseconds()) / 1000 }},
	{name: "answers_per_second", value: func(r *benchReport) any { return int64(float64(r.answers) / r.elapsed.Seconds()) }},
	{name: "latency_p50_us", label: "latency p50", value: micros(0.5), human: humanLatency(0.5)},
	{name: "latency_p90_us", label: "latency p90", value: micros(0.9), human: humanLatency(0.9)},
	{name: "latency_p99_us", label: "latency p99", value: micros(0.99), human: humanLatency(0.99)},
	{name: "latency_p999_us", label: "latency p99.9", value: micros(0.999), human: humanLatency(0.999)},
	{name: "seed", value: func(r *benchReport) any { return r.seed }, detail: true},
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
