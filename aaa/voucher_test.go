package aaa

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

// testCodeHash takes ten or more letters and digits for a code.
func testCodeHash(typed []byte) (hash [32]byte, ok bool) {
	code := strings.ToUpper(strings.ReplaceAll(string(typed), "-", ""))
	if len(code) < 10 || strings.Trim(code, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return hash, false
	}
	return sha256.Sum256([]byte(code)), true
}

// fakeUses is a FirstUseStore in memory.
type fakeUses struct {
	mu   sync.Mutex
	down bool
	uses []FirstUse
	lost []FirstUse
}

func (s *fakeUses) RecordFirstUses(_ context.Context, uses []FirstUse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errors.New("away")
	}
	s.uses = append(s.uses, uses...)
	return nil
}

func (s *fakeUses) LostFirstUses(context.Context, time.Time) ([]FirstUse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errors.New("away")
	}
	return s.lost, nil
}

func (s *fakeUses) all() []FirstUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]FirstUse(nil), s.uses...)
}

// newVoucherWorld is a world in which vouchers log in.
func newVoucherWorld(t *testing.T) (*world, *fakeUses) {
	uses := &fakeUses{}
	w := newWorld(t, withRecords(t), func(o *AccessOptions) {
		o.Directory.options.VoucherHash = testCodeHash
		var err error
		o.FirstUses, err = NewFirstUses(FirstUsesOptions{Store: uses, Directory: o.Directory, Max: 3})
		require.NoError(t, err)
	})
	return w, uses
}

func voucherUser(serial, code string, validFor time.Duration) User {
	hash, ok := testCodeHash([]byte(code))
	if !ok {
		panic("no code")
	}
	return User{Name: serial, Voucher: &VoucherLogin{CodeHash: hash, ValidFor: validFor}}
}

const testCode, secondCode = "7K3M-9QXW-2RTH", "AAAA-BBBB-CCCC"

func TestVoucherLogins(t *testing.T) {
	w, _ := newVoucherWorld(t)
	plan := w.store.putPlan(Plan{Name: "day", SessionTimeout: 2 * time.Hour})
	user := voucherUser("v1-00001", testCode, 0)
	user.PlanID, user.ExpiresAt = plan.ID, monday.Add(time.Hour)
	w.addUser(user)
	got, ok := w.directory.User("v1-00001")
	require.True(t, ok)
	assert.Equal(t, user.Voucher, got.Voucher)
	typed := strings.ToLower(testCode)
	chap := func(name, password string) func(m *radius.Message) {
		return func(m *radius.Message) { m.AddString(radius.TypeUserName, name); m.AddCHAPPassword(1, password) }
	}
	pap := func(name, password string) func(m *radius.Message) {
		return func(m *radius.Message) {
			m.AddString(radius.TypeUserName, name)
			require.NoError(t, m.AddUserPassword([]byte(testSecret), password))
		}
	}
	mschap := func(method Method, name, password string) func(m *radius.Message) {
		return func(m *radius.Message) {
			m.AddString(radius.TypeUserName, name)
			addMSCHAPProof(m, method, []byte(name), password)
		}
	}
	for _, test := range []struct {
		name string
		ask  func(m *radius.Message)
		want Reason
	}{
		{"code as name and password", pap(testCode, testCode), ReasonAccepted},
		{"in another spelling each", pap(typed, strings.ReplaceAll(testCode, "-", "")), ReasonAccepted},
		{"code as name, no password", pap(testCode, ""), ReasonAccepted},
		{"code as name, another password", pap(testCode, "x"), ReasonWrongPassword},
		{"serial and code", pap("v1-00001", typed), ReasonAccepted},
		{"serial without code", pap("v1-00001", ""), ReasonWrongPassword},
		{"CHAP", chap(typed, typed), ReasonAccepted},
		{"CHAP without password", chap(typed, ""), ReasonAccepted},
		{"CHAP with another spelling", chap(typed, testCode), ReasonWrongPassword},
		{"CHAP with the serial", chap("v1-00001", typed), ReasonMethodUnavailable},
		{"MS-CHAP", mschap(MethodMSCHAP, typed, typed), ReasonAccepted},
		{"MS-CHAPv2", mschap(MethodMSCHAPv2, typed, typed), ReasonAccepted},
		{"MS-CHAPv2, another password", mschap(MethodMSCHAPv2, typed, "x"), ReasonWrongPassword},
		{"no password at all", func(m *radius.Message) { m.AddString(radius.TypeUserName, testCode) }, ReasonNoCredential},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := w.ask(test.ask)
			record := w.record()
			assert.Equal(t, test.want, record.Reason)
			assert.Equal(t, "v1-00001", record.Username, "the code is not recorded")
			if test.want != ReasonAccepted {
				return
			}
			assert.Equal(t, radius.AccessAccept, answer.packet.Code())
			assert.Equal(t, "3600", answer.value("Session-Timeout"))
			name, _ := radius.Attributes(w.lastName(test.ask)).String(radius.TypeUserName)
			if name != "v1-00001" {
				assert.Equal(t, "v1-00001", answer.value("User-Name"), "RFC 2865 §5.1")
			}
		})
	}

	assert.Equal(t, "v1-00001", w.directory.Username(typed))
	assert.Equal(t, "v1-00001", w.directory.Username("v1-00001"))
	assert.Equal(t, secondCode, w.directory.Username(secondCode))

	// Another code, and none.
	changed := voucherUser("v1-00001", secondCode, 0)
	changed.ID = got.ID
	w.addUser(changed)
	w.pap(testCode, "").rejected()
	assert.Equal(t, "7K3M…", w.record().Username)
	w.pap(secondCode, "").accepted()
	_ = w.record()
	w.store.deleteUser(got.ID)
	w.refresh()
	w.pap(secondCode, "").rejected()
	assert.Equal(t, ReasonUnknownUser, w.record().Reason)
	assert.NotContains(t, strings.ToUpper(w.log.String()), "9QXW")
}

// lastName returns the attributes that ask makes.
func (w *world) lastName(ask func(m *radius.Message)) []byte {
	m := &radius.Message{Code: radius.AccessRequest}
	ask(m)
	return m.Attributes
}

func TestVoucherRefusals(t *testing.T) {
	w, _ := newVoucherWorld(t)
	plan := w.store.putPlan(Plan{Name: "day", SimultaneousUse: 1})
	code := func(n int) string { return fmt.Sprintf("AAAA-BBBB-%04d", n) }
	for i, change := range []func(u *User){
		func(u *User) { u.ExpiresAt = monday },
		func(u *User) { u.Status = UserDisabled },
		func(u *User) { u.PlanID = plan.ID },
		func(u *User) { u.ExpiresAt, u.Voucher.ValidFor = monday.Add(-time.Second), time.Hour },
		func(u *User) { u.Items = []Item{{CheckItem, "Auth-Type", ":=", "Accept"}} },
	} {
		user := voucherUser(fmt.Sprintf("v1-%05d", i), code(i), 0)
		change(&user)
		w.addUser(user)
	}
	w.limits.set(nil, 1)
	for i, want := range []struct {
		reason  Reason
		message string
	}{
		{ReasonExpired, "This voucher has expired."},
		{ReasonDisabled, "This voucher was revoked, or has been redeemed."},
		{ReasonSimultaneousUse, "This voucher is in use on another device."},
		{ReasonExpired, "This voucher has expired."},
	} {
		answer := w.pap(code(i), "").rejected()
		assert.Equal(t, want.reason, w.record().Reason)
		assert.Equal(t, want.message, answer.value("Reply-Message"))
		assert.Empty(t, w.pap(fmt.Sprintf("v1-%05d", i), "not the code").rejected().value("Reply-Message"), "who has not the code is told nothing")
		_ = w.record()
	}
	w.pap("v1-00004", "").rejected() // a serial is no secret, whatever the items say
	assert.Equal(t, ReasonWrongPassword, w.record().Reason)
}

func TestVoucherThrottle(t *testing.T) {
	w, _ := newVoucherWorld(t)
	w.addUser(voucherUser("v1-00001", testCode, 0))
	w.addUser(User{Name: "alice", Credential: cleartext("wonderland")})
	first, second := `Calling-Station-Id = "02-00-00-00-00-01"`, `Calling-Station-Id = "02-00-00-00-00-02"`
	guess := func(i int, station string) Reason {
		w.pap(fmt.Sprintf("GGGG-GGGG-%04d", i), "", station).rejected()
		return w.record().Reason
	}
	for i := range freeGuesses {
		assert.Equal(t, ReasonUnknownUser, guess(i, first))
	}
	answer := w.pap(testCode, "", first).rejected()
	record := w.record()
	assert.Equal(t, ReasonThrottled, record.Reason, "the right one is not told apart")
	assert.Equal(t, "7K3M…", record.Username)
	assert.Equal(t, "Too many wrong codes: please wait a few minutes.", answer.value("Reply-Message"))
	w.pap("v1-00001", testCode, first).rejected()
	assert.Equal(t, ReasonThrottled, w.record().Reason, "nor by the serial")
	w.pap("alice", "wonderland", first).accepted()
	assert.Equal(t, ReasonAccepted, w.record().Reason, "who is no voucher")
	w.pap(testCode, "", second).accepted()
	_ = w.record()
	w.clock.set(w.clock.now().Add(firstGuessLock))
	w.pap(testCode, "", first).accepted()
	_ = w.record()
	assert.Equal(t, ReasonUnknownUser, guess(9, first))
	assert.Equal(t, ReasonThrottled, guess(10, first))
	w.clock.set(w.clock.now().Add(2 * firstGuessLock))
	assert.Equal(t, ReasonUnknownUser, guess(10, first), "the lock doubles")

	// A device that is asked about by its address is no guess.
	for range 2 * freeGuesses {
		w.pap("020000000003", "020000000003", `Calling-Station-Id = "02-00-00-00-00-03"`).rejected()
		assert.Equal(t, ReasonUnknownUser, w.record().Reason)
	}
}

// TestVoucherFlood: somebody who calls himself something else each time keeps nobody at
// that NAS from using a voucher, unless its code could be found so.
func TestVoucherFlood(t *testing.T) {
	const short = "7K3M-9QXW-2R" // 50 bits
	w, _ := newVoucherWorld(t)
	w.addUser(voucherUser("v1-00001", testCode, 0))
	w.addUser(voucherUser("v2-00001", short, 0))
	flood := func(code string) (last Reason) {
		for i := range 2 * nasGuessesBurst {
			w.pap(fmt.Sprintf(code, i), "", fmt.Sprintf(`Calling-Station-Id = "station %d"`, i)).rejected()
			last = w.record().Reason
		}
		return last
	}
	honest := `Calling-Station-Id = "02-00-00-00-00-01"`
	assert.Equal(t, ReasonUnknownUser, flood("GGGG-GGGG-%04d"))
	w.pap(testCode, "", honest).accepted()
	_ = w.record()
	w.pap("v1-00001", testCode, honest).accepted()
	_ = w.record()
	w.pap(testCode, "").accepted()
	assert.Equal(t, ReasonAccepted, w.record().Reason, "who does not name himself")

	assert.Equal(t, ReasonThrottled, flood("GGGG-GG%04d"), "these are counted too")
	for _, login := range [][2]string{{short, ""}, {"v2-00001", short}} {
		w.pap(login[0], login[1], honest).rejected()
		assert.Equal(t, ReasonThrottled, w.record().Reason, "right or not: 50 bits could be found")
	}
	w.pap(testCode, "", honest).accepted()
	_ = w.record()
	w.clock.set(w.clock.now().Add(nasGuessEvery))
	w.pap(short, "", honest).accepted()
	assert.Equal(t, ReasonAccepted, w.record().Reason)
}

func TestVoucherFirstUse(t *testing.T) {
	w, uses := newVoucherWorld(t)
	firstUses := w.access.options.FirstUses
	w.limits.set(nil, 0)
	user := voucherUser("v1-00001", testCode, 24*time.Hour)
	user.ExpiresAt = monday.Add(time.Hour) // to be used until then
	user = w.addUser(user)
	assert.Equal(t, "86400", w.pap(testCode, "").accepted().value("Session-Timeout"))
	w.clock.set(monday.Add(23 * time.Hour))
	assert.Equal(t, "3600", w.pap("v1-00001", testCode).accepted().value("Session-Timeout"), "though nothing is written")
	w.clock.set(monday.Add(24 * time.Hour))
	assert.Equal(t, "This voucher has expired.", w.pap(testCode, "").rejected().value("Reply-Message"))

	// It is written, again and again, and then forgotten.
	uses.down = true
	require.Error(t, firstUses.flush(t.Context()))
	uses.down = false
	require.NoError(t, firstUses.flush(t.Context()))
	assert.Equal(t, []FirstUse{{user.ID, monday}}, uses.all())
	firstUses.sweep()
	assert.Len(t, firstUses.known, 1, "the directory does not know yet")
	user.Voucher, user.ExpiresAt = &VoucherLogin{CodeHash: user.Voucher.CodeHash}, monday.Add(24*time.Hour)
	w.addUser(user)
	firstUses.sweep()
	assert.Empty(t, firstUses.known)
	w.clock.set(monday.Add(23 * time.Hour))
	assert.Equal(t, "3600", w.pap(testCode, "").accepted().value("Session-Timeout"))
	require.NoError(t, firstUses.flush(t.Context()))
	assert.Len(t, uses.all(), 1)

	// Accounting tells of one that was lost; an earlier time counts.
	lost := w.addUser(voucherUser("v1-00002", secondCode, time.Hour))
	for _, r := range []Record{{Username: "v1-00001", ReceivedAt: monday}, {Username: "nobody", ReceivedAt: monday}, {ReceivedAt: monday},
		{Username: "v1-00002", ReceivedAt: monday.Add(time.Minute)}, {Username: "v1-00002", ReceivedAt: monday}, {Username: "v1-00002", ReceivedAt: monday.Add(time.Hour)}} {
		firstUses.Seen(&r)
	}
	require.NoError(t, firstUses.flush(t.Context()))
	assert.Equal(t, FirstUse{lost.ID, monday}, uses.all()[1])
	assert.Len(t, uses.all(), 2)
	w.clock.set(monday.Add(time.Hour))
	w.pap(secondCode, "").rejected()

	// No more than there is room for.
	for i := range 4 {
		code := fmt.Sprintf("BBBB-BBBB-%04d", i)
		w.addUser(voucherUser(fmt.Sprintf("v2-%05d", i), code, time.Hour))
		answer := w.pap(code, "")
		if i < 2 {
			answer.accepted()
		} else {
			assert.Empty(t, answer.rejected().value("Session-Timeout"))
		}
	}
}

func TestFirstUsesRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		directory := newDirectory(t, store, func(o *DirectoryOptions) { o.VoucherHash = testCodeHash })
		user := store.putUser(voucherUser("v1-00001", testCode, time.Hour))
		require.NoError(t, directory.Load(t.Context()))
		lost := FirstUse{uuid.New(), monday}
		uses := &fakeUses{down: true, lost: []FirstUse{lost}}
		u, err := NewFirstUses(FirstUsesOptions{Store: uses, Directory: directory})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); u.Run(ctx) }()
		u.Seen(&Record{Username: "v1-00001", ReceivedAt: monday})
		time.Sleep(time.Minute) // of the bubble's clock
		uses.mu.Lock()
		uses.down = false
		uses.mu.Unlock()
		time.Sleep(6 * time.Second)
		assert.ElementsMatch(t, []FirstUse{{user.ID, monday}, lost}, uses.all(), "once, when the store is back")
		user.Voucher = &VoucherLogin{CodeHash: user.Voucher.CodeHash}
		store.putUser(user)
		require.NoError(t, directory.Refresh(t.Context()))
		time.Sleep(2 * time.Second)
		_, known := u.at(user.ID)
		assert.False(t, known)

		second := store.putUser(voucherUser("v1-00002", secondCode, time.Hour))
		require.NoError(t, directory.Refresh(t.Context()))
		u.Seen(&Record{Username: "v1-00002", ReceivedAt: monday})
		cancel()
		<-done
		assert.Equal(t, FirstUse{second.ID, monday}, uses.all()[2], "what is left is written at the end")
	})
}

func TestVoucherWatched(t *testing.T) {
	w, _ := newVoucherWorld(t)
	w.addUser(voucherUser("v1-00001", testCode, 0))
	events, cancel := w.access.Watch(WatchFilter{User: "v1-00001"})
	defer cancel()
	w.pap(testCode, testCode).accepted()
	event := <-events
	assert.Equal(t, "v1-00001", event.Username)
	assert.NotContains(t, fmt.Sprint(event), testCode)
	assert.Contains(t, event.Request, `User-Name = "v1-00001"`)
}

func TestVoucherInASnapshot(t *testing.T) {
	w, _ := newVoucherWorld(t)
	user := w.addUser(voucherUser("v1-00001", testCode, time.Hour))
	table := newUserTable()
	kept, ok := w.directory.User("v1-00001")
	require.True(t, ok)
	assert.Equal(t, user, kept)
	w.directory.putUser(table, &kept)
	hash, _ := testCodeHash([]byte(testCode))
	var a account
	require.True(t, table.getCode(&hash, &a))
	table.remove(user.ID)
	require.False(t, table.getCode(&hash, &a))
	require.Zero(t, table.codes.live.Load())
	// With a password of its own, it is a user like others.
	kept.Credential = cleartext("x")
	kept.ID = uuid.New()
	w.directory.putUser(table, &kept)
	require.False(t, table.getCode(&hash, &a))
}
