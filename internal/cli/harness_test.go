package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/internal/teststore"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	if code == 0 {
		if err := testserver.Leaked(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// site is one installation: a configuration of its own and a folder for data.
type site struct {
	t       testing.TB
	dir     string
	environ []string
}

// newSite makes a site; an empty URL is the embedded store.
func newSite(t testing.TB, storeURL string) *site {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "radiusd.yaml")
	require.NoError(t, os.WriteFile(path, []byte("# empty\n"), 0o600))
	return &site{t: t, dir: dir, environ: []string{
		"RADIUSD_CONFIG=" + path, "RADIUSD_DATA_DIR=" + filepath.Join(dir, "data"), "RADIUSD_STORE_URL=" + storeURL,
	}}
}

// engines runs a test on both stores, migrated.
func engines(t *testing.T, test func(t *testing.T, s *site)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "")
		teststore.CopySQLite(t, filepath.Join(s.dir, "data", databaseFile))
		test(t, s)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newSite(t, teststore.Postgres(t).URL))
	})
}

// postgres reports whether the store is not the embedded one.
func (s *site) postgres() bool { return strings.HasPrefix(s.environ[2], "RADIUSD_STORE_URL=postgres") }

// result is what a command line left behind.
type result struct {
	out, err string
	code     int
}

// run runs a command line.
func (s *site) run(args ...string) result { return s.runWith("", args...) }

// runWith runs a command line with standard input.
func (s *site) runWith(stdin string, args ...string) result {
	s.t.Helper()
	var out, errs bytes.Buffer
	code := Main(context.Background(), args, strings.NewReader(stdin), &out, &errs, s.environ)
	return result{out.String(), errs.String(), code}
}

// ok runs a command line that must succeed and returns its output.
func (s *site) ok(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	require.Zero(s.t, r.code, "radiusd %s: %s", strings.Join(args, " "), r.err)
	return r.out
}

// fails runs a command line that must fail with the code and returns its one
// line of error.
func (s *site) fails(code int, args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	line := strings.TrimSuffix(r.err, "\n")
	require.Equal(s.t, code, r.code, "radiusd %s: %s", strings.Join(args, " "), r.err)
	require.Empty(s.t, r.out)
	require.NotContains(s.t, line, "\n", "one line says what is wrong")
	require.NotContains(s.t, line, "Usage:")
	return strings.TrimPrefix(line, "radiusd: ")
}

// rows is the output of a list in JSON.
func (s *site) rows(args ...string) []map[string]any {
	s.t.Helper()
	var rows []map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(s.ok(append(args, "-o", "json")...)), &rows))
	return rows
}

// object is the output of a command that shows one thing in JSON.
func (s *site) object(args ...string) map[string]any {
	s.t.Helper()
	var object map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(s.ok(append(args, "-o", "json")...)), &object))
	return object
}

// file writes a file of the site and returns its path.
func (s *site) file(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, []byte(content), 0o600))
	return path
}
