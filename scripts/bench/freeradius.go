//go:build linux

package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"radiusd/scripts/internal/testbed"
)

// freeradiusFiles is where Debian has FreeRADIUS's configuration.
const freeradiusFiles = "/etc/freeradius/3.0"

// freeradiusConfig is the shortest configuration that does the work: Debian's has more
// modules in its way, of which none would change an answer.
const freeradiusConfig = `
prefix = /usr
exec_prefix = /usr
sysconfdir = /etc
localstatedir = %[1]s
logdir = %[1]s
raddbdir = %[1]s
radacctdir = %[1]s
confdir = %[1]s
modconfdir = ` + freeradiusFiles + `/mods-config
run_dir = %[1]s
db_dir = %[1]s
libdir = /usr/lib/freeradius
pidfile = %[1]s/freeradius.pid
max_request_time = 30
cleanup_delay = 5
max_requests = 65536
hostname_lookups = no
log {
	destination = stderr
	auth = no
}
security {
	allow_core_dumps = no
	max_attributes = 200
	reject_delay = 0
	status_server = no
}
thread pool {
	start_servers = %[2]d
	max_servers = 32
	min_spare_servers = 3
	max_spare_servers = 32
	max_requests_per_server = 0
	auto_limit_acct = no
}
client loopback {
	ipaddr = 127.0.0.0/8
	secret = ` + secret + `
	require_message_authenticator = no
}
modules {
	pap {
	}
	chap {
	}
	mschap {
	}
	expr {
		safe_characters = "@abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_: /"
	}
	always noop {
		rcode = noop
	}
%[3]s
}
policy {
	$INCLUDE ` + freeradiusFiles + `/policy.d/accounting
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[4]d
	}
	listen {
		type = acct
		ipaddr = 127.0.0.1
		port = %[5]d
	}
	authorize {
		chap
		mschap
		%[6]s
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
	}
	%[7]s
}
`

// freeradiusMemory has the users in memory and writes accounting to a file.
const freeradiusMemory = `	files {
		filename = %[1]s/authorize
	}
	detail {
		filename = %[1]s/detail
		permissions = 0600
		header = "%%t"
	}`

const freeradiusMemorySite = `accounting {
		detail
	}`

// freeradiusSQL is Debian's sql module, for Postgres.
const freeradiusSQL = `	sql {
		dialect = "postgresql"
		driver = "rlm_sql_postgresql"
		server = "127.0.0.1"
		port = %[1]d
		login = "radiusd"
		password = ""
		radius_db = "radius"
		acct_table1 = "radacct"
		acct_table2 = "radacct"
		postauth_table = "radpostauth"
		authcheck_table = "radcheck"
		groupcheck_table = "radgroupcheck"
		authreply_table = "radreply"
		groupreply_table = "radgroupreply"
		usergroup_table = "radusergroup"
		read_groups = yes
		delete_stale_sessions = yes
		pool {
			start = 32
			min = 32
			max = 32
			spare = 32
			uses = 0
			retry_delay = 30
			lifetime = 0
			idle_timeout = 60
		}
		client_table = "nas"
		group_attribute = "SQL-Group"
		$INCLUDE ${modconfdir}/sql/main/postgresql/queries.conf
	}`

const freeradiusSQLSite = `preacct {
		acct_unique
	}
	accounting {
		sql
	}
	post-auth {
		sql
	}`

// startFreeRADIUS starts FreeRADIUS with users and accounting in memory and a file, or
// in a database of its own of the same Postgres server.
func (b *bench) startFreeRADIUS(name string) error {
	program, err := exec.LookPath("freeradius")
	if err != nil {
		return errors.New("FreeRADIUS is not installed: scripts/install-test-servers installs it (Debian: freeradius); -only does without")
	}
	dir := filepath.Join(b.bed.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s := &server{users: b.users}
	var ports [2]int
	for i, address := range []*string{&s.auth, &s.acct} {
		if ports[i], err = testbed.FreeUDPPort(); err != nil {
			return err
		}
		*address = fmt.Sprintf("127.0.0.1:%d", ports[i])
	}
	threads, modules, users, site := 5, fmt.Sprintf(freeradiusMemory, dir), "files", freeradiusMemorySite
	if name == "freeradius-sql" {
		if found, _ := filepath.Glob("/usr/lib/freeradius/rlm_sql_postgresql.so"); found == nil {
			return errors.New("rlm_sql_postgresql is not installed (Debian: freeradius-postgresql); -only does without")
		}
		threads, modules, users, site = 32, fmt.Sprintf(freeradiusSQL, b.postgres.Port), "sql", freeradiusSQLSite
		err = b.setUpFreeRADIUS(dir)
	} else {
		if err := os.Remove(filepath.Join(dir, "detail")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		err = b.writeFreeRADIUSUsers(filepath.Join(dir, "authorize"))
	}
	if err != nil || b.setup {
		return err
	}
	config := fmt.Appendf(nil, freeradiusConfig, dir, threads, modules, ports[0], ports[1], users, site)
	if err := os.WriteFile(filepath.Join(dir, "radiusd.conf"), config, 0o600); err != nil {
		return err
	}
	if err := os.Symlink("/usr/share/freeradius/dictionary", filepath.Join(dir, "dictionary")); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	args := append(front(b.places.server), program, "-f", "-d", dir, "-n", "radiusd")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	say("starting %s", name)
	if s.process, err = b.bed.Start(name, syscall.SIGTERM, cmd); err != nil {
		return err
	}
	b.servers[name] = s
	return s.process.Await(func() error { return probe(s.auth) })
}

// probe logs a user in. Debian's FreeRADIUS does not sign its answers with
// Message-Authenticator, so that radiusd's own client would not take them.
func probe(address string) error {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	random := make([]byte, 64)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	request, err := appendRequest(nil, "pap", 1, newNASKeys(1, false), 0, random)
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	var b answerBuffer
	n, err := conn.Read(b.packet())
	switch {
	case err != nil:
		return err
	case n < headerLength || !b.responseAuthentic(n, request, &newNASKeys(1, false)[0]):
		return errors.New("the answer has the wrong signature")
	case b.packet()[0] != accessAccept:
		return fmt.Errorf("the answer has code %d", b.packet()[0])
	}
	return nil
}

// writeFreeRADIUSUsers writes the users as the module files reads them.
func (b *bench) writeFreeRADIUSUsers(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	var reply []string
	for _, item := range freeradiusReply {
		reply = append(reply, "\t"+item[0]+" := "+item[1])
	}
	text := strings.Join(reply, ",\n")
	for n := 1; n <= b.users; n++ {
		name := userName(n)
		fmt.Fprintf(w, "%s Cleartext-Password := \"%s\"\n%s\n\n", name, appendPassword(nil, []byte(name)), text)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// freeradiusReply is the reply items of planReply.
var freeradiusReply = [][2]string{
	{"Service-Type", "Framed-User"}, {"Framed-Protocol", "PPP"}, {"Framed-Pool", `"` + planPool + `"`},
	{"Session-Timeout", "86400"}, {"Acct-Interim-Interval", "300"}, {"Mikrotik-Rate-Limit", `"` + planRate + `"`},
	{"Class", "0x" + strings.Repeat("00", 16)},
}

// setUpFreeRADIUS fills FreeRADIUS's tables: the users, each in a group that has the
// reply items.
func (b *bench) setUpFreeRADIUS(dir string) error {
	marker := filepath.Join(dir, "users")
	want := fmt.Sprintf("%d users", b.users)
	if have, err := os.ReadFile(marker); err == nil && string(have) == want {
		_, err := b.postgres.SQL("radius", "-c", "TRUNCATE radpostauth, radacct")
		return err
	}
	say("freeradius-sql: importing %d users", b.users)
	if found, err := b.postgres.SQL("radius", "-Atc", "SELECT to_regclass('radcheck')"); err != nil {
		return err
	} else if found == "" {
		if _, err := b.postgres.SQL("radius", "-f", freeradiusFiles+"/mods-config/sql/main/postgresql/schema.sql"); err != nil {
			return err
		}
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, `TRUNCATE radcheck, radreply, radusergroup, radgroupcheck, radgroupreply, radpostauth, radacct;
INSERT INTO radcheck (username, attribute, op, value)
  SELECT name, 'Cleartext-Password', ':=', reverse(name) FROM (SELECT 'user' || lpad(n::text, 8, '0') AS name FROM generate_series(1, %d) n) u;
INSERT INTO radusergroup (username, groupname) SELECT username, 'home' FROM radcheck;
`, b.users)
	for _, item := range freeradiusReply {
		fmt.Fprintf(&sql, "INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES ('home', '%s', ':=', '%s');\n", item[0], strings.Trim(item[1], `"`))
	}
	if _, err := b.postgres.SQL("radius", "-c", sql.String()); err != nil {
		return err
	}
	if _, err := b.postgres.SQL("radius", "-c", "VACUUM ANALYZE"); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte(want), 0o600)
}
