package aaa

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

// authorizeTest is one login of alice, whose password is right, on Monday
// 2026-03-02 at 12:00 UTC.
type authorizeTest struct {
	name       string
	user       User // name, credential and plan are filled in
	plan       *Plan
	groups     [][]Item
	used       map[Period]Usage
	open       int
	attributes []string
	want       Reason
	detail     string   // of the auth record
	reply      []string // of an accepted login, in any order; nil: not checked
}

func authorizeTests() []authorizeTest {
	check := func(attribute, op, value string) []Item { return []Item{checkItem(attribute, op, value)} }
	tests := []authorizeTest{
		{name: "nothing special", reply: []string{}},
		{name: "disabled", user: User{Status: UserDisabled}, want: ReasonDisabled},
		{name: "suspended", user: User{Status: UserSuspended}, want: ReasonSuspended},
		{name: "unknown status", user: User{Status: 99}, want: ReasonDisabled},

		{name: "expired", user: User{ExpiresAt: monday}, want: ReasonExpired, detail: "2026-03-02T12:00:00Z"},
		{name: "expires soon", user: User{ExpiresAt: monday.Add(90 * time.Second)}, reply: []string{"Session-Timeout = 90"}},
		{name: "expires in less than a second", user: User{ExpiresAt: monday.Add(time.Second / 2)}, want: ReasonExpired},
		{name: "expires later than the plan's session ends", user: User{ExpiresAt: monday.Add(time.Hour)},
			plan: &Plan{SessionTimeout: time.Minute}, reply: []string{"Session-Timeout = 60"}},
		{name: "Expiration in the past", user: User{Items: check("Expiration", ":=", "1 Mar 2026")}, want: ReasonExpired},
		{name: "Expiration in the future", user: User{Items: check("Expiration", ":=", "2026-03-02 12:01:00")}, reply: []string{"Session-Timeout = 60"}},
		{name: "Expiration does not lengthen", user: User{ExpiresAt: monday, Items: check("Expiration", ":=", "2030-01-01")}, want: ReasonExpired},
		{name: "group's Expiration", groups: [][]Item{check("Expiration", ":=", "2026-01-01")}, want: ReasonExpired},

		{name: "within login hours", plan: &Plan{LoginHours: "Wk0800-1800"}, reply: []string{"Session-Timeout = 21600"}},
		{name: "outside login hours", plan: &Plan{LoginHours: "Sa"}, want: ReasonOutsideLoginHours},
		{name: "Login-Time of the user wins", user: User{Items: check("Login-Time", ":=", "Mo1100-1300")},
			plan: &Plan{LoginHours: "Sa"}, reply: []string{"Session-Timeout = 3600"}},
		{name: "always within login hours", plan: &Plan{LoginHours: "Al"}, reply: []string{}},

		{name: "method allowed", plan: &Plan{AllowedMethods: 1 << MethodPAP}},
		{name: "method not allowed", plan: &Plan{AllowedMethods: 1<<MethodCHAP | 1<<MethodMSCHAPv2}, want: ReasonMethodNotAllowed, detail: "allowed: chap,mschapv2"},
		{name: "Auth-Type of the user wins", user: User{Items: check("Auth-Type", ":=", "PAP")}, plan: &Plan{AllowedMethods: 1 << MethodCHAP}},
		{name: "Auth-Type := CHAP", user: User{Items: check("Auth-Type", ":=", "CHAP")}, want: ReasonMethodNotAllowed},
		{name: "Auth-Type := Local allows what the plan does", user: User{Items: check("Auth-Type", ":=", "Local")},
			plan: &Plan{AllowedMethods: 1 << MethodCHAP}, want: ReasonMethodNotAllowed},
		{name: "Auth-Type := Reject", user: User{Items: check("Auth-Type", ":=", "Reject")}, want: ReasonCheckFailed, detail: "Auth-Type := Reject"},
		{name: "group's Auth-Type := Reject", groups: [][]Item{check("Auth-Type", ":=", "Reject")}, want: ReasonCheckFailed},

		{name: "from the right NAS", user: User{Items: check("NAS-IP-Address", "==", "127.0.0.1")}},
		{name: "from the wrong NAS", user: User{Items: check("NAS-IP-Address", "==", "10.0.0.1")}, want: ReasonNASNotAllowed,
			detail: `user: NAS-IP-Address == "10.0.0.1"`},
		{name: "by the NAS's name", plan: &Plan{Items: check("Huntgroup-Name", "==", "elsewhere")}, want: ReasonNASNotAllowed,
			detail: `plan: Huntgroup-Name == "elsewhere"`},
		{name: "right station", user: User{Items: check("Calling-Station-Id", "==", "00:1a:2b:3c:4d:5e")},
			attributes: []string{`Calling-Station-Id = "00-1A-2B-3C-4D-5E"`}},
		{name: "wrong station", user: User{Items: check("Calling-Station-Id", "==", "00:1a:2b:3c:4d:5e")},
			attributes: []string{`Calling-Station-Id = "00-1A-2B-3C-4D-5F"`}, want: ReasonStationNotAllowed},
		{name: "no station", user: User{Items: check("Calling-Station-Id", "==", "00:1a:2b:3c:4d:5e")}, want: ReasonStationNotAllowed},
		{name: "another check", plan: &Plan{Items: check("NAS-Port-Type", "==", "Ethernet")},
			attributes: []string{"NAS-Port-Type = Virtual"}, want: ReasonCheckFailed, detail: `plan: NAS-Port-Type == "Ethernet"`},
		{name: "a group's failed check only leaves the group out",
			groups: [][]Item{append(check("NAS-Port-Type", "==", "Ethernet"), replyItem("Filter-Id", "=", "x"), checkItem("Auth-Type", ":=", "Reject"))}, reply: []string{}},
		{name: "a group whose check holds applies", groups: [][]Item{append(check("NAS-Port-Type", "==", "Ethernet"), replyItem("Filter-Id", "=", "x"))},
			attributes: []string{"NAS-Port-Type = Ethernet"}, reply: []string{`Filter-Id = "x"`}},

		{name: "time quota left", plan: &Plan{QuotaSeconds: 1000, QuotaPeriod: PeriodMonth},
			used: map[Period]Usage{PeriodMonth: {Seconds: 400}}, reply: []string{"Session-Timeout = 600"}},
		{name: "time quota of another period", plan: &Plan{QuotaSeconds: 1000, QuotaPeriod: PeriodDay},
			used: map[Period]Usage{PeriodMonth: {Seconds: 1000}}, reply: []string{"Session-Timeout = 1000"}},
		{name: "time quota exhausted", plan: &Plan{QuotaSeconds: 1000, QuotaPeriod: PeriodDay},
			used: map[Period]Usage{PeriodDay: {Seconds: 1000}}, want: ReasonTimeQuotaExhausted, detail: "1000 of 1000 s used, period day"},
		{name: "time quota beyond a Session-Timeout", plan: &Plan{QuotaSeconds: 1 << 40}, reply: []string{"Session-Timeout = 4294967295"}},
		{name: "data quota left", plan: &Plan{QuotaOctets: 1000}, used: map[Period]Usage{PeriodEver: {InputOctets: 400, OutputOctets: 500}}, reply: []string{}},
		{name: "data quota exhausted", plan: &Plan{QuotaOctets: 1000}, used: map[Period]Usage{PeriodEver: {InputOctets: 500, OutputOctets: 501}},
			want: ReasonDataQuotaExhausted, detail: "1001 of 1000 octets used, period ever"},
		{name: "Max-Daily-Session", user: User{Items: check("Max-Daily-Session", ":=", "3600")},
			used: map[Period]Usage{PeriodDay: {Seconds: 3000}}, reply: []string{"Session-Timeout = 600"}},
		{name: "Max-All-Session exhausted", user: User{Items: check("Max-All-Session", ":=", "3600")},
			used: map[Period]Usage{PeriodEver: {Seconds: 3601}}, want: ReasonTimeQuotaExhausted},
		{name: "Max-Monthly-Octets exhausted", user: User{Items: check("Max-Monthly-Octets", ":=", "10")},
			used: map[Period]Usage{PeriodMonth: {OutputOctets: 10}}, want: ReasonDataQuotaExhausted},
		{name: "the user's quota wins over the plan's", user: User{Items: check("Max-All-Session", ":=", "5000")},
			plan: &Plan{QuotaSeconds: 1000}, used: map[Period]Usage{PeriodEver: {Seconds: 2000}}, reply: []string{"Session-Timeout = 3000"}},
		{name: "the smallest of all limits", user: User{ExpiresAt: monday.Add(time.Hour), Items: check("Max-Daily-Session", ":=", "7200")},
			plan: &Plan{SessionTimeout: 24 * time.Hour, LoginHours: "Mo1100-1210", QuotaSeconds: 1e6}, reply: []string{"Session-Timeout = 600"}},
		{name: "Session-Timeout of the user is cut too", user: User{ExpiresAt: monday.Add(time.Minute), Items: []Item{replyItem("Session-Timeout", ":=", "3600")}},
			reply: []string{"Session-Timeout = 60"}},

		{name: "a place is free", plan: &Plan{SimultaneousUse: 2}, open: 1},
		{name: "no place is free", plan: &Plan{SimultaneousUse: 2}, open: 2, want: ReasonSimultaneousUse, detail: "limit 2"},
		{name: "the user's own limit wins", user: User{SimultaneousUse: 3}, plan: &Plan{SimultaneousUse: 1}, open: 2},
		{name: "Simultaneous-Use of the user wins over the plan", user: User{Items: check("Simultaneous-Use", ":=", "1")},
			plan: &Plan{SimultaneousUse: 5}, open: 1, want: ReasonSimultaneousUse},
		{name: "Simultaneous-Use 0 lifts the limit", user: User{Items: check("Simultaneous-Use", ":=", "0")}, plan: &Plan{SimultaneousUse: 1}, open: 5},

		{name: "the first group by priority wins", groups: [][]Item{{replyItem("Filter-Id", ":=", "first")}, {replyItem("Filter-Id", ":=", "second"), replyItem("Idle-Timeout", "=", "5")}},
			reply: []string{`Filter-Id = "first"`, "Idle-Timeout = 5"}},
		{name: "Fall-Through = No ends the groups", groups: [][]Item{{replyItem("Filter-Id", ":=", "first"), replyItem("Fall-Through", "=", "No")}, {replyItem("Idle-Timeout", "=", "5")}},
			reply: []string{`Filter-Id = "first"`}},
		{name: "the user's Fall-Through = No leaves all groups out", user: User{Items: []Item{replyItem("Fall-Through", "=", "No")}},
			groups: [][]Item{{replyItem("Filter-Id", ":=", "first")}}, plan: &Plan{IdleTimeout: time.Minute}, reply: []string{"Idle-Timeout = 60"}},
		{name: "items win over the plan's fields", user: User{Items: []Item{replyItem("Idle-Timeout", ":=", "5")}},
			plan: &Plan{IdleTimeout: time.Minute, FilterID: "plan"}, reply: []string{"Idle-Timeout = 5", `Filter-Id = "plan"`}},
		{name: "the plan's items win over its fields", plan: &Plan{IdleTimeout: time.Minute, Items: []Item{replyItem("Idle-Timeout", ":=", "7")}},
			reply: []string{"Idle-Timeout = 7"}},

		{name: "an item that does not compile refuses", user: User{Items: []Item{replyItem("No-Such-Attribute", ":=", "5")}}, want: ReasonInternal,
			detail: "reply item No-Such-Attribute :=: unknown attribute \"No-Such-Attribute\""},
		{name: "a plan that does not compile refuses", plan: &Plan{LoginHours: "never"}, want: ReasonInternal},
		{name: "a group that does not compile refuses", groups: [][]Item{check("NAS-Port", "~~", "1")}, want: ReasonInternal},
	}
	return tests
}

func TestAuthorize(t *testing.T) {
	for _, test := range authorizeTests() {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, withRecords(t))
			w.limits.set(test.used, test.open)
			user := test.user
			user.Name, user.Credential = "alice", cleartext("wonderland")
			if test.plan != nil {
				test.plan.Name = "basic"
				user.PlanID = w.store.putPlan(*test.plan).ID
			}
			for i, items := range test.groups {
				group := w.store.putGroup(Group{Name: string(rune('a' + i)), Items: items})
				user.Groups = append(user.Groups, Membership{group.ID, i})
			}
			w.addUser(user)
			a := w.pap("alice", "wonderland", test.attributes...)
			require.Equal(t, test.want, w.reason(), "reason")
			record := w.record()
			require.Equal(t, test.want, record.Reason)
			if test.detail != "" {
				require.Equal(t, test.detail, record.Detail)
			}
			if test.want == ReasonAccepted {
				a.accepted()
				if test.reply != nil {
					require.ElementsMatch(t, test.reply, a.text())
				}
				require.NotZero(t, record.SessionNonce)
				return
			}
			a.rejected()
			require.Empty(t, a.text(), "a reject carries nothing (RFC 5080 section 2.6.1)")
			require.Zero(t, record.SessionNonce)
			if test.want != ReasonSimultaneousUse {
				require.Empty(t, w.limits.reservations(), "a place is taken last of all")
			}

			// The password is checked first: who does not know it learns nothing.
			w.pap("alice", "looking-glass", test.attributes...).rejected()
			require.Equal(t, ReasonWrongPassword, w.reason())
		})
	}
}

func TestRefusedOnEveryMethod(t *testing.T) {
	for _, user := range []User{
		{Status: UserDisabled}, {Status: UserSuspended}, {ExpiresAt: monday},
	} {
		want := map[UserStatus]Reason{UserActive: ReasonExpired, UserDisabled: ReasonDisabled, UserSuspended: ReasonSuspended}[user.Status]
		t.Run(want.String(), func(t *testing.T) {
			w := newWorld(t)
			user.Name, user.Credential = "alice", cleartext("wonderland")
			w.addUser(user)
			w.pap("alice", "wonderland").rejected()
			require.Equal(t, want, w.reason())
			w.ask(func(m *radius.Message) {
				m.AddString(radius.TypeUserName, "alice")
				m.AddCHAPPassword(1, "wonderland")
			}).rejected()
			require.Equal(t, want, w.reason())
			a, _, _ := w.askMSCHAPv2("alice", "alice", "wonderland")
			a.rejected()
			require.Equal(t, want, w.reason())
			_, ok := a.packet.Attributes().Vendor(radius.VendorMicrosoft, radius.MSMPPESendKey)
			require.False(t, ok)
			user.ID = w.store.putUser(User{Name: "001a.2b3c.4d5e", Status: user.Status, ExpiresAt: user.ExpiresAt}).ID
			user.Name, user.Credential = "00:1a:2b:3c:4d:5e", Credential{Scheme: SchemeMAC}
			w.addUser(user)
			w.pap("001a.2b3c.4d5e", "001a.2b3c.4d5e").rejected()
			require.Equal(t, want, w.reason())
			user.Items = []Item{checkItem("Auth-Type", ":=", "Accept")}
			w.addUser(user)
			w.pap("001a.2b3c.4d5e", "whatever").rejected()
			require.Equal(t, want, w.reason())
		})
	}
}

func TestReservation(t *testing.T) {
	w := newWorld(t)
	plan := w.store.putPlan(Plan{Name: "basic", SimultaneousUse: 4})
	w.addUser(User{Name: "alice", Credential: cleartext("x"), PlanID: plan.ID})
	a := w.pap("alice", "x", `NAS-Port-Id = "ether1", NAS-Port = 7, Calling-Station-Id = "00-1A-2B-3C-4D-5E", NAS-IP-Address = 10.1.2.3`).accepted()
	class, _ := a.packet.Attributes().Get(radius.TypeClass)
	nonce, ok := ParseClass(class)
	require.True(t, ok)
	reserved := w.limits.reservations()
	require.Len(t, reserved, 1)
	got := reserved[0]
	require.Equal(t, nonce, got.Nonce)
	require.Equal(t, "alice", got.Username)
	require.Equal(t, 4, got.Limit)
	require.Equal(t, "10.1.2.3", got.NASAddr.String())
	require.Equal(t, "ether1", string(got.NASPortID))
	require.Equal(t, "00:1a:2b:3c:4d:5e", string(got.CallingStationID))
	require.Equal(t, monday, got.At)
	w.pap("alice", "x", "NAS-Port = 7").accepted()
	reserved = w.limits.reservations()
	require.Equal(t, "7", string(reserved[1].NASPortID))
	require.Equal(t, "127.0.0.1", reserved[1].NASAddr.String())
	require.NotEqual(t, reserved[0].Nonce, reserved[1].Nonce)
}

// TestLimitsThatWait are asked off the listener, and only about users to whom
// they apply.
func TestLimitsThatWait(t *testing.T) {
	w := newWorld(t, func(o *AccessOptions) { o.Limits.(*fakeLimits).waits = true })
	for name, plan := range map[string]Plan{"plain": {}, "limited": {SimultaneousUse: 1}, "quota": {QuotaOctets: 1 << 30}} {
		plan.Name = name
		w.addUser(User{Name: name, Credential: cleartext("x"), PlanID: w.store.putPlan(plan).ID})
	}
	for _, test := range []struct {
		name, user, attributes string
		deferred               bool
	}{
		{"neither limit nor quota", "plain", "NAS-Port = 7", false},
		{"a session id", "plain", `Acct-Session-Id = "1"`, true},
		{"a limit", "limited", "NAS-Port = 7", true},
		{"a quota", "quota", "NAS-Port = 7", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := w.deferred.Load()
			w.pap(test.user, "x", test.attributes).accepted()
			require.Equal(t, test.deferred, w.deferred.Load() == before+1)
		})
	}
}

func TestLimitsAreNeverOpen(t *testing.T) {
	w := newWorld(t, func(o *AccessOptions) { o.Limits = nil })
	for name, plan := range map[string]Plan{"a": {SimultaneousUse: 1}, "b": {QuotaOctets: 1}, "c": {QuotaSeconds: 1}} {
		plan.Name = name
		w.addUser(User{Name: name, Credential: cleartext("x"), PlanID: w.store.putPlan(plan).ID})
		w.pap(name, "x").rejected()
		require.Equal(t, ReasonInternal, w.reason())
	}
}

func TestLoginHoursInTheConfiguredZone(t *testing.T) {
	kolkata, err := time.LoadLocation("Asia/Kolkata") // 17:30 there
	require.NoError(t, err)
	w := newWorld(t, func(o *AccessOptions) { o.Location = kolkata })
	plan := w.store.putPlan(Plan{Name: "basic", LoginHours: "Mo1700-1800"})
	w.addUser(User{Name: "alice", Credential: cleartext("x"), PlanID: plan.ID})
	require.Equal(t, "1800", w.pap("alice", "x").accepted().value("Session-Timeout"))
}

func TestPlanThatIsNotThere(t *testing.T) {
	w := newWorld(t, withRecords(t))
	w.addUser(User{Name: "alice", Credential: cleartext("x"), PlanID: uuid.New()})
	w.pap("alice", "x").rejected()
	require.Equal(t, ReasonInternal, w.reason())
	require.Equal(t, "the user's plan does not exist", w.record().Detail)
}

func TestGroupThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: cleartext("x"), Groups: []Membership{{GroupID: uuid.New()}}})
	w.pap("alice", "x").accepted()
}

func TestRejectMessages(t *testing.T) {
	w := newWorld(t, func(o *AccessOptions) {
		o.RejectMessages = map[Reason]string{ReasonSuspended: "Please pay your invoice.", ReasonWrongPassword: "never sent"}
	})
	w.addUser(User{Name: "alice", Credential: cleartext("x"), Status: UserSuspended})
	require.Equal(t, "Please pay your invoice.", w.pap("alice", "x").rejected().value("Reply-Message"))
	require.Empty(t, w.pap("alice", "y").rejected().value("Reply-Message"), "only for those who know the password")
}

func TestTheLastAuthTypeOfALevelWins(t *testing.T) {
	w := newWorld(t)
	types := func(values ...string) (items []Item) {
		for _, value := range values {
			items = append(items, checkItem("Auth-Type", ":=", value))
		}
		return items
	}
	w.addUser(User{Name: "pap", Credential: cleartext("x"), Items: types("Accept", "CHAP", "PAP")})
	w.pap("pap", "wrong").rejected()
	require.Equal(t, ReasonWrongPassword, w.reason())
	w.pap("pap", "x").accepted()
	w.addUser(User{Name: "anyone", Items: types("CHAP", "Accept")})
	w.pap("anyone", "anything").accepted()
}

func TestAuthTypeAccept(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Items: []Item{checkItem("Auth-Type", ":=", "Accept")}})
	w.pap("alice", "anything").accepted()
	w.reason()
	w.ask(func(m *radius.Message) { m.AddString(radius.TypeUserName, "alice") }).accepted()
	method, reason := w.counted()
	require.Equal(t, MethodNone, method)
	require.Equal(t, ReasonAccepted, reason)
}
