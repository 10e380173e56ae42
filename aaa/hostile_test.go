package aaa

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
	"radiusd/radius"
)

// The worst Access-Requests of 4 KiB take no more than 10 ms and a MiB to decide,
// with a policy that looks at every attribute in every way.
func TestHostileRequestsCostLittle(t *testing.T) {
	const maxAttributes = radius.MaxLength - radius.HeaderLength
	w := newWorld(t)
	alice := User{Name: "alice", Credential: cleartext("x")}
	// Each check in a group of its own: one that does not hold ends nothing.
	for i, item := range []Item{
		checkItem("Cisco-AVPair", "!~", `^(a+)+(b|c|bc)*$`), checkItem("Cisco-AVPair", "=~", `(x*)*y{0,100}z`),
		checkItem("Tunnel-Private-Group-Id", "=~", `(x*)*y{0,100}z`), checkItem("Reply-Message", "!*", ""),
		checkItem("WiMAX-Release", "!*", ""), checkItem("Calling-Station-Id", "==", "00-00-00-00-00-01"),
		checkItem("User-Name", "!~", `^((a|b|c|.)*)*$`),
	} {
		group := w.store.putGroup(Group{Name: strconv.Itoa(i), Items: []Item{item}})
		alice.Groups = append(alice.Groups, Membership{group.ID, i})
	}
	w.addUser(alice)
	vendor := func(number uint32, inner ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, number), inner...)
	}
	name := radius.AppendString(nil, radius.TypeUserName, "alice")
	fill := func(t radius.Type, value []byte) []byte {
		attributes := bytes.Clone(name)
		for count := 1; count < radius.MaxAttributes && len(attributes)+2+len(value) <= maxAttributes; count++ {
			attributes = radius.AppendAttribute(attributes, t, value)
		}
		return attributes
	}
	for name, attributes := range map[string][]byte{
		"Microsoft in Microsoft":   fill(radius.TypeVendorSpecific, vendor(radius.VendorMicrosoft, bytes.Repeat([]byte{200, 2}, 6)...)),
		"Microsoft, long":          fill(radius.TypeVendorSpecific, vendor(radius.VendorMicrosoft, bytes.Repeat([]byte{200, 2}, 120)...)),
		"responses":                fill(radius.TypeVendorSpecific, vendor(radius.VendorMicrosoft, append([]byte{radius.MSCHAP2Response, 52}, make([]byte, 50)...)...)),
		"texts for patterns":       fill(radius.TypeVendorSpecific, vendor(9, append([]byte{1, 247}, strings.Repeat("a", 245)...)...)),
		"many texts for patterns":  fill(radius.TypeVendorSpecific, vendor(9, 1, 14, 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', '!')),
		"tags":                     fill(radius.TypeTunnelPrivateGroupID, []byte(strings.Repeat("x", 18))),
		"WiMAX":                    fill(radius.TypeVendorSpecific, vendor(24757, 1, 3, 0x80)),
		"WiMAX, zero lengths":      fill(radius.TypeVendorSpecific, vendor(24757, 1, 0, 0, 0)),
		"unknown vendors":          fill(radius.TypeVendorSpecific, vendor(0xfffffff0, bytes.Repeat([]byte{1, 2}, 120)...)),
		"EAP":                      fill(radius.TypeEAPMessage, bytes.Repeat([]byte{2}, 18)),
		"fragments":                fill(245, []byte{200, 0x80}),
		"extended, nested":         fill(241, bytes.Repeat([]byte{26, 2}, 126)),
		"passwords":                fill(radius.TypeUserPassword, make([]byte, 16)),
		"Proxy-State":              fill(radius.TypeProxyState, make([]byte, 18)),
		"names":                    fill(radius.TypeUserName, bytes.Repeat([]byte{0xff}, 18)),
		"stations of no form":      fill(radius.TypeCallingStationID, []byte("00-00-00-00-00-0")),
		"challenges without proof": fill(radius.TypeCHAPChallenge, make([]byte, 253)),
	} {
		t.Run(name, func(t *testing.T) {
			packet := append(radius.AppendHeader(nil, radius.AccessRequest, 1, &[16]byte{}), attributes...)
			radius.SetLength(packet)
			p, discard := radius.Parse(packet)
			require.Zero(t, discard)
			decide := func() Decision {
				x := &exchange{
					request: &radius.Request{Packet: p, NAS: &radius.NAS{}}, attributes: p.Attributes(), now: monday,
					query: query{attributes: p.Attributes(), dict: dictionary.Embedded()},
				}
				return w.access.decide(x)
			}
			decide()
			fastest, least := time.Hour, uint64(1<<62)
			for range 50 { // the fastest is not held up by others
				if fastest < raceFactor*10*time.Millisecond && least < uint64(raceFactor<<20) {
					break
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				began := time.Now()
				decide()
				fastest = min(fastest, time.Since(began))
				runtime.ReadMemStats(&after)
				least = min(least, after.TotalAlloc-before.TotalAlloc)
			}
			t.Log(fastest, least)
			require.Less(t, fastest, raceFactor*10*time.Millisecond)
			require.Less(t, least, uint64(raceFactor<<20))
		})
	}
}
