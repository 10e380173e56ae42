package journal

import (
	"encoding/json"
	"io"
	"path/filepath"
	"time"
)

// The alarm goes when the journal takes alarmPercent of MaxBytes, and is over
// when it takes less than calmPercent, so that it does not go at every segment.
const (
	alarmPercent = 80
	calmPercent  = 70
)

// fullInterval is how often the log is told that records are refused at MaxBytes.
const fullInterval = time.Minute

// watchSpace logs what Append, which must not wait for a log, has found, and
// raises or ends the alarm.
func (j *Journal) watchSpace() {
	j.mu.Lock()
	full, usage := j.sayFull, j.usage()
	j.sayFull = false
	raised, over := !j.stats.NearlyFull && j.above(alarmPercent), j.stats.NearlyFull && !j.above(calmPercent)
	if raised || over {
		j.stats.NearlyFull = raised
	}
	holder := ""
	if full || raised {
		holder, _ = heldBy(j.come(), j.committed)
	}
	j.mu.Unlock()
	switch {
	case full:
		j.log.Error("journal: full, records are refused until what it holds was read",
			"octets", usage, "limit", j.opt.MaxBytes, "waits_for", holder)
	case raised:
		j.log.Error("journal: nearly full, records will be refused at the limit",
			"octets", usage, "limit", j.opt.MaxBytes, "waits_for", holder)
	case over:
		j.log.Info("journal: no longer nearly full", "octets", usage, "limit", j.opt.MaxBytes)
	}
}

// above says whether the journal takes that share of MaxBytes; with mu held.
func (j *Journal) above(percent int64) bool { return j.usage() >= j.opt.MaxBytes/100*percent }

// heldBy names the cursor that is furthest behind end, and where it is; none if
// there is no cursor.
func heldBy(cursors map[string]Position, end Position) (name string, pos Position) {
	pos = end
	for cursor, at := range cursors {
		if at < pos || at == pos && (name == "" || cursor < name) {
			name, pos = cursor, at
		}
	}
	return name, pos
}

// Positions of cursors are kept by those who read. The file cursorsName is a note
// of them for whoever looks into the folder, with the server running or not: it is
// not synced, never read by Open, and may be a little old or missing.
const (
	cursorsName  = "cursors"
	noteInterval = time.Second
)

// noteCursors writes the note if it is old; with reaper held.
func (j *Journal) noteCursors(now bool) {
	if !now && time.Since(j.notedAt) < j.noteEvery {
		return
	}
	j.notedAt = time.Now()
	j.mu.Lock()
	cursors := j.come()
	j.mu.Unlock()
	if len(cursors) == 0 {
		return
	}
	b, err := json.Marshal(cursors)
	if err == nil {
		err = j.writeNote(append(b, '\n'))
	}
	if err != nil {
		j.log.Debug("journal: cannot note the cursors", "err", err)
	}
}

func (j *Journal) writeNote(b []byte) error {
	name := filepath.Join(j.opt.Dir, cursorsName)
	f, err := j.fs.Create(name + tempSuffix)
	if err != nil {
		return err
	}
	err = writeAt(f, b, 0)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = j.fs.Remove(name + tempSuffix) // the next one replaces it
		return err
	}
	return j.fs.Rename(name+tempSuffix, name)
}

// readNote gives what noteCursors wrote; nil if it is not there or not whole.
func readNote(fsys FS, dir string) map[string]Position {
	f, err := fsys.Open(filepath.Join(dir, cursorsName))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 64<<10))
	var cursors map[string]Position
	if err != nil || json.Unmarshal(b, &cursors) != nil {
		return nil
	}
	return cursors
}
