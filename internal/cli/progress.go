package cli

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far long work has come: a bar on a terminal, else a line
// when it is done.
type progress struct {
	a     *app
	what  string
	bar   *progressbar.ProgressBar
	start time.Time
}

// newProgress begins; total is in units of what, -1 if it is not known.
func (a *app) newProgress(what string, total int64) *progress {
	p := &progress{a: a, what: what, start: a.now()}
	if isTerminal(a.stderr) {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(a.stderr),
			progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

// set says how much is done.
func (p *progress) set(n int64) {
	if p.bar != nil {
		_ = p.bar.Set64(n) // only a terminal that went away fails
	}
}

// of says how much is done of a total that is known by now.
func (p *progress) of(n, total int64) {
	if p.bar != nil {
		p.bar.ChangeMax64(total)
		p.set(n)
	}
}

// abandon ends it without a word: what failed says why.
func (p *progress) abandon() {
	if p.bar != nil {
		_ = p.bar.Exit()
	}
}

// done ends it and says how much was done in what time.
func (p *progress) done(n int64) {
	if p.bar != nil {
		_ = p.bar.Finish()
		_ = p.bar.Exit()
	}
	fmt.Fprintf(p.a.stderr, "%s: %d in %v\n", p.what, n, p.a.now().Sub(p.start).Round(time.Millisecond))
}

// benchProgress shows how many requests were sent until the returned function is
// called. total is zero if it is not known.
func (a *app) benchProgress(total int64, sent *atomic.Int64) (stop func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	if total == 0 {
		total = -1
	}
	p := a.newProgress("requests", total)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.set(sent.Load())
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
		p.done(sent.Load())
	}
}
