package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1500": 1500, "64MiB": 64 << 20, "64 MiB": 64 << 20, "8GiB": 8 << 30, "1GB": 1e9, "1kB": 1000, "2TiB": 2 << 40,
	} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		again, err := ParseSize(got.String())
		require.NoError(t, err, got.String())
		assert.Equal(t, got, again, "%s written as %s", text, got)
	}
	for _, text := range []string{"", "-1", "x", "1XB", "GiB", "99999999EiB"} {
		_, err := ParseSize(text)
		assert.Error(t, err, text)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "10s": 10 * time.Second, "1h30m": 90 * time.Minute, "30d": 30 * 24 * time.Hour, "500ms": 500 * time.Millisecond, "1h0m5s": time.Hour + 5*time.Second,
	} {
		got, err := ParseDuration(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		again, err := ParseDuration(formatDuration(got))
		require.NoError(t, err)
		assert.Equal(t, got, again, "%s written as %s", text, formatDuration(got))
	}
	assert.Equal(t, "1h", formatDuration(time.Hour))
	assert.Equal(t, "10m", formatDuration(10*time.Minute))
	for _, text := range []string{"", "10", "d", "1.5d", "-1d", "999999d", "ten seconds"} {
		_, err := ParseDuration(text)
		assert.Error(t, err, text)
	}
}

func TestURLsOfSeveralHosts(t *testing.T) {
	for name, test := range map[string]struct{ url, masked, problem string }{
		"one":               {"clickhouse://u:secret@h:9000/db", "clickhouse://u:***@h:9000/db", ""},
		"two with ports":    {"clickhouse://u:secret@h1:9000,h2:9001/db?secure=true", "clickhouse://u:***@h1:9000,h2:9001/db?secure=true", ""},
		"two without":       {"postgres://u:secret@h1,h2/db", "postgres://u:***@h1,h2/db", ""},
		"IPv6":              {"postgres://u:secret@[2001:db8::1]:5432,[2001:db8::2]:5433/db", "postgres://u:***@[2001:db8::1]:5432,[2001:db8::2]:5433/db", ""},
		"comma in password": {"postgres://u:a,b@h1:1,h2:2/db", "postgres://u:***@h1:1,h2:2/db", ""},
		"comma in query":    {"postgres://u:secret@h1:1/db?x=a,b", "postgres://u:***@h1:1/db?x=a%2Cb", ""},
		"password in query": {"clickhouse://h1:1,h2:2/db?password=secret", "clickhouse://h1:1,h2:2/db?password=***", ""},
		"no user":           {"clickhouse://h1:9000,h2:9000", "clickhouse://h1:9000,h2:9000", ""},
		"empty host":        {"clickhouse://u:secret@h1:9000,/db", "***", "not a valid URL: want host:port"},
		"bad port":          {"clickhouse://u:secret@h1:9000,h2:port/db", "***", "not a valid URL: want host:port"},
		"user in second":    {"clickhouse://u:secret@h1,v:secret@h2/db", "clickhouse://u:***@h2/db", ""}, // the last @ ends the password
		"bad percent":       {"clickhouse://u:se%zzcret@h1:1,h2:2/db", "***", "not a valid URL"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := parseURL(test.url)
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				require.NotContains(t, err.Error(), "secret")
			} else {
				require.NoError(t, err)
				require.Contains(t, test.url, u.Host)
			}
			require.Equal(t, test.masked, maskURL(test.url))
		})
	}
}
