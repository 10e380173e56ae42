package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// servers run a test on adminapi with Postgres and on radiusd serve --admin with SQLite.
func servers(t *testing.T, test func(t *testing.T, s *site, start func() *process)) {
	t.Run("adminapi on Postgres", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, testserver.Postgres(t), "access_log: all")
		test(t, s, func() *process { return s.start(adminapi, "serve") })
	})
	t.Run("radiusd on SQLite", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "", "access_log: all")
		test(t, s, func() *process { return s.start(radiusd, "serve", "--admin") })
	})
}

func TestFirstStartToExit(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, s *site, start func() *process) {
		p := start()
		p.awaitReady(http.DefaultClient)
		password := p.password()
		require.NotEmpty(t, password, p.logged())
		require.Equal(t, 1, strings.Count(p.logged(), password))

		status, body := p.send(http.DefaultClient, "GET", "/api/v1/plans?name=s3cret-query", "")
		require.Equal(t, http.StatusUnauthorized, status, body)
		status, body = p.send(http.DefaultClient, "GET", "/api/v1/plans", "s3cret-token")
		require.Equal(t, http.StatusUnauthorized, status, body)
		for path, want := range map[string]string{
			"/healthz": "ok", "/api/docs": "<!doctype html>", "/api/openapi.yaml": "openapi: 3.1", "/api/v1/openapi.json": `"openapi": "3.1`,
		} {
			status, body := p.send(http.DefaultClient, "GET", path, "")
			require.Equal(t, http.StatusOK, status, path)
			require.Contains(t, body, want, path)
		}
		status, body = p.send(http.DefaultClient, "GET", "/elsewhere", "")
		require.Equal(t, http.StatusNotFound, status)
		require.Contains(t, body, `"code":"not_found"`)

		p.awaitLog(`"route":"/api/v1/plans"`)
		require.NotContains(t, p.logged(), "s3cret")
		answer, err := http.Get("http://" + p.metrics + "/metrics")
		require.NoError(t, err)
		defer answer.Body.Close()
		metrics, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Contains(t, string(metrics), `radiusd_api_requests_total{method="GET",route="/api/v1/plans",status="4xx"} 2`)

		require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
		p.awaitLog("configuration reloaded")
		require.Zero(t, p.terminate(), p.logged())

		p = start()
		p.awaitReady(http.DefaultClient)
		require.Empty(t, p.password(), "it is shown once")
		require.Zero(t, p.terminate())
	})
}

func TestWhatServeRefuses(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		_, stderr, code := newSite(t, "").run(adminapi, "serve")
		require.Equal(t, 2, code)
		require.Contains(t, stderr, "radiusd serve --admin")
	})
	t.Run("an open network without TLS", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "postgres://u@127.0.0.1:1/db")
		require.NoError(t, os.WriteFile(s.config, []byte("admin: {listen: ':8080'}\n"), 0o600))
		_, stderr, code := s.run(adminapi, "serve")
		require.Equal(t, 2, code)
		require.Contains(t, stderr, "in the clear")
	})
	t.Run("a certificate that is not there", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "", "tls_cert_file: /nonexistent.crt", "tls_key_file: /nonexistent.key")
		_, stderr, code := s.run(radiusd, "serve", "--admin")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "/nonexistent.crt")
	})
}

// A Postgres that comes later than the API is waited for.
func TestTheStoreMayComeLater(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(testserver.Postgres(t))
	require.NoError(t, err)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(testserver.Port(t)))
	through := *target
	through.Host = address
	s := newSite(t, through.String())
	// The key that the nodes have.
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "data", "master.key"), []byte(strings.Repeat("0f", 32)+"\n"), 0o600))
	p := s.start(adminapi, "serve")
	status, body := p.send(http.DefaultClient, "GET", "/api/v1/plans", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, `"code":"unavailable"`)
	status, body = p.send(http.DefaultClient, "GET", "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unavailable\n", body, "no more is told")

	listen, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { listen.Close() })
	go relay(listen, target.Host)
	p.awaitReady(http.DefaultClient)
	status, _ = p.send(http.DefaultClient, "GET", "/api/v1/plans", "")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Zero(t, p.terminate())
}

// relay hands connections on until the listener is closed.
func relay(listen net.Listener, target string) {
	for {
		in, err := listen.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", target)
		if err != nil {
			in.Close()
			continue
		}
		go func() { _, _ = io.Copy(out, in); out.Close() }()
		go func() { _, _ = io.Copy(in, out); in.Close() }()
	}
}

func TestTLSIsReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, dir, "first")
	s := newSite(t, "", "tls_cert_file: "+certFile, "tls_key_file: "+keyFile)
	p := s.start(radiusd, "serve", "--admin")
	require.True(t, strings.HasPrefix(p.admin, "https://"))
	name := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(p.admin, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	require.Equal(t, "first", name())
	writePair(t, dir, "second")
	require.Eventually(t, func() bool { return name() == "second" }, patience, 100*time.Millisecond)
	require.NoError(t, os.WriteFile(certFile, []byte("nonsense"), 0o600))
	require.Eventually(t, func() bool {
		return name() == "second" && strings.Contains(p.logged(), "the old one stays")
	}, patience, 100*time.Millisecond)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	p.awaitReady(client)
	metrics, err := http.Get("http://" + p.metrics + "/metrics")
	require.NoError(t, err)
	defer metrics.Body.Close()
	text, err := io.ReadAll(metrics.Body)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^radiusd_api_certificate_expiry_timestamp_seconds [1-9]`, string(text))
	status, _ := p.send(client, "GET", "/api/v1/plans", "")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Zero(t, p.terminate())
}

// writePair writes a self-signed certificate and its key.
func writePair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600))
	}
}

// Clients that send a header slowly are cut off, and others are served meanwhile.
func TestSlowlorisIsCutOff(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	p := s.start(radiusd, "serve", "--admin")
	p.awaitReady(http.DefaultClient)
	var slow []net.Conn
	for range 50 {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.admin, "http://"))
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, "GET /api/v1/plans HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		require.NoError(t, err)
		slow = append(slow, c)
	}
	status, _ := p.send(http.DefaultClient, "GET", "/api/v1/plans", "")
	require.Equal(t, http.StatusUnauthorized, status)
	for _, c := range slow {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		_, err := io.Copy(io.Discard, c)
		require.NoError(t, err, "the server closes it")
	}
	require.Zero(t, p.terminate())
}
