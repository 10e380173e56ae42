package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// acctOptions are those of `bench acct`.
type acctOptions struct {
	benchOptions
	interims   int
	open       int
	nases      int
	clock      string
	spread     bool
	loss       float64
	repeat     float64
	reboot     int
	ago        time.Duration
	login      bool
	password   string
	authServer []string
	ackPath    string
}

// clocks are what NASes say about time, by name.
var clocks = map[string][]nasClock{
	"timestamp": {{timestamp: true}},
	"delay":     {{delay: true}},
	"both":      {{timestamp: true, delay: true}},
	"mixed":     {{timestamp: true}, {timestamp: true, delay: true}, {delay: true}},
}

func (a *app) benchAcctCommand() *cobra.Command {
	o := &acctOptions{benchOptions: benchOptions{target: target{a: a}}}
	c := &cobra.Command{
		Use:   "acct",
		Short: "Load a server with accounting of whole sessions",
		Long: `Accounts sessions as NASes do: a Start, interim updates with growing counters, a
Stop, each sent when the one before was acknowledged, and sent again until it is
(RFC 5080 section 2.2.1). A request that stays unanswered goes to the next server
after two transmissions.

The network may be made worse: --loss loses a share of requests and of answers,
--repeat delivers requests twice, at once or late. --reboot lets NASes restart: in
turn in order, with Accounting-Off, or by a crash, that forgets what is under way.
Then comes an Accounting-On, and their Acct-Session-Ids count from one again.
NASes differ in what they say of time, see --clock: those that send
Acct-Delay-Time change it when they send a request again, and with it the
Identifier and the authenticator (RFC 2866 section 5.2).

With --log, every record is written to a CSV file, with the time when it was
acknowledged; without one if it was sent and never answered, because the NAS
crashed or the load was interrupted. 'radiusd bench verify' compares that log with
the stores.

With --ago, the sessions took place that long ago, as those that a NAS delivers
after it was cut off from its servers. Up to seven days are believed; beyond, the
NAS's clock is taken to be wrong, and usage counts when it is told of.

A seed gives the same sessions, counters and losses again. On one store, give each
load another seed, as its NASes and sessions are called the same otherwise.`,
		Example: `  radiusd bench acct --duration 30s --concurrency 256
  radiusd bench acct --rate 20000 --open 100000 --nas 16 --concurrency 1024 --duration 1m --log acknowledged.csv
  radiusd bench acct --sessions 10000 --loss 0.05 --repeat 0.05 --reboot 500 --wait 200ms --log acknowledged.csv
  radiusd bench acct --sessions 100 --ago 48h
  radiusd bench acct --server 192.0.2.1 --server 192.0.2.2 --spread --remote --secret-stdin`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.completeAcct(); err != nil {
				return err
			}
			return o.runAcct(c.Context())
		},
	}
	o.benchFlags(c, 0)
	flags := c.Flags()
	flags.Uint64Var(&o.count, "sessions", 0, "how many sessions to account (default: for --duration)")
	flags.IntVar(&o.interims, "interims", 2, "interim updates in each session")
	flags.IntVar(&o.open, "open", 0, "sessions open at a time (default as many as --concurrency)")
	flags.IntVar(&o.nases, "nas", 0, "`NUMBER` of NASes (default one for each socket)")
	flags.StringVar(&o.clock, "clock", "mixed", "what NASes send of time: timestamp (Event-Timestamp), delay (Acct-Delay-Time), both, or mixed, each NAS one of these")
	flags.BoolVar(&o.spread, "spread", false, "send the requests to the servers in turn (default: to the next one when one does not answer)")
	flags.Float64Var(&o.loss, "loss", 0, "`SHARE` of requests, and of answers, that the network loses; up to 0.9")
	flags.Float64Var(&o.repeat, "repeat", 0, "`SHARE` of requests that the network delivers twice")
	flags.IntVar(&o.reboot, "reboot", 0, "a NAS restarts after about so many `SESSIONS` (default never)")
	flags.DurationVar(&o.ago, "ago", 0, "the sessions took place so long ago: 48h for two days")
	flags.BoolVar(&o.login, "login", false, "begin sessions with an Access-Request, and return the Class of its answer")
	flags.StringVar(&o.password, "password", "bench{n}", "`PASSWORD` for --login; {n} is the user's number")
	flags.StringArrayVar(&o.authServer, "auth-server", nil, "`HOST[:PORT]` for --login (default --server, on port 1812)")
	flags.StringVar(&o.ackPath, "log", "", "CSV `FILE` for the records and when they were acknowledged")
	_ = c.MarkFlagFilename("log", "csv")
	completeFlag(c, "clock", clockNames()...)
	return c
}

func clockNames() []string {
	return []string{"timestamp", "delay", "both", "mixed"}
}

// completeAcct checks the options and derives what is not given.
func (o *acctOptions) completeAcct() error {
	switch {
	case o.interims < 0 || o.interims > 1e6:
		return usagef("--interims: want 0 to 1000000")
	case o.loss < 0 || o.loss > 0.9 || o.repeat < 0 || o.repeat > 1:
		return usagef("--loss: want 0 to 0.9, and --repeat 0 to 1")
	case o.open < 0 || o.open > 1<<24 || o.nases < 0 || o.nases > 1<<15 || o.reboot < 0:
		return usagef("--open: want 0 to %d, --nas 0 to %d, and --reboot no less than 0", 1<<24, 1<<15)
	case clocks[o.clock] == nil:
		return usagef("--clock: %q is not one of %s", o.clock, strings.Join(clockNames(), ", "))
	case o.ago < 0 || o.ago > 10*365*24*time.Hour:
		return usagef("--ago: want 0 to 10 years")
	case !o.login && len(o.authServer) > 0:
		return usagef("--auth-server is for --login")
	}
	if err := o.completeBench(acctPort); err != nil {
		return err
	}
	if o.open == 0 {
		o.open = o.concurrency
	}
	if o.nases == 0 {
		o.nases = o.sockets
	}
	// A NAS sends from one socket.
	if least := (o.concurrency + identifiersUsed - 1) / identifiersUsed; o.nases < least {
		return usagef("--concurrency %d: %d NASes do not have so many Identifiers, give at least --nas %d", o.concurrency, o.nases, least)
	}
	o.sockets = min(o.sockets, o.nases)
	if !o.login {
		return nil
	}
	if len(o.authServer) == 0 {
		for _, server := range o.servers {
			host, _, _ := net.SplitHostPort(server)
			o.authServer = append(o.authServer, host)
		}
	}
	if len(o.authServer) != len(o.servers) {
		return usagef("--auth-server: want as many as --server")
	}
	for i, server := range o.authServer {
		server, err := hostPort(server, authPort)
		if err != nil {
			return usagef("--auth-server: %v", err)
		}
		if !o.remote && !isLoopback(server) {
			return usagef("%s is not on this machine: give --remote if you are allowed to load it", server)
		}
		o.authServer[i] = server
	}
	return nil
}

// runAcct loads the servers.
func (o *acctOptions) runAcct(ctx context.Context) (err error) {
	var log *ackLog
	if o.ackPath != "" {
		file, err := createFile(o.ackPath)
		if err != nil {
			return err
		}
		log = newAckLog(file)
		defer func() { err = errors.Join(err, log.close()) }()
	}
	if o.reboot == 0 {
		o.total = int64(o.count) * int64(o.interims+2)
	}
	addresses := slices.Concat(o.servers, o.authServer)
	return o.runBench(ctx, addresses, func(socket, slots int) (benchSource, error) {
		source := newAcctSource(o, slots, log)
		for n := socket; n < o.nases; n += o.sockets {
			source.add(n)
		}
		if len(source.nases) == 0 {
			return nil, fmt.Errorf("bench: no NAS for socket %d", socket)
		}
		return source, nil
	})
}

// share returns the part of a whole that one of several has.
func share[T int | uint64](whole T, index, of int) T {
	part := whole / T(of)
	if T(index) < whole%T(of) {
		part++
	}
	return part
}

// nasClock is what a NAS sends of the time of its records, one at least.
type nasClock struct {
	timestamp bool          // Event-Timestamp
	delay     bool          // Acct-Delay-Time
	ago       time.Duration // how long before it is sent first what is told of took place
}

// delayOf returns the Acct-Delay-Time of a request that was sent first a time ago.
// A boot without Event-Timestamp is told from the next by Acct-Delay-Time alone, so
// one that is sent again has always one.
func (c nasClock) delayOf(since time.Duration, boot bool) uint32 {
	seconds := uint32((c.ago + since) / time.Second)
	if boot && since > 0 {
		seconds++
	}
	return seconds
}
