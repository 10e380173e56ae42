package dictionary

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestFileSyntax(t *testing.T) {
	d, err := New().WithFiles(writeFile(t, "dictionary", `
# a comment
VENDOR Acme 64100
vendor Other 0xFA65 format=2,1   # a comment
ATTRIBUTE Vendor-Specific 26 vsa
ATTRIBUTE Ext 241 extended
ATTRIBUTE Ext-Vendor 241.26 EVS
VALUE Early-Value one 1
ATTRIBUTE Early-Value 5 integer
VALUE Early-Value uno 1
VALUE Early-Value eins 0x1
VALUE Early-Value zwei 0x2
ATTRIBUTE Fixed 6 octets[16]
ATTRIBUTE Flags 7 string has_tag,encrypt=2,secret
ATTRIBUTE Spaced 8 integer has_tag, array`+"\n"+`
`))
	assert.ErrorContains(t, err, "has_tag does not go with array")
	assert.Nil(t, d)

	d, err = New().WithFiles(writeFile(t, "dictionary", `
# a comment
VENDOR Acme 64100
vendor Other 0xFA65 format=2,1   # a comment
ATTRIBUTE Vendor-Specific 26 vsa
ATTRIBUTE Ext 241 extended
ATTRIBUTE Ext-Vendor 241.26 EVS
VALUE Early-Value one 1
ATTRIBUTE Early-Value 5 integer
VALUE Early-Value uno 1
VALUE Early-Value eins 0x1
VALUE Early-Value zwei 0x2
ATTRIBUTE Fixed 6 octets[16]
ATTRIBUTE Flags 7 string has_tag,encrypt=2,secret
ATTRIBUTE Signed 8 signed
VALUE Signed minus -1
ATTRIBUTE Old-Style 3 ipaddr Acme
ATTRIBUTE Dotted 26.64100.4 byte
BEGIN-VENDOR Acme
ATTRIBUTE Acme-Box 1 tlv
BEGIN-TLV Acme-Box
ATTRIBUTE Acme-Inner 0x02 tlv
BEGIN-TLV Acme-Inner
ATTRIBUTE Acme-Deep 3 uint16
END-TLV Acme-Inner
END-TLV Acme-Box
ATTRIBUTE Acme-Deeper 1.2.4 uint64
END-VENDOR Acme
BEGIN-VENDOR Other parent=Ext-Vendor
ATTRIBUTE Other-Ext 7 string
END-VENDOR Other
BEGIN-VENDOR Acme format=Ext-Vendor
ATTRIBUTE Acme-Ext 7 string
END-VENDOR Acme
ATTRIBUTE Acme-Ext-Dotted 241.26.64100.8 string
ATTRIBUTE Hidden 9 string virtual
ATTRIBUTE High 3000 string
ATTRIBUTE First-Name 10 integer
VALUE First-Name a 1
ATTRIBUTE Second-Name 10 integer
ALIAS Third-Name Second-Name
`))
	require.NoError(t, err)
	for _, c := range []struct{ name, oid, typ, vendor string }{
		{"Old-Style", "26.64100.3", "ipaddr", "Acme"},
		{"Dotted", "26.64100.4", "byte", "Acme"},
		{"Acme-Deep", "26.64100.1.2.3", "short", "Acme"},
		{"Acme-Deeper", "26.64100.1.2.4", "integer64", "Acme"},
		{"Other-Ext", "241.26.64101.7", "string", "Other"},
		{"Acme-Ext", "241.26.64100.7", "string", "Acme"},
		{"Acme-Ext-Dotted", "241.26.64100.8", "string", "Acme"},
		{"Fixed", "6", "octets", ""},
		{"High", "3000", "string", ""},
		{"Second-Name", "10", "integer", ""},
	} {
		a, ok := d.ByName(c.name)
		require.True(t, ok, c.name)
		assert.Equal(t, c.oid, a.OID.String(), c.name)
		assert.Equal(t, c.typ, a.Type.String(), c.name)
		if c.vendor != "" {
			assert.Equal(t, c.vendor, a.Vendor.Name, c.name)
		}
	}
	a, _ := d.ByName("Early-Value")
	assert.Equal(t, []Value{{"eins", 1}, {"uno", 1}, {"one", 1}, {"zwei", 2}}, a.Values(),
		"the last name is preferred, one before its attribute comes last")
	a, _ = d.ByName("Flags")
	assert.True(t, a.Tagged && a.Secret && a.Encrypt == EncryptTunnel)
	a, _ = d.ByName("Fixed")
	assert.Equal(t, 16, a.Size)
	a, _ = d.ByName("Signed")
	assert.Equal(t, "minus", a.FormatValue([]byte{255, 255, 255, 255}))
	for _, internal := range []string{"Hidden", "High"} {
		a, _ = d.ByName(internal)
		assert.True(t, a.Internal)
	}
	a, _ = d.ByType(10)
	assert.Equal(t, "Second-Name", a.Name, "the last name of a number is shown")
	name, _ := a.ValueName(1)
	assert.Equal(t, "a", name, "names of one number share their values")
	b, ok := d.ByName("Third-Name")
	assert.True(t, ok)
	assert.Same(t, a, b)
	v, ok := d.VendorByName("other")
	require.True(t, ok)
	assert.Equal(t, Vendor{"Other", 64101, 2, 1, false}, *v)
	_, ok = d.VendorByID(64100)
	assert.True(t, ok)
	a, ok = d.ByVendor(64100, 3)
	require.True(t, ok)
	assert.Equal(t, "Old-Style", a.Name)
	_, ok = d.ByVendor(0, 5)
	assert.False(t, ok)
}

// Every error gives file and line; all are reported together.
func TestFileErrors(t *testing.T) {
	for _, c := range []struct{ line, says string }{
		{"ATTRIBUTE", "ATTRIBUTE needs: NAME NUMBER TYPE [FLAGS]"},
		{"ATTRIBUTE X 1", "ATTRIBUTE needs"},
		{"ATTRIBUTE X 1 strange", `unknown type "strange"`},
		{"ATTRIBUTE X 1 string strange", `unknown flag "strange"`},
		{"ATTRIBUTE X 1 string encrypt=4", `encrypt=4 is not 1, 2 or 3`},
		{"ATTRIBUTE X 1 string[5]", `only octets takes a length`},
		{"ATTRIBUTE X 1 octets[0]", `only octets takes a length`},
		{"ATTRIBUTE X 1 octets[254]", `only octets takes a length`},
		{"ATTRIBUTE X 1 octets[5", `only octets takes a length`},
		{"ATTRIBUTE X 1 ipaddr has_tag", `has_tag is for integer, string and octets`},
		{"ATTRIBUTE X 1 integer concat", `concat is for octets and string`},
		{"ATTRIBUTE X 1 tlv encrypt=1", `encrypt does not go with`},
		{"ATTRIBUTE X 1 integer has_tag,encrypt=2", `tagged integer cannot be encrypted`},
		{"ATTRIBUTE X one string", `"one" is not a number`},
		{"ATTRIBUTE X 0 string", `number 0`},
		{"ATTRIBUTE X 1. string", `"" is not a number`},
		{"ATTRIBUTE X 4294967296 string", `above 4294967295`},
		{"ATTRIBUTE X 99.1 string", `no attribute has the number`},
		{"ATTRIBUTE X 2.1 string", `Known is of type integer and cannot hold attributes`},
		{"ATTRIBUTE X 26.1 string", `26 is followed by a known vendor`},
		{"ATTRIBUTE X 26.9.1 string", `26 is followed by a known vendor`},
		{"ATTRIBUTE X 26.64100.256 string", `number 256 is above 255`},
		{"ATTRIBUTE X 26.64100.1 extended", `type extended is for standard attributes only`},
		{"ATTRIBUTE X 3 evs", `type evs is for extended attributes only`},
		{"ATTRIBUTE X 241.26.7 string", `7 is not a known vendor`},
		{"ATTRIBUTE X 241.256 string", `number 256 is above 255`},
		{"ATTRIBUTE X:1 1 string", `"X:1": not a valid name`},
		{"ATTRIBUTE Attr-1 1 string", `not a valid name`},
		{"ATTRIBUTE Known 3 integer", `ATTRIBUTE Known has number 2 already, now 3`},
		{"ATTRIBUTE Ext 241 string", `ATTRIBUTE Ext is of type extended and holds attributes, now string`},
		{"ATTRIBUTE Instead 241 string", `ATTRIBUTE Instead: number 241 is Ext, which holds attributes`},
		{"VALUE Known", "VALUE needs: ATTRIBUTE NAME NUMBER"},
		{"VALUE Known a b", `"b" is not a number`},
		{"VALUE Known a 4294967296", `does not fit type integer`},
		{"VALUE Known known 2", `VALUE Known known is 1 already, now 2`},
		{"VALUE Unknown a 1", `VALUE Unknown a: unknown attribute`},
		{"VALUE Text a 1", `the attribute is of type string, not a number`},
		{"VENDOR X", "VENDOR needs"},
		{"VENDOR X 0", "not from 1 to"},
		{"VENDOR X 16777216", "not from 1 to"},
		{"VENDOR Acme 1", "VENDOR Acme has number 64100 already, now 1"},
		{"VENDOR Again 64100 format=2,2", "has another format already, as Acme"},
		{"VENDOR X 1 format=3,1", "is not format=TYPE,LENGTH[,c]"},
		{"VENDOR X 1 format=1,3", "is not format=TYPE,LENGTH[,c]"},
		{"VENDOR X 1 format=2,1,c", "is not format=TYPE,LENGTH[,c]"},
		{"VENDOR X 1 format=1,1,d", "is not format=TYPE,LENGTH[,c]"},
		{"VENDOR X 1 1,1", "is not format=TYPE,LENGTH[,c]"},
		{"BEGIN-VENDOR Nobody", "unknown vendor"},
		{"BEGIN-VENDOR Acme", "BEGIN-VENDOR Acme without END-VENDOR"},
		{"BEGIN-VENDOR Acme parent=Known", `"Known" is not an attribute of type evs`},
		{"BEGIN-VENDOR Acme child=Known", `unknown option`},
		{"END-VENDOR Acme", "END-VENDOR Acme without BEGIN-VENDOR Acme"},
		{"BEGIN-TLV Known", "BEGIN-TLV Known: not an attribute of type tlv"},
		{"BEGIN-TLV Box", "BEGIN-TLV Box without END-TLV"},
		{"END-TLV Box", "END-TLV Box without BEGIN-TLV Box"},
		{"ALIAS X Nobody", "unknown attribute Nobody"},
		{"ALIAS Known Text", "the name is taken by attribute 2"},
		{"$INCLUDE nowhere", "no such file"},
		{"$INCLUDE", "$INCLUDE needs: FILE"},
		{"SOMETHING else", `unknown keyword "SOMETHING"`},
	} {
		t.Run(c.line, func(t *testing.T) {
			path := writeFile(t, "mine", `VENDOR Acme 64100
ATTRIBUTE Vendor-Specific 26 vsa
ATTRIBUTE Known 2 integer
ATTRIBUTE Text 200 string
ATTRIBUTE Ext 241 extended
ATTRIBUTE Ext-Vendor 241.26 evs
ATTRIBUTE Box 201 tlv
VALUE Known known 1
`+c.line+"\n")
			d, err := New().WithFiles(path)
			assert.Nil(t, d)
			assert.ErrorContains(t, err, c.says)
			var pe *ParseError
			require.ErrorAs(t, err, &pe)
			assert.Equal(t, path, pe.File)
			assert.Equal(t, 9, pe.Line)
			assert.ErrorContains(t, err, path+":9: ")
		})
	}

	path := writeFile(t, "mine", "ATTRIBUTE A\nVALUE B\nVENDOR C\n"+strings.Repeat("X\n", 200))
	_, err := New().WithFiles(path, filepath.Join(filepath.Dir(path), "missing"))
	for _, says := range []string{":1: ATTRIBUTE needs", ":2: VALUE needs", ":3: VENDOR needs", "too many errors"} {
		assert.ErrorContains(t, err, says)
	}
	assert.LessOrEqual(t, strings.Count(err.Error(), "\n"), maxErrors)
	_, err = New().WithFiles(filepath.Join(t.TempDir(), "missing"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestNestingIsBounded(t *testing.T) {
	text := "ATTRIBUTE T0 200 tlv\n"
	oid := "200"
	for i := 1; i < 20; i++ {
		oid += ".1"
		text += fmt.Sprintf("ATTRIBUTE T%d %s tlv\n", i, oid)
	}
	_, err := New().WithFiles(writeFile(t, "deep", text))
	assert.ErrorContains(t, err, "nested deeper than 16")
	text = "ATTRIBUTE T0 200 tlv\n"
	for i := 1; i < 20; i++ {
		text += fmt.Sprintf("BEGIN-TLV T%d\nATTRIBUTE T%d 1 tlv\n", i-1, i)
	}
	_, err = New().WithFiles(writeFile(t, "deep", text))
	assert.ErrorContains(t, err, "nested deeper than 16")
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("sub/b", "ATTRIBUTE B 2 string\n$INCLUDE ../c\n")
	write("c", "ATTRIBUTE C 3 string\n")
	a := write("a", "$INCLUDE sub/b\n$INCLUDE c\n$INCLUDE- nowhere\n$INCLUDE- c\n$INCLUDE "+filepath.Join(dir, "c")+"\n")
	d, err := New().WithFiles(a)
	require.NoError(t, err)
	assert.Len(t, d.attributes, 2)

	loop := write("loop1", "\n$INCLUDE loop2\n")
	second := write("loop2", "$INCLUDE loop1\n")
	_, err = New().WithFiles(loop)
	assert.EqualError(t, err, second+":1: $INCLUDE loop: "+loop+" -> "+second+" -> "+loop)

	for i := range maxDepth + 1 {
		write(fmt.Sprint("deep", i), fmt.Sprintf("$INCLUDE deep%d\n", i+1))
	}
	_, err = New().WithFiles(filepath.Join(dir, "deep0"))
	assert.ErrorContains(t, err, "nested deeper than 16")

	// Each file twice in the one before: two to the fifteenth without a bound.
	for i := range 15 {
		write(fmt.Sprint("wide", i), strings.Repeat(fmt.Sprintf("$INCLUDE wide%d\n", i+1), 2))
	}
	write("wide15", "")
	_, err = New().WithFiles(filepath.Join(dir, "wide0"))
	assert.ErrorContains(t, err, "more than 4096 files")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "big"), make([]byte, maxFileSize+1), 0o600))
	_, err = New().WithFiles(filepath.Join(dir, "big"))
	assert.ErrorContains(t, err, "larger than 8 MiB")
	_, err = New().WithFiles(dir)
	assert.Error(t, err)
}

// What files on top of the embedded tables may and may not do.
func TestWithFilesOnTop(t *testing.T) {
	base := Embedded()
	before := len(base.attributes)
	d, err := base.WithFiles(writeFile(t, "mine", `
VENDOR MikroTik-Again 14988
ATTRIBUTE User-Name 1 string
ATTRIBUTE Login-Name 1 string
ATTRIBUTE Class 25 string
ATTRIBUTE Max-Daily-Session 3003 integer
ATTRIBUTE Digest-Response 206 string
VALUE Service-Type My-Service 250
VALUE Acct-Status-Type Beginning 1
BEGIN-VENDOR Mikrotik
ATTRIBUTE Mikrotik-New 250 string
END-VENDOR Mikrotik
BEGIN-TLV WiMAX-Capability
ATTRIBUTE WiMAX-New 200 byte
END-TLV WiMAX-Capability
`))
	require.NoError(t, err)
	a, _ := d.ByType(1)
	assert.Equal(t, "Login-Name", a.Name)
	a, _ = d.ByName("Class")
	assert.Equal(t, String, a.Type)
	a, _ = d.ByName("Max-Daily-Session")
	assert.Equal(t, "3003", a.OID.String(), "numbers of internal attributes have no meaning outside")
	a, _ = d.ByType(206)
	assert.Equal(t, "Digest-Response", a.Name, "FreeRADIUS has RFC 5090's names on other numbers")
	_, ok := d.ByType(103)
	assert.False(t, ok)
	a, _ = d.ByName("Service-Type")
	assert.Equal(t, "My-Service", a.FormatValue([]byte{0, 0, 0, 250}))
	assert.Equal(t, "Framed-User", a.FormatValue([]byte{0, 0, 0, 2}))
	a, _ = d.ByName("Acct-Status-Type")
	assert.Equal(t, "Beginning", a.FormatValue([]byte{0, 0, 0, 1}))
	a, ok = d.ByVendor(14988, 250)
	require.True(t, ok)
	assert.Equal(t, "Mikrotik-New", a.Name)
	pairs, err := d.ParseWire(unhex(t, "1a0c 000060b5 0106 00 c803 09"), nil)
	require.NoError(t, err)
	assert.Equal(t, "WiMAX-New = 9", string(AppendPairs(nil, pairs, "")))

	// The dictionary underneath is as it was.
	assert.Len(t, base.attributes, before)
	a, _ = base.ByType(1)
	assert.Equal(t, "User-Name", a.Name)
	a, _ = base.ByName("Class")
	assert.Equal(t, Octets, a.Type)
	a, _ = base.ByName("Service-Type")
	assert.Equal(t, "250", a.FormatValue([]byte{0, 0, 0, 250}))
	a, _ = base.ByName("Acct-Status-Type")
	assert.Equal(t, "Start", a.FormatValue([]byte{0, 0, 0, 1}))
	_, ok = base.ByVendor(14988, 250)
	assert.False(t, ok)

	// Parents and siblings in a copy belong to the copy.
	for a := range d.Attributes() {
		if a.Parent != nil {
			same, _ := d.ByName(a.Parent.Name)
			require.Same(t, same, a.Parent)
		}
		require.Same(t, a, d.byName[lower(a.Name)])
	}

	_, err = base.WithFiles(writeFile(t, "mine", "ATTRIBUTE User-Name 2 string\nATTRIBUTE Cisco-AVPair 77 string\nVALUE Service-Type Framed-User 9\n"))
	var pe *ParseError
	require.True(t, errors.As(err, &pe))
	assert.ErrorContains(t, err, "mine:1: ATTRIBUTE User-Name has number 1 already, now 2")
	assert.ErrorContains(t, err, "mine:2: ATTRIBUTE Cisco-AVPair has number 26.9.1 already, now 77")
	assert.ErrorContains(t, err, "mine:3: VALUE Service-Type Framed-User is 2 already, now 9")

	same, err := base.WithFiles()
	require.NoError(t, err)
	assert.Len(t, same.attributes, before)
}

func TestConcurrentUse(t *testing.T) {
	d := Embedded()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			pairs, err := d.ParsePairs("User-Name = bob, Attr-26.9.253 = 0x01")
			assert.NoError(t, err)
			wire, err := d.AppendWire(nil, pairs, nil)
			assert.NoError(t, err)
			_, err = d.ParseWire(wire, nil)
			assert.NoError(t, err)
			_, err = d.WithFiles()
			assert.NoError(t, err)
		})
	}
	wg.Wait()
}
