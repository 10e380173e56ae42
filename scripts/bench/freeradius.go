//go:build linux

package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"radiusd/scripts/internal/testbed"
)

// startFreeRADIUS starts FreeRADIUS with users and accounting in memory and a file, or
// in a database of its own of the same Postgres server.
func (b *bench) startFreeRADIUS(name string) error {
	var postgres *testbed.Postgres
	if name == "freeradius-sql" {
		postgres = b.postgres
	}
	if _, err := testbed.FreeRADIUSProgram(postgres != nil); err != nil { // rather now than after the import
		return fmt.Errorf("%w; -only does without", err)
	}
	dir := filepath.Join(b.bed.Dir, name)
	err := os.MkdirAll(dir, 0o700)
	if err == nil && postgres != nil {
		err = b.setUpFreeRADIUS(dir)
	} else if err == nil {
		err = b.writeFreeRADIUSUsers(dir)
	}
	if err != nil || b.setup {
		return err
	}
	say("starting %s", name)
	f, err := b.bed.StartFreeRADIUS(name, secret, postgres, front(b.places.server)...)
	if err != nil {
		return err
	}
	b.servers[name] = &server{process: f.Process, users: b.users, auth: f.Auth, acct: f.Acct}
	return f.Await(func() error { return probe(f.Auth) })
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

// writeFreeRADIUSUsers writes the users as the module files reads them, and removes the
// accounting of the last run.
func (b *bench) writeFreeRADIUSUsers(dir string) error {
	if err := os.Remove(filepath.Join(dir, "detail")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, "authorize"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
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
	if err := b.postgres.MakeFreeRADIUSTables(); err != nil {
		return err
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
