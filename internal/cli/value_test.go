package cli

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"radiusd/aaa/userfile"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRates(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "none": 0, "64000": 64000, "512k": 512e3, "10M": 10e6, "1.5G": 15e8, "2.5M": 25e5, "1T": 1e12, "10Mbit/s": 10e6, "10 M": 10e6,
	} {
		got, err := parseRate(strings.TrimSpace(text))
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		if want > 0 {
			again, err := parseRate(formatRate(want))
			require.NoError(t, err, formatRate(want))
			assert.Equal(t, want, again, "%d is written as %s", want, formatRate(want))
		}
	}
	for _, text := range []string{"", "M", "-1M", "1e6", "1.2.3M", "10MB", "0.0001k", "999999999999T", "0x10", "1/2", "１０"} {
		_, err := parseRate(text)
		assert.Error(t, err, text)
	}
	assert.Equal(t, "10M", formatRate(10e6))
	assert.Equal(t, "1.5G", formatRate(15e8))
	assert.Equal(t, "1234.567k", formatRate(1234567))
}

func TestOctets(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1.00kB", 100e9: "100GB", 1234567: "1.23MB", 999_999: "1.00MB", 1 << 63: "9.22EB"} {
		assert.Equal(t, want, formatOctets(n), n)
	}
	n, err := parseOctets("1GiB")
	require.NoError(t, err)
	assert.Equal(t, uint64(1<<30), n)
	_, err = parseOctets("-1GB")
	assert.Error(t, err)
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "none": 0, "30m": 30 * time.Minute, "30d": 720 * time.Hour, "1h30m5s": 90*time.Minute + 5*time.Second} {
		got, err := parseSpan(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"12", "1.5s", "-1h", "soon"} {
		_, err := parseSpan(text)
		assert.Error(t, err, text)
	}
	assert.Equal(t, "12h", formatSpan(12*time.Hour))
	assert.Equal(t, "1h30m", formatSpan(90*time.Minute))
	assert.Equal(t, "10m", formatSpan(10*time.Minute))
	assert.Empty(t, formatSpan(0))
}

func TestExpiry(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	require.NoError(t, err)
	for text, want := range map[string]string{
		"2026-12-31": "2026-12-31T23:00:00Z", "2026-03-29": "2026-03-29T22:00:00Z", // the day the clock goes forward
		"2026-12-31T18:00:00+02:00": "2026-12-31T16:00:00Z",
	} {
		got, err := userfile.ParseExpiry(text, vienna)
		require.NoError(t, err, text)
		assert.Equal(t, want, got.Format(time.RFC3339), text)
	}
	never, err := userfile.ParseExpiry("never", vienna)
	require.NoError(t, err)
	assert.True(t, never.IsZero())
	for _, text := range []string{"", "31.12.2026", "2026-13-01", "2026-02-30", "0001-01-01T00:00:00Z", "0001-01-01T01:00:00+01:00"} {
		_, err := userfile.ParseExpiry(text, vienna)
		assert.Error(t, err, text)
	}
}

func TestParseItem(t *testing.T) {
	for text, want := range map[string][3]string{
		"Framed-Pool := home":              {"Framed-Pool", ":=", "home"},
		"Framed-Pool:=home":                {"Framed-Pool", ":=", "home"},
		"Tunnel-Type:1 := VLAN":            {"Tunnel-Type:1", ":=", "VLAN"},
		"NAS-Port-Id =~ ^eth[0-9]+=$":      {"NAS-Port-Id", "=~", "^eth[0-9]+=$"},
		"Calling-Station-Id =* ANY":        {"Calling-Station-Id", "=*", "ANY"},
		`Reply-Message += "hello, = you"`:  {"Reply-Message", "+=", `"hello, = you"`},
		"  Session-Timeout <= 3600  ":      {"Session-Timeout", "<=", "3600"},
		"Cisco-AVPair += ip:addr-pool=a b": {"Cisco-AVPair", "+=", "ip:addr-pool=a b"},
	} {
		item, err := parseItem(0, text)
		require.NoError(t, err, text)
		assert.Equal(t, want, [3]string{item.Attribute, item.Op, item.Value}, text)
	}
	for _, text := range []string{"", "Framed-Pool", ":= x", "Framed Pool := x", "Framed-Pool ~ x"} {
		_, err := parseItem(0, text)
		assert.Error(t, err, text)
	}
}

func TestHistogram(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h, other histogram
	var all []time.Duration
	for i := range 20000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			h.add(d)
		} else {
			other.add(d)
		}
	}
	h.merge(&other)
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))-1]
		assert.InEpsilon(t, float64(want), float64(h.quantile(q)), 0.04, "%v", q)
		assert.GreaterOrEqual(t, h.quantile(q), want)
	}
	assert.Equal(t, all[len(all)-1], h.quantile(1))
	assert.Zero(t, new(histogram).quantile(0.5))
	for _, n := range []uint64{0, 1, 63, 64, 65, 127, 128, 1 << 20, 1<<63 - 1} {
		assert.GreaterOrEqual(t, bucketEnd(bucketOf(n)), n)
		if n > 0 {
			assert.Less(t, bucketEnd(bucketOf(n)-1), n)
		}
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { h.add(time.Millisecond) }))
}
