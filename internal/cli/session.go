package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
)

func (a *app) sessionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "session",
		Short: "List, count, show, change and disconnect sessions",
		Example: `  radiusd session list --online
  radiusd session list --user alice -o csv
  radiusd session disconnect 01890a5d-ac96-774b-bcce-b302099a8057`,
	}
	c.AddCommand(a.sessionListCommand(), a.sessionCountCommand(), a.sessionShowCommand(),
		a.sessionDisconnectCommand(), a.sessionCoACommand(), a.sessionActionsCommand())
	return c
}

// humanOctets shows an amount of data in a table.
func humanOctets(at func(*aaa.Session) uint64) func(*aaa.Session) string {
	return func(s *aaa.Session) string { return formatOctets(at(s)) }
}

func inputOctets(s *aaa.Session) uint64  { return s.InputOctets }
func outputOctets(s *aaa.Session) uint64 { return s.OutputOctets }

// sessionColumns describe a session, named as in the table sessions.
var sessionColumns = []column[aaa.Session]{
	{name: "id", value: func(s *aaa.Session) any { return s.ID }},
	{name: "acct_session_id", value: func(s *aaa.Session) any { return s.AcctSessionID }},
	{name: "username", value: func(s *aaa.Session) any { return s.Username }},
	{name: "nas_ip", value: func(s *aaa.Session) any { return s.NASAddr }},
	{name: "framed_ip", value: func(s *aaa.Session) any { return s.FramedIP }},
	{name: "calling_station_id", value: func(s *aaa.Session) any { return s.CallingStationID }},
	{name: "started_at", value: func(s *aaa.Session) any { return s.StartedAt }},
	{name: "updated_at", value: func(s *aaa.Session) any { return s.UpdatedAt }, detail: true},
	{name: "stopped_at", value: func(s *aaa.Session) any { return s.StoppedAt }},
	{name: "session_seconds", value: func(s *aaa.Session) any { return s.SessionSeconds }},
	{name: "input_octets", value: func(s *aaa.Session) any { return s.InputOctets }, human: humanOctets(inputOctets)},
	{name: "output_octets", value: func(s *aaa.Session) any { return s.OutputOctets }, human: humanOctets(outputOctets)},
	{name: "terminate_cause", value: func(s *aaa.Session) any { return s.TerminateCause }},
	{name: "stop_inferred", value: func(s *aaa.Session) any { return s.StopInferred }, detail: true},
	{name: "start_inferred", value: func(s *aaa.Session) any { return s.StartInferred }, detail: true},
	{name: "input_packets", value: func(s *aaa.Session) any { return s.InputPackets }, detail: true},
	{name: "output_packets", value: func(s *aaa.Session) any { return s.OutputPackets }, detail: true},
	{name: "nas_identifier", value: func(s *aaa.Session) any { return s.NASIdentifier }, detail: true},
	{name: "nas_port", value: func(s *aaa.Session) any { return s.NASPort }, detail: true},
	{name: "nas_port_id", value: func(s *aaa.Session) any { return s.NASPortID }, detail: true},
	{name: "called_station_id", value: func(s *aaa.Session) any { return s.CalledStationID }, detail: true},
	{name: "framed_ipv6", value: func(s *aaa.Session) any { return s.FramedIPv6 }, detail: true},
	{name: "framed_ipv6_prefix", value: func(s *aaa.Session) any { return s.FramedIPv6Prefix }, detail: true},
	{name: "delegated_prefix", value: func(s *aaa.Session) any { return s.DelegatedPrefix }, detail: true},
	{name: "acct_multi_session_id", value: func(s *aaa.Session) any { return s.AcctMultiSessionID }, detail: true},
	{name: "plan", value: func(s *aaa.Session) any { return s.Plan }, detail: true},
	{name: "counter_wrapped", value: func(s *aaa.Session) any { return s.CounterWrapped }, detail: true},
}

// recordColumns describe an accounting record of a session.
var recordColumns = []column[aaa.Record]{
	{name: "event_time", value: func(r *aaa.Record) any { return r.EventTime }},
	{name: "status", value: func(r *aaa.Record) any { return r.Status }},
	{name: "session_seconds", value: func(r *aaa.Record) any { return sent(r.HasSeconds, r.SessionSeconds) }},
	{name: "input_octets", value: func(r *aaa.Record) any { return sent(r.HasOctets, r.InputOctets) }},
	{name: "output_octets", value: func(r *aaa.Record) any { return sent(r.HasOctets, r.OutputOctets) }},
	{name: "terminate_cause", value: func(r *aaa.Record) any { return r.TerminateCause }},
	{name: "received_at", value: func(r *aaa.Record) any { return r.ReceivedAt }},
	{name: "record_id", value: func(r *aaa.Record) any { return r.ID }, detail: true},
}

// sent tells a counter that was not sent from zero.
func sent(has bool, n uint64) any {
	if !has {
		return nil
	}
	return n
}

func (a *app) sessionListCommand() *cobra.Command {
	var online, live bool
	var user, nas, from, before string
	limit := 0
	c := &cobra.Command{
		Use:   "list",
		Short: "List sessions, the latest first",
		Long: `Lists what the store knows of sessions, the latest first. With --live, lists the
sessions that are open on all nodes at this moment, as they are in Redis, in no
order.`,
		Example: `  radiusd session list --online
  radiusd session list --live --nas 192.0.2.0/24
  radiusd session list --user alice --from 2026-12-01
  radiusd session list --nas 192.0.2.1 -o csv`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef("--limit must not be negative")
			}
			if live {
				return a.listLive(c.Context(), user, nas, limit)
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				filter := store.SessionFilter{Online: online, Username: user, Limit: limit}
				var err error
				if filter.StartedFrom, err = parseMoment(from, cfg.Location()); err != nil {
					return usagef("--from: %v", err)
				}
				if filter.StartedBefore, err = parseMoment(before, cfg.Location()); err != nil {
					return usagef("--before: %v", err)
				}
				if nas != "" {
					if err = filterNAS(c.Context(), s, nas, &filter); err != nil {
						return err
					}
				}
				return writeList(a, sessionColumns, eachSession(c.Context(), s, filter))
			})
		},
	}
	c.Flags().BoolVar(&online, "online", false, "only open sessions")
	c.Flags().BoolVar(&live, "live", false, "open sessions of all nodes, from Redis")
	c.Flags().StringVar(&user, "user", "", "only sessions of the user with this `NAME`")
	c.Flags().StringVar(&nas, "nas", "", "only sessions of the NAS with this `ADDRESS`, prefix or name")
	c.Flags().StringVar(&from, "from", "", "only sessions started at or after a `DAY` or time in RFC 3339")
	c.Flags().StringVar(&before, "before", "", "only sessions started before a `DAY` or time in RFC 3339")
	c.Flags().IntVar(&limit, "limit", 1000, "at most `N` sessions; 0 for all")
	c.MarkFlagsMutuallyExclusive("live", "from")
	c.MarkFlagsMutuallyExclusive("live", "before")
	completeFlagFunc(c, "user", a.completeUsers)
	completeFlagFunc(c, "nas", a.completeNASes)
	a.outputFlag(c)
	return c
}

// parseMoment reads the begin of a day in the configured zone, or a time; an
// empty text is the zero time.
func parseMoment(text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return day, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%q is neither a day, like 2026-12-31, nor a time in RFC 3339", text)
	}
	return at, nil
}

// filterNAS selects the sessions with an address as it is, or those of the NAS of
// the directory with a name or a prefix, which may be many hosts.
func filterNAS(ctx context.Context, s *store.Store, text string, filter *store.SessionFilter) error {
	if address, err := netip.ParseAddr(text); err == nil {
		filter.NASAddr = address.Unmap()
		return nil
	}
	nas, err := findNAS(ctx, s, text)
	if err != nil {
		return err
	}
	filter.NASID = nas.ID
	return nil
}

// eachSession gives the sessions that the filter selects.
func eachSession(ctx context.Context, s *store.Store, filter store.SessionFilter) iter.Seq2[*aaa.Session, error] {
	return eachPage(filter.Limit, func(limit int, last *aaa.Session) ([]aaa.Session, error) {
		page := filter
		if page.Limit = limit; last != nil {
			page.After = last
		}
		return s.ListSessions(ctx, page)
	})
}

// findSession returns the session with an id, or the only open one with an
// Acct-Session-Id.
func findSession(ctx context.Context, s *store.Store, text string) (*aaa.Session, error) {
	if id, err := uuid.Parse(text); err == nil {
		session, err := s.SessionByID(ctx, id)
		if !errors.Is(err, store.ErrNotFound) {
			return session, err
		}
		// Some NASes make Acct-Session-Ids that look like ours.
	}
	var found *aaa.Session
	for session, err := range eachSession(ctx, s, store.SessionFilter{Online: true}) {
		if err != nil {
			return nil, err
		}
		if session.AcctSessionID != text {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("several open sessions have the Acct-Session-Id %q: give the id that session list shows", text)
		}
		found = session
	}
	if found == nil {
		return nil, fmt.Errorf("session %q: %w (an id, or the Acct-Session-Id of an open session)", text, store.ErrNotFound)
	}
	return found, nil
}

// completeSessions completes the id of an open session.
func (a *app) completeSessions(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, func(ctx context.Context, s *store.Store) []string {
		list, _ := s.ListSessions(ctx, store.SessionFilter{Online: true, Limit: completionLimit})
		return namesOf(list, func(s *aaa.Session) string { return s.ID.String() })
	})
}

func (a *app) sessionShowCommand() *cobra.Command {
	limit := 1000
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show a session and its accounting records",
		Long:  "Shows a session by its id or, while it is open, by its Acct-Session-Id.",
		Example: `  radiusd session show 01890a5d-ac96-774b-bcce-b302099a8057
  radiusd session show 4711 --limit 10 -o json`,
		Args:              arguments("ID"),
		ValidArgsFunction: first(a.completeSessions),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit must not be negative")
			}
			most := limit
			if most == 0 {
				most = math.MaxInt32 - 1
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				session, err := findSession(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				records, err := s.SessionRecords(c.Context(), session.ID, most+1)
				if err != nil {
					return err
				}
				if len(records) > most {
					records = records[1:]
					fmt.Fprintf(a.stderr, "earlier records are not shown, --limit 0 shows all\n")
				}
				columns := sessionColumns
				if a.format == formatJSON {
					columns = append(columns[:len(columns):len(columns)],
						column[aaa.Session]{name: "records", value: func(*aaa.Session) any { return rawList(recordColumns, records) }})
				}
				if err := writeOne(a, columns, session); err != nil || a.format != formatTable {
					return err
				}
				return section(a, "records", recordColumns, records)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", limit, "at most `N` accounting records, the latest; 0 for all")
	a.outputFlag(c)
	return c
}
