//go:build linux

package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A crowd is NASes that send valid requests at a rate, whatever becomes of their answers.
// It costs its core a tenth of what the load generator costs: a write has many requests,
// which the kernel cuts up (UDP_SEGMENT), and nothing is read.
type crowd struct {
	first, nases, all int // those of all NASes that it is
	ports             int // of each
	train             int // requests in a write, at most 64
	users             int
	rate              float64
}

// crowdNap is what it does not sleep less than: to wake up costs more than to send.
const crowdNap = 100 * time.Microsecond

// crowdVariants is how many requests there are for each Identifier of a NAS.
const crowdVariants = 16

// runCrowd is the command for a crowd. It begins when its input has an octet, ends with
// its input, and prints how many a second it sent.
func runCrowd(args []string, input io.Reader, w io.Writer) error {
	var server string
	var prompt bool
	var c crowd
	flags := flag.NewFlagSet("crowd", flag.ContinueOnError)
	flags.StringVar(&server, "server", "", "address and port")
	flags.IntVar(&c.first, "first", 0, "the first NAS")
	flags.IntVar(&c.nases, "nases", 1, "how many")
	flags.IntVar(&c.all, "of", 1, "of how many NASes these are some")
	flags.IntVar(&c.ports, "ports", 1, "ports of a NAS")
	flags.IntVar(&c.train, "train", 64, "requests at a time")
	flags.IntVar(&c.users, "users", 100_000, "users")
	flags.Float64Var(&c.rate, "rate", 100_000, "requests a second")
	flags.BoolVar(&prompt, "prompt", false, "be on time, whatever else the core has to do")
	if err := flags.Parse(args); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return err
	}
	if prompt {
		_ = goFirst() // the generator says so where it may not
	} else {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -10) // before the store
	}
	var sources []crowdSource
	defer func() {
		for _, s := range sources {
			unix.Close(s.fd)
		}
	}()
	for nas := range c.nases {
		trains, length, err := c.trains(c.first + nas)
		if err != nil {
			return err
		}
		for range c.ports {
			fd, err := crowdSocket(c.first+nas, to, length)
			if err != nil {
				return err
			}
			sources = append(sources, crowdSource{fd: fd, trains: trains})
		}
	}
	if _, err := io.ReadFull(input, make([]byte, 1)); err != nil {
		return err
	}
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, input)
		ended.Store(true)
	}()
	rate, err := c.send(sources, &ended)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%.0f\n", rate)
	return err
}

// A crowdSource is a port of a NAS.
type crowdSource struct {
	fd     int
	trains [][]byte
	next   int
}

// send sends until it has ended, and returns how many a second.
func (c *crowd) send(sources []crowdSource, ended *atomic.Bool) (rate float64, err error) {
	start, sent := time.Now(), 0
	interval := float64(c.train) / c.rate * float64(time.Second)
	due := 0.0
	for n := 0; !ended.Load(); n++ {
		now := time.Since(start)
		if wait := time.Duration(due) - now; wait > crowdNap {
			time.Sleep(wait)
		}
		// What it could not send in time is not made up for: that would be a burst.
		due = max(due, float64(now-5*time.Millisecond)) + interval
		s := &sources[n%len(sources)]
		_, err := unix.Write(s.fd, s.trains[s.next])
		s.next = (s.next + 1) % len(s.trains)
		switch {
		case err == nil:
			sent += c.train
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR):
			return 0, fmt.Errorf("send: %w", err)
		}
	}
	return float64(sent) / time.Since(start).Seconds(), nil
}

// trains are requests of a NAS of one length, many in a row for one write. Those with the
// same Identifier differ from the one before. Users with a limit are left to others: they
// may have one session only.
func (c *crowd) trains(nas int) (trains [][]byte, length int, err error) {
	keys := newNASKeys(c.all, false)
	random := make([]byte, 64)
	var users []int
	for user := c.all + nas; user <= c.users; user += c.all {
		if !limited(user) {
			users = append(users, user)
		}
	}
	if len(users) == 0 {
		return nil, 0, errors.New("too few users")
	}
	for i := range 256 * crowdVariants {
		if _, err := rand.Read(random); err != nil {
			return nil, 0, err
		}
		if i%c.train == 0 {
			trains = append(trains, nil)
		}
		train := &trains[len(trains)-1]
		before := len(*train)
		if *train, err = appendRequest(*train, "pap", users[i%len(users)], keys, byte(i), random); err != nil {
			return nil, 0, err
		}
		length = len(*train) - before
		if len(*train)%length != 0 {
			return nil, 0, errors.New("requests differ in length")
		}
	}
	return trains, length, nil
}

// crowdSocket makes a socket of a NAS whose writes are cut into datagrams of the length.
func crowdSocket(nas int, to netip.AddrPort, length int) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	for _, step := range []func() error{
		func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, length) },
		func() error { return unix.Bind(fd, &unix.SockaddrInet4{Addr: nasAddress(nas)}) },
		func() error {
			return unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
		},
	} {
		if err := step(); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("socket: %w", err)
		}
	}
	return fd, nil
}
