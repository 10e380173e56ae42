package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that this program has started.
type process struct {
	name   string
	cmd    *exec.Cmd
	signal syscall.Signal // ends it
	exited chan struct{}
}

// start starts a server; what it writes goes into a file in the folder.
func (b *bench) start(name string, end syscall.Signal, cmd *exec.Cmd) (*process, error) {
	log, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for this program, which stops the others
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, signal: end, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait()
	}()
	b.running = append(b.running, p)
	return p, nil
}

// stop ends a server in good order.
func (b *bench) stop(p *process) error {
	_ = p.cmd.Process.Signal(p.signal)
	select {
	case <-p.exited:
		return nil
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end", p.name)
	}
}

// stopAll ends what still runs, the last one first.
func (b *bench) stopAll() (err error) {
	for i := len(b.running) - 1; i >= 0; i-- {
		err = errors.Join(err, b.stop(b.running[i]))
	}
	return err
}

// await waits until check succeeds.
func (p *process) await(dir string, check func() error) error {
	var err error
	for range 300 {
		if err = check(); err == nil {
			return nil
		}
		select {
		case <-p.exited:
			log, _ := os.ReadFile(filepath.Join(dir, p.name+".log"))
			return fmt.Errorf("%s has ended:\n%s", p.name, log)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer: %w", p.name, err)
}

// freePort returns a port that nobody uses now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
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

// postgresPrograms is the folder of Postgres's programs.
func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("no initdb: Postgres is not installed (Debian: postgresql)")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// account is who runs Postgres, which refuses to run as root.
func account(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, uid, gid)
}

// postgresSettings are what differs from the defaults. fsync and synchronous_commit
// are as they are: on.
var postgresSettings = []string{"shared_buffers=512MB", "max_wal_size=4GB", "max_connections=100", "checkpoint_timeout=15min"}

func (b *bench) startPostgres() error {
	bin, err := postgresPrograms()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "postgres")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	who, err := account(dir)
	if err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", filepath.Join(dir, "data"), "--username", "radiusd", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C")
	initdb.Dir, initdb.SysProcAttr = dir, who
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	args := []string{"-D", filepath.Join(dir, "data"), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(port)}
	for _, setting := range postgresSettings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.SysProcAttr = dir, who
	if b.postgres, err = b.start("postgres", syscall.SIGINT, cmd); err != nil {
		return err
	}
	b.ports.postgres = port
	if err := b.postgres.await(b.dir, func() error { _, err := b.psql("postgres", "-c", "SELECT 1"); return err }); err != nil {
		return err
	}
	for _, name := range []string{"radiusd", "radius"} {
		if _, err := b.psql("postgres", "-c", "CREATE DATABASE "+name); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) psql(database string, args ...string) (string, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return "", err
	}
	args = append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(b.ports.postgres), "-U", "radiusd", "-d", database, "-q", "-v", "ON_ERROR_STOP=1"}, args...)
	out, err := exec.Command(filepath.Join(bin, "psql"), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
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

func (b *bench) startClickHouse() error {
	program, err := exec.LookPath("clickhouse-server")
	if err != nil {
		return errors.New("ClickHouse is not installed (Debian: clickhouse-server)")
	}
	dir := filepath.Join(b.dir, "clickhouse")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	web, err := freePort()
	if err != nil {
		return err
	}
	b.ports.clickhouse = port
	if err := os.WriteFile(filepath.Join(dir, "config.xml"), fmt.Appendf(nil, clickhouseConfig, dir, port, web), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "users.xml"), []byte(clickhouseUsers), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(program, "--config-file", filepath.Join(dir, "config.xml"))
	cmd.Dir = dir
	if b.clickhouse, err = b.start("clickhouse", syscall.SIGTERM, cmd); err != nil {
		return err
	}
	if err := b.clickhouse.await(b.dir, dial(port)); err != nil {
		return err
	}
	b.clickhouseVersion, err = askVersion(web)
	return err
}

// askVersion asks ClickHouse for its version through its HTTP port.
func askVersion(port int) (string, error) {
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/?query=SELECT+version()", port))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(text)), err
}

// startRadiusd starts the server with both stores and returns its accounting address.
func (b *bench) startRadiusd() (acct string, err error) {
	var auth, accounting, metrics int
	for _, port := range []*int{&auth, &accounting, &metrics} {
		if *port, err = freePort(); err != nil {
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
store: {url: "postgres://radiusd@127.0.0.1:%d/radiusd?sslmode=disable"}
clickhouse: {url: "clickhouse://127.0.0.1:%d/radiusd"}
`, filepath.Join(b.dir, "data"), auth, acct, b.metrics, b.ports.postgres, b.ports.clickhouse), 0o600); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"migrate", "up"}, {"nas", "add", "127.0.0.1", "--secret", secret}} {
		out, err := exec.Command(b.options.radiusd, append([]string{"--config", b.config}, args...)...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("radiusd %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	if b.radiusd, err = b.start("radiusd", syscall.SIGTERM, exec.Command(b.options.radiusd, "--config", b.config, "serve")); err != nil {
		return "", err
	}
	return acct, b.radiusd.await(b.dir, func() error {
		_, err := b.scrape(context.Background())
		return err
	})
}
