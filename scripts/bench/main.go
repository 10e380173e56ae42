//go:build linux

// Bench measures what a request costs radiusd on the machine it runs on, beside floors
// that nobody can be below and beside FreeRADIUS, with the same packets, in turn, and
// prints Markdown, which is where docs/benchmarks.md has its figures from.
//
// The server that is measured has one core, the load generator another. All servers are
// its own, in a temporary folder and on free ports of loopback, and end with it. It
// needs what scripts/install-test-servers installs.
package main

import (
	"context"
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
	radiusd         string
	only            string
	rounds          int
	duration        time.Duration
	warmup          time.Duration
	concurrency     int
	acctConcurrency int
	sockets         int
	users           int
	keep            string
	setup           bool
	latency         bool
	calm            float64
	scale           bool
	cpuprofile      string
	write           string
	nice            int
	serverCPUs      string
	generatorCPUs   string
	storeCPUs       string
	readerCPUs      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command runs the benchmark, or one of the processes that the benchmark starts: this
// program is also the load generator and the floors.
func command(ctx context.Context) error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "generate":
			return generate(ctx, os.Args[2:], os.Stdout)
		case "crowd":
			return runCrowd(os.Args[2:], os.Stdin, os.Stdout)
		case "read":
			return runRead(ctx, os.Args[2:], os.Stdin, os.Stdout)
		case "floor":
			return runFloor(os.Args[2], os.Args[3])
		}
	}
	var o options
	flag.Usage = usage
	flag.StringVar(&o.radiusd, "radiusd", "bin/radiusd", "the `PROGRAM`")
	flag.StringVar(&o.only, "only", "", "comma-separated `NAMES` of what is measured (default all)")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each is measured, in turn")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "how long at a time")
	flag.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "load before it counts")
	flag.IntVar(&o.concurrency, "concurrency", 256, "logins under way at a time")
	flag.IntVar(&o.acctConcurrency, "acct-concurrency", 1024, "accounting records under way at a time, at a server that syncs them")
	flag.IntVar(&o.sockets, "sockets", 8, "sockets of the load generator, each of them a NAS (1 to 64)")
	flag.IntVar(&o.users, "users", 100_000, "users")
	flag.StringVar(&o.keep, "keep", "", "set the servers up in `FOLDER`, keep it, and use it again when it is there")
	flag.BoolVar(&o.setup, "setup", false, "only set up the folder of -keep")
	flag.BoolVar(&o.latency, "latency", true, "measure latency at half the rate as well")
	flag.Float64Var(&o.calm, "calm", 0, "measure latency again, up to five times, when others had more than so many `PERCENT` of the server's core, and take the calmest (0: once)")
	flag.BoolVar(&o.scale, "scale", false, "measure radiusd with up to a million users and ten thousand NASes as well (setting up takes minutes)")
	flag.StringVar(&o.cpuprofile, "cpuprofile", "", "write a CPU profile of radiusd, from the middle of its load, to `FILE`")
	flag.StringVar(&o.write, "write", "", "put the result into the Markdown `FILE`, between the comments that mark its place, rather than on standard output")
	flag.StringVar(&o.serverCPUs, "server-cpus", "", "CPU of the server that is measured, as taskset -c takes it (default the first)")
	flag.StringVar(&o.generatorCPUs, "generator-cpus", "", "CPU of the load generator (default the third core's, or the second's)")
	flag.StringVar(&o.storeCPUs, "store-cpus", "", "CPUs of Postgres and the admin API (default the next four cores', or the generator's)")
	flag.StringVar(&o.readerCPUs, "reader-cpus", "", "CPU of who reads the admin API (default the generator's)")
	flag.IntVar(&o.nice, "nice", -15, "priority of all that takes part, above what else runs on the machine; less than 0 needs root")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("what is %q? -help lists the options", flag.Arg(0))
	}
	return run(ctx, &o)
}

func usage() {
	w := flag.CommandLine.Output()
	fmt.Fprintf(w, "usage: go run ./scripts/bench [options]    (or: make bench)\n\nMeasures, in turn:\n\n")
	for _, c := range contestants {
		fmt.Fprintf(w, "  %-27s %s\n", c.name, c.title)
	}
	fmt.Fprintf(w, "\nOptions:\n\n")
	flag.PrintDefaults()
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func run(ctx context.Context, o *options) (err error) {
	if o.radiusd, err = filepath.Abs(o.radiusd); err != nil {
		return err
	}
	b := &bench{options: o}
	chosen, err := choose(o.only, o.scale)
	if err != nil {
		return err
	}
	for _, c := range chosen {
		if c.disturbance == undisturbed {
			b.chosen = append(b.chosen, c)
		} else {
			b.disturbed = append(b.disturbed, c)
		}
	}
	switch {
	case o.rounds < 1 || o.duration < 100*time.Millisecond || o.users < 1 || o.users > 10_000_000:
		return errors.New("want one round or more of 100ms or more each, and one to ten million users")
	case o.sockets < 1 || o.sockets > 64 || o.concurrency < 1 || max(o.concurrency, o.acctConcurrency) > o.sockets*256:
		return errors.New("want 1 to 64 sockets, and at most 256 requests under way on each")
	case o.setup && o.keep == "":
		return errors.New("-setup needs -keep")
	}
	if o.write != "" {
		if _, _, err := place(o.write); err != nil { // rather now than after the measurement
			return err
		}
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		return errors.New("taskset is not installed (Debian: util-linux)")
	}
	if b.places, err = placesOf(cores()); err != nil {
		return err
	}
	for _, place := range []struct{ to, from *string }{
		{&b.places.server, &o.serverCPUs}, {&b.places.generator, &o.generatorCPUs}, {&b.places.stores, &o.storeCPUs}, {&b.places.reader, &o.readerCPUs}} {
		if *place.from != "" {
			*place.to = *place.from
		}
	}
	// Nothing of this program is to run on the server's CPU; what it starts has a place of its own.
	if out, err := exec.Command("taskset", "-a", "-c", "-p", b.places.generator, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	if err := renice(o.nice); err != nil {
		say("the machine's own business will disturb more: %v", err)
		o.nice = 0
	}
	if b.bed, err = testbed.Open(o.keep); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.bed.Close()) }()
	if err := b.startAll(ctx); err != nil || o.setup {
		return err
	}
	if err := b.measureAll(ctx); err != nil {
		return err
	}
	if err := b.measureDisturbed(ctx); err != nil {
		return err
	}
	if o.write != "" {
		return b.writeInto(o.write)
	}
	return b.print(os.Stdout)
}

// choose returns the contestants with the names, which are separated by commas. A name
// that ends in a star stands for all that begin with it.
func choose(names string, scale bool) ([]*contestant, error) {
	var chosen []*contestant
	for _, c := range contestants {
		if names == "" && (!c.special || scale) {
			chosen = append(chosen, c)
		}
	}
	if names == "" {
		return chosen, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		found := false
		prefix, many := strings.CutSuffix(strings.TrimSpace(name), "*")
		for _, c := range contestants {
			if c.name == prefix || many && strings.HasPrefix(c.name, prefix) {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-only: there is no %q; -help lists what there is", name)
		}
	}
	return chosen, nil
}
