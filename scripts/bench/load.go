//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// counts are what the answers were.
type counts struct {
	Requests   uint64 `json:"requests"`
	Answers    uint64 `json:"answers"`
	Wrong      uint64 `json:"wrong"`      // the right signature and the wrong code
	Unverified uint64 `json:"unverified"` // not signed by the server, or not for this request
	Unexpected uint64 `json:"unexpected"` // nothing was asked under that Identifier, or not any more
	Lost       uint64 `json:"lost"`       // of those that were due while it measured
}

// A load is the report of a generator.
type load struct {
	counts
	Total      uint64        `json:"total"` // answers, those before and after the time that is measured included
	Elapsed    time.Duration `json:"elapsed"`
	ServerCPU  time.Duration `json:"server_cpu"`
	OwnCPU     time.Duration `json:"own_cpu"`
	CoreCPU    time.Duration `json:"core_cpu"` // of the server's CPU, all that was not idle
	P50        time.Duration `json:"p50"`
	P99        time.Duration `json:"p99"`
	Max        time.Duration `json:"max"`
	BatchSize  float64       `json:"batch"` // answers that came at once
	FirstError string        `json:"first_error,omitempty"`
	Preempted  bool          `json:"preempted"` // could not get the priority to be on time
}

// A source makes requests and judges answers.
type source interface {
	// request returns the next packet for a socket and an Identifier, which is not
	// changed before it was answered or lost.
	request(socket, identifier int) []byte
	// verify judges the answer, of which authenticator is the request's.
	verify(b *answerBuffer, n int, request []byte) verdict
}

type verdict uint8

const (
	right verdict = iota
	wrongCode
	unverified
)

// waitForAnswer is when a request is lost.
const waitForAnswer = time.Second

func (c counts) since(b counts) counts {
	return counts{c.Requests - b.Requests, c.Answers - b.Answers, c.Wrong - b.Wrong, c.Unverified - b.Unverified,
		c.Unexpected - b.Unexpected, c.Lost - b.Lost}
}

// generate is the command that the benchmark starts for each load.
func generate(ctx context.Context, args []string, w io.Writer) error {
	var server, method, core string
	var concurrency, sockets, nases, users, watch int
	var unsigned, mixed, distinct, disturbed bool
	var rate float64
	var warmup, duration time.Duration
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	flags.StringVar(&server, "server", "", "address and port")
	flags.StringVar(&method, "method", "pap", "echo, pap, chap, mschapv2, acct")
	flags.BoolVar(&unsigned, "unsigned", false, "take answers without Message-Authenticator")
	flags.IntVar(&concurrency, "concurrency", 128, "requests under way")
	flags.IntVar(&sockets, "sockets", 8, "sockets")
	flags.IntVar(&nases, "nases", 8, "NASes")
	flags.BoolVar(&mixed, "mixed", false, "the packets of all NASes leave in turn, from any socket; otherwise each socket is a NAS and sends in runs")
	flags.BoolVar(&distinct, "distinct", false, "each NAS has its own secret")
	flags.BoolVar(&disturbed, "disturbed", false, "close descriptor 3 when it begins to count, and count until 4 is closed")
	flags.IntVar(&users, "users", 100_000, "users")
	flags.IntVar(&watch, "watch", 0, "process of the server")
	flags.StringVar(&core, "core", "", "CPU of the server")
	flags.Float64Var(&rate, "rate", 0, "requests a second; 0: as fast as answers come")
	flags.DurationVar(&warmup, "warmup", 500*time.Millisecond, "before it counts")
	flags.DurationVar(&duration, "duration", 3*time.Second, "how long it counts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return err
	}
	// At a rate it must be on time, whatever else its core has to do: in earnest, NASes
	// do not share one with the server's database.
	preempted := rate > 0 && goFirst() != nil
	g := &generator{concurrency: concurrency, in: newBatch(false), out: newBatch(mixed), mixed: mixed}
	if disturbed {
		g.begun = os.NewFile(3, "begun")
		end := os.NewFile(4, "end")
		go func() {
			_, _ = io.Copy(io.Discard, end)
			g.end.Store(true)
		}()
	}
	if rate > 0 {
		g.interval, g.concurrency = 1e9/rate, sockets*256
	}
	if g.source, err = newSource(method, sockets, users, newNASKeys(nases, distinct), unsigned); err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nothing allocates from here on
	defer g.close()
	if err := g.open(to, sockets); err != nil {
		return err
	}
	report, err := g.run(ctx, warmup, duration, watch, core)
	if err != nil {
		return err
	}
	report.Preempted = preempted
	return json.NewEncoder(w).Encode(report)
}

func newSource(method string, sockets, users int, keys []nasKey, unsigned bool) (source, error) {
	if method == "acct" {
		return newAcctSource(sockets, users, keys), nil
	}
	logins := &poolSource{turn: make([]uint16, sockets*256), unsigned: unsigned}
	var err error
	if method == "echo" {
		logins.pool, err = newPool("pap", sockets, users, keys)
		return &echoSource{logins}, err
	}
	logins.pool, err = newPool(method, sockets, users, keys)
	return logins, err
}

// goFirst gives this program's threads real-time priority, those that come later too.
// It needs CAP_SYS_NICE.
func goFirst() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		attributes := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		if err := unix.SchedSetAttr(tid, attributes, 0); err != nil {
			return fmt.Errorf("real-time priority: %w", err)
		}
	}
	return nil
}
