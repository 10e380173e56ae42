package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// canaries are what must not be seen anywhere. They are long enough for no
// coincidence, and short enough for a password.
var canaries = map[string]string{
	"secret of the NAS":           "canary-nas-51e7c0",
	"previous secret of the NAS":  "canary-old-93b1d4",
	"wrong secret":                "canary-bad-2f80aa",
	"password":                    "canary-pass-7d44e1",
	"password with a slow hash":   "canary-hash-c3065b",
	"wrong password":              "canary-typo-88ac12",
	"password of an unknown user": "canary-nobody-1b9e6f",
	"password of Postgres":        "canary-postgres-09f7e2",
}

// requireNoCanary fails the test if a text holds a canary.
func requireNoCanary(t *testing.T, where string, text []byte) {
	t.Helper()
	for what, canary := range canaries {
		require.False(t, bytes.Contains(text, []byte(canary)), "%s holds the %s", where, what)
	}
}

func TestSecretsAreSeenNowhere(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		if storeURL != "" { // trusts everybody, whatever the password
			storeURL = strings.Replace(storeURL, "radiusd@", "radiusd:"+canaries["password of Postgres"]+"@", 1)
		}
		f := plainFaultSite(t, storeURL, "log: {level: debug}")
		var said bytes.Buffer // by all commands
		do := func(stdin string, args ...string) {
			t.Helper()
			out, errs, code := f.run(stdin, args...)
			require.Zero(t, code, "%v: %s", args, errs)
			said.WriteString(out + errs)
		}
		do("", "migrate", "up")
		do(canaries["previous secret of the NAS"]+"\n", "nas", "add", "127.0.0.1", "--secret-stdin", "--require-message-authenticator", "no")
		do(canaries["secret of the NAS"]+"\n", "nas", "set", "127.0.0.1", "--secret-stdin")
		do(canaries["password"]+"\n", "user", "add", "alice", "--password-stdin", "--hash", "cleartext")
		do(canaries["password with a slow hash"]+"\n", "user", "add", "bob", "--password-stdin", "--hash", "argon2id")

		server := f.start()
		stream, err := http.Get("http://" + server.metrics + "/debug/decisions")
		require.NoError(t, err)
		defer stream.Body.Close()
		decisions := make(chan []byte, 1)
		go func() {
			text, _ := io.ReadAll(stream.Body)
			decisions <- text
		}()

		nas := radiustest.NewNAS(t, "127.0.0.1")
		nas.Secret = []byte(canaries["secret of the NAS"])
		logins := 0
		login := func(message *radius.Message, code radius.Code) {
			t.Helper()
			logins++
			require.Equal(t, code, nas.Exchange(f.auth, message).Code())
		}
		login(nas.PAP("alice", canaries["password"]), radius.AccessAccept)
		login(nas.PAP("alice", canaries["wrong password"]), radius.AccessReject)
		login(nas.CHAP("alice", canaries["password"]), radius.AccessAccept)
		login(nas.CHAP("alice", canaries["wrong password"]), radius.AccessReject)
		login(nas.PAP("bob", canaries["password with a slow hash"]), radius.AccessAccept)
		login(nas.PAP("bob", canaries["wrong password"]), radius.AccessReject)
		login(nas.PAP("nobody", canaries["password of an unknown user"]), radius.AccessReject)
		nas.Secret = []byte(canaries["wrong secret"]) // the password decrypts to noise
		nas.Send(f.auth, nas.Sign(nas.PAP("alice", canaries["password"])))
		nas.Send(f.acct, nas.Sign(nas.Session("alice", "s1").Start()))
		nas.Secret = []byte(canaries["secret of the NAS"])
		require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, nas.Session("alice", "s2").Start()).Code())
		// An Accounting-Request with a password must not be taken (RFC 2866 section 4.1).
		request := nas.Session("alice", "s3").Start()
		require.NoError(t, request.AddUserPassword(nas.Secret, canaries["password"]))
		nas.Silent(f.acct, nas.Sign(request), 200*time.Millisecond)

		db := f.database()
		require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM auth_records") >= int64(logins) },
			patience, 20*time.Millisecond)
		for _, page := range []string{"/metrics", "/readyz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"} {
			_, body := server.get(page)
			requireNoCanary(t, page, []byte(body))
		}
		for _, args := range [][]string{
			{"user", "show", "alice"}, {"user", "show", "alice", "-o", "json"}, {"user", "list", "-o", "csv"}, {"user", "export"},
			{"nas", "list", "-o", "json"}, {"nas", "show", "127.0.0.1"}, {"config", "show"}, {"journal", "info"}, {"session", "list"},
		} {
			do("", args...)
		}
		require.NoError(t, server.cmd.Process.Signal(os.Interrupt))
		<-server.exited
		seen := <-decisions
		require.Contains(t, string(seen), "wrong_password")
		requireNoCanary(t, "the stream of decisions", seen)
		requireNoCanary(t, "the log", []byte(server.logged()))

		// What goes wrong tells no more.
		good, err := os.ReadFile(f.config)
		require.NoError(t, err)
		f.configure(strings.Replace(string(good), "127.0.0.1:", "127.0.0.1:9", 1) + "\nbroken: [")
		_, errs, code := f.run("", "serve")
		require.NotZero(t, code)
		said.WriteString(errs)
		if storeURL != "" {
			for _, wrong := range []string{"@127.0.0.1:1", "@host name:5432", "@127.0.0.1:5432%zz"} {
				f.storeURL = "postgres://radiusd:" + canaries["password of Postgres"] + wrong + "/radiusd"
				f.settings("")
				out, errs, code := f.run("", "user", "list")
				require.NotZero(t, code)
				said.WriteString(out + errs)
			}
		}
		requireNoCanary(t, "what commands wrote", said.Bytes())

		// Nor is it on disk, but sealed.
		err = filepath.WalkDir(f.data, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			requireNoCanary(t, path, content)
			return err
		})
		require.NoError(t, err)
		if storeURL != "" {
			f.storeURL = storeURL
			dump := exec.Command("pg_dump", "--inserts", storeURL)
			text, err := dump.Output()
			require.NoError(t, err)
			require.Contains(t, string(text), "alice")
			requireNoCanary(t, "the database", text)
		}
	})
}
