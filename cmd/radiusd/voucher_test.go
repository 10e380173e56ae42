package main

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// voucherSite is a site with a plan for one device at a time, and a NAS.
type voucherSite struct {
	*faultSite
	nas *radiustest.NAS
}

func newVoucherSite(t *testing.T, storeURL string) *voucherSite {
	t.Helper()
	return newVoucherSiteOf(t, newFaultSite(t, storeURL, ""))
}

func newVoucherSiteOf(t *testing.T, f *faultSite) *voucherSite {
	t.Helper()
	v := &voucherSite{faultSite: f}
	v.do("plan", "add", "day", "--simultaneous-use", "1")
	v.nas = radiustest.NewNAS(t, "127.0.0.1")
	v.nas.Secret = []byte(faultSecret)
	return v
}

// create makes a batch and returns the codes by their serials.
func (v *voucherSite) create(args ...string) (codes []string) {
	v.t.Helper()
	out := v.do(append([]string{"voucher", "create", "-o", "csv"}, args...)...)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	require.NoError(v.t, err)
	for _, row := range rows[1:] {
		codes = append(codes, row[1])
	}
	return codes
}

// redeem redeems a code for a user and returns what was said.
func (v *voucherSite) redeem(user, code string) (said string, code0 int) {
	v.t.Helper()
	out, errs, exit := v.run(code+"\n", "voucher", "redeem", user)
	return out + errs, exit
}

// ask sends a request of a station.
func (v *voucherSite) ask(message *radius.Message, station string) radius.Packet {
	v.t.Helper()
	message.AddString(radius.TypeCallingStationID, station)
	return v.nas.Exchange(v.auth, message)
}

func textOf(p radius.Packet, t radius.Type) string {
	text, _ := p.Attributes().String(t)
	return text
}

func timeoutOf(p radius.Packet) uint32 {
	seconds, _ := p.Attributes().Uint32(radius.TypeSessionTimeout)
	return seconds
}

const firstPhone, secondPhone = "02-00-00-00-00-01", "02-00-00-00-00-02"

func TestVouchers(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		v := newVoucherSite(t, storeURL)
		server := v.start()
		stream, err := http.Get("http://" + server.metrics + "/debug/decisions")
		require.NoError(t, err)
		defer stream.Body.Close()
		decisions := make(chan []byte, 1)
		go func() {
			text, _ := io.ReadAll(stream.Body)
			decisions <- text
		}()
		sheet := filepath.Join(v.dir, "march.pdf")
		codes := v.create("march", "--plan", "day", "--validity", "1h", "--count", "5", "--pdf", sheet)
		require.Len(t, codes, 5)
		printed, err := exec.Command("pdftotext", "-layout", sheet, "-").CombinedOutput()
		require.NoError(t, err, "pdftotext (package poppler-utils): %s", printed)
		short := v.create("short", "--plan", "day", "--validity", "2s")[0]
		gift := v.create("gift", "--value", "10.00", "--currency", "EUR")[0]
		v.addUser("alice", "looking-glass")
		for _, code := range codes {
			assert.Contains(t, string(printed), code)
		}

		// In force within a second, and valid from the first use on.
		typed := strings.ToLower(strings.ReplaceAll(codes[0], "-", ""))
		var accept radius.Packet
		require.Eventually(t, func() bool {
			accept = v.ask(v.nas.PAP("v1-00001", typed), firstPhone)
			return accept.Code() == radius.AccessAccept
		}, patience, 100*time.Millisecond)
		first := time.Now()
		assert.InDelta(t, 3600, timeoutOf(accept), 1)
		session := v.nas.Session("v1-00001", "s1")
		session.Accepted(accept)
		require.Equal(t, radius.AccountingResponse, v.nas.Exchange(v.acct, session.Start()).Code())
		reject := v.ask(v.nas.CHAP(typed, typed), secondPhone)
		require.Equal(t, radius.AccessReject, reject.Code())
		assert.Equal(t, "This voucher is in use on another device.", textOf(reject, radius.TypeReplyMessage))

		// By CHAP, with the code as name; the NAS accounts under the code all the same.
		accept = v.ask(v.nas.CHAP(codes[1], codes[1]), secondPhone)
		require.Equal(t, radius.AccessAccept, accept.Code())
		assert.Equal(t, "v1-00002", textOf(accept, radius.TypeUserName))
		stubborn := v.nas.Session(codes[1], "s2")
		require.Equal(t, radius.AccountingResponse, v.nas.Exchange(v.acct, stubborn.Start()).Code())
		db := v.database()
		require.Eventually(t, func() bool {
			return number(t, db, "SELECT count(*) FROM sessions WHERE username IN ('v1-00001', 'v1-00002')") == 2 &&
				number(t, db, "SELECT count(*) FROM vouchers WHERE state = 'used'") == 2
		}, patience, 50*time.Millisecond)
		var voucher struct {
			State   string
			Expires time.Time `json:"expires_at"`
		}
		v.decode(&voucher, "voucher", "show", "v1-00001")
		assert.Equal(t, "used", voucher.State)
		assert.WithinDuration(t, first.Add(time.Hour), voucher.Expires, time.Minute)

		// Its time is over, it is revoked, it was redeemed for a user.
		require.Eventually(t, func() bool { return v.ask(v.nas.PAP(short, ""), "02-00-00-00-00-03").Code() == radius.AccessAccept },
			patience, 100*time.Millisecond, "it was made after the others")
		require.Eventually(t, func() bool {
			answer := v.ask(v.nas.PAP(short, short), "02-00-00-00-00-03")
			return answer.Code() == radius.AccessReject && textOf(answer, radius.TypeReplyMessage) == "This voucher has expired."
		}, patience, 100*time.Millisecond)
		v.do("voucher", "revoke", "v1-00003", "--yes")
		said, code := v.redeem("alice", codes[3])
		require.Zero(t, code, said)
		for _, gone := range codes[2:4] {
			require.Eventually(t, func() bool {
				answer := v.ask(v.nas.PAP(gone, gone), "02-00-00-00-00-04")
				return answer.Code() == radius.AccessReject && textOf(answer, radius.TypeReplyMessage) == "This voucher was revoked, or has been redeemed."
			}, patience, 100*time.Millisecond)
		}
		said, code = v.redeem("alice", gift)
		require.Zero(t, code, said)
		said, code = v.redeem("alice", gift)
		require.NotZero(t, code)
		assert.Contains(t, said, "was used")
		assert.Equal(t, "-10.00", v.rows("balance", "alice")[0]["owed"])

		// Guesses.
		for i := range 5 {
			require.Equal(t, radius.AccessReject, v.ask(v.nas.PAP(fmt.Sprintf("ZZZZ-ZZZZ-%04d", i), ""), "02-00-00-00-00-05").Code())
		}
		answer := v.ask(v.nas.PAP(codes[4], ""), "02-00-00-00-00-05")
		require.Equal(t, radius.AccessReject, answer.Code())
		assert.Equal(t, "Too many wrong codes: please wait a few minutes.", textOf(answer, radius.TypeReplyMessage))
		require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM auth_records WHERE reason = 'throttled'") == 1 }, patience, 50*time.Millisecond)
		_, metrics := server.get("/metrics")
		assert.Contains(t, metrics, `reason="throttled"} 1`)

		// It ends orderly, and no code is anywhere.
		require.Zero(t, server.terminate())
		said = v.do("voucher", "list", "-o", "json") + v.do("voucher", "list", "march") + v.do("user", "list", "-o", "json") + v.do("session", "list", "-o", "json")
		v.requireNoCode(append(codes, short, gift), map[string][]byte{
			"the log": []byte(server.logged()), "the metrics": []byte(metrics), "the decisions": <-decisions, "the lists": []byte(said),
		})
	})
}

// requireNoCode looks for codes, in each spelling, in texts and in all tables.
func (v *voucherSite) requireNoCode(codes []string, texts map[string][]byte) {
	v.t.Helper()
	db := v.database()
	query := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if v.storeURL != "" {
		query = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	}
	rows, err := db.Query(query)
	require.NoError(v.t, err)
	var tables []string
	for rows.Next() {
		var table string
		require.NoError(v.t, rows.Scan(&table))
		tables = append(tables, table)
	}
	require.NoError(v.t, rows.Close())
	require.Greater(v.t, len(tables), 40)
	for _, table := range tables {
		rows, err := db.Query("SELECT * FROM " + table)
		require.NoError(v.t, err, table)
		texts["the table "+table] = []byte(dumpOctets(v.t, rows))
	}
	if v.storeURL == "" {
		for _, file := range []string{"radiusd.db", "radiusd.db-wal", "directory.snapshot"} {
			if texts[file], err = os.ReadFile(filepath.Join(v.data, file)); !os.IsNotExist(err) {
				require.NoError(v.t, err)
			}
		}
	}
	for where, text := range texts {
		text = bytes.ToUpper(text)
		for _, code := range codes {
			require.False(v.t, bytes.Contains(text, []byte(code)), "%s has a code", where)
			require.False(v.t, bytes.Contains(text, []byte(strings.ReplaceAll(code, "-", ""))), "%s has a code", where)
		}
	}
}

// A server that is killed after the NAS has accounted for a voucher's first session, and
// before the first use was written, finds it in the accounting.
func TestVoucherFirstUseSurvivesAKill(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		v := newVoucherSite(t, storeURL)
		code := v.create("march", "--plan", "day", "--validity", "1h")[0]
		server := v.start()
		accept := v.ask(v.nas.PAP(code, ""), firstPhone)
		require.Equal(t, radius.AccessAccept, accept.Code())
		session := v.nas.Session("v1-00001", "s1")
		session.Accepted(accept)
		require.Equal(t, radius.AccountingResponse, v.nas.Exchange(v.acct, session.Start()).Code())
		server.kill()
		db := v.database()
		// As if it had not been written in time.
		for _, statement := range []string{"UPDATE vouchers SET state = 'new', redeemed_at = NULL, expires_at = NULL",
			"UPDATE users SET expires_at = NULL WHERE username = 'v1-00001'"} {
			_, err := db.Exec(statement)
			require.NoError(t, err)
		}
		v.start()
		require.Eventually(t, func() bool {
			return number(t, db, "SELECT count(*) FROM vouchers WHERE state = 'used' AND expires_at IS NOT NULL") == 1 &&
				number(t, db, "SELECT count(*) FROM users WHERE expires_at IS NOT NULL") == 1
		}, patience, 50*time.Millisecond)
	})
}

// Of two nodes that let a voucher in, the earlier time counts on both.
func TestVoucherOnTwoNodes(t *testing.T) {
	t.Parallel()
	one, b := twoNodes(t)
	a := newVoucherSiteOf(t, one)
	code := a.create("march", "--plan", "day", "--validity", "1h")[0]
	a.start()
	b.start()
	first := a.ask(a.nas.PAP(code, ""), firstPhone)
	require.Equal(t, radius.AccessAccept, first.Code())
	db := a.database()
	require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM vouchers WHERE state = 'used'") == 1 }, patience, 20*time.Millisecond)
	// An hour and a half passes.
	_, err := db.Exec("UPDATE users SET expires_at = expires_at - interval '90 minutes' WHERE username = 'v1-00001'")
	require.NoError(t, err)
	for _, site := range []*faultSite{a.faultSite, b} {
		v := &voucherSite{site, a.nas}
		require.Eventually(t, func() bool {
			return textOf(v.ask(v.nas.PAP(code, ""), firstPhone), radius.TypeReplyMessage) == "This voucher has expired."
		}, patience, 100*time.Millisecond)
	}
}

// dumpOctets is all that rows hold, octets as they are.
func dumpOctets(t *testing.T, rows *sql.Rows) string {
	t.Helper()
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	var list strings.Builder
	for rows.Next() {
		require.NoError(t, rows.Scan(dest...))
		for _, value := range values {
			if octets, ok := value.([]byte); ok {
				value = string(octets)
			}
			fmt.Fprintln(&list, value)
		}
	}
	require.NoError(t, rows.Err())
	return list.String()
}
