package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
)

func recordFields(r *aaa.Record) []field {
	return []field{
		{"record_id", id{&r.ID}},
		{"session_id", nullID{&r.SessionID}},
		{"acct_session_id", text{&r.AcctSessionID}},
		{"acct_multi_session_id", text{&r.AcctMultiSessionID}},
		{"status", word[aaa.AcctStatus]{&r.Status, aaa.ParseAcctStatus}},
		{"username", text{&r.Username}},
		{"nas_id", nullID{&r.NASID}},
		{"nas_ip", address{&r.NASAddr}},
		{"nas_identifier", text{&r.NASIdentifier}},
		{"nas_port", whole[uint32]{&r.NASPort}},
		{"nas_port_id", text{&r.NASPortID}},
		{"framed_ip", address{&r.FramedIP}},
		{"framed_ipv6", address{&r.FramedIPv6}},
		{"framed_ipv6_prefix", network{&r.FramedIPv6Prefix}},
		{"delegated_prefix", network{&r.DelegatedPrefix}},
		{"calling_station_id", text{&r.CallingStationID}},
		{"called_station_id", text{&r.CalledStationID}},
		{"class", octets{&r.Class}},
		{"plan", text{&r.Plan}},
		{"event_time", moment{&r.EventTime}},
		{"event_derived", flag{&r.EventDerived}},
		{"received_at", moment{&r.ReceivedAt}},
		{"clock_off", flag{&r.ClockOff}},
		{"delay_seconds", seconds{&r.Delay}},
		{"session_seconds", optional{&r.HasSeconds, &r.SessionSeconds}},
		{"input_octets", optional{&r.HasOctets, &r.InputOctets}},
		{"output_octets", optional{&r.HasOctets, &r.OutputOctets}},
		{"input_packets", whole[uint64]{&r.InputPackets}},
		{"output_packets", whole[uint64]{&r.OutputPackets}},
		{"has_gigawords", flag{&r.HasGigawords}},
		{"terminate_cause", text{&r.TerminateCause}},
	}
}

// SessionRecords returns the accounting records of a session in order of event
// time: the latest ones, no more than limit; zero: 1000.
func (s *Store) SessionRecords(ctx context.Context, sessionID uuid.UUID, limit int) (list []aaa.Record, err error) {
	if limit <= 0 {
		limit = pageSize
	}
	var r aaa.Record
	fields := recordFields(&r)
	err = eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM accounting_records WHERE session_id = $1 ORDER BY event_time DESC, received_at DESC LIMIT "+fmt.Sprint(limit),
		[]any{sessionID.String()}, targets(fields), func() error {
			list = append(list, r)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read records of session %s: %w", sessionID, s.explain(err))
	}
	slices.Reverse(list)
	return list, nil
}
