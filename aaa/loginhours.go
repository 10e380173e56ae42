package aaa

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	dayMinutes  = 24 * 60
	weekMinutes = 7 * dayMinutes
)

// LoginHours says at which times of a week login is allowed. A nil *LoginHours
// allows all of them.
type LoginHours struct {
	spans []minuteSpan // sorted, apart from each other, at least one minute long
}

// minuteSpan is from (inclusive) to until (exclusive), in minutes since Sunday
// 00:00.
type minuteSpan struct{ from, until int }

var loginDays = [...]string{"su", "mo", "tu", "we", "th", "fr", "sa"}

// ParseLoginHours reads FreeRADIUS's Login-Time: entries separated by commas or
// |, each one or several days (Su Mo Tu We Th Fr Sa, Wk for Monday to Friday, Al
// or Any for all, or a range such as Mo-Th) followed by an optional time range
// HHMM-HHMM, in any case: "Wk0800-1800,Sa,Al2200-0400". Without days a range
// holds on all days.
//
// As in UUCP, where the syntax is from, a range whose end is before its begin
// means both ends of the days named: Wk2305-0855 is before 08:55 and after 23:05
// on weekdays. The end is exclusive, except that an end at minute 59 means the
// full hour, so that 0000-2359 is the whole day.
//
// An empty text gives nil: always.
func ParseLoginHours(text string) (*LoginHours, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	h := &LoginHours{}
	for entry := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '|' }) {
		if err := h.add(strings.ToLower(strings.TrimSpace(entry))); err != nil {
			return nil, fmt.Errorf("login hours %q: %w", text, err)
		}
	}
	if len(h.spans) == 0 {
		return nil, fmt.Errorf("login hours %q: no days or times", text)
	}
	h.merge()
	return h, nil
}

// add adds one entry, in lower case.
func (h *LoginHours) add(entry string) error {
	days, rest, err := parseLoginDays(entry)
	if err != nil {
		return err
	}
	from, until := 0, dayMinutes
	if rest != "" {
		if from, until, err = parseTimeRange(rest); err != nil {
			return err
		}
	}
	for day := range loginDays {
		if !days[day] {
			continue
		}
		start := day * dayMinutes
		if from < until {
			h.spans = append(h.spans, minuteSpan{start + from, start + until})
			continue
		}
		h.spans = append(h.spans, minuteSpan{start, start + until}, minuteSpan{start + from, start + dayMinutes})
	}
	return nil
}

// parseLoginDays reads the days at the beginning of an entry.
func parseLoginDays(entry string) (days [7]bool, rest string, err error) {
	rest = entry
	named := false
	for rest != "" && (rest[0] < '0' || rest[0] > '9') {
		first, last, after, ok := parseDay(rest)
		if !ok {
			return days, "", fmt.Errorf("%q: want days (Mo Tu We Th Fr Sa Su Wk Al) and a range HHMM-HHMM", entry)
		}
		if strings.HasPrefix(after, "-") && first == last {
			end, endLast, afterRange, ok := parseDay(after[1:])
			if !ok || end != endLast {
				return days, "", fmt.Errorf("%q: a range of days ends with a day", entry)
			}
			last, after = end, afterRange
		}
		for day := first; ; day = (day + 1) % 7 {
			days[day] = true
			if day == last {
				break
			}
		}
		named, rest = true, strings.TrimLeft(after, " ")
	}
	if !named {
		days = [7]bool{true, true, true, true, true, true, true}
	}
	return days, rest, nil
}

// parseDay reads one day, or a name for several, as first and last day.
func parseDay(s string) (first, last int, rest string, ok bool) {
	for i, day := range loginDays {
		if rest, found := strings.CutPrefix(s, day); found {
			return i, i, rest, true
		}
	}
	if rest, found := strings.CutPrefix(s, "wk"); found {
		return 1, 5, rest, true
	}
	if rest, found := strings.CutPrefix(s, "any"); found {
		return 0, 6, rest, true
	}
	if rest, found := strings.CutPrefix(s, "al"); found {
		return 0, 6, strings.TrimPrefix(rest, "l"), true
	}
	return 0, 0, s, false
}

// parseTimeRange reads HHMM-HHMM as minutes of a day, the end exclusive.
func parseTimeRange(s string) (from, until int, err error) {
	if len(s) != 9 || s[4] != '-' {
		return 0, 0, fmt.Errorf("%q: want HHMM-HHMM", s)
	}
	from, okFrom := parseClock(s[:4])
	until, okUntil := parseClock(s[5:])
	if !okFrom || !okUntil || from == dayMinutes {
		return 0, 0, fmt.Errorf("%q: want times from 0000 to 2359", s)
	}
	if until%60 == 59 {
		until++
	}
	if from == until {
		return 0, 0, fmt.Errorf("%q: begins when it ends", s)
	}
	return from, until, nil
}

func parseClock(s string) (minutes int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	hour, minute := 10*int(s[0]-'0')+int(s[1]-'0'), 10*int(s[2]-'0')+int(s[3]-'0')
	if minute > 59 || hour > 24 || hour == 24 && minute > 0 {
		return 0, false
	}
	return 60*hour + minute, true
}

// merge sorts the spans and joins those that touch.
func (h *LoginHours) merge() {
	slices.SortFunc(h.spans, func(a, b minuteSpan) int { return cmp.Compare(a.from, b.from) })
	merged := h.spans[:0]
	for _, s := range h.spans {
		if s.from == s.until {
			continue
		}
		if n := len(merged); n > 0 && s.from <= merged[n-1].until {
			merged[n-1].until = max(merged[n-1].until, s.until)
			continue
		}
		merged = append(merged, s)
	}
	h.spans = merged
}

// Until reports whether login is allowed at t, which is taken in its own time
// zone, and when that ends; the zero time if it never does.
func (h *LoginHours) Until(t time.Time) (end time.Time, allowed bool) {
	if h == nil {
		return time.Time{}, true
	}
	hour, clock, _ := t.Clock()
	minute := int(t.Weekday())*dayMinutes + hour*60 + clock
	for _, s := range h.spans {
		if minute < s.from || minute >= s.until {
			continue
		}
		if s.from == 0 && s.until == weekMinutes {
			return time.Time{}, true
		}
		until := s.until
		if first := h.spans[0]; until == weekMinutes && first.from == 0 {
			until += first.until // goes on after midnight between Saturday and Sunday
		}
		// In wall clock time, so that a change to summer time moves the end.
		days, rest := until/dayMinutes-int(t.Weekday()), until%dayMinutes
		year, month, day := t.Date()
		end := time.Date(year, month, day+days, rest/60, rest%60, 0, 0, t.Location())
		if !end.After(t) {
			// The clock shows the end twice, or skips it, and time.Date took the
			// one that has passed.
			end = t.Truncate(time.Minute).Add(time.Duration(until-minute) * time.Minute)
		}
		return end, true
	}
	return time.Time{}, false
}

// Piece returns the time around t, in its own time zone, that lies all within the hours
// or all outside of them, and which of these it is. It is of one day, and of one of the
// two times that the clock shows an hour.
func (h *LoginHours) Piece(t time.Time) (start, end time.Time, within bool) {
	hour, clock, second := t.Clock()
	minute := int(t.Weekday())*dayMinutes + hour*60 + clock
	low := minute - minute%dayMinutes
	high := low + dayMinutes
	within = h == nil
	if h != nil {
		for _, s := range h.spans {
			for _, edge := range [...]int{s.from, s.until} {
				if edge <= minute {
					low = max(low, edge)
				} else {
					high = min(high, edge)
				}
			}
			within = within || s.from <= minute && minute < s.until
		}
	}
	whole := t.Add(-time.Duration(second)*time.Second - time.Duration(t.Nanosecond()))
	start, end = whole.Add(time.Duration(low-minute)*time.Minute), whole.Add(time.Duration(high-minute)*time.Minute)
	began, ends := t.ZoneBounds()
	if !began.IsZero() && start.Before(began) {
		start = began
	}
	if !ends.IsZero() && end.After(ends) {
		end = ends
	}
	return start, end, within
}
