package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"radiusd/internal/freeport"
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
	secret = %[8]s
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

// freeradiusSQL is Debian's modules sql, for Postgres, and preprocess.
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
	}
	preprocess {
		huntgroups = ${modconfdir}/preprocess/huntgroups
		hints = ${modconfdir}/preprocess/hints
	}`

// freeradiusSQLSite has preprocess, as Debian's site does: its column of the NAS's address
// cannot be empty, where the NAS sends none.
const freeradiusSQLSite = `preacct {
		preprocess
		acct_unique
	}
	accounting {
		sql
	}
	post-auth {
		sql
	}`

// FreeRADIUS is a server of FreeRADIUS.
type FreeRADIUS struct {
	*Process
	Auth, Acct string // addresses
}

// FreeRADIUSProgram is the path of FreeRADIUS, which must have the module for Postgres if
// the server is to use that.
func FreeRADIUSProgram(postgres bool) (string, error) {
	program, err := exec.LookPath("freeradius")
	if err != nil {
		return "", errors.New("FreeRADIUS is not installed: scripts/install-test-servers installs it (Debian: freeradius)")
	}
	if found, _ := filepath.Glob("/usr/lib/freeradius/rlm_sql_postgresql.so"); postgres && found == nil {
		return "", errors.New("rlm_sql_postgresql is not installed (Debian: freeradius-postgresql)")
	}
	return program, nil
}

// MakeFreeRADIUSTables makes FreeRADIUS's tables in the database radius, unless it has
// them.
func (p *Postgres) MakeFreeRADIUSTables() error {
	found, err := p.SQL("radius", "-Atc", "SELECT to_regclass('radcheck')")
	if err == nil && found == "" {
		_, err = p.SQL("radius", "-f", freeradiusFiles+"/mods-config/sql/main/postgresql/schema.sql")
	}
	return err
}

// StartFreeRADIUS starts FreeRADIUS in the folder with its name in the bed's, for NASes
// of loopback that have the secret. Users and accounting are in the tables of the
// database radius; without Postgres the users are in the folder's file authorize, and
// accounting goes into its file detail. It runs through the command in front, such as
// taskset with its arguments, and may not answer yet.
func (b *Bed) StartFreeRADIUS(name, secret string, postgres *Postgres, front ...string) (*FreeRADIUS, error) {
	program, err := FreeRADIUSProgram(postgres != nil)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := new(FreeRADIUS)
	var ports [2]int
	for i, address := range []*string{&f.Auth, &f.Acct} {
		if ports[i], err = freeport.Reserve(); err != nil {
			return nil, err
		}
		*address = fmt.Sprintf("127.0.0.1:%d", ports[i])
	}
	threads, modules, users, site := 5, fmt.Sprintf(freeradiusMemory, dir), "files", freeradiusMemorySite
	if postgres != nil {
		threads, modules, users, site = 32, fmt.Sprintf(freeradiusSQL, postgres.Port), "sql", freeradiusSQLSite
	}
	config := fmt.Appendf(nil, freeradiusConfig, dir, threads, modules, ports[0], ports[1], users, site, secret)
	if err := os.WriteFile(filepath.Join(dir, "radiusd.conf"), config, 0o600); err != nil {
		return nil, err
	}
	if err := os.Symlink("/usr/share/freeradius/dictionary", filepath.Join(dir, "dictionary")); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	args := append(front[:len(front):len(front)], program, "-f", "-d", dir, "-n", "radiusd")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	f.Process, err = b.Start(name, syscall.SIGTERM, cmd)
	return f, err
}
