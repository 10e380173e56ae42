package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"radiusd/internal/freeport"
	"radiusd/scripts/internal/testbed"
)

func (b *bench) startPostgres() (err error) {
	b.postgres, err = b.bed.StartPostgres([]string{"radiusd", "radius"})
	return err
}

func dial(port int) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// clickhouseConfig is the least that a server needs, in the words of old ones, which
// new ones understand.
const clickhouseConfig = `<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>%[1]s/server.log</log><errorlog>%[1]s/error.log</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>%[2]d</tcp_port>
  <http_port>%[3]d</http_port>
  <path>%[1]s/data/</path>
  <tmp_path>%[1]s/tmp/</tmp_path>
  <user_files_path>%[1]s/files/</user_files_path>
  <format_schema_path>%[1]s/schemas/</format_schema_path>
  <users_config>%[1]s/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>268435456</mark_cache_size>
  <timezone>UTC</timezone>
</yandex>
`

const clickhouseUsers = `<?xml version="1.0"?>
<yandex>
  <profiles><default/></profiles>
  <users><default>
    <password></password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
  </default></users>
  <quotas><default/></quotas>
</yandex>
`

func (b *bench) startClickHouse(ctx context.Context) error {
	program, err := exec.LookPath("clickhouse-server")
	if err != nil {
		return errors.New("ClickHouse is not installed (Debian: clickhouse-server)")
	}
	dir := filepath.Join(b.dir, "clickhouse")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	port, err := freeport.Reserve()
	if err != nil {
		return err
	}
	web, err := freeport.Reserve()
	if err != nil {
		return err
	}
	b.clickhousePort = port
	if err := os.WriteFile(filepath.Join(dir, "config.xml"), fmt.Appendf(nil, clickhouseConfig, dir, port, web), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "users.xml"), []byte(clickhouseUsers), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(program, "--config-file", filepath.Join(dir, "config.xml"))
	cmd.Dir = dir
	if b.clickhouse, err = b.bed.Start("clickhouse", syscall.SIGTERM, cmd); err != nil {
		return err
	}
	if err := b.clickhouse.Await(dial(port)); err != nil {
		return err
	}
	b.clickhouseVersion, err = askVersion(ctx, web)
	return err
}

// askVersion asks ClickHouse for its version through its HTTP port.
func askVersion(ctx context.Context, port int) (string, error) {
	body, err := testbed.Get(ctx, fmt.Sprintf("http://127.0.0.1:%d/?query=SELECT+version()", port))
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return strings.TrimSpace(string(text)), err
}

// startRadiusd starts the server with both stores and returns its accounting address.
func (b *bench) startRadiusd() (acct string, err error) {
	var auth, accounting, metrics int
	for _, port := range []*int{&auth, &accounting, &metrics} {
		if *port, err = freeport.Reserve(); err != nil {
			return "", err
		}
	}
	b.config = filepath.Join(b.dir, "radiusd.yaml")
	b.metrics = fmt.Sprintf("127.0.0.1:%d", metrics)
	acct = fmt.Sprintf("127.0.0.1:%d", accounting)
	if err := os.WriteFile(b.config, fmt.Appendf(nil, `data_dir: %s
auth: {listen: ["127.0.0.1:%d"]}
acct: {listen: [%q]}
metrics: {listen: %q}
store: {url: %q}
clickhouse: {url: "clickhouse://127.0.0.1:%d/radiusd"}
`, filepath.Join(b.dir, "data"), auth, acct, b.metrics, b.postgres.URL("radiusd"), b.clickhousePort), 0o600); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"migrate", "up"}, {"nas", "add", "127.0.0.1", "--secret", secret}} {
		if _, err := testbed.Run(b.options.radiusd, append([]string{"--config", b.config}, args...)...); err != nil {
			return "", err
		}
	}
	if b.radiusd, err = b.bed.Start("radiusd", syscall.SIGTERM, exec.Command(b.options.radiusd, "--config", b.config, "serve")); err != nil {
		return "", err
	}
	return acct, b.radiusd.Await(func() error {
		_, err := b.scrape(context.Background())
		return err
	})
}
