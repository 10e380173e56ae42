package aaa

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

func TestPAPCredentials(t *testing.T) {
	slow := foreignHashes()["SHA-256 crypt"]
	tests := []struct {
		name       string
		credential Credential
		password   string
		want       Reason
	}{
		{"cleartext", cleartext("wonderland"), "wonderland", ReasonAccepted},
		{"cleartext, wrong", cleartext("wonderland"), "wonderlan", ReasonWrongPassword},
		{"cleartext, empty password", cleartext("wonderland"), "", ReasonWrongPassword},
		{"cleartext, empty on both sides", Credential{Scheme: SchemeCleartext}, "", ReasonWrongPassword},
		{"cleartext of 128 octets", cleartext(strings.Repeat("x", 128)), strings.Repeat("x", 128), ReasonAccepted},
		{"NT hash", Credential{SchemeNTHash, unhex(t, rfc2759Hash)}, rfc2759Password, ReasonAccepted},
		{"NT hash, wrong", Credential{SchemeNTHash, unhex(t, rfc2759Hash)}, "x", ReasonWrongPassword},
		{"cheap hash", Credential{SchemeHash, []byte(foreignHashes()["LDAP SSHA"])}, "wonderland", ReasonAccepted},
		{"cheap hash, wrong", Credential{SchemeHash, []byte(foreignHashes()["LDAP SSHA"])}, "x", ReasonWrongPassword},
		{"slow hash", Credential{SchemeHash, []byte(slow)}, "wonderland", ReasonAccepted},
		{"slow hash, wrong", Credential{SchemeHash, []byte(slow)}, "x", ReasonWrongPassword},
		{"broken hash", Credential{SchemeHash, []byte("$5$broken")}, "x", ReasonInternal},
		{"no password", Credential{}, "x", ReasonNoCredential},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, withRecords(t))
			w.addUser(User{Name: "alice", Credential: test.credential})
			a := w.pap("alice", test.password)
			method, reason := w.counted()
			require.Equal(t, MethodPAP, method)
			require.Equal(t, test.want, reason, w.record().Detail)
			if test.want == ReasonAccepted {
				a.accepted()
			} else {
				a.rejected()
			}
		})
	}
}

func TestSlowHashIsVerifiedOnce(t *testing.T) {
	w := newWorld(t)
	credential, err := HashPassword("wonderland")
	require.NoError(t, err)
	alice := w.addUser(User{Name: "alice", Credential: credential})
	w.pap("alice", "wonderland").accepted()
	require.True(t, w.access.verified.has(string(credential.Secret), []byte("wonderland")))
	w.pap("alice", "wonderland").accepted()
	w.pap("alice", "looking-glass").rejected()
	require.False(t, w.access.verified.has(string(credential.Secret), []byte("looking-glass")))

	alice.Credential, err = HashPassword("changed")
	require.NoError(t, err)
	w.addUser(alice)
	w.pap("alice", "wonderland").rejected()
	w.pap("alice", "changed").accepted()
}

func TestSlowHashesConcurrently(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: Credential{SchemeHash, []byte(foreignHashes()["SHA-256 crypt"])}})
	w.addUser(User{Name: "bob", Credential: cleartext("builder")})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			w.pap("alice", "wonderland").accepted()
			w.pap("bob", "builder").accepted()
			w.pap("alice", "x").rejected()
		})
	}
	group.Wait()
}

func TestCHAP(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: cleartext("wonderland")})
	w.addUser(User{Name: "hashed", Credential: Credential{SchemeHash, []byte(foreignHashes()["LDAP SSHA"])}})
	w.addUser(User{Name: "nt", Credential: Credential{SchemeNTHash, unhex(t, rfc2759Hash)}})
	w.addUser(User{Name: "none"})
	w.addUser(User{Name: "empty", Credential: Credential{Scheme: SchemeCleartext}})
	for _, test := range []struct {
		name, user, password string
		challenge            []byte // nil: the Request Authenticator
		want                 Reason
	}{
		{"Request Authenticator as challenge", "alice", "wonderland", nil, ReasonAccepted},
		{"CHAP-Challenge", "alice", "wonderland", []byte("a challenge of its own"), ReasonAccepted},
		{"wrong password", "alice", "looking-glass", nil, ReasonWrongPassword},
		{"against a hash", "hashed", "wonderland", nil, ReasonMethodUnavailable},
		{"against an NT hash", "nt", rfc2759Password, nil, ReasonMethodUnavailable},
		{"no password stored", "none", "x", nil, ReasonNoCredential},
		{"empty password stored", "empty", "", nil, ReasonWrongPassword},
		{"unknown user", "eve", "x", nil, ReasonUnknownUser},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := w.ask(func(m *radius.Message) {
				m.AddString(radius.TypeUserName, test.user)
				if test.challenge == nil {
					m.AddCHAPPassword(7, test.password)
					return
				}
				value := radius.CHAPPassword(7, []byte(test.password), test.challenge)
				m.Add(radius.TypeCHAPPassword, value[:])
				m.Add(radius.TypeCHAPChallenge, test.challenge)
			})
			method, reason := w.counted()
			require.Equal(t, MethodCHAP, method)
			require.Equal(t, test.want, reason)
			if test.want == ReasonAccepted {
				a.accepted()
			} else {
				a.rejected()
			}
		})
	}
}

func TestMAC(t *testing.T) {
	const address = "00:1a:2b:3c:4d:5e"
	name := func(s string) func(*radius.Message) {
		return func(m *radius.Message) { m.AddString(radius.TypeUserName, s) }
	}
	password := func(s string) func(*radius.Message) {
		return func(m *radius.Message) { _ = m.AddUserPassword([]byte(testSecret), s) }
	}
	station := func(s string) func(*radius.Message) {
		return func(m *radius.Message) { m.AddString(radius.TypeCallingStationID, s) }
	}
	chap := func(s string) func(*radius.Message) {
		return func(m *radius.Message) { m.AddCHAPPassword(1, s) }
	}
	callCheck := func(m *radius.Message) { m.AddUint32(radius.TypeServiceType, serviceTypeCallCheck) }
	type request []func(*radius.Message)
	tests := []struct {
		name    string
		request request
		want    Reason
	}{
		{"name and password the same", request{name("001A2B3C4D5E"), password("001A2B3C4D5E")}, ReasonAccepted},
		{"password in another spelling", request{name("00-1A-2B-3C-4D-5E"), password("001a.2b3c.4d5e")}, ReasonAccepted},
		{"in normal form", request{name(address), password(address)}, ReasonAccepted},
		{"wrong password", request{name(address), password("00:1a:2b:3c:4d:5f")}, ReasonWrongPassword},
		{"password that is no address", request{name(address), password("secret")}, ReasonWrongPassword},
		{"Call-Check without password", request{name("001a2b3c4d5e"), callCheck}, ReasonAccepted},
		{"Call-Check with an empty password", request{name("001a2b3c4d5e"), password(""), callCheck}, ReasonAccepted},
		{"Call-Check without name", request{station("00-1A-2B-3C-4D-5E"), callCheck}, ReasonAccepted},
		{"nothing confirms the address", request{name("001a2b3c4d5e")}, ReasonNoCredential},
		{"empty password, nothing confirms", request{name("001a2b3c4d5e"), password("")}, ReasonNoCredential},
		{"station is the same", request{name("001a2b3c4d5e"), password(""), station("00-1A-2B-3C-4D-5E")}, ReasonAccepted},
		{"station is another", request{name("001a2b3c4d5e"), password("001a2b3c4d5e"), station("00-1A-2B-3C-4D-5F")}, ReasonStationNotAllowed},
		{"station is no address", request{name("001a2b3c4d5e"), password("001a2b3c4d5e"), station("+4930123")}, ReasonStationNotAllowed},
		{"CHAP with the name as sent", request{name("001A2B3C4D5E"), chap("001A2B3C4D5E")}, ReasonAccepted},
		{"CHAP with another password", request{name("001A2B3C4D5E"), chap("x")}, ReasonWrongPassword},
		{"unknown device", request{name("02-00-00-00-00-01"), password("02-00-00-00-00-01")}, ReasonUnknownUser},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.addUser(User{Name: address, Credential: Credential{Scheme: SchemeMAC}})
			a := w.ask(func(m *radius.Message) {
				for _, f := range test.request {
					f(m)
				}
			})
			method, reason := w.counted()
			require.Equal(t, test.want, reason)
			if reason != ReasonUnknownUser {
				require.Equal(t, MethodMAC, method)
			}
			if test.want != ReasonAccepted {
				a.rejected()
				return
			}
			a.accepted()
			if test.name == "in normal form" {
				require.Empty(t, a.value("User-Name"))
			} else {
				require.Equal(t, address, a.value("User-Name"), "accounting is to use the name known here")
			}
		})
	}
	t.Run("a person's account is not opened by its address", func(t *testing.T) {
		w := newWorld(t)
		w.addUser(User{Name: address, Credential: cleartext("secret")})
		w.pap("001a2b3c4d5e", "001a2b3c4d5e").rejected()
		require.Equal(t, ReasonWrongPassword, w.reason())
		w.pap("001a2b3c4d5e", "secret").accepted()
	})
	t.Run("EAP is not let in on the address", func(t *testing.T) {
		w := newWorld(t)
		w.addUser(User{Name: address, Credential: Credential{Scheme: SchemeMAC}})
		w.ask(func(m *radius.Message) {
			m.AddString(radius.TypeUserName, address)
			m.AddString(radius.TypeCallingStationID, address)
			m.Add(radius.TypeEAPMessage, []byte{2, 5, 0, 5, 1})
		}).rejected()
		method, reason := w.counted()
		require.Equal(t, MethodEAP, method)
		require.Equal(t, ReasonMethodUnavailable, reason)
	})
	t.Run("an item's User-Name stands alone", func(t *testing.T) {
		w := newWorld(t)
		w.addUser(User{Name: address, Credential: Credential{Scheme: SchemeMAC}, Items: []Item{replyItem("User-Name", ":=", "printer")}})
		a := w.pap("001a2b3c4d5e", "001a2b3c4d5e").accepted()
		require.Equal(t, []string{`User-Name = "printer"`}, a.text())
	})
	t.Run("the method can be forbidden", func(t *testing.T) {
		w := newWorld(t)
		plan := w.store.putPlan(Plan{Name: "p", AllowedMethods: 1 << MethodPAP})
		w.addUser(User{Name: address, Credential: Credential{Scheme: SchemeMAC}, PlanID: plan.ID})
		w.pap(address, address).rejected()
		require.Equal(t, ReasonMethodNotAllowed, w.reason())
	})
}

func TestOtherRequests(t *testing.T) {
	w := newWorld(t, withRecords(t))
	w.addUser(User{Name: "alice", Credential: cleartext("wonderland")})
	tests := []struct {
		name string
		add  func(m *radius.Message)
		want Reason
	}{
		{"no name", func(m *radius.Message) { _ = m.AddUserPassword([]byte(testSecret), "x") }, ReasonMalformedRequest},
		{"empty name", func(m *radius.Message) {
			m.AddString(radius.TypeUserName, "")
			_ = m.AddUserPassword([]byte(testSecret), "x")
		}, ReasonMalformedRequest},
		{"nothing to check", func(m *radius.Message) { m.AddString(radius.TypeUserName, "alice") }, ReasonNoCredential},
		{"nothing to check, unknown user", func(m *radius.Message) { m.AddString(radius.TypeUserName, "eve") }, ReasonUnknownUser},
		{"PAP and CHAP", func(m *radius.Message) {
			m.AddString(radius.TypeUserName, "alice")
			_ = m.AddUserPassword([]byte(testSecret), "wonderland")
			m.AddCHAPPassword(1, "wonderland")
		}, ReasonMalformedRequest},
		{"two passwords", func(m *radius.Message) {
			m.AddString(radius.TypeUserName, "alice")
			_ = m.AddUserPassword([]byte(testSecret), "x")
			_ = m.AddUserPassword([]byte(testSecret), "wonderland")
		}, ReasonMalformedRequest},
		{"password of 15 octets", func(m *radius.Message) {
			m.AddString(radius.TypeUserName, "alice")
			m.Add(radius.TypeUserPassword, make([]byte, 15))
		}, ReasonMalformedRequest},
		{"CHAP-Password of 16 octets", func(m *radius.Message) {
			m.AddString(radius.TypeUserName, "alice")
			m.Add(radius.TypeCHAPPassword, make([]byte, 16))
		}, ReasonMalformedRequest},
		{"EAP", func(m *radius.Message) {
			m.AddString(radius.TypeUserName, "anonymous")
			m.Add(radius.TypeEAPMessage, []byte{2, 5, 0, 5, 1})
		}, ReasonMethodUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := w.ask(test.add).rejected()
			require.Equal(t, test.want, w.reason())
			require.Equal(t, test.want, w.record().Reason)
			if test.name == "EAP" {
				failure, ok := a.packet.Attributes().Get(radius.TypeEAPMessage)
				require.True(t, ok)
				require.Equal(t, []byte{4, 5, 0, 4}, failure)
			}
		})
	}
}

func TestRejectDelay(t *testing.T) {
	w := newWorld(t, func(o *AccessOptions) { o.RejectDelay = 300 * time.Millisecond })
	w.addUser(User{Name: "alice", Credential: cleartext("x")})
	began := time.Now()
	w.pap("alice", "y").rejected()
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
	require.NotEqual(t, time.Duration(0), newAccessOptionsDelay(t), "there is one by default")
}

func newAccessOptionsDelay(t *testing.T) time.Duration {
	w := newWorld(t, func(o *AccessOptions) { o.RejectDelay = 0 })
	return w.access.options.RejectDelay
}

// TestLoginsDoNotAllocate counts every allocation in the process while logins of each
// kind go through socket, listener, decision, record and reply.
func TestLoginsDoNotAllocate(t *testing.T) {
	w := newLoginWorld(t)
	hasher := radius.NewHasher([]byte(testSecret))
	packets := make([][]byte, 4*256)
	for _, c := range loginCases {
		t.Run(c.name, func(t *testing.T) {
			code := radius.AccessAccept
			if c.want != ReasonAccepted {
				code = radius.AccessReject
			}
			for i := range packets {
				p, err := c.message(w).AppendTo(packets[i][:0], uint8(i), hasher)
				require.NoError(t, err)
				packets[i] = p
			}
			conn, err := net.Dial("udp", w.server.Auth)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Minute)))
			buffer := make([]byte, 4096)
			next := 0
			login := func() {
				_, _ = conn.Write(packets[next])
				next++
				n, err := conn.Read(buffer)
				if err != nil || radius.Code(buffer[0]) != code || n < 20 {
					panic("another answer")
				}
			}
			// The duplicate table keeps 256 replies of this NAS, whose memory is then used
			// again for requests with the same identifier.
			for range 2 * 256 {
				login()
			}
			require.LessOrEqual(t, testing.AllocsPerRun(256, login), float64(raceFactor-1))
		})
	}
}
