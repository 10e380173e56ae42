package cli

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

// walk calls fn for every command of the tree that users see.
func walk(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			walk(sub, fn)
		}
	}
}

func newRoot() *cobra.Command { return (&app{program: "radiusd"}).rootCommand() }

func TestEveryCommandIsDocumented(t *testing.T) {
	walk(newRoot(), func(c *cobra.Command) {
		assert.NotEmpty(t, c.Short, c.CommandPath())
		assert.NotEmpty(t, c.Example, c.CommandPath())
		assert.True(t, c.HasSubCommands() || c.ValidArgsFunction != nil, "%s completes files by default", c.CommandPath())
		c.Flags().VisitAll(func(f *pflag.Flag) {
			assert.NotEmpty(t, f.Usage, "%s --%s", c.CommandPath(), f.Name)
		})
		for line := range strings.Lines(c.Long) {
			assert.LessOrEqual(t, len(strings.TrimRight(line, "\n")), 84, "%s: %s", c.CommandPath(), line)
		}
	})
}

// Every example must be a command line that parses: names and flags exist.
func TestExamplesParse(t *testing.T) {
	walk(newRoot(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			_, rest, ok := strings.Cut(line, "radiusd ")
			if !ok {
				continue
			}
			rest, _, _ = strings.Cut(rest, " > ")
			args := shellFields(strings.TrimSpace(rest))
			found, left, err := newRoot().Find(args)
			require.NoError(t, err, line)
			found.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return err })
			require.NoError(t, found.ParseFlags(left), line)
			if found.Runnable() && !found.HasSubCommands() {
				assert.NoError(t, found.ValidateArgs(found.Flags().Args()), line)
			}
		}
	})
}

// shellFields splits at spaces outside of single quotes.
func shellFields(line string) []string {
	var fields []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			fields = append(fields, part)
		} else {
			fields = append(fields, strings.Fields(part)...)
		}
	}
	return fields
}

// TestCommandReference keeps docs/commands.md in step with the commands' help.
// `go test ./internal/cli -run TestCommandReference -update` writes it.
func TestCommandReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<!-- Written by go test ./internal/cli -run TestCommandReference -update; do not edit. -->
# Commands

Results go to standard output, logs and errors to standard error. The exit code is
0, 1 if the operation failed (one line says why), or 2 if the command line or the
configuration is wrong. Lists take ` + "`-o table|json|csv`" + `; field names in JSON and CSV
stay, tables are for people. In CSV, text that begins with ` + "`= + - @`" + `, a tab or a line
break gets an apostrophe in front, so that no spreadsheet takes it for a formula;
` + "`user import`" + ` takes it off again. ` + "`radiusd completion bash|zsh|fish`" + ` prints a script that
completes commands, flags, and names of users, plans, groups, NASes, sessions and
attributes.
`)
	describe := func(c *cobra.Command) {
		if c.HasParent() && c.Parent().HasParent() && c.Parent().Name() == "completion" || c.Name() == "help" {
			return
		}
		level := strings.Count(c.CommandPath(), " ")
		fmt.Fprintf(&b, "\n%s %s\n\n```\n", strings.Repeat("#", min(level, 2)+2), c.CommandPath())
		long := c.Long
		if long == "" {
			long = c.Short + "."
		}
		fmt.Fprintf(&b, "%s\n\n%s```\n", strings.TrimSpace(long), c.UsageString())
	}
	walk(newRoot(), describe)
	walk((&app{program: "adminapi"}).adminRootCommand(), describe)
	path := filepath.Join("..", "..", "docs", "commands.md")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), b.String(), "docs/commands.md is stale: run the test with -update")
}

func TestUsageErrors(t *testing.T) {
	s := newSite(t, "")
	s.ok("user", "list") // makes the store, and says so in the log
	for _, c := range []struct {
		args string
		want string
	}{
		{"usr", `radiusd has no command "usr": did you mean user; see radiusd --help`},
		{"user lst", `radiusd user has no command "lst": did you mean list; see radiusd user --help`},
		{"user show", "radiusd user show: missing NAME; see radiusd user show --help"},
		{"user show a b", `radiusd user show: unexpected argument "b"; see radiusd user show --help`},
		{"user list --colour", "unknown flag: --colour; see radiusd user list --help"},
		{"payment add alice -5", "-5: a payment is of more than nothing; to give money back use radiusd payment refund; see radiusd payment add --help"},
		{"payment add -5.00", "-5.00: a payment is of more than nothing"},
		{"payment refund 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa -.50", "-.50: a refund is of more than nothing"},
		{"charge add alice -5 --description x", "-5: a credit is written behind all flags and --"},
		{"user show -7", "-7: what begins with - and is no flag goes behind all flags and --; see radiusd user show --help"},
		{"user list -x", "unknown shorthand flag: 'x' in -x; see radiusd user list --help"},
		{"user list -o xml", `--output: "xml" is not one of table, json, csv`},
		{"user list --status gone", `--status: unknown status "gone": want active, disabled or suspended`},
		{"user list --limit x", `invalid argument "x" for "--limit" flag`},
		{"user add alice", "a user needs --password, --password-stdin, --password-hash or --mac"},
		{"user add alice --password x --mac", "only one of --password, --password-stdin, --password-hash and --mac can be given"},
		{"user add alice --password x --hash md5", `--hash: "md5" is not one of cleartext, nt, argon2id, bcrypt`},
		{"user add alice --password x --expires tomorrow", `--expires: "tomorrow" is not a date`},
		{"user add alice --password x --status gone", `--status: unknown status "gone"`},
		{"user add alice --password x --simultaneous-use -1", `--simultaneous-use: "-1" is not a whole number`},
		{"user add alice --password x --group g:first", "the priority is not a number"},
		{"user add alice --mac", `--mac: "alice" is not a MAC address`},
		{"user add alice --password x --reply nonsense", `reply item "nonsense" is not 'ATTRIBUTE OP VALUE'`},
		{"user add alice --password x --reply Framd-Pool:=x", `unknown attribute "Framd-Pool", did you mean Framed-Pool?`},
		{"user add alice --password-hash secret", "--password-hash: credential: of an unknown or broken form"},
		{"user add alice --password-stdin", "standard input has no password"},
		{"user set alice", "radiusd user set: nothing to change"},
		{"user set alice --hash nt", "--hash needs the password"},
		{"plan add home --rate-up fast", `--rate-up: "fast" is not a rate`},
		{"plan add home --quota much", `--quota: "much" is not an amount of data`},
		{"plan add home --session-timeout 12", `--session-timeout: "12" is not a duration`},
		{"plan add home --period year", `--period: unknown period "year"`},
		{"plan add home --login-hours never", "login hours"},
		{"plan add home --allowed-methods telepathy", `unknown method "telepathy"`},
		{"nas add 192.0.2.1", "a NAS needs --secret or --secret-stdin"},
		{"nas add bras1 --secret x", `"bras1" is neither an address nor a prefix`},
		{"nas add 192.0.2.1/24 --secret x", "192.0.2.1/24 has bits set beyond its length: did you mean 192.0.2.0/24 or 192.0.2.1?"},
		{"nas add 192.0.2.1 --secret x --vendor mikrotk", `--vendor: no reply template "mikrotk": did you mean mikrotik`},
		{"nas add 192.0.2.1 --secret x --require-message-authenticator maybe", `unknown requirement "maybe"`},
		{"nas add 192.0.2.0/24 --secret 0123456789abcdef --require-message-authenticator auto", "does not work for a prefix"},
		{"nas set bras1 --keep-old", "--keep-old goes with a new secret"},
		{"test auth alice x --server 192.0.2.9", "no shared secret for 192.0.2.9:1812"},
		{"test auth alice x --server 192.0.2.9:1:2", "--server:"},
		{"test auth alice x --method eap", `--method: "eap" is not one of pap, chap, mschap, mschapv2`},
		{"test auth alice", "give either PASSWORD or --password-stdin"},
		{"test auth alice x --attr Nonsense", `--attr "Nonsense"`},
		{"test acct begin alice", `unknown status "begin"`},
		{"test acct start", "missing NAME"},
		{"test acct on alice", "takes no NAME"},
		{"test acct stop alice --input lots", "--input:"},
		{"bench auth --server 192.0.2.9 --secret x", "is not on this machine: give --remote"},
		{"bench auth --concurrency 0", "--concurrency"},
		{"bench acct --interims -1", "--interims"},
		{"--log-level loud config show", `--log-level: log.level: "loud" is not a log level`},
		{"--config /nonexistent.yaml user list", "/nonexistent.yaml: cannot read the configuration: no such file or directory"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := s.run(strings.Fields(c.args)...)
			assert.Equal(t, exitUsage, r.code, r.err)
			assert.Contains(t, r.err, c.want)
			assert.Equal(t, 1, strings.Count(r.err, "\n"), "one line: %s", r.err)
			assert.NotContains(t, r.err, "Usage:")
		})
	}
}

func TestMissingDoesNotMakeAStore(t *testing.T) {
	s := newSite(t, "")
	s.run("__complete", "user", "show", "")
	assert.NoDirExists(t, filepath.Join(s.dir, "data"), "completion makes nothing")
}

func TestHelp(t *testing.T) {
	s := newSite(t, "")
	for _, args := range [][]string{{}, {"--help"}, {"help"}} {
		out := s.ok(args...)
		assert.Contains(t, out, "Data:")
		assert.Contains(t, out, "radiusd test auth alice s3cret")
	}
	assert.Contains(t, s.ok("user"), "Add, change, list, import and delete users"[:3])
	assert.Contains(t, s.ok("completion", "bash"), "bash completion")
}

func TestConfigCommands(t *testing.T) {
	s := newSite(t, "postgres://radiusd:hunter2@127.0.0.1:1/radiusd")
	path := s.file("other.yaml", "log:\n  level: warn\n")
	rows := s.rows("config", "show", "--config", path)
	byKey := map[string]map[string]any{}
	for _, row := range rows {
		byKey[row["key"].(string)] = row
	}
	assert.Equal(t, map[string]any{"key": "log.level", "value": "warn", "origin": path + ":2", "env": "RADIUSD_LOG_LEVEL"}, byKey["log.level"])
	assert.Equal(t, "postgres://radiusd:***@127.0.0.1:1/radiusd", byKey["store.url"]["value"])
	assert.Equal(t, "RADIUSD_STORE_URL", byKey["store.url"]["origin"])
	assert.Equal(t, "default", byKey["auth.listen"]["origin"])
	assert.Contains(t, s.ok("config", "check", "--config", path), "configuration is valid ("+path+")")

	bad := s.file("bad.yaml", "lg: {level: info}\nauth:\n  listen: nowhere\ndictionary: {files: [/nonexistent/dictionary]}\n")
	r := s.run("config", "check", "--config", bad)
	assert.Equal(t, exitUsage, r.code)
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	require.Len(t, lines, 3, r.err)
	assert.Equal(t, bad+":1: lg: unknown key: did you mean log?", lines[0])
	assert.Contains(t, lines[1], bad+`:3: auth.listen: "nowhere" is not an address`)
	assert.Contains(t, lines[2], bad+":4: dictionary.files: ")
	assert.NotContains(t, r.err, "hunter2")

	r = s.run("config", "show", "--config", bad)
	assert.Equal(t, exitUsage, r.code, "the values are shown and the problems as well")
	assert.Contains(t, r.out, "auth.listen")
}

func TestUnusableDataDir(t *testing.T) {
	s := newSite(t, "")
	file := s.file("occupied", "")
	s.environ = append(s.environ, "RADIUSD_DATA_DIR="+filepath.Join(file, "data"))
	assert.Equal(t, "make data_dir "+filepath.Join(file, "data")+": not a directory", s.fails(exitFailed, "user", "list"))

	s.environ = append(s.environ, "RADIUSD_DATA_DIR=/proc/radiusd")
	assert.Contains(t, s.fails(exitFailed, "user", "list"), "make data_dir /proc/radiusd: ")

	s.environ = append(s.environ, "RADIUSD_DATA_DIR=/sys")
	assert.Contains(t, s.fails(exitFailed, "user", "list"), "data_dir /sys is not writable: ")
}

func TestMisspeltVariable(t *testing.T) {
	s := newSite(t, "")
	s.environ = append(s.environ, "RADIUSD_STORE_ULR=postgres://db/radiusd")
	r := s.run("user", "list", "-o", "csv")
	assert.Zero(t, r.code)
	assert.Equal(t, "warning: environment variable RADIUSD_STORE_ULR is not a setting: did you mean RADIUSD_STORE_URL?\n", firstLine(r.err))
	assert.NotContains(t, r.out, "warning")
}

// firstLine is the first line of a text, with its end.
func firstLine(text string) string { return text[:strings.Index(text, "\n")+1] }

func TestDataDirIsPrivate(t *testing.T) {
	s := newSite(t, "")
	s.ok("user", "list")
	info, err := os.Stat(filepath.Join(s.dir, "data"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Join(s.dir, "data"))
	require.NoError(t, err)
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o077, entry.Name())
	}
	key := filepath.Join(s.dir, "data", masterKeyFile)
	require.NoError(t, os.Chmod(key, 0o644))
	assert.Regexp(t, "^master key: [^:]+ has mode 0644: only its owner may have access, run chmod 600", s.fails(exitFailed, "user", "list"))
}

func TestNodeID(t *testing.T) {
	a := &app{environ: newSite(t, "").environ}
	c, err := a.loadConfig()
	require.NoError(t, err)
	first, err := openNodeID(c)
	require.NoError(t, err)
	again, err := openNodeID(c)
	require.NoError(t, err)
	assert.Equal(t, first, again)
	require.NoError(t, os.WriteFile(filepath.Join(c.DataDir, nodeIDFile), []byte("garbage"), 0o600))
	_, err = openNodeID(c)
	assert.ErrorContains(t, err, "is not a UUID")
}

func TestInterrupted(t *testing.T) {
	s := newSite(t, "")
	s.ok("user", "list")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs strings.Builder
	code := Main(ctx, []string{"user", "list"}, strings.NewReader(""), &out, &errs, s.environ)
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "radiusd: interrupted\n", errs.String())
}

func TestVersion(t *testing.T) {
	s := newSite(t, "")
	assert.Equal(t, readBuild().Version, s.object("version")["version"])
	assert.NotEmpty(t, readBuild().Version)
}

func TestDictionaryLookup(t *testing.T) {
	s := newSite(t, "")
	assert.Equal(t, "26.14988.8", s.object("dictionary", "lookup", "mikrotik-rate-limit")["oid"])
	assert.Equal(t, "User-Name", s.object("dictionary", "lookup", "1")["name"])
	assert.Equal(t, []any{"encrypt=1"}, s.object("dictionary", "lookup", "User-Password")["flags"])
	assert.Contains(t, s.fails(exitFailed, "dictionary", "lookup", "User-Nam"), "did you mean")
	assert.Contains(t, s.fails(exitFailed, "dictionary", "lookup", "zz*"), "no attribute fits")
	var names []any
	for _, row := range s.rows("dictionary", "lookup", "acct-*put-octets") {
		names = append(names, row["name"])
	}
	assert.Equal(t, []any{"Acct-Session-Input-Octets", "Acct-Session-Output-Octets", "Acct-Input-Octets", "Acct-Output-Octets"}, names)
	vendors := s.rows("dictionary", "vendors")
	assert.Greater(t, len(vendors), 25)
	extra := s.file("dictionary", "VENDOR Example 65535\nBEGIN-VENDOR Example\nATTRIBUTE Example-Colour 1 string\nEND-VENDOR Example\n")
	s.environ = append(s.environ, "RADIUSD_DICTIONARY_FILES="+extra)
	assert.Equal(t, "26.65535.1", s.object("dictionary", "lookup", "Example-Colour")["oid"])
}

func TestMatchPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "anything", true}, {"a*", "abc", true}, {"a*", "bac", false}, {"*c", "abc", true}, {"a*c", "abc", true},
		{"a*b*c", "axxbyyc", true}, {"a*b*c", "acb", false}, {"ab*ba", "aba", false},
	} {
		assert.Equal(t, c.want, matchPattern(c.pattern, c.name), "%s on %s", c.pattern, c.name)
	}
}
