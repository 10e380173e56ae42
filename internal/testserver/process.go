package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// process is the program of a server, which may run.
type process struct {
	server *exec.Cmd // nil: does not run
	exited <-chan struct{}
	frozen bool
}

// run starts the program and waits until check finds that it answers. One that does
// not is stopped.
func (p *process) run(server *exec.Cmd, check func(context.Context) error) error {
	exited, err := startWithParent(server)
	if err != nil {
		return err
	}
	p.server, p.exited = server, exited
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err = check(ctx); err == nil {
			return nil
		}
		select {
		case <-ticker.C:
			continue
		case <-exited:
			err = errors.New("the server ended")
		case <-ctx.Done():
			err = fmt.Errorf("the server does not answer: %w", err)
		}
		p.stop(os.Interrupt)
		return err
	}
}

func (p *process) signal(signal os.Signal) {
	if p.server != nil {
		_ = p.server.Process.Signal(signal) // it may have ended by itself
	}
}

// freeze makes the server hang until thaw. It hangs when freeze returns.
func (p *process) freeze() {
	p.signal(stopSignal)
	p.frozen = true
	for began := time.Now(); p.server != nil && !stopped(p.server.Process.Pid) && time.Since(began) < 20*time.Second; {
		time.Sleep(time.Millisecond)
	}
}

func (p *process) thaw() {
	if p.frozen {
		p.signal(continueSignal)
		p.frozen = false
	}
}

// stop sends the signal and waits until the server has ended. It does nothing if
// the server does not run.
func (p *process) stop(signal os.Signal) {
	if p.server == nil {
		return
	}
	p.signal(signal)
	p.thaw() // a frozen one would not see it
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		_ = p.server.Process.Kill()
		<-p.exited
	}
	p.server = nil
}

// startWithParent starts a program that does not outlive this process, where the
// system can see to that. The channel is closed when it has ended.
func startWithParent(program *exec.Cmd) (exited <-chan struct{}, err error) {
	ended := make(chan struct{})
	started := make(chan error)
	go func() {
		// The death of the thread that starts a program counts as the parent's,
		// so the thread is kept.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		program.SysProcAttr = endWithParent(program.SysProcAttr)
		err := program.Start()
		started <- err
		if err == nil {
			program.Wait()
		}
	}()
	return ended, <-started
}
