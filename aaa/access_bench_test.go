package aaa

import (
	"crypto/md5"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"layeh.com/radius/rfc2759"

	"radiusd/radius"
	"radiusd/radius/mschap"
	"radiusd/radius/radiustest"
)

// loginCase is an Access-Request and what becomes of it, for benchmarks and for the
// test that counts allocations.
type loginCase struct {
	name string
	user string
	want Reason
	// add adds the proof of the password wonderland.
	add func(m *radius.Message)
	// limits asks the live sessions, by Acct-Session-Id.
	limits bool
}

func addPAP(password string) func(m *radius.Message) {
	return func(m *radius.Message) { _ = m.AddUserPassword([]byte(testSecret), password) }
}

func addMSCHAP(m *radius.Message) {
	challenge := []byte("01234567")
	response := append([]byte{9, radius.MSCHAPUseNTResponse}, make([]byte, 24)...)
	response = append(response, rfc2759.ChallengeResponse(challenge, rfc2759.NTPasswordHash(utf16le("wonderland")))...)
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, challenge)
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPResponse, response)
}

func addMSCHAPv2(user, password string) func(m *radius.Message) {
	return func(m *radius.Message) {
		challenge, peer := []byte("fedcba9876543210"), []byte("0123456789abcdef")
		response := append(append([]byte{9, 0}, peer...), make([]byte, 8)...)
		hashed := rfc2759.ChallengeHash(peer, challenge, []byte(user))
		response = append(response, rfc2759.ChallengeResponse(hashed, rfc2759.NTPasswordHash(utf16le(password)))...)
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, challenge)
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Response, response)
	}
}

func utf16le(s string) []byte {
	b, _ := rfc2759.ToUTF16([]byte(s))
	return b
}

func addCHAP(m *radius.Message) { m.AddCHAPPassword(1, "wonderland") }

var loginCases = []loginCase{
	{name: "PAP", user: "alice", add: addPAP("wonderland")},
	{name: "PAP with sessions", user: "alice", add: addPAP("wonderland"), limits: true},
	{name: "PAP with a limit", user: "limited", add: addPAP("wonderland"), limits: true},
	{name: "PAP with a quota", user: "quota", add: addPAP("wonderland"), limits: true},
	{name: "PAP with items", user: "items", add: addPAP("wonderland")},
	{name: "PAP NT hash", user: "nt", add: addPAP("wonderland")},
	{name: "PAP wrong", user: "alice", add: addPAP("looking-glass"), want: ReasonWrongPassword},
	{name: "PAP unknown", user: "nobody", add: addPAP("wonderland"), want: ReasonUnknownUser},
	{name: "PAP disabled", user: "disabled", add: addPAP("wonderland"), want: ReasonDisabled},
	{name: "CHAP", user: "alice", add: addCHAP},
	{name: "MS-CHAP", user: "alice", add: addMSCHAP},
	{name: "MS-CHAPv2", user: "alice", add: addMSCHAPv2("alice", "wonderland")},
	{name: "MS-CHAPv2 NT hash", user: "nt", add: addMSCHAPv2("nt", "wonderland")},
	{name: "MS-CHAPv2 wrong", user: "alice", add: addMSCHAPv2("alice", "looking-glass"), want: ReasonWrongPassword},
}

// newLoginWorld has the users of loginCases, with a plan of the usual kind.
func newLoginWorld(t testing.TB) *world {
	w := newWorld(t, withRecords(t), func(o *AccessOptions) { o.Limits = NewLiveSessions(LiveOptions{}) })
	w.nas.Vendor = "mikrotik"
	w.store.putNAS(w.nas)
	plan := Plan{Name: "basic", RateUp: 1e7, RateDown: 5e7, SessionTimeout: time.Hour, InterimInterval: 5 * time.Minute, AddressPool: "pool1", LoginHours: "Al0000-2300",
		Items: []Item{replyItem("Reply-Message", "=", "welcome")}}
	basic := w.store.putPlan(plan)
	plan.Name, plan.QuotaOctets, plan.QuotaPeriod = "quota", 20e9, PeriodMonth
	quota := w.store.putPlan(plan)
	group := w.store.putGroup(Group{Name: "group", Items: []Item{replyItem("Filter-Id", "=", "web")}})
	expires := w.clock.now().Add(24 * time.Hour)
	for _, u := range []User{
		{Name: "alice", PlanID: basic.ID},
		{Name: "limited", PlanID: basic.ID, SimultaneousUse: 1},
		{Name: "quota", PlanID: quota.ID, SimultaneousUse: 1},
		{Name: "items", PlanID: basic.ID, Groups: []Membership{{GroupID: group.ID}}, Items: []Item{
			checkItem("NAS-Port-Type", "==", "Ethernet"), replyItem("Framed-IP-Address", ":=", "10.0.0.7"),
		}},
		{Name: "nt", PlanID: basic.ID, Credential: Credential{SchemeNTHash, rfc2759.NTPasswordHash(utf16le("wonderland"))}},
		{Name: "disabled", PlanID: basic.ID, Status: UserDisabled},
	} {
		if u.Credential.Scheme == SchemeNone {
			u.Credential = cleartext("wonderland")
		}
		u.ExpiresAt = expires
		w.store.putUser(u)
	}
	w.refresh()
	return w
}

// message is the Access-Request of a NAS.
func (c *loginCase) message(w *world) *radius.Message {
	m := &radius.Message{Code: radius.AccessRequest}
	m.AddString(radius.TypeUserName, c.user)
	c.add(m)
	w.add(m, `NAS-Port = 1, NAS-Port-Type = Ethernet, Service-Type = Framed-User, NAS-Port-Id = "ether1", Calling-Station-Id = "00-1A-2B-3C-4D-5E", Called-Station-Id = "service1", NAS-Identifier = "bras1", NAS-IP-Address = 10.0.0.1`)
	if c.limits {
		w.add(m, `Acct-Session-Id = "8100002A"`)
	}
	return m
}

// BenchmarkDecision is an Access-Request from identify to the filled-in reply, on
// the listener, without its sockets and signatures. Deciphering User-Password is in
// it; see BenchmarkProof.
func BenchmarkDecision(b *testing.B) {
	for _, c := range loginCases {
		b.Run(c.name, func(b *testing.B) {
			w := newLoginWorld(b)
			// The answer comes after all of them, and under valgrind that takes long.
			w.client.InitialTimeout, w.client.MaxTimeout, w.client.MaxDuration = time.Hour, time.Hour, time.Hour
			server := radiustest.NewServer(b, radius.HandlerFunc(func(reply *radius.Reply, r *radius.Request) {
				a := w.access
				b.ReportAllocs()
				for b.Loop() {
					x := a.exchanges.Get().(*exchange)
					x.begin(a, r, false)
					d := a.decide(x)
					if d.Accepted() {
						if err := a.accept(reply, x); err != nil {
							panic(err)
						}
					} else {
						a.reject(reply, x, d)
					}
					a.decisions[d.Method][d.Reason].Inc()
					if d.Reason != c.want {
						panic(d)
					}
					reply.Reset()
					x.release()
					a.exchanges.Put(x)
				}
				reply.Send()
			}), func(s *radius.Server) { s.NASes = w.directory })
			if _, err := w.client.Exchange(b.Context(), server.Auth, []byte(testSecret), c.message(w)); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkProof is the bare cryptography of a proof, which BenchmarkDecision is to
// be compared with.
func BenchmarkProof(b *testing.B) {
	b.Run("PAP", func(b *testing.B) {
		h := radius.NewHasher([]byte(testSecret))
		var authenticator [16]byte
		hidden, err := h.AppendEncryptedUserPassword(nil, []byte("wonderland"), &authenticator)
		require.NoError(b, err)
		var buffer [128]byte
		for b.Loop() {
			h.AppendUserPassword(buffer[:0], hidden, &authenticator)
		}
	})
	b.Run("CHAP", func(b *testing.B) {
		var input [27]byte
		for b.Loop() {
			md5.Sum(input[:])
		}
	})
	b.Run("MS-CHAPv2", func(b *testing.B) {
		authenticator, peer := [16]byte{1}, [16]byte{2}
		h := radius.NewHasher([]byte(testSecret))
		var buffer [128]byte
		for b.Loop() {
			hash := mschap.HashPassword("wonderland")
			challenge := mschap.ChallengeHash(&peer, &authenticator, []byte("alice"))
			response := hash.Respond(challenge)
			hashHash := hash.Hash()
			mschap.AuthenticatorResponse(&hashHash, &response, challenge)
			send, receive := mschap.SessionKeys(mschap.MasterKey(&hashHash, &response))
			_, _ = h.AppendSalted(buffer[:0], send[:], &authenticator, 1)
			_, _ = h.AppendSalted(buffer[:0], receive[:], &authenticator, 2)
		}
	})
}
