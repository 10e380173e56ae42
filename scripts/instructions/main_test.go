package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after int
		want          string
		grown         bool
	}{
		{"the same", 1000, 1000, "+0.0 %", false},
		{"within the tolerance", 1000, 1050, "+5.0 %", false},
		{"more", 1000, 1060, "+6.0 %  GROWN", true},
		{"less", 1000, 900, "-10.0 %  less: -update keeps it so", false},
		{"not counted before", 0, 900, "new", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdict, grown := compare(c.before, c.after)
			require.Equal(t, c.want, verdict)
			require.Equal(t, c.grown, grown)
		})
	}
}

func TestCollected(t *testing.T) {
	n, err := collected([]byte("PASS\n==5840== Events    : Ir\n==5840== Collected : 15805417\n==5840== \n"))
	require.NoError(t, err)
	require.Equal(t, 15805417, n)
	_, err = collected([]byte("valgrind: not found\n"))
	require.ErrorContains(t, err, "no count")
}

func TestExpressionMatchesNoOther(t *testing.T) {
	require.Equal(t, "^BenchmarkPath$/^Access-Request$/^1$", expression("BenchmarkPath/Access-Request/1"))
}

// TestBaseline is the file as it is: each benchmark is there, and what is written is
// what was read.
func TestBaseline(t *testing.T) {
	file := filepath.Base(baseline)
	made, lines, err := read(file)
	require.NoError(t, err)
	require.NotEmpty(t, lines)
	for _, l := range lines {
		function, _, _ := strings.Cut(l.benchmark, "/")
		tests, err := filepath.Glob(filepath.Join("..", "..", l.pkg, "*_test.go"))
		require.NoError(t, err)
		found := false
		for _, name := range tests {
			source, err := os.ReadFile(name)
			require.NoError(t, err)
			found = found || regexp.MustCompile(`(?m)^func `+function+`\(`).Match(source)
		}
		require.True(t, found, "%s has no %s", l.pkg, function)
		require.Positive(t, l.instructions, l.benchmark)
	}
	again := filepath.Join(t.TempDir(), file)
	require.NoError(t, write(again, made, lines))
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	got, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestReadRefuses(t *testing.T) {
	for name, content := range map[string]string{
		"no first line":  "package,benchmark,iterations,packets,instructions\n",
		"another column": "# go\npackage,benchmark,iterations,packets\nradius,BenchmarkPath,1,1\n",
		"no iterations":  "# go\npackage,benchmark,iterations,packets,instructions\nradius,BenchmarkPath,0,1,5\n",
		"not a number":   "# go\npackage,benchmark,iterations,packets,instructions\nradius,BenchmarkPath,1,1,many\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "baseline.csv")
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			_, _, err := read(file)
			require.Error(t, err)
		})
	}
}
