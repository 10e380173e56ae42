package aaa_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/radius"
)

// benchEnvelope is an interim as a NAS sends it, of the length that most have.
type benchEnvelope struct {
	octets  []byte
	counted int // where Event-Timestamp, Acct-Session-Time and the counters stand, six octets each
}

func newBenchEnvelope(n int, class bool) benchEnvelope {
	p := radius.AppendHeader(nil, radius.AccountingRequest, 1, new([16]byte))
	at := len(p)
	p = radius.AppendUint32(p, radius.TypeEventTimestamp, 0)
	p = radius.AppendUint32(p, radius.TypeAcctSessionTime, 0)
	p = radius.AppendUint32(p, radius.TypeAcctInputOctets, 0)
	p = radius.AppendUint32(p, radius.TypeAcctOutputOctets, 0)
	p = radius.AppendUint32(p, radius.TypeAcctInputPackets, 0)
	p = radius.AppendUint32(p, radius.TypeAcctOutputPackets, 0)
	p = radius.AppendUint32(p, radius.TypeAcctStatusType, uint32(aaa.AcctInterim))
	p = radius.AppendUint32(p, radius.TypeAcctInputGigawords, 0)
	p = radius.AppendUint32(p, radius.TypeAcctOutputGigawords, 0)
	p = radius.AppendString(p, radius.TypeUserName, fmt.Sprintf("user%07d@example.net", n))
	p = radius.AppendString(p, radius.TypeAcctSessionID, fmt.Sprintf("8%07x", n))
	p = radius.AppendString(p, radius.TypeCallingStationID, fmt.Sprintf("00-11-22-%02X-%02X-%02X", byte(n>>16), byte(n>>8), byte(n)))
	p = radius.AppendString(p, radius.TypeCalledStationID, "hotspot1")
	p = radius.AppendString(p, radius.TypeNASIdentifier, fmt.Sprintf("bras-%d", n%16))
	p = radius.AppendString(p, radius.TypeNASPortID, fmt.Sprintf("ge-0/0/%d.%d", n%4, n))
	p = radius.AppendUint32(p, radius.TypeNASIPAddress, 0xc0000200|uint32(n%16))
	p = radius.AppendUint32(p, radius.TypeFramedIPAddress, 0x0a000000|uint32(n))
	p = radius.AppendUint32(p, radius.TypeNASPort, uint32(n))
	p = radius.AppendUint32(p, radius.TypeAcctDelayTime, 0)
	if class {
		var nonce aaa.Nonce
		binary.BigEndian.PutUint64(nonce[:], uint64(n)+1)
		p = radius.AppendAttribute(p, radius.TypeClass, aaa.AppendClass(nil, nonce))
	}
	radius.SetLength(p)
	e := aaa.Envelope{Received: receivedAt, Source: netip.MustParseAddr("198.51.100.7"), NASID: uuid.UUID{1}, Packet: p}
	b := e.AppendTo(nil)
	return benchEnvelope{octets: b, counted: len(b) - len(p) + at + 2}
}

// count makes it the interim of a round, five minutes after the one before.
func (e *benchEnvelope) count(round int) {
	at := receivedAt.Add(time.Duration(round) * 5 * time.Minute)
	binary.BigEndian.PutUint64(e.octets[1:], uint64(at.UnixMicro()))
	for i, n := range []uint32{uint32(at.Unix()), uint32(300 * (round + 1)), uint32(round) << 16, uint32(round) << 20, uint32(round) << 8, uint32(round) << 12} {
		binary.BigEndian.PutUint32(e.octets[e.counted+6*i:], n)
	}
}

// TestLiveSessionsKeepNothingOfARecord: what they are fed may be overwritten after
// Observe, as the journal's readers do it.
func TestLiveSessionsKeepNothingOfARecord(t *testing.T) {
	opt := aaa.LiveOptions{Now: func() time.Time { return receivedAt.Add(time.Hour) }}
	kept, viewed := aaa.NewLiveSessions(opt), aaa.NewLiveSessions(opt)
	d := aaa.NewDecoder(dictionary.Embedded())
	var buf []byte
	var view aaa.Record
	apply := func(envelope []byte) {
		var r aaa.Record
		_, err := d.Decode(envelope, &r)
		require.NoError(t, err)
		kept.Apply(&r)

		buf = append(buf[:0], envelope...)
		_, err = d.DecodeView(buf, &view)
		require.NoError(t, err)
		viewed.Observe(&view)
		for i := range buf {
			buf[i] = 'x'
		}
	}
	const nas = `, NAS-Identifier = "bras", NAS-IP-Address = 192.0.2.1`
	apply(envelope(t, `Acct-Status-Type = Accounting-On`+nas))
	for i := range 20 {
		for _, class := range []bool{true, false} {
			e := newBenchEnvelope(2*i+len(strconv.FormatBool(class))-4, class)
			for round := range 3 {
				e.count(round)
				apply(e.octets)
			}
		}
	}
	for _, status := range []string{"Start", "Interim-Update", "Stop"} {
		apply(envelope(t, `User-Name = "alice", Acct-Session-Id = "A1", Calling-Station-Id = "AA-BB-CC-00-11-22", NAS-Port-Id = "p",
			Called-Station-Id = "ap", Class = 0x616263, Acct-Terminate-Cause = 9999, Acct-Status-Type = `+status+nas))
	}
	apply(envelope(t, `User-Name = "alice", Acct-Session-Id = "A2", Acct-Status-Type = Start`+nas))
	apply(envelope(t, `Acct-Status-Type = Accounting-Off`+nas))
	require.Equal(t, show(liveRows(kept)), show(liveRows(viewed)))
	require.Equal(t, kept.Resolver().Boots(uuid.UUID{1}, netip.MustParseAddr("192.0.2.1"), "bras"),
		viewed.Resolver().Boots(uuid.UUID{1}, netip.MustParseAddr("192.0.2.1"), "bras"))
	require.Len(t, viewed.Resolver().Boots(uuid.UUID{1}, netip.MustParseAddr("192.0.2.1"), "bras"), 2)
}

// TestBatchesAreTheSameAsRecordsOneByOne: also where a boot of the NAS stands among them,
// after which the same Acct-Session-Id is another session.
func TestBatchesAreTheSameAsRecordsOneByOne(t *testing.T) {
	opt := aaa.LiveOptions{Now: func() time.Time { return receivedAt.Add(time.Hour) }}
	single, batched := aaa.NewLiveSessions(opt), aaa.NewLiveSessions(opt)
	d := aaa.NewDecoder(dictionary.Embedded())
	var records []aaa.Record
	add := func(envelope []byte) {
		var r aaa.Record
		_, err := d.Decode(envelope, &r)
		require.NoError(t, err)
		records = append(records, r)
	}
	const nas = `, NAS-Identifier = "bras-1", NAS-IP-Address = 192.0.2.1`
	for round := range 3 {
		for i := range 3 * aaa.LiveBatch / 2 {
			e := newBenchEnvelope(1+16*i, i%3 == 0)
			e.count(round)
			add(e.octets)
			if i == 40 {
				at := receivedAt.Add(time.Duration(round)*5*time.Minute - time.Minute).Unix()
				add(envelope(t, fmt.Sprintf("Acct-Status-Type = Accounting-On, Event-Timestamp = %d%s", at, nas)))
			}
		}
	}
	for i := range records {
		single.Observe(&records[i])
	}
	for from := 0; from < len(records); { // of all sizes
		n := min(1+from%(2*aaa.LiveBatch), len(records)-from)
		batched.ObserveBatch(records[from : from+n])
		from += n
	}
	rows := show(liveRows(single))
	require.Equal(t, rows, show(liveRows(batched)))
	require.Contains(t, rows, aaa.CauseReboot)
	require.Greater(t, len(liveRows(single)), 3*aaa.LiveBatch/2, "a boot begins other sessions")
}

// BenchmarkLiveStage is what the live sessions cost for each record of the journal:
// interims of 100,000 sessions, decoded and applied.
func BenchmarkLiveStage(b *testing.B) {
	for name, class := range map[string]bool{"with Class": true, "without Class": false} {
		b.Run(name, func(b *testing.B) {
			const n = 100_000
			now := receivedAt
			l := aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return now }})
			d := aaa.NewDecoder(dictionary.Embedded())
			envelopes := make([]benchEnvelope, n)
			records := make([]aaa.Record, 0, aaa.LiveBatch)
			apply := func(i int) {
				e := &envelopes[i%n]
				e.count(i / n)
				now = receivedAt.Add(time.Duration(i) * 3 * time.Millisecond)
				records = records[:len(records)+1]
				if _, err := d.DecodeView(e.octets, &records[len(records)-1]); err != nil {
					b.Fatal(err)
				}
				if len(records) == aaa.LiveBatch {
					l.ObserveBatch(records)
					records = records[:0]
				}
			}
			for i := range n {
				envelopes[i] = newBenchEnvelope(i, class)
			}
			for i := range n {
				apply(i)
			}
			b.ReportAllocs()
			for i := n; b.Loop(); i++ {
				apply(i)
			}
		})
	}
}
