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
