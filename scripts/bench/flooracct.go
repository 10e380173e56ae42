//go:build linux

package main

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Accounting at its floor: the Request Authenticator is checked, the packet is appended
// to a group, and the group's answers leave when it is written and synced. While one
// group is synced the next one fills.

// mostGrouped bounds a group; more datagrams wait in the socket.
const mostGrouped = 4096

// An acctGroup is what is written and synced at once.
type acctGroup struct {
	data    []byte // length and packet, one after the other
	replies [mostGrouped][headerLength]byte
	names   [mostGrouped]unix.RawSockaddrInet4
	n       int
}

// An acctLog is the groups: the one that fills and the one that is synced.
type acctLog struct {
	mu      sync.Mutex
	filling *acctGroup
	wake    chan struct{} // has a value when there is something to sync
	swapped chan struct{} // has a value when the other group fills
}

// runAccounting appends to a new file, from whose start it goes on when it is long, so
// that a long run does not fill the disk.
func (f *floor) runAccounting(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	// The goroutine that syncs blocks in the kernel; with a P to spare the other one
	// need not wait until the scheduler notices.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	log := &acctLog{filling: newAcctGroup(), wake: make(chan struct{}, 1), swapped: make(chan struct{}, 1)}
	failed := make(chan error, 1)
	go func() { failed <- f.commit(file, log) }()
	defer close(log.wake)
	sum := md5.New()
	for {
		n, err := f.read()
		if err != nil {
			return err
		}
		log.mu.Lock()
		for log.filling.n > mostGrouped-batchSize {
			log.mu.Unlock()
			select {
			case <-log.swapped:
			case err := <-failed:
				return err
			}
			log.mu.Lock()
		}
		for i := range n {
			log.filling.add(f.buffers[0][i][:f.in.length(i)], &f.in.names[i], sum)
		}
		log.mu.Unlock()
		select {
		case log.wake <- struct{}{}:
		case err := <-failed:
			return err
		default:
		}
	}
}

func newAcctGroup() *acctGroup { return &acctGroup{data: make([]byte, 0, mostGrouped*512)} }

// add checks a request and adds it to the group, and its answer, which is signed.
func (g *acctGroup) add(p []byte, from *unix.RawSockaddrInet4, h hash.Hash) {
	if len(p) < headerLength || p[0] != accountingRequest || int(binary.BigEndian.Uint16(p[2:])) != len(p) {
		return
	}
	var sum [16]byte
	h.Reset()
	h.Write(p[:4])
	h.Write(zeros[:])
	h.Write(p[headerLength:])
	h.Write([]byte(secret))
	if subtle.ConstantTimeCompare(h.Sum(sum[:0]), p[4:20]) != 1 {
		return
	}
	g.data = binary.BigEndian.AppendUint32(g.data, uint32(len(p)))
	g.data = append(g.data, p...)
	reply := &g.replies[g.n]
	*reply = [headerLength]byte{accountingResponse, p[1], 0, headerLength}
	copy(reply[4:], p[4:20])
	h.Reset()
	h.Write(reply[:])
	h.Write([]byte(secret))
	h.Sum(reply[4:4])
	g.names[g.n] = *from
	g.n++
}

// commit writes and syncs groups and then sends their answers.
func (f *floor) commit(file *os.File, log *acctLog) error {
	const size = 1 << 30
	at := int64(0)
	g := newAcctGroup()
	for range log.wake {
		log.mu.Lock()
		g, log.filling = log.filling, g
		log.mu.Unlock()
		select {
		case log.swapped <- struct{}{}:
		default:
		}
		if g.n == 0 {
			continue
		}
		if at+int64(len(g.data)) > size {
			at = 0
		}
		if _, err := file.WriteAt(g.data, at); err != nil {
			return err
		}
		at += int64(len(g.data))
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return fmt.Errorf("fdatasync: %w", err)
		}
		for sent := 0; sent < g.n; {
			n := min(batchSize, g.n-sent)
			for i := range n {
				f.out.set(i, g.replies[sent+i][:])
				f.out.names[i] = g.names[sent+i]
			}
			f.first, f.end = 0, n
			if err := f.write(); err != nil {
				return err
			}
			sent += n
		}
		g.data, g.n = g.data[:0], 0
	}
	return nil
}
