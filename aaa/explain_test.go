package aaa

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
)

func newTestExplainer(t testing.TB, store ExplainStore) *Explainer {
	t.Helper()
	templates, err := LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	e, err := NewExplainer(ExplainerOptions{Dictionary: dictionary.Embedded(), Templates: templates, Store: store})
	require.NoError(t, err)
	return e
}

// line writes a step for comparison; ! marks the one that refuses.
func line(s ExplainStep) string {
	text := string(s.Stage) + " | " + s.Source + " | " + s.Rule + " | " + string(s.Outcome)
	if s.Refuses {
		text += "!"
	}
	if s.Detail != "" {
		text += " " + s.Detail
	}
	return text
}

func explained(t *testing.T, e *Explainer, r ExplainRequest) (*Explanation, string) {
	t.Helper()
	got, err := e.Explain(t.Context(), r)
	require.NoError(t, err)
	var lines []string
	for _, step := range got.Steps {
		lines = append(lines, line(step))
	}
	return got, strings.Join(lines, "\n")
}

func explainCase() ExplainRequest {
	nas := NAS{Name: "bras1", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Vendor: "mikrotik"}
	guests := Group{ID: uuid.UUID{1}, Name: "guests", Items: []Item{
		checkItem("Called-Station-Id", "=~", "guest"), checkItem("Simultaneous-Use", ":=", "3"), replyItem("Filter-Id", ":=", "web")}}
	staff := Group{ID: uuid.UUID{2}, Name: "staff", Items: []Item{
		checkItem("Simultaneous-Use", ":=", "2"), replyItem("Filter-Id", "=", "open"), replyItem("Framed-Pool", ":=", "staff"), replyItem("Fall-Through", "=", "No")}}
	return ExplainRequest{
		User: User{
			Name: "alice", Credential: cleartext("wonder-pw"),
			Groups: []Membership{{guests.ID, 1}, {staff.ID, 2}, {uuid.UUID{3}, 3}},
			Items:  []Item{checkItem("NAS-Port", "<", "10"), replyItem("Tunnel-Password:1", ":=", "hidden-secret"), replyItem("Reply-Message", "+=", "hi")},
		},
		Plan: &Plan{Name: "home", RateUp: 1e6, RateDown: 2e6, AddressPool: "pool1", SimultaneousUse: 1, SessionTimeout: time.Hour,
			QuotaSeconds: 1000, QuotaPeriod: PeriodDay, Items: []Item{replyItem("Reply-Message", "+=", "welcome")}},
		Groups: []Group{guests, staff}, NAS: &nas, Attributes: []string{`NAS-Port = 3, Called-Station-Id = "office"`}, At: monday,
	}
}

func TestExplainAccept(t *testing.T) {
	history := &userHistory{
		account: UsageAccount{Username: "alice", Ever: Usage{Seconds: 400},
			Days: []DailyUsage{{Username: "alice", Day: StartOfDay(monday, time.UTC), Usage: Usage{Seconds: 400}}}},
		sessions: []Session{{ID: uuid.UUID{9}, Username: "alice", NASAddr: netip.MustParseAddr("192.0.2.9"), AcctSessionID: "1", StartedAt: monday.Add(-400 * time.Second), UpdatedAt: monday}},
	}
	got, steps := explained(t, newTestExplainer(t, history), explainCase())
	require.True(t, got.Accepted)
	require.Equal(t, MethodPAP, got.Method)
	require.Equal(t, "home", got.Plan)
	require.Equal(t, "mikrotik", got.Template)
	require.Equal(t, `identify | NAS bras1 | NAS 192.0.2.0/24 | holds reply template mikrotik
identify | user | User-Name = "alice" | holds
authenticate | user | method pap, credential cleartext | holds the password is taken to be right
check | user | NAS-Port < 10 | holds the request has NAS-Port = 3
check | user | group guests | skipped because Called-Station-Id =~ guest does not hold
check | group guests | Called-Station-Id =~ guest | fails the request has Called-Station-Id = "office"
check | user | group staff | holds it applies
check | group staff | Fall-Through = No | sets no group after it applies
check | user | group | skipped because it does not exist
limit | user | status active | holds
limit | group staff | Simultaneous-Use := 2 | holds 1 open, limit 2
limit | plan home | simultaneous use 1 | replaced by group staff
quota | plan home | quota 1000 s, period day | holds 400 of 1000 s used, period day
reply | user | Tunnel-Password:1 := … | sets
reply | user | Reply-Message += "hi" | sets
reply | group staff | Filter-Id = "open" | sets
reply | group staff | Framed-Pool := "staff" | sets
reply | plan home | Reply-Message += "welcome" | sets
reply | template mikrotik | Framed-Pool = "pool1" | shut out by group staff
reply | template mikrotik | Session-Timeout = 3600 | sets
reply | template mikrotik | Mikrotik-Rate-Limit = "1M/2M" | sets`, steps)
	var reply []string
	for _, r := range got.Reply {
		reply = append(reply, r.String()+" | "+r.Source)
	}
	require.Equal(t, []string{
		"Class = … | server", "Tunnel-Password:1 = … | user", `Reply-Message = "hi" | user`, `Filter-Id = "open" | group staff`,
		`Framed-Pool = "staff" | group staff`, `Reply-Message = "welcome" | plan home`, `Mikrotik-Rate-Limit = "1M/2M" | template mikrotik`,
		"Session-Timeout = 600 | plan home",
	}, reply)
	require.Equal(t, "made at login", got.Reply[0].Detail)
	require.Equal(t, "what is left of the quota, period day", got.Reply[len(got.Reply)-1].Detail)
}

func TestExplainRefusals(t *testing.T) {
	wrong, right := "looking-glass", "wonder-pw"
	for _, c := range []struct {
		name   string
		change func(r *ExplainRequest)
		want   Reason
		line   string // the step that refuses
	}{
		{"wrong password", func(r *ExplainRequest) { r.Password = &wrong }, ReasonWrongPassword,
			"authenticate | user | method pap, credential cleartext | fails! the password is wrong"},
		{"method that the credential cannot serve, password taken to be right", func(r *ExplainRequest) {
			r.User.Credential, r.Method = Credential{SchemeHash, []byte(foreignHashes()["LDAP SSHA"])}, MethodCHAP
		}, ReasonMethodUnavailable,
			"authenticate | user | method chap, credential hash | fails! CHAP needs the password in clear, the user has only a hash"},
		{"another name", func(r *ExplainRequest) { r.Attributes = []string{"User-Name = bob"} }, ReasonUnknownUser,
			`identify | user | User-Name = "bob" | fails! this is not the user`},
		{"disabled", func(r *ExplainRequest) { r.User.Status, r.Password = UserDisabled, &right }, ReasonDisabled, "limit | user | status disabled | fails!"},
		{"check of the user", func(r *ExplainRequest) { r.Attributes = nil }, ReasonCheckFailed,
			"check | user | NAS-Port < 10 | fails! the request has none"},
		{"check of the plan", func(r *ExplainRequest) { r.Plan.Items = []Item{checkItem("NAS-Name", "==", "bras2")} }, ReasonNASNotAllowed,
			`check | plan home | NAS-Name == bras2 | fails! the request has NAS-Name = "bras1"`},
		{"Auth-Type", func(r *ExplainRequest) { r.Groups[1].Items = []Item{checkItem("Auth-Type", ":=", "Reject")} }, ReasonCheckFailed,
			"limit | group staff | Auth-Type := Reject | fails! Auth-Type := Reject"},
		{"method of the plan", func(r *ExplainRequest) { r.Plan.AllowedMethods = 1 << MethodCHAP }, ReasonMethodNotAllowed,
			"limit | plan home | methods chap | fails! allowed: chap"},
		{"expired", func(r *ExplainRequest) {
			r.User.ExpiresAt = monday.Add(-time.Hour)
			r.User.Items = []Item{checkItem("Expiration", ":=", "2026-03-02")}
		}, ReasonExpired, "limit | user | Expiration := 2026-03-02 | fails! 2026-03-02T00:00:00Z"},
		{"login hours", func(r *ExplainRequest) { r.Plan.LoginHours = "Sa" }, ReasonOutsideLoginHours, "limit | plan home | login hours Sa | fails!"},
		{"quota", func(r *ExplainRequest) { r.User.Items = []Item{checkItem("Max-All-Octets", ":=", "0")} }, ReasonDataQuotaExhausted,
			"quota | user | Max-All-Octets := 0 | fails! 0 of 0 octets used, period ever"},
		{"item that cannot be used", func(r *ExplainRequest) { r.Plan.Items = []Item{checkItem("No-Such", "==", "1")} }, ReasonInternal,
			"check | plan home | No-Such == … | fails! cannot be used: check item No-Such ==:"},
		{"no plan", func(r *ExplainRequest) { r.Plan, r.User.PlanID = nil, uuid.UUID{7} }, ReasonInternal, "check | user | plan | fails! the user's plan does not exist"},
		{"reply that is too long", func(r *ExplainRequest) {
			for range 16 {
				r.Plan.Items = append(r.Plan.Items, replyItem("Reply-Message", "+=", strings.Repeat("x", 253)))
			}
		}, ReasonInternal, "reply | server | reply | fails! pair 17, Reply-Message: attributes exceed the 4076 octets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := explainCase()
			c.change(&r)
			got, steps := explained(t, newTestExplainer(t, nil), r)
			require.False(t, got.Accepted)
			require.Equal(t, c.want, got.Reason, steps)
			require.Contains(t, steps, c.line)
			require.Equal(t, 1, strings.Count(steps, " fails!"), steps)
			require.NotContains(t, steps, "wonder-pw")
		})
	}
}

func TestEffectiveReplyOfARefusedUser(t *testing.T) {
	r := explainCase()
	r.User.Status, r.Attributes = UserSuspended, nil
	got, err := newTestExplainer(t, nil).EffectiveReply(t.Context(), r)
	require.NoError(t, err)
	require.False(t, got.Accepted)
	require.Equal(t, ReasonSuspended, got.Reason)
	require.Contains(t, texts(got.Reply), `Mikrotik-Rate-Limit = "1M/2M"`)
	require.Contains(t, texts(got.Reply), `Filter-Id = "open"`)
	without, _ := explained(t, newTestExplainer(t, nil), r)
	require.Empty(t, without.Reply)
}

func TestExplainAsksTheStoreOnlyForLimits(t *testing.T) {
	history := &userHistory{account: UsageAccount{Username: "alice"}}
	r := explainCase()
	r.Plan, r.User.Groups = nil, nil
	explained(t, newTestExplainer(t, history), r)
	require.Zero(t, history.asked)
	r.User.SimultaneousUse = 1
	explained(t, newTestExplainer(t, history), r)
	require.Equal(t, 1, history.asked)
}

type brokenHistory struct{ userHistory }

func (*brokenHistory) OpenSessionsOf(context.Context, string) ([]Session, error) {
	return nil, errors.New("the store is away")
}

func TestExplainErrors(t *testing.T) {
	_, err := newTestExplainer(t, &brokenHistory{}).Explain(t.Context(), explainCase())
	require.ErrorContains(t, err, "the store is away")
	for field, change := range map[string]func(r *ExplainRequest){
		"attributes[1]": func(r *ExplainRequest) { r.Attributes = []string{"NAS-Port = 3", "Nas-Prot = 3"} },
		"attributes[0]": func(r *ExplainRequest) { r.Attributes = []string{"User-Password = secret"} },
		"attributes":    func(r *ExplainRequest) { r.Attributes = []string{strings.Repeat("NAS-Port = 1\n", 201)} },
		"password":      func(r *ExplainRequest) { long := strings.Repeat("x", 129); r.Password = &long },
		"method":        func(r *ExplainRequest) { r.Method = methodCount },
		"user":          func(r *ExplainRequest) { r.User.Name = "" },
	} {
		t.Run(field, func(t *testing.T) {
			r := explainCase()
			change(&r)
			_, err := newTestExplainer(t, nil).Explain(t.Context(), r)
			var wrong *ExplainError
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, field, wrong.Field)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestNASFor(t *testing.T) {
	secret := []byte("s")
	nases := []NAS{
		{ID: uuid.UUID{1}, Name: "wide", Prefix: netip.MustParsePrefix("10.0.0.0/8"), Secret: secret},
		{ID: uuid.UUID{2}, Name: "host", Prefix: netip.MustParsePrefix("10.1.2.3/32"), Secret: secret},
	}
	require.Equal(t, "host", NASFor(nases, netip.MustParseAddr("10.1.2.3")).Name)
	require.Equal(t, "wide", NASFor(nases, netip.MustParseAddr("::ffff:10.1.2.4")).Name)
	require.Nil(t, NASFor(nases, netip.MustParseAddr("192.0.2.1")))
}

func BenchmarkExplain(b *testing.B) {
	e, r := newTestExplainer(b, nil), explainCase()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Explain(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
