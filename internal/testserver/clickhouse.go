package testserver

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"radiusd/internal/freeport"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// ClickHouseEnv names an environment variable with the URL of a running server and
// a user who may create databases. ClickHouse then starts none of its own.
const ClickHouseEnv = "RADIUSD_TEST_CLICKHOUSE"

var (
	clickhouseOnce   sync.Once
	clickhouseURL    *url.URL
	clickhouseErr    error
	clickhouseStop   func()
	clickhouseNumber atomic.Int64
)

// ClickHouse returns the URL of a new, empty database, which is dropped when the
// test ends. The first call starts a server, which Main or StopClickHouse stops. It
// fails the test if ClickHouse is not installed.
func ClickHouse(t testing.TB) string {
	t.Helper()
	clickhouseOnce.Do(func() { clickhouseURL, clickhouseStop, clickhouseErr = startClickHouse() })
	if clickhouseErr != nil {
		t.Fatalf("these tests need a ClickHouse server: %v", clickhouseErr)
	}
	name := fmt.Sprintf("radiusd_%d_%d", os.Getpid(), clickhouseNumber.Add(1))
	statement := func(text string) {
		t.Helper()
		if err := executeClickHouse(clickhouseURL.String(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	statement("CREATE DATABASE " + name)
	t.Cleanup(func() { statement("DROP DATABASE IF EXISTS " + name) })
	database := *clickhouseURL
	database.Path = "/" + name
	return database.String()
}

// StopClickHouse stops the server that ClickHouse has started, if any. ClickHouse
// must not be called again.
func StopClickHouse() {
	clickhouseOnce.Do(func() { clickhouseErr = errors.New("the server was stopped") })
	if clickhouseStop != nil {
		clickhouseStop()
		clickhouseStop = nil
	}
}

func startClickHouse() (server *url.URL, stop func(), err error) {
	if text := os.Getenv(ClickHouseEnv); text != "" {
		server, err := url.Parse(text)
		return server, nil, err
	}
	c, err := initClickHouse()
	if err != nil {
		return nil, nil, err
	}
	if err := c.start(); err != nil {
		c.remove()
		return nil, nil, err
	}
	return c.url("default"), func() {
		c.stop(syscall.SIGKILL) // nobody asks for its data any more
		c.remove()
	}, nil
}

// ClickHouseServer is a ClickHouse server of one test, which may stop it and start
// it again on the same ports and data. It is for one goroutine.
type ClickHouseServer struct {
	t testing.TB
	c *clickhouse
}

// NewClickHouseServer starts a server, which ends with the test.
func NewClickHouseServer(t testing.TB) *ClickHouseServer {
	t.Helper()
	c, err := initClickHouse()
	if err != nil {
		t.Fatalf("these tests need a ClickHouse server: %v", err)
	}
	s := &ClickHouseServer{t: t, c: c}
	t.Cleanup(func() {
		c.stop(syscall.SIGKILL)
		c.remove()
	})
	s.Start()
	if err := executeClickHouse(c.url("default").String(), "CREATE DATABASE radiusd"); err != nil {
		t.Fatal(err)
	}
	return s
}

// URL returns the URL of a database that is empty at first.
func (s *ClickHouseServer) URL() string { return s.c.url("radiusd").String() }

// PID returns the id of the server's process, which must run.
func (s *ClickHouseServer) PID() int { return s.c.server.Process.Pid }

// Start starts the server after Stop or Crash, and waits until it answers.
func (s *ClickHouseServer) Start() {
	s.t.Helper()
	if err := s.c.start(); err != nil {
		s.t.Fatalf("start ClickHouse: %v", err)
	}
}

// Stop stops the server in good order.
func (s *ClickHouseServer) Stop() { s.c.stop(syscall.SIGTERM) }

// Crash kills the server.
func (s *ClickHouseServer) Crash() { s.c.stop(syscall.SIGKILL) }

// Freeze makes the server hang: it keeps its connections and answers nothing, until
// Thaw.
func (s *ClickHouseServer) Freeze() { s.c.freeze() }

// Thaw lets the server go on after Freeze.
func (s *ClickHouseServer) Thaw() { s.c.thaw() }

// clickhouse is a folder with data and the server that may run on it.
type clickhouse struct {
	dir, program           string
	tcp, http, interserver int

	process
}

// clickhouseConfig is the least that a server needs, old and new. Debian's 18.16
// wants the outer element to be named yandex; newer ones take that name as well.
const clickhouseConfig = `<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>%[1]s/server.log</log><errorlog>%[1]s/error.log</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>%[2]d</tcp_port>
  <http_port>%[3]d</http_port>
  <interserver_http_port>%[4]d</interserver_http_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <path>%[1]s/data/</path>
  <tmp_path>%[1]s/tmp/</tmp_path>
  <user_files_path>%[1]s/files/</user_files_path>
  <format_schema_path>%[1]s/schemas/</format_schema_path>
  <users_config>%[1]s/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>268435456</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <max_concurrent_queries>200</max_concurrent_queries>
  <timezone>UTC</timezone>
</yandex>
`

const clickhouseUsers = `<?xml version="1.0"?>
<yandex>
  <profiles><default/></profiles>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
  </users>
  <quotas><default/></quotas>
</yandex>
`

// initClickHouse writes a configuration into a temporary folder.
func initClickHouse() (_ *clickhouse, err error) {
	program, err := exec.LookPath("clickhouse-server")
	if err != nil {
		return nil, fmt.Errorf("install it (Debian: apt-get install clickhouse-server) or set %s to the URL of a running one: %w", ClickHouseEnv, err)
	}
	dir, err := os.MkdirTemp("", "radiusd-clickhouse-")
	if err != nil {
		return nil, err
	}
	c := &clickhouse{dir: dir, program: program}
	defer func() {
		if err != nil {
			c.remove()
		}
	}()
	for _, port := range []*int{&c.tcp, &c.http, &c.interserver} {
		if *port, err = freeport.Reserve(); err != nil {
			return nil, err
		}
	}
	var quoted escaped
	if err := xml.EscapeText(&quoted, []byte(dir)); err != nil {
		return nil, err
	}
	for name, content := range map[string]string{
		"config.xml": fmt.Sprintf(clickhouseConfig, string(quoted), c.tcp, c.http, c.interserver),
		"users.xml":  clickhouseUsers,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	return c, nil
}

type escaped []byte

func (e *escaped) Write(p []byte) (int, error) {
	*e = append(*e, p...)
	return len(p), nil
}

func (c *clickhouse) remove() { os.RemoveAll(c.dir) }

func (c *clickhouse) url(database string) *url.URL {
	return &url.URL{Scheme: "clickhouse", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.tcp)), Path: "/" + database}
}

// start runs the server and waits until it answers.
func (c *clickhouse) start() error {
	server := exec.Command(c.program, "--config-file="+filepath.Join(c.dir, "config.xml"))
	server.Dir, server.Env = c.dir, append(os.Environ(), "TZ=UTC")
	if err := c.run(server, func(context.Context) error { return executeClickHouse(c.url("default").String(), "SELECT 1") }); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.dir, "error.log"))
		return fmt.Errorf("%w\n%s", err, log[max(0, len(log)-4000):])
	}
	return nil
}

func executeClickHouse(server, statement string) error {
	options, err := driver.ParseDSN(server)
	if err != nil {
		return err
	}
	conn, err := driver.Open(options)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return conn.Exec(ctx, statement)
}
