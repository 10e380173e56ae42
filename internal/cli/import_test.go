package cli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/store"
)

// TestSlowImport: an import that waits for its lines keeps nobody from writing.
func TestSlowImport(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.ok("user", "add", "first", "--password", "x")
	stdin, lines := io.Pipe()
	imported := make(chan result, 1)
	go func() {
		var out, errs bytes.Buffer
		code := Main(t.Context(), []string{"user", "import", "-"}, stdin, &out, &errs, s.environ)
		imported <- result{out.String(), errs.String(), code}
	}()
	_, err := io.WriteString(lines, "username,password\n")
	require.NoError(t, err)
	const rows = 10000 // more than any buffer on the way holds
	for i := range rows {
		_, err := fmt.Fprintf(lines, "user%d,pw\n", i)
		require.NoError(t, err)
	}
	s.ok("user", "add", "meanwhile", "--password", "x")
	require.NoError(t, lines.Close())
	r := <-imported
	require.Zero(t, r.code, r.err)
	assert.Equal(t, "10000 users created, 0 changed\n", r.out)
}

func TestTakesLong(t *testing.T) {
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer file.Close()
	assert.True(t, takesLong(file, "cleartext"), "not a regular file")
	assert.True(t, takesLong(strings.NewReader(""), "cleartext"), "not a file")
	regular, err := os.Create(t.TempDir() + "/users.csv")
	require.NoError(t, err)
	defer regular.Close()
	assert.False(t, takesLong(regular, "cleartext"))
	assert.False(t, takesLong(regular, "nt"))
	assert.True(t, takesLong(regular, "bcrypt"))
	assert.True(t, takesLong(regular, "argon2id"))
}

func TestImport(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("group", "add", "staff")
		s.ok("group", "add", "vip")
		path := s.file("users.csv", "\ufeffstatus,username,password,plan,expires_at,full_name,groups,mac,simultaneous_use,password_hash\n"+
			"active,alice,s3cret,home,2030-12-31,\"Alice, A\",vip;staff,,2,\n"+
			",bob,,,,,,,,{NT}0123456789abcdef0123456789abcdef\n"+
			"suspended,02-00-00-00-00-AA,,,2031-01-01T00:00:00+02:00,,,true,,\n"+
			",'+436641,'=pw,,,,,,,\n")
		assert.Equal(t, "4 users would be created, 0 changed\n", s.ok("user", "import", path, "--dry-run"))
		assert.Empty(t, s.rows("user", "list"), "a dry run imports nothing")
		assert.Equal(t, "4 users created, 0 changed\n", s.ok("user", "import", path))

		alice := s.object("user", "show", "alice")
		for key, want := range map[string]any{"plan": "home", "expires_at": "2031-01-01T00:00:00Z", "full_name": "Alice, A",
			"simultaneous_use": 2.0, "groups": []any{"vip", "staff:1"}, "credential": "cleartext", "status": "active"} {
			assert.Equal(t, want, alice[key], key)
		}
		assert.Equal(t, "nthash", s.object("user", "show", "bob")["credential"])
		mac := s.object("user", "show", "02:00:00:00:00:aa")
		assert.Equal(t, "mac", mac["credential"])
		assert.Equal(t, "suspended", mac["status"])
		assert.Equal(t, "2030-12-31T22:00:00Z", mac["expires_at"])
		phone, err := s.open().UserByName(t.Context(), "+436641")
		require.NoError(t, err)
		assert.Equal(t, "=pw", string(phone.Credential.Secret), "the apostrophe of an export comes off")

		// Again without --update: every line is wrong, and nothing changes.
		r := s.run("user", "import", path)
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, path+`:2: user "alice": exists already`+"\n")
		assert.Contains(t, r.err, "4 wrong lines: nothing was imported")

		update := s.file("update.csv", "username;status;plan;password\nalice;disabled;;\ncarol;;home;pw\n")
		assert.Equal(t, "1 users created, 1 changed\n", s.ok("user", "import", update, "--update"))
		alice = s.object("user", "show", "alice")
		assert.Equal(t, "disabled", alice["status"])
		assert.Equal(t, "", alice["plan"], "an empty cell is no plan")
		assert.Equal(t, "cleartext", alice["credential"], "an empty password keeps the present one")
		assert.Equal(t, "Alice, A", alice["full_name"], "a missing column keeps all")
	})
}

func TestImportIsAllOrNothing(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		path := s.file("bad.csv", "username,password,plan,status,expires_at\n"+
			"good,pw,home,active,2030-12-31\n"+ // 2
			",pw,,,\n"+ // 3
			"dave,pw,hme,,\n"+ // 4
			"erin,pw,,gone,\n"+ // 5
			"frank,pw,,,tomorrow\n"+ // 6
			"good,pw,,,\n"+ // 7
			"short,pw\n"+ // 8
			"nopassword,,,,\n"+ // 9
			"\"two\nlines\",pw,,,\n"+ // 10, 11
			"gina,\xff\xfe,,,\n"+ // 12
			"both,pw,,bad status,bad date\n") // 13
		r := s.run("user", "import", path)
		assert.Equal(t, exitFailed, r.code)
		assert.Empty(t, r.out)
		for line, want := range map[int]string{
			3: "username: is empty", 4: `plan "hme": not found`, 5: `status: unknown status "gone"`, 6: `expires_at: "tomorrow" is not a date`,
			7: `user "good" is on line 2 already`, 8: "has 2 cells where the first line has 5", 9: "password: is missing",
			10: "characters that are not text", 12: "password is not UTF-8", 13: `status: unknown status "bad status": want active, disabled or suspended; expires_at: "bad date"`,
		} {
			assert.Contains(t, r.err, fmt.Sprintf("%s:%d: ", path, line), "line %d", line)
			assert.Contains(t, r.err, want, "line %d", line)
		}
		assert.Contains(t, r.err, "10 wrong lines: nothing was imported")
		assert.Empty(t, s.rows("user", "list"))
		assert.NotContains(t, r.err, "pw", "no password in an error")
	})
}

func TestImportHeaders(t *testing.T) {
	s := newSite(t, "")
	s.ok("user", "list")
	for name, c := range map[string]struct{ content, want string }{
		"empty":            {"", "is empty: the first line must name the columns (username,password,plan,status,expires_at)"},
		"no username":      {"password\nx\n", "line 1: there is no column username"},
		"unknown column":   {"username,passwd\na,b\n", `line 1: unknown column "passwd": did you mean password`},
		"twice":            {"username,username\na,b\n", `line 1: column "username" stands there twice`},
		"no header":        {"alice,s3cret,home\n", `line 1: unknown column "alice"`},
		"broken quote":     {"username,password\nalice,\"x\nbob,y\n", "cannot be read from here on"},
		"mac not an addr":  {"username,mac\nalice,true\n", `username: "alice" is not a MAC address`},
		"mac and password": {"username,mac,password\n02:00:00:00:00:01,true,x\n", "mac: a device known by its MAC address has no password"},
		"two credentials":  {"username,password,password_hash\na,x,{NT}0123456789abcdef0123456789abcdef\n", "only one of password and password_hash"},
		"broken hash":      {"username,password_hash\na,$9$x\n", "password_hash: credential:"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.runWith(c.content, "user", "import", "-")
			assert.Equal(t, exitFailed, r.code, r.err)
			assert.Contains(t, r.err, c.want)
			assert.Contains(t, r.err, "standard input")
			assert.Empty(t, r.out)
		})
	}
	assert.Contains(t, s.fails(exitFailed, "user", "import", "/nonexistent.csv"), "read /nonexistent.csv: no such file or directory")
	assert.Contains(t, s.fails(exitFailed, "user", "import", s.dir), "is a directory")
	assert.Empty(t, s.rows("user", "list"))
}

func TestImportStopsAtManyErrors(t *testing.T) {
	s := newSite(t, "")
	r := s.runWith("username,password\n"+strings.Repeat(",x\n", 1000), "user", "import", "-")
	assert.Equal(t, exitFailed, r.code)
	assert.Equal(t, 100, strings.Count(r.err, "username: is empty"))
	assert.Contains(t, r.err, "and perhaps more")
}

// What export writes, import reads: the same users come out again.
func TestExportImportRoundTrip(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("group", "add", "staff")
		s.ok("user", "add", "alice", "--password", "=s3cret", "--plan", "home", "--group", "staff", "--expires", "2030-12-31", "--full-name", "@lice, \"A\"", "--note", "two\nlines")
		s.ok("user", "add", "+bob", "--password", "x", "--hash", "nt", "--status", "disabled", "--simultaneous-use", "3")
		s.ok("user", "add", "carol", "--password", "x", "--hash", "argon2id")
		s.ok("user", "add", "020000000001", "--mac", "--phone", "-1")
		for _, name := range []string{"dave", "erin"} { // users without a profile between those with one
			s.ok("user", "add", name, "--password", "x")
		}
		s.ok("user", "set", "erin", "--address", "Main Street 1")

		without := s.ok("user", "export")
		assert.NotContains(t, without, "s3cret")
		assert.NotContains(t, without, "argon2id")
		assert.NotContains(t, strings.SplitN(without, "\n", 2)[0], "password")
		full := s.ok("user", "export", "--with-passwords")
		rows, err := csv.NewReader(strings.NewReader(full)).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 7)
		assert.Equal(t, userfile.Columns(), rows[0])
		for _, row := range rows[1:] {
			for _, cell := range row {
				assert.NotRegexp(t, "^[-=+@\t\r\n]", cell)
			}
		}

		for _, user := range s.rows("user", "list") {
			s.ok("user", "delete", user["username"].(string), "--yes")
		}
		r := s.runWith(full, "user", "import", "-")
		require.Zero(t, r.code, r.err)
		assert.Equal(t, full, s.ok("user", "export", "--with-passwords"))
		// Without passwords it updates everything else and keeps them.
		r = s.runWith(without, "user", "import", "-", "--update")
		require.Zero(t, r.code, r.err)
		assert.Equal(t, "0 users created, 6 changed\n", r.out)
		assert.Equal(t, full, s.ok("user", "export", "--with-passwords"))
	})
}

func TestImportHashes(t *testing.T) {
	s := newSite(t, "")
	r := s.runWith("username,password\nalice,s3cret\n", "user", "import", "-", "--hash", "nt")
	require.Zero(t, r.code, r.err)
	user, err := s.open().UserByName(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, aaa.SchemeNTHash, user.Credential.Scheme)
}

// Many users come in complete and correct: a hundred thousand on Postgres, fewer
// on SQLite, which is slow under the race detector.
func TestImportOfManyUsers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	engines(t, func(t *testing.T, s *site) {
		n := 10_000
		if s.postgres() {
			n = 100_000
		}
		var b strings.Builder
		b.WriteString("username,password,plan,status,expires_at,full_name\n")
		for i := range n {
			fmt.Fprintf(&b, "user%06d,password%d,%s,%s,2030-12-31,Name %d\n", i, i, []string{"home", "office"}[i%2], userStatuses[i%3], i)
		}
		s.ok("plan", "add", "home")
		s.ok("plan", "add", "office")
		r := s.run("user", "import", s.file("many.csv", b.String()))
		require.Zero(t, r.code, r.err)
		assert.Equal(t, fmt.Sprintf("%d users created, 0 changed\n", n), r.out)
		assert.Contains(t, r.err, fmt.Sprintf("users: %d in ", n))
		t.Log(r.err)
		assert.Contains(t, s.fails(exitFailed, "user", "show", "userr009998"), "did you mean user009998", "found among many")
		assert.Contains(t, s.fails(exitFailed, "user", "show", "USER009998"), "did you mean user009998")
		rows, err := csv.NewReader(strings.NewReader(s.ok("user", "export", "--with-passwords"))).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, n+1)
		for i, row := range rows[1:] {
			if row[0] != fmt.Sprintf("user%06d", i) || row[1] != fmt.Sprintf("password%d", i) || row[3] != userStatuses[i%3] {
				require.Fail(t, "wrong row", "%d: %v", i, row)
			}
		}
	})
}

// Whatever a file holds, the reader gives users with a name and a line, or says
// what is wrong with a line, and comes to an end.
func FuzzImport(f *testing.F) {
	f.Add("username,password\nalice,s3cret\n", true)
	f.Add("\ufeffusername;mac;expires_at\n020000000001;true;2030-12-31\n'=x;no;never\n", false)
	f.Add("username,password_hash,groups,simultaneous_use\n\"a\nb\",{NT}0123456789abcdef0123456789abcdef,a;b,x\na,\"\n", false)
	f.Fuzz(func(t *testing.T, content string, update bool) {
		reader, err := userfile.NewReader(strings.NewReader(content), userfile.Options{Update: update})
		if err != nil {
			return
		}
		last := 1
		for row, err := range reader.Rows() {
			var line *store.LineError
			switch {
			case errors.As(err, &line):
				if line.Line < last {
					t.Fatalf("line %d after %d", line.Line, last)
				}
				last = line.Line
			case err != nil:
				t.Fatal(err)
			case row.Username == "" || row.Line <= 1:
				t.Fatalf("a user %q on line %d", row.Username, row.Line)
			case row.Credential != nil && row.Credential.Validate() != nil:
				t.Fatal(row.Credential.Validate())
			}
		}
	})
}

// TestImportReportsInOrder: some mistakes show at once, others when the store is
// asked.
func TestImportReportsInOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	path := s.file("users.csv", "username,password,plan,status\na,x,nope,\nb,x,,bogus\nl\xe9,x,,\n,x,,gone\nc,x,nope,\n")
	r := s.run("user", "import", path)
	assert.Equal(t, exitFailed, r.code)
	var lines []string
	for line := range strings.Lines(r.err) {
		if rest, ok := strings.CutPrefix(line, path+":"); ok {
			lines = append(lines, strings.TrimSpace(rest))
		}
	}
	assert.Equal(t, []string{
		`2: plan "nope": not found`, `3: status: unknown status "bogus": want active, disabled or suspended`,
		"4: username is not UTF-8", `5: status: unknown status "gone": want active, disabled or suspended; username: is empty`, `6: plan "nope": not found`,
	}, lines)
}
