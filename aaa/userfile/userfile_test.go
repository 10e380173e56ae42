package userfile

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
)

func readAll(t require.TestingT, text string, options Options) (rows []aaa.ImportRow, lines []*aaa.LineError) {
	reader, err := NewReader(strings.NewReader(text), options)
	require.NoError(t, err)
	for row, err := range reader.Rows() {
		var line *aaa.LineError
		if errors.As(err, &line) {
			lines = append(lines, line)
			continue
		}
		require.NoError(t, err)
		rows = append(rows, row)
	}
	return rows, lines
}

// What Writer writes, Reader reads: whatever the texts are.
func TestRoundTrip(t *testing.T) {
	plan, group, other := uuid.New(), uuid.New(), uuid.New()
	names := Names{Plans: map[uuid.UUID]string{plan: "=gold"}, Groups: map[uuid.UUID]string{group: "@staff", other: "guests"}}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"=1+1", "'=1", "-2", "+49 1", "@x", "\tx", "\rx", "\nx", "a,b;\"c\"", "<b>", "\u2028"}))
		word := func(name string) string { // CSV reads a line break as \n, whatever it was
			return strings.ReplaceAll(strings.ToValidUTF8(text.Draw(t, name), "?"), "\r\n", "\n")
		}
		var users []aaa.UserRow
		for n := range rapid.IntRange(1, 4).Draw(t, "users") {
			u := aaa.UserRow{Name: word("name"), Status: aaa.UserStatus(n % 3), SimultaneousUse: n,
				Profile: aaa.Profile{FullName: word("full name"), Email: word("email"), Note: word("note")}}
			if u.Name == "" {
				u.Name = "x"
			}
			if n%2 == 1 {
				u.PlanID, u.ExpiresAt = plan, time.Date(2030, 1, n, 2, 3, 4, 0, time.UTC)
				u.Groups = []aaa.Membership{{GroupID: other, Priority: 3}, {GroupID: group, Priority: -1}}
			}
			users = append(users, u)
		}
		for _, format := range []Format{CSV, JSONLines} {
			var file bytes.Buffer
			w, err := NewWriter(&file, WriterOptions{Format: format, Names: names})
			require.NoError(t, err)
			for i := range users {
				require.NoError(t, w.Write(&users[i]))
			}
			require.NoError(t, w.Flush())
			rows, lines := readAll(t, file.String(), Options{Format: format, Update: true})
			require.Empty(t, lines, file.String())
			require.Len(t, rows, len(users))
			for i, row := range rows {
				u := users[i]
				require.Equal(t, u.Name, row.Username)
				require.Equal(t, names.Plans[u.PlanID], *row.Plan)
				require.Equal(t, u.Status, *row.Status)
				require.True(t, u.ExpiresAt.Equal(*row.ExpiresAt))
				require.Equal(t, u.SimultaneousUse, *row.SimultaneousUse)
				require.Equal(t, u.Profile, aaa.Profile{FullName: *row.FullName, Email: *row.Email, Phone: *row.Phone, Address: *row.Address, Note: *row.Note})
				require.Equal(t, len(u.Groups) > 0, len(*row.Groups) == 2)
				if len(u.Groups) > 0 {
					require.Equal(t, []string{"@staff", "guests"}, *row.Groups)
				}
				require.Nil(t, row.Credential)
			}
		}
	})
}

func TestJSONLines(t *testing.T) {
	text := `{"username": "alice", "password": "s3cret", "simultaneous_use": 2, "groups": ["a", "b"], "note": null}

{"username": "02-00-00-00-00-01", "mac": true}
{"username": "bob", "password": 7}
{"username": "bob", "passwort": "x"}
[]
{"username": "carol", "password": "x", "status": "gone", "expires_at": "soon"}
{"username": "dave", "password": "x", "groups": "a"}
{"password": "x"}
{"username": "erin", "password_hash": "{NT}0123456789abcdef0123456789abcdef"}`
	rows, lines := readAll(t, text, Options{Format: JSONLines})
	require.Len(t, rows, 3)
	assert.Equal(t, aaa.ImportRow{Line: 1, Username: "alice", Credential: &aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte("s3cret")},
		SimultaneousUse: new(2), Groups: &[]string{"a", "b"}}, rows[0])
	assert.Equal(t, "02:00:00:00:00:01", rows[1].Username)
	assert.Equal(t, aaa.SchemeNTHash, rows[2].Credential.Scheme)
	var got []string
	for _, line := range lines {
		var fields []string
		for _, e := range aaa.FieldErrors(line) {
			fields = append(fields, e.Field)
		}
		got = append(got, strings.Join(fields, ","))
	}
	assert.Equal(t, []string{"password", "passwort", "", "status,expires_at", "groups", "username"}, got)
	assert.Equal(t, `line 5: unknown field "passwort": did you mean password`, lines[1].Error())
	assert.Equal(t, 6, lines[2].Line)
}

// A row without an end is not read to its end.
func TestRowsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 3*MaxRow)
	for name, tt := range map[string]struct {
		format Format
		text   string
		good   int
	}{
		"CSV":          {CSV, "username,note\na,b\nb,\"" + long, 1},
		"CSV heading":  {CSV, "username,note\n" + long, 0},
		"JSON":         {JSONLines, `{"username":"a"}` + "\n" + `{"username":"` + long, 1},
		"many are not": {CSV, "username\n" + strings.Repeat("abcdefghijklm\n", MaxRow/4), MaxRow / 4},
	} {
		rows, lines := readAll(t, tt.text, Options{Format: tt.format, Update: true})
		assert.Len(t, rows, tt.good, name)
		if name == "many are not" {
			assert.Empty(t, lines)
			continue
		}
		require.Len(t, lines, 1, name)
		assert.Equal(t, tt.good+map[Format]int{CSV: 2, JSONLines: 1}[tt.format], lines[0].Line, name)
		assert.ErrorContains(t, lines[0], "longer than")
	}
	_, err := NewReader(strings.NewReader(strings.Repeat("x", 3*MaxRow)), Options{})
	require.ErrorContains(t, err, "longer than")
}

func FuzzJSONLines(f *testing.F) {
	f.Add(`{"username":"a","password":"b","groups":["x"]}`)
	f.Add("{\"username\":\"a\",\"mac\":true}\n{}\n\nnull")
	f.Fuzz(func(t *testing.T, text string) {
		rows, _ := readAll(t, text, Options{Format: JSONLines})
		for _, row := range rows {
			if row.Username == "" || row.Credential == nil || row.Credential.Validate() != nil {
				t.Fatalf("line %d: user %q without a credential", row.Line, row.Username)
			}
		}
	})
}
