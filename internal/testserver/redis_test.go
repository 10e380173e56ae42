package testserver

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	opt, err := redis.ParseURL(url)
	require.NoError(t, err)
	c := redis.NewClient(opt)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisDatabasesAreApart(t *testing.T) {
	first, second := redisClient(t, Redis(t)), redisClient(t, Redis(t))
	require.NoError(t, first.Set(t.Context(), "mark", 1, 0).Err())
	require.Zero(t, second.DBSize(t.Context()).Val())
	require.EqualValues(t, 1, first.DBSize(t.Context()).Val())
}

func TestRedisServerComesBackEmpty(t *testing.T) {
	server := NewRedisServer(t)
	c := server.Client()
	for name, end := range map[string]func(){"stop": server.Stop, "crash": server.Crash} {
		require.NoError(t, c.Set(t.Context(), "mark", 1, 0).Err())
		end()
		require.Error(t, c.Ping(t.Context()).Err(), "after %s nobody answers", name)
		server.Start()
		require.Zero(t, c.DBSize(t.Context()).Val())
	}
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	hung := redis.NewClient(&redis.Options{Addr: c.Options().Addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer hung.Close()
	require.Error(t, hung.Ping(ctx).Err(), "no answer in time")
	server.Resume()
	require.NoError(t, c.Ping(t.Context()).Err())
}

func TestRedisCluster(t *testing.T) {
	opt, err := redis.ParseClusterURL(RedisCluster(t))
	require.NoError(t, err)
	c := redis.NewClusterClient(opt)
	defer c.Close()
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		require.NoError(t, c.Set(t.Context(), key, 1, 0).Err())
	}
	var keys int64
	for _, master := range RedisClusterMasters(t) {
		n := redisClient(t, master).DBSize(t.Context()).Val()
		require.NotZero(t, n, "each has a part")
		keys += n
	}
	require.EqualValues(t, 6, keys)
	require.Error(t, c.Do(t.Context(), "MSET", "a", 1, "b", 2).Err(), "and crossing them fails")
}
