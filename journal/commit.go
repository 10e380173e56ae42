package journal

import (
	"errors"
	"io/fs"
	"math"
	"time"
)

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = time.Second
	// probeBytes is what the device must take before the journal trusts it again.
	probeBytes = 256 << 10
)

// run is the committer goroutine: it writes and syncs one group while the next
// fills, and probes a failing device.
func (j *Journal) run() {
	defer close(j.done)
	defer j.gathered.Stop()
	for {
		j.gather()
		j.watchSpace() // after it: what woke the committer meanwhile may be for this
		g, closing := j.takeGroup()
		switch {
		case g != nil:
			j.commit(g)
		case closing:
			j.shut()
			return
		case j.active == nil:
			j.waitBackoff()
			if !j.isClosing() {
				j.probe()
			}
		default:
			<-j.wake
		}
	}
}

// While records come in groups of gatherFrom and more, groups begin no closer together
// than gatherTime: a sync costs much the same whatever it is for, and an answer that
// waits for a millisecond more costs nothing.
//
// Unless those who send wait for answers themselves, and so would wait for nothing:
// every gatherProbe groups it is looked whether records still come in the second half
// of the wait, and if none do, groups begin as soon as they have as many.
const (
	gatherFrom  = 2
	gatherTime  = 1500 * time.Microsecond
	gatherProbe = 64
)

// gather lets a group fill after one that was large.
func (j *Journal) gather() {
	left := gatherTime - time.Since(j.lastBegan)
	if j.lastGroup < gatherFrom || left <= 0 {
		return
	}
	if j.gathers++; j.gathers%gatherProbe != 0 {
		j.await(left, j.enough)
		return
	}
	half, _ := j.await(left/2, math.MaxInt)
	if full, waited := j.await(left/2, math.MaxInt); waited {
		if j.enough = math.MaxInt; full == half {
			j.enough = full
		}
	}
}

// await waits until the group holds that many records, and gives how many it holds. It
// reports false if it was disturbed before the time had passed.
func (j *Journal) await(d time.Duration, records int) (int, bool) {
	if !j.signalFrom(records) {
		return 0, false
	}
	waited := false
	j.gathered.Reset(d)
	select {
	case <-j.wake:
		j.gathered.Stop()
	case <-j.gathered.C:
		waited = true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.fill.entries), waited
}

// signalFrom has Append signal when the group holds so many records. It reports false
// if it does already, or if there is no time.
func (j *Journal) signalFrom(records int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.fill.entries) >= records || j.closing {
		return false
	}
	select {
	case <-j.wake: // for what is in the group already
	default:
	}
	j.signalAt = records
	return true
}

// takeGroup takes the filling group if it holds anything and lets the other
// buffer fill.
func (j *Journal) takeGroup() (*group, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.signalAt = 1
	g := j.fill
	if len(g.entries) == 0 {
		return nil, j.closing
	}
	j.fill, j.other = j.other, nil
	j.fill.start = j.next
	return g, j.closing
}

// release gives a group's memory back.
func (j *Journal) release(g *group) {
	clear(g.entries)
	g.buf, g.entries = g.buf[:0], g.entries[:0]
	j.other = g
}

// commit makes a group durable, shows it to the readers and tells the appenders.
func (j *Journal) commit(g *group) {
	began := time.Now()
	j.lastBegan, j.lastGroup = began, len(g.entries)
	if err := j.store(g); err != nil {
		j.fail(g, err)
		return
	}
	j.backoff = 0
	start, end := g.start, g.start+Position(len(g.buf))

	j.mu.Lock()
	j.committed = end
	j.stats.Groups++
	j.stats.Records += uint64(len(g.entries))
	j.stats.LastGroup = len(g.entries)
	j.stats.CommitTime += time.Since(began)
	j.wakeReaders()
	j.mu.Unlock()

	for _, e := range g.entries {
		if e.c != nil {
			e.c.Committed(e.end, nil)
		}
	}
	j.release(g)
	j.afterGroup()
	j.prepare(start, end, began)
}

// store writes and syncs a group, in a new segment if the active one would
// grow too large, or was not prepared and one that is can be had.
func (j *Journal) store(g *group) error {
	base := j.activeBase()
	full := fileOffset(base, g.start)+int64(len(g.buf))+frameHeader > j.opt.SegmentBytes
	if g.start > base && (full || !j.prepared && j.spare.ready()) {
		if err := j.rotate(g.start, 0); err != nil {
			return err
		}
		base = g.start
	}
	if err := writeAt(j.active, g.buf, fileOffset(base, g.start)); err != nil {
		return err
	}
	return j.active.SyncData()
}

// rotate begins a new segment at base, which becomes the active one: the spare,
// if one is ready. Where the old one is empty, the new one takes its place.
func (j *Journal) rotate(base Position, probe int) (err error) {
	f := j.spare.take()
	prepared := f != nil
	if prepared {
		err = beginSegment(j.fs, j.opt.Dir, f, spareName, base, 0)
	} else {
		f, err = createSegment(j.fs, j.opt.Dir, base, probe)
	}
	if err != nil {
		return err
	}
	if j.active != nil {
		j.leave(base)
	}
	j.active, j.prepared = f, prepared
	j.mu.Lock()
	if j.segments[len(j.segments)-1].base != base {
		j.segments = append(j.segments, segment{base})
	}
	j.mu.Unlock()
	if !j.roomForSpare() {
		j.spare.drop(0)
	}
	return nil
}

// leave closes the active segment, of which no more than the records before end count.
func (j *Journal) leave(end Position) {
	j.cut(fileOffset(j.activeBase(), end))
	j.active.Close()
	j.active = nil
}

// cut gives back the space of what the active segment's file holds behind size, zeros
// or a failed group. It need not be durable, nor succeed: that counts for nothing.
func (j *Journal) cut(size int64) {
	if err := j.active.Truncate(size); err != nil {
		j.log.Warn("journal: cannot cut a segment", "segment", segmentName(j.activeBase()), "err", err)
	}
}

// fail tells the appenders of a group that could not be made durable, and of
// the one that filled meanwhile, and closes the segment at its last known good
// position. What a failed sync has left in memory and on the device is unknown
// (Linux marks the pages clean), so nothing is written to that segment again:
// the next one begins at the end of what is committed, and a segment counts
// only as far as the next one's beginning.
func (j *Journal) fail(g *group, err error) {
	failure := newFailure(err)
	j.log.Error("journal: cannot commit, records are refused until the device recovers",
		"err", err, "records", len(g.entries), "position", uint64(g.start))

	j.mu.Lock()
	if j.refuse == nil {
		j.refuse = failure
	}
	next := j.fill
	j.next = j.committed
	j.stats.Failures++
	j.stats.Err = failure
	j.mu.Unlock()

	for _, g := range []*group{g, next} {
		for _, e := range g.entries {
			if e.c != nil {
				e.c.Committed(0, failure)
			}
		}
	}
	j.release(g)
	clear(next.entries)
	next.buf, next.entries = next.buf[:0], next.entries[:0]
	if j.active != nil {
		j.leave(g.start)
	}
	j.spare.drop(j.spare.rest)
	j.afterGroup()
}

// waitBackoff waits before the next probe, or until Close.
func (j *Journal) waitBackoff() {
	j.backoff = min(max(2*j.backoff, firstBackoff), lastBackoff)
	timer := time.NewTimer(j.backoff)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-j.wake:
	}
}

// probe tries to begin a new segment on a device that failed and, if that
// works, accepts records again.
func (j *Journal) probe() {
	base := j.End()
	if err := j.rotate(base, int(min(probeBytes, j.opt.SegmentBytes-segmentHeader))); err != nil {
		failure := newFailure(err)
		j.mu.Lock()
		if !j.closing {
			j.refuse = failure
		}
		j.stats.Err = failure
		j.mu.Unlock()
		return
	}
	j.log.Info("journal: the device takes records again", "position", uint64(base))
	j.mu.Lock()
	if !j.closing {
		j.refuse = nil
	}
	j.fill.start = base
	j.stats.Err = nil
	j.mu.Unlock()
}

// shut ends the journal: a seal behind the last record tells the next Open that
// nothing was in flight, so that damage to the last group is not taken for a
// torn tail.
func (j *Journal) shut() {
	j.spare.end()
	if j.active != nil {
		j.closeErr = errors.Join(j.seal(), j.active.Close())
		j.active = nil
	}
	j.mu.Lock()
	j.closed = true
	j.wakeReaders()
	j.mu.Unlock()
	j.reaper.Lock() // a deletion that is under way ends under the lock
	defer j.reaper.Unlock()
	j.noteCursors(true)
	j.closeErr = errors.Join(j.closeErr, j.lock.Close())
}

func (j *Journal) seal() error {
	var b [frameHeader]byte
	end := j.End()
	putFrameHeader(b[:], kindSeal, 0, end, end, 0)
	at := fileOffset(j.activeBase(), end)
	if err := writeAt(j.active, b[:], at); err != nil {
		return err
	}
	if err := j.active.SyncData(); err != nil {
		return err
	}
	j.cut(at + frameHeader)
	return nil
}

func (j *Journal) activeBase() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1].base
}

func (j *Journal) isClosing() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closing
}

// wakeReaders wakes all who wait for something to be committed; with mu held.
func (j *Journal) wakeReaders() {
	if j.waiters != nil {
		close(j.waiters)
		j.waiters = nil
	}
}

func (j *Journal) afterGroup() {
	if j.opt.AfterGroup != nil {
		j.opt.AfterGroup()
	}
}

func (j *Journal) path(base Position) string { return segmentPath(j.opt.Dir, base) }

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
