package api_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
	"radiusd/operator"
)

const csvType = "text/csv"

func TestImportUsers(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		newPlanAndGroup(t, w)
		admin := w.as(t, "admin")
		count := func(t *testing.T) int64 {
			t.Helper()
			return into[api.UserList](admin.in(t).get("/users?count=true")).Total.Count
		}
		good := "username,password,plan,status,groups,full_name\nalice,canary-pw,gold,active,staff,Alice A.\n'=bob,pw,,disabled,,\n"
		t.Run("a dry run writes nothing", func(t *testing.T) {
			result := into[api.ImportResult](admin.in(t).do(http.MethodPost, "/users/import?dry_run=true", good, "Content-Type", csvType).is(http.StatusOK))
			assert.Equal(t, api.ImportResult{DryRun: true, Lines: 2, Created: 2, Errors: []api.FieldError{}}, result)
			assert.Zero(t, count(t))
		})
		bad := "username,password,plan,groups,email\nalice,pw,gold,staff,a@example.org\nbob,pw,copper,staff,\n,pw,gold,,\ncarol,pw,gold,nobody,\nalice,pw,,,\ndora,pw,,,dora\n"
		wantBad := []string{"3 plan", "4 username", "5 groups", "6 username", "7 email"}
		lines := func(errors []api.FieldError) (list []string) {
			for _, e := range errors {
				list = append(list, fmt.Sprint(e.Line, " ", e.Field))
			}
			return list
		}
		t.Run("wrong lines are told, and nothing is written", func(t *testing.T) {
			admin := admin.in(t)
			result := into[api.ImportResult](admin.do(http.MethodPost, "/users/import?dry_run=true", bad, "Content-Type", csvType).is(http.StatusOK))
			assert.Equal(t, wantBad, lines(result.Errors))
			problem := admin.do(http.MethodPost, "/users/import", bad, "Content-Type", csvType).code(http.StatusUnprocessableEntity, "invalid").problem()
			assert.Equal(t, wantBad, lines(problem.Errors))
			assert.Zero(t, count(t))
		})
		t.Run("of very many errors the first are told", func(t *testing.T) {
			file := "username,password,status\n" + strings.Repeat("x,pw,asleep\n", 500)
			problem := admin.in(t).do(http.MethodPost, "/users/import", file, "Content-Type", csvType).code(http.StatusUnprocessableEntity, "invalid").problem()
			assert.Len(t, problem.Errors, 100)
			assert.Equal(t, 2, problem.Errors[0].Line)
			assert.Equal(t, "status", problem.Errors[0].Field)
		})
		t.Run("a heading that is wrong", func(t *testing.T) {
			for _, file := range []string{"username,balance\n", "", "password\nx\n", "username,username\n"} {
				problem := admin.in(t).do(http.MethodPost, "/users/import", file, "Content-Type", csvType).code(http.StatusUnprocessableEntity, "invalid").problem()
				assert.Equal(t, 1, problem.Errors[0].Line, file)
			}
		})
		t.Run("all or nothing", func(t *testing.T) {
			admin := admin.in(t)
			result := into[api.ImportResult](admin.do(http.MethodPost, "/users/import", good, "Content-Type", csvType).is(http.StatusOK))
			assert.Equal(t, api.ImportResult{Lines: 2, Created: 2, Errors: []api.FieldError{}}, result)
			user := into[api.UserList](admin.get("/users?q=alice")).Items[0]
			assert.Equal(t, "gold", user.Plan.MustGet())
			assert.Equal(t, "Alice A.", user.Profile.FullName)
			u, _ := stored(t, w, user.ID)
			assert.Equal(t, "canary-pw", string(u.Credential.Secret))
			assert.Len(t, into[api.UserList](admin.get("/users?q=%3Dbob")).Items, 1, "the apostrophe is none of the name")
		})
		t.Run("users that exist", func(t *testing.T) {
			admin := admin.in(t)
			file := `{"username":"alice","status":"suspended","plan":null}` + "\n" + `{"username":"dora","password":"pw","groups":["staff"]}` + "\n"
			problem := admin.do(http.MethodPost, "/users/import?format=ndjson", strings.Replace(file, `"plan":null`, `"password":"x"`, 1), "Content-Type", "application/x-ndjson").code(http.StatusUnprocessableEntity, "invalid").problem()
			assert.Equal(t, []string{"1 username"}, lines(problem.Errors))
			result := into[api.ImportResult](admin.do(http.MethodPost, "/users/import?format=ndjson&existing=skip", file, "Content-Type", "application/x-ndjson").is(http.StatusOK))
			assert.Equal(t, api.ImportResult{Lines: 2, Created: 1, Skipped: 1, Errors: []api.FieldError{}}, result)
			result = into[api.ImportResult](admin.do(http.MethodPost, "/users/import?existing=update", file, "Content-Type", "application/x-ndjson; charset=utf-8").is(http.StatusOK))
			assert.Equal(t, api.ImportResult{Lines: 2, Updated: 2, Errors: []api.FieldError{}}, result)
			user := into[api.UserList](admin.get("/users?q=alice")).Items[0]
			assert.Equal(t, api.UserStatus("suspended"), user.Status)
			assert.Equal(t, "gold", user.Plan.MustGet(), "null is not given")
			assert.Equal(t, api.CredentialScheme("cleartext"), user.CredentialScheme)
		})
		t.Run("who may", func(t *testing.T) {
			w.as(t, "support").do(http.MethodPost, "/users/import", good, "Content-Type", csvType).code(http.StatusForbidden, "forbidden")
			importer := w.token(t, operator.UsersImport)
			importer.do(http.MethodPost, "/users/import", "username,password,note\nfred,pw,x\n", "Content-Type", csvType).code(http.StatusForbidden, "forbidden")
			importer.do(http.MethodPost, "/users/import", "username,password\nfred,pw\n", "Content-Type", csvType).is(http.StatusOK)
		})
		t.Run("a file that is too large, or ends too early", func(t *testing.T) {
			problem := admin.in(t)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+api.BasePath+"/users/import", io.MultiReader(strings.NewReader("username,password\nzoe,pw\n"), errorReader{}))
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+problem.bearer)
			_, err = http.DefaultTransport.(*http.Transport).Clone().RoundTrip(r)
			require.Error(t, err)
			assert.Empty(t, into[api.UserList](problem.get("/users?q=zoe")).Items)
		})
		t.Run("no file is left", func(t *testing.T) {
			entries, err := os.ReadDir(os.TempDir())
			require.NoError(t, err)
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), "radiusd-import-") {
					continue
				}
				content, _ := os.ReadFile(os.TempDir() + "/" + e.Name()) // of another test, if any
				assert.NotContains(t, string(content), "canary-pw")
			}
		})
	})
}

// errorReader is a client that hangs up.
type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestExportUsers(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		plan, group := newPlanAndGroup(t, w)
		admin := w.as(t, "admin")
		for n := range 1200 { // more than a page
			user := &aaa.User{Name: fmt.Sprintf("user%04d", n), PlanID: plan.ID, Groups: []aaa.Membership{{GroupID: group.ID}}}
			require.NoError(t, w.store.CreateUserWithProfile(context.Background(), user, &aaa.Profile{FullName: "=cmd|' /C calc'!A0"}))
		}
		evil := &aaa.User{Name: "=HYPERLINK(\"http://example.org\")", Credential: aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte("canary")}}
		require.NoError(t, w.store.CreateUser(context.Background(), evil))
		t.Run("CSV", func(t *testing.T) {
			answer := admin.in(t).get("/users/export").is(http.StatusOK)
			assert.Contains(t, answer.header.Get("Content-Disposition"), "users.csv")
			assert.NotContains(t, string(answer.body), "canary")
			records, err := csv.NewReader(bytes.NewReader(answer.body)).ReadAll()
			require.NoError(t, err)
			require.Len(t, records, 1202)
			assert.Equal(t, "username", records[0][0])
			seen := map[string]bool{}
			for _, record := range records[1:] {
				seen[record[0]] = true
				for _, cell := range record {
					assert.False(t, strings.HasPrefix(cell, "="), cell)
				}
			}
			assert.Len(t, seen, 1201)
			assert.True(t, seen["'"+evil.Name])
		})
		t.Run("what is exported can be imported", func(t *testing.T) {
			for _, format := range []string{"csv", "ndjson"} {
				admin := admin.in(t)
				file := string(admin.get("/users/export?format=" + format).is(http.StatusOK).body)
				result := into[api.ImportResult](admin.do(http.MethodPost, "/users/import?existing=update&dry_run=true&format="+format, file, "Content-Type", "text/plain").is(http.StatusOK))
				assert.Equal(t, api.ImportResult{DryRun: true, Lines: 1201, Updated: 1201, Errors: []api.FieldError{}}, result)
			}
		})
		t.Run("filters", func(t *testing.T) {
			file := string(admin.in(t).get("/users/export?q=user00&plan_id=" + plan.ID.String()).is(http.StatusOK).body)
			assert.Equal(t, 101, strings.Count(file, "\n"))
			assert.Equal(t, 100, strings.Count(file, ",gold,"))
		})
		t.Run("who may", func(t *testing.T) {
			w.as(t, "support").get("/users/export").code(http.StatusForbidden, "forbidden")
			file := string(w.token(t, operator.UsersExport).get("/users/export").is(http.StatusOK).body)
			assert.NotContains(t, file, "full_name")
			assert.NotContains(t, file, "calc")
			assert.Equal(t, 1, strings.Count(string(w.token(t, operator.UsersExport).get("/users/export?q=%3Dcmd").body), "\n"), "a search in profiles finds nobody")
		})
	})
}
