// Package deploy_test holds what is in this folder to the program: configurations
// load, ports, probes and metrics are those of a running server, and what an alert
// points to is in docs/operations.md.
package deploy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"radiusd/internal/cli"
	"radiusd/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// file reads a file of the project, by its path from this folder.
func file(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.FromSlash(path))
	require.NoError(t, err)
	return string(content)
}

// load parses a YAML file into a T.
func load[T any](t testing.TB, path string) T {
	t.Helper()
	var v T
	// A key beside one that was merged in (<<) counts as a duplicate here.
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(file(t, path)), &v, yaml.AllowDuplicateMapKey()), path)
	return v
}

// tool runs a program of the system that checks files of its kind, which must
// succeed, and returns what it printed. Debian has no kubectl, and a container may
// have no systemd, so a test is skipped where its tool is missing.
func tool(t testing.TB, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.Command(path, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s %s\n%s%s", name, strings.Join(args, " "), &out, &errs)
	return out.String(), errs.String()
}

// requireConfig has `radiusd config check` accept a file in an environment, without a
// warning, and returns the values in force by key.
func requireConfig(t testing.TB, path string, environ ...string) map[string]string {
	t.Helper()
	run := func(args ...string) string {
		var out, errs bytes.Buffer
		code := cli.Main(t.Context(), append(args, "--config", path), strings.NewReader(""), &out, &errs, environ)
		require.Zero(t, code, "%s: %s", path, errs.String())
		require.Empty(t, errs.String(), path)
		return out.String()
	}
	require.NotContains(t, run("config", "check"), "warning", path)
	var rows []struct{ Key, Value, Env string }
	require.NoError(t, json.Unmarshal([]byte(run("config", "show", "-o", "json")), &rows))
	values := make(map[string]string)
	var known []string
	for _, r := range rows {
		values[r.Key] = r.Value
		known = append(known, r.Env)
	}
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		require.Contains(t, known, name, path)
	}
	return values
}

// environment reads a file of NAME=value lines.
func environment(t testing.TB, path string) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(file(t, path)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	require.NotEmpty(t, list)
	return list
}

// pinned is an image with a version, which is not "latest".
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+(\.\d+)+$`)

// running is a server on all databases but Postgres, for the tests to look at.
type running struct {
	base string // URL of its metrics listener
}

// serve starts radiusd and returns it once it is ready. It ends with the test.
func serve(t testing.TB) *running {
	t.Helper()
	redis, clickhouse := testserver.Redis(t), testserver.ClickHouse(t)
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	exited := make(chan int, 1)
	go func() {
		code := cli.Main(ctx, []string{"serve", "--demo", "--admin", "--log-format", "json"}, strings.NewReader(""), io.Discard, writer,
			[]string{
				"RADIUSD_CONFIG=" + emptyConfig(t), "RADIUSD_DATA_DIR=" + t.TempDir(),
				"RADIUSD_REDIS_URL=" + redis, "RADIUSD_CLICKHOUSE_URL=" + clickhouse,
				"RADIUSD_AUTH_LISTEN=127.0.0.1:0", "RADIUSD_ACCT_LISTEN=127.0.0.1:0", "RADIUSD_METRICS_LISTEN=127.0.0.1:0",
				"RADIUSD_ADMIN_LISTEN=127.0.0.1:0",
			})
		writer.Close()
		exited <- code
	}()
	t.Cleanup(func() {
		cancel()
		require.Zero(t, <-exited)
	})
	var log strings.Builder
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		var line struct{ Msg, Metrics, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			go io.Copy(io.Discard, reader)                    // until the server ends
			answer, err := http.Get(line.Admin + "/api/docs") // something to count
			require.NoError(t, err)
			answer.Body.Close()
			server := &running{base: "http://" + line.Metrics}
			// It is counted when its handler returns, which may be after its answer.
			require.Eventually(t, func() bool {
				return strings.Contains(server.get(t, "/metrics"), "\nradiusd_api_requests_total{")
			}, 30*time.Second, 10*time.Millisecond)
			return server
		}
	}
	t.Fatalf("the server did not start: %s", &log)
	return nil
}

func emptyConfig(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "radiusd.yaml")
	require.NoError(t, os.WriteFile(path, []byte("# empty\n"), 0o600))
	return path
}

// get returns the body of a path of the metrics listener, which must answer 200.
func (r *running) get(t testing.TB, path string) string {
	t.Helper()
	resp, err := http.Get(r.base + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", path, body)
	return string(body)
}
