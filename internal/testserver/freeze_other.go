//go:build !unix

package testserver

func (p *redisProcess) freeze() { panic("a process cannot be frozen here") }

func (p *redisProcess) thaw() {}
