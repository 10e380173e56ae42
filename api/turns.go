package api

import (
	"context"
	"runtime"
)

// turns bound what takes much memory and a whole core for a while, such as a slow hash:
// in the process of the server, logins need these too.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }

// take waits for a turn, which done gives back.
func (t turns) take(ctx context.Context) (done func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
