package ingest

import (
	"context"
	"time"

	"radiusd/aaa"
)

// BootFeed tells of the boots that the nodes of a store have taken in. NextBoots
// returns those written since it was last called, and some again; at first all. It
// is called by one goroutine.
type BootFeed interface {
	NextBoots(ctx context.Context) ([]aaa.SeenBoot, error)
}

// bootInterval is how often the boots of other nodes are asked for.
const bootInterval = time.Second

// followBoots tells the live sessions of boots that reached other nodes.
func (i *Ingest) followBoots(ctx context.Context) {
	if i.opt.Boots == nil {
		return
	}
	tries := backoff{max: 10 * bootInterval}
	h := &health{log: i.log, what: "boots of other nodes"}
	ticker := time.NewTicker(bootInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if i.applied.get() == 0 {
			continue // nothing is loaded yet
		}
		boots, err := i.opt.Boots.NextBoots(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			h.failure(err)
			if tries.wait(ctx) != nil {
				return
			}
			continue
		}
		h.recovered()
		tries.reset()
		for n := range boots {
			i.opt.Live.LearnBoot(&boots[n].Boot)
		}
	}
}
