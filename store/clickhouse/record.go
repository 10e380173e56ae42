package clickhouse

import (
	"math"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// recordColumns are the columns of accounting_records.
func recordColumns(location *time.Location) []column[aaa.Record] {
	type record = aaa.Record
	days := dayOf(location)
	return []column[record]{
		id("record_id", func(r *record) uuid.UUID { return r.ID }),
		id("session_id", func(r *record) uuid.UUID { return r.SessionID }),
		text("acct_session_id", func(r *record) string { return r.AcctSessionID }),
		text("acct_multi_session_id", func(r *record) string { return r.AcctMultiSessionID }),
		text("status", func(r *record) string { return r.Status.String() }),
		text("username", func(r *record) string { return r.Username }),
		text("plan", func(r *record) string { return r.Plan }),
		id("nas_id", func(r *record) uuid.UUID { return r.NASID }),
		octets("nas_ip", func(b []byte, r *record) []byte { return r.NASAddr.Unmap().WithZone("").AppendTo(b) }),
		text("nas_identifier", func(r *record) string { return r.NASIdentifier }),
		narrow("nas_port", func(r *record) uint32 { return r.NASPort }),
		text("nas_port_id", func(r *record) string { return r.NASPortID }),
		octets("framed_ip", func(b []byte, r *record) []byte { return r.FramedIP.AppendTo(b) }),
		octets("framed_ipv6", func(b []byte, r *record) []byte { return r.FramedIPv6.AppendTo(b) }),
		octets("framed_ipv6_prefix", func(b []byte, r *record) []byte { return r.FramedIPv6Prefix.AppendTo(b) }),
		octets("delegated_prefix", func(b []byte, r *record) []byte { return r.DelegatedPrefix.AppendTo(b) }),
		text("calling_station_id", func(r *record) string { return r.CallingStationID }),
		text("called_station_id", func(r *record) string { return r.CalledStationID }),
		octets("class", func(b []byte, r *record) []byte { return append(b, r.Class...) }),
		moment("event_time", func(r *record) time.Time { return storable(r.EventTime) }),
		narrow("event_microseconds", func(r *record) uint32 { return microseconds(r.EventTime) }),
		flag("event_derived", func(r *record) bool { return r.EventDerived }),
		moment("received_at", func(r *record) time.Time { return storable(r.ReceivedAt) }),
		narrow("received_microseconds", func(r *record) uint32 { return microseconds(r.ReceivedAt) }),
		flag("clock_off", func(r *record) bool { return r.ClockOff }),
		narrow("delay_seconds", func(r *record) uint32 { return uint32(min(max(r.Delay/time.Second, 0), math.MaxUint32)) }),
		optional("session_seconds", func(r *record) (uint64, bool) { return r.SessionSeconds, r.HasSeconds }),
		optional("input_octets", func(r *record) (uint64, bool) { return r.InputOctets, r.HasOctets }),
		optional("output_octets", func(r *record) (uint64, bool) { return r.OutputOctets, r.HasOctets }),
		wide("input_packets", func(r *record) uint64 { return r.InputPackets }),
		wide("output_packets", func(r *record) uint64 { return r.OutputPackets }),
		flag("has_gigawords", func(r *record) bool { return r.HasGigawords }),
		text("terminate_cause", func(r *record) string { return r.TerminateCause }),
		signed("usage_at", func(r *record) int64 { return usageAt(r).UnixMicro() }),
		moment("usage_day", func(r *record) time.Time { return days(usageAt(r)) }),
		wide("version", func(r *record) uint64 { return math.MaxUint64 - uint64(max(r.ReceivedAt.UnixMicro(), 0)) }),
	}
}

// usageAt is when what a record tells of was used: under a clock that is off it
// counts when it was received, and not in the year that the NAS believes in.
func usageAt(r *aaa.Record) time.Time {
	if r.ClockOff {
		return storable(r.ReceivedAt)
	}
	return storable(r.EventTime)
}

// dayOf returns a function that gives the day of a time, as midnight UTC of its date.
// It remembers the day before, since most times of a batch are on the same one.
func dayOf(location *time.Location) func(time.Time) time.Time {
	var from, to, day time.Time
	return func(t time.Time) time.Time {
		if t.Before(from) || !t.Before(to) {
			y, m, d := t.In(location).Date()
			from, to = aaa.StartOfDate(y, m, d, location), aaa.NextDay(t, location)
			day = storable(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
		}
		return day
	}
}
