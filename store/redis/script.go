package redis

import (
	"context"
	_ "embed"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed scripts/common.lua
var commonLua string

//go:embed scripts/count.lua
var countLua string

//go:embed scripts/reserve.lua
var reserveLua string

//go:embed scripts/goeson.lua
var goesOnLua string

//go:embed scripts/publish.lua
var publishLua string

//go:embed scripts/leave.lua
var leaveLua string

//go:embed scripts/seed.lua
var seedLua string

// scripts are what runs on the server, each atomically, on keys of one user.
type scripts struct{ reserve, publish, leave, seed *goredis.Script }

func newScripts() scripts {
	return scripts{
		reserve: goredis.NewScript(commonLua + reserveLua),
		publish: goredis.NewScript(goesOnLua + commonLua + countLua + publishLua),
		leave:   goredis.NewScript(commonLua + leaveLua),
		seed:    goredis.NewScript(commonLua + countLua + seedLua),
	}
}

// load makes the scripts known to a server, so that pipelines can name them.
func (s *scripts) load(ctx context.Context, server goredis.Scripter) error {
	for _, script := range []*goredis.Script{s.reserve, s.publish, s.leave, s.seed} {
		if err := script.Load(ctx, server).Err(); err != nil {
			return err
		}
	}
	return nil
}
