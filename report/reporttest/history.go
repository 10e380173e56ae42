package reporttest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// History is what some NASes have sent, in the order that it was received, with
// what is known of the sessions beside their records.
type History struct {
	Zone      *time.Location
	Records   []aaa.Record  // resolved
	Closings  []aaa.Closing // sessions of which nothing was heard for too long
	Decisions []aaa.AuthRecord
	lives     []life
}

// life is one session as it was.
type life struct {
	records []aaa.Record
	started time.Time // as the records tell
	last    time.Time // the latest record
	stopped time.Time // zero: never
	cause   string
	// inferred: nobody has sent a Stop.
	inferred bool
}

var (
	users = []string{"alice", "bob", "carol", "dora", "Ünal", "eve"}
	plans = []string{"home", "gold", ""}
	nases = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}
)

// NewHistory draws a history of about two weeks in the zone's time. The same seed
// gives the same one. It spans the beginning of November, and in Europe/Vienna
// the end of daylight saving time.
func NewHistory(zone *time.Location, seed uint64, sessions int) *History {
	begin := time.Date(2026, 10, 20, 0, 0, 0, 0, zone)
	boot := time.Date(2026, 10, 28, 13, 0, 0, 0, zone) // of the second NAS
	resolver := aaa.NewResolver()
	resolver.Learn([]aaa.SeenBoot{{Boot: aaa.Boot{NASAddr: nases[1], NASIdentifier: "nas", Status: aaa.AcctOn, At: boot.UTC()}}})
	h := &drawing{History: History{Zone: zone}, rand: rand.New(rand.NewPCG(seed, 1)), resolver: resolver}
	for n := range sessions {
		h.session(n, begin.Add(h.upTo(15*24*time.Hour)), boot)
	}
	h.add(&aaa.Record{Status: aaa.AcctOn, NASAddr: nases[1], NASIdentifier: "nas", EventTime: boot.UTC(), ReceivedAt: boot.UTC()})
	slices.SortStableFunc(h.Records, func(a, b aaa.Record) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.SessionSeconds, b.SessionSeconds))
	})
	for range 3 * sessions {
		h.decision(begin.Add(h.upTo(15 * 24 * time.Hour)))
	}
	return &h.History
}

// drawing is a History that is being drawn.
type drawing struct {
	History
	rand     *rand.Rand
	resolver *aaa.Resolver
}

// upTo draws a whole number of seconds.
func (h *drawing) upTo(d time.Duration) time.Duration {
	return time.Duration(h.rand.Int64N(int64(d/time.Second)+1)) * time.Second
}

func (h *drawing) chance(percent int) bool { return h.rand.IntN(100) < percent }

func (h *drawing) add(r *aaa.Record) {
	h.resolver.Resolve(r)
	h.Records = append(h.Records, *r)
}

// session draws a session that begins at a time.
func (h *drawing) session(n int, started, boot time.Time) {
	if h.chance(20) {
		started = started.Truncate(time.Hour) // so that records fall on full hours, and midnight
	}
	r := aaa.Record{
		AcctSessionID: fmt.Sprintf("%08x", n), Username: users[h.rand.IntN(len(users))], NASAddr: nases[h.rand.IntN(len(nases))],
		NASIdentifier: "nas", NASPortID: "port", CallingStationID: fmt.Sprintf("02-00-00-00-%02X-%02X", n>>8, n&255), Plan: plans[h.rand.IntN(len(plans))],
	}
	if h.chance(5) {
		r.Username = ""
	}
	h.addresses(&r)
	interval, lasts := h.upTo(2*time.Hour)+time.Minute, h.upTo(30*time.Hour)
	switch {
	case h.chance(20): // no interims
		interval, lasts = 1000*time.Hour, h.upTo(6*24*time.Hour)
	case h.chance(20):
		interval = time.Hour
	}
	l := life{started: started.UTC()}
	wraps, startLost, stopLost := h.chance(25), h.chance(10), h.chance(15)
	if r.NASAddr == nases[1] && started.Before(boot) && started.Add(lasts+time.Hour).After(boot) {
		stopLost = true // the NAS has lost it
	}
	rate := 1 + h.rand.Uint64N(3_000_000)
	var in, out uint64
	record := func(status aaa.AcctStatus, after time.Duration) {
		x := r
		x.Status, x.EventTime = status, started.Add(after).UTC()
		if r.NASAddr == nases[1] && started.Before(boot) && !x.EventTime.Before(boot) {
			return
		}
		x.ReceivedAt = x.EventTime.Add(time.Second)
		if status != aaa.AcctStart {
			x.HasSeconds, x.SessionSeconds = true, uint64(after/time.Second)
			x.HasOctets, x.HasGigawords, x.InputOctets, x.OutputOctets = true, !wraps, in, out
			if wraps {
				x.InputOctets, x.OutputOctets = in&(1<<32-1), out&(1<<32-1)
			}
		}
		if status == aaa.AcctStop {
			x.TerminateCause = []string{"User-Request", "Idle-Timeout", "Lost-Carrier", ""}[h.rand.IntN(4)]
			l.stopped, l.cause = x.EventTime, x.TerminateCause
		}
		h.add(&x)
		l.records, l.last = append(l.records, x), x.EventTime
	}
	use := func(d time.Duration) {
		seconds := uint64(d / time.Second)
		more, much := seconds*rate/10, seconds*(rate+h.rand.Uint64N(rate))
		if wraps { // no more than one wrap in between can be seen
			more, much = min(more, 1<<31-1), min(much, 1<<31-1)
		}
		in, out = in+more, out+much
	}
	if !startLost {
		record(aaa.AcctStart, 0)
	}
	at := time.Duration(0)
	for at+interval < lasts {
		at += interval
		use(interval)
		if h.chance(3) {
			r.Plan = plans[h.rand.IntN(len(plans))]
		}
		record(aaa.AcctInterim, at)
	}
	if !stopLost {
		use(lasts - at)
		record(aaa.AcctStop, lasts)
	}
	if len(l.records) == 0 {
		return
	}
	if l.stopped.IsZero() {
		l.inferred = true
		switch {
		case r.NASAddr == nases[1] && started.Before(boot):
			l.stopped, l.cause = boot.UTC(), aaa.CauseReboot
		case h.chance(70):
			l.stopped, l.cause = l.last, aaa.CauseLapsed
			h.Closings = append(h.Closings, aaa.Closing{SessionID: l.records[0].SessionID, StoppedAt: l.last})
		}
	}
	h.lives = append(h.lives, l)
}

// addresses draws what a session has of each kind.
func (h *drawing) addresses(r *aaa.Record) {
	n := byte(h.rand.IntN(12))
	if h.chance(70) {
		r.FramedIP = netip.AddrFrom4([4]byte{10, 0, 0, n})
	}
	v6 := netip.MustParseAddr("2001:db8:1::").As16()
	v6[7], v6[15] = n, n
	address := netip.AddrFrom16(v6)
	if h.chance(30) {
		r.FramedIPv6 = address
	}
	if h.chance(40) {
		r.FramedIPv6Prefix, _ = address.Prefix([]int{64, 60, 128}[h.rand.IntN(3)])
	}
	if h.chance(40) {
		r.DelegatedPrefix, _ = address.Prefix([]int{56, 48, 63}[h.rand.IntN(3)])
	}
}

func (h *drawing) decision(at time.Time) {
	d := aaa.AuthRecord{ID: uuid.UUID(h.id()), At: at.UTC(), Username: users[h.rand.IntN(len(users))], NASAddr: nases[h.rand.IntN(len(nases))], Method: aaa.MethodPAP}
	reasons := []aaa.Reason{aaa.ReasonAccepted, aaa.ReasonUnknownUser, aaa.ReasonWrongPassword, aaa.ReasonExpired, aaa.ReasonSimultaneousUse}
	d.Reason = reasons[h.rand.IntN(len(reasons))]
	d.Accepted = d.Reason == aaa.ReasonAccepted
	h.Decisions = append(h.Decisions, d)
}

func (h *drawing) id() (id [16]byte) {
	for i := range id {
		id[i] = byte(h.rand.UintN(256))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}
