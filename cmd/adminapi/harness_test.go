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
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// patience is for what must happen by itself, on a machine that is busy.
const patience = time.Minute

// adminapi and radiusd are the programs as an operator gets them, built once.
var adminapi, radiusd string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "adminapi-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		defer testserver.StopPostgres()
		adminapi, radiusd = filepath.Join(dir, "adminapi"), filepath.Join(dir, "radiusd")
		if out, err := exec.Command("go", "build", "-o", dir, ".", "../radiusd").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// site is one installation, on ports of its own.
type site struct {
	t      *testing.T
	dir    string
	config string // path
}

// newSite makes a site; more are keys of admin, as "access_log: all".
func newSite(t *testing.T, storeURL string, more ...string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "radiusd.yaml")}
	admin := strings.Join(append([]string{`listen: "127.0.0.1:0"`, `metrics_listen: "127.0.0.1:0"`}, more...), "\n  ")
	require.NoError(t, os.WriteFile(s.config, []byte(fmt.Sprintf(`
data_dir: %s
auth: {listen: ["127.0.0.1:0"]}
acct: {listen: ["127.0.0.1:0"]}
metrics: {listen: "127.0.0.1:0"}
store: {url: %q}
admin:
  %s
`, filepath.Join(dir, "data"), storeURL, admin)), 0o600))
	return s
}

// run runs a command to its end.
func (s *site) run(program string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := exec.Command(program, append(args, "--config", s.config)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		require.NoError(s.t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// process is a server that runs.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	admin, metrics string // URL and address
	exited         chan struct{}

	mu  sync.Mutex
	log []string
}

// start runs a program with the arguments and waits until it says that it is ready.
func (s *site) start(program string, args ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, cmd: exec.Command(program, append(args, "--config", s.config, "--log-format", "json")...), exited: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, p.cmd.Start())
	ready := make(chan struct{})
	go p.follow(stderr, ready)
	s.t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.exited })
	select {
	case <-ready:
	case <-p.exited:
		require.FailNow(s.t, "it ended", p.logged())
	case <-time.After(patience):
		require.FailNow(s.t, "it is not ready", p.logged())
	}
	return p
}

func (p *process) follow(stderr io.Reader, ready chan<- struct{}) {
	defer close(p.exited)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.mu.Lock()
		p.log = append(p.log, lines.Text())
		p.mu.Unlock()
		var line struct{ Msg, Admin, Metrics string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			p.admin, p.metrics = line.Admin, line.Metrics
			close(ready)
		}
	}
	_ = p.cmd.Wait()
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// awaitLog waits until the log has the text.
func (p *process) awaitLog(text string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.logged(), text) }, patience, 20*time.Millisecond, text)
}

// awaitReady waits until requests are answered.
func (p *process) awaitReady(client *http.Client) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		answer, err := client.Get(p.admin + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}, patience, 20*time.Millisecond, "it is not ready")
}

var passwordLine = regexp.MustCompile(`(?m)^ +password: +(\S+)$`)

// password is the first operator's, as it was shown; empty if it was not.
func (p *process) password() string {
	if found := passwordLine.FindStringSubmatch(p.logged()); found != nil {
		return found[1]
	}
	return ""
}

// terminate is SIGTERM; it returns the exit code.
func (p *process) terminate() int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.exited:
	case <-time.After(patience):
		require.FailNow(p.t, "it does not end on SIGTERM", p.logged())
	}
	return p.cmd.ProcessState.ExitCode()
}

// send makes a request with a bearer token, if there is one, and returns status and
// answer.
func (p *process) send(client *http.Client, method, path, token string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.admin+path, nil)
	require.NoError(p.t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(r)
	require.NoError(p.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(p.t, err)
	return answer.StatusCode, string(text)
}
