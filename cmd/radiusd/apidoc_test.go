package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWalkThroughTheAPI follows docs/api.md from nothing to a session, to the letter.
func TestWalkThroughTheAPI(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(page), "\n## From nothing")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(section, -1)
	shown := [][]string{ // by each block
		nil,
		{`"name": "admin"`, `"mfa": false`},
		{`"username": "dora"`, `"status": "active"`, `"plan": "fibre-50"`},
		{`"accepted": true`, `10M/50M`},
		{"Received Access-Accept", "Received Accounting-Response", `"username": "dora"`, `"framed_ip": "10.0.0.7"`, `"online": true`},
		{`"kind": "disconnect"`, `"state": "unanswered"`},
		{"Received Access-Reject", `"reason": "wrong_password"`},
		{"suspended", "Received Access-Reject"},
		{"admin users.create ", "admin users.update status", `"valid": true`},
	}
	require.Len(t, blocks, len(shown))

	s := newSite(t, "")
	config, err := os.ReadFile(s.config)
	require.NoError(t, err)
	s.configure(string(config) + "admin: {listen: \"127.0.0.1:0\"}\n")
	v := s.start("--demo", "--admin")
	logged := func(pattern string) (found string) {
		require.Eventually(t, func() bool {
			match := regexp.MustCompile(pattern).FindStringSubmatch(v.logged())
			if match != nil {
				found = match[1]
			}
			return match != nil
		}, patience, 10*time.Millisecond, pattern)
		return found
	}
	here := strings.NewReplacer(
		"http://127.0.0.1:8080", logged(`"admin":"(http://[^"]+)"`), "what the server has shown", logged(`password: +(\S+)`),
		"127.0.0.1 auth", v.auth[0]+" auth", "127.0.0.1 acct", v.acct[0]+" acct",
	)
	dir := t.TempDir()
	for i, block := range blocks {
		// What shows something only a while later is repeated rather than waited for.
		script := "sleep() { command sleep 0.2; }\n[ -e kept ] && . ./kept\n" + here.Replace(block[1]) +
			"\ndeclare -p API PASSWORD PLAN NAS DORA SESSION ACTION > kept 2> /dev/null; declare -f api >> kept; :\n"
		missing := func() string {
			cmd := exec.Command("bash", "-c", script)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			for _, want := range shown[i] {
				if !strings.Contains(string(out), want) {
					return fmt.Sprintf("%s is not shown by\n%s\nbut\n%s", want, block[1], out)
				}
			}
			return ""
		}
		const atOnce = 4 // the blocks before make something, so they are not repeated
		begun, problem := time.Now(), missing()
		for problem != "" && i >= atOnce && time.Since(begun) < patience {
			problem = missing()
		}
		require.Empty(t, problem)
	}
}
