package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"radiusd/aaa"
)

const (
	// maxUnsure bounds the users that wait for their usage to be read.
	maxUnsure = 100_000
	// usageBatch is how many are read at once.
	usageBatch = 200
)

// readUsage has the user's usage read from the store soon.
func (s *Store) readUsage(username string) {
	if s.opt.Usage == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unsure) >= maxUnsure {
		return // whoever asks next will ask again
	}
	s.unsure[username] = struct{}{}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Store) takeUnsure() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.unsure {
		if len(names) == usageBatch {
			break
		}
		names = append(names, name)
		delete(s.unsure, name)
	}
	return names
}

// readUsages reads usage from the store into Redis as it is wanted.
func (s *Store) readUsages(ctx context.Context) {
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for names := s.takeUnsure(); len(names) > 0; names = s.takeUnsure() {
			err := s.seed(ctx, names)
			if err == nil {
				pause = firstPause
				continue
			}
			if ctx.Err() != nil {
				return
			}
			s.log.Debug("usage is not known to all nodes yet", "users", len(names), "error", err)
			for _, name := range names {
				s.readUsage(name)
			}
			sleep(ctx, pause)
			pause = min(2*pause, longestPause)
		}
	}
}

// seed tells Redis what users have used according to the store.
func (s *Store) seed(ctx context.Context, names []string) error {
	now := s.now()
	c := s.today(now)
	// Sessions that nobody has heard of for longer are not told of any more.
	recent := now.Add(-s.opt.InferredRetention)
	accounts, err := s.opt.Usage.UsageAccounts(ctx, names, c.first, recent)
	if err != nil {
		return fmt.Errorf("read usage from the store: %w", err)
	}
	byName := make(map[string]*aaa.UsageAccount, len(accounts))
	for i := range accounts {
		byName[accounts[i].Username] = &accounts[i]
	}
	ctx, cancel := context.WithTimeout(ctx, patient*s.opt.Timeout)
	defer cancel()
	settings := s.settings(true)
	_, err = s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, name := range names {
			account := byName[name]
			if account == nil {
				account = &aaa.UsageAccount{Username: name}
			}
			k := s.keys.user(name)
			args := append([]any{settings}, seedArguments(account, recent)...)
			s.scripts.seed.EvalSha(ctx, p, []string{k.live, k.closed, k.usage}, args...)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell of usage: %w", err)
	}
	return nil
}

// seedArguments encodes an account for the script.
func seedArguments(a *aaa.UsageAccount, recent time.Time) []any {
	var days, sessions []byte
	for _, d := range a.Days {
		days = binary.BigEndian.AppendUint64(days, uint64(max(d.Day.Unix(), 0)))
		days = appendUsage(days, d.Usage)
	}
	for i := range a.Sessions {
		x := &a.Sessions[i]
		sessions = append(sessions, x.ID[:]...)
		sessions = binary.BigEndian.AppendUint64(sessions, micros(x.UpdatedAt))
		sessions = appendUsage(sessions, x.Usage)
	}
	return []any{strconv.FormatInt(recent.UnixMilli(), 10), appendUsage(nil, a.Ever), days, sessions}
}

func appendUsage(b []byte, u aaa.Usage) []byte {
	for _, n := range [...]uint64{u.Seconds, u.InputOctets, u.OutputOctets} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}
