package radius

import (
	"net/netip"
	"time"
)

// Floods. To read a datagram costs about half of what it costs to answer it, so that a
// listener may get nothing done for reading what it sheds, or may not even keep up with
// that. Then the kernel sheds for it: a filter on the socket drops a part of what comes
// from the sources that flood, before it takes room in the buffer. What goes first in the
// backlog passes it, unless there is a flood of that, too.
const (
	// maxFloods is how many sources are dealt with at once. What is spread over more
	// is only shed after it was read.
	maxFloods = 8
	// floodInterval is how often the parts are adapted.
	floodInterval = 20 * time.Millisecond
	// floodWaste is how many datagrams of a source are read for nothing in an interval
	// before that is a flood: about five percent of a core.
	floodWaste = 1000
	// floodRest of a flood that is nothing but garbage is let through in an interval.
	floodRest = 100
	// floodIdle is how much of an interval a listener that has a filter is to have nothing
	// to do, while there are others than those that flood. What is let through of a flood
	// would else fill all of its time, and when the system took some of that for something
	// else, as it does for milliseconds, the others would wait for long.
	floodIdle = floodInterval * 2 / 5
	// floodLeast is the least part that is let through. It takes 14 intervals from there
	// until all is.
	floodLeast = 1e-4
)

// floods are the sources of which a listener reads most while it goes by its backlog.
// It belongs to the listener's goroutine.
type floods struct {
	sources  [maxFloods]flood
	filtered int           // how many of them have keep below 1
	due      time.Time     // when to adapt
	idle     time.Duration // in this interval, while there was a filter
	others   int           // handled in this interval of sources that have no place
	failed   bool          // the kernel takes no filter
}

type flood struct {
	addr    netip.Addr // invalid: the place is free
	arrived int        // in this interval
	handled int
	keep    float64 // the part that the filter lets through; 0: there is no filter
	set     float64 // what keep was when the filter was made
	lets    bool    // what goes first passes
}

func (f *flood) filtered() bool { return f.keep > 0 }

// arrive counts a datagram that was read. The sources with more than a ninth of all are
// found whatever else comes (Misra and Gries, "Finding repeated elements", 1982).
func (f *floods) arrive(addr netip.Addr) {
	var free *flood
	for i := range f.sources {
		s := &f.sources[i]
		if s.addr == addr {
			s.arrived++
			return
		}
		if s.arrived == 0 && !s.filtered() {
			free = s
		}
	}
	if free != nil {
		*free = flood{addr: addr, arrived: 1}
		return
	}
	for i := range f.sources {
		if s := &f.sources[i]; !s.filtered() {
			s.arrived--
		}
	}
}

// handle counts one that the listener got to.
func (f *floods) handle(addr netip.Addr) {
	for i := range f.sources {
		if s := &f.sources[i]; s.addr == addr {
			s.handled++
			return
		}
	}
	f.others++
}

// tired reports whether a listener that has a filter had too little rest for the others.
func (f *floods) tired() bool {
	others := f.others
	for i := range f.sources {
		if s := &f.sources[i]; !s.filtered() {
			others += s.handled
		}
	}
	return f.filtered > 0 && others > 0 && f.idle < floodIdle
}

// adapt ends an interval. A source is let have a quarter more than was handled of it,
// so that the listener can choose, and notices when there is time for more or when the
// flood ends; or, while the listener has too little rest, an eighth less. adapt reports whether there is another filter to attach.
func (f *floods) adapt(now time.Time) (changed bool) {
	if now.Before(f.due) {
		return false
	}
	late := now.Sub(f.due) > floodInterval // what was counted is not of one interval
	f.due = now.Add(floodInterval)
	tired := f.tired()
	f.filtered, f.idle, f.others = 0, 0, 0
	for i := range f.sources {
		s := &f.sources[i]
		wasted := s.arrived - s.handled
		wanted := float64(s.handled + s.handled/4 + floodRest)
		if tired {
			wanted = float64(s.handled - s.handled/8 + floodRest)
		}
		switch {
		case s.filtered():
			s.keep = max(s.keep*min(wanted/float64(max(s.arrived, 1)), 2), floodLeast)
			if s.keep >= 1 {
				s.keep = 0
			}
			if s.lets && wasted > floodWaste {
				s.lets, changed = false, true
			}
			if s.keep < 0.9*s.set || s.keep > 1.1*s.set {
				changed = true
			}
		case wasted > floodWaste && wanted < float64(s.arrived) && !late:
			s.keep, s.lets = wanted/float64(s.arrived), true
			changed = true
		}
		s.arrived, s.handled = 0, 0
		if s.filtered() {
			f.filtered++
		} else {
			s.addr = netip.Addr{}
		}
	}
	if changed {
		for i := range f.sources {
			f.sources[i].set = f.sources[i].keep
		}
	}
	return changed
}
