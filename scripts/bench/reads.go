//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"radiusd/internal/freeport"
	"radiusd/scripts/internal/testbed"
)

// readRate is how many reads a second the admin API is asked for beside a server at half
// its peak.
const readRate = 2000

// The operator that reads, of a database of the benchmark's own.
const (
	readerName     = "bench"
	readerPassword = "four tall ships off a windy cape"
)

// adminAPI is one that runs.
type adminAPI struct {
	base    string // URL
	token   string // for some minutes
	process *testbed.Process
}

// copyOf is a database that is a copy of another one, made when the run began.
func copyOf(database string) string { return database + "_copy" }

// startAdminAPIs starts an admin API on the database of a server and one on its copy,
// and has each read for a moment, so that no measurement has their beginnings.
func (b *bench) startAdminAPIs(ctx context.Context, s *server) error {
	b.apis = map[string]*adminAPI{}
	for _, database := range []string{s.database, copyOf(s.database)} {
		api, err := b.startAdminAPI(ctx, s, database)
		if err != nil {
			return err
		}
		b.apis[database] = api
		if _, err := b.read(ctx, s, api, b.placesFor(readServer).reader, 0, b.warmup); err != nil {
			return err
		}
	}
	return nil
}

// startAdminAPI starts an admin API on a database, beside Postgres.
func (b *bench) startAdminAPI(ctx context.Context, s *server, database string) (*adminAPI, error) {
	port, err := freeport.Reserve()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(filepath.Dir(b.radiusd), "adminapi")
	config := filepath.Join(s.folder, database+".yaml")
	settings := fmt.Sprintf("data_dir: %s\nmaster_key_file: %s\nstore: {url: %q}\nadmin: {listen: \"127.0.0.1:%d\", metrics_listen: \"\"}\n",
		filepath.Join(s.folder, database), filepath.Join(s.folder, "data", "master.key"), b.postgres.URL(database), port)
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	added, err := testbed.Run(program, "--config", config, "operator", "list", "-o", "json")
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(added), `"`+readerName+`"`) {
		if _, err := testbed.Run(program, "--config", config, "operator", "add", readerName, "--role", "owner", "--password", readerPassword); err != nil {
			return nil, err
		}
	}
	args := append(b.aside(b.places.stores), program, "--config", config, "serve")
	process, err := b.bed.Start("adminapi-"+database, syscall.SIGTERM, exec.Command(args[0], args[1:]...))
	if err != nil {
		return nil, err
	}
	api := &adminAPI{base: fmt.Sprintf("http://127.0.0.1:%d/api/v1", port), process: process}
	return api, process.Await(func() error { return api.signIn(ctx) })
}

// signIn gets an access token, before a measurement that reads.
func (a *adminAPI) signIn(ctx context.Context) error {
	body, err := json.Marshal(map[string]string{"name": readerName, "password": readerPassword})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/auth/login", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		return fmt.Errorf("sign in: %s", response.Status)
	}
	a.token = answer.Token
	return nil
}

// readBeside has an admin API read while the load counts.
func (b *bench) readBeside(ctx context.Context, s *server, api *adminAPI, st *stage) (e effect, err error) {
	st.await(s.process.PID())
	e.reads, err = b.read(ctx, s, api, b.placesFor(readServer).reader, readRate, b.duration)
	return e, err
}

// readAlone has the admin API read as fast as it answers, of a server that has nothing to
// do and leaves its core to who reads.
func (b *bench) readAlone(ctx context.Context, s *server) (reads, error) {
	api := b.apis[s.database]
	if err := api.signIn(ctx); err != nil {
		return reads{}, err
	}
	return b.read(ctx, s, api, b.places.server, 0, b.duration)
}

// read has another process, in its place, read for so long.
func (b *bench) read(ctx context.Context, s *server, api *adminAPI, place string, rate int, duration time.Duration) (r reads, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	args := append(b.aside(place), self, "read", "-base", api.base, "-users", strconv.Itoa(s.users),
		"-rate", strconv.Itoa(rate), "-duration", duration.String())
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Stdin = strings.NewReader(api.token)
	apiCPU, err := cpuOf(api.process.PID())
	if err != nil {
		return r, err
	}
	postgresCPU := b.postgresCPU()
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("read: %w", err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, err
	}
	ended, err := cpuOf(api.process.PID())
	r.APICPU, r.PostgresCPU = ended-apiCPU, b.postgresCPU()-postgresCPU
	return r, err
}

// reads are what became of reads.
type reads struct {
	PerSecond float64
	P50, P99  time.Duration // from when a read was due
	Done      int
	Failed    int
	Failure   string `json:",omitempty"` // one of those
	// APICPU, PostgresCPU and OwnCPU are the time of all reads.
	APICPU, PostgresCPU, OwnCPU time.Duration
}

// perRead is a time of all reads, for one of them, in microseconds.
func (r reads) perRead(all time.Duration) float64 {
	return float64(all.Microseconds()) / float64(max(r.Done, 1))
}

// cores is how much of a core, or how many, the API and Postgres had.
func (r reads) cores() float64 {
	return (r.APICPU + r.PostgresCPU).Seconds() * r.PerSecond / float64(max(r.Done, 1))
}

func (r reads) String() string {
	return fmt.Sprintf("%.0f a second, CPU a read: API %.0f µs, Postgres %.0f µs, reader %.0f µs; p50 %v, p99 %v, %d failed; API and Postgres had %.2f cores %s",
		r.PerSecond, r.perRead(r.APICPU), r.perRead(r.PostgresCPU), r.perRead(r.OwnCPU), r.P50, r.P99, r.Failed, r.cores(), r.Failure)
}

// runRead is the command that reads: lists of ten users by the beginning of their name,
// single users, and lists of sessions. The token comes from its input.
func runRead(ctx context.Context, args []string, input io.Reader, w io.Writer) error {
	var base string
	var users, rate, clients int
	var duration time.Duration
	flags := flag.NewFlagSet("read", flag.ContinueOnError)
	flags.StringVar(&base, "base", "", "URL of the API")
	flags.IntVar(&users, "users", 100_000, "users")
	flags.IntVar(&rate, "rate", readRate, "reads a second; 0: as many as it answers")
	flags.IntVar(&clients, "clients", 16, "connections")
	flags.DurationVar(&duration, "duration", 5*time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	token, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	target, err := url.Parse(base)
	if err != nil {
		return err
	}
	r := &reader{target: target, token: strings.TrimSpace(string(token)), users: users}
	if err := r.findIDs(); err != nil {
		return err
	}
	var mu sync.Mutex
	var latency histogram
	var result reads
	var wait sync.WaitGroup
	start := time.Now()
	for c := range clients {
		client, err := r.connect()
		if err != nil {
			return err
		}
		defer client.conn.Close()
		wait.Go(func() {
			for n := c; ctx.Err() == nil; n += clients {
				due := time.Since(start)
				if rate > 0 {
					due = time.Duration(float64(n) / float64(rate) * float64(time.Second))
				}
				if max(due, time.Since(start)) >= duration { // also of what fell behind
					return
				}
				if early := due - time.Since(start); early > 0 {
					time.Sleep(early)
				}
				err := client.read(n)
				mu.Lock()
				latency.add(int64(time.Since(start) - due))
				result.Done++
				if err != nil {
					result.Failed++
					result.Failure = err.Error()
				}
				mu.Unlock()
				if err != nil { // what is left of the answer is not the next one
					return
				}
			}
		})
	}
	wait.Wait()
	result.PerSecond = float64(result.Done) / time.Since(start).Seconds()
	result.P50, result.P99 = latency.quantile(0.5), latency.quantile(0.99)
	if result.OwnCPU, err = cpuOf(os.Getpid()); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(result)
}
