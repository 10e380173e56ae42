package aaa_test

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/radius"
)

var receivedAt = time.Date(2026, 3, 10, 12, 0, 0, 123456000, time.UTC)

// envelope wraps attributes, written as radclient takes them.
func envelope(t testing.TB, attributes string) []byte {
	t.Helper()
	pairs, err := dictionary.Embedded().ParsePairs(attributes)
	require.NoError(t, err)
	wire, err := dictionary.Embedded().AppendWire(nil, pairs, nil)
	require.NoError(t, err)
	return wrap(wire)
}

func wrap(attributes []byte) []byte {
	packet := radius.AppendHeader(nil, radius.AccountingRequest, 1, new([16]byte))
	packet = append(packet, attributes...)
	radius.SetLength(packet)
	e := aaa.Envelope{Received: receivedAt, Source: netip.MustParseAddr("198.51.100.7"), NASID: uuid.UUID{1}, Packet: packet}
	return e.AppendTo(nil)
}

func decode(t testing.TB, envelope []byte) (aaa.Record, int) {
	t.Helper()
	var r aaa.Record
	malformed, err := aaa.NewDecoder(dictionary.Embedded()).Decode(envelope, &r)
	require.NoError(t, err)
	return r, malformed
}

func TestDecodeEverything(t *testing.T) {
	r, malformed := decode(t, envelope(t, `User-Name = "alice", Acct-Status-Type = Stop, Acct-Session-Id = "00000A1",
		Acct-Multi-Session-Id = "m1", NAS-IP-Address = 192.0.2.1, NAS-IPv6-Address = 2001:db8::1, NAS-Identifier = "bras",
		NAS-Port = 17, NAS-Port-Id = "ge-0/0/1", Framed-IP-Address = 10.1.2.3, Framed-IPv6-Address = 2001:db8:1::5,
		Framed-IPv6-Prefix = 2001:db8:2::/64, Delegated-IPv6-Prefix = 2001:db8:3::/56,
		Calling-Station-Id = "AA-BB-CC-00-11-22", Called-Station-Id = "ap:ssid", Class = 0x616263,
		Event-Timestamp = "Mar 10 2026 11:59:00 UTC", Acct-Delay-Time = 30, Acct-Session-Time = 3600,
		Acct-Input-Octets = 5, Acct-Input-Gigawords = 2, Acct-Output-Octets = 7, Acct-Output-Gigawords = 1,
		Acct-Input-Packets = 11, Acct-Output-Packets = 13, Acct-Terminate-Cause = User-Request`))
	assert.Zero(t, malformed)
	assert.Equal(t, aaa.Record{
		Status: aaa.AcctStop, AcctSessionID: "00000A1", AcctMultiSessionID: "m1", Username: "alice", NASID: uuid.UUID{1},
		NASAddr: netip.MustParseAddr("192.0.2.1"), NASIdentifier: "bras", NASPort: 17, NASPortID: "ge-0/0/1",
		FramedIP: netip.MustParseAddr("10.1.2.3"), FramedIPv6: netip.MustParseAddr("2001:db8:1::5"),
		FramedIPv6Prefix: netip.MustParsePrefix("2001:db8:2::/64"), DelegatedPrefix: netip.MustParsePrefix("2001:db8:3::/56"),
		CallingStationID: "AA-BB-CC-00-11-22", CalledStationID: "ap:ssid", Class: []byte("abc"),
		EventTime: time.Date(2026, 3, 10, 11, 59, 0, 0, time.UTC), ReceivedAt: receivedAt, Delay: 30 * time.Second,
		HasSeconds: true, HasOctets: true, HasGigawords: true, SessionSeconds: 3600,
		InputOctets: 2<<32 + 5, OutputOctets: 1<<32 + 7, InputPackets: 11, OutputPackets: 13, TerminateCause: "User-Request",
	}, r)
}

func TestDecodeEventTime(t *testing.T) {
	const base = "Acct-Status-Type = Start, Acct-Session-Id = s, NAS-Identifier = n"
	for name, c := range map[string]struct {
		attributes string
		event      time.Time
		derived    bool
		clockOff   bool
	}{
		"arrival":                    {"", receivedAt, true, false},
		"arrival less delay":         {", Acct-Delay-Time = 90", receivedAt.Add(-90 * time.Second), true, false},
		"Event-Timestamp":            {`, Event-Timestamp = "Mar 10 2026 11:00:00 UTC"`, time.Date(2026, 3, 10, 11, 0, 0, 0, time.UTC), false, false},
		"both: delay does not count": {`, Event-Timestamp = "Mar 10 2026 11:00:00 UTC", Acct-Delay-Time = 90`, time.Date(2026, 3, 10, 11, 0, 0, 0, time.UTC), false, false},
		"far behind":                 {`, Event-Timestamp = "Mar 10 2025 11:00:00 UTC"`, time.Date(2025, 3, 10, 11, 0, 0, 0, time.UTC), false, true},
		"far ahead":                  {`, Event-Timestamp = "Mar 11 2026 12:00:00 UTC"`, time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC), false, true},
		"impossibly far ahead":       {`, Event-Timestamp = "Mar 12 2026 12:00:00 UTC"`, receivedAt, true, true},
		"the end of time":            {", Event-Timestamp = 4294967295, Acct-Delay-Time = 2", receivedAt.Add(-2 * time.Second), true, true},
		"a clock that was never set": {`, Event-Timestamp = "Jan  1 1970 00:05:00 UTC", Acct-Delay-Time = 1`, receivedAt.Add(-time.Second), true, true},
		"an absurd delay":            {", Acct-Delay-Time = 4294967295", receivedAt, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := decode(t, envelope(t, base+c.attributes))
			assert.Equal(t, c.event, r.EventTime)
			assert.Equal(t, c.derived, r.EventDerived)
			assert.Equal(t, c.clockOff, r.ClockOff)
		})
	}
}

func TestDecodeNAS(t *testing.T) {
	const base = "Acct-Status-Type = Start, Acct-Session-Id = s"
	for attributes, want := range map[string]string{
		", NAS-Identifier = n":                                         "198.51.100.7",
		", NAS-IP-Address = 192.0.2.1":                                 "192.0.2.1",
		", NAS-IPv6-Address = 2001:db8::1":                             "2001:db8::1",
		", NAS-IPv6-Address = 2001:db8::1, NAS-IP-Address = 192.0.2.1": "192.0.2.1",
		", NAS-IP-Address = 0.0.0.0":                                   "198.51.100.7",
	} {
		r, _ := decode(t, envelope(t, base+attributes))
		assert.Equal(t, netip.MustParseAddr(want), r.NASAddr, attributes)
	}
}

func TestDecodeIsLenient(t *testing.T) {
	attributes := radius.AppendUint32(nil, radius.TypeAcctStatusType, 3)
	attributes = radius.AppendString(attributes, radius.TypeAcctSessionID, "s")
	attributes = radius.AppendString(attributes, radius.TypeUserName, "al\x00ice\xff")
	attributes = radius.AppendAttribute(attributes, radius.TypeAcctSessionTime, []byte{1, 2})
	attributes = radius.AppendAttribute(attributes, radius.TypeFramedIPAddress, []byte{10, 0, 0})
	attributes = radius.AppendAttribute(attributes, radius.TypeDelegatedIPv6Prefix, []byte{0, 200})
	attributes = radius.AppendUint32(attributes, radius.TypeAcctInputOctets, 7)
	attributes = radius.AppendUint32(attributes, radius.TypeAcctInputOctets, 9) // a second one does not count
	attributes = radius.AppendUint32(attributes, radius.TypeAcctTerminateCause, 4711)
	attributes = append(attributes, byte(radius.TypeFramedIPv6Prefix), 12, 0, 32, 0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0xff, 0xff) // bits past the length
	r, malformed := decode(t, wrap(attributes))
	assert.Equal(t, 3, malformed)
	assert.Equal(t, `al\x00ice\xff`, r.Username)
	assert.False(t, r.HasSeconds)
	assert.False(t, r.FramedIP.IsValid())
	assert.False(t, r.DelegatedPrefix.IsValid())
	assert.Equal(t, uint64(7), r.InputOctets)
	assert.Equal(t, "4711", r.TerminateCause)
	assert.Equal(t, netip.MustParsePrefix("2001:db8::/32"), r.FramedIPv6Prefix)
}

func TestDecodeClass(t *testing.T) {
	ours, later := aaa.AppendClass(nil, aaa.Nonce{1}), aaa.AppendClass(nil, aaa.Nonce{2})
	for name, c := range map[string]struct {
		sent [][]byte
		want []byte
	}{
		"ours, wherever it stands": {[][]byte{[]byte("theirs"), ours, later}, ours},
		"else the first":           {[][]byte{[]byte("a"), []byte("b")}, []byte("a")},
	} {
		attributes := radius.AppendUint32(nil, radius.TypeAcctStatusType, 1)
		for _, class := range c.sent {
			attributes = radius.AppendAttribute(attributes, radius.TypeClass, class)
		}
		r, malformed := decode(t, wrap(attributes))
		assert.Zero(t, malformed)
		assert.Equal(t, c.want, r.Class, name)
	}
}

func TestDecodeGigawordsNeverNegative(t *testing.T) {
	r, _ := decode(t, envelope(t, "Acct-Status-Type = Stop, Acct-Session-Id = s, Acct-Input-Octets = 4294967295, Acct-Input-Gigawords = 4294967295"))
	assert.Equal(t, uint64(math.MaxInt64), r.InputOctets)
	assert.Positive(t, int64(r.InputOctets))
}

func TestDecodeRefuses(t *testing.T) {
	whole := envelope(t, "Acct-Status-Type = Start, Acct-Session-Id = s")
	version := append([]byte{2}, whole[1:]...)
	family := append([]byte(nil), whole...)
	family[9] = 5
	code := append([]byte(nil), whole...)
	code[42] = byte(radius.AccessRequest)
	for name, b := range map[string][]byte{
		"nothing": nil, "a cut header": whole[:41], "a cut packet": whole[:len(whole)-1], "another version": version,
		"another family": family, "another code": code, "no status": envelope(t, "Acct-Session-Id = s"),
		"an unknown status": envelope(t, "Acct-Status-Type = 99, Acct-Session-Id = s"),
	} {
		var r aaa.Record
		_, err := aaa.NewDecoder(dictionary.Embedded()).Decode(b, &r)
		assert.Error(t, err, name)
	}
}

func TestEnvelopeKeepsItsForm(t *testing.T) {
	for _, source := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"} {
		packet := radius.AppendHeader(nil, radius.AccountingRequest, 1, new([16]byte))
		radius.SetLength(packet)
		want := aaa.Envelope{Received: receivedAt, Source: netip.MustParseAddr(source), NASID: uuid.UUID{7}, Packet: packet}
		got, err := aaa.ParseEnvelope(want.AppendTo(nil))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(envelope(f, "Acct-Status-Type = Start, Acct-Session-Id = s, User-Name = alice, NAS-Port = 3, Class = 0x01"))
	f.Add(envelope(f, "Acct-Status-Type = Stop, Acct-Session-Id = s, Acct-Input-Gigawords = 4294967295, Acct-Delay-Time = 4294967295"))
	f.Add(envelope(f, "Acct-Status-Type = Accounting-On, NAS-Identifier = n, Event-Timestamp = 0"))
	f.Add(envelope(f, "Acct-Status-Type = Interim-Update, Acct-Session-Id = s, Framed-IPv6-Prefix = 2001:db8::/64"))
	decoder := aaa.NewDecoder(dictionary.Embedded())
	f.Fuzz(func(t *testing.T, b []byte) {
		var r aaa.Record
		if _, err := decoder.Decode(b, &r); err != nil {
			return
		}
		for _, text := range []string{r.Username, r.AcctSessionID, r.NASIdentifier, r.CallingStationID} {
			if strings.ToValidUTF8(text, "?") != text || strings.Contains(text, "\x00") {
				t.Fatalf("%q is no text", text)
			}
		}
		for _, n := range []uint64{r.SessionSeconds, r.InputOctets, r.OutputOctets} {
			if n > math.MaxInt64 {
				t.Fatal("negative in SQL")
			}
		}
		e, err := aaa.ParseEnvelope(b)
		require.NoError(t, err)
		require.Equal(t, int64(binary.BigEndian.Uint64(b[1:9])), e.Received.UnixMicro())
		var again aaa.Record
		_, err = decoder.Decode(e.AppendTo(nil), &again)
		require.NoError(t, err)
		require.Equal(t, r, again)

		live := newLive()
		live.Apply(&r)
		require.NotEqual(t, uuid.Nil, r.ID)
		if s, ok := live.Session(r.SessionID); ok {
			require.Equal(t, r.AcctSessionID, s.AcctSessionID)
			require.Equal(t, r.Username, s.Username)
		}
	})
}

func FuzzProvenance(f *testing.F) {
	s := storedOneF(f)
	f.Add(s)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again aaa.Provenance
		if p.Scan(b) != nil {
			return
		}
		value, err := p.Value()
		require.NoError(t, err)
		require.NoError(t, again.Scan(value))
		require.Equal(t, p, again)
	})
}

// storedOneF is a stored Provenance.
func storedOneF(t testing.TB) []byte {
	store := newFakeStore()
	store.write(t, resolved([]aaa.Record{rec(aaa.AcctStart, 0, station("x")), rec(aaa.AcctInterim, 5, port("p"))}))
	b, err := store.rows()[0].Provenance.Value()
	require.NoError(t, err)
	return b.([]byte)
}

func BenchmarkDecodeRecord(b *testing.B) {
	e := envelope(b, `User-Name = "alice", Acct-Status-Type = Interim-Update, Acct-Session-Id = "00000A1", NAS-IP-Address = 192.0.2.1,
		NAS-Port = 17, Framed-IP-Address = 10.1.2.3, Calling-Station-Id = "AA-BB-CC-00-11-22", Called-Station-Id = "ap:ssid",
		Event-Timestamp = "Mar 10 2026 11:59:00 UTC", Acct-Session-Time = 3600, Acct-Input-Octets = 5, Acct-Output-Octets = 7`)
	decoder := aaa.NewDecoder(dictionary.Embedded())
	b.ReportAllocs()
	for b.Loop() {
		var r aaa.Record
		if _, err := decoder.Decode(e, &r); err != nil {
			b.Fatal(err)
		}
	}
}
