package cli

import (
	"runtime"

	"github.com/redis/go-redis/v9/logging"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store/redis"
)

// redisOptions say where Redis is and what all nodes agree on.
func redisOptions(cfg *config.Config) redis.Options {
	return redis.Options{
		URL: cfg.Redis.URL, Cluster: cfg.Redis.Cluster, Prefix: cfg.Redis.Prefix, Timeout: cfg.Redis.Timeout, Location: cfg.Location(),
		Liveness: cfg.Sessions.Liveness, ReservationTTL: cfg.Sessions.Reservation,
	}
}

// openShared makes the view that several nodes share, if there is to be one.
func (n *node) openShared(cfg *config.Config) (err error) {
	if cfg.Redis.URL == "" {
		return nil
	}
	logging.Disable() // of the library, to stderr: what matters comes as errors
	options := redisOptions(cfg)
	options.NodeID, err = openNodeID(cfg)
	if err != nil {
		return err
	}
	options.Local, options.Usage, options.Loaded = n.live, n.backend, n.ingest.Loaded
	options.Registerer, options.Logger = n.registry, n.log
	n.shared, err = redis.New(options)
	return err
}

// limits is what Access-Requests ask: the view of all nodes, or this one's.
func (n *node) limits() aaa.Limits {
	if n.shared != nil {
		return n.shared
	}
	return n.live
}

// workers is how many goroutines do what must not run on a listener. Those that wait
// for Redis take no CPU, so there are a few more of them.
func workers(cfg *config.Config) int {
	if cfg.Auth.Workers == 0 && cfg.Redis.URL != "" {
		return max(8, runtime.GOMAXPROCS(0))
	}
	return cfg.Auth.Workers
}
