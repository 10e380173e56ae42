// Benchaccounting measures accounting on the machine it runs on: radiusd with Postgres
// and ClickHouse under a load at a rate, with a figure for each stage, and then
// FreeRADIUS with rlm_sql_postgresql under the same load generator. It prints Markdown,
// which is where docs/benchmarks.md has its figures from.
//
// All servers are its own, in a temporary folder and on free ports of loopback, and end
// with it. It needs what scripts/install-test-servers installs, and for the comparison
// Debian's package freeradius-postgresql.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"radiusd/scripts/internal/testbed"
)

// options are the command line.
type options struct {
	radiusd     string
	rate        int
	duration    time.Duration
	open        int
	interims    int
	nases       int
	users       int
	concurrency int
	closed      time.Duration
	freeradius  bool
	keep        bool
}

func main() {
	var o options
	flag.StringVar(&o.radiusd, "radiusd", "bin/radiusd", "the program")
	flag.IntVar(&o.rate, "rate", 20_000, "records a second")
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long to send at that rate")
	flag.IntVar(&o.open, "open", 20_000, "sessions open at a time")
	flag.IntVar(&o.interims, "interims", 12, "interims of a session: 12 is an hour with one every five minutes")
	flag.IntVar(&o.nases, "nas", 16, "NASes")
	flag.IntVar(&o.users, "users", 50_000, "users")
	flag.IntVar(&o.concurrency, "concurrency", 64, "requests under way at a time in a closed loop")
	flag.DurationVar(&o.closed, "closed", 20*time.Second, "how long to load each server in a closed loop; 0: not at all")
	flag.BoolVar(&o.freeradius, "freeradius", true, "compare with FreeRADIUS")
	flag.BoolVar(&o.keep, "keep", false, "keep the temporary folder, with logs and profiles")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "benchaccounting:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func run(ctx context.Context, o *options) (err error) {
	if o.radiusd, err = filepath.Abs(o.radiusd); err != nil {
		return err
	}
	bed, err := testbed.Open("")
	if err != nil {
		return err
	}
	if o.keep {
		bed.Temporary = false
		say("folder: %s", bed.Dir)
	}
	b := &bench{options: o, dir: bed.Dir, bed: bed}
	defer func() { err = errors.Join(err, bed.Close()) }()
	if err := b.measureRadiusd(ctx); err != nil {
		return err
	}
	if o.freeradius {
		if err := b.measureFreeRADIUS(ctx); err != nil {
			return err
		}
	}
	return b.print(os.Stdout)
}

// bench is one run.
type bench struct {
	*options
	dir string
	bed *testbed.Bed

	postgres            *testbed.Postgres
	clickhouse, radiusd *testbed.Process
	freeradiusServer    *testbed.Process
	clickhousePort      int
	metrics             string // address
	clickhouseVersion   string
	config              string // of radiusd

	sustained, closedLoop, freeradiusLoop load
	samples                               []sample
	profile                               map[string]time.Duration // CPU by stage
	profiled                              map[string]float64       // records meanwhile, by sink; "": journalled
	drained                               time.Duration            // after the last answer
	verified                              string
	radacct                               string
	before, after                         usage // CPU around the load at a rate
	freeradiusCPU                         usage
}

// load is the report of `radiusd bench acct`.
type load struct {
	Answers         int64 `json:"answers"`
	Retransmissions int64 `json:"retransmissions"`
	Rate            int64 `json:"answers_per_second"`
	P50             int64 `json:"latency_p50_us"`
	P90             int64 `json:"latency_p90_us"`
	P99             int64 `json:"latency_p99_us"`
	Max             int64 `json:"latency_max_us"`
	cpu             time.Duration
}

const secret = "benchmark-secret"

// load runs the load generator.
func (b *bench) load(ctx context.Context, address string, args ...string) (l load, err error) {
	args = append([]string{"bench", "acct", "--server", address, "--secret", secret, "--nas", strconv.Itoa(b.nases),
		"--open", strconv.Itoa(b.open), "--interims", strconv.Itoa(b.interims), "--users", strconv.Itoa(b.users), "--clock", "both", "-o", "json"}, args...)
	cmd := exec.CommandContext(ctx, b.options.radiusd, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return l, fmt.Errorf("radiusd %s: %w", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal(out, &l); err != nil {
		return l, fmt.Errorf("report of the load: %w", err)
	}
	l.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return l, nil
}

// measureRadiusd runs radiusd with both stores under a load at a rate and in a closed
// loop, and compares the stores with what was acknowledged.
func (b *bench) measureRadiusd(ctx context.Context) (err error) {
	if err := b.startPostgres(); err != nil {
		return err
	}
	if err := b.startClickHouse(ctx); err != nil {
		return err
	}
	acct, err := b.startRadiusd()
	if err != nil {
		return err
	}
	log := filepath.Join(b.dir, "acknowledged.csv")
	say("radiusd: %d records a second for %v", b.rate, b.duration)
	sampling, stop := context.WithCancel(ctx)
	sampled := make(chan struct{})
	go func() { defer close(sampled); b.sample(sampling) }()
	profiled := make(chan error, 1)
	go func() { profiled <- b.takeProfile(sampling) }()
	b.before = b.usage()
	b.sustained, err = b.load(ctx, acct, "--rate", strconv.Itoa(b.rate), "--duration", b.duration.String(), "--concurrency", "1024", "--log", log)
	if err == nil {
		err = <-profiled
	}
	if err == nil {
		b.drained, err = b.awaitDrained(ctx)
	}
	b.after = b.usage()
	stop()
	<-sampled
	if err != nil {
		return err
	}
	say("comparing the stores with the log")
	out, err := exec.CommandContext(ctx, b.options.radiusd, "--config", b.config, "bench", "verify", log, "--wait", "1m", "-o", "csv").CombinedOutput()
	if err != nil {
		return fmt.Errorf("radiusd bench verify: %w\n%s", err, out)
	}
	b.verified = string(out)
	if b.closed > 0 {
		say("radiusd: closed loop for %v", b.closed)
		if b.closedLoop, err = b.load(ctx, acct, "--duration", b.closed.String(), "--concurrency", strconv.Itoa(b.concurrency)); err != nil {
			return err
		}
		if _, err := b.awaitDrained(ctx); err != nil {
			return err
		}
	}
	return errors.Join(b.bed.Stop(b.radiusd), b.bed.Stop(b.clickhouse))
}

// measureFreeRADIUS runs FreeRADIUS on the same Postgres server in a closed loop.
func (b *bench) measureFreeRADIUS(ctx context.Context) error {
	acct, err := b.startFreeRADIUS()
	if err != nil {
		return err
	}
	say("FreeRADIUS: closed loop for %v", b.closed)
	before := b.usage()
	if b.freeradiusLoop, err = b.load(ctx, acct, "--duration", b.closed.String(), "--concurrency", strconv.Itoa(b.concurrency)); err != nil {
		return err
	}
	b.freeradiusCPU = b.usage().since(before)
	b.radacct, err = b.postgres.SQL("radius", "-Atc", "SELECT count(*), count(acctstoptime) FROM radacct")
	return err
}
