package testserver

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"radiusd/internal/freeport"

	"github.com/redis/go-redis/v9"
)

// redisDatabases is how many tests of one binary can have a database each.
const redisDatabases = 4096

var (
	redisOnce   sync.Once
	redisShared *redisProcess
	redisErr    error
	redisNumber atomic.Int64

	clusterOnce sync.Once
	cluster     []*redisProcess
	clusterErr  error
)

// Redis returns the URL of an empty database of a Redis server that the first call
// starts and Main or StopRedis stops. It fails the test if Redis is not installed.
func Redis(t testing.TB) string {
	t.Helper()
	redisOnce.Do(func() {
		redisShared, redisErr = newRedisProcess("--databases", fmt.Sprint(redisDatabases))
		if redisErr == nil {
			redisErr = redisShared.start()
		}
	})
	if redisErr != nil {
		t.Fatalf("these tests need a Redis server: %v", redisErr)
	}
	return fmt.Sprintf("redis://%s/%d", redisShared.address(), redisNumber.Add(1)%redisDatabases)
}

// RedisCluster returns the URL of a Redis Cluster of three masters that the first
// call starts and Main or StopRedis stops. All tests of a binary share it, so each
// needs a prefix of its own.
func RedisCluster(t testing.TB) string {
	t.Helper()
	clusterOnce.Do(func() { clusterErr = startCluster() })
	if clusterErr != nil {
		t.Fatalf("these tests need a Redis Cluster: %v", clusterErr)
	}
	return fmt.Sprintf("redis://%s?addr=%s&addr=%s", cluster[0].address(), cluster[1].address(), cluster[2].address())
}

// RedisClusterMasters returns the URL of each master of RedisCluster.
func RedisClusterMasters(t testing.TB) []string {
	t.Helper()
	RedisCluster(t)
	var urls []string
	for _, p := range cluster {
		urls = append(urls, "redis://"+p.address())
	}
	return urls
}

// StopRedis stops what Redis and RedisCluster have started. They must not be
// called again.
func StopRedis() {
	redisOnce.Do(func() { redisErr = errors.New("the server was stopped") })
	clusterOnce.Do(func() { clusterErr = errors.New("the cluster was stopped") })
	for _, p := range append(cluster, redisShared) {
		if p != nil {
			p.stop(os.Kill) // there is nothing to keep
			p.remove()
		}
	}
	cluster, redisShared = nil, nil
}

// startCluster makes three servers one cluster, each with a third of the slots.
func startCluster() error {
	const masters, slots = 3, 16384
	for i := range masters {
		bus, err := freeport.Reserve()
		if err != nil {
			return err
		}
		p, err := newRedisProcess("--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(bus))
		if err != nil {
			return err
		}
		p.bus = bus
		cluster = append(cluster, p)
		if err := p.start(); err != nil {
			return err
		}
		err = p.do("CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
		if err == nil {
			err = p.do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		}
		if err == nil && i > 0 {
			err = p.do("CLUSTER", "MEET", "127.0.0.1", cluster[0].port, cluster[0].bus)
		}
		if err != nil {
			return fmt.Errorf("make a cluster: %w", err)
		}
	}
	return await(30*time.Second, func() error {
		for _, p := range cluster {
			info, err := p.client.ClusterInfo(background()).Result()
			if err != nil {
				return err
			}
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", masters)) {
				return fmt.Errorf("the cluster does not come about:\n%s", info)
			}
		}
		return nil
	})
}

// RedisServer is a Redis server of one test, which may stop it and start it again
// on the same port. It keeps nothing on disk, so it comes back empty. It is for one
// goroutine.
type RedisServer struct {
	t testing.TB
	p *redisProcess
}

// NewRedisServer starts a server, which ends with the test.
func NewRedisServer(t testing.TB) *RedisServer {
	t.Helper()
	p, err := newRedisProcess()
	if err != nil {
		t.Fatalf("these tests need a Redis server: %v", err)
	}
	s := &RedisServer{t: t, p: p}
	t.Cleanup(func() {
		s.Resume()
		p.stop(os.Kill)
		p.remove()
	})
	s.Start()
	return s
}

// URL returns where it is.
func (s *RedisServer) URL() string { return "redis://" + s.p.address() }

// Start starts the server after Stop or Crash, empty, and waits until it answers.
func (s *RedisServer) Start() {
	s.t.Helper()
	if err := s.p.start(); err != nil {
		s.t.Fatalf("start Redis: %v", err)
	}
}

// Stop stops the server in good order.
func (s *RedisServer) Stop() { s.p.stop(os.Interrupt) }

// Crash kills the server.
func (s *RedisServer) Crash() { s.p.stop(os.Kill) }

// Pause freezes the server: it takes connections and answers nothing until Resume.
func (s *RedisServer) Pause() { s.p.freeze() }

// Resume goes on after Pause.
func (s *RedisServer) Resume() { s.p.thaw() }

// Client returns a client to look at what the server holds.
func (s *RedisServer) Client() *redis.Client { return s.p.client }
