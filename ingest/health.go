package ingest

import (
	"errors"
	"log/slog"

	"radiusd/journal"
)

// health logs when something stops working and when it works again, and not each
// failure in between.
type health struct {
	log    *slog.Logger
	what   string
	failed bool
}

func (h *health) failure(err error) {
	if !h.failed {
		h.failed = true
		var damage *journal.CorruptError
		if errors.As(err, &damage) {
			h.log.Error("accounting is held up until the damage is given up", "where", h.what, "error", err,
				"command", "radiusd journal skip "+damage.Segment)
			return
		}
		h.log.Error("accounting is held up, trying again", "where", h.what, "error", err)
	}
}

func (h *health) recovered() {
	if h.failed {
		h.failed = false
		h.log.Info("accounting goes on", "where", h.what)
	}
}
