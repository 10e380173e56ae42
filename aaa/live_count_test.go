package aaa

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var countedFrom = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// attributesOfRecords are what NASes change during a session, leave out, and send again.
var attributesOfRecords = []func(r *Record, n int){
	func(r *Record, n int) { r.Username = []string{"", "alice", "alice2", "bob"}[n] },
	func(r *Record, n int) { r.AcctMultiSessionID = []string{"", "m", "mm", "n"}[n] },
	func(r *Record, n int) { r.NASID = uuid.UUID{byte(n)} },
	func(r *Record, n int) { r.NASIdentifier = []string{"", "bras", "bras1", "c"}[n] },
	func(r *Record, n int) { r.NASPort = uint32(n) << 28 },
	func(r *Record, n int) { r.NASPortID = []string{"", "p", "q", "\x00\x00"}[n] },
	func(r *Record, n int) {
		r.FramedIP = []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("::ffff:10.0.0.1")}[n]
	},
	func(r *Record, n int) {
		r.FramedIPv6 = []netip.Addr{{}, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("::")}[n]
	},
	func(r *Record, n int) { r.FramedIPv6Prefix = prefixes[n] },
	func(r *Record, n int) { r.DelegatedPrefix = prefixes[n] },
	func(r *Record, n int) { r.CallingStationID = []string{"", "aa", "aabb", "cc"}[n] },
	func(r *Record, n int) { r.CalledStationID = []string{"", "ap", "ap:ssid", "b"}[n] },
	func(r *Record, n int) {
		r.Class = [][]byte{nil, []byte("c"), AppendClass(nil, Nonce{1}), AppendClass(nil, Nonce{2})}[n]
	},
	func(r *Record, n int) { r.Plan = []string{"", "home", "home2", "office"}[n] },
	func(r *Record, n int) { r.NASAddr = netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) },
}

var prefixes = []netip.Prefix{{}, netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2001:db8::/48"), netip.MustParsePrefix("::/0")}

// drawNext makes up the record after r.
func drawNext(t *rapid.T, r *Record) {
	seldom := func(name string) bool {
		return rapid.SampledFrom([]bool{false, false, false, false, true}).Draw(t, name)
	}
	r.Status = AcctInterim
	if seldom("another status") {
		r.Status = rapid.SampledFrom([]AcctStatus{AcctStart, AcctStop, AcctOn, AcctOff}).Draw(t, "status")
	}
	step := rapid.SampledFrom([]int{300, 300, 300, 300, 1, 0, -300}).Draw(t, "later by")
	r.EventTime = r.EventTime.Add(time.Duration(step) * time.Second)
	r.ReceivedAt, r.ClockOff = r.EventTime.Add(time.Second), seldom("clock off")
	r.HasSeconds = !seldom("no seconds")
	r.SessionSeconds += uint64(max(step, -int(r.SessionSeconds)) + rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "jitter"))
	r.HasOctets, r.HasGigawords = !seldom("no octets"), rapid.Bool().Draw(t, "gigawords")
	for _, octets := range []*uint64{&r.InputOctets, &r.OutputOctets} {
		*octets += rapid.SampledFrom([]uint64{0, 1000, 1 << 20, 1 << 31, 1 << 51}).Draw(t, "octets")
		if !r.HasGigawords {
			*octets &= 1<<32 - 1
		}
	}
	r.InputPackets += rapid.Uint64Range(0, 2).Draw(t, "packets")
	r.OutputPackets -= min(r.OutputPackets, rapid.Uint64Range(0, 1).Draw(t, "packets less"))
	if seldom("another attribute") {
		set := rapid.SampledFrom(attributesOfRecords).Draw(t, "attribute")
		set(r, rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, "value"))
	}
}

// TestCountingOnIsMerging: what an interim changes without being merged is what it changes
// when it is.
func TestCountingOnIsMerging(t *testing.T) {
	counted, merged := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		l := NewLiveSessions(LiveOptions{Now: func() time.Time { return countedFrom }})
		r := Record{AcctSessionID: "s", Username: "alice", NASAddr: netip.MustParseAddr("192.0.2.1"), EventTime: countedFrom}
		for _, set := range attributesOfRecords {
			set(&r, rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, "first value"))
		}
		for range rapid.IntRange(2, 60).Draw(t, "records") {
			drawNext(t, &r)
			l.resolver.resolveSession(&r)
			ls := l.session(&r)
			if ls == nil || !r.Status.session() {
				l.Observe(&r)
				continue
			}
			var before, want, got Session
			ls.load(&before)
			ls.load(&want)
			wantStep := StepOf(&want, &r)
			step, ok := l.countOn(ls, &r)
			ls.load(&got)
			if ok {
				counted++
				require.Equal(t, want, got)
				require.Equal(t, wantStep, step)
				require.True(t, got.SameButCounters(&before))
				continue
			}
			merged++
			require.Equal(t, before, got)
			l.Observe(&r)
			if ls.load(&got); r.Status != AcctStart && !before.StopInferred {
				require.Equal(t, want, got)
			}
		}
	})
	require.Positive(t, counted)
	require.Positive(t, merged)
}

// TestInterimsCountOn: those of a session that goes on are not merged, also where its Start
// was lost, or its counters have wrapped.
func TestInterimsCountOn(t *testing.T) {
	for _, first := range []AcctStatus{AcctStart, AcctInterim} {
		l := NewLiveSessions(LiveOptions{Now: func() time.Time { return countedFrom }})
		r := Record{Status: first, AcctSessionID: "s", EventTime: countedFrom, HasSeconds: true, HasOctets: true}
		for _, set := range attributesOfRecords {
			set(&r, 1)
		}
		l.Observe(&r)
		for n := range 5 {
			r.Status, r.EventTime, r.SessionSeconds = AcctInterim, r.EventTime.Add(time.Minute), r.SessionSeconds+60
			r.InputOctets = (r.InputOctets + 1<<31 + 1<<30) % (1 << 32)
			l.resolver.resolveSession(&r)
			_, ok := l.countOn(l.session(&r), &r)
			if n == 1 {
				require.False(t, ok, "it has wrapped for the first time")
				l.Observe(&r)
				continue
			}
			require.True(t, ok)
		}
	}
}

// TestNASThatWrapsIsNamedAgainAfterARestart: although the session then only counts on.
func TestNASThatWrapsIsNamedAgainAfterARestart(t *testing.T) {
	var log bytes.Buffer
	l := NewLiveSessions(LiveOptions{Now: func() time.Time { return countedFrom }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r := Record{
		Status: AcctInterim, AcctSessionID: "s", Username: "alice", NASAddr: netip.MustParseAddr("192.0.2.1"),
		EventTime: countedFrom, HasSeconds: true, HasOctets: true,
	}
	l.resolver.resolveSession(&r)
	stored := Session{CounterWrapped: true, StartInferred: true}
	stored.Merge(&r)
	l.loadSession(&stored, countedFrom)
	for range 2 {
		r.EventTime, r.SessionSeconds = r.EventTime.Add(time.Minute), r.SessionSeconds+60
		l.Observe(&r)
		require.Equal(t, 1, strings.Count(log.String(), "nas=192.0.2.1"), "once")
	}
}

// TestPackedSessions: a session comes back as it was, also one whose attributes and their
// provenance do not go together.
func TestPackedSessions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := func(name string) int64 { return rapid.Int64Range(0, 4).Draw(t, name) * 1e15 }
		var r Record
		for _, set := range attributesOfRecords {
			set(&r, rapid.IntRange(0, 3).Draw(t, "value"))
		}
		want := Session{
			AcctSessionID: rapid.String().Draw(t, "id"), AcctMultiSessionID: r.AcctMultiSessionID, NASPort: r.NASPort, NASPortID: r.NASPortID,
			FramedIP: r.FramedIP, FramedIPv6: r.FramedIPv6, FramedIPv6Prefix: r.FramedIPv6Prefix, DelegatedPrefix: r.DelegatedPrefix,
			CallingStationID: r.CallingStationID, CalledStationID: rapid.StringN(0, 200, 1000).Draw(t, "long"), Class: r.Class, Plan: r.Plan,
			StartedAt: time.UnixMicro(moment("started")).UTC(), StartInferred: rapid.Bool().Draw(t, "start inferred"),
			UpdatedAt: time.UnixMicro(moment("updated")).UTC(), StopInferred: rapid.Bool().Draw(t, "stop inferred"),
			SessionSeconds: rapid.Uint64().Draw(t, "seconds"), InputOctets: rapid.Uint64().Draw(t, "in"), OutputOctets: 2, InputPackets: 3, OutputPackets: 4,
			TerminateCause: r.AcctMultiSessionID, CounterWrapped: rapid.Bool().Draw(t, "wrapped"),
		}
		if rapid.Bool().Draw(t, "stopped") {
			want.StoppedAt = time.UnixMicro(moment("stop")).UTC()
		}
		for a := range want.Provenance.at {
			want.Provenance.at[a] = moment("since")
		}
		got, counters := Session{Plan: "left over"}, countersOf(&want)
		unpack(string(appendPacked(nil, &want)), &counters, &got)
		require.Equal(t, want, got)
	})
}
