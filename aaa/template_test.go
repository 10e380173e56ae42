package aaa

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
	"radiusd/radius"
)

// replyOf merges what a template makes of a plan, as text.
func replyOf(t testing.TB, vendor string, plan *Plan, left *allowance, files ...string) []string {
	t.Helper()
	templates, err := LoadTemplates(dictionary.Embedded(), files...)
	require.NoError(t, err)
	template := templates.forNAS(&NAS{Vendor: vendor})
	in := &templateInput{plan: plan, left: left}
	var made pairList
	require.NoError(t, made.addTemplate(template, in, false))
	if left != nil {
		require.NoError(t, made.addTemplate(template, in, true))
	}
	var list replyList
	list.add(made.pairs)
	wire, err := dictionary.Embedded().AppendWire(nil, list.pairs, nil)
	require.NoError(t, err)
	parsed, err := dictionary.Embedded().ParseWire(wire, nil)
	require.NoError(t, err)
	text := []string{}
	for _, pair := range parsed {
		text = append(text, pair.String())
	}
	return text
}

func TestTemplates(t *testing.T) {
	rates := Plan{Name: "fast", RateUp: 10e6, RateDown: 50e6}
	with := func(p Plan, change func(*Plan)) Plan {
		change(&p)
		return p
	}
	bursts := with(rates, func(p *Plan) { p.BurstUp, p.BurstDown = 20e6, 100e6 })
	full := with(bursts, func(p *Plan) {
		p.BurstThresholdUp, p.BurstThresholdDown, p.BurstTime = 7500e3, 37500001, 8*time.Second
	})
	profiles := with(rates, func(p *Plan) { p.PolicyUp, p.PolicyDown = "up-10", "down-50" })
	gigabit := Plan{RateUp: 1e9, RateDown: 5e9, BurstDown: 6e9}
	pools := Plan{AddressPool: "v4", IPv6Pool: "v6", DelegatedIPv6Pool: "pd", AddressList: "paid", FilterID: "f"}
	left := func(octets uint64, seconds int) *allowance {
		a := &allowance{octets: octets, hasOctets: octets > 0, now: monday}
		if seconds > 0 {
			a.until = monday.Add(time.Duration(seconds) * time.Second)
		}
		return a
	}
	tests := []struct {
		name, vendor string
		plan         Plan
		left         *allowance
		want         []string
	}{
		{"standard has no speed", "", rates, nil, []string{}},
		{"standard timeouts", "", Plan{SessionTimeout: 90 * time.Second, IdleTimeout: 5 * time.Minute, InterimInterval: time.Minute}, nil,
			[]string{"Session-Timeout = 90", "Idle-Timeout = 300", "Acct-Interim-Interval = 60"}},
		{"standard pools", "", pools, nil,
			[]string{`Framed-Pool = "v4"`, `Framed-IPv6-Pool = "v6"`, `Delegated-IPv6-Prefix-Pool = "pd"`, `Filter-Id = "f"`}},
		{"unknown vendor is standard", "acme", Plan{FilterID: "f"}, nil, []string{`Filter-Id = "f"`}},

		{"mikrotik rates: rx is the upload", "mikrotik", rates, nil, []string{`Mikrotik-Rate-Limit = "10M/50M"`}},
		{"mikrotik by alias and in another case", "RouterOS", rates, nil, []string{`Mikrotik-Rate-Limit = "10M/50M"`}},
		{"mikrotik, one direction", "mikrotik", Plan{RateDown: 512000}, nil, []string{`Mikrotik-Rate-Limit = "0/512k"`}},
		{"mikrotik, odd rate", "mikrotik", Plan{RateUp: 1234567, RateDown: 1}, nil, []string{`Mikrotik-Rate-Limit = "1234567/1"`}},
		{"mikrotik burst", "mikrotik", bursts, nil, []string{`Mikrotik-Rate-Limit = "10M/50M 20M/100M"`}},
		{"mikrotik burst with threshold", "mikrotik", with(full, func(p *Plan) { p.BurstTime = 0 }), nil,
			[]string{`Mikrotik-Rate-Limit = "10M/50M 20M/100M 7500k/37500001"`}},
		{"mikrotik burst in full", "mikrotik", full, nil, []string{`Mikrotik-Rate-Limit = "10M/50M 20M/100M 7500k/37500001 8/8"`}},
		{"mikrotik lists and pools", "mikrotik", Plan{AddressList: "paid", DelegatedIPv6Pool: "pd"}, nil,
			[]string{`Delegated-IPv6-Prefix-Pool = "pd"`, `Mikrotik-Address-List = "paid"`, `Mikrotik-Delegated-IPv6-Pool = "pd"`}},
		{"mikrotik quota", "mikrotik", Plan{}, left(1000, 0), []string{"Mikrotik-Total-Limit = 1000"}},
		{"mikrotik quota beyond 4 GiB", "mikrotik", Plan{}, left(3<<32+5, 0), []string{"Mikrotik-Total-Limit = 5", "Mikrotik-Total-Limit-Gigawords = 3"}},
		{"mikrotik quota of whole gigawords", "mikrotik", Plan{}, left(2<<32, 0), []string{"Mikrotik-Total-Limit = 0", "Mikrotik-Total-Limit-Gigawords = 2"}},

		{"wispr in bit/s", "wispr", rates, nil, []string{"WISPr-Bandwidth-Max-Up = 10000000", "WISPr-Bandwidth-Max-Down = 50000000"}},
		{"wispr end of session", "wispr", Plan{}, left(0, 3600), []string{`WISPr-Session-Terminate-Time = "2026-03-02T13:00:00+00:00"`}},
		{"wispr leaves out what 32 bits cannot hold", "wispr", gigabit, nil, []string{"WISPr-Bandwidth-Max-Up = 1000000000"}},

		{"chillispot", "coovachilli", rates, left(4294967295, 0),
			[]string{"WISPr-Bandwidth-Max-Up = 10000000", "WISPr-Bandwidth-Max-Down = 50000000", "ChilliSpot-Max-Total-Octets = 4294967295"}},
		{"chillispot quota beyond 4 GiB stays with the server", "chillispot", Plan{}, left(1<<32, 0), []string{}},

		{"cisco policies", "cisco", with(profiles, func(p *Plan) { p.AddressPool = "v4" }), nil,
			[]string{`Cisco-AVPair = "ip:sub-qos-policy-in=up-10"`, `Cisco-AVPair = "ip:sub-qos-policy-out=down-50"`, `Cisco-AVPair = "ip:addr-pool=v4"`}},

		{"huawei rates", "huawei", bursts, nil, []string{"Huawei-Input-Average-Rate = 10000000", "Huawei-Input-Peak-Rate = 20000000", "Huawei-Output-Average-Rate = 50000000", "Huawei-Output-Peak-Rate = 100000000"}},
		{"huawei leaves out what 31 bits cannot hold", "huawei", gigabit, nil, []string{"Huawei-Input-Average-Rate = 1000000000"}},
		{"huawei profile instead", "huawei", with(gigabit, func(p *Plan) { p.PolicyDown = "5G" }), nil, []string{`Huawei-Qos-Profile-Name = "5G"`}},

		{"h3c rates", "h3c", bursts, nil, []string{"H3C-Input-Average-Rate = 10000000", "H3C-Input-Peak-Rate = 20000000", "H3C-Output-Average-Rate = 50000000", "H3C-Output-Peak-Rate = 100000000"}},
		{"juniper policies", "erx", with(profiles, func(p *Plan) { p.AddressPool = "v4" }), nil,
			[]string{`ERX-Ingress-Policy-Name = "up-10"`, `ERX-Egress-Policy-Name = "down-50"`, `ERX-Address-Pool-Name = "v4"`}},
		{"nokia profile", "nokia", profiles, nil, []string{`Alc-SLA-Prof-Str = "down-50"`}},
		{"nokia rates in kbit/s", "nokia", rates, nil, []string{`Alc-Subscriber-QoS-Override = "i:a:10000"`, `Alc-Subscriber-QoS-Override = "e:a:50000"`}},
		{"zte in kbit/s", "zte", rates, nil, []string{"ZTE-Rate-Ctrl-SCR-Down = 50000", "ZTE-Rate-Ctrl-SCR-Up = 10000"}},
		{"zte in bit/s", "zte-bits", rates, nil, []string{"ZTE-Rate-Ctrl-SCR-Down = 50000000", "ZTE-Rate-Ctrl-SCR-Up = 10000000"}},
		{"zte profiles", "zte", profiles, nil, []string{`ZTE-QoS-Profile-Down = "down-50"`, `ZTE-QOS-Profile-Up = "up-10"`}},
		{"ikuai in kbit/s", "ikuai", rates, nil, []string{"RP-Upstream-Speed-Limit = 10000", "RP-Downstream-Speed-Limit = 50000"}},
		{"ikuai in 1000 octets a second", "ikuai-koctets", rates, nil, []string{"RP-Upstream-Speed-Limit = 1250", "RP-Downstream-Speed-Limit = 6250"}},
		{"a rate below the unit is not taken for none", "ikuai", Plan{RateUp: 10}, nil, []string{"RP-Upstream-Speed-Limit = 1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.ElementsMatch(t, test.want, replyOf(t, test.vendor, &test.plan, test.left))
		})
	}
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "template.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestTemplateFiles(t *testing.T) {
	t.Run("replaces a template that is built in", func(t *testing.T) {
		file := writeFile(t, "name: wispr\nrate_unit: kbit/s\nreply:\n  - {attribute: WISPr-Bandwidth-Max-Up, value: \"{rate_up}\"}\n")
		require.Equal(t, []string{"WISPr-Bandwidth-Max-Up = 5000"}, replyOf(t, "wispr", &Plan{RateUp: 5e6, RateDown: 5e6, FilterID: "f"}, nil, file))
	})
	t.Run("extends, without, constants", func(t *testing.T) {
		file := writeFile(t, `
name: Acme
aliases: [acme-os]
extends: [standard]
without: [Filter-Id]
reply:
  - {attribute: Service-Type, value: Framed-User}
  - {attribute: Reply-Message, op: ":=", value: "Plan {plan}"}
`)
		require.Equal(t, []string{"Idle-Timeout = 60", "Service-Type = Framed-User", `Reply-Message = "Plan fast"`},
			replyOf(t, "acme-OS", &Plan{Name: "fast", FilterID: "f", IdleTimeout: time.Minute}, nil, file))
	})
	t.Run("the example of docs/policy.md", func(t *testing.T) {
		doc, err := os.ReadFile("../docs/policy.md")
		require.NoError(t, err)
		_, example, ok := strings.Cut(string(doc), "```yaml\n")
		require.True(t, ok)
		example, _, ok = strings.Cut(example, "```")
		require.True(t, ok)
		file := writeFile(t, example)
		require.Equal(t, []string{"Service-Type = Framed-User", `Reply-Message = "Plan fast, 50M"`},
			replyOf(t, "acme-os", &Plan{Name: "fast", RateDown: 50e6, AddressPool: "left out"}, nil, file))
		require.Equal(t, []string{"Service-Type = Framed-User"}, replyOf(t, "acme", &Plan{Name: "fast", RateDown: 5e9, PolicyDown: "p"}, nil, file))
	})
	for name, test := range map[string]struct{ text, want string }{
		"not YAML":             {"name: [", "template.yaml"},
		"unknown key":          {"name: x\nreplies: []", "replies"},
		"no name":              {"reply: []", "no name"},
		"unknown base":         {"name: x\nextends: [nothing]", `unknown template "nothing"`},
		"circle":               {"name: x\nextends: [x]", "extends itself"},
		"without what is not":  {"name: x\nextends: [standard]\nwithout: [Class]", "without Class"},
		"unknown unit":         {"name: x\nrate_unit: baud", "rate_unit"},
		"unknown attribute":    {"name: x\nreply: [{attribute: Mikrotik-Rate, value: \"1\"}]", "did you mean"},
		"unknown variable":     {"name: x\nreply: [{attribute: Filter-Id, value: \"{speed}\"}]", `unknown variable "speed"`},
		"unknown format":       {"name: x\nreply: [{attribute: Filter-Id, value: \"{rate_up:m}\"}]", "unknown format"},
		"unsuitable format":    {"name: x\nreply: [{attribute: Filter-Id, value: \"{plan:k}\"}]", "does not suit"},
		"missing brace":        {"name: x\nreply: [{attribute: Filter-Id, value: \"{plan\"}]", "missing }"},
		"no value":             {"name: x\nreply: [{attribute: Filter-Id}]", "no value"},
		"comparing operator":   {"name: x\nreply: [{attribute: Filter-Id, op: \"==\", value: x}]", "does not reply"},
		"condition":            {"name: x\nreply: [{attribute: Filter-Id, value: x, when: [rate_up < 5]}]", "condition"},
		"condition's number":   {"name: x\nreply: [{attribute: Filter-Id, value: x, when: [rate_up <= five]}]", "not a number"},
		"text compared":        {"name: x\nreply: [{attribute: Filter-Id, value: x, when: [plan <= 5]}]", "not a number"},
		"alias taken":          {"name: x\naliases: [mikrotik]", "both called mikrotik"},
		"protocol's attribute": {"name: x\nreply: [{attribute: Proxy-State, value: x}]", "Access-Accept"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadTemplates(dictionary.Embedded(), writeFile(t, test.text))
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := LoadTemplates(dictionary.Embedded(), filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	templates, err := LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	for _, name := range []string{"standard", "mikrotik", "cisco", "huawei", "juniper-erx", "wispr", "chillispot", "h3c", "nokia"} {
		require.Contains(t, templates.Names(), name)
	}
}

func TestRepliesByVendor(t *testing.T) {
	w := newWorld(t)
	plan := w.store.putPlan(Plan{Name: "fast", RateUp: 1e6, RateDown: 2e6, QuotaOctets: 5 << 32,
		Items: []Item{replyItem("Tunnel-Password:1", ":=", "tunnel secret"), replyItem("Filter-Id", "=", "from item")}, FilterID: "from field"})
	w.addUser(User{Name: "alice", Credential: cleartext("x"), PlanID: plan.ID})
	reply := func(vendor string) answer {
		w.nas.Vendor = vendor
		w.store.putNAS(w.nas)
		w.refresh()
		return w.pap("alice", "x").accepted()
	}
	for range 2 { // made, then copied
		a := reply("mikrotik")
		require.Equal(t, "1M/2M", a.value("Mikrotik-Rate-Limit"))
		require.Equal(t, "5", a.value("Mikrotik-Total-Limit-Gigawords"))
		require.Equal(t, "from item", a.value("Filter-Id"))
		a = reply("wispr")
		require.Equal(t, "1000000", a.value("WISPr-Bandwidth-Max-Up"))
		require.Empty(t, a.value("Mikrotik-Rate-Limit"))
		a = reply("")
		require.Empty(t, a.value("WISPr-Bandwidth-Max-Up"))
	}

	plan.RateUp = 3e6
	w.store.putPlan(plan)
	require.Equal(t, "3M/2M", reply("mikrotik").value("Mikrotik-Rate-Limit"), "a changed plan is encoded anew")

	var m *radius.Message
	a := w.ask(func(message *radius.Message) {
		m = message
		m.AddString(radius.TypeUserName, "alice")
		require.NoError(t, m.AddUserPassword([]byte(testSecret), "x"))
	}).accepted()
	pairs, err := dictionary.Embedded().ParseWire(a.packet.Attributes(), radius.NewCipher([]byte(testSecret), m.RequestAuthenticator()))
	require.NoError(t, err)
	found := false
	for _, pair := range pairs {
		if pair.Attr.Name == "Tunnel-Password" {
			found = true
			require.EqualValues(t, 1, pair.Tag)
			require.Equal(t, "tunnel secret", strings.TrimRight(string(pair.Value), "\x00"))
		}
	}
	require.True(t, found)
}

// What limits a session reaches the NAS whether it comes from a plan or not.
func TestLimitsReachTheNASWithoutAPlan(t *testing.T) {
	w := newWorld(t)
	w.nas.Vendor = "mikrotik"
	w.store.putNAS(w.nas)
	quota := checkItem("Max-Daily-Octets", ":=", "1000")
	w.addUser(User{Name: "item", Credential: cleartext("x"), Items: []Item{quota}})
	require.Equal(t, "1000", w.pap("item", "x").accepted().value("Mikrotik-Total-Limit"))
	group := w.store.putGroup(Group{Name: "g", Items: []Item{quota}})
	w.addUser(User{Name: "member", Credential: cleartext("x"), Groups: []Membership{{group.ID, 1}}})
	require.Equal(t, "1000", w.pap("member", "x").accepted().value("Mikrotik-Total-Limit"))
	w.nas.Vendor = "wispr"
	w.store.putNAS(w.nas)
	w.addUser(User{Name: "guest", Credential: cleartext("x"), ExpiresAt: monday.Add(time.Hour)})
	require.Equal(t, "2026-03-02T13:00:00+00:00", w.pap("guest", "x").accepted().value("WISPr-Session-Terminate-Time"))
	w.addUser(User{Name: "plain", Credential: cleartext("x")})
	require.Empty(t, w.pap("plain", "x").accepted().text())
}

// A condition on what is left holds or not, however the reply is made.
func TestTemplateOfUnlimitedSessions(t *testing.T) {
	file := writeFile(t, "name: acme\nreply:\n  - {attribute: Filter-Id, value: unlimited, when: [\"!octets_left\"]}\n")
	templates, err := LoadTemplates(dictionary.Embedded(), file)
	require.NoError(t, err)
	w := newWorld(t, func(o *AccessOptions) { o.Templates = templates })
	w.nas.Vendor = "acme"
	w.store.putNAS(w.nas)
	free, limited := w.store.putPlan(Plan{Name: "free"}), w.store.putPlan(Plan{Name: "limited", QuotaOctets: 1000})
	for name, items := range map[string][]Item{"copied": nil, "merged": {replyItem("Idle-Timeout", ":=", "60")}} {
		w.addUser(User{Name: name, Credential: cleartext("x"), PlanID: free.ID, Items: items})
		require.Equal(t, "unlimited", w.pap(name, "x").accepted().value("Filter-Id"), name)
		w.addUser(User{Name: name + " limited", Credential: cleartext("x"), PlanID: limited.ID, Items: items})
		require.Empty(t, w.pap(name+" limited", "x").accepted().value("Filter-Id"), name)
	}
}

func TestReplyThatIsTooLong(t *testing.T) {
	w := newWorld(t)
	var items []Item
	for range 20 {
		items = append(items, replyItem("Reply-Message", "+=", strings.Repeat("x", 250)))
	}
	plan := w.store.putPlan(Plan{Name: "p", Items: items, SimultaneousUse: 1})
	w.addUser(User{Name: "alice", Credential: cleartext("x"), PlanID: plan.ID})
	a := w.pap("alice", "x").rejected()
	require.Equal(t, ReasonInternal, w.reason())
	require.Empty(t, a.text())
	reserved := w.limits.reservations()
	require.Len(t, reserved, 1)
	require.Equal(t, []Nonce{reserved[0].Nonce}, w.limits.releases(), "nothing comes of the place")
	require.Contains(t, w.log.String(), "reply cannot be made")
	for range 5 {
		w.pap("alice", "x").rejected()
	}
	require.Equal(t, 1, strings.Count(w.log.String(), "reply cannot be made"), "no line for each request")
}
