package journaltest

import (
	"io"
	"io/fs"
)

// file is an open file of a Disk.
type file struct {
	d    *Disk
	ino  *inode
	life int
}

// alive says whether the program that opened the file is still running.
func (f *file) alive() error {
	if f.life != f.d.life {
		return fs.ErrClosed
	}
	return nil
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.cut {
		return 0, ErrPowerCut
	}
	if err := f.alive(); err != nil {
		return 0, err
	}
	if off >= int64(len(f.ino.cache)) {
		return 0, io.EOF
	}
	n := copy(b, f.ino.cache[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.alive(); err != nil {
		return 0, err
	}
	cut := f.d.cut
	err := f.d.step()
	switch {
	case cut:
		return 0, err
	case err != nil:
		b = b[:f.d.rng.IntN(len(b)+1)] // the power goes within this write
	case f.d.failWrite != nil:
		err, b = f.d.failWrite, b[:len(b)/2]
	}
	if grown := off + int64(len(b)) - int64(len(f.ino.cache)); grown > f.d.room() {
		err, b = noSpace, b[:max(int64(len(b))-(grown-f.d.room()), 0)]
	}
	if len(b) > 0 {
		f.write(b, off)
	}
	return len(b), err
}

// write changes the cache only.
func (f *file) write(b []byte, off int64) {
	ino := f.ino
	if need := int(off) + len(b); need > len(ino.cache) {
		ino.cache = append(ino.cache, make([]byte, need-len(ino.cache))...)
	}
	copy(ino.cache[off:], b)
	for s := int(off) / Sector; s <= (int(off)+len(b)-1)/Sector; s++ {
		ino.dirty[s] = struct{}{}
	}
}

func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.ino.cache)), f.alive()
}

func (f *file) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.alive(); err != nil {
		return err
	}
	if err := f.d.step(); err != nil {
		return err
	}
	ino := f.ino
	if int(size) < len(ino.cache) {
		ino.shrink(int(size))
	} else {
		ino.cache = append(ino.cache, make([]byte, int(size)-len(ino.cache))...)
	}
	return nil
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.alive(); err != nil {
		return err
	}
	if err := f.d.step(); err != nil {
		return err
	}
	if err := f.d.syncFails(); err != nil {
		f.d.writeBack(f.ino, f.d.rng.IntN(3))
		f.ino.dirty = map[int]struct{}{}
		return err
	}
	ino := f.ino
	ino.sizeReached()
	for s := range ino.dirty {
		copy(sector(ino.disk, s), sector(ino.cache, s))
	}
	ino.dirty = map[int]struct{}{}
	return nil
}

func (f *file) SyncData() error { return f.Sync() }
func (f *file) Close() error    { return nil }
