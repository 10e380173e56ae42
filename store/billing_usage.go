package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// renamed returns those of some users, whose names are given, who had another name before,
// or have one that somebody else had: of what is kept by name not all is theirs.
func (tx *writeTx) renamed(ctx context.Context, names map[uuid.UUID]string) (map[uuid.UUID]bool, error) {
	found := map[uuid.UUID]bool{}
	var userID uuid.UUID
	add := func() error {
		if _, wanted := names[userID]; wanted {
			found[userID] = true
		}
		return nil
	}
	err := eachChunk(tx, "user_id", "uuid", texts(slices.Collect(maps.Keys(names))), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT user_id FROM former_usernames WHERE "+which, args, []any{id{&userID}}, add)
	})
	if err != nil {
		return nil, err
	}
	err = eachChunk(tx, "former_usernames.username", "text", slices.Sorted(maps.Values(names)), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT users.id FROM former_usernames JOIN users ON users.username = former_usernames.username WHERE "+which, args, []any{id{&userID}}, add)
	})
	return found, err
}

// usageOfMany is usageOf of users whose names are given, of each since a day: with one query
// for all who were not renamed.
func (tx *writeTx) usageOfMany(ctx context.Context, names map[uuid.UUID]string, since map[uuid.UUID]billing.Date, renamed map[uuid.UUID]bool) (map[uuid.UUID][]billing.DayUsage, error) {
	usage := make(map[uuid.UUID][]billing.DayUsage, len(names))
	byName := make(map[string]uuid.UUID, len(names))
	var earliest billing.Date
	for userID, name := range names {
		if renamed[userID] {
			days, err := tx.store.usageOf(ctx, tx, userID, billing.Span{From: since[userID]})
			if err != nil {
				return nil, err
			}
			usage[userID] = days
			continue
		}
		byName[name] = userID
		if day := since[userID]; earliest.IsZero() || day.Before(earliest) {
			earliest = day
		}
	}
	err := eachChunk(tx, "username", "text", slices.Sorted(maps.Keys(byName)), func(which string, args []any) error {
		c := conditions{terms: []string{which}, args: slices.Clone(args)}
		c.add("day >= $%d", civil{&earliest})
		var username string
		var d billing.DayUsage
		return eachRow(ctx, tx, "SELECT username, day, session_seconds, input_octets, output_octets FROM usage_daily"+c.where()+" ORDER BY username, day", c.args,
			[]any{&username, civil{&d.Day}, whole[uint64]{&d.Seconds}, whole[uint64]{&d.Upload}, whole[uint64]{&d.Download}}, func() error {
				if userID := byName[username]; !d.Day.Before(since[userID]) {
					usage[userID] = append(usage[userID], d)
				}
				return nil
			})
	})
	return usage, err
}

// hourCut is what a user used of each day from a day on, cut by certain hours.
type hourCut struct {
	username string
	since    billing.Date
	loc      *time.Location
	texts    []string
	hours    []*aaa.LoginHours                            // of the texts
	parts    map[string]map[billing.Date]billing.DayUsage // by within, but for what is within none
	err      error                                        // why it cannot be told
}

// add has the usage cut by some hours, too.
func (h *hourCut) add(text string) error {
	parsed, err := aaa.ParseLoginHours(text)
	h.texts, h.hours = append(h.texts, text), append(h.hours, parsed)
	return err
}

// piece returns the time around a moment that lies all within, or all outside of, each of
// the hours, and says for each in its order whether it is within.
func (h *hourCut) piece(at time.Time) (start, end time.Time, within string) {
	at = at.In(h.loc)
	flags := make([]byte, len(h.hours))
	for i, hours := range h.hours {
		from, to, in := hours.Piece(at)
		if i == 0 || start.Before(from) {
			start = from
		}
		if i == 0 || to.Before(end) {
			end = to
		}
		if in {
			flags[i] = 1
		}
	}
	return start, end, string(flags)
}

// spread adds what a record says was used since the one before it.
func (h *hourCut) spread(step aaa.Step) {
	step.Spread(
		func(at time.Time) time.Time { start, _, _ := h.piece(at); return start },
		func(at time.Time) time.Time { _, end, _ := h.piece(at); return end },
		func(start time.Time, u aaa.Usage) {
			day := billing.DateOf(start, h.loc)
			_, _, within := h.piece(start)
			if strings.IndexByte(within, 1) < 0 || day.Before(h.since) {
				return
			}
			part := h.parts[within]
			if part == nil {
				if h.parts == nil {
					h.parts = map[string]map[billing.Date]billing.DayUsage{}
				}
				part = map[billing.Date]billing.DayUsage{}
				h.parts[within] = part
			}
			d := part[day]
			part[day] = billing.DayUsage{Day: day, Seconds: d.Seconds + u.Seconds, Upload: d.Upload + u.InputOctets, Download: d.Download + u.OutputOctets}
		})
}

// usage returns what was found.
func (h *hourCut) usage() billing.HourUsage {
	usage := billing.HourUsage{Texts: h.texts}
	for _, within := range slices.Sorted(maps.Keys(h.parts)) {
		var part billing.HourPart
		for i, text := range h.texts {
			if within[i] == 1 {
				part.Texts = append(part.Texts, text)
			}
		}
		part.Days = slices.SortedFunc(maps.Values(h.parts[within]), func(a, b billing.DayUsage) int { return a.Day.Compare(b.Day) })
		usage.Parts = append(usage.Parts, part)
	}
	return usage
}

// errRecordsGone says that usage at hours of the day cannot be told: to rate it without
// the records would give back what was charged for it.
var errRecordsGone = errors.New("its accounting records are not all there any more, by which usage at certain hours is charged: keep them for longer, or set look_back_days to less")

// cutSession is a session whose usage is cut.
type cutSession struct {
	userID uuid.UUID
	stored aaa.Session // as it is known
	told   aaa.Session // by its records
}

// sessionsCutAtOnce bounds how many sessions' records are read by a query.
const sessionsCutAtOnce = 500

// cutHours cuts usage by the records of the users' sessions, of which each counts from the
// one before it.
func (tx *writeTx) cutHours(ctx context.Context, cuts map[uuid.UUID]*hourCut, renamed map[uuid.UUID]bool) error {
	sessions, err := tx.sessionsToCut(ctx, cuts, renamed)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(sessions, sessionsCutAtOnce) {
		ids, byID := make([]string, len(chunk)), make(map[uuid.UUID]*cutSession, len(chunk))
		for i, x := range chunk {
			ids[i], byID[x.stored.ID] = x.stored.ID.String(), x
		}
		var r aaa.Record
		fields := recordFields(&r)
		err := eachChunk(tx, "session_id", "uuid", ids, func(which string, args []any) error {
			return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM accounting_records WHERE "+which+" ORDER BY session_id, event_time, received_at, record_id", args, targets(fields), func() error {
				record := r
				x := byID[r.SessionID]
				cuts[x.userID].spread(aaa.StepOf(&x.told, &record))
				return nil
			})
		})
		if err != nil {
			return err
		}
		for _, x := range chunk {
			if x.told.SessionSeconds < x.stored.SessionSeconds || x.told.InputOctets < x.stored.InputOctets || x.told.OutputOctets < x.stored.OutputOctets {
				cut := cuts[x.userID]
				cut.err = cmp.Or(cut.err, fmt.Errorf("session %s: %w", x.stored.AcctSessionID, errRecordsGone))
			}
			x.told = aaa.Session{}
		}
	}
	return nil
}

// sessionsToCut returns the sessions whose usage is cut, in the order of their ids.
func (tx *writeTx) sessionsToCut(ctx context.Context, cuts map[uuid.UUID]*hourCut, renamed map[uuid.UUID]bool) (list []*cutSession, err error) {
	byName := map[string]uuid.UUID{}
	var earliest time.Time
	var username string
	var x aaa.Session
	read := func(c conditions, owner func() uuid.UUID) error {
		return eachRow(ctx, tx, "SELECT username, id, acct_session_id, session_seconds, input_octets, output_octets, stopped_at FROM sessions"+c.where(), c.args,
			[]any{text{&username}, id{&x.ID}, text{&x.AcctSessionID}, whole[uint64]{&x.SessionSeconds}, whole[uint64]{&x.InputOctets}, whole[uint64]{&x.OutputOctets}, moment{&x.StoppedAt}}, func() error {
				userID := owner()
				if cut := cuts[userID]; x.StoppedAt.IsZero() || !x.StoppedAt.Before(cut.since.Start(cut.loc)) {
					list = append(list, &cutSession{userID: userID, stored: x})
				}
				return nil
			})
	}
	for userID, cut := range cuts {
		began := cut.since.Start(cut.loc)
		if !renamed[userID] {
			byName[cut.username] = userID
			if earliest.IsZero() || began.Before(earliest) {
				earliest = began
			}
			continue
		}
		held, err := recordNames(ctx, tx, userID)
		if err != nil {
			return nil, err
		}
		for _, n := range held {
			c := n.rows("started_at")
			c.add("(stopped_at IS NULL OR stopped_at >= $%d)", moment{&began})
			if err := read(c, func() uuid.UUID { return userID }); err != nil {
				return nil, err
			}
		}
	}
	err = eachChunk(tx, "username", "text", slices.Sorted(maps.Keys(byName)), func(which string, args []any) error {
		c := conditions{terms: []string{which}, args: slices.Clone(args)}
		c.add("(stopped_at IS NULL OR stopped_at >= $%d)", moment{&earliest})
		return read(c, func() uuid.UUID { return byName[username] })
	})
	slices.SortFunc(list, func(a, b *cutSession) int { return slices.Compare(a.stored.ID[:], b.stored.ID[:]) })
	return list, err
}
