package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listen serves the options on a free port until the test ends.
func listen(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
	return s
}

// dial connects to the server; the answer must come, or the end, within a minute.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

func TestSlowClientsAreCutOff(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing":               "",
		"half a request line":   "GET / HT",
		"a header without end":  "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n",
		"half a body":           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
		"half of a long upload": "POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := make(chan error, 1)
			o := options(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				read <- err
			})
			// Long enough for a header that is there already, on a machine that is busy.
			o.Patience, o.Deadline = 3*time.Second, 4*time.Second
			o.Routes = []Route{{Pattern: "POST /import", Stream: true}}
			c := dial(t, listen(t, o))
			_, err := io.WriteString(c, sent)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, c) // until the server closes
			require.NoError(t, err)
			if strings.HasPrefix(sent, "POST") {
				require.ErrorIs(t, <-read, os.ErrDeadlineExceeded)
			}
		})
	}
}

func TestAStreamLastsWhileItMovesOn(t *testing.T) {
	o := options(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != 25 {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, "taken")
	})
	o.Patience, o.Deadline = 4*time.Second, 4*time.Second
	o.Routes = []Route{{Pattern: "POST /import", Stream: true}}
	c := dial(t, listen(t, o))
	_, err := io.WriteString(c, "POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 25\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	pace := time.NewTicker(200 * time.Millisecond) // longer than the deadline together
	defer pace.Stop()
	for range 25 {
		<-pace.C
		_, err := io.WriteString(c, "x")
		require.NoError(t, err)
	}
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Contains(t, string(answer), "200 OK")
	require.Contains(t, string(answer), "taken")
}

func TestTooManyConnectionsAreClosed(t *testing.T) {
	o := options(t, func(http.ResponseWriter, *http.Request) {})
	o.Connections = 2
	s := listen(t, o)
	get := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	first, second := dial(t, s), dial(t, s)
	require.NoError(t, get(first))
	require.NoError(t, get(second))
	require.Error(t, get(dial(t, s)))
	first.Close()
	require.Eventually(t, func() bool { return get(dial(t, s)) == nil }, 20*time.Second, 10*time.Millisecond, "a place is free again")
}

func TestShutdownWaitsForRequests(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	o := options(t, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	})
	s, err := Listen("127.0.0.1:0", o)
	require.NoError(t, err)
	c := dial(t, s)
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool {
		probe, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			probe.Close()
		}
		return err != nil
	}, 20*time.Second, 10*time.Millisecond, "no new connections")
	close(release)
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Contains(t, string(answer), "done")
	require.NoError(t, <-stopped)
}

// pair writes a certificate for localhost and its key.
func pair(t *testing.T, dir, name string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	replace(t, filepath.Join(dir, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	replace(t, filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// written counts the files of replace.
var written atomic.Int64

// replace writes a file as tools that renew certificates do, by renaming. None has the
// time of the one before, as two that are written within a tick of the kernel would.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", content, 0o600))
	at := time.Now().Add(time.Duration(written.Add(1)) * time.Second)
	require.NoError(t, os.Chtimes(path+".new", at, at))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestTLSAndItsHotReload(t *testing.T) {
	dir := t.TempDir()
	pair(t, dir, "first", time.Now().Add(time.Hour))
	var log syncBuffer
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	certificate, err := LoadCertificate(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"),
		slog.New(slog.NewJSONHandler(&log, nil)), func() time.Time { return time.Unix(0, clock.Load()) })
	require.NoError(t, err)
	o := options(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	o.Certificate = certificate
	s := listen(t, o)
	// name connects and returns whom the certificate is for.
	name := func() string {
		t.Helper()
		clock.Add(int64(2 * time.Second))
		c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	require.Equal(t, "first", name())
	pair(t, dir, "second", time.Now().Add(2*time.Hour))
	require.Equal(t, "second", name())
	require.Contains(t, log.String(), "reloaded")

	good := map[string][]byte{}
	for _, file := range []string{"tls.crt", "tls.key"} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		good[file] = content
	}
	for why, spoil := range map[string]func(){
		"a key that is not its own": func() {
			pair(t, dir, "third", time.Now().Add(time.Hour))
			replace(t, filepath.Join(dir, "tls.key"), good["tls.key"])
		},
		"no PEM":         func() { replace(t, filepath.Join(dir, "tls.crt"), []byte("nonsense")) },
		"expired":        func() { pair(t, dir, "fourth", time.Now().Add(-time.Minute)) },
		"a file is gone": func() { require.NoError(t, os.Remove(filepath.Join(dir, "tls.crt"))) },
	} {
		spoil()
		require.Equal(t, "second", name(), why)
		replace(t, filepath.Join(dir, "tls.crt"), good["tls.crt"])
		replace(t, filepath.Join(dir, "tls.key"), good["tls.key"])
		require.Equal(t, "second", name(), why)
	}
	require.Equal(t, 4, strings.Count(log.String(), "the old one stays"))
	require.NotContains(t, log.String(), "PRIVATE KEY")

	for version, taken := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		require.Equal(t, taken, err == nil, tls.VersionName(version))
		if err == nil {
			c.Close()
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + s.Addr().String())
	require.NoError(t, err)
	defer answer.Body.Close()
	proto, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", string(proto))
	require.NotEmpty(t, answer.Header.Get("Strict-Transport-Security"))
}

func TestLoadCertificateSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadCertificate(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), slog.New(slog.DiscardHandler), nil)
	require.ErrorContains(t, err, "tls.crt")
	require.ErrorContains(t, err, "tls.key")
	pair(t, dir, "x", time.Now().Add(time.Hour))
	replace(t, filepath.Join(dir, "tls.key"), []byte("x"))
	_, err = LoadCertificate(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), slog.New(slog.DiscardHandler), nil)
	require.ErrorContains(t, err, "tls.crt")
}

// syncBuffer is a buffer that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
