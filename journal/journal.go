package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Position is a logical octet offset since the journal began. It grows
// monotonically over all segments; 0 is the very beginning. A position that a
// reader or Committed was given never means anything else later.
type Position uint64

// Defaults of Options.
const (
	DefaultSegmentBytes = 64 << 20
	DefaultMaxBytes     = 8 << 30
	DefaultMaxRecord    = 64 << 10
	DefaultGroupBytes   = 16 << 20
)

// Options configure a journal. Only Dir is required.
type Options struct {
	// Dir holds the segments and the lock; it is created with mode 0700 if missing.
	Dir string
	// FS is the file system; nil is the operating system's.
	FS FS
	// SegmentBytes is the size of a segment file that is not exceeded; one that is
	// prepared has it from the beginning.
	// 0 is 64 MiB; at most 1 GiB, and never more than a quarter of MaxBytes.
	SegmentBytes int64
	// MaxBytes limits all segments together, and none is prepared where there is no
	// room for it; at the limit Append gives ErrFull.
	// 0 is 8 GiB.
	MaxBytes int64
	// MaxRecord is the longest record Append takes, in octets. 0 is 64 KiB; at most 16 MiB.
	MaxRecord int
	// GroupBytes bounds what waits in memory while the device is busy; above it
	// Append gives ErrBusy. 0 is 16 MiB, less if a segment is smaller. Two such
	// groups exist at most.
	GroupBytes int
	// AfterGroup, if set, is called from the committer goroutine after all
	// Committed calls of a group, so that what they prepared can be sent as a batch.
	AfterGroup func()
	// Begin is where a journal begins that is not there yet, rounded down to a
	// multiple of 8. Cursors are kept elsewhere: one that was written for a journal
	// that is lost must not be found in the one that takes its place, where it would
	// pass over records. So begin behind everything that was.
	Begin Position
	// Logger gets what an operator should know: a torn tail, a failing device
	// and its recovery. nil logs nothing.
	Logger *slog.Logger

	preparing preparing // of tests
}

// Committed is told what became of an appended record.
type Committed interface {
	// Committed is called exactly once for each record that Append took, in the
	// order of the Appends, from the committer goroutine, after the group's
	// fdatasync. end is the position after the record. With an err the record is
	// not durable (it may still survive) and end is 0. It must not block and must
	// not call Close; it may call Append.
	Committed(end Position, err error)
}

// CommittedFunc is a function as Committed.
type CommittedFunc func(end Position, err error)

// Committed calls f.
func (f CommittedFunc) Committed(end Position, err error) { f(end, err) }

// Journal is an open journal. Its methods are safe for concurrent use.
type Journal struct {
	opt  Options
	fs   FS
	log  *slog.Logger
	lock io.Closer

	wake   chan struct{} // capacity 1: the committer has something to do
	done   chan struct{} // closed when the committer has ended
	reaper sync.Mutex    // held while segments are deleted and cursors noted

	damage atomic.Pointer[CorruptError] // that a reader stopped at

	notedAt   time.Time // when the cursors were last noted; with reaper held
	noteEvery time.Duration

	mu        sync.Mutex
	segments  []segment // in order, the last one is the active one
	committed Position  // readers see what is before it
	next      Position  // of the next record to be appended
	fill      *group    // the group that is being filled
	signalAt  int       // how many records it has when the committer is to be woken
	refuse    error     // what Append gives, nil in health
	closing   bool
	closed    bool                // the committer has ended
	waiters   chan struct{}       // closed when something was committed; nil: nobody waits
	fullAt    time.Time           // when the log was last told of ErrFull
	sayFull   bool                // the committer is to tell it
	cursors   map[string]Position // what each needs from the journal
	taken     map[string]Position // how far each has come, where Taken has said it
	stats     Stats

	// The committer's own.
	other     *group    // that is empty, nil while it is written
	active    File      // nil while the device is failing
	prepared  bool      // the active segment was made ahead
	spare     *preparer // of the next one
	loadFrom  time.Time // since when what is committed is counted
	loadEnd   Position  // what is committed then means that the journal is under load
	backoff   time.Duration
	lastBegan time.Time // when the last group was begun to be written
	lastGroup int       // how many records it had
	gathered  *time.Timer
	gathers   uint // groups that were let fill
	enough    int  // records with which a group does not wait for more
	closeErr  error
}

// segment is a segment file. It ends where the next one begins, whatever else it holds.
type segment struct{ base Position }

// group is what is written and synced together.
type group struct {
	start   Position
	buf     []byte
	entries []entry
}

type entry struct {
	end Position
	c   Committed
}

// Open opens the journal in opt.Dir, or begins one, and recovers what a crash
// left: the tail of the last segment that was not synced is cut off. Damage
// that a crash does not explain is a *CorruptError; a journal that another
// process has open is ErrLocked.
func Open(opt Options) (*Journal, error) {
	j, err := open(opt)
	if err != nil {
		return nil, err
	}
	j.noteEvery = noteInterval
	j.spare.start()
	go j.run()
	return j, nil
}

// open is Open without the committer.
func open(opt Options) (*Journal, error) {
	if err := opt.complete(); err != nil {
		return nil, fmt.Errorf("open journal %s: %w", opt.Dir, err)
	}
	j := &Journal{
		opt: opt, fs: opt.FS, log: opt.Logger,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		cursors: make(map[string]Position), taken: make(map[string]Position),
		fill: new(group), other: new(group), signalAt: 1, spare: newPreparer(opt),
		gathered: time.NewTimer(time.Hour), enough: math.MaxInt,
	}
	j.gathered.Stop()
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("open journal %s: %w", opt.Dir, err)
	}
	return j, nil
}

// complete fills in the defaults and says what cannot be.
func (o *Options) complete() error {
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.SegmentBytes, DefaultSegmentBytes)
	setDefault(&o.MaxBytes, DefaultMaxBytes)
	setDefault(&o.MaxRecord, DefaultMaxRecord)
	setDefault(&o.GroupBytes, DefaultGroupBytes)
	o.preparing.complete()
	o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/4, groupLimit)
	o.GroupBytes = int(min(int64(o.GroupBytes), o.SegmentBytes-segmentHeader-frameHeader))
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("no directory given"))
	}
	if o.MaxRecord < 0 || o.MaxRecord > recordLimit {
		errs = append(errs, fmt.Errorf("MaxRecord %d is not within 1 and %d", o.MaxRecord, recordLimit))
	} else if o.GroupBytes < frameSize(o.MaxRecord) {
		errs = append(errs, fmt.Errorf("a record of %d octets does not fit a segment of %d and a group of %d octets",
			o.MaxRecord, o.SegmentBytes, o.GroupBytes))
	}
	return errors.Join(errs...)
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (j *Journal) open() (err error) {
	if err := j.fs.MkdirAll(j.opt.Dir); err != nil {
		return err
	}
	if j.lock, err = j.fs.Lock(filepath.Join(j.opt.Dir, lockName)); err != nil {
		return err
	}
	if err := j.recover(); err != nil {
		j.lock.Close()
		return err
	}
	j.next = j.committed
	j.fill.start = j.committed
	return nil
}

// Append copies record into the group that is being filled and returns; c, if
// not nil, hears later what became of it. It never waits for the device and
// does not allocate in the steady state. With an error (ErrFull, ErrBusy,
// ErrFailed, ErrClosed or ErrRecordSize) the record was not taken and c is not
// called.
func (j *Journal) Append(record []byte, c Committed) error {
	n := len(record)
	if n == 0 || n > j.opt.MaxRecord {
		return ErrRecordSize
	}
	sum := crc32.Checksum(record, castagnoli)
	size := frameSize(n)

	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.admit(size); err != nil {
		j.stats.Refused++
		return err
	}
	g := j.fill
	at := len(g.buf)
	g.buf = grow(g.buf, size, j.opt.GroupBytes)
	putFrameHeader(g.buf[at:], kindRecord, uint32(n), j.next, g.start, sum)
	clear(g.buf[at+frameHeader+copy(g.buf[at+frameHeader:], record):])
	j.next += Position(size)
	g.entries = append(g.entries, entry{j.next, c})
	if len(g.entries) == j.signalAt {
		j.signal()
	}
	return nil
}

// admit says why a frame of this size cannot be taken now.
func (j *Journal) admit(size int) error {
	switch {
	case j.refuse != nil:
		return j.refuse
	case j.usage()+int64(size) > j.opt.MaxBytes:
		if now := time.Now(); now.Sub(j.fullAt) >= fullInterval {
			j.fullAt, j.sayFull = now, true
			j.signal()
		}
		return ErrFull
	case len(j.fill.buf)+size > j.opt.GroupBytes:
		return ErrBusy
	}
	return nil
}

// usage is the space the segments take when everything pending is written,
// with the header of one more segment and the seal that Close writes.
func (j *Journal) usage() int64 {
	return int64(j.next-j.segments[0].base) + int64(len(j.segments)+1)*segmentHeader + frameHeader
}

// grow lengthens b by n octets of any content, doubling its memory up to limit.
func grow(b []byte, n, limit int) []byte {
	need := len(b) + n
	if need > cap(b) {
		bigger := make([]byte, len(b), max(need, min(2*cap(b), limit), min(64<<10, limit)))
		copy(bigger, b)
		b = bigger
	}
	return b[:need]
}

// signal wakes the committer.
func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// End is the end of what is committed: readers see what is before it.
func (j *Journal) End() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.committed
}

// Retain says that the cursor needs everything from pos on, and no longer what
// is before. A segment is deleted, within this call, when every cursor that
// Retain has named is past it; the active one never is. Until the first Retain
// nothing is deleted, so name every cursor before moving one. Positions are not
// stored: name the cursors again after each Open.
func (j *Journal) Retain(cursor string, pos Position) {
	j.mu.Lock()
	j.cursors[cursor] = pos
	j.mu.Unlock()
	j.reap()
}

// Taken says how far the cursor has come, if that is further than what Retain keeps
// for it. Nothing is deleted for it; it is what Stats, the log and the note in the
// folder tell of the cursor.
func (j *Journal) Taken(cursor string, pos Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.taken[cursor] = pos
}

// come is how far each cursor has come; with mu held.
func (j *Journal) come() map[string]Position {
	cursors := maps.Clone(j.cursors)
	for cursor, pos := range cursors {
		cursors[cursor] = max(pos, j.taken[cursor])
	}
	return cursors
}

// reap deletes the oldest segments that no cursor needs, one after another and
// each removal durable before the next, so that a crash leaves no gap.
func (j *Journal) reap() {
	j.reaper.Lock()
	defer j.reaper.Unlock()
	defer j.noteCursors(false)
	for {
		base, ok := j.deletable()
		if !ok {
			return
		}
		err := j.fs.Remove(j.path(base))
		if err == nil || isNotExist(err) { // gone, but perhaps not durably
			err = j.fs.SyncDir(j.opt.Dir)
		}
		if err != nil {
			j.log.Warn("journal: cannot delete a segment, will try again", "segment", segmentName(base), "err", err)
			return
		}
		j.mu.Lock()
		j.segments = j.segments[1:]
		if j.stats.NearlyFull && !j.above(calmPercent) {
			j.signal() // for the committer to end the alarm
		}
		j.mu.Unlock()
	}
}

// deletable is the oldest segment if no cursor needs it.
func (j *Journal) deletable() (Position, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) < 2 || len(j.cursors) == 0 || j.closed {
		return 0, false
	}
	for _, pos := range j.cursors {
		if pos < j.segments[1].base {
			return 0, false
		}
	}
	return j.segments[0].base, true
}

// Close commits what was appended, then closes. Committed has been called for
// every record when it returns. Records that readers have not read yet remain
// readable through open Readers, whose Next then gives ErrClosed.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closing = true
	if j.refuse != ErrClosed {
		j.refuse = ErrClosed
		j.signal()
	}
	j.mu.Unlock()
	<-j.done
	return j.closeErr
}
