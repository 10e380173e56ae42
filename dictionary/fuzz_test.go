package dictionary

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// fuzzCipher stands for encryption: a salt, the length, and every octet changed.
type fuzzCipher struct{}

func (fuzzCipher) Encrypt(dst []byte, e Encryption, plain []byte) ([]byte, error) {
	if len(plain) > 200 {
		return nil, os.ErrInvalid
	}
	dst = append(dst, 0x80|byte(e), byte(len(plain)))
	for _, c := range plain {
		dst = append(dst, c^0x55)
	}
	return dst, nil
}

func (fuzzCipher) Decrypt(dst []byte, e Encryption, wire []byte) ([]byte, error) {
	if len(wire) < 2 || wire[0] != 0x80|byte(e) || int(wire[1]) != len(wire)-2 || len(wire) > 202 {
		return nil, os.ErrInvalid
	}
	for _, c := range wire[2:] {
		dst = append(dst, c^0x55)
	}
	return dst, nil
}

// formatted is the embedded dictionary with the formats that few tables use.
func formatted(t testing.TB) *Dictionary {
	d, err := parseFS(Embedded(), fstest.MapFS{"d": {Data: []byte(formats)}}, "d")
	require.NoError(t, err)
	return d
}

// FuzzParseWire: nothing panics, and what is read is written and read again
// as the same pairs, both through the wire and through text.
func FuzzParseWire(f *testing.F) {
	d := formatted(f)
	for _, seed := range []string{
		"0105626f62", "40060100000d", "5105023230", "1a0b000000090105613d62",
		"1a11000060b5010b000105312e30020302", "f505c88001f505c80002", "f1091a0000fa030778",
		"4504018200", "4506018203300055", "1a160000fa0303100309010301020400020305010303",
		"1a0a000060b5040480011a0a000060b504040002", "c805050378", "4f0301 4f0302",
	} {
		b, _ := hex.DecodeString(string(bytes.ReplaceAll([]byte(seed), []byte(" "), nil)))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		pairs, err := d.ParseWire(wire, fuzzCipher{})
		if err != nil {
			return
		}
		sent := pairs[:0:0]
		for _, p := range pairs {
			if len(p.Value) > 0 || p.Attr.Concat || p.Tag > 0 && p.Attr.Encrypt == EncryptNone {
				sent = append(sent, p)
			}
		}
		text := string(AppendPairs(nil, sent, "\n"))
		again, err := d.ParsePairs(text)
		require.NoError(t, err, text)
		require.Equal(t, text, string(AppendPairs(nil, again, "\n")))
		wire2, err := d.AppendWire(nil, sent, fuzzCipher{})
		if err != nil {
			return // several in one attribute may not fit when each has its own
		}
		if len(wire2) > MaxAttributes {
			t.Fatalf("%d octets of attributes", len(wire2))
		}
		back, err := d.ParseWire(wire2, fuzzCipher{})
		require.NoError(t, err)
		require.Equal(t, text, string(AppendPairs(nil, back, "\n")))
	})
}

// FuzzParsePairs: what is read is written and read again as the same text.
func FuzzParsePairs(f *testing.F) {
	d := formatted(f)
	for _, seed := range []string{
		`User-Name = "bob", NAS-Port=1`, "Tunnel-Type:1 := VLAN # x\nClass += 0x00", `Reply-Message = 'a\'b'`,
		`Expiration == "1 Jan 2030"`, `NAS-Port =~ "^1", User-Name !* ANY`, `Attr-26.9.250 = 0x01, 26.9.1 = "\000\x41"`,
		`Framed-IPv6-Prefix = 2001:db8::/64, Framed-Interface-Id = 1:2:3:4`, `Plain-Inner-Byte = 1, Plain-Inner-Short = 2`,
		`User-Password = "x", Auth-Type := Accept`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pairs, err := d.ParsePairs(text)
		if err != nil {
			return
		}
		once := string(AppendPairs(nil, pairs, ", "))
		again, err := d.ParsePairs(once)
		require.NoError(t, err, once)
		require.Equal(t, once, string(AppendPairs(nil, again, ", ")))
		if wire, err := d.AppendWire(nil, pairs, fuzzCipher{}); err == nil {
			_, err := d.ParseWire(wire, fuzzCipher{})
			require.NoError(t, err)
		}
	})
}

// FuzzParseFile: no file panics, and what it defines can be found again.
func FuzzParseFile(f *testing.F) {
	f.Add("ATTRIBUTE User-Name 1 string\n" + formats)
	for _, name := range []string{"rfc2868", "rfc6929", "wimax", "usr"} {
		if text, err := os.ReadFile(filepath.Join("tables", name)); err == nil {
			f.Add(string(text[:min(len(text), 2000)]))
		}
	}
	f.Add("VENDOR A 1 format=1,1,c\nBEGIN-VENDOR A\nATTRIBUTE B 1 tlv\nBEGIN-TLV B\nATTRIBUTE C 1 byte\nEND-TLV B\nEND-VENDOR A\n$INCLUDE d\n$INCLUDE- e\nALIAS D C\nVALUE C x 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseFS(New(), fstest.MapFS{"d": {Data: []byte(text)}}, "d")
		if err != nil {
			require.Nil(t, d)
			return
		}
		for a := range d.Attributes() {
			got, err := d.Resolve(a.Name)
			require.NoError(t, err)
			require.NotNil(t, got)
			if a.Internal || a.Type.container() {
				continue
			}
			// Whatever a dictionary says, its attributes can be sent and read.
			value := make([]byte, max(a.Size, a.Type.size(), 2))
			if a.Type == ComboIP {
				value = make([]byte, 4)
			}
			wire, err := d.AppendWire(nil, []Pair{{Attr: a, Op: OpEq, Value: value}}, fuzzCipher{})
			if err != nil {
				continue
			}
			pairs, err := d.ParseWire(wire, fuzzCipher{})
			require.NoError(t, err)
			require.NotEmpty(t, pairs)
		}
	})
}
