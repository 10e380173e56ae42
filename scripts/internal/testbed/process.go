// Package testbed starts the servers that the benchmarks measure, each in a folder and
// on ports of loopback of its own, reads what they say of themselves, and says what
// machine they run on.
package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Bed has the folder of a benchmark and the servers that it has started.
type Bed struct {
	Dir       string // has every server's log
	Temporary bool   // Close removes it
	running   []*Process
}

// Open makes the folder unless it is there, or a temporary one if the name is empty.
func Open(folder string) (*Bed, error) {
	b := &Bed{Temporary: folder == ""}
	var err error
	if b.Temporary {
		b.Dir, err = os.MkdirTemp("", "radiusd-bench-")
	} else if b.Dir, err = filepath.Abs(folder); err == nil {
		err = os.MkdirAll(b.Dir, 0o755)
	}
	if err != nil {
		return nil, err
	}
	return b, os.Chmod(b.Dir, 0o755) // Postgres runs as somebody else
}

// Close ends all servers, the one that was started last first, and removes a temporary
// folder.
func (b *Bed) Close() (err error) {
	for len(b.running) > 0 {
		err = errors.Join(err, b.Stop(b.running[len(b.running)-1]))
	}
	if b.Temporary {
		err = errors.Join(err, os.RemoveAll(b.Dir))
	}
	return err
}

// A Process is a server that runs.
type Process struct {
	Name   string
	Cmd    *exec.Cmd
	log    string // file
	signal syscall.Signal
	exited chan struct{}
}

// PID is the server's process id.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Start starts a server, which the signal end ends. What it writes goes into a file in
// the folder.
func (b *Bed) Start(name string, end syscall.Signal, cmd *exec.Cmd) (*Process, error) {
	log, err := os.Create(filepath.Join(b.Dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for this program, which stops the others
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, Cmd: cmd, log: log.Name(), signal: end, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait()
	}()
	b.running = append(b.running, p)
	return p, nil
}

// Stop ends a server in good order.
func (b *Bed) Stop(p *Process) error {
	b.running = slices.DeleteFunc(b.running, func(o *Process) bool { return o == p })
	_ = p.Cmd.Process.Signal(p.signal)
	select {
	case <-p.exited:
		return nil
	case <-time.After(time.Minute):
		_ = p.Cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end and was killed", p.Name)
	}
}

// Signal sends a signal to the process and to its children, which is how a server that
// has some is made to stand still and go on (SIGSTOP, SIGCONT).
func (p *Process) Signal(signal syscall.Signal) {
	for _, pid := range p.family() {
		_ = syscall.Kill(pid, signal) // one that has ended needs none
	}
}

// Await waits until check succeeds, or the server has ended, or half a minute has passed.
func (p *Process) Await(check func() error) error {
	var err error
	for range 300 {
		if err = check(); err == nil {
			return nil
		}
		select {
		case <-p.exited:
			log, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s has ended:\n%s", p.Name, log)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer: %w", p.Name, err)
}

// Run runs a program to its end. Its error says what the program has printed.
func Run(program string, args ...string) (output string, err error) {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
