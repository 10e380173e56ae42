package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// heartbeat is how often it is looked whether Redis still holds what it was
	// told.
	heartbeat = time.Second
	// firstPause and longestPause are between tries while Redis is away.
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
	// lastWords is how long Run may take at its end to tell what has changed.
	lastWords = time.Second
)

// Run keeps the shared view up to date until the context ends: it tells of the
// sessions that change here and hears of those that end elsewhere. While Redis is
// away it tries again, with growing pauses; when it is back, and when it has lost
// what it held, all sessions of this node are told anew. Before it returns it tells
// of what has changed, if Redis answers.
func (s *Store) Run(ctx context.Context) {
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { s.follow(ctx) })
	others.Go(func() { s.readUsages(ctx) })
	h := health{store: s}
	pause := firstPause
	first := true
	for ctx.Err() == nil {
		err := h.connect(ctx)
		s.tried.Store(true)
		if err == nil {
			pause, first = firstPause, false
			err = s.work(ctx, &h)
		} else if first && ctx.Err() == nil {
			first = false
			s.log.Error("Redis is away: limits and quotas go by this node's own view", "error", explain(err))
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			s.fail(err)
		}
		sleep(ctx, pause/2+mathrand.N(pause))
		pause = min(2*pause, longestPause)
	}
	if s.up.Load() {
		sleep(context.WithoutCancel(ctx), 2*s.opt.FlushInterval) // for what was answered last
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if err := s.flush(last, s.takeDirty(0)); err != nil {
			s.log.Warn("the other nodes were not told of the last changes", "error", err)
		}
	}
}

// Tried reports whether Run has found out if Redis answers. Until then the local
// view decides.
func (s *Store) Tried() bool { return s.tried.Load() }

// work tells of changes until something fails or the context ends.
func (s *Store) work(ctx context.Context, h *health) error {
	flush, beat := time.NewTicker(s.opt.FlushInterval), time.NewTicker(heartbeat)
	defer flush.Stop()
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.broken:
			return errors.New("a call failed")
		case <-beat.C:
			if err := h.check(ctx); err != nil {
				return err
			}
		case <-flush.C:
			if err := s.flush(ctx, s.takeDirty(0)); err != nil {
				return err
			}
			if err := h.mend(ctx); err != nil {
				return err
			}
		}
	}
}

// fail notes that Redis does not answer. The first to notice says so.
func (s *Store) fail(err error) {
	if s.up.CompareAndSwap(true, false) {
		s.log.Error("Redis is away: limits and quotas go by this node's own view", "error", explain(err))
	}
	select {
	case s.broken <- struct{}{}:
	default:
	}
}

// sleep waits unless the context ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// health knows whether Redis holds what it was told. It is for the goroutine of
// Run.
//
// Each part of the keys has a marker, a random text. One that is gone or another
// shows that the part was emptied. A server that was started again or replaced by
// its replica may have lost the last writes and still have the markers: that shows
// in its run id.
type health struct {
	store   *Store
	markers [buckets]string
	servers []string // run ids
	beats   int

	shard    int // the next one to mend
	shards   int // that are left
	allowed  float64
	mendedAt time.Time
}

// connect makes sure that Redis answers and can be written to.
func (h *health) connect(ctx context.Context) error {
	s := h.store
	err := s.eachMaster(ctx, func(ctx context.Context, master *goredis.Client) error {
		return s.scripts.load(ctx, master)
	})
	if err != nil {
		return fmt.Errorf("load the scripts: %w", err)
	}
	if err := s.place(ctx); err != nil {
		return err
	}
	if err := h.check(ctx); err != nil {
		return err
	}
	if err := s.giveHeld(); err != nil {
		return err
	}
	select {
	case <-s.broken: // of before
	default:
	}
	h.begin()
	if s.up.CompareAndSwap(false, true) {
		s.log.Info("Redis answers: limits and quotas go by the view that all nodes share")
	}
	return nil
}

// check compares the markers and the servers, and has everything told anew if they
// are not the same.
func (h *health) check(ctx context.Context) error {
	s := h.store
	ctx, cancel := context.WithTimeout(ctx, patient*s.opt.Timeout)
	defer cancel()
	fresh := rand.Text()
	found := make([]*goredis.StringCmd, buckets)
	online := make([]*goredis.IntCmd, buckets)
	at, err := s.serverTime(ctx)
	if err != nil {
		return err
	}
	now := strconv.FormatInt(at.UnixMilli(), 10)
	_, err = s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for b := range buckets {
			p.SetNX(ctx, s.keys.marker(b), fresh, 0)
			found[b] = p.Get(ctx, s.keys.marker(b))
			online[b] = p.ZCount(ctx, s.keys.online(b), "("+now, "+inf")
		}
		// A few parts at a time get rid of the sessions that have lapsed.
		for i := range 8 {
			p.ZRemRangeByScore(ctx, s.keys.online((8*h.beats+i)%buckets), "-inf", now)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check the markers: %w", err)
	}
	h.beats++
	lost, total := false, int64(0)
	for b := range buckets {
		total += online[b].Val()
		if marker := found[b].Val(); marker != h.markers[b] {
			h.markers[b], lost = marker, true
		}
	}
	s.metrics.online.Store(total)
	servers, err := s.runIDs(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(servers, h.servers) {
		h.servers, lost = servers, true
	}
	if lost {
		h.begin()
	}
	return nil
}

// eachMaster calls fn for the server, or for each master of a cluster.
func (s *Store) eachMaster(ctx context.Context, fn func(ctx context.Context, master *goredis.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, patient*s.opt.Timeout)
	defer cancel()
	switch client := s.client.(type) {
	case *goredis.ClusterClient:
		return client.ForEachMaster(ctx, fn)
	case *goredis.Client:
		return fn(ctx, client)
	}
	return fmt.Errorf("unknown client %T", s.client)
}

// runIDs tells which processes the servers are.
func (s *Store) runIDs(ctx context.Context) (ids []string, err error) {
	var mu sync.Mutex
	err = s.eachMaster(ctx, func(ctx context.Context, master *goredis.Client) error {
		info, err := master.Info(ctx, "server").Result()
		var refused goredis.Error
		if errors.As(err, &refused) {
			return nil // it does not tell, or not this user
		}
		if err != nil {
			return err
		}
		_, id, _ := strings.Cut(info, "run_id:")
		id, _, _ = strings.Cut(id, "\r\n")
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask which servers they are: %w", err)
	}
	slices.Sort(ids)
	return ids, nil
}
