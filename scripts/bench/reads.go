//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// startAdminAPI starts an admin API on the database of a server, on the load generator's
// core, and returns its address and a token for it.
func (b *bench) startAdminAPI(ctx context.Context, s *server) (base, token string, stop func() error, err error) {
	port, err := testbed.FreePort()
	if err != nil {
		return "", "", nil, err
	}
	program := filepath.Join(filepath.Dir(b.radiusd), "adminapi")
	config := filepath.Join(s.folder, "adminapi.yaml")
	settings := fmt.Sprintf("data_dir: %s\nmaster_key_file: %s\nstore: {url: %q}\nadmin: {listen: \"127.0.0.1:%d\"}\n",
		filepath.Join(s.folder, "admin"), filepath.Join(s.folder, "data", "master.key"), b.postgres.URL(s.database), port)
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return "", "", nil, err
	}
	added, err := testbed.Run(program, "--config", config, "operator", "list", "-o", "json")
	if err != nil {
		return "", "", nil, err
	}
	if !strings.Contains(string(added), `"`+readerName+`"`) {
		if _, err := testbed.Run(program, "--config", config, "operator", "add", readerName, "--role", "owner", "--password", readerPassword); err != nil {
			return "", "", nil, err
		}
	}
	args := append(front(b.places.generator), program, "--config", config, "serve")
	process, err := b.bed.Start("adminapi", syscall.SIGTERM, exec.Command(args[0], args[1:]...))
	if err != nil {
		return "", "", nil, err
	}
	stop = func() error { return b.bed.Stop(process) }
	base = fmt.Sprintf("http://127.0.0.1:%d/api/v1", port)
	err = process.Await(func() (err error) {
		token, err = signIn(ctx, base)
		return err
	})
	if err != nil {
		return "", "", nil, errors.Join(err, stop())
	}
	return base, token, stop, nil
}

// signIn returns an access token.
func signIn(ctx context.Context, base string) (string, error) {
	body, err := json.Marshal(map[string]string{"name": readerName, "password": readerPassword})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/auth/login", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("sign in: %s", response.Status)
	}
	return answer.Token, nil
}

// readBeside has an admin API beside the server read while the load counts.
func (b *bench) readBeside(ctx context.Context, s *server, st *stage) (e effect, err error) {
	base, token, stop, err := b.startAdminAPI(ctx, s)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	self, err := os.Executable()
	if err != nil {
		return e, err
	}
	args := append(front(b.places.generator), self, "read", "-base", base, "-users", strconv.Itoa(s.users),
		"-rate", strconv.Itoa(readRate), "-duration", b.duration.String())
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Stdin = strings.NewReader(token)
	st.await(s.process.PID())
	out, err := cmd.Output()
	if err != nil {
		return e, fmt.Errorf("read: %w", err)
	}
	return e, json.Unmarshal(out, &e.reads)
}

// reads are what became of reads.
type reads struct {
	PerSecond float64
	P50, P99  time.Duration // from when a read was due
	Failed    int
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
	r := &reader{base: base, token: strings.TrimSpace(string(token)), users: users,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}}
	defer r.client.CloseIdleConnections()
	if err := r.findIDs(ctx); err != nil {
		return err
	}
	var mu sync.Mutex
	var latency histogram
	var result reads
	var wait sync.WaitGroup
	start := time.Now()
	for c := range clients {
		wait.Go(func() {
			for n := c; ; n += clients {
				due := time.Since(start)
				if rate > 0 {
					due = time.Duration(float64(n) / float64(rate) * float64(time.Second))
				}
				if due >= duration {
					return
				}
				if early := due - time.Since(start); early > 0 {
					time.Sleep(early)
				}
				err := r.read(ctx, n)
				mu.Lock()
				latency.add(int64(time.Since(start) - due))
				result.PerSecond++
				if err != nil {
					result.Failed++
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	result.PerSecond /= time.Since(start).Seconds()
	result.P50, result.P99 = latency.quantile(0.5), latency.quantile(0.99)
	return json.NewEncoder(w).Encode(result)
}

// reader reads the API as an operator's console does.
type reader struct {
	base, token string
	users       int
	ids         []string
	client      *http.Client
}

// findIDs learns the ids of some users.
func (r *reader) findIDs(ctx context.Context) error {
	var list struct {
		Items []struct{ ID string }
	}
	if err := r.get(ctx, "/users?limit=1000", &list); err != nil {
		return err
	}
	for _, user := range list.Items {
		r.ids = append(r.ids, user.ID)
	}
	if len(r.ids) == 0 {
		return errors.New("there are no users")
	}
	return nil
}

func (r *reader) read(ctx context.Context, n int) error {
	var body struct {
		ID    string
		Items []struct{ ID string }
	}
	switch n % 4 {
	case 0, 1:
		name := userName(1 + n*7919%r.users)
		if err := r.get(ctx, "/users?limit=10&q="+url.QueryEscape(string(name)), &body); err != nil {
			return err
		}
		if len(body.Items) == 0 {
			return errors.New("a user is not found")
		}
	case 2:
		id := r.ids[n*31%len(r.ids)]
		if err := r.get(ctx, "/users/"+id, &body); err != nil {
			return err
		}
		if body.ID != id {
			return errors.New("it is another user")
		}
	default:
		return r.get(ctx, "/sessions?online=true&limit=10", &body)
	}
	return nil
}

func (r *reader) get(ctx context.Context, path string, body any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, response.Body)
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(body)
}
