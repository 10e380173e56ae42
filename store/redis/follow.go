package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"radiusd/aaa"
)

const (
	// streamLength bounds the stream of ended sessions: an entry is what one node
	// tells at once, twenty times a second at most.
	streamLength = 1000
	// followBlock is how long a read of the stream waits for news.
	followBlock = 500 * time.Millisecond
	fieldNode   = "node"
	fieldEnds   = "ends"
)

// appendEnd encodes a session that has ended.
func appendEnd(b []byte, e *aaa.SharedEnd) []byte {
	b = append(b, e.SessionID[:]...)
	inferred := byte(0)
	if e.StopInferred {
		inferred = 1
	}
	b = append(b, inferred)
	for _, n := range [...]uint64{micros(e.UpdatedAt), micros(e.StoppedAt), e.Used.Seconds, e.Used.InputOctets, e.Used.OutputOctets} {
		b = binary.AppendUvarint(b, n)
	}
	return appendText(b, e.TerminateCause)
}

// parseEnds reads what appendEnd wrote, one after the other.
func parseEnds(text string) (ends []aaa.SharedEnd, err error) {
	b := []byte(text)
	for len(b) > 0 {
		if len(b) < 17 {
			return ends, errState
		}
		e := aaa.SharedEnd{SessionID: uuid.UUID(b[:16]), StopInferred: b[16] == 1}
		b = b[17:]
		var numbers [6]uint64 // the last is the length of the cause
		for i := range numbers {
			n := 0
			if numbers[i], n = binary.Uvarint(b); n <= 0 {
				return ends, errState
			}
			b = b[n:]
		}
		e.UpdatedAt, e.StoppedAt = fromMicros(numbers[0]), fromMicros(numbers[1])
		e.Used = aaa.Usage{Seconds: numbers[2], InputOctets: numbers[3], OutputOctets: numbers[4]}
		if numbers[5] > uint64(len(b)) {
			return ends, errState
		}
		e.TerminateCause = string(b[:numbers[5]])
		b = b[numbers[5]:]
		ends = append(ends, e)
	}
	return ends, nil
}

// announce tells the other nodes of sessions that have ended.
func (s *Store) announce(ctx context.Context, ends []byte) error {
	return s.client.XAdd(ctx, &goredis.XAddArgs{
		Stream: s.keys.ended(), MaxLen: streamLength, Approx: true, Values: []any{fieldNode, s.opt.NodeID, fieldEnds, ends},
	}).Err()
}

// place finds where to follow the stream from, the first time. It comes before the
// sessions of this node are told: what ended earlier is heard then.
func (s *Store) place(ctx context.Context) error {
	if s.heard.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patient*s.opt.Timeout)
	defer cancel()
	newest, err := s.client.XRevRangeN(ctx, s.keys.ended(), "+", "-", 1).Result()
	if err != nil {
		return fmt.Errorf("look for ended sessions: %w", err)
	}
	last := "0"
	if len(newest) > 0 {
		last = newest[0].ID
	}
	s.heard.Store(&last)
	return nil
}

// follow closes the sessions here that have ended elsewhere. What it misses while
// Redis is away it hears when its own sessions are told anew.
func (s *Store) follow(ctx context.Context) {
	for ctx.Err() == nil {
		last := s.heard.Load()
		if last == nil || !s.up.Load() {
			sleep(ctx, s.opt.FlushInterval)
			continue
		}
		entries, err := s.news(ctx, *last)
		if err != nil {
			sleep(ctx, s.opt.FlushInterval)
		}
		for _, entry := range entries {
			s.heard.Store(&entry.ID)
			s.hear(entry.Values)
		}
	}
}

// news waits a while for entries of the stream after the last one.
func (s *Store) news(ctx context.Context, last string) ([]goredis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, followBlock+patient*s.opt.Timeout)
	defer cancel()
	streams, err := s.client.XRead(ctx, &goredis.XReadArgs{Streams: []string{s.keys.ended(), last}, Count: 20, Block: followBlock}).Result()
	if errors.Is(err, goredis.Nil) || err == nil && len(streams) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return streams[0].Messages, nil
}

func (s *Store) hear(entry map[string]any) {
	if entry[fieldNode] == s.opt.NodeID {
		return
	}
	text, _ := entry[fieldEnds].(string)
	ends, err := parseEnds(text)
	if err != nil {
		s.log.Warn("another node tells of ended sessions in a way that is not known here", "node", entry[fieldNode], "error", err)
	}
	if len(ends) > 0 {
		s.opt.Local.EndShared(ends)
	}
}
