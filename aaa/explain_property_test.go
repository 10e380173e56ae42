package aaa

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/dictionary"
	"radiusd/radius"
)

// userHistory is what one user has used and has open: for Explain, and for the live
// sessions of a server.
type userHistory struct {
	account  UsageAccount
	sessions []Session
	asked    int
}

func (h *userHistory) UsageAccounts(_ context.Context, usernames []string, since, _ time.Time) ([]UsageAccount, error) {
	h.asked++
	if !slices.Contains(usernames, h.account.Username) {
		return nil, nil
	}
	account := h.account
	account.Days = nil
	for _, day := range h.account.Days {
		if !day.Day.Before(since) {
			account.Days = append(account.Days, day)
		}
	}
	return []UsageAccount{account}, nil
}

func (h *userHistory) OpenSessionsOf(_ context.Context, username string) (list []Session, err error) {
	for _, s := range h.sessions {
		if s.Username == username && s.Open() {
			list = append(list, s)
		}
	}
	return list, nil
}

func (h *userHistory) EachSession(_ context.Context, _ time.Time, fn func(*Session) error) error {
	for _, s := range h.sessions {
		if err := fn(&s); err != nil {
			return err
		}
	}
	return nil
}

func (h *userHistory) Boots(context.Context, time.Time) ([]Boot, error) { return nil, nil }

// EachUsage gives the days one by one, as no store would: they add up all the same.
func (h *userHistory) EachUsage(_ context.Context, _ []time.Time, fn func(DailyUsage) error) error {
	before := h.account.Ever
	for _, day := range h.account.Days {
		before = before.minus(day.Usage)
		day.Username = h.account.Username
		if err := fn(day); err != nil {
			return err
		}
	}
	return fn(DailyUsage{Username: h.account.Username, Usage: before})
}

// swappedLimits are the live sessions of the present case.
type swappedLimits struct{ now atomic.Pointer[LiveSessions] }

func (l *swappedLimits) Reserve(r Reservation) Grant      { return l.now.Load().Reserve(r) }
func (l *swappedLimits) Release(username string, n Nonce) { l.now.Load().Release(username, n) }
func (l *swappedLimits) Waits() bool                      { return false }
func draw[T any](t *rapid.T, label string, of ...T) T     { return rapid.SampledFrom(of).Draw(t, label) }
func maybe(t *rapid.T, label string) bool                 { return rapid.IntRange(0, 3).Draw(t, label) == 0 }
func drawSome[T any](t *rapid.T, label string, of ...T) []T {
	var list []T
	for range draw(t, label+"s", 0, 0, 0, 0, 1, 1, 2) {
		list = append(list, draw(t, label, of...))
	}
	return list
}

const explainedPassword = "wonder-pw"

func drawItems(t *rapid.T, whose string) []Item {
	return slices.Concat(
		drawSome(t, whose+" check",
			checkItem("NAS-Port-Type", "==", "Ethernet"), checkItem("Called-Station-Id", "=~", "guest"), checkItem("NAS-Port", "<", "10"),
			checkItem("Calling-Station-Id", "==", "00-1A-2B-3C-4D-5E"), checkItem("NAS-Identifier", "!*", ""), checkItem("NAS-Name", "==", "local"),
			checkItem("NAS-IP-Address", "==", "127.0.0.0/8"), checkItem("NAS-Port", ":=", "3"), checkItem("Framed-Protocol", "==", "PPP")),
		drawSome(t, whose+" control",
			checkItem("Auth-Type", ":=", draw(t, "type", "Accept", "Accept", "Reject", "Local", "PAP", "PAP", "CHAP", "MS-CHAP")),
			checkItem("Simultaneous-Use", draw(t, "op", ":=", "="), draw(t, "n", "0", "1", "2")), checkItem("Expiration", ":=", draw(t, "day", "2026-03-01", "2026-03-04", "2030-01-01", "2030-01-02")),
			checkItem("Login-Time", ":=", draw(t, "hours", "Wk0800-1800", "Sa", "Al", "Al0000-2300")), checkItem("Max-Daily-Session", ":=", draw(t, "s", "0", "100", "90000")),
			checkItem("Max-All-Octets", ":=", draw(t, "o", "1", "5000", "999999999")), checkItem("Max-Weekly-Session", "=", "4000")),
		drawSome(t, whose+" reply",
			replyItem("Framed-Pool", draw(t, "op", "=", ":=", "+="), whose), replyItem("Session-Timeout", draw(t, "op", "=", ":=", "+="), draw(t, "t", "60", "7200")),
			replyItem("Reply-Message", "+=", "hello from "+whose), replyItem("Class", draw(t, "op", "=", "+="), "0x0102"), replyItem("Filter-Id", ":=", whose),
			replyItem("Tunnel-Password:1", ":=", "hidden-"+whose), replyItem("Cisco-AVPair", "+=", "psk="+whose), replyItem("Mikrotik-Rate-Limit", draw(t, "op", "=", ":="), "1M/1M"),
			replyItem("Fall-Through", "=", draw(t, "through", "Yes", "No")), replyItem("User-Name", ":=", "other"), replyItem("Tunnel-Type:2", "=", "VLAN"),
			replyItem("MS-Primary-DNS-Server", "=", "192.0.2.53")))
}

func drawPlan(t *rapid.T) *Plan {
	return &Plan{
		Name: "home", RateUp: draw(t, "up", uint64(0), 1e6, 5e9), RateDown: draw(t, "down", uint64(0), 2e6), BurstUp: draw(t, "burst", uint64(0), 3e6),
		SessionTimeout: draw(t, "timeout", 0, time.Hour), IdleTimeout: draw(t, "idle", 0, time.Minute), AddressPool: draw(t, "pool", "", "pool1"),
		FilterID: draw(t, "filter", "", "std"), PolicyDown: draw(t, "policy", "", "gold"), SimultaneousUse: draw(t, "simultaneous", 0, 0, 1, 2),
		LoginHours: draw(t, "plan hours", "", "", "", "Wk0000-2359", "Su"), AllowedMethods: draw(t, "methods", MethodSet(0), 0, 0, 1<<MethodPAP, 1<<MethodCHAP|1<<MethodMSCHAPv2),
		QuotaSeconds: draw(t, "quota seconds", uint64(0), 0, 500, 100000), QuotaOctets: draw(t, "quota octets", uint64(0), 0, 500, 1<<33),
		QuotaPeriod: draw(t, "period", PeriodEver, PeriodDay, PeriodWeek, PeriodMonth), Items: drawItems(t, "plan"),
	}
}

// drawExplainRequest draws a user with everything around it, and a request.
func drawExplainRequest(t *rapid.T) ExplainRequest {
	r := ExplainRequest{At: draw(t, "at", monday, monday, monday.Add(time.Second/2), monday.Add(5*24*time.Hour), monday.Add(10*time.Hour)).Local()}
	digest := sha1.Sum([]byte(explainedPassword))
	r.User = User{
		Name:   "alice",
		Status: draw(t, "status", UserActive, UserActive, UserActive, UserActive, UserActive, UserActive, UserActive, UserActive, UserDisabled, UserSuspended),
		Credential: draw(t, "credential", cleartext(explainedPassword), cleartext(explainedPassword), cleartext(explainedPassword), cleartext(explainedPassword), Credential{SchemeNTHash, ntHash([]byte(explainedPassword))},
			Credential{SchemeHash, []byte("{SHA}" + base64.StdEncoding.EncodeToString(digest[:]))}, Credential{Scheme: SchemeNone}, Credential{Scheme: SchemeMAC}),
		ExpiresAt:       draw(t, "expires", time.Time{}, time.Time{}, time.Time{}, monday.Add(8*24*time.Hour), monday.Add(-time.Hour), monday.Add(time.Hour).Truncate(time.Microsecond)),
		SimultaneousUse: draw(t, "own simultaneous", 0, 0, 1), Items: drawItems(t, "user"),
	}
	if r.User.Credential.Scheme == SchemeMAC {
		r.User.Name = "00:1a:2b:3c:4d:5e"
	}
	if !maybe(t, "no plan") {
		r.Plan = drawPlan(t)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "groups") {
		name := []string{"staff", "guests"}[i]
		r.Groups = append(r.Groups, Group{ID: uuid.UUID{15: byte(i + 1)}, Name: name, Items: drawItems(t, name)})
		r.User.Groups = append(r.User.Groups, Membership{GroupID: r.Groups[i].ID, Priority: draw(t, "priority", 0, 5, 9)})
	}
	r.Attributes = append(r.Attributes, drawSome(t, "attribute", `NAS-Port-Type = Ethernet`, `Called-Station-Id = "guest-net"`, `NAS-Port = 3, Framed-Protocol = PPP`,
		`Calling-Station-Id = "00-1A-2B-3C-4D-5E"`, `NAS-Identifier = "bras"`, `NAS-IP-Address = 10.0.0.1`, `Acct-Session-Id = "81"`, `Service-Type = Call-Check`, `Proxy-State = 0x01`)...)
	if maybe(t, "another") && maybe(t, "sent name") {
		r.Attributes = append(r.Attributes, draw(t, "name", `User-Name = "nobody"`, `User-Name = "001A2B3C4D5E"`, `User-Name = ""`))
	}
	r.Method = draw(t, "method", MethodPAP, MethodPAP, MethodPAP, MethodPAP, MethodPAP, MethodPAP, MethodPAP, MethodPAP, MethodCHAP, MethodMSCHAP, MethodMSCHAPv2, MethodEAP)
	if password := draw(t, "password", "", "", "", "", explainedPassword, explainedPassword, explainedPassword, "wrong"); password != "" {
		r.Password = &password
	}
	if rapid.Bool().Draw(t, "friendly") { // so that there are as many who get in
		r.User.Status, r.User.ExpiresAt, r.Method, r.Password = UserActive, time.Time{}, MethodPAP, nil
		r.User.Credential = cleartext(explainedPassword)
		r.User.Items = slices.DeleteFunc(r.User.Items, func(i Item) bool { return i.Op == "==" || i.Attribute == "Auth-Type" })
	}
	return r
}

func drawHistory(t *rapid.T, r *ExplainRequest, nas *NAS) *userHistory {
	h := &userHistory{account: UsageAccount{Username: r.User.Name}}
	for _, back := range []int{0, 1, 6, 40} {
		if rapid.Bool().Draw(t, "used") {
			u := Usage{Seconds: draw(t, "seconds", uint64(3), 300, 80000), InputOctets: draw(t, "octets", uint64(1), 400, 1<<32)}
			h.account.Days = append(h.account.Days, DailyUsage{Username: r.User.Name, Day: StartOfDay(r.At.AddDate(0, 0, -back), time.UTC), Usage: u})
			h.account.Ever.add(u)
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "sessions") {
		h.sessions = append(h.sessions, Session{
			ID: uuid.New(), Username: r.User.Name, NASAddr: nas.Prefix.Addr(), NASID: nas.ID, AcctSessionID: []string{"81", "82"}[i],
			StartedAt: r.At.Add(-time.Hour), UpdatedAt: r.At.Add(-time.Minute), Class: AppendClass(nil, Nonce{byte(i + 1)}),
		})
	}
	return h
}

// send is the request on its real way. A password that is taken to be right is.
func (w *world) send(r *ExplainRequest) answer {
	return w.ask(func(m *radius.Message) {
		if !slices.ContainsFunc(r.Attributes, func(s string) bool { return strings.HasPrefix(s, "User-Name") }) {
			m.AddString(radius.TypeUserName, r.User.Name)
		}
		w.add(m, r.Attributes...)
		proved := *r
		if password := explainedPassword; r.Password == nil && r.User.Credential.Scheme != SchemeMAC {
			proved.Password = &password
		} else if r.Password == nil && r.Method != MethodPAP {
			name, _ := radius.Attributes(m.Attributes).String(radius.TypeUserName)
			proved.Password = &name // what a device has as its password with CHAP
		}
		require.NoError(w.t, proved.prove(m, []byte(testSecret)))
	})
}

// TestExplainIsWhatHappens compares Explain with a server: the decision, and every
// attribute of the reply.
func TestExplainIsWhatHappens(t *testing.T) {
	limits := new(swappedLimits)
	w := newWorld(t, func(o *AccessOptions) {
		o.Limits, o.RejectMessages = limits, map[Reason]string{ReasonDisabled: "disabled", ReasonExpired: "pay"}
	})
	events, cancel := w.access.Watch(WatchFilter{})
	defer cancel()
	plan, seen := w.store.putPlan(Plan{Name: "home"}), map[Reason]int{}
	user := w.store.putUser(User{Name: "alice"})
	property := func(rt *rapid.T) {
		r := drawExplainRequest(rt)
		nas := w.nas
		nas.Vendor = draw(rt, "vendor", "", "mikrotik", "cisco", "huawei", "nokia", "chillispot", "nonsense")
		w.nas = w.store.putNAS(nas)
		r.NAS, r.User.ID = &nas, user.ID
		w.clock.set(r.At)
		if r.Plan != nil {
			r.Plan.ID = plan.ID
			w.store.putPlan(*r.Plan)
			r.User.PlanID = plan.ID
		} else if maybe(rt, "lost plan") {
			r.User.PlanID = uuid.UUID{1}
		}
		for _, group := range r.Groups {
			w.store.putGroup(group)
		}
		w.addUser(r.User)
		history := drawHistory(rt, &r, &nas)
		live := NewLiveSessions(LiveOptions{Now: func() time.Time { return r.At }})
		require.NoError(rt, live.Load(context.Background(), history))
		limits.now.Store(live)

		explainer, err := NewExplainer(ExplainerOptions{
			Dictionary: dictionary.Embedded(), Templates: w.access.options.Templates, Store: history, RejectMessages: w.access.options.RejectMessages,
		})
		require.NoError(rt, err)
		got, err := explainer.Explain(context.Background(), r)
		require.NoError(rt, err)
		real := w.send(&r)
		decision := (<-events).Decision
		seen[decision.Reason]++

		require.Equal(rt, decision, Decision{got.Reason, got.Method, got.Detail}, "%v", got.Steps)
		require.Equal(rt, real.packet.Code() == radius.AccessAccept, got.Accepted)
		require.Equal(rt, shown(t, real), texts(got.Reply))
		requireCoherent(rt, got)
	}
	for range 30 { // of 100 cases each
		rapid.Check(t, property)
	}
	t.Log(seen)
	for _, reason := range []Reason{ReasonAccepted, ReasonUnknownUser, ReasonWrongPassword, ReasonSimultaneousUse, ReasonTimeQuotaExhausted, ReasonDataQuotaExhausted, ReasonInternal} {
		require.Greater(t, seen[reason], 10, "%s was never seen: the cases are poor", reason)
	}
}

// shown is what an Explanation may show of a reply.
func shown(t *testing.T, a answer) []string {
	pairs, err := dictionary.Embedded().ParseWire(a.packet.Attributes(), nil)
	require.NoError(t, err)
	list := []string{}
	for _, pair := range pairs {
		_, ours := ParseClass(pair.Value)
		name := nameOf(dictionary.Embedded(), pair.Attr)
		switch {
		case pair.Attr.Name == "Message-Authenticator":
		case pair.Attr.Name == "Class" && ours, masked(pair.Attr), maskedText(string(pair.Value)):
			list = append(list, name+" = …")
		default:
			list = append(list, pair.String())
		}
	}
	return list
}

func texts(reply []ExplainReply) []string {
	list := []string{}
	for _, r := range reply {
		text := r.String()
		if r.Secret {
			text = strings.Replace(text, ":1 =", " =", 1) // an encrypted tag is not seen on the wire
		}
		list = append(list, text)
	}
	return list
}

// requireCoherent checks what holds for every Explanation.
func requireCoherent(t *rapid.T, got *Explanation) {
	refusals := 0
	for _, step := range got.Steps {
		require.NotEmpty(t, step.Outcome, "%v", step)
		require.NotEmpty(t, step.Source, "%v", step)
		for _, secret := range []string{explainedPassword, "hidden-", "psk="} {
			require.NotContains(t, step.Rule+step.Detail, secret)
		}
		if step.Refuses {
			refusals++
			require.Equal(t, OutcomeFails, step.Outcome, "%v", step)
		}
	}
	if got.Accepted {
		require.Zero(t, refusals, "%v", got.Steps)
	} else {
		require.Equal(t, 1, refusals, "one rule refuses: %s %s %v", got.Reason, got.Detail, got.Steps)
	}
	for _, attribute := range got.Reply {
		if attribute.Source != "server" {
			continue
		}
		require.True(t, slices.Contains([]string{"Class", "User-Name", "Reply-Message", "Proxy-State", "EAP-Message"}, attribute.Attribute) || strings.HasPrefix(attribute.Attribute, "MS-"),
			"%v has no source", attribute)
	}
}
