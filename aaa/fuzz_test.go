package aaa

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
	"radiusd/radius"
)

// FuzzAccess sends arbitrary attributes on the whole way of an Access-Request: it
// is answered or dropped, nothing panics, and no secret is in what an operator sees.
func FuzzAccess(f *testing.F) {
	const canary = "canary-4f1d"
	log := &safeBuffer{}
	w := newWorld(f, withRecords(f), func(o *AccessOptions) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	w.store.putNAS(NAS{ID: w.nas.ID, Name: "local", Prefix: w.nas.Prefix, Secret: []byte(testSecret), RequireMessageAuthenticator: radius.RequireNo, Vendor: "mikrotik"})
	plan := w.store.putPlan(Plan{Name: "basic", RateUp: 1e6, SimultaneousUse: 1 << 30, QuotaOctets: 1 << 40, LoginHours: "Al0000-2300", Items: []Item{
		checkItem("NAS-Port", "<", "100000"), checkItem("Tunnel-Type:1", "!*", ""), checkItem("Cisco-AVPair", "!~", "^no"), replyItem("Tunnel-Password:1", ":=", canary),
	}})
	for name, credential := range map[string]Credential{
		"alice": cleartext(canary), "nt": {SchemeNTHash, ntHash([]byte(canary))}, "hash": {SchemeHash, []byte(foreignHashes()["LDAP SSHA"])},
		"00:1a:2b:3c:4d:5e": {Scheme: SchemeMAC},
	} {
		w.addUser(User{Name: name, Credential: credential, PlanID: plan.ID})
	}
	events, cancel := w.access.Watch(WatchFilter{})
	f.Cleanup(cancel)

	seed := func(add func(m *radius.Message)) {
		m := &radius.Message{Code: radius.AccessRequest}
		add(m)
		f.Add(m.Attributes)
	}
	for _, name := range []string{"alice", "nt", "hash", "001a2b3c4d5e", `CORP\alice`, ""} {
		seed(func(m *radius.Message) {
			m.AddString(radius.TypeUserName, name)
			m.Add(radius.TypeUserPassword, make([]byte, 16))
			m.AddAddr(radius.TypeNASIPAddress, netip.MustParseAddr("10.0.0.1"))
			m.AddString(radius.TypeCallingStationID, "00-1A-2B-3C-4D-5E")
		})
		seed(func(m *radius.Message) {
			m.AddString(radius.TypeUserName, name)
			m.AddCHAPPassword(3, canary)
			m.Add(radius.TypeCHAPChallenge, []byte("challenge"))
		})
		seed(func(m *radius.Message) {
			m.AddString(radius.TypeUserName, name)
			m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, make([]byte, 16))
			m.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Response, make([]byte, 50))
		})
		seed(func(m *radius.Message) {
			m.AddString(radius.TypeUserName, name)
			m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, make([]byte, 8))
			m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPResponse, append([]byte{1, 1}, make([]byte, 48)...))
			m.Add(radius.TypeEAPMessage, []byte{2})
			m.AddUint32(radius.TypeServiceType, serviceTypeCallCheck)
		})
	}
	hasher := radius.NewHasher([]byte(testSecret))
	client := newUDP(f, w.server.Auth)
	identifier := uint8(0)
	f.Fuzz(func(t *testing.T, attributes []byte) {
		if len(attributes) > 3900 {
			return
		}
		m := &radius.Message{Code: radius.AccessRequest, Attributes: attributes}
		identifier++
		packet, err := m.AppendTo(nil, identifier, hasher)
		if err != nil {
			return
		}
		if _, discard := radius.Parse(packet); discard != 0 {
			return
		}
		reply := client.exchange(t, packet)
		if reply == nil {
			return // dropped before it came to a decision
		}
		code := radius.Code(reply[0])
		require.Contains(t, []radius.Code{radius.AccessAccept, radius.AccessReject}, code)
		var seen bytes.Buffer
		for len(events) > 0 {
			event := <-events
			for _, text := range [][]string{event.Rules, event.Reply, {event.Decision.Detail}} {
				seen.WriteString(strings.Join(text, "\n"))
			}
		}
		for _, record := range w.access.options.Records.taken() {
			seen.WriteString(record.Detail)
			require.True(t, strings.ToValidUTF8(record.Username, "") == record.Username)
		}
		require.NotContains(t, seen.String(), canary)
		require.NotContains(t, log.String(), canary)
		if code == radius.AccessReject {
			parsed, discard := radius.Parse(reply)
			require.Zero(t, discard)
			pairs, err := dictionary.Embedded().ParseWire(parsed.Attributes(), nil)
			require.NoError(t, err)
			for _, pair := range pairs {
				require.Contains(t, []string{"Message-Authenticator", "Proxy-State", "MS-CHAP-Error", "EAP-Message"}, pair.Attr.Name)
			}
		}
	})
}

// dropTimeout is how long the answer to a packet may take.
const dropTimeout = 200 * time.Millisecond
