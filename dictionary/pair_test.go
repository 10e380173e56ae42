package dictionary

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParsePairs(t *testing.T) {
	d := Embedded()
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"comments only", " # nothing\n\t#here either", ""},
		{"bare words", "User-Name=bob,NAS-Port=1", `User-Name = "bob", NAS-Port = 1`},
		{"lines", "User-Name = bob\r\nNAS-Port = 1\n\n", `User-Name = "bob", NAS-Port = 1`},
		{"comma at the end of lines", "User-Name = bob,\nNAS-Port = 1,\n", `User-Name = "bob", NAS-Port = 1`},
		{"comments", "# first\nUser-Name = bob # who\nNAS-Port = 1", `User-Name = "bob", NAS-Port = 1`},
		{"hash in a word and in quotes", `Filter-Id = a#b, Class = "#c"`, `Filter-Id = "a#b", Class = 0x2363`},
		{"any case", "user-name = bob, SERVICE-TYPE = framed-user", `User-Name = "bob", Service-Type = Framed-User`},
		{"old name", "Framed-Address = 10.0.0.1", `Framed-Address = 10.0.0.1`},
		{"double quotes", `Reply-Message = "a, b # \"c\" \\ \t\n\r\x41\101"`, `Reply-Message = "a, b # \"c\" \\ \t\n\rAA"`},
		{"single quotes", `Reply-Message = 'a "b" \n \' \\'`, `Reply-Message = "a \"b\" \\n ' \\"`},
		{"quoted number", `NAS-Port = "5"`, `NAS-Port = 5`},
		{"empty string", `Reply-Message = ""`, `Reply-Message = ""`},
		{"what is not printable", `Reply-Message = "\000\377ü€\x7f"`, `Reply-Message = "\000\377ü€\177"`},
		{"tag", `Tunnel-Type:1 = VLAN, Tunnel-Type:0 = VLAN, Tunnel-Type:31:=VLAN`,
			`Tunnel-Type:1 = VLAN, Tunnel-Type = VLAN, Tunnel-Type:31 := VLAN`},
		{"hexadecimal", `Class = 0x0A0b, NAS-Port = 0x10`, `Class = 0x0a0b, NAS-Port = 16`},
		{"operators",
			`NAS-Port = 1, NAS-Port := 1, NAS-Port += 1, NAS-Port == 1, NAS-Port != 1, NAS-Port < 1, NAS-Port > 1, NAS-Port <= 1, NAS-Port >= 1`,
			`NAS-Port = 1, NAS-Port := 1, NAS-Port += 1, NAS-Port == 1, NAS-Port != 1, NAS-Port < 1, NAS-Port > 1, NAS-Port <= 1, NAS-Port >= 1`},
		{"operators without spaces", `NAS-Port:=1,NAS-Port<=1,NAS-Port!=1,NAS-Port+=1`, `NAS-Port := 1, NAS-Port <= 1, NAS-Port != 1, NAS-Port += 1`},
		{"pattern", `NAS-Port =~ "^1[0-9]$", User-Name !~ @x`, `NAS-Port =~ "^1[0-9]$", User-Name !~ "@x"`},
		{"presence", `NAS-Port =* ANY, User-Name !* ""`, `NAS-Port =* ANY, User-Name !* ANY`},
		{"date", `Expiration := "1 Jan 2030"`, `Expiration := "Jan  1 2030 00:00:00 UTC"`},
		{"numbers for names", `1 = bob, 26.9.1 = "a=b", Attr-26.9.1 = 0x01, 26.9 = 0x02`,
			`User-Name = "bob", Cisco-AVPair = "a=b", Attr-26.9.1 = 0x01, Attr-26.9 = 0x02`},
		{"value name with odd characters", `DSL-Transmission-System = ADSL2+`, `DSL-Transmission-System = ADSL2+`},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs, err := d.ParsePairs(c.text)
			require.NoError(t, err)
			text := string(AppendPairs(nil, pairs, ", "))
			assert.Equal(t, c.want, text)
			again, err := d.ParsePairs(string(AppendPairs(nil, pairs, "\n")))
			require.NoError(t, err)
			assert.Equal(t, text, string(AppendPairs(nil, again, ", ")))
		})
	}
}

func TestParsePairsErrors(t *testing.T) {
	d := Embedded()
	for _, c := range []struct{ text, says string }{
		{"User-Name", `line 1, column 1: attribute User-Name: expected an operator such as =, found ""`},
		{"User-Name = ", `line 1, column 13: attribute User-Name: expected a value; an empty one is written as ""`},
		{"User-Name = # who", `line 1, column 13: attribute User-Name: expected a value; an empty one is written as ""`},
		{"User-Name ~ x", `line 1, column 1: attribute User-Name: expected an operator such as =, found "~ "`},
		{"User-Name = a b", `line 1, column 15: after User-Name: expected a comma or the end of the line`},
		{"User-Name = \"a", `line 1, column 13: attribute User-Name: missing the closing "`},
		{`User-Name = "\q"`, `line 1, column 13: attribute User-Name: unknown escape \q`},
		{`User-Name = "\xzz"`, `line 1, column 13: attribute User-Name: escape \x needs two hexadecimal digits`},
		{`User-Name = "\19"`, `line 1, column 13: attribute User-Name: escape \1 needs three octal digits`},
		{"= x", `line 1, column 1: expected an attribute, found "="`},
		{"NAS-Port = 1\n\n  NAS-Port = one", `line 3, column 14: NAS-Port: "one" is not a number`},
		{"Reply-Message = ä, Usr-Name = x", `line 1, column 20: unknown attribute "Usr-Name", did you mean User-Name`},
		{"Tunnel-Type:32 = VLAN", `line 1, column 1: attribute Tunnel-Type: tag "32" is not from 0 to 31`},
		{"Tunnel-Type:x = VLAN", `line 1, column 1: attribute Tunnel-Type: tag "x" is not from 0 to 31`},
		{"User-Name:1 = x", `line 1, column 1: attribute User-Name takes no tag`},
		{"Attr-256 = 0x", `line 1, column 1: attribute "Attr-256": the first number is at most 255`},
		{"Attr-26.9.256 = 0x", `number 256 is above 255`},
		{"Attr-26.429.4294967296 = 0x", `4294967296 is above 4294967295`},
		{"Attr-26.4846.65536 = 0x", `number 65536 is above 65535`},
		{"Attr-1.2.3.4.5.6.7.8.9.1.2.3.4.5.6.7.8 = 0x", `nested deeper than 16`},
		{"Attr-26..1 = 0x", `"" is not a number`},
		{"Vendor-Specific = x", `holds other attributes`},
	} {
		t.Run(c.text, func(t *testing.T) {
			pairs, err := d.ParsePairs(c.text)
			assert.Nil(t, pairs)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

func TestParsePair(t *testing.T) {
	d := Embedded()
	for _, c := range []struct{ name, op, value, want string }{
		{"Cleartext-Password", ":=", "it's # 1, \"2\"", `Cleartext-Password := "it's # 1, \"2\""`},
		{"Cleartext-Password", ":=", `"quo\"ted"`, `Cleartext-Password := "quo\"ted"`},
		{"Cleartext-Password", ":=", `'quoted'`, `Cleartext-Password := "quoted"`},
		{"Cleartext-Password", ":=", `"`, `Cleartext-Password := "\""`},
		{"Tunnel-Medium-Type:2", "=", "IEEE-802", `Tunnel-Medium-Type:2 = IEEE-802`},
		{" Simultaneous-Use ", " := ", " 1 ", `Simultaneous-Use := 1`},
		{"Calling-Station-Id", "=~", `^00:1a`, `Calling-Station-Id =~ "^00:1a"`},
		{"Mikrotik-Rate-Limit", "=", "10M/20M 15M/30M", `Mikrotik-Rate-Limit = "10M/20M 15M/30M"`},
		{"Framed-Pool", "!*", "", `Framed-Pool !* ANY`},
		{"NT-Password", ":=", "0x8846f7eaee8fb117ad06bdd830b7586c", `NT-Password := 0x8846f7eaee8fb117ad06bdd830b7586c`},
	} {
		p, err := d.ParsePair(c.name, c.op, c.value)
		require.NoError(t, err)
		assert.Equal(t, c.want, p.String())
	}
	_, err := d.ParsePair("User-Name", "", "x")
	assert.ErrorContains(t, err, `attribute User-Name: unknown operator ""`)
	_, err = d.ParsePair("Nope-Nope-Nope", "=", "x")
	assert.EqualError(t, err, `unknown attribute "Nope-Nope-Nope"`)
	_, err = d.ParsePair("User-Name", "=", `"\q"`)
	assert.ErrorContains(t, err, "unknown escape")
}

func TestPairAccessors(t *testing.T) {
	p, err := Embedded().ParsePair("Session-Timeout", "=", "3600")
	require.NoError(t, err)
	n, ok := p.Uint()
	assert.True(t, ok)
	assert.EqualValues(t, 3600, n)
	assert.Equal(t, "3600", p.Text())
	c := p.Clone()
	c.Value[0] = 9
	assert.Equal(t, "3600", p.Text())
	re, err := Embedded().ParsePair("Session-Timeout", "=~", "^3")
	require.NoError(t, err)
	assert.Equal(t, "^3", re.Text())
}

func TestOps(t *testing.T) {
	for o := OpEq; o <= OpNone; o++ {
		back, err := ParseOp(o.String())
		require.NoError(t, err)
		assert.Equal(t, o, back)
	}
	assert.Equal(t, "Op(0)", Op(0).String())
	_, err := ParseOp("===")
	assert.Error(t, err)
}

func TestResolve(t *testing.T) {
	d := Embedded()
	for _, c := range []struct {
		name, want string
		unknown    bool
	}{
		{"user-name", "User-Name", false},
		{"26.14988.8", "Mikrotik-Rate-Limit", false},
		{"0x1a.0x3a8c.8", "Mikrotik-Rate-Limit", false},
		{"241.1", "Frag-Status", false},
		{"26.24757.1.1", "WiMAX-Release", false},
		{"245.26.11344.1", "FreeRADIUS-802.1X-Anonce", false},
		{"1000", "Auth-Type", false},
		{"attr-1", "Attr-1", true},
		{"26.9.99.1", "Attr-26.9.99.1", true},
		{"245.26.11344", "Attr-245.26.11344", true},
	} {
		a, err := d.Resolve(c.name)
		require.NoError(t, err, c.name)
		assert.Equal(t, c.want, a.Name)
		assert.Equal(t, c.unknown, a.Unknown)
		if c.unknown {
			assert.Equal(t, Octets, a.Type)
		}
	}
	a, err := d.Resolve("Attr-26.9.251.3")
	require.NoError(t, err)
	require.NotNil(t, a.Vendor)
	assert.Equal(t, "Cisco", a.Vendor.Name)
	for name, says := range map[string]string{
		"Framed-IP-Adress": "did you mean Framed-IP-Address, Framed-IPv6-Address?",
		"Rate-Limit":       "did you mean", // Mikrotik-Rate-Limit
		"1001x":            "unknown attribute",
		"":                 `unknown attribute ""`,
		"Attr-":            "unknown attribute",
		"Attr-x":           "unknown attribute",
		"999":              "at most 255",
	} {
		_, err := d.Resolve(name)
		assert.ErrorContains(t, err, says)
	}
}
