package aaa

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/radius"
)

// freeRADIUS runs one of FreeRADIUS's client programs.
func freeRADIUS(t *testing.T, input, name string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), testserver.Program(t, name), arguments...)
	command.Stdin = strings.NewReader(input)
	out, _ := command.CombinedOutput() // a reject is an exit status
	return string(out)
}

func TestRadclient(t *testing.T) {
	w := newWorld(t)
	plan := w.store.putPlan(Plan{Name: "basic", AddressPool: "pool1", IdleTimeout: 600e9})
	w.addUser(User{Name: "alice", Credential: cleartext("wonderland"), PlanID: plan.ID})
	w.addUser(User{Name: "bob", Credential: Credential{Scheme: SchemeNTHash, Secret: ntHash([]byte("builder"))}})
	tests := []struct {
		name, attributes, want string
		contains               []string
	}{
		{"PAP", `User-Name=alice,User-Password=wonderland`, "Access-Accept", []string{`Framed-Pool = "pool1"`, "Idle-Timeout = 600", "Class = 0x7264313a"}},
		{"PAP with Message-Authenticator", `User-Name=alice,User-Password=wonderland,Message-Authenticator=0x00`, "Access-Accept", nil},
		{"PAP, wrong password", `User-Name=alice,User-Password=looking-glass`, "Access-Reject", nil},
		{"PAP, unknown user", `User-Name=eve,User-Password=wonderland`, "Access-Reject", nil},
		{"PAP against an NT hash", `User-Name=bob,User-Password=builder`, "Access-Accept", nil},
		{"CHAP", `User-Name=alice,CHAP-Password=wonderland`, "Access-Accept", nil},
		{"CHAP, wrong password", `User-Name=alice,CHAP-Password=looking-glass`, "Access-Reject", nil},
		{"CHAP against an NT hash", `User-Name=bob,CHAP-Password=builder`, "Access-Reject", nil},
		{"MS-CHAP", `User-Name=alice,MS-CHAP-Password=wonderland`, "Access-Accept", []string{"MS-CHAP-MPPE-Keys", "MS-MPPE-Encryption-Policy = Encryption-Allowed"}},
		{"MS-CHAP against an NT hash", `User-Name=bob,MS-CHAP-Password=builder`, "Access-Accept", nil},
		{"MS-CHAP, wrong password", `User-Name=alice,MS-CHAP-Password=looking-glass`, "Access-Reject", []string{"MS-CHAP-Error", "E=691 R=0 C="}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, server := range []string{w.server.Auth, w.server.Auth6} {
				args := []string{"-x", "-r", "1", "-t", "5", server, "auth", testSecret}
				if strings.HasPrefix(server, "[") {
					args = append([]string{"-6"}, args...)
				}
				out := freeRADIUS(t, test.attributes+"\n", "radclient", args...)
				assert.Contains(t, out, "Received "+test.want, "%s", out)
				for _, text := range test.contains {
					assert.Contains(t, out, text)
				}
			}
		})
	}
}

func TestRadtest(t *testing.T) {
	w := newWorld(t)
	hashed, err := HashPassword("wonderland")
	require.NoError(t, err)
	w.addUser(User{Name: "alice", Credential: cleartext("wonderland")})
	w.addUser(User{Name: "hashed", Credential: hashed})
	for _, test := range []struct{ method, user, password, want string }{
		{"pap", "alice", "wonderland", "Access-Accept"},
		{"pap", "hashed", "wonderland", "Access-Accept"},
		{"pap", "hashed", "looking-glass", "Access-Reject"},
		{"chap", "alice", "wonderland", "Access-Accept"},
		{"chap", "hashed", "wonderland", "Access-Reject"},
		{"mschap", "alice", "wonderland", "Access-Accept"},
		{"mschap", "alice", "looking-glass", "Access-Reject"},
	} {
		t.Run(test.method+" "+test.user+" "+test.password, func(t *testing.T) {
			out := freeRADIUS(t, "", "radtest", "-t", test.method, test.user, test.password, w.server.Auth, "0", testSecret)
			require.Contains(t, out, "Received "+test.want, "%s", out)
		})
	}
}

func TestPAP(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: cleartext("wonderland")})
	answer := w.pap("alice", "wonderland").accepted()
	class, ok := answer.packet.Attributes().Get(radius.TypeClass)
	require.True(t, ok)
	_, ok = ParseClass(class)
	require.True(t, ok)
	require.Equal(t, ReasonAccepted, w.reason())
	w.pap("alice", "wonderlan").rejected()
	require.Equal(t, ReasonWrongPassword, w.reason())
	w.pap("eve", "wonderland").rejected()
	require.Equal(t, ReasonUnknownUser, w.reason())
}
