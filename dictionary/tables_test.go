package dictionary

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius/dictionary"

	"radiusd/internal/testserver"
)

// debian is the folder of the package freeradius-common.
func debian(t testing.TB) string {
	return filepath.Dir(testserver.File(t, "/usr/share/freeradius/dictionary"))
}

// One attribute of each RFC, by the number in its text.
func TestEveryRFC(t *testing.T) {
	d := Embedded()
	for _, c := range []struct{ rfc, name, oid, typ string }{
		{"2865", "User-Name", "1", "string"},
		{"2865", "User-Password", "2", "string"},
		{"2865", "Framed-IP-Address", "8", "ipaddr"},
		{"2865", "Class", "25", "octets"},
		{"2865", "Vendor-Specific", "26", "vsa"},
		{"2866", "Acct-Status-Type", "40", "integer"},
		{"2867", "Acct-Tunnel-Packets-Lost", "86", "integer"},
		{"2868", "Tunnel-Password", "69", "string"},
		{"2869", "Event-Timestamp", "55", "date"},
		{"2869", "EAP-Message", "79", "octets"},
		{"2869", "Message-Authenticator", "80", "octets"},
		{"3162", "Framed-IPv6-Prefix", "97", "ipv6prefix"},
		{"3576", "Error-Cause", "101", "integer"},
		{"3580", "EAP-Key-Name", "102", "octets"},
		{"4072", "EAP-Key-Name", "102", "octets"},
		{"4372", "Chargeable-User-Identity", "89", "octets"},
		{"4603", "NAS-Port-Type", "61", "integer"},
		{"4675", "Egress-VLANID", "56", "integer"},
		{"4679", "Actual-Data-Rate-Upstream", "26.3561.129", "integer"},
		{"4818", "Delegated-IPv6-Prefix", "123", "ipv6prefix"},
		{"4849", "NAS-Filter-Rule", "92", "string"},
		{"5090", "Digest-Response", "103", "string"},
		{"5176", "Error-Cause", "101", "integer"},
		{"5447", "MIP6-Home-Link-Prefix", "125", "octets"},
		{"5580", "Operator-Name", "126", "string"},
		{"5607", "Management-Privilege-Level", "136", "integer"},
		{"5904", "PKM-SS-Cert", "137", "octets"},
		{"6519", "DS-Lite-Tunnel-Name", "144", "string"},
		{"6572", "PMIP6-Home-IPv4-HoA", "155", "ipv4prefix"},
		{"6677", "EAP-Lower-Layer", "163", "integer"},
		{"6911", "Framed-IPv6-Address", "168", "ipv6addr"},
		{"6911", "Delegated-IPv6-Prefix-Pool", "171", "string"},
		{"6929", "Extended-Attribute-1", "241", "extended"},
		{"6929", "Extended-Vendor-Specific-5", "245.26", "evs"},
		{"6930", "IPv6-6rd-Configuration", "173", "tlv"},
		{"7055", "GSS-Acceptor-Service-Name", "164", "string"},
		{"7155", "Originating-Line-Info", "94", "octets"},
		{"7268", "Allowed-Called-Station-Id", "174", "string"},
		{"7499", "Frag-Status", "241.1", "integer"},
		{"7930", "Response-Length", "241.3", "integer"},
		{"8045", "IP-Port-Limit-Info", "241.5", "tlv"},
		{"8559", "Operator-NAS-Identifier", "241.8", "octets"},
	} {
		_, err := tables.Open("tables/rfc" + c.rfc)
		assert.NoError(t, err)
		a, ok := d.ByName(c.name)
		require.True(t, ok, c.name)
		assert.Equal(t, c.oid, a.OID.String(), c.name)
		assert.Equal(t, c.typ, a.Type.String(), c.name)
		main := d.find(a.OID)
		assert.Same(t, a, main, "the RFC's name is the one that is shown")
	}
	v, _ := d.ByName("Error-Cause")
	name, _ := v.ValueName(503)
	assert.Equal(t, "Session-Context-Not-Found", name)
}

func TestVendors(t *testing.T) {
	d := Embedded()
	count := map[uint32]int{}
	for a := range d.Attributes() {
		if a.Vendor != nil {
			count[a.Vendor.ID]++
		}
	}
	for _, c := range []struct {
		name      string
		id        uint32
		attribute string
		number    uint32
	}{
		{"Mikrotik", 14988, "Mikrotik-Rate-Limit", 8},
		{"Cisco", 9, "Cisco-AVPair", 1},
		{"Juniper", 2636, "Juniper-Local-User-Name", 1},
		{"ERX", 4874, "ERX-Service-Activate", 65},
		{"Huawei", 2011, "Huawei-Input-Average-Rate", 2},
		{"H3C", 25506, "H3C-Input-Peak-Rate", 1},
		{"ZTE", 3902, "ZTE-Rate-Ctrl-SCR-Down", 83},
		{"Alcatel-Lucent-Service-Router", 6527, "Alc-SLA-Prof-Str", 13},
		{"Nokia", 94, "Nokia-User-Profile", 2},
		{"Microsoft", 311, "MS-CHAP2-Success", 26},
		{"WISPr", 14122, "WISPr-Bandwidth-Max-Up", 7},
		{"ChilliSpot", 14559, "ChilliSpot-Max-Input-Octets", 1},
		{"Aruba", 14823, "Aruba-User-Role", 1},
		{"Ruckus", 25053, "Ruckus-User-Groups", 1},
		{"Ubiquiti", 41112, "UBNT-Data-Rate-DL", 1},
		{"Fortinet", 12356, "Fortinet-Group-Name", 1},
		{"PaloAlto", 25461, "PaloAlto-Admin-Role", 1},
		{"HP", 11, "HP-Privilege-Level", 1},
		{"Extreme", 1916, "Extreme-CLI-Authorization", 201},
		{"Alcatel", 3041, "AAT-ATM-Direct", 21},
		{"Redback", 2352, "Agent-Circuit-Id", 97},
		{"Starent", 8164, "SN-VPN-ID", 1},
		{"3GPP", 10415, "3GPP-IMSI", 1},
		{"3GPP2", 5535, "3GPP2-Correlation-Id", 44},
		{"WiMAX", 24757, "WiMAX-AAA-Session-Id", 4},
		{"DSL-Forum", 3561, "ADSL-Agent-Circuit-Id", 1},
		{"Meraki", 29671, "Meraki-Device-Name", 1},
		{"Cambium", 17713, "Cambium-Auth-Role", 1},
		{"Aerohive", 26928, "Extreme-User-Vlan", 1},
		{"iKuai", 10055, "RP-Upstream-Speed-Limit", 1},
		{"Dlink", 171, "Dlink-User-Level", 1},
		{"Arista", 30065, "Arista-AVPair", 1},
		{"Foundry", 1991, "Foundry-Privilege-Level", 1},
		{"Ascend", 529, "Ascend-Data-Rate", 197},
		{"USR", 429, "USR-Last-Number-Dialed-Out", 0x66},
	} {
		v, ok := d.VendorByName(c.name)
		if !assert.True(t, ok, c.name) {
			continue
		}
		assert.Equal(t, c.id, v.ID, c.name)
		a, ok := d.ByVendor(c.id, c.number)
		if assert.True(t, ok, c.name) {
			assert.Equal(t, c.attribute, a.Name)
			assert.Same(t, v, a.Vendor)
		}
		assert.Positive(t, count[v.ID], c.name)
	}
	assert.GreaterOrEqual(t, len(count), 170, "vendors with attributes")
	var names []string
	for v := range d.Vendors() {
		names = append(names, lower(v.Name))
	}
	assert.True(t, slices.IsSorted(names))
	assert.Len(t, names, len(d.vendors))
}

// What operators of radcheck and radreply know, none of which may go out.
func TestInternalAttributes(t *testing.T) {
	for _, name := range strings.Fields(`Simultaneous-Use Expiration Login-Time Auth-Type Cleartext-Password
		NT-Password Crypt-Password SSHA-Password Max-Daily-Session Max-Monthly-Session Max-All-Session Fall-Through
		Pool-Name Huntgroup-Name Group User-Profile Client-Shortname Packet-Src-IP-Address Packet-Src-IPv6-Address
		Packet-Dst-Port NAS-Name`) {
		a, ok := Embedded().ByName(name)
		require.True(t, ok, name)
		assert.True(t, a.Internal, name)
		assert.Greater(t, a.Number(), uint32(255), name)
		secret := strings.HasSuffix(name, "-Password")
		assert.Equal(t, secret, a.Secret, name)
	}
}

// facts reads dictionary files without any code of this package: for each
// name all "vendor/number/type/flags" that the files give it.
func facts(t *testing.T, files []string) map[string][]string {
	t.Helper()
	vendors := map[string]string{}
	found := map[string][]string{}
	var all []string
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		for s := bufio.NewScanner(f); s.Scan(); {
			line, _, _ := strings.Cut(s.Text(), "#")
			all = append(all, line)
			if w := strings.Fields(line); len(w) > 2 && w[0] == "VENDOR" {
				vendors[w[1]] = w[2]
			}
		}
		require.NoError(t, f.Close())
	}
	vendor, tlvs := "", []string{}
	last := map[string]string{}
	for _, line := range all {
		w := strings.Fields(line)
		switch {
		case len(w) < 2:
		case w[0] == "BEGIN-VENDOR" && len(w) > 2:
			vendor = "evs" + vendors[w[1]]
		case w[0] == "BEGIN-VENDOR":
			vendor = vendors[w[1]]
		case w[0] == "END-VENDOR":
			vendor = ""
		case w[0] == "BEGIN-TLV":
			tlvs = append(tlvs, last[w[1]]+".")
		case w[0] == "END-TLV":
			tlvs = tlvs[:len(tlvs)-1]
		case w[0] == "ATTRIBUTE":
			number := w[2]
			if n, err := strconv.ParseUint(number, 0, 32); err == nil {
				number = strconv.FormatUint(n, 10)
			}
			if len(tlvs) > 0 {
				number = tlvs[len(tlvs)-1] + number
			}
			last[w[1]] = number
			var flags []string
			for _, f := range strings.Split(strings.Join(w[4:], ","), ",") {
				if f != "" && f != "virtual" && f != "secret" {
					flags = append(flags, f)
				}
			}
			slices.Sort(flags)
			fact := vendor + "/" + number + "/" + strings.ToLower(w[3]) + "/" + strings.Join(flags, ",")
			found[w[1]] = append(found[w[1]], fact)
		}
	}
	return found
}

// fact is what facts has, from the loaded dictionary.
func fact(a *Attribute) string {
	vendor, oid := "", a.OID
	switch {
	case a.Vendor != nil && oid[0] == 26:
		vendor, oid = strconv.Itoa(int(a.Vendor.ID)), oid[2:]
	case a.Vendor != nil:
		vendor, oid = "evs"+strconv.Itoa(int(a.Vendor.ID)), oid[3:]
	}
	typ := a.Type.String()
	if a.Size > 0 {
		typ += "[" + strconv.Itoa(a.Size) + "]"
	}
	var flags []string
	for name, set := range map[string]bool{
		"has_tag": a.Tagged, "array": a.Array, "concat": a.Concat,
		"encrypt=" + strconv.Itoa(int(a.Encrypt)): a.Encrypt != EncryptNone,
	} {
		if set {
			flags = append(flags, name)
		}
	}
	slices.Sort(flags)
	return vendor + "/" + oid.String() + "/" + typ + "/" + strings.Join(flags, ",")
}

// Every attribute that we embed is one of FreeRADIUS's, with the same number,
// type and flags, but for the tables kept by hand; and every one of
// FreeRADIUS's that its own server loads is embedded.
func TestAgreesWithFreeRADIUS(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(debian(t), "dictionary.*"))
	require.NoError(t, err)
	theirs := facts(t, files)
	require.Greater(t, len(theirs), 7000)
	compared := 0
	for a := range Embedded().Attributes() {
		want, ok := theirs[a.Name]
		own := a.Internal && a.Number() >= 20000 || a.Vendor != nil && a.Vendor.ID == 41112
		if !ok {
			assert.True(t, own, "%s is in no file of FreeRADIUS", a.Name)
			continue
		}
		if !own {
			assert.Contains(t, want, fact(a), a.Name)
			compared++
		}
	}
	assert.Greater(t, compared, 6500)

	skipped := []string{"illegal", "internal", "dhcp", "vqp", "conflict", "vsa1", "openser", "fdxtended",
		"wimax.alvarion", "wimax.wichorus", "alvarion.wimax", "vpn3000"}
	files = slices.DeleteFunc(files, func(f string) bool {
		return slices.ContainsFunc(skipped, func(s string) bool { return strings.Contains(f, s) })
	})
	for _, name := range slices.Sorted(maps.Keys(facts(t, files))) {
		_, ok := Embedded().ByName(name)
		assert.True(t, ok, "%s is missing", name)
	}
}

func TestLoadsFreeRADIUSWhole(t *testing.T) {
	path := filepath.Join(debian(t), "dictionary")
	for name, base := range map[string]*Dictionary{"alone": New(), "on top of ours": Embedded()} {
		d, err := base.WithFiles(path)
		require.NoError(t, err, name)
		for _, want := range []string{"User-Name", "Cisco-AVPair", "WiMAX-Release", "EAP-Sim-Rand1", "X-Ascend-Data-Filter", "Char-Noecho"} {
			_, ok := d.ByName(want)
			assert.True(t, ok, "%s: %s", name, want)
		}
		assert.Greater(t, len(d.attributes), 7000)
		a, _ := d.ByType(1)
		assert.Equal(t, "User-Name", a.Name)
		a, _ = d.ByType(241)
		assert.Equal(t, Extended, a.Type)
	}
	// The files it does not include: those of other protocols stand alone, the
	// others give vendors of ours a second meaning.
	// (freedhcp is broken: it has values of attributes that it does not define.)
	for _, file := range []string{"dhcp", "vqp", "openser", "cisco.vpn3000", "nokia.conflict",
		"starent.vsa1", "wimax.alvarion", "wimax.wichorus", "alvarion.wimax.v2_2", "motorola.illegal", "rfc5090"} {
		text := "ATTRIBUTE Vendor-Specific 26 vsa\nVALUE Service-Type x 1\nATTRIBUTE Service-Type 6 integer\n"
		if file == "nokia.conflict" {
			text += "VENDOR Nokia 94\n"
		}
		_, err := New().WithFiles(writeFile(t, "core", text), path+"."+file)
		assert.NoError(t, err, file)
	}
}

// The parser of layeh.com/radius reads the same out of our tables.
func TestAgreesWithLayeh(t *testing.T) {
	files, err := filepath.Glob("tables/*")
	require.NoError(t, err)
	read, attributes, values := 0, 0, 0
	for _, file := range files {
		if file == "tables/dictionary" {
			continue
		}
		f, err := os.Open(file)
		require.NoError(t, err)
		parser := layeh.Parser{Opener: &layeh.FileSystemOpener{}, IgnoreIdenticalAttributes: true}
		theirs, err := parser.Parse(f)
		require.NoError(t, f.Close())
		if err != nil {
			continue // it knows fewer types and flags
		}
		read++
		check := func(list []*layeh.Attribute, prefix OID) {
			for _, a := range list {
				ours, ok := Embedded().ByName(a.Name)
				require.True(t, ok, "%s: %s", file, a.Name)
				want := slices.Clone(prefix)
				for _, n := range a.OID {
					want = append(want, uint32(n))
				}
				if ours.weak || ours.Internal {
					continue
				}
				assert.Equal(t, want.String(), ours.OID.String(), "%s: %s", file, a.Name)
				if name := a.Type.String(); name != ours.Type.String() && a.Size.Int == 0 {
					t.Errorf("%s: %s has type %s, theirs %s", file, a.Name, ours.Type, name)
				}
				assert.Equal(t, a.HasTag(), ours.Tagged, a.Name)
				attributes++
			}
		}
		checkValues := func(list []*layeh.Value) {
			for _, v := range list {
				a, ok := Embedded().ByName(v.Attribute)
				require.True(t, ok, v.Attribute)
				n, ok := a.ValueByName(v.Name)
				assert.True(t, ok && n == v.Number, "%s: %s %s is %d, theirs %d", file, v.Attribute, v.Name, n, v.Number)
				values++
			}
		}
		check(theirs.Attributes, nil)
		checkValues(theirs.Values)
		for _, v := range theirs.Vendors {
			ours, ok := Embedded().VendorByName(v.Name)
			require.True(t, ok, v.Name)
			assert.EqualValues(t, v.Number, ours.ID)
			check(v.Attributes, OID{26, uint32(v.Number)})
			checkValues(v.Values)
		}
	}
	t.Logf("%d of %d files, %d attributes, %d values", read, len(files), attributes, values)
	assert.Greater(t, read, 100)
	assert.Greater(t, attributes, 3000)
	assert.Greater(t, values, 3000)
}

func BenchmarkLoadEmbedded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseFS(New(), tables, "tables/dictionary"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWithFiles(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Embedded().WithFiles(); err != nil {
			b.Fatal(err)
		}
	}
}
