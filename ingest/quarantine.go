package ingest

import (
	"encoding/json"
	"fmt"
	"os"
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
		file, err := os.OpenFile(q.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("open quarantine: %w", err)
		}
		q.file = file
	}
	if _, err := q.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write quarantine: %w", err)
	}
	if err := q.file.Sync(); err != nil {
		return fmt.Errorf("sync quarantine: %w", err)
	}
	return nil
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
