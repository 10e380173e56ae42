package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write puts content into radiusd.yaml in a new folder and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "radiusd.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// problems loads content and returns the problems, the folder cut off.
func problems(t *testing.T, content string, environ []string, overrides ...Override) []string {
	t.Helper()
	path := write(t, content)
	_, err := Load(path, environ, overrides...)
	if err == nil {
		return nil
	}
	var list Problems
	require.ErrorAs(t, err, &list)
	return strings.Split(strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""), "\n")
}

// samples holds for every key another valid value than the default, as text.
var samples = map[string]string{
	"data_dir":                "/var/lib/radiusd",
	"master_key_file":         "/etc/radiusd/master.key",
	"time_zone":               "Europe/Vienna",
	"auth.listen":             "127.0.0.1:1812,[::1]:1812",
	"auth.reject_delay":       "2s",
	"auth.workers":            "3",
	"auth.queue_length":       "77",
	"acct.listen":             "127.0.0.1:1813",
	"radius.duplicate_window": "30s",
	"radius.listeners":        "4",
	"dictionary.files":        "/etc/radiusd/dictionary,more",
	"templates.files":         "/etc/radiusd/templates.yaml",
	"journal.max_bytes":       "16GiB",
	"journal.segment_bytes":   "16MiB",
	"sessions.liveness":       "30m",
	"sessions.reservation":    "45s",
	"store.url":               "postgres://radiusd:***@localhost/radiusd",
	"store.max_connections":   "20",
	"store.auto_migrate":      "false",
	"store.retention_days":    "30",
	"redis.url":               "redis://:***@localhost:6379/1", "redis.cluster": "true", "redis.prefix": "isp", "redis.timeout": "1s", "clickhouse.url": "clickhouse://radiusd:***@localhost:9000/radiusd", "clickhouse.cluster": "main", "clickhouse.retention_days": "31", "journal.keep": "1h",
	"admin.enabled": "true", "admin.listen": "[::1]:8081", "admin.insecure": "true",
	"admin.tls_cert_file": "/etc/radiusd/tls.crt", "admin.tls_key_file": "/etc/radiusd/tls.key",
	"admin.trusted_proxies": "192.0.2.0/24,2001:db8::1", "admin.cors_origins": "https://console.example.net,http://localhost:5173",
	"auth.record": "refused", "admin.access_log": "failed", "admin.metrics_listen": "127.0.0.1:9814", "admin.webhook_allow": "10.1.0.0/16,10.2.0.0/16",
	"admin.traces": "http://127.0.0.1:4318/v1/traces", "admin.oidc.issuer": "https://login.example.net",
	"admin.oidc.client_id": "radiusd", "admin.oidc.client_secret_file": "/etc/radiusd/oidc",
	"admin.oidc.redirect_url": "https://radius.example.net/api/v1/auth/oidc/callback", "admin.oidc.name": "Example",
	"admin.oidc.role_claim": "groups", "admin.oidc.role_map": "noc=support,staff=read-only", "admin.oidc.link_by_email": "true",
	"admin.webhook_allow_http": "true", "audit.retention_days": "365",
	"jobs.workers": "9", "billing.run_at": "03:30", "mail.url": "smtp://billing:***@mail.example.net:587", "mail.from": "billing@example.net", "mail.from_name": "Example Net", "mail.language": "de", "mail.templates": "/etc/radiusd/mail",
	"billing.checkout.provider": "stripe", "billing.checkout.secret_key_file": "/etc/radiusd/stripe.key", "billing.checkout.webhook_secret_file": "/etc/radiusd/stripe.webhook",
	"billing.checkout.success_url": "https://isp.example.net/paid", "billing.checkout.cancel_url": "https://isp.example.net/bills", "billing.checkout.url": "http://127.0.0.1:12111",
	"feed.url": "redis://:***@localhost:6379/2", "feed.topic": "isp.events",
	"metrics.listen": "127.0.0.1:9813",
	"log.level":      "debug",
	"log.format":     "json",
}

// companions are the settings that a key is not valid without.
var companions = map[string][]string{
	"admin.tls_cert_file": {"RADIUSD_ADMIN_TLS_KEY_FILE=x"},
	"admin.tls_key_file":  {"RADIUSD_ADMIN_TLS_CERT_FILE=x"},
	"mail.url":            {"RADIUSD_MAIL_FROM=billing@example.net"},
	"admin.oidc.issuer":   {"RADIUSD_ADMIN_OIDC_CLIENT_ID=x", "RADIUSD_ADMIN_OIDC_REDIRECT_URL=https://x"},
	"billing.checkout.provider": {"RADIUSD_BILLING_CHECKOUT_SECRET_KEY_FILE=x", "RADIUSD_BILLING_CHECKOUT_WEBHOOK_SECRET_FILE=x",
		"RADIUSD_BILLING_CHECKOUT_SUCCESS_URL=https://x", "RADIUSD_BILLING_CHECKOUT_CANCEL_URL=https://x"},
}

func setting(t *testing.T, c *Config, key string) Setting {
	t.Helper()
	for _, s := range c.Settings() {
		if s.Key == key {
			return s
		}
	}
	require.Fail(t, "no such key", key)
	return Setting{}
}

func TestEveryKeyFromEverySource(t *testing.T) {
	for _, key := range Keys() {
		t.Run(key, func(t *testing.T) {
			want, ok := samples[key]
			require.True(t, ok, "no sample value for the key")
			require.NotEqual(t, want, setting(t, Default(), key).Value, "the sample is the default")

			yaml, line := "# comment\n", 2
			parts := strings.Split(key, ".")
			for i, part := range parts[:len(parts)-1] {
				yaml += strings.Repeat("  ", i) + part + ":\n"
				line++
			}
			yaml += strings.Repeat("  ", len(parts)-1) + parts[len(parts)-1] + ": '" + want + "'\n"
			if strings.Contains(want, ",") {
				yaml = strings.Replace(yaml, "'"+want+"'", "['"+strings.ReplaceAll(want, ",", "', '")+"']", 1)
			}
			path := write(t, yaml)
			c, err := Load(path, companions[key])
			require.NoError(t, err)
			got := setting(t, c, key)
			assert.Equal(t, want, got.Value)
			assert.Equal(t, Origin{Kind: FromFile, Name: path, Line: line}, got.Origin)

			env := EnvName(key)
			c, err = Load("", append([]string{"HOME=/root", env + "=" + want}, companions[key]...))
			require.NoError(t, err)
			assert.Equal(t, want, setting(t, c, key).Value)
			assert.Equal(t, Origin{Kind: FromEnv, Name: env}, c.Origin(key))

			c, err = Load("", companions[key], Override{Key: key, Value: want, Flag: "--x"})
			require.NoError(t, err)
			assert.Equal(t, want, setting(t, c, key).Value)
			assert.Equal(t, Origin{Kind: FromFlag, Name: "--x"}, c.Origin(key))
		})
	}
}

func TestPrecedence(t *testing.T) {
	path := write(t, "log: {level: warn, format: json}\ndata_dir: file\n")
	c, err := Load(path, []string{"RADIUSD_LOG_LEVEL=error", "RADIUSD_LOG_FORMAT=text"},
		Override{Key: "log.level", Value: "debug", Flag: "--log-level"})
	require.NoError(t, err)
	assert.Equal(t, slog.LevelDebug, c.Log.Level, "flag over environment")
	assert.Equal(t, "text", c.Log.Format, "environment over file")
	assert.Equal(t, "file", c.DataDir, "file over default")
	assert.Equal(t, []string{":1812"}, c.Auth.Listen, "default")
	assert.Equal(t, Origin{Kind: FromDefault}, c.Origin("auth.listen"))
	assert.Equal(t, path, c.Path())
}

func TestBetterSourceMendsWorse(t *testing.T) {
	path := write(t, "auth: {reject_delay: soon}\n")
	_, err := Load(path, []string{"RADIUSD_AUTH_REJECT_DELAY=2s"})
	require.Error(t, err, "the file is wrong all the same")
	assert.Contains(t, err.Error(), `"soon" is not a duration`)
}

func TestDefaultIsValid(t *testing.T) {
	assert.NoError(t, Default().Validate())
	c, err := Load("", nil)
	require.NoError(t, err)
	assert.Equal(t, time.UTC, c.Location())
	assert.Empty(t, c.Warnings())
}

// The configuration in the project's design, as people will copy it.
func TestContractFile(t *testing.T) {
	c, err := Load(write(t, `data_dir: data
auth:       {listen: [":1812"]}
acct:       {listen: [":1813"]}
store:      {url: ""}          # empty: sqlite in data_dir; postgres://… 
redis:      {url: ""}          # redis://…
clickhouse: {url: ""}          # clickhouse://…
admin:      {listen: "127.0.0.1:8080"}
metrics:    {listen: "127.0.0.1:9812"}   # /metrics, /healthz, /readyz, /debug/pprof
log:        {level: info, format: auto}  # tint on a terminal, JSON elsewhere
`), nil)
	require.NoError(t, err)
	assert.Equal(t, "data", c.DataDir)
	assert.Empty(t, c.Warnings())
}

func TestEverythingWrongAtOnce(t *testing.T) {
	got := problems(t, `data_dir: ""
auth:
  listen: [":1812", "nowhere", ":1812"]
  reject_delay: 10
  workers: many
acct: {listen: ":1812"}
jornal: {max_bytes: 1GiB}
journal:
  max_byte: 1GiB
  segment_bytes: 4TiB
store:
  url: mysql://root:hunter2@db/x
redis: {url: "reddis://localhost", prefix: "a{b}"}
log: {format: xml, level: loud}
time_zone: Mars/Olympus
log: {level: info}
listen: x
`, []string{"RADIUSD_METRICS_LISTEN=9812"}, Override{Key: "radius.listeners", Value: "-1", Flag: "--listeners"})
	assert.Equal(t, []string{
		`radiusd.yaml:1: data_dir: must not be empty`,
		`radiusd.yaml:3: auth.listen: "nowhere" is not an address: want host:port, like :1812, 192.0.2.1:1812 or [2001:db8::1]:1812`,
		`radiusd.yaml:3: auth.listen: ":1812" is listed twice`,
		`radiusd.yaml:4: auth.reject_delay: "10" is not a duration: want a number with a unit, like 500ms, 10s, 5m, 12h or 30d`,
		`radiusd.yaml:5: auth.workers: "many" is not a whole number`,
		`radiusd.yaml:6: acct.listen: ":1812" is in auth.listen too: want another port`,
		`radiusd.yaml:7: jornal: unknown key: did you mean journal?`,
		`radiusd.yaml:9: journal.max_byte: unknown key: did you mean journal.max_bytes?`,
		`radiusd.yaml:10: journal.segment_bytes: 4TiB is out of range: want 1MiB to 1GiB`,
		`radiusd.yaml:12: store.url: unknown scheme "mysql": want postgres://user:password@host/database, or empty for the embedded store`,
		`radiusd.yaml:13: redis.url: unknown scheme "reddis": want redis://…`,
		`radiusd.yaml:13: redis.prefix: "a{b}": want a short name without braces, stars and spaces`,
		`radiusd.yaml:14: log.level: "loud" is not a log level: want debug, info, warn or error`,
		`radiusd.yaml:14: log.format: "xml" is not one of auto, text, json`,
		`radiusd.yaml:15: time_zone: unknown time zone "Mars/Olympus": want an IANA name, like Europe/Vienna`,
		`radiusd.yaml:16: log: given twice: first in line 14`,
		`radiusd.yaml:17: listen: unknown key: did you mean auth.listen or acct.listen or admin.listen or metrics.listen?`,
		`--listeners: radius.listeners: -1 is out of range: want 0 to 256`,
		`RADIUSD_METRICS_LISTEN: metrics.listen: "9812" is not an address: want host:port, like :1812, 192.0.2.1:1812 or [2001:db8::1]:1812`,
	}, got)
	assert.NotContains(t, strings.Join(got, "\n"), "hunter2")
}

func TestBadFiles(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"not YAML", "auth: [", "radiusd.yaml:1: not valid YAML"},
		{"a tab", "auth:\n\tlisten: x\n", "radiusd.yaml:2: not valid YAML"},
		{"a list", "- a\n- b\n", "radiusd.yaml:1: want keys with values"},
		{"a text", "hello\n", "radiusd.yaml:1: want keys with values"},
		{"section with a text", "auth: yes\n", "radiusd.yaml:1: auth: want keys with values, like {listen: …}"},
		{"section with a list", "auth:\n- listen\n", "auth: want keys with values"},
		{"mapping as a value", "data_dir: {a: b}\n", "radiusd.yaml:1: data_dir: want a single value (mapping"},
		{"list as a single value", "data_dir: [a, b]\n", "radiusd.yaml:1: data_dir: want a single value, not a list"},
		{"list of lists", "auth:\n  listen:\n  - [a]\n", "radiusd.yaml:3: auth.listen: want a list of single values"},
		{"anchor", "data_dir: &x data\n", "radiusd.yaml:1: data_dir: want a single value (anchor"},
		{"alias", "time_zone: *x\n", "radiusd.yaml:1: "},
		{"merge key", "<<: {data_dir: x}\n", "radiusd.yaml:1: merge keys (<<) are not supported"},
		{"two documents", "data_dir: a\n---\ndata_dir: b\n", "radiusd.yaml:3: a second document"},
		{"key twice", "data_dir: a\ndata_dir: b\n", "radiusd.yaml:2: data_dir: given twice: first in line 1"},
		{"nested key twice", "log:\n  level: info\n  level: warn\n", "radiusd.yaml:3: log.level: given twice: first in line 2"},
		{"enormous", "#" + strings.Repeat("x", maxFileBytes), "larger than 1048576 bytes"},
		{"bad percent in the store's URL", "store: {url: 'postgres://a:p%zz@h/db'}\n", "radiusd.yaml:1: store.url: not a valid URL"},
		{"no database", "store: {url: 'postgres://a:b@h'}\n", "names no database"},
		{"path twice", "dictionary: {files: [a, a]}\n", `"a" is listed twice`},
		{"nothing to serve", "auth: {listen: []}\nacct: {listen: []}\n", "nothing to serve"},
		{"port", "metrics: {listen: 'localhost:70000'}\n", `"localhost:70000" has no valid port`},
		{"journal of one segment", "journal: {max_bytes: 64MiB}\n", "journal.max_bytes: 64MiB is too little: want at least four segments (256MiB)"},
		{"host", "metrics: {listen: '1.2.3:80'}\n", `"1.2.3" is neither an IP address nor a host name`},
		{"misspelt", "redis: {url: 'http://x'}\n", `unknown scheme "http": want redis://…`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := problems(t, c.content, nil)
			require.NotEmpty(t, got)
			assert.Contains(t, strings.Join(got, "\n"), c.want)
		})
	}
	for _, c := range []struct{ name, content string }{
		{"empty", ""}, {"comments", "# only\n# comments\n"}, {"null sections", "auth:\nlog: ~\n"}, {"null value", "auth: {listen: }\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Empty(t, problems(t, c.content, nil))
		})
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load("/nonexistent/radiusd.yaml", nil)
	require.Error(t, err)
	assert.Equal(t, "/nonexistent/radiusd.yaml: cannot read the configuration: no such file or directory", err.Error())
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(t.TempDir(), nil)
	assert.ErrorContains(t, err, "is a directory")
}

func TestUnknownOverride(t *testing.T) {
	_, err := Load("", nil, Override{Key: "nope", Flag: "--nope"})
	assert.EqualError(t, err, "--nope: nope: unknown key")
}

func TestMisspeltVariableIsAWarning(t *testing.T) {
	c, err := Load("", []string{"RADIUSD_STORE_ULR=x", "RADIUSD_SERVICE_HOST=10.0.0.1", "RADIUSD_CONFIG=x", "RADIUSD_TEST_SECRET=x"})
	require.NoError(t, err)
	assert.Equal(t, []string{"environment variable RADIUSD_STORE_ULR is not a setting: did you mean RADIUSD_STORE_URL?"}, c.Warnings())
}

func TestPasswordsAreMasked(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:hunter2@h/db":                        "postgres://u:***@h/db",
		"postgres://h/db?password=hunter2&sslmode=disable": "postgres://h/db?password=***&sslmode=disable",
		"postgres://u@h/db":                                "postgres://u@h/db",
		"":                                                 "",
		"postgres://u:hunt%er2@h/db":                       "***",
		"hunter2":                                          "***",
	} {
		c := Default()
		c.Store.URL = in
		assert.Equal(t, want, setting(t, c, "store.url").Value, in)
		if err := c.Validate(); err != nil {
			assert.NotContains(t, err.Error(), "hunt", in)
		}
	}
}

func TestProblemsUnwrap(t *testing.T) {
	_, err := Load(write(t, "x: 1\ny: 2\n"), nil)
	var problem *Problem
	require.ErrorAs(t, err, &problem)
	assert.Equal(t, "x", problem.Key)
	assert.NotNil(t, errors.Unwrap(problem))
}

// Whatever the file holds, Load returns either a valid configuration or
// problems that each fit on a line.
func FuzzLoad(f *testing.F) {
	f.Add("data_dir: data\nauth: {listen: [\":1812\"]}\n", "info")
	f.Add("auth:\n  listen:\n  - a\n  - b: c\nlog: &x {level: *x}\n", "1")
	f.Add("store: {url: 'postgres://a:b@c/d'}\n---\n", "10s")
	f.Add("? a\n: b\n<<: [c]\n!!map {a: b}\n", "")
	f.Add("journal: {max_bytes: 9999999999999999999EiB, segment_bytes: -1}\nsessions: {liveness: 1e400h}", "∞")
	f.Fuzz(func(t *testing.T, content, value string) {
		c := Default()
		c.origins, c.broken = map[string]Origin{}, map[string]bool{}
		found := c.apply("radiusd.yaml", []byte(content), fields())
		for _, key := range Keys() {
			found = append(found, c.loadEnv([]string{EnvName(key) + "=" + value}, fields())...)
		}
		_ = c.Validate()
		_ = c.Settings()
		for _, p := range found {
			if p.Error() == "" {
				t.Fatal("a problem without a text")
			}
		}
	})
}

func TestChanged(t *testing.T) {
	c := Default()
	c.Auth.Listen = []string{":1812", ":1645"}
	c.Log.Level = slog.LevelDebug
	c.Store.URL = "postgres://u:other@h/db"
	assert.Equal(t, []string{"auth.listen", "store.url", "log.level"}, c.Changed(Default()))
	assert.Equal(t, []string{"auth.listen"}, c.Changed(Default(), "log.level", "store.url"))
	assert.Empty(t, Default().Changed(Default()))
}
