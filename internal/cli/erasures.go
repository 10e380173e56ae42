package cli

import (
	"context"
	"log/slog"
	"time"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
	"radiusd/store/clickhouse"
)

// erasurePause is how long a process waits before it looks for erasures to go on with.
const erasurePause = time.Second

// runErasures goes on with erasures until ctx is done: with those that the API or a command
// of this or another process has begun, and with those that a process left behind that is
// gone. ready returns the store once it is open, else nil.
func runErasures(ctx context.Context, ready func() *store.Store, erasers []aaa.PersonEraser, log *slog.Logger) {
	tick := time.NewTicker(erasurePause)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := ready()
		if s == nil {
			continue
		}
		text := ""
		if err := s.RunErasures(ctx, erasers); err != nil {
			text = oneLine(err)
		}
		if text != "" && text != last && ctx.Err() == nil {
			log.Error("personal data is not erased yet, trying again", "error", text)
		}
		last = text
	}
}

// historyEraser erases persons in the ClickHouse of a process that has no other business
// there.
type historyEraser struct {
	cfg *config.Config
	log *slog.Logger
}

func (h historyEraser) ErasePerson(ctx context.Context, name aaa.UserName, pseudonym string) error {
	options := clickhouseOptions(h.cfg, "", h.log)
	options.AutoMigrate = false
	history, err := clickhouse.Open(ctx, options)
	if err != nil {
		return err
	}
	defer history.Close()
	return history.ErasePerson(ctx, name, pseudonym)
}

// historyErasers are the erasers of a process without a ClickHouse of its own.
func historyErasers(cfg *config.Config, log *slog.Logger) []aaa.PersonEraser {
	if cfg.ClickHouse.URL == "" {
		return nil
	}
	return []aaa.PersonEraser{historyEraser{cfg, log}}
}
