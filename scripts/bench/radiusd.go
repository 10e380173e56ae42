//go:build linux

package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"radiusd/internal/freeport"
	"radiusd/scripts/internal/testbed"
	"radiusd/store/seal"
)

// planFlags are the plan that all users have.
var planFlags = []string{
	"--rate-up", "10M", "--rate-down", "50M", "--session-timeout", "24h", "--interim-interval", "5m", "--address-pool", planPool,
	"--reply", "Service-Type := Framed-User", "--reply", "Framed-Protocol := PPP",
}

// startRadiusd sets up a radiusd in its folder, unless that was done before, and starts
// it with everything on.
func (b *bench) startRadiusd(ctx context.Context, i instance) error {
	if _, err := os.Stat(b.radiusd); err != nil {
		return fmt.Errorf("%w: `make build` makes it", err)
	}
	if err := os.MkdirAll(i.folder, 0o700); err != nil {
		return err
	}
	s := &server{name: i.name, users: i.users, nases: i.nases, database: i.database, folder: i.folder}
	if i.cpus == b.places.server {
		s.core = i.cpus
	}
	for _, address := range []*string{&s.auth, &s.acct, &s.metrics} {
		port, err := freeport.Reserve()
		if err != nil {
			return err
		}
		*address = fmt.Sprintf("127.0.0.1:%d", port)
	}
	key := filepath.Join(b.bed.Dir, i.database, "data", "master.key")
	config := filepath.Join(i.folder, "radiusd.yaml")
	settings := fmt.Appendf(nil, `data_dir: %s
auth: {listen: [%q], record: %s}
acct: {listen: [%q]}
metrics: {listen: %q}
store: {url: %q}
`, filepath.Join(i.folder, "data"), s.auth, cmp.Or(i.record, "all"), s.acct, s.metrics, b.postgres.URL(i.database))
	if i.shared {
		settings = fmt.Appendf(settings, "master_key_file: %s\n", key)
	}
	if err := os.WriteFile(config, settings, 0o600); err != nil {
		return err
	}
	if !i.shared {
		if err := b.setUpRadiusd(i, config); err != nil {
			return err
		}
	}
	if b.setup {
		return nil
	}
	if i.name == disturbedServer {
		if _, err := b.postgres.SQL(i.database, "-1", "-c", bystanders); err != nil {
			return err
		}
	}
	if i.name == readServer {
		for _, sql := range []string{"DROP DATABASE IF EXISTS " + copyOf(i.database), "CREATE DATABASE " + copyOf(i.database) + " TEMPLATE " + i.database} {
			if _, err := b.postgres.SQL("postgres", "-c", sql); err != nil {
				return err
			}
		}
	}
	// Every run begins with an empty history.
	for _, sql := range []string{"TRUNCATE auth_records, accounting_records, sessions, usage_daily", "CHECKPOINT"} {
		if _, err := b.postgres.SQL(i.database, "-c", sql); err != nil {
			return err
		}
	}
	args := append(b.ahead(i.name, i.cpus), b.radiusd, "--config", config, "serve")
	start := time.Now()
	process, err := b.bed.Start(i.name, syscall.SIGTERM, exec.Command(args[0], args[1:]...))
	if err != nil {
		return err
	}
	s.process = process
	b.servers[i.name] = s
	if err := process.Await(func() error {
		body, err := testbed.Get(ctx, "http://"+s.metrics+"/readyz")
		if err != nil {
			return err
		}
		return body.Close()
	}); err != nil {
		return err
	}
	s.loaded, s.memory = time.Since(start), process.Resident()
	return nil
}

// setUpRadiusd makes the tables, NASes, the plan and the users.
func (b *bench) setUpRadiusd(i instance, config string) error {
	marker := filepath.Join(i.folder, "users")
	nases := i.nases
	if nases == 0 {
		nases = b.sockets + i.others
	}
	want := fmt.Sprintf("%d users, %d NASes", i.users, nases)
	switch have, err := os.ReadFile(marker); {
	case err == nil && string(have) == want:
		return b.command(config, "migrate", "up") // this radiusd may be newer
	case err == nil:
		return fmt.Errorf("%s was set up for %s, not %s: remove it or take another one", b.bed.Dir, have, want)
	}
	say("%s: importing %d users", i.name, i.users)
	if err := b.command(config, "migrate", "up"); err != nil {
		return err
	}
	if err := b.addNASes(i, config, nases); err != nil {
		return err
	}
	if err := b.command(config, append([]string{"plan", "add", "home"}, planFlags...)...); err != nil {
		return err
	}
	users := filepath.Join(i.folder, "users.csv")
	if err := writeUsers(users, i.users); err != nil {
		return err
	}
	if err := b.command(config, "user", "import", users); err != nil {
		return err
	}
	if _, err := b.postgres.SQL(i.database, "-c", "VACUUM ANALYZE"); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte(want), 0o600)
}

// addNASes adds the first one with the command, which makes the master key as well, and
// the others by SQL, since thousands of commands take their time.
func (b *bench) addNASes(i instance, config string, nases int) error {
	distinct := i.nases > 0
	first := nasSecret(0, distinct)
	if err := b.command(config, "nas", "add", addressText(0), "--secret", string(first[:]), "--vendor", "mikrotik", "--name", "bras0"); err != nil {
		return err
	}
	key, err := seal.LoadKey(filepath.Join(i.folder, "data", "master.key"))
	if err != nil {
		return err
	}
	sealer := seal.New(key)
	var sql strings.Builder
	for n := 1; n < nases; n++ {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		own := nasSecret(n, distinct)
		fmt.Fprintf(&sql, "INSERT INTO nas (id, name, address, secret, vendor, coa_port) VALUES ('%s', 'bras%d', '%s', '\\x%x', 'mikrotik', 3799);\n",
			id, n, addressText(n), sealer.Seal(own[:], "nas.secret."+id.String()))
	}
	file := filepath.Join(i.folder, "nas.sql")
	if err := os.WriteFile(file, []byte(sql.String()), 0o600); err != nil {
		return err
	}
	_, err = b.postgres.SQL(i.database, "-1", "-f", file)
	return err
}

func addressText(nas int) string { return netip.AddrFrom4(nasAddress(nas)).String() }

// command runs radiusd once.
func (b *bench) command(config string, args ...string) error {
	_, err := testbed.Run(b.radiusd, append([]string{"--config", config}, args...)...)
	return err
}

// writeUsers writes the users to import.
func writeUsers(path string, users int) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	fmt.Fprintln(w, "username,password,plan,simultaneous_use")
	for n := 1; n <= users; n++ {
		name, limit := userName(n), ""
		if limited(n) {
			limit = "1"
		}
		fmt.Fprintf(w, "%s,%s,home,%s\n", name, appendPassword(nil, []byte(name)), limit)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}
