//go:build unix

package testserver

import "syscall"

func (p *redisProcess) freeze() { p.signal(syscall.SIGSTOP) }

func (p *redisProcess) thaw() { p.signal(syscall.SIGCONT) }

func (p *redisProcess) signal(s syscall.Signal) {
	if p.server != nil {
		_ = p.server.Process.Signal(s)
	}
}
