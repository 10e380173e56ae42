package journal

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

// A group that makes its segment longer costs the file system a transaction of its own
// with each sync; one that goes over zeros on the device does not. So under load the
// next segment is made ahead, full of zeros, as a spare that only wants its header and
// its name.

// spareName is what the spare is called until it becomes a segment.
const spareName = "spare" + segmentSuffix + tempSuffix

// preparing says when and how a spare is made; what is zero takes the default.
type preparing struct {
	// A journal is under load when it commits that many octets in loadTime.
	load     int64
	loadTime time.Duration
	// A spare is written and synced in pieces, with a pause between two of them that is
	// at least as long as the last one took, so that groups find the device free.
	piece int64
	pause time.Duration
	// rest is how long no spare is made when one could not be, or the device failed.
	rest time.Duration
}

func (p *preparing) complete() {
	setDefault(&p.load, 1<<20)
	setDefault(&p.loadTime, time.Minute)
	setDefault(&p.piece, 1<<20)
	setDefault(&p.pause, 10*time.Millisecond)
	setDefault(&p.rest, time.Minute)
}

// zeros are never written to.
var zeros [64 << 10]byte

// preparer makes the spare. The committer asks for it, and takes or drops it, without
// ever waiting for the device on its account, unless it is ready and dropped.
type preparer struct {
	fs   FS
	dir  string
	size int64
	preparing
	log *slog.Logger

	wanted chan struct{} // capacity 1: there is one to be made
	stop   chan struct{} // closed by end
	done   chan struct{} // closed when the goroutine has ended; nil: there is none

	mu      sync.Mutex
	state   spareState
	resting time.Time // none is made until then

	// Of whoever makes the spare, until it is ready.
	file    File
	written int64
}

type spareState uint8

const (
	spareNone spareState = iota
	spareMaking
	spareUnwanted // it is being made, and is to be dropped
	spareReady
)

func newPreparer(opt Options) *preparer {
	return &preparer{
		fs: opt.FS, dir: opt.Dir, size: opt.SegmentBytes, preparing: opt.preparing, log: opt.Logger,
		wanted: make(chan struct{}, 1), stop: make(chan struct{}),
	}
}

// start begins the goroutine, which end ends.
func (p *preparer) start() {
	p.done = make(chan struct{})
	go p.run()
}

func (p *preparer) run() {
	defer close(p.done)
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	for {
		select {
		case <-p.wanted:
		case <-p.stop:
			return
		}
		for began := time.Now(); p.step(); began = time.Now() {
			pause.Reset(max(p.pause, time.Since(began)))
			select {
			case <-pause.C:
			case <-p.stop:
				return
			}
		}
	}
}

// want asks for a spare if there is none.
func (p *preparer) want(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != spareNone || now.Before(p.resting) {
		return
	}
	p.state = spareMaking
	select {
	case p.wanted <- struct{}{}:
	default:
	}
}

// step writes and syncs the next piece of a spare that is being made, and says whether
// there is more to write.
func (p *preparer) step() bool {
	p.mu.Lock()
	state := p.state
	p.mu.Unlock()
	var err error
	switch state {
	case spareMaking:
		err = p.write()
	case spareUnwanted:
		p.remove()
	default:
		return false
	}
	if err != nil {
		p.log.Debug("journal: cannot prepare a segment, will try again later", "err", err)
		p.remove()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.file == nil:
		p.state = spareNone
		if err != nil {
			p.resting = time.Now().Add(p.rest)
		}
	case p.written == p.size && p.state == spareMaking:
		p.state = spareReady
	default:
		return true
	}
	return false
}

func (p *preparer) path() string { return filepath.Join(p.dir, spareName) }

// write makes the file, if it is not there yet, and one piece of it.
func (p *preparer) write() error {
	if p.file == nil {
		if err := p.create(); err != nil {
			return err
		}
	}
	for end := min(p.written+p.piece, p.size); p.written < end; {
		b := zeros[:min(end-p.written, int64(len(zeros)))]
		if err := writeAt(p.file, b, p.written); err != nil {
			return err
		}
		p.written += int64(len(b))
	}
	return p.file.SyncData()
}

// create makes the file if the device has room for it, and as much again for everybody
// else who writes there.
func (p *preparer) create() error {
	free, err := p.fs.Free(p.dir)
	if err != nil {
		return err
	}
	if free < 2*p.size {
		return fmt.Errorf("%d octets are free, too few for two segments", free)
	}
	f, err := p.fs.Create(p.path())
	if err != nil {
		return err
	}
	p.file, p.written = f, 0
	return nil
}

// remove gives back the space of the spare. What cannot be removed is emptied by the
// next one, or removed by the next Open.
func (p *preparer) remove() {
	if p.file != nil {
		p.file.Close()
		p.file = nil
		_ = p.fs.Remove(p.path())
	}
}

// ready says whether there is a spare to take.
func (p *preparer) ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == spareReady
}

// take gives the spare, which is the caller's from then on; nil if none is ready.
func (p *preparer) take() File {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != spareReady {
		return nil
	}
	f := p.file
	p.state, p.file = spareNone, nil
	return f
}

// drop does without the spare there is or will be, and makes no other one before rest is over.
func (p *preparer) drop(rest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(rest); until.After(p.resting) {
		p.resting = until
	}
	switch p.state {
	case spareMaking:
		p.state = spareUnwanted
	case spareReady:
		p.remove()
		p.state = spareNone
	}
}

// end ends the goroutine and removes the spare.
func (p *preparer) end() {
	close(p.stop)
	if p.done != nil {
		<-p.done
	}
	p.remove()
}

// prepare asks for a spare if the journal is under load, will want one soon, and has
// room for it. A group from start to end was committed, which was begun now.
func (j *Journal) prepare(start, end Position, now time.Time) {
	if now.Sub(j.loadFrom) > j.spare.loadTime {
		j.loadFrom, j.loadEnd = now, start+Position(j.spare.load)
	}
	if end < j.loadEnd || j.prepared && int64(end-j.activeBase()) < j.opt.SegmentBytes/4 || !j.roomForSpare() {
		return
	}
	j.spare.want(now)
}

// roomForSpare says whether all stays below MaxBytes with a spare and with all of the
// active segment.
func (j *Journal) roomForSpare() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	sealed := int64(j.segments[len(j.segments)-1].base-j.segments[0].base) + int64(len(j.segments))*segmentHeader
	return sealed+2*j.opt.SegmentBytes <= j.opt.MaxBytes
}
