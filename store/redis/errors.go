package redis

import (
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// advice is what an operator can do about what a server answers, by how that begins.
var advice = []struct{ answer, says string }{
	{"WRONGPASS", "the user or password in redis.url is wrong"},
	{"NOAUTH", "redis.url needs a password"},
	{"ERR invalid password", "the password in redis.url is wrong"},
	{"NOPERM", "the user in redis.url lacks a permission, see its ACL"},
	{"ERR DB index", "the server has no database of the number in redis.url"},
	{"MOVED", "the server belongs to a cluster: set redis.cluster"},
	{"ERR This instance has cluster support disabled", "the server is no cluster: leave redis.cluster false"},
	{"OOM", "the server's memory is full: raise its maxmemory"},
	{"READONLY", "the server is a replica, name the primary"},
}

// explain puts what an operator can do about an error before the error.
func explain(err error) error {
	var answer goredis.Error
	if !errors.As(err, &answer) {
		return err
	}
	for _, a := range advice {
		if strings.HasPrefix(answer.Error(), a.answer) {
			return fmt.Errorf("%s: %w", a.says, err)
		}
	}
	return err
}
