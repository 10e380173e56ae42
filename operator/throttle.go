package operator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Sign-in is throttled by account and by address: from the fifth failure on, each
// doubles the time in which no more are looked at.
const (
	freeFailures   = 5
	firstLock      = time.Second
	longestLock    = 15 * time.Minute
	failuresForget = 15 * time.Minute // after the last failure or the end of its lock
	// maxAttempts bounds the accounts and addresses that failures are known of. Each
	// took the work of a hash, so that they come slowly.
	maxAttempts = 100_000
	forgetEvery = time.Minute
)

// lockAfter returns how long a key is locked after so many failures.
func lockAfter(failures int) time.Duration {
	if failures < freeFailures {
		return 0
	}
	return min(firstLock<<min(failures-freeFailures, 20), longestLock)
}

// accountKey stands for a name that somebody tried, whether there is such an
// operator or not. It does not show the name: people type passwords there.
func accountKey(name string) string {
	sum := sha256.Sum256([]byte(NormalizeName(name)))
	return "account:" + hex.EncodeToString(sum[:16])
}

// factorKey stands for the second factor of an operator.
func factorKey(id uuid.UUID) string { return "factor:" + id.String() }

// AddressKey stands for an address whose failures are counted together; of IPv6 for a /64,
// which one machine has.
func AddressKey(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		p, _ := addr.Prefix(64)
		return "address:" + p.String()
	}
	return "address:" + addr.String()
}

// attempt is one that was counted as failed before it was looked at, so that many
// at once are not more than many in turn.
type attempt struct {
	s       *Service
	account string
	address string // empty: not known
}

func (a *attempt) keys() []string {
	if a.address == "" {
		return []string{a.account}
	}
	return []string{a.account, a.address}
}

// attempt counts an attempt as failed. While the account or the address is locked
// it fails with a ThrottledError, and then nothing may be looked at: a right
// password is not told apart.
func (s *Service) attempt(ctx context.Context, account string, addr netip.Addr) (*attempt, error) {
	a := &attempt{s: s, account: account}
	if addr.IsValid() {
		a.address = AddressKey(addr)
	}
	// Who is locked out must not make the database write.
	until, err := s.store.LockedUntil(ctx, a.keys())
	if err != nil {
		return nil, unavailable(err)
	}
	if wait := until.Sub(s.now().UTC()); wait > 0 {
		return nil, &ThrottledError{RetryAfter: wait}
	}
	var wait time.Duration
	err = s.changeAttempts(ctx, a.keys(), func(now time.Time, known []Attempts) {
		wait = 0
		for i := range known {
			wait = max(wait, known[i].LockedUntil.Sub(now))
		}
		if wait > 0 {
			return
		}
		for i := range known {
			known[i].Failures++
			known[i].LastAt = now
			if lock := lockAfter(known[i].Failures); lock > 0 {
				known[i].LockedUntil = now.Add(lock)
			}
		}
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if wait > 0 {
		return nil, &ThrottledError{RetryAfter: wait}
	}
	return a, nil
}

// succeeded forgets the failures of the account. Those of the address stay, less
// this one: who has an account must not try others for ever.
func (a *attempt) succeeded(ctx context.Context) error { return a.undo(ctx, true) }

// cancelled takes an attempt back that was not looked at.
func (a *attempt) cancelled(ctx context.Context) {
	if err := a.undo(context.WithoutCancel(ctx), false); err != nil {
		a.s.logger.Warn("a cancelled sign-in counts as failed", "error", err)
	}
}

func (a *attempt) undo(ctx context.Context, forget bool) error {
	err := a.s.changeAttempts(ctx, a.keys(), func(now time.Time, known []Attempts) {
		for i := range known {
			k := &known[i]
			if k.Failures = max(0, k.Failures-1); forget && k.Key == a.account {
				k.Failures = 0
			}
			// The lock that this attempt would have brought had it failed.
			if lock := lockAfter(k.Failures); lock == 0 || k.LockedUntil.After(now.Add(lock)) {
				k.LockedUntil = time.Time{}
			}
		}
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func (s *Service) changeAttempts(ctx context.Context, keys []string, fn func(now time.Time, known []Attempts)) error {
	now := s.now().UTC()
	if last := s.forgotAt.Load(); last == nil || now.Sub(*last) >= forgetEvery {
		if s.forgotAt.CompareAndSwap(last, &now) {
			if err := s.store.ForgetAttempts(ctx, now.Add(-failuresForget), maxAttempts); err != nil {
				return err
			}
		}
	}
	return s.store.ChangeAttempts(ctx, keys, func(known []Attempts) error {
		for i := range known {
			k := &known[i]
			last := k.LastAt
			if k.LockedUntil.After(last) {
				last = k.LockedUntil
			}
			if now.Sub(last) >= failuresForget {
				*k = Attempts{Key: k.Key}
			}
		}
		fn(now, known)
		return nil
	})
}
