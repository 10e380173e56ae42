package aaa

import (
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// account is a user as the directory holds it: compact and never changed once it
// is published. Most users have no rules of their own and cost an account, its
// text and two references.
type account struct {
	id           uuid.UUID
	text         string // the name, then the credential's secret
	rules        *accountRules
	expires      int64  // Unix microseconds; math.MaxInt64: never
	plan         uint32 // place in the catalog; zero: no plan
	simultaneous int32  // zero leaves it to the plan
	nameLength   uint16
	status       UserStatus
	scheme       Scheme
}

// accountRules are what few users have: items and groups of their own.
type accountRules struct {
	policy policy
	groups []uint32 // places in the catalog, by ascending priority
}

func (a *account) name() string   { return a.text[:a.nameLength] }
func (a *account) secret() string { return a.text[a.nameLength:] }

// expiresAt returns the zero time for never.
func (a *account) expiresAt() time.Time {
	if a.expires == math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMicro(a.expires).UTC()
}

// userTable finds accounts by name. Any number of goroutines read it without a
// lock while one changes it: an open-addressed table whose slots are replaced one
// by one, and the whole of it when it grows.
type userTable struct {
	seed  maphash.Seed
	slots atomic.Pointer[[]atomic.Pointer[account]]
	// For the writer alone:
	byID   map[uuid.UUID]*account
	filled int // slots that are not nil
	live   atomic.Int64
}

// removed stands in a slot whose account is gone, so that probing goes on past it.
var removed = new(account)

func newUserTable() *userTable {
	t := &userTable{seed: maphash.MakeSeed(), byID: map[uuid.UUID]*account{}}
	slots := make([]atomic.Pointer[account], 64)
	t.slots.Store(&slots)
	return t
}

// get finds the account with the name, or nil.
func (t *userTable) get(name []byte) *account {
	slots := *t.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := maphash.Bytes(t.seed, name) & mask; ; i = (i + 1) & mask {
		a := slots[i].Load()
		if a == nil {
			return nil
		}
		if a != removed && a.name() == string(name) {
			return a
		}
	}
}

// put publishes an account in place of the one with the same id, whatever its
// name was. The new name is found before the old one is gone.
func (t *userTable) put(a *account) {
	old := t.byID[a.id]
	t.insert(a)
	t.byID[a.id] = a
	if old != nil && old.name() != a.name() {
		t.clear(old)
	}
}

// remove takes the account with the id out, if there is one.
func (t *userTable) remove(id uuid.UUID) {
	if a := t.byID[id]; a != nil {
		t.clear(a)
		delete(t.byID, id)
	}
}

func (t *userTable) insert(a *account) {
	if slots := *t.slots.Load(); 2*(t.filled+1) > len(slots) {
		t.grow()
	}
	slots := *t.slots.Load()
	mask := uint64(len(slots) - 1)
	var free *atomic.Pointer[account]
	for i := maphash.String(t.seed, a.name()) & mask; ; i = (i + 1) & mask {
		slot := &slots[i]
		b := slot.Load()
		switch {
		case b == nil:
			if free == nil {
				free = slot
				t.filled++
			}
			free.Store(a)
			t.live.Add(1)
			return
		case b == removed:
			if free == nil {
				free = slot
			}
		case b.name() == a.name():
			slot.Store(a)
			return
		}
	}
}

// clear empties the slot that holds exactly this account.
func (t *userTable) clear(a *account) {
	slots := *t.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := maphash.String(t.seed, a.name()) & mask; ; i = (i + 1) & mask {
		b := slots[i].Load()
		if b == nil {
			return
		}
		if b == a {
			slots[i].Store(removed)
			t.live.Add(-1)
			return
		}
	}
}

// grow publishes a table of at least twice the accounts, without the removed ones.
func (t *userTable) grow() {
	old := *t.slots.Load()
	size := 64
	for size < 4*(int(t.live.Load())+1) {
		size *= 2
	}
	slots := make([]atomic.Pointer[account], size)
	mask := uint64(size - 1)
	t.filled = 0
	for i := range old {
		a := old[i].Load()
		if a == nil || a == removed {
			continue
		}
		j := maphash.String(t.seed, a.name()) & mask
		for slots[j].Load() != nil {
			j = (j + 1) & mask
		}
		slots[j].Store(a)
		t.filled++
	}
	t.slots.Store(&slots)
}

// each calls fn for every account that is in the table throughout the call.
func (t *userTable) each(fn func(*account) error) error {
	slots := *t.slots.Load()
	for i := range slots {
		if a := slots[i].Load(); a != nil && a != removed {
			if err := fn(a); err != nil {
				return err
			}
		}
	}
	return nil
}
