package cli

import (
	"encoding/json"
	"os/user"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAuditCommands(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "canary-password", "--plan", "home")
		s.ok("user", "set", "alice", "--status", "disabled")

		ok := func(args ...string) string {
			r := s.admin("", args...)
			require.Zero(t, r.code, r.err)
			return r.out
		}
		fails := func(code int, args ...string) string {
			r := s.admin("", args...)
			require.Equal(t, code, r.code, r.err)
			return r.err
		}
		var list []struct {
			Seq        uint64
			ActorKind  string `json:"actor_kind"`
			ActorName  string `json:"actor_name"`
			Action     string
			EntityName string `json:"entity_name"`
			Changes    map[string]map[string]any
		}
		out := ok("audit", "list", "-o", "json")
		assert.NotContains(t, out, "canary")
		require.NoError(t, json.Unmarshal([]byte(out), &list))
		require.Len(t, list, 3)
		me, err := user.Current()
		require.NoError(t, err)
		for _, e := range list {
			assert.Equal(t, "local", e.ActorKind)
			assert.True(t, strings.HasPrefix(e.ActorName, me.Username), e.ActorName)
		}
		assert.Equal(t, []any{uint64(3), "users.update", "alice"}, []any{list[0].Seq, list[0].Action, list[0].EntityName})
		assert.Equal(t, map[string]map[string]any{"status": {"before": "active", "after": "disabled"}}, list[0].Changes)
		assert.Equal(t, 2, strings.Count(ok("audit", "list", "--action", "plans.create"), "\n"))
		assert.Equal(t, 2, strings.Count(ok("audit", "list", "--limit", "1"), "\n"))
		fails(exitUsage, "audit", "list", "--since", "yesterday")

		out = ok("audit", "verify", "-o", "json")
		var report struct {
			Entries uint64
			Mark    string
		}
		require.NoError(t, json.Unmarshal([]byte(out), &report))
		assert.EqualValues(t, 3, report.Entries)
		s.ok("user", "delete", "alice", "--yes")
		ok("audit", "verify", "--expect", report.Mark)
		assert.Contains(t, fails(exitFailed, "audit", "verify", "--expect", "9:"+strings.Split(report.Mark, ":")[1]), "entry 5 is missing")
		fails(exitUsage, "audit", "verify", "--expect", "9:zz")
	})
}
