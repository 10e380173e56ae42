package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"radiusd/aaa"
)

// pipelineLength is how many scripts are sent to Redis at once.
const pipelineLength = 500

// maxLeft bounds the sessions that are noted while Redis is away.
const maxLeft = 100_000

// changed is LiveSessions.OnChange: it notes the session to be told of. While Redis
// is away only those need be noted that have left a user: when it is back, all
// sessions are told of.
func (s *Store) changed(id uuid.UUID, left string) {
	if left == "" && !s.up.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if left == "" {
		left = s.dirty[id]
	} else if !s.up.Load() && len(s.dirty) >= maxLeft {
		return // it counts for the user it has left until it lapses
	}
	s.dirty[id] = left
}

func (s *Store) pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dirty)
}

// takeDirty takes the sessions that have changed, or at most so many of them.
func (s *Store) takeDirty(most int) map[uuid.UUID]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.dirty
	if most <= 0 || len(taken) <= most {
		s.dirty = make(map[uuid.UUID]string, len(taken)/2)
		return taken
	}
	part := make(map[uuid.UUID]string, most)
	for id, left := range taken {
		part[id] = left
		delete(taken, id)
		if len(part) == most {
			break
		}
	}
	return part
}

// giveBack notes sessions that could not be told of.
func (s *Store) giveBack(dirty map[uuid.UUID]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, left := range dirty {
		if now, again := s.dirty[id]; !again || now == "" {
			s.dirty[id] = left
		}
	}
}

// flush tells of the sessions. After an error those that were not told of are
// noted again.
func (s *Store) flush(ctx context.Context, dirty map[uuid.UUID]string) error {
	if len(dirty) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(dirty))
	for id := range dirty {
		ids = append(ids, id)
	}
	for len(ids) > 0 {
		n := min(len(ids), pipelineLength)
		if err := s.publish(ctx, ids[:n], dirty); err != nil {
			s.giveBack(dirty)
			return fmt.Errorf("tell of sessions: %w", err)
		}
		for _, id := range ids[:n] {
			delete(dirty, id)
		}
		ids = ids[n:]
	}
	return nil
}

// publication is a script in a pipeline.
type publication struct {
	username string
	cmd      *goredis.Cmd
}

// publish tells of some sessions, and acts on what Redis knows of them.
func (s *Store) publish(ctx context.Context, ids []uuid.UUID, dirty map[uuid.UUID]string) error {
	ctx, cancel := context.WithTimeout(ctx, patient*s.opt.Timeout)
	defer cancel()
	var list []publication
	settings := s.settings(true)
	_, _ = s.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each command has its error
		s.opt.Local.Shared(ids, func(session *aaa.SharedSession) {
			id := bytes.Clone(session.ID[:]) // the session is used again
			if left := dirty[session.ID]; left != "" && left != session.Username {
				k := s.keys.user(left)
				list = append(list, publication{left, s.scripts.leave.EvalSha(ctx, p, []string{k.live, k.online}, settings, left, id)})
			}
			if session.Username == "" {
				return // it counts for nobody
			}
			k := s.keys.user(session.Username)
			list = append(list, publication{session.Username, s.scripts.publish.EvalSha(ctx, p,
				[]string{k.live, k.closed, k.usage, k.online}, settings, session.Username, id, appendState(nil, session))})
		})
		return nil
	})
	if len(list) == 0 {
		return nil
	}
	if err := s.firstFault(list); err != nil {
		if goredis.HasErrorPrefix(err, "NOSCRIPT") { // somebody has flushed them
			return errors.Join(err, s.eachMaster(ctx, func(ctx context.Context, master *goredis.Client) error {
				return s.scripts.load(ctx, master)
			}))
		}
		return err
	}
	s.metrics.published.Add(float64(len(list)))
	return s.act(ctx, list)
}

// firstFault returns the first error that is no fault of a script. Those are logged:
// to tell of the session again would help nobody.
func (s *Store) firstFault(list []publication) error {
	for i := range list {
		err := list[i].cmd.Err()
		if err == nil {
			continue
		}
		if !scriptFault(err) {
			return err
		}
		s.metrics.faults.Inc()
		s.log.Error("a session cannot be told of", "user", list[i].username, "error", err)
	}
	return nil
}

// scriptFault reports whether a script has failed on what it found, rather than the
// server or the way to it.
func scriptFault(err error) bool {
	return goredis.HasErrorPrefix(err, "ERR") || goredis.HasErrorPrefix(err, "WRONGTYPE")
}

// act does what the replies ask for: sessions that ended are closed here and
// announced to the other nodes, and usage that is not certain is read.
func (s *Store) act(ctx context.Context, list []publication) error {
	var ends []aaa.SharedEnd
	var announced []byte
	for i := range list {
		news, err := list[i].cmd.Slice()
		if err != nil {
			continue // of a script that has nothing to say
		}
		for _, item := range news {
			text, _ := item.(string)
			if text == "U" {
				s.readUsage(list[i].username)
				continue
			}
			if len(text) < 17 {
				return errReply
			}
			ended, err := parseState(uuid.UUID([]byte(text[1:17])), list[i].username, text[17:])
			if err != nil {
				return err
			}
			end := ended.end()
			ends = append(ends, end)
			if text[0] == 'E' {
				announced = appendEnd(announced, &end)
			}
		}
	}
	if len(ends) > 0 {
		s.opt.Local.EndShared(ends)
	}
	if len(announced) == 0 {
		return nil
	}
	return s.announce(ctx, announced)
}

// begin has all sessions of this node told anew.
func (h *health) begin() {
	h.shards = aaa.LiveShards
	h.allowed, h.mendedAt = 0, time.Now()
	if !h.store.mending.Swap(true) {
		h.store.metrics.mends.Inc()
	}
}

// mend tells of a part of this node's sessions, within Options.MendRate.
func (h *health) mend(ctx context.Context) error {
	s := h.store
	if h.shards == 0 || !s.opt.Loaded() {
		return nil
	}
	now := time.Now()
	rate := float64(s.opt.MendRate)
	h.allowed = min(h.allowed+now.Sub(h.mendedAt).Seconds()*rate, max(rate/10, 1))
	h.mendedAt = now
	for h.shards > 0 && h.allowed > 0 {
		ids := s.opt.Local.IDs(h.shard, nil)
		dirty := make(map[uuid.UUID]string, len(ids))
		for _, id := range ids {
			dirty[id] = ""
		}
		if err := s.flush(ctx, dirty); err != nil {
			return err
		}
		h.allowed -= float64(len(ids))
		h.shard = (h.shard + 1) % aaa.LiveShards
		h.shards--
	}
	if h.shards == 0 {
		s.mending.Store(false)
	}
	return nil
}
