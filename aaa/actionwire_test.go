package aaa

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
	"radiusd/internal/testserver"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// wireSession has everything by which a session can be found.
func wireSession() Session {
	return Session{
		ID: uuid.New(), AcctSessionID: "8000abcd", AcctMultiSessionID: "m1", Username: "alice@example.net",
		NASAddr: netip.MustParseAddr("192.0.2.1"), NASIdentifier: "bras", NASPort: 7, NASPortID: "ether1",
		FramedIP: netip.MustParseAddr("198.51.100.7"), CallingStationID: "02-00-5E-00-53-01", CalledStationID: "hotspot",
	}
}

// TestActionRequests has what a request to the NAS of each vendor carries.
func TestActionRequests(t *testing.T) {
	templates, err := LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	session, now := wireSession(), time.Unix(1_700_000_000, 0)
	const (
		id, name = `Acct-Session-Id = "8000abcd"`, `User-Name = "alice@example.net"`
		ip       = `Framed-IP-Address = 198.51.100.7`
		station  = `Calling-Station-Id = "02-00-5E-00-53-01"`
		nasIP    = `NAS-IP-Address = 192.0.2.1`
		nasID    = `NAS-Identifier = "bras"`
	)
	for vendor, want := range map[string][2][]string{ // direct, through a proxy
		"":            {{id, name, ip, station}, {id, name, ip, station, nasIP, nasID}},
		"mikrotik":    {{id, name, ip}, {id, name, ip}},
		"cisco":       {{id, name}, {id, name, nasIP, nasID}},
		"juniper-erx": {{id, name}, {id, name}},
		"huawei":      {{id, name, nasIP, ip}, {id, name, nasIP, ip}},
		"h3c":         {{id, name, nasIP, ip}, {id, name, nasIP, ip}},
		"nokia":       {{id, name}, {id, name}},
		"chillispot":  {{name, id}, {name, id}},
		"zte":         {{id, name, ip, station}, {id, name, ip, station, nasIP, nasID}},
		"ikuai":       {{id, name, ip, station}, {id, name, ip, station, nasIP, nasID}},
	} {
		for i, to := range []string{"192.0.2.1", "203.0.113.1"} {
			m, err := templates.actionRequest(dictionary.Embedded(), &NAS{Vendor: vendor}, &session, &SessionAction{}, netip.MustParseAddr(to), now)
			require.NoError(t, err)
			assert.Equal(t, radius.DisconnectRequest, m.Code)
			assert.Equal(t, append(want[i], `Event-Timestamp = 1700000000`), pairTexts(t, m.Attributes), "%q to %s", vendor, to)
		}
	}
	m, err := templates.actionRequest(dictionary.Embedded(), &NAS{Vendor: "cisco"}, &session, &SessionAction{
		Kind: ActionCoA, Attributes: []Item{
			{Attribute: "Session-Timeout", Op: ":=", Value: "60"}, {Attribute: "Session-Timeout", Op: "=", Value: "600"},
			{Attribute: "Cisco-AVPair", Op: "+=", Value: "a=1"}, {Attribute: "Cisco-AVPair", Op: "+=", Value: "b=2"},
		},
	}, netip.MustParseAddr("192.0.2.1"), now)
	require.NoError(t, err)
	assert.Equal(t, radius.CoARequest, m.Code)
	assert.Equal(t, []string{id, name, `Session-Timeout = 600`, `Cisco-AVPair = "a=1"`, `Cisco-AVPair = "b=2"`, `Event-Timestamp = 1700000000`}, pairTexts(t, m.Attributes))
}

// pairTexts are attributes as text; a time is its number.
func pairTexts(t *testing.T, wire []byte) []string {
	t.Helper()
	pairs, err := dictionary.Embedded().ParseWire(wire, nil)
	require.NoError(t, err)
	var list []string
	for _, p := range pairs {
		if p.Attr.Name == "Event-Timestamp" {
			n, _ := p.Uint()
			list = append(list, fmt.Sprintf("Event-Timestamp = %d", n))
			continue
		}
		list = append(list, p.String())
	}
	return list
}

func TestValidateChange(t *testing.T) {
	for attribute, want := range map[string]string{
		"Session-Timeout := 600":            "",
		"Mikrotik-Rate-Limit := 1M/2M":      "",
		"Class := 0x01":                     "",
		"Framed-IP-Address := 192.0.2.1":    "identifies the session",
		"User-Name := bob":                  "identifies the session",
		"Tunnel-Password := x":              "encrypted",
		"Event-Timestamp := 1":              "added to every request",
		"Message-Authenticator := 0x00":     "does not belong",
		"Acct-Session-Time := 1":            "does not belong",
		"Error-Cause := 503":                "does not belong",
		"Session-Timeout == 600":            "",
		"Session-Timeout < 600":             "does not reply",
		"No-Such-Attribute := 1":            "unknown",
		"Fall-Through := Yes":               "policy only",
		"Simultaneous-Use := 1":             "never goes into a packet",
		"Session-Timeout := soon":           "",
		"Filter-Id := %{User-Name}":         "expansions",
		"Session-Timeout := 99999999999999": "",
	} {
		fields := strings.SplitN(attribute, " ", 3)
		err := ValidateChange(dictionary.Embedded(), []Item{{Attribute: fields[0], Op: fields[1], Value: fields[2]}})
		switch {
		case strings.HasSuffix(attribute, "soon"), strings.HasSuffix(attribute, "9999"):
			assert.Error(t, err, attribute)
		case want == "":
			assert.NoError(t, err, attribute)
		default:
			assert.ErrorContains(t, err, want, attribute)
		}
	}
	assert.Error(t, ValidateChange(dictionary.Embedded(), nil))
}

func TestPlanChange(t *testing.T) {
	templates, err := LoadTemplates(dictionary.Embedded(), writeTemplate(t, "name: old\nextends: [mikrotik]\ncoa: {disconnect_only: true}\n"))
	require.NoError(t, err)
	slow := &Plan{Name: "slow", RateUp: 1e6, RateDown: 2e6, AddressPool: "a", FilterID: "f"}
	fast := &Plan{Name: "fast", RateUp: 10e6, RateDown: 20e6, AddressPool: "b", FilterID: "f", SessionTimeout: time.Hour}
	free := &Plan{Name: "free", FilterID: "f"}
	user := &User{Items: []Item{{Kind: ReplyItem, Attribute: "Mikrotik-Rate-Limit", Op: ":=", Value: "9M/9M"}}}
	group := Group{Items: []Item{{Kind: ReplyItem, Attribute: "Filter-Id", Op: ":=", Value: "g"}}}
	for _, test := range []struct {
		name, vendor string
		change       PlanChange
		want         []string
		kind         ActionKind
		reason       string
	}{
		{name: "faster", vendor: "mikrotik", change: PlanChange{Old: slow, New: fast}, kind: ActionCoA,
			want: []string{"Session-Timeout += 3600", "Filter-Id += f", "Mikrotik-Rate-Limit += 10M/20M"}},
		{name: "the same", vendor: "mikrotik", change: PlanChange{Old: slow, New: slow}},
		{name: "only the pool differs", change: PlanChange{Old: &Plan{AddressPool: "a"}, New: &Plan{AddressPool: "b"}}},
		{name: "the old one is not known", vendor: "mikrotik", change: PlanChange{New: free}, kind: ActionCoA, want: []string{"Filter-Id += f"}},
		{name: "not limited any more", vendor: "mikrotik", change: PlanChange{Old: slow, New: free}, kind: ActionDisconnect, reason: "Mikrotik-Rate-Limit"},
		{name: "the user has its own", vendor: "mikrotik", change: PlanChange{User: user, Old: slow, New: free}},
		{name: "user and group", vendor: "mikrotik", change: PlanChange{User: user, Groups: []Group{group}, Old: slow, New: fast}, kind: ActionCoA,
			want: []string{"Session-Timeout += 3600"}},
		{name: "no CoA", vendor: "old", change: PlanChange{Old: slow, New: fast}, kind: ActionDisconnect, reason: "takes no CoA-Requests"},
	} {
		t.Run(test.name, func(t *testing.T) {
			nas := NAS{ID: uuid.New(), Vendor: test.vendor, Prefix: netip.MustParsePrefix("192.0.2.1/32")}
			planned, err := templates.PlanChange(dictionary.Embedded(), &nas, test.change)
			require.NoError(t, err)
			var got []string
			for _, item := range planned.Attributes {
				got = append(got, item.Attribute+" "+item.Op+" "+item.Value)
			}
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.kind, planned.Kind)
			assert.Contains(t, planned.Reason, test.reason)
			assert.Equal(t, test.want != nil || test.reason != "", planned.Needed)
			if test.want != nil {
				assert.NoError(t, ValidateChange(dictionary.Embedded(), planned.Attributes), "it can be sent")
			}
		})
	}
}

func writeTemplate(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestCoATemplateErrors(t *testing.T) {
	for text, want := range map[string]string{
		"coa: {identify: [{attribute: Class}]}":                                     "does not identify a session",
		"coa: {identify: [{attribute: User-Name, value: x}]}":                       "takes no value",
		"coa: {identify: [{attribute: Cisco-AVPair}]}":                              "needs a value",
		"coa: {identify: [{attribute: Cisco-AVPair, value: 'a={nas}'}]}":            `unknown variable "nas"`,
		"coa: {identify: [{attribute: Nothing}]}":                                   "Nothing",
		"coa: {without: [Nothing]}":                                                 "Nothing",
		"coa: {identify: [{attribute: MS-MPPE-Send-Key, value: '{username}'}]}":     "encrypted",
		"coa: {identify: [{attribute: User-Name, sometimes: true}]}":                "sometimes",
		"coa: {identify: [{attribute: Cisco-AVPair, value: 'a={acct_session_id'}]}": "unknown variable",
	} {
		_, err := LoadTemplates(dictionary.Embedded(), writeTemplate(t, "name: x\nextends: [standard]\n"+text+"\n"))
		assert.ErrorContains(t, err, want, text)
	}
	templates, err := LoadTemplates(dictionary.Embedded(), writeTemplate(t,
		"name: x\nextends: [standard]\ncoa: {identify: [{attribute: Cisco-AVPair, value: 'id={acct_session_id};ip={framed_ip}'}, {attribute: Cisco-AVPair, value: 'm={nas_identifier}'}]}\n"))
	require.NoError(t, err)
	s := wireSession()
	s.NASIdentifier = ""
	m, err := templates.actionRequest(dictionary.Embedded(), &NAS{Vendor: "x"}, &s, &SessionAction{}, s.NASAddr, time.Unix(1, 0))
	require.NoError(t, err)
	assert.Equal(t, []string{`Cisco-AVPair = "id=8000abcd;ip=198.51.100.7"`, "Event-Timestamp = 1"}, pairTexts(t, m.Attributes))
}

// Our requests are octet for octet what FreeRADIUS's radclient makes of the same
// attributes.
func TestActionRequestIsRadclients(t *testing.T) {
	path := testserver.Program(t, "radclient")
	templates, err := LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	nas := radiustest.NewDynamic(t, "127.0.0.1", func(radius.Packet) radiustest.DynamicAnswer { return radiustest.ACK() })
	session := wireSession()
	for kind, command := range map[ActionKind]string{ActionDisconnect: "disconnect", ActionCoA: "coa"} {
		for _, vendor := range []string{"", "mikrotik", "huawei"} {
			m, err := templates.actionRequest(dictionary.Embedded(), &NAS{Vendor: vendor}, &session, &SessionAction{
				Kind: kind, Attributes: []Item{{Attribute: "Session-Timeout", Op: ":=", Value: "600"}, {Attribute: "Mikrotik-Rate-Limit", Op: ":=", Value: "1M/2M"}},
			}, netip.MustParseAddr("203.0.113.1"), time.Unix(1_700_000_000, 0))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			cmd := exec.CommandContext(ctx, path, "-r", "1", "-t", "5", nas.Addr, command, radiustest.Secret)
			cmd.Stdin = strings.NewReader("Message-Authenticator = 0x00\n" + strings.Join(pairTexts(t, m.Attributes), "\n") + "\n")
			out, err := cmd.CombinedOutput()
			cancel()
			require.NoError(t, err, "%s", out)
			theirs := <-nas.Requests
			assert.True(t, theirs.Verified)
			ours, err := m.AppendTo(nil, theirs.Packet.Identifier(), radius.NewHasher([]byte(radiustest.Secret)))
			require.NoError(t, err)
			assert.Equal(t, []byte(theirs.Packet), ours, "%s %s", command, vendor)
		}
	}
}

// coaListener runs FreeRADIUS as a NAS: alice's sessions can be ended and changed,
// others are not known. It returns its address.
func coaListener(t *testing.T) netip.AddrPort {
	t.Helper()
	path := testserver.Program(t, "freeradius")
	dir := t.TempDir()
	port := testserver.Port(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "radiusd.conf"), []byte(fmt.Sprintf(`
prefix = /usr
libdir = /usr/lib/freeradius
logdir = %[1]s
run_dir = %[1]s
pidfile = %[1]s/pid
proxy_requests = no
thread pool {
	start_servers = 1
	max_servers = 2
}
modules {
	always reject {
		rcode = reject
	}
}
client nas {
	ipaddr = 127.0.0.1
	secret = %[2]s
}
server coa {
	listen {
		type = coa
		ipaddr = 127.0.0.1
		port = %[3]d
		virtual_server = coa
	}
	recv-coa {
		if (&User-Name != "alice@example.net") {
			update reply {
				Error-Cause := Session-Context-Not-Found
			}
			reject
		}
		if (&Session-Timeout && &Session-Timeout > 86400) {
			update reply {
				Error-Cause := Invalid-Attribute-Value
			}
			reject
		}
	}
}
`, dir, radiustest.Secret, port)), 0o600))
	cmd := exec.Command(path, "-f", "-X", "-d", dir)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	ready, ended := make(chan struct{}), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if log.Len() < 1<<20 {
				log.WriteString(lines.Text() + "\n")
			}
			if strings.HasPrefix(lines.Text(), "Ready to process requests") {
				select {
				case <-ready:
				default:
					close(ready)
				}
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(log.String())
		}
	})
	select {
	case <-ready:
	case <-ended:
		require.FailNow(t, "FreeRADIUS ended")
	case <-time.After(2 * time.Minute):
		require.FailNow(t, "FreeRADIUS is not ready")
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}

// FreeRADIUS's listener takes our requests, and we its answers.
func TestActionsAgainstFreeRADIUS(t *testing.T) {
	address := coaListener(t)
	templates, err := LoadTemplates(dictionary.Embedded())
	require.NoError(t, err)
	client := &radius.Client{MaxDuration: time.Minute}
	defer client.Close()
	ask := func(kind ActionKind, user, secret string, attributes ...Item) (ActionState, radius.ErrorCause, string) {
		session := wireSession()
		session.Username, session.NASAddr = user, address.Addr()
		a := Actions{options: ActionsOptions{
			Client: client, Templates: templates, Dictionary: dictionary.Embedded(), Now: time.Now, Timeout: time.Minute,
			NASes: NASList{{Prefix: netip.MustParsePrefix("127.0.0.1/32"), Secret: []byte(secret), CoAPort: address.Port()}},
		}}
		a.metrics, err = newActionMetrics(nil)
		require.NoError(t, err)
		if secret != radiustest.Secret {
			a.options.Timeout = 300 * time.Millisecond
		}
		outcome := a.perform(t.Context(), &ClaimedAction{SessionAction: SessionAction{Kind: kind, Attributes: attributes}, Session: &session})
		return outcome.State, outcome.ErrorCause, outcome.Detail
	}
	timeout := func(seconds string) Item { return Item{Attribute: "Session-Timeout", Op: ":=", Value: seconds} }
	for _, test := range []struct {
		name   string
		kind   ActionKind
		user   string
		secret string
		items  []Item
		state  ActionState
		cause  radius.ErrorCause
	}{
		{"disconnected", ActionDisconnect, "alice@example.net", radiustest.Secret, nil, ActionAcknowledged, 0},
		{"changed", ActionCoA, "alice@example.net", radiustest.Secret, []Item{timeout("600")}, ActionAcknowledged, 0},
		{"refused", ActionCoA, "alice@example.net", radiustest.Secret, []Item{timeout("90000")}, ActionRefused, radius.ErrorCauseInvalidAttributeValue},
		{"not known", ActionDisconnect, "bob", radiustest.Secret, nil, ActionGone, radius.ErrorCauseSessionContextNotFound},
		{"another secret", ActionDisconnect, "alice@example.net", "another", nil, ActionUnanswered, 0},
	} {
		state, cause, detail := ask(test.kind, test.user, test.secret, test.items...)
		assert.Equal(t, test.state, state, "%s: %s", test.name, detail)
		assert.Equal(t, test.cause, cause, test.name)
	}
}
