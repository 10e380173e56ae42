package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"radiusd/internal/freeport"

	"github.com/redis/go-redis/v9"
)

// redisProcess is a folder, a port and the server that may run there.
type redisProcess struct {
	dir      string
	port     int
	bus      int // of a cluster
	settings []string
	client   *redis.Client

	process
	log bytes.Buffer
}

func newRedisProcess(settings ...string) (*redisProcess, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errors.New("install it (Debian: apt-get install redis-server)")
	}
	port, err := freeport.Reserve()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "radiusd-redis-")
	if err != nil {
		return nil, err
	}
	p := &redisProcess{dir: dir, port: port, settings: settings}
	p.client = redis.NewClient(&redis.Options{Addr: p.address(), MaxRetries: -1, DialerRetries: 1, DisableIdentity: true})
	return p, nil
}

func (p *redisProcess) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

func (p *redisProcess) remove() {
	p.client.Close()
	os.RemoveAll(p.dir)
}

// start runs the server and waits until it answers.
func (p *redisProcess) start() error {
	p.log.Reset()
	server := exec.Command("redis-server", append([]string{"--port", strconv.Itoa(p.port), "--bind", "127.0.0.1",
		"--dir", p.dir, "--save", "", "--appendonly", "no", "--maxclients", "2000"}, p.settings...)...)
	server.Dir, server.Stdout, server.Stderr = p.dir, &p.log, &p.log
	if err := p.run(server, func(ctx context.Context) error { return p.client.Ping(ctx).Err() }); err != nil {
		return fmt.Errorf("%w\n%s", err, p.log.String())
	}
	return nil
}

// do runs a command.
func (p *redisProcess) do(args ...any) error { return p.client.Do(background(), args...).Err() }

func background() context.Context { return context.Background() }

// await tries until there is no error.
func await(limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
