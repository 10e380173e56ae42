package freeport_test

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/freeport"
)

// TestMain lets the test binary be another process that reserves as well.
func TestMain(m *testing.M) {
	if os.Getenv("FREEPORT_OTHER") == "" {
		os.Exit(m.Run())
	}
	for range 200 {
		port, err := freeport.Reserve()
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString(strconv.Itoa(port) + "\n")
	}
	_ = os.Stdout.Sync()
	_, _ = os.Stdin.Read(make([]byte, 1)) // lives until the test has reserved its own
}

func TestNoPortIsGivenTwice(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	seen := map[int]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "FREEPORT_OTHER=1")
	stdin, err := other.StdinPipe()
	require.NoError(t, err)
	stdout, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	note := func(port int) {
		mu.Lock()
		defer mu.Unlock()
		assert.False(t, seen[port], "port %d", port)
		seen[port] = true
	}
	wg.Go(func() {
		for range 200 {
			port, err := freeport.Reserve()
			if assert.NoError(t, err) {
				note(port)
			}
		}
	})
	var text strings.Builder
	buffer := make([]byte, 4096)
	for strings.Count(text.String(), "\n") < 200 {
		n, err := stdout.Read(buffer)
		require.NoError(t, err)
		text.Write(buffer[:n])
	}
	for line := range strings.Lines(text.String()) {
		port, err := strconv.Atoi(strings.TrimSpace(line))
		require.NoError(t, err)
		note(port)
	}
	wg.Wait()
	require.NoError(t, stdin.Close())
	require.NoError(t, other.Wait())
	assert.Len(t, seen, 400)
}

func TestAReservedPortIsFree(t *testing.T) {
	port, err := freeport.Reserve()
	require.NoError(t, err)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
