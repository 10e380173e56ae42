package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"radiusd/scripts/internal/testbed"
)

// freeradiusFiles is where Debian has FreeRADIUS's configuration.
const freeradiusFiles = "/etc/freeradius/3.0"

// freeradiusConfig is a server for accounting alone: what Debian's site "default" does
// with an Accounting-Request, with the SQL module in place of files.
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
}
security {
	allow_core_dumps = no
	max_attributes = 200
	reject_delay = 0
	status_server = no
}
thread pool {
	start_servers = 32
	max_servers = 32
	min_spare_servers = 3
	max_spare_servers = 32
	max_requests_per_server = 0
	auto_limit_acct = no
}
client localhost {
	ipaddr = 127.0.0.1
	secret = %[2]s
	require_message_authenticator = no
}
modules {
	sql {
		dialect = "postgresql"
		driver = "rlm_sql_postgresql"
		server = "127.0.0.1"
		port = %[3]d
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
		read_groups = no
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
	}
	preprocess {
		huntgroups = ${modconfdir}/preprocess/huntgroups
		hints = ${modconfdir}/preprocess/hints
	}
	expr {
		safe_characters = "@abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_: /"
	}
	always noop {
		rcode = noop
	}
}
policy {
	$INCLUDE ` + freeradiusFiles + `/policy.d/accounting
}
server default {
	listen {
		type = acct
		ipaddr = 127.0.0.1
		port = %[4]d
	}
	preacct {
		preprocess
		acct_unique
	}
	accounting {
		sql
	}
}
`

// startFreeRADIUS starts FreeRADIUS on a database of its own of the same Postgres server
// and returns its accounting address.
func (b *bench) startFreeRADIUS() (acct string, err error) {
	program, err := exec.LookPath("freeradius")
	if err != nil {
		return "", errors.New("FreeRADIUS is not installed (Debian: freeradius freeradius-postgresql), -freeradius=false does without")
	}
	if found, _ := filepath.Glob("/usr/lib/freeradius/rlm_sql_postgresql.so"); found == nil {
		return "", errors.New("rlm_sql_postgresql is not installed (Debian: freeradius-postgresql), -freeradius=false does without")
	}
	if _, err := b.postgres.SQL("radius", "-f", freeradiusFiles+"/mods-config/sql/main/postgresql/schema.sql"); err != nil {
		return "", err
	}
	dir := filepath.Join(b.dir, "freeradius")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	port, err := testbed.FreeUDPPort()
	if err != nil {
		return "", err
	}
	config := fmt.Appendf(nil, freeradiusConfig, dir, secret, b.postgres.Port, port)
	if err := os.WriteFile(filepath.Join(dir, "radiusd.conf"), config, 0o600); err != nil {
		return "", err
	}
	if err := os.Symlink("/usr/share/freeradius/dictionary", filepath.Join(dir, "dictionary")); err != nil {
		return "", err
	}
	cmd := exec.Command(program, "-f", "-d", dir, "-n", "radiusd")
	cmd.Dir = dir
	server, err := b.bed.Start("freeradius", syscall.SIGTERM, cmd)
	if err != nil {
		return "", err
	}
	acct = fmt.Sprintf("127.0.0.1:%d", port)
	b.freeradiusServer = server
	return acct, server.Await(func() error {
		out, err := exec.Command(b.options.radiusd, "test", "acct", "start", "probe", "--server", acct, "--secret", secret, "--timeout", "1s").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
