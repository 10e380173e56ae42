package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// binary is radiusd as an operator gets it, built once for all tests here.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "radiusd-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		defer testserver.StopPostgres()
		defer testserver.StopRedis()
		defer testserver.StopClickHouse()
		binary = filepath.Join(dir, "radiusd")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build radiusd: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// engines run a test on each store that radiusd can have.
func engines(t *testing.T, test func(t *testing.T, site *site)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newSite(t, ""))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newSite(t, testserver.Postgres(t)))
	})
}

// site is one installation: a folder with a configuration, on ports of its own.
type site struct {
	t      *testing.T
	dir    string
	config string // path
	// launcher is a command that starts the server; none: it is started itself.
	launcher []string
}

func newSite(t *testing.T, storeURL string) *site {
	dir := t.TempDir()
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "radiusd.yaml")}
	s.configure(fmt.Sprintf(`
data_dir: %s
auth: {listen: ["127.0.0.1:0", "[::1]:0"], reject_delay: 0s}
acct: {listen: ["127.0.0.1:0", "[::1]:0"]}
metrics: {listen: "127.0.0.1:0"}
store: {url: %q}
`, filepath.Join(dir, "data"), storeURL))
	return s
}

func (s *site) configure(text string) {
	require.NoError(s.t, os.WriteFile(s.config, []byte(text), 0o600))
}

// run runs a command of radiusd on the site and returns what it wrote and how it
// ended.
func (s *site) run(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := exec.Command(binary, append(args, "--config", s.config)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		require.NoError(s.t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// do is run for a command that must succeed.
func (s *site) do(args ...string) string {
	s.t.Helper()
	out, errs, code := s.run("", args...)
	require.Zero(s.t, code, "radiusd %s: %s", strings.Join(args, " "), errs)
	return out
}

// rows is do for a list command, decoded.
func (s *site) rows(args ...string) []map[string]any {
	s.t.Helper()
	var rows []map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(s.do(append(args, "-o", "json")...)), &rows))
	return rows
}

// server is a running radiusd serve.
type server struct {
	t       *testing.T
	cmd     *exec.Cmd
	auth    [2]string // IPv4, IPv6
	acct    [2]string
	metrics string
	exited  chan struct{}

	mu  sync.Mutex
	log []string
}

// start runs serve and waits until it says that it is ready.
func (s *site) start(args ...string) *server {
	s.t.Helper()
	line := slices.Concat(s.launcher, []string{binary, "serve", "--config", s.config, "--log-format", "json"}, args)
	cmd := exec.Command(line[0], line[1:]...)
	stderr, err := cmd.StderrPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	v := &server{t: s.t, cmd: cmd, exited: make(chan struct{})}
	ready := make(chan struct{})
	go v.follow(stderr, ready)
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-v.exited
	})
	select {
	case <-ready:
	case <-v.exited:
		require.FailNow(s.t, "serve ended", v.logged())
	case <-time.After(patience):
		require.FailNow(s.t, "serve is not ready", v.logged())
	}
	return v
}

// follow keeps the log and reads the addresses from the line that says ready.
func (v *server) follow(stderr io.Reader, ready chan<- struct{}) {
	defer close(v.exited)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		v.mu.Lock()
		v.log = append(v.log, lines.Text())
		v.mu.Unlock()
		var line struct {
			Msg        string
			Auth, Acct []string
			Metrics    string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			copy(v.auth[:], line.Auth)
			copy(v.acct[:], line.Acct)
			v.metrics = line.Metrics
			close(ready)
		}
	}
	_ = v.cmd.Wait()
}

func (v *server) logged() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return strings.Join(v.log, "\n")
}

// kill is kill -9.
func (v *server) kill() {
	require.NoError(v.t, v.cmd.Process.Kill())
	<-v.exited
}

// terminate is SIGTERM; it returns the exit code.
func (v *server) terminate() int {
	require.NoError(v.t, v.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-v.exited:
	case <-time.After(patience):
		require.FailNow(v.t, "serve does not end on SIGTERM", v.logged())
	}
	return v.cmd.ProcessState.ExitCode()
}

// get reads a page of the metrics listener.
func (v *server) get(path string) (status int, body string) {
	v.t.Helper()
	response, err := http.Get("http://" + v.metrics + path)
	require.NoError(v.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(v.t, err)
	return response.StatusCode, string(text)
}

// radclient sends one packet with FreeRADIUS's client, again if a busy socket had no room
// for it, and returns what it printed
// and whether the answer was what a success looks like.
func radclient(t *testing.T, address, kind, secret, pairs string) (string, bool) {
	t.Helper()
	cmd := exec.Command("radclient", "-x", "-r", "6", "-t", "5", address, kind, secret)
	cmd.Stdin = strings.NewReader(pairs + "\n")
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil {
		require.ErrorAs(t, err, &exit, "radclient (package freeradius-utils) must be there")
	}
	return string(out), err == nil
}
