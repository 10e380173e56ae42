package aaa

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
)

func checkItem(attribute, op, value string) Item { return Item{CheckItem, attribute, op, value} }
func replyItem(attribute, op, value string) Item { return Item{ReplyItem, attribute, op, value} }

func queryOf(t testing.TB, attributes string) *query {
	t.Helper()
	dict := dictionary.Embedded()
	pairs, err := dict.ParsePairs(attributes)
	require.NoError(t, err)
	wire, err := dict.AppendWire(nil, pairs, nil)
	require.NoError(t, err)
	return &query{
		attributes: wire, dict: dict, source: netip.MustParseAddr("192.0.2.7"),
		nas: &NAS{Name: "core", Prefix: netip.MustParsePrefix("192.0.2.7/32")},
	}
}

func TestChecks(t *testing.T) {
	request := `NAS-Port = 17, NAS-Port-Type = Ethernet, Calling-Station-Id = "00-1A-2B-3C-4D-5E", Called-Station-Id = "02-00-00-00-00-01:guest",
		NAS-Identifier = "bras-1", NAS-IP-Address = 10.1.2.3, Framed-IP-Address = 10.9.8.7, Tunnel-Type:1 = VLAN, Tunnel-Private-Group-Id:1 = "12",
		Cisco-AVPair = "client-mac-address=001a.2b3c.4d5e", Cisco-AVPair = "circuit=3", User-Name = "alice@example.net", Event-Timestamp = 1700000000`
	tests := []struct {
		name                 string
		attribute, op, value string
		holds                bool
	}{
		{"== equal", "NAS-Port", "==", "17", true},
		{"== not equal", "NAS-Port", "==", "18", false},
		{"== by value name", "NAS-Port-Type", "==", "Ethernet", true},
		{"== by value number", "NAS-Port-Type", "==", "15", true},
		{"== absent", "NAS-Port-Id", "==", "x", false},
		{"= compares too", "NAS-Port", "=", "18", false},
		{"!= other", "NAS-Port", "!=", "18", true},
		{"!= same", "NAS-Port", "!=", "17", false},
		{"!= absent does not hold, as in FreeRADIUS", "NAS-Port-Id", "!=", "x", false},
		{"< above", "NAS-Port", "<", "18", true},
		{"< equal", "NAS-Port", "<", "17", false},
		{"<= equal", "NAS-Port", "<=", "17", true},
		{"> below", "NAS-Port", ">", "16", true},
		{"> equal", "NAS-Port", ">", "17", false},
		{">= equal", "NAS-Port", ">=", "17", true},
		{">= above", "NAS-Port", ">=", "18", false},
		{"< compares numbers, not text", "NAS-Port", "<", "100", true},
		{"> on a date", "Event-Timestamp", ">", "1600000000", true},
		{"=~ matches a part", "User-Name", "=~", "@example\\.net$", true},
		{"=~ is anchored where asked", "User-Name", "=~", "^bob", false},
		{"=~ on a number's name", "NAS-Port-Type", "=~", "^Ether", true},
		{"!~ no match", "User-Name", "!~", "^bob", true},
		{"!~ match", "User-Name", "!~", "alice", false},
		{"!~ absent does not hold", "NAS-Port-Id", "!~", "x", false},
		{"=* present", "NAS-Port", "=*", "", true},
		{"=* absent", "NAS-Port-Id", "=*", "", false},
		{"!* absent", "NAS-Port-Id", "!*", "", true},
		{"!* present", "NAS-Port", "!*", "", false},
		{"station by normal form", "Calling-Station-Id", "==", "001a.2b3c.4d5e", true},
		{"another station", "Calling-Station-Id", "==", "001a.2b3c.4d5f", false},
		{"not this station", "Calling-Station-Id", "!=", "001A2B3C4D5E", false},
		{"called station in full", "Called-Station-Id", "==", "02-00-00-00-00-01:guest", true},
		{"called station's SSID", "Called-Station-Id", "=~", ":guest$", true},
		{"any of several values", "Cisco-AVPair", "==", "circuit=3", true},
		{"none of several values", "Cisco-AVPair", "==", "circuit=4", false},
		{"address", "NAS-IP-Address", "==", "10.1.2.3", true},
		{"address in a prefix", "NAS-IP-Address", "==", "10.0.0.0/8", true},
		{"address outside a prefix", "Framed-IP-Address", "==", "10.1.0.0/16", false},
		{"address not in a prefix", "Framed-IP-Address", "!=", "10.1.0.0/16", true},
		{"order of addresses", "Framed-IP-Address", ">", "10.9.8.0", true},
		{"tagged attribute", "Tunnel-Type:1", "==", "VLAN", true},
		{"another tag", "Tunnel-Type:2", "==", "VLAN", false},
		{"any tag", "Tunnel-Private-Group-Id", "==", "12", true},
		{"name of the NAS", "Huntgroup-Name", "==", "core", true},
		{"another NAS", "NAS-Name", "==", "edge", false},
		{"name of the NAS by pattern", "Client-Shortname", "=~", "^(core|spine)$", true},
		{"source address", "Packet-Src-IP-Address", "==", "192.0.2.0/24", true},
		{"another source", "Packet-Src-IP-Address", "==", "192.0.2.8", false},
		{":= sets and does not compare", "NAS-Port", ":=", "99", true},
		{"+= sets and does not compare", "NAS-Port", "+=", "99", true},
		{"quotes around the value", "User-Name", "==", `"alice@example.net"`, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := compilePolicy(dictionary.Embedded(), []Item{checkItem(test.attribute, test.op, test.value)})
			require.NoError(t, p.err)
			failed := p.failed(queryOf(t, request))
			require.Equal(t, test.holds, failed == nil)
		})
	}
}

func TestNASAddressIsTheSourceWhenNotSent(t *testing.T) {
	p := compilePolicy(dictionary.Embedded(), []Item{checkItem("NAS-IP-Address", "==", "192.0.2.7")})
	require.NoError(t, p.err)
	require.Nil(t, p.failed(queryOf(t, "NAS-Port = 1")))
	require.NotNil(t, p.failed(queryOf(t, "NAS-IP-Address = 10.0.0.1")))
}

func TestReasonsOfChecks(t *testing.T) {
	for attribute, want := range map[string]Reason{
		"NAS-IP-Address": ReasonNASNotAllowed, "NAS-Identifier": ReasonNASNotAllowed, "Huntgroup-Name": ReasonNASNotAllowed,
		"Calling-Station-Id": ReasonStationNotAllowed, "NAS-Port": ReasonCheckFailed, "User-Name": ReasonCheckFailed,
	} {
		t.Run(attribute, func(t *testing.T) {
			p := compilePolicy(dictionary.Embedded(), []Item{checkItem(attribute, "=~", "never")})
			require.NoError(t, p.err)
			failed := p.failed(queryOf(t, "NAS-Port = 1"))
			require.NotNil(t, failed)
			require.Equal(t, want, failed.reason)
		})
	}
}

func TestValidateItems(t *testing.T) {
	tests := []struct {
		name string
		item Item
		want string // empty: fine
	}{
		{"fine", checkItem("NAS-Port", "==", "1"), ""},
		{"control item", checkItem("Simultaneous-Use", ":=", "2"), ""},
		{"control item in lower case", checkItem("simultaneous-use", ":=", "2"), ""},
		{"unknown attribute", checkItem("NAS-Prot", "==", "1"), "did you mean"},
		{"unknown operator", checkItem("NAS-Port", "=>", "1"), "unknown operator"},
		{"not a number", checkItem("NAS-Port", "==", "one"), "NAS-Port"},
		{"not a value", checkItem("NAS-Port-Type", "==", "Pigeon"), "NAS-Port-Type"},
		{"order of text", checkItem("User-Name", "<", "m"), "needs a number"},
		{"broken pattern", checkItem("User-Name", "=~", "("), "regular expression"},
		{"prefix of a text", checkItem("NAS-Port", "==", "10.0.0.0/8"), "NAS-Port"},
		{"order against a prefix", checkItem("NAS-IP-Address", "<", "10.0.0.0/8"), "prefix"},
		{"password compared", checkItem("User-Password", "==", "canary"), "credential"},
		{"password as an item", checkItem("Cleartext-Password", ":=", "canary"), "credential"},
		{"internal attribute compared", checkItem("Pool-Name", "==", "x"), "not in a request"},
		{"login hours", checkItem("Login-Time", ":=", "Xx"), "login hours"},
		{"expiration", checkItem("Expiration", ":=", "soon"), "not a date"},
		{"authentication type", checkItem("Auth-Type", ":=", "Kerberos"), "unknown type"},
		{"quota", checkItem("Max-Daily-Session", ":=", "-1"), "whole number"},
		{"control item with an order", checkItem("Simultaneous-Use", "<", "2"), "does not set it"},
		{"reply", replyItem("Framed-IP-Address", "=", "10.0.0.1"), ""},
		{"reply with a tag", replyItem("Tunnel-Type:1", "=", "VLAN"), ""},
		{"reply of an encrypted attribute", replyItem("Tunnel-Password:1", "=", "x"), ""},
		{"reply with ==", replyItem("Framed-IP-Address", "==", "10.0.0.1"), ""},
		{"reply with an expansion", replyItem("Filter-Id", "=", "%{User-Name}.in"), "expansions"},
		{"reply with an order", replyItem("Session-Timeout", ">", "1"), "does not reply"},
		{"reply that the protocol makes", replyItem("Message-Authenticator", "=", "0x00"), "Access-Accept"},
		{"reply that is a password", replyItem("User-Password", "=", "canary"), "Access-Accept"},
		{"reply of an internal attribute", replyItem("Simultaneous-Use", ":=", "1"), "never goes into a packet"},
		{"reply that MS-CHAP makes", replyItem("MS-MPPE-Send-Key", "=", "canary"), "made by MS-CHAP"},
		{"reply too long", replyItem("Filter-Id", "=", string(make([]byte, 300))), "Filter-Id"},
		{"fall through", replyItem("Fall-Through", "=", "Yes"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := ValidateItems(dictionary.Embedded(), []Item{checkItem("NAS-Port", "==", "1"), test.item})
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "canary")
			var compileError *CompileError
			require.ErrorAs(t, err, &compileError)
			require.Equal(t, test.item, compileError.Item)
		})
	}
}

func TestValidatePlan(t *testing.T) {
	dict := dictionary.Embedded()
	require.NoError(t, (&Plan{Name: "basic", LoginHours: "Wk0800-1800"}).Validate(dict))
	require.ErrorContains(t, (&Plan{LoginHours: "sometimes"}).Validate(dict), "login hours")
	require.ErrorContains(t, (&Plan{IPv6Pool: "p", DelegatedIPv6Pool: "p"}).Validate(dict), "must differ")
	err := (&Plan{LoginHours: "sometimes", Items: []Item{checkItem("X", "==", "1")}}).Validate(dict)
	require.ErrorContains(t, err, "login hours")
	require.ErrorContains(t, err, "unknown attribute")
}

func TestReplyPrecedence(t *testing.T) {
	type level = []Item
	f := func(op, value string) Item { return replyItem("Filter-Id", op, value) }
	m := func(op, value string) Item { return replyItem("Reply-Message", op, value) }
	tests := []struct {
		name   string
		levels []level // the highest precedence first
		want   string
	}{
		{"one level", []level{{f("=", "a")}}, `Filter-Id = "a"`},
		{"= does not add a second", []level{{f("=", "a"), f("=", "b")}}, `Filter-Id = "a"`},
		{":= replaces on its level", []level{{f("=", "a"), f(":=", "b")}}, `Filter-Id = "b"`},
		{"+= adds", []level{{f("=", "a"), f("+=", "b")}}, `Filter-Id = "a", Filter-Id = "b"`},
		{"+= after :=", []level{{f(":=", "a"), f("+=", "b")}}, `Filter-Id = "a", Filter-Id = "b"`},
		{"user over group with =", []level{{f("=", "user")}, {f("=", "group")}}, `Filter-Id = "user"`},
		{"user over group with :=", []level{{f(":=", "user")}, {f(":=", "group")}}, `Filter-Id = "user"`},
		{"the group's := does not replace the user's =", []level{{f("=", "user")}, {f(":=", "group")}}, `Filter-Id = "user"`},
		{"the group's += adds to the user's =", []level{{f("=", "user")}, {f("+=", "group")}}, `Filter-Id = "user", Filter-Id = "group"`},
		{"the user's := shuts out the group's +=", []level{{f(":=", "user")}, {f("+=", "group")}}, `Filter-Id = "user"`},
		{"the user's += beside the plan's :=", []level{{f("+=", "user")}, {f(":=", "plan")}}, `Filter-Id = "user"`},
		{"three levels", []level{{m("+=", "user")}, {f("=", "group"), m("+=", "group")}, {f(":=", "plan"), m("+=", "plan")}},
			`Reply-Message = "user", Filter-Id = "group", Reply-Message = "group", Reply-Message = "plan"`},
		{"tags are apart", []level{{replyItem("Tunnel-Type:1", ":=", "VLAN")}, {replyItem("Tunnel-Type:1", ":=", "L2TP"), replyItem("Tunnel-Type:2", ":=", "L2TP")}},
			`Tunnel-Type:1 = VLAN, Tunnel-Type:2 = L2TP`},
		{":= twice on one level", []level{{f(":=", "a"), f(":=", "b")}}, `Filter-Id = "b"`},
		{":= removes all of its level", []level{{f("=", "a"), f("+=", "b"), m("=", "x"), f(":=", "c")}}, `Reply-Message = "x", Filter-Id = "c"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var list replyList
			for _, items := range test.levels {
				p := compilePolicy(dictionary.Embedded(), items)
				require.NoError(t, p.err)
				list.add(p.replies)
			}
			require.Equal(t, test.want, string(dictionary.AppendPairs(nil, list.pairs, ", ")))
		})
	}
}

func TestControlPrecedence(t *testing.T) {
	compile := func(items ...Item) *controls {
		p := compilePolicy(dictionary.Embedded(), items)
		require.NoError(t, p.err)
		return p.controls
	}
	c := compile(checkItem("Simultaneous-Use", ":=", "3"), checkItem("Auth-Type", ":=", "PAP"))
	lower := compile(checkItem("Simultaneous-Use", ":=", "1"), checkItem("Max-Daily-Session", ":=", "3600"), checkItem("Auth-Type", ":=", "Reject"))
	c.inherit(lower)
	require.Equal(t, 3, c.simultaneousUse)
	require.EqualValues(t, 3600, c.seconds[PeriodDay])
	require.Equal(t, authTypeCheck, c.authType, "the higher level's Auth-Type wins whole")
	require.True(t, c.methods.Has(MethodPAP))
	require.False(t, c.methods.Has(MethodCHAP))

	c = compile(checkItem("Simultaneous-Use", ":=", "3"), checkItem("Simultaneous-Use", "=", "5"))
	require.Equal(t, 3, c.simultaneousUse, "= leaves what is set")
	c = compile(checkItem("Simultaneous-Use", ":=", "3"), checkItem("Simultaneous-Use", ":=", "5"))
	require.Equal(t, 5, c.simultaneousUse)
}
