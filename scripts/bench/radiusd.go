//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"radiusd/scripts/internal/testbed"
)

// planFlags are the plan that all users have.
var planFlags = []string{
	"--rate-up", "10M", "--rate-down", "50M", "--session-timeout", "24h", "--interim-interval", "5m", "--address-pool", planPool,
	"--reply", "Service-Type := Framed-User", "--reply", "Framed-Protocol := PPP",
}

// startRadiusd sets up radiusd in its folder, unless that was done before, and starts it
// with everything on.
func (b *bench) startRadiusd(ctx context.Context) error {
	if _, err := os.Stat(b.radiusd); err != nil {
		return fmt.Errorf("%w: `make build` makes it", err)
	}
	dir := filepath.Join(b.bed.Dir, "radiusd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s := &server{metrics: ""}
	for _, address := range []*string{&s.auth, &s.acct, &s.metrics} {
		port, err := testbed.FreePort()
		if err != nil {
			return err
		}
		*address = fmt.Sprintf("127.0.0.1:%d", port)
	}
	config := filepath.Join(dir, "radiusd.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `data_dir: %s
auth: {listen: [%q]}
acct: {listen: [%q]}
metrics: {listen: %q}
store: {url: %q}
`, filepath.Join(dir, "data"), s.auth, s.acct, s.metrics, b.postgres.URL("radiusd")), 0o600); err != nil {
		return err
	}
	if err := b.setUpRadiusd(dir, config); err != nil {
		return err
	}
	if b.setup {
		return nil
	}
	// As after a nightly job: the history is empty, and its space is free again.
	if _, err := b.postgres.SQL("radiusd", "-c", "TRUNCATE auth_records"); err != nil {
		return err
	}
	if _, err := b.postgres.SQL("radiusd", "-c", "CHECKPOINT"); err != nil {
		return err
	}
	args := append(front(b.places.server), b.radiusd, "--config", config, "serve")
	process, err := b.bed.Start("radiusd", syscall.SIGTERM, exec.Command(args[0], args[1:]...))
	if err != nil {
		return err
	}
	s.process = process
	b.servers["radiusd"] = s
	return process.Await(func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s", response.Status)
		}
		return nil
	})
}

// setUpRadiusd makes the tables, NASes, the plan and the users.
func (b *bench) setUpRadiusd(dir, config string) error {
	marker := filepath.Join(dir, "users")
	want := fmt.Sprintf("%d users, %d NASes", b.users, b.sockets)
	switch have, err := os.ReadFile(marker); {
	case err == nil && string(have) == want:
		return b.command(config, "migrate", "up") // this radiusd may be newer
	case err == nil:
		return fmt.Errorf("%s was set up for %s, not %s: remove it or take another one", b.bed.Dir, have, want)
	}
	say("radiusd: importing %d users", b.users)
	if err := b.command(config, "migrate", "up"); err != nil {
		return err
	}
	for i := range b.sockets {
		a := nasAddress(i)
		if err := b.command(config, "nas", "add", fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3]),
			"--secret", secret, "--vendor", "mikrotik", "--name", "bras"+strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	if err := b.command(config, append([]string{"plan", "add", "home"}, planFlags...)...); err != nil {
		return err
	}
	users := filepath.Join(dir, "users.csv")
	if err := b.writeUsers(users); err != nil {
		return err
	}
	if err := b.command(config, "user", "import", users); err != nil {
		return err
	}
	if _, err := b.postgres.SQL("radiusd", "-c", "VACUUM ANALYZE"); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte(want), 0o600)
}

// command runs radiusd once.
func (b *bench) command(config string, args ...string) error {
	out, err := exec.Command(b.radiusd, append([]string{"--config", config}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("radiusd %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// writeUsers writes the users to import. One in ten may have one session only; the
// others may have any number.
func (b *bench) writeUsers(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	fmt.Fprintln(w, "username,password,plan,simultaneous_use")
	for n := 1; n <= b.users; n++ {
		name, limit := userName(n), ""
		if n%10 == 0 {
			limit = "1"
		}
		fmt.Fprintf(w, "%s,%s,home,%s\n", name, appendPassword(nil, []byte(name)), limit)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}
