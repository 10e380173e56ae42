// Package journaltest has a file system in memory that behaves as badly as the
// standards allow: it loses power, runs full and fails.
package journaltest

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"radiusd/journal"
)

// Sector is the unit in which a Disk keeps or loses what was not synced.
const Sector = 512

// ErrPowerCut is what every operation gives after the power went.
var ErrPowerCut = errors.New("journaltest: the power is cut")

// Disk is a journal.FS in memory with a page cache. What was written but not
// synced is in the cache only; Restart after a power cut keeps an arbitrary
// part of it: sectors new, old or torn, sizes and folder entries new or old.
// Its methods are safe for concurrent use. Make one with New.
type Disk struct {
	mu      sync.Mutex
	rng     *rand.Rand
	names   map[string]*inode // as programs see them
	durable map[string]*inode // as they are on the device
	pending []func(map[string]*inode)
	locked  map[string]bool
	life    int // files of an earlier life are dead

	cut       bool
	cutAfter  int // operations until the power goes; <0: never
	capacity  int64
	failWrite error
	failSync  error
	failOnce  bool // failSync is for the next sync only
}

type inode struct {
	cache, disk []byte // content as programs see it and as it is on the device
	dirty       map[int]struct{}
	shrunk      int // smallest size since the device knew the size
}

// shrink sets a smaller size in the cache.
func (i *inode) shrink(size int) {
	i.cache = resize(i.cache, size)
	i.shrunk = min(i.shrunk, size)
	for s := range i.dirty {
		if s*Sector >= size {
			delete(i.dirty, s)
		}
	}
}

// sizeReached brings the size, with what a truncation cut off, to the device.
func (i *inode) sizeReached() {
	i.disk = resize(resize(i.disk, min(i.shrunk, len(i.disk))), len(i.cache))
	i.shrunk = len(i.cache)
}

// New gives an empty disk of unlimited capacity; what it loses depends on seed alone
// and the order of the operations.
func New(seed uint64) *Disk {
	return &Disk{
		rng:   rand.New(rand.NewPCG(seed, 0)),
		names: map[string]*inode{}, durable: map[string]*inode{}, locked: map[string]bool{},
		cutAfter: -1, capacity: -1,
	}
}

// CutPowerAfter lets n more operations that change something succeed and cuts
// the power within the next one.
func (d *Disk) CutPowerAfter(n int) { d.set(func() { d.cutAfter = n }) }

// SetCapacity limits all files together, in octets; negative is no limit.
func (d *Disk) SetCapacity(n int64) { d.set(func() { d.capacity = n }) }

// FailWrites makes each write fail half way with err, until nil is given.
func (d *Disk) FailWrites(err error) { d.set(func() { d.failWrite = err }) }

// FailSyncs makes each sync of a file or folder fail with err, until nil is given.
// As on Linux the dirty pages of a file count as clean afterwards, some written and
// some not; the changes to a folder may be on the device or not.
func (d *Disk) FailSyncs(err error) { d.set(func() { d.failSync, d.failOnce = err, false }) }

// FailOneSync is FailSyncs for the next sync alone: one after it succeeds, as it does
// on Linux, and proves nothing of what was to be synced before.
func (d *Disk) FailOneSync(err error) { d.set(func() { d.failSync, d.failOnce = err, true }) }

// syncFails gives what the sync at hand fails with; with mu held.
func (d *Disk) syncFails() error {
	err := d.failSync
	if d.failOnce {
		d.failSync, d.failOnce = nil, false
	}
	return err
}

func (d *Disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// Used is the size of all files together.
func (d *Disk) Used() (n int64) {
	d.set(func() {
		for _, ino := range d.names {
			n += int64(len(ino.cache))
		}
	})
	return n
}

// Content is the content of a file as programs see it; changes to it are
// changes to the file, in the cache and on the device.
func (d *Disk) Content(name string) (b []byte) {
	d.set(func() {
		if ino := d.names[filepath.Clean(name)]; ino != nil {
			ino.disk = ino.cache
			ino.dirty = map[int]struct{}{}
			b = ino.cache
		}
	})
	return b
}

// Kill ends all programs, as kill -9 does: locks are gone, open files are dead,
// the cache stays. After CutPowerAfter has struck, it was the program that ended
// there, and the power stayed on.
func (d *Disk) Kill() {
	d.set(func() {
		d.life++
		d.cut, d.cutAfter = false, -1
		clear(d.locked)
	})
}

// Evict drops clean pages from the cache, so that programs see what is on the device.
func (d *Disk) Evict() {
	d.set(func() {
		for _, ino := range d.names {
			for s := 0; s*Sector < len(ino.cache); s++ {
				if _, dirty := ino.dirty[s]; !dirty {
					page := sector(ino.cache, s)
					clear(page[copy(page, sector(ino.disk, s)):])
				}
			}
		}
	})
}

// Restart cuts the power, if it is not cut, and starts the machine again with
// what the device kept.
func (d *Disk) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Any of the changes to folders may have reached the device, in their order.
	for _, change := range d.pending {
		if d.rng.IntN(2) == 0 {
			change(d.durable)
		}
	}
	d.names = map[string]*inode{}
	for name, ino := range d.durable {
		d.settle(ino)
		d.names[name] = ino
	}
	d.pending = nil
	d.life++
	d.cut, d.cutAfter = false, -1
	d.failSync, d.failWrite = nil, nil
	clear(d.locked)
}

// settle decides what the device kept of an unsynced file.
func (d *Disk) settle(ino *inode) {
	if len(ino.dirty) > 0 || len(ino.cache) != len(ino.disk) || ino.shrunk < len(ino.disk) {
		d.writeBack(ino, d.rng.IntN(3))
	}
	ino.cache = slices.Clone(ino.disk)
	ino.dirty, ino.shrunk = map[int]struct{}{}, len(ino.disk)
}

// writeBack brings a random part of the dirty sectors to the device: about
// none, half or nearly all of them.
func (d *Disk) writeBack(ino *inode, share int) {
	if d.rng.IntN(4) > 0 {
		ino.sizeReached()
	}
	dirty := make([]int, 0, len(ino.dirty))
	for s := range ino.dirty {
		dirty = append(dirty, s)
	}
	slices.Sort(dirty)
	for _, s := range dirty {
		from, to := sector(ino.cache, s), sector(ino.disk, s)
		switch p := d.rng.IntN(20); {
		case p == 0: // torn: each octet old or new, from a point on
			at := d.rng.IntN(Sector)
			if at < len(from) {
				copy(to, from[:at])
			}
		case p <= share*9:
			copy(to, from)
		}
	}
}

// sector is the s'th sector of b, or what there is of it.
func sector(b []byte, s int) []byte {
	from := min(s*Sector, len(b))
	return b[from:min(from+Sector, len(b))]
}

func resize(b []byte, n int) []byte {
	if n <= len(b) {
		return b[:n:n]
	}
	return append(b[:len(b):len(b)], make([]byte, n-len(b))...)
}

// step counts an operation that changes something; with mu held. The power may
// go with it.
func (d *Disk) step() error {
	if d.cut {
		return ErrPowerCut
	}
	if d.cutAfter == 0 {
		d.cut = true
		return ErrPowerCut
	}
	if d.cutAfter > 0 {
		d.cutAfter--
	}
	return nil
}

// change applies a change to the folders, which SyncDir makes durable.
func (d *Disk) change(f func(map[string]*inode)) {
	f(d.names)
	d.pending = append(d.pending, f)
}

// MkdirAll does nothing: every folder exists.
func (d *Disk) MkdirAll(string) error { return nil }

// Lock implements journal.FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked[name] {
		return nil, journal.ErrLocked
	}
	d.locked[name] = true
	return &unlocker{d, name, d.life}, nil
}

type unlocker struct {
	d    *Disk
	name string
	life int
}

func (u *unlocker) Close() error {
	u.d.set(func() {
		if u.life == u.d.life {
			delete(u.d.locked, u.name)
		}
	})
	return nil
}

// Create implements journal.FS.
func (d *Disk) Create(name string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	name = filepath.Clean(name)
	ino := d.names[name]
	if ino == nil {
		ino = &inode{dirty: map[int]struct{}{}}
		d.change(func(m map[string]*inode) { m[name] = ino })
	}
	ino.shrink(0)
	return &file{d, ino, d.life}, nil
}

// Open implements journal.FS.
func (d *Disk) Open(name string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil, ErrPowerCut
	}
	ino := d.names[filepath.Clean(name)]
	if ino == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &file{d, ino, d.life}, nil
}

// OpenWrite implements journal.FS.
func (d *Disk) OpenWrite(name string) (journal.File, error) { return d.Open(name) }

// Rename implements journal.FS.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	from, to = filepath.Clean(from), filepath.Clean(to)
	ino := d.names[from]
	if ino == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	d.change(func(m map[string]*inode) {
		delete(m, from)
		m[to] = ino
	})
	return nil
}

// Remove implements journal.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	name = filepath.Clean(name)
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	d.change(func(m map[string]*inode) { delete(m, name) })
	return nil
}

// ReadDir implements journal.FS.
func (d *Disk) ReadDir(dir string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil, ErrPowerCut
	}
	for name := range d.names {
		if rest, ok := strings.CutPrefix(name, filepath.Clean(dir)+string(filepath.Separator)); ok {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir implements journal.FS.
func (d *Disk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	err := d.syncFails()
	for _, change := range d.pending {
		if err == nil || d.rng.IntN(2) == 0 {
			change(d.durable)
		}
	}
	if err == nil {
		d.pending = nil
	}
	return err
}

// Free implements journal.FS.
func (d *Disk) Free(string) (free int64, err error) {
	d.set(func() { free = d.room() })
	return free, nil
}

// room is how many octets the files may still grow; with mu held.
func (d *Disk) room() int64 {
	if d.capacity < 0 {
		return 1 << 62
	}
	free := d.capacity
	for _, ino := range d.names {
		free -= int64(len(ino.cache))
	}
	return max(free, 0)
}

// noSpace is what a full disk gives.
var noSpace error = syscall.ENOSPC
