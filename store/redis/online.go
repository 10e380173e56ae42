package redis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"radiusd/aaa"
)

// View reads who is online. All methods are safe for concurrent use.
type View struct {
	opt    Options
	keys   keys
	client goredis.UniversalClient
}

// NewView makes a View, which ends with Close. Of the options it takes where Redis
// is, and the liveness. It connects to nothing yet.
func NewView(opt Options) (*View, error) {
	if opt.URL == "" {
		return nil, errors.New("redis: a URL is required")
	}
	opt = opt.withDefaults()
	if strings.ContainsAny(opt.Prefix, "{}") {
		return nil, fmt.Errorf("redis: prefix %q has braces", opt.Prefix)
	}
	client, err := newClient(opt)
	if err != nil {
		return nil, err
	}
	return &View{opt: opt, keys: keys{opt.Prefix}, client: client}, nil
}

// Close ends the connections. What uses them must have returned.
func (v *View) Close() error {
	if err := v.client.Close(); err != nil {
		return fmt.Errorf("close the connections to Redis: %w", err)
	}
	return nil
}

// serverTime is the time by which deadlines are judged.
func (v *View) serverTime(ctx context.Context) (time.Time, error) {
	if v.opt.Now != nil {
		return v.opt.Now(), nil
	}
	now, err := v.client.Time(ctx).Result()
	if err != nil {
		return now, fmt.Errorf("ask Redis for the time: %w", explain(err))
	}
	return now, nil
}

// now is the time for what stays at this node.
func (v *View) now() time.Time {
	if v.opt.Now != nil {
		return v.opt.Now()
	}
	return time.Now()
}

// onlinePage is how many sessions are read at once.
const onlinePage = 500

// OnlineCount returns how many sessions are open on all nodes.
func (v *View) OnlineCount(ctx context.Context) (int64, error) {
	counts := make([]*goredis.IntCmd, buckets)
	now, err := v.after(ctx)
	if err != nil {
		return 0, err
	}
	_, err = v.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for b := range buckets {
			counts[b] = p.ZCount(ctx, v.keys.online(b), now, "+inf")
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("count the sessions in Redis: %w", err)
	}
	total := int64(0)
	for _, c := range counts {
		total += c.Val()
	}
	return total, nil
}

// after is the least score of a session that has not lapsed.
func (v *View) after(ctx context.Context) (string, error) {
	now, err := v.serverTime(ctx)
	return "(" + strconv.FormatInt(now.UnixMilli(), 10), err
}

// Online is a session as the index of a part has it.
type Online struct {
	ID       uuid.UUID
	NASAddr  netip.Addr
	Username string
}

// EachOnline calls fn for each session that is open on any node, in no order, until
// it returns false. Sessions that begin or end meanwhile may be seen or not.
func (v *View) EachOnline(ctx context.Context, fn func(Online) bool) error {
	after, err := v.after(ctx)
	if err != nil {
		return err
	}
	for b := range buckets {
		goOn, err := v.eachOnline(ctx, b, after, fn)
		if err != nil {
			return fmt.Errorf("list the sessions in Redis: %w", err)
		}
		if !goOn {
			return nil
		}
	}
	return nil
}

// eachOnline pages through the index of a part by position: sessions that end
// meanwhile move the others, so a page overlaps the one before, and those that come
// twice are left out.
func (v *View) eachOnline(ctx context.Context, bucket int, after string, fn func(Online) bool) (bool, error) {
	seen := make(map[uuid.UUID]struct{})
	for offset := int64(0); ; offset += onlinePage {
		members, err := v.client.ZRangeByScore(ctx, v.keys.online(bucket), &goredis.ZRangeBy{
			Min: after, Max: "+inf", Offset: max(offset-onlinePage/10, 0), Count: onlinePage + onlinePage/10,
		}).Result()
		if err != nil {
			return false, err
		}
		for _, m := range members {
			if len(m) < 32 {
				return false, errState
			}
			o := Online{ID: uuid.UUID([]byte(m[:16])), NASAddr: nasAddr([16]byte([]byte(m[16:32]))), Username: m[32:]}
			if _, again := seen[o.ID]; again {
				continue
			}
			seen[o.ID] = struct{}{}
			if !fn(o) {
				return false, nil
			}
		}
		if len(members) < onlinePage {
			return true, nil
		}
	}
}

// Sessions returns those of the sessions that Redis knows to be open.
func (v *View) Sessions(ctx context.Context, list []Online) (sessions []aaa.Session, err error) {
	cmds := make([]*goredis.StringCmd, len(list))
	_, err = v.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, o := range list {
			cmds[i] = p.HGet(ctx, v.keys.user(o.Username).live, "S"+string(o.ID[:]))
		}
		return nil
	})
	for i, cmd := range cmds {
		packed, err := cmd.Result()
		if err == goredis.Nil { //nolint:errorlint // go-redis returns it as it is
			continue // it has ended
		}
		if err != nil {
			return nil, fmt.Errorf("read sessions from Redis: %w", err)
		}
		found, err := parseState(list[i].ID, list[i].Username, packed)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, found.Session)
	}
	if len(cmds) == 0 && err != nil {
		return nil, fmt.Errorf("read sessions from Redis: %w", err)
	}
	return sessions, nil
}

// UserSessions returns the sessions that the user has open on any node.
func (v *View) UserSessions(ctx context.Context, username string) (sessions []aaa.Session, err error) {
	now, err := v.serverTime(ctx)
	if err != nil {
		return nil, err
	}
	all, err := v.client.HGetAll(ctx, v.keys.user(username).live).Result()
	if err != nil {
		return nil, fmt.Errorf("read the sessions of %q from Redis: %w", username, err)
	}
	for field, packed := range all {
		if len(field) != 17 || field[0] != 'S' {
			continue
		}
		found, err := parseState(uuid.UUID([]byte(field[1:])), username, packed)
		if err != nil {
			return nil, err
		}
		if found.seen.Add(v.timeout(&found)).After(now) {
			sessions = append(sessions, found.Session)
		}
	}
	return sessions, nil
}

// timeout is how long the session may be silent, as timeout in common.lua.
func (v *View) timeout(x *state) time.Duration {
	switch {
	case v.opt.Liveness > 0:
		return v.opt.Liveness
	case x.interval > 0:
		return max(3*x.interval, v.opt.MinLiveness)
	}
	return v.opt.SilentLiveness
}
