package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"radiusd/journal"
)

// Quarantined is one line of the quarantine file: an accounting record that was
// answered, but could not be decoded or stored.
type Quarantined struct {
	At       time.Time        `json:"at"`
	Sink     string           `json:"sink"` // that could not take it; empty: it could not be decoded
	End      journal.Position `json:"end"`  // the position behind it in the journal
	Reason   string           `json:"reason"`
	Envelope []byte           `json:"envelope"` // as it stood in the journal
}

// quarantine is the file. It is opened when the first record comes.
type quarantine struct {
	path string
	mu   sync.Mutex
	file *os.File
}

// add writes the record durably. Until that has worked the record must not be
// passed over.
func (q *quarantine) add(record Quarantined) error {
	line, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("quarantine a record: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.file == nil {
		if q.file, err = openQuarantine(q.path); err != nil {
			return fmt.Errorf("open quarantine: %w", err)
		}
	}
	if _, err = q.file.Write(append(line, '\n')); err == nil {
		err = q.file.Sync()
	}
	if err != nil {
		_ = q.file.Close() // a part of the line may be there: it is opened anew
		q.file = nil
		return fmt.Errorf("write quarantine: %w", err)
	}
	return nil
}

// openQuarantine opens the file, or makes it durably. It ends a line that was not
// written whole.
func openQuarantine(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(endLine(file), syncFolder(filepath.Dir(path))); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func endLine(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], size-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = file.Write([]byte{'\n'})
	return err
}

// syncFolder makes the name of a new file durable.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // it does so by itself
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (q *quarantine) close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.file == nil {
		return nil
	}
	err := q.file.Close()
	q.file = nil
	return err
}

// isolated are the ends of the records that a sink has put into quarantine, since
// the journal may have to be read again.
type isolated map[journal.Position]struct{}

// isolatedKept bounds them. A record that was forgotten can be in the file twice.
const isolatedKept = 1 << 16

func (i *isolated) note(end journal.Position) {
	if *i == nil || len(*i) >= isolatedKept {
		*i = make(isolated)
	}
	(*i)[end] = struct{}{}
}

// isolate puts a record into quarantine. It must not be passed over before.
func (s *sinkLoop) isolate(sink string, envelope []byte, end journal.Position, reason error) error {
	if _, again := s.isolated[end]; again {
		return nil
	}
	if err := s.in.quarantine.add(Quarantined{At: time.Now().UTC(), Sink: sink, End: end, Reason: reason.Error(), Envelope: envelope}); err != nil {
		return err
	}
	s.isolated.note(end)
	s.gauge.quarantined.Inc()
	s.in.log.Error("accounting record quarantined", "sink", sink, "end", uint64(end), "reason", reason, "file", s.in.quarantine.path)
	return nil
}
