package aaa

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

func TestWatch(t *testing.T) {
	w := newWorld(t)
	group := w.store.putGroup(Group{Name: "gold", Items: []Item{replyItem("Filter-Id", "=", "gold")}})
	other := w.store.putGroup(Group{Name: "wired", Items: []Item{checkItem("NAS-Port-Type", "==", "Ethernet")}})
	plan := w.store.putPlan(Plan{Name: "basic", LoginHours: "Al0000-2300", Items: []Item{replyItem("Tunnel-Password", ":=", "canary")}})
	w.addUser(User{Name: "alice", Credential: cleartext("wonderland"), PlanID: plan.ID, ExpiresAt: monday.Add(time.Hour),
		Groups: []Membership{{group.ID, 1}, {other.ID, 2}}, Items: []Item{checkItem("NAS-Port", "==", "1")}})
	w.addUser(User{Name: "bob", Credential: cleartext("builder")})
	require.False(t, w.access.watches.active.Load(), "nobody pays while nobody watches")
	alice, cancelAlice := w.access.Watch(WatchFilter{User: "alice"})
	nas, cancelNAS := w.access.Watch(WatchFilter{NAS: "local"})
	elsewhere, cancelElsewhere := w.access.Watch(WatchFilter{NAS: "elsewhere"})

	w.pap("bob", "builder").accepted()
	w.pap("alice", "wonderland", "NAS-Port = 1").accepted()
	w.pap("alice", "wonderland", "NAS-Port = 2").rejected()
	w.pap("eve", "wonderland").rejected()

	event := <-alice
	require.Equal(t, "alice", event.Username)
	require.Equal(t, "alice", event.User)
	require.Equal(t, "basic", event.Plan)
	require.Equal(t, "local", event.NAS)
	require.Equal(t, Decision{Reason: ReasonAccepted, Method: MethodPAP}, event.Decision)
	require.Equal(t, []string{
		"user: status active", "user: expires 2026-03-02T13:00:00Z", `user: check NAS-Port == "1"`,
		`group gold: reply Filter-Id = "gold"`, "group wired: does not apply",
		"plan basic: reply Tunnel-Password := …", "plan basic: login hours Al0000-2300",
	}, event.Rules)
	require.Contains(t, event.Request, `User-Name = "alice"`)
	require.Contains(t, event.Request, "User-Password = …")
	require.Contains(t, event.Reply, `Filter-Id = "gold"`)
	require.Contains(t, event.Reply, "Tunnel-Password = …")
	require.Contains(t, event.Reply, "Session-Timeout = 3600")
	require.Positive(t, event.Took)
	event = <-alice
	require.Equal(t, Decision{Reason: ReasonCheckFailed, Method: MethodPAP, Detail: `user: NAS-Port == "1"`}, event.Decision)
	require.Empty(t, alice)

	for _, want := range []string{"bob", "alice", "alice", "eve"} {
		require.Equal(t, want, (<-nas).Username)
	}
	require.Empty(t, elsewhere)
	cancelAlice()
	cancelAlice()
	_, open := <-alice
	require.False(t, open)
	cancelNAS()
	cancelElsewhere()
	require.False(t, w.access.watches.active.Load())
	w.pap("alice", "wonderland", "NAS-Port = 1").accepted()
}

func TestWatchNeverWaits(t *testing.T) {
	w := newWorld(t)
	w.addUser(User{Name: "alice", Credential: cleartext("x")})
	events, cancel := w.access.Watch(WatchFilter{})
	defer cancel()
	for range watchBuffer + 3 {
		w.pap("alice", "x").accepted()
	}
	for range watchBuffer {
		require.Zero(t, (<-events).Missed)
	}
	w.pap("alice", "x").accepted()
	require.Equal(t, 3, (<-events).Missed)
}

// TestNoSecretLeaves sends passwords by every method and looks for them in all that
// an operator gets to see.
func TestNoSecretLeaves(t *testing.T) {
	const canary = "canary-4f1d"
	w := newWorld(t, withRecords(t))
	events, cancel := w.access.Watch(WatchFilter{})
	defer cancel()
	hashed, err := HashPassword(canary)
	require.NoError(t, err)
	plan := w.store.putPlan(Plan{Name: "p", Items: []Item{
		replyItem("Tunnel-Password:1", ":=", canary), replyItem("Cisco-AVPair", "+=", "psk="+canary), replyItem("Mikrotik-Wireless-PSK", ":=", canary),
	}})
	for name, user := range map[string]User{
		"cleartext": {Credential: cleartext(canary), PlanID: plan.ID},
		"hash":      {Credential: hashed, PlanID: plan.ID},
		"nt":        {Credential: Credential{SchemeNTHash, ntHash([]byte(canary))}},
		"disabled":  {Credential: cleartext(canary), Status: UserDisabled},
		"broken":    {Credential: Credential{SchemeHash, []byte("$6$" + canary)}},
		"items":     {Credential: cleartext(canary), Items: []Item{checkItem("Cleartext-Password", ":=", canary), checkItem("NT-Password", "==", canary), replyItem("User-Password", "=", canary)}},
		"check":     {Credential: cleartext(canary), Items: []Item{checkItem("Cisco-AVPair", "==", "psk="+canary)}},
	} {
		user.Name = name
		w.addUser(user)
		w.pap(name, canary)
		w.pap(name, canary+"x")
		w.ask(func(m *radius.Message) {
			m.AddString(radius.TypeUserName, name)
			m.AddCHAPPassword(1, canary)
		})
		w.askMSCHAPv2(name, name, canary)
	}
	w.pap("nobody", canary)
	seen := w.log.String()
	for _, record := range w.access.options.Records.taken() {
		seen += fmt.Sprintf("%+v\n", record)
	}
	count := 0
	for len(events) > 0 {
		seen += fmt.Sprintf("%+v\n", <-events)
		count++
	}
	require.Equal(t, 29, count)
	families, err := w.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		seen += family.String()
	}
	for _, line := range strings.Split(seen, "\n") {
		require.NotContains(t, line, canary)
		require.NotContains(t, line, testSecret)
		require.NotContains(t, line, string(hashed.Secret))
	}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", hashed, User{Credential: hashed}, cleartext(canary)), canary)
}
