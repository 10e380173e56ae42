package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// admin runs a command line of adminapi.
func (s *site) admin(stdin string, args ...string) result {
	s.t.Helper()
	var out, errs bytes.Buffer
	code := AdminMain(context.Background(), args, strings.NewReader(stdin), &out, &errs, s.environ)
	return result{out.String(), errs.String(), code}
}

func TestOperatorCommands(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		ok := func(stdin string, args ...string) string {
			t.Helper()
			r := s.admin(stdin, args...)
			require.Zero(t, r.code, r.err)
			return r.out
		}
		fails := func(code int, stdin string, args ...string) string {
			t.Helper()
			r := s.admin(stdin, args...)
			require.Equal(t, code, r.code, r.err)
			require.Empty(t, r.out)
			lines := strings.Split(strings.TrimSpace(r.err), "\n")
			last := lines[len(lines)-1]
			require.True(t, strings.HasPrefix(last, "adminapi: "), last)
			return strings.TrimPrefix(last, "adminapi: ")
		}
		const password = "violet-cactus-9 drums"
		assert.Equal(t, "operator alice added with the role owner\n", ok(password+"\n", "operator", "add", " Alice", "--password-stdin"))
		assert.Contains(t, fails(2, password, "operator", "add", "bob", "--password-stdin"), "needs --role")
		assert.Equal(t, "operator bob added with the role billing, support\n",
			ok(password, "operator", "add", "bob", "--password-stdin", "--role", "support", "--role", "billing", "--email", "bob@example.org"))
		assert.Contains(t, ok("", "operator", "list"), "bob@example.org")
		list := ok("", "operator", "list", "-o", "json")
		assert.Contains(t, list, `"roles": ["billing","support"]`)
		assert.NotContains(t, list, "argon2")
		assert.Equal(t, "operator bob changed\n", ok("", "operator", "set", "bob", "--role", "auditor"))
		assert.Equal(t, "operator bob is disabled\n", ok("", "operator", "disable", "BOB"))
		assert.Equal(t, "operator bob is active\n", ok("", "operator", "enable", "bob"))
		assert.Equal(t, "operator bob has a new password and is signed out\n", ok("another-good-secret", "operator", "passwd", "bob", "--password-stdin"))
		assert.Contains(t, ok("", "operator", "reset-mfa", "bob"), "operator bob has no second factor now")

		assert.Contains(t, fails(1, "", "operator", "disable", "alice"), "last active owner")
		assert.Contains(t, fails(1, "", "operator", "set", "alice", "--role", "admin"), "last active owner")
		assert.Equal(t, `operator "bop": not found: did you mean bob`, fails(1, "", "operator", "disable", "bop"))
		assert.Contains(t, fails(1, password, "operator", "add", "bob", "--password-stdin", "--role", "admin"), "exists already")
		assert.Contains(t, fails(2, "short", "operator", "passwd", "bob", "--password-stdin"), "password is shorter than 12 characters")
		assert.Contains(t, fails(2, "", "operator", "passwd", "bob"), "--password-stdin")
		assert.Contains(t, fails(2, password, "operator", "add", "x y", "--password-stdin", "--role", "admin"), "name may only have")
		assert.Contains(t, fails(2, "", "operator", "set", "bob", "--role", "king"), `role "king"`)
		assert.Contains(t, fails(2, "", "operator", "set", "bob"), "nothing to change")
		assert.Contains(t, fails(2, "", "oprator"), "did you mean operator")
		assert.NotContains(t, s.admin(password, "operator", "add", "eve", "--password-stdin", "--role", "king").err, password)
	})
}

func TestAdminHelp(t *testing.T) {
	walk((&app{program: "adminapi"}).adminRootCommand(), func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" || c.HasParent() && c.Parent().Name() == "completion" {
			return
		}
		assert.NotEmpty(t, c.Short, c.CommandPath())
		assert.Contains(t, c.Example, "adminapi", c.CommandPath())
	})
}
