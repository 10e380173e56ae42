package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	crand "crypto/rand"

	"radiusd/radius"
)

// acctSource makes the Accounting-Requests of the NASes of one thread.
type acctSource struct {
	o        *acctOptions
	hasher   *radius.Hasher
	random   *rand.ChaCha8 // for Request Authenticators
	run      string        // in the NASes' identifiers
	nases    []*benchNAS
	turn     int // the NAS that is asked next
	server   int // for --spread
	slots    []acctRequest
	log      *ackWriter
	message  radius.Message
	user     numberedText
	password numberedText
	scratch  []byte
}

// bootPhase is where a NAS is between one boot and the next.
type bootPhase uint8

const (
	nasUp       bootPhase = iota
	nasDraining           // waits for what is under way, to send Accounting-Off
	nasGoing              // Accounting-Off is under way
	nasDown
	nasComing // Accounting-On is under way
)

// benchNAS is one NAS with its sessions.
type benchNAS struct {
	index      int
	identifier string
	addr       netip.Addr // NAS-IP-Address; zero: not sent
	clock      nasClock
	random     *rand.Rand
	home       int // the server that answered last
	limit      int // sessions open at a time
	limited    bool
	left       uint64 // sessions to begin, if limited

	phase  bootPhase
	until  time.Time // nasDown: when it comes again
	boot   uint32    // counts from zero
	begun  uint32    // sessions since the boot
	reboot uint32    // after so many; zero: never
	ports  uint32    // sessions since the beginning
	active int       // sessions that are open
	busy   int       // requests under way, of this boot
	idle   []benchSession
}

// benchSession is one session on a NAS.
type benchSession struct {
	number        uint32 // counts from the NAS's boot; it makes Acct-Session-Id and user
	port          uint32 // counts from the beginning
	step          int    // the request that is next or under way
	begun         time.Time
	input, output uint64
	class         []byte
}

// The steps of a session. The interims are between Start and Stop.
const (
	stepLogin = -1
	stepStart = 0
)

// acctRequest is the request that a slot has under way.
type acctRequest struct {
	nas     *benchNAS
	boot    uint32
	status  uint32 // zero: an Access-Request
	session benchSession
	event   time.Time
	seconds uint32
	delay   uint32 // as sent last
	home    int    // the server it goes to first
	link    int    // and that it was sent to last
}

func newAcctSource(o *acctOptions, slots int, log *ackLog) *acctSource {
	var seed [32]byte
	crand.Read(seed[:]) // a Request Authenticator must never repeat (RFC 2865 section 3)
	s := &acctSource{
		o: o, hasher: radius.NewHasher([]byte(o.secret)), random: rand.NewChaCha8(seed),
		run: strconv.FormatUint(o.seed, 36), slots: make([]acctRequest, slots),
		user: newNumberedText(o.user), password: newNumberedText(o.password),
	}
	if log != nil {
		s.log = log.writer()
	}
	return s
}

// add adds a NAS; index is its number among all.
func (s *acctSource) add(index int) {
	o := s.o
	kinds := clocks[o.clock]
	n := &benchNAS{
		index: index, identifier: nasIdentifier(s.run, index), clock: kinds[index%len(kinds)],
		random: rand.New(rand.NewPCG(o.seed, uint64(index)<<32)),
		limit:  max(share(o.open, index, o.nases), 1),
		home:   0, limited: o.count > 0, left: share(o.count, index, o.nases),
	}
	n.clock.ago = o.ago
	if index%2 == 0 {
		n.addr = netip.AddrFrom4([4]byte{10, 255, byte(index >> 8), byte(index)})
	}
	n.plan(o.reboot)
	s.nases = append(s.nases, n)
}

// nasIdentifier is the NAS-Identifier of a NAS, which no other load has.
func nasIdentifier(run string, index int) string { return fmt.Sprintf("bench-%s-%d", run, index) }

// plan decides after how many sessions the NAS boots again.
func (n *benchNAS) plan(about int) {
	if about > 0 {
		n.reboot = uint32(about/2 + n.random.IntN(about) + 1)
	}
}

// begin asks the NASes in turn for something to send.
func (s *acctSource) begin(slot int, now time.Time, ending bool) (wait time.Duration) {
	wait = -1
	for range s.nases {
		n := s.nases[s.turn]
		s.turn = (s.turn + 1) % len(s.nases)
		pause := n.next(&s.slots[slot], s.o, now, ending)
		if pause == 0 {
			s.begun(&s.slots[slot], now)
			return 0
		}
		if pause > 0 && (wait < 0 || pause < wait) {
			wait = pause
		}
	}
	return wait
}

// untilAnswer is how soon to ask a NAS again that waits for answers. They wake the
// thread by themselves.
const untilAnswer = 50 * time.Millisecond

// downtime is how long a NAS takes to boot at least: longer than a packet can be late,
// so that Accounting-On comes after what was before it, in whole seconds as well.
const downtime = 2 * latest

// next decides on the NAS's next request as begin does.
func (n *benchNAS) next(r *acctRequest, o *acctOptions, now time.Time, ending bool) time.Duration {
	if n.phase == nasUp && n.reboot > 0 && n.begun >= n.reboot && !ending {
		if (n.boot+uint32(n.index))%2 == 0 {
			n.crash(now)
		} else {
			n.phase = nasDraining
		}
	}
	*r = acctRequest{nas: n, boot: n.boot}
	switch n.phase {
	case nasUp:
		return n.nextOfSessions(r, o, ending)
	case nasDraining:
		if n.busy > 0 {
			return untilAnswer
		}
		n.phase, n.idle, n.active = nasGoing, n.idle[:0], 0
		r.status = radius.AcctAccountingOff
		return 0
	case nasDown:
		if wait := n.until.Sub(now); wait > 0 {
			return wait
		}
		n.phase = nasComing
		r.status = radius.AcctAccountingOn
		return 0
	}
	return untilAnswer
}

// nextOfSessions begins a session, or goes on with one of those that are open.
func (n *benchNAS) nextOfSessions(r *acctRequest, o *acctOptions, ending bool) time.Duration {
	mayBegin := !ending && (!n.limited || n.left > 0)
	switch {
	case mayBegin && n.active < n.limit:
		if n.limited {
			n.left--
		}
		n.active++
		n.begun++
		n.ports++
		r.session = benchSession{number: n.begun, port: n.ports}
		if o.login {
			r.session.step = stepLogin
		}
	case len(n.idle) > 0:
		i := n.random.IntN(len(n.idle))
		last := len(n.idle) - 1
		r.session = n.idle[i]
		n.idle[i] = n.idle[last]
		n.idle = n.idle[:last]
		if ending && r.session.step > stepStart {
			r.session.step = o.interims + 1
		}
	case n.active > 0 || mayBegin:
		return untilAnswer
	default:
		return -1
	}
	switch step := r.session.step; {
	case step == stepStart:
		r.status = radius.AcctStart
	case step > o.interims:
		r.status = radius.AcctStop
	case step > stepStart:
		r.status = radius.AcctInterimUpdate
	}
	return 0
}

// crash lets the NAS forget everything.
func (n *benchNAS) crash(now time.Time) {
	n.idle, n.active = n.idle[:0], 0
	n.goDown(now)
}

func (n *benchNAS) goDown(now time.Time) {
	n.phase, n.boot, n.busy = nasDown, n.boot+1, 0
	n.until = now.Add(downtime).Truncate(time.Second).Add(time.Second)
}

// begun fixes what the request says, however often it is sent.
func (s *acctSource) begun(r *acctRequest, now time.Time) {
	r.nas.busy++
	r.home = r.nas.home
	if s.o.spread {
		r.home = s.server
		s.server = (s.server + 1) % len(s.o.servers)
	}
	r.event = now.UTC().Add(-s.o.ago)
	if r.nas.clock.timestamp {
		r.event = r.event.Truncate(time.Second)
	}
	b := &r.session
	switch r.status {
	case radius.AcctStart:
		b.begun = now
	case radius.AcctInterimUpdate, radius.AcctStop:
		r.seconds = uint32(now.Sub(b.begun) / time.Second)
		random := s.number(r, 0)
		b.input += 1000 + random%100_000
		b.output += 100_000 + random>>20%10_000_000
		if b.port%8 == 0 { // some use much: their counters need gigawords (RFC 2869 section 5.1)
			b.input += random % (1 << 31)
			b.output += random >> 16 % (1 << 32)
		}
	}
}

// number returns what is random about a transmission of a request. It depends on
// nothing but the seed and the request.
func (s *acctSource) number(r *acctRequest, transmission int) uint64 {
	x := s.o.seed
	for _, n := range [...]uint64{uint64(r.nas.index)<<32 | uint64(r.boot), uint64(r.session.port)<<32 | uint64(r.status),
		uint64(uint32(r.session.step))<<32 | uint64(uint32(transmission))} {
		// The finalizer of splitmix64.
		x = (x ^ n) + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

func (s *acctSource) fate(slot, tries int, since time.Duration) fate {
	r, o := &s.slots[slot], s.o
	servers := len(o.servers)
	f := fate{link: (r.home + tries/2) % servers}
	if r.status == 0 {
		f.link += servers
	}
	r.link = f.link
	delays := r.status != 0 && r.nas.clock.delay
	f.renew = tries > 0 && delays && r.nas.clock.delayOf(since, r.bootRecord()) != r.delay
	if o.loss == 0 && o.repeat == 0 {
		return f
	}
	random := s.number(r, tries+1)
	chance := func(p float64) bool {
		hit := float64(random&0xffff) < p*0x10000
		random >>= 16
		return hit
	}
	f.lose, f.loseAnswer = chance(o.loss), chance(o.loss)
	if chance(o.repeat) {
		// A copy that comes late of a boot without Event-Timestamp or Acct-Delay-Time is
		// another boot to anyone.
		late := random&1 == 0 && (r.nas.clock.timestamp || !r.bootRecord())
		f.repeat, f.repeatLate = !late, late
	}
	return f
}

// bootRecord reports whether the request is Accounting-On or -Off.
func (r *acctRequest) bootRecord() bool {
	return r.status == radius.AcctAccountingOn || r.status == radius.AcctAccountingOff
}

func (s *acctSource) answered(slot int, answer radius.Packet, authenticator *[16]byte) error {
	r := &s.slots[slot]
	err := verifyAnswer(s.hasher, answer, authenticator, r.status == 0)
	if errors.Is(err, errUnverified) || s.forgotten(slot) {
		return errUnverified
	}
	want := radius.AccountingResponse
	if r.status == 0 {
		want = radius.AccessAccept
	}
	if err == nil && answer.Code() != want {
		err = fmt.Errorf("%v where %v is right", answer.Code(), want)
	}
	if r.status != 0 {
		if err == nil {
			s.note(r, time.Now())
		}
	} else {
		r.session.class = nil
		if class, ok := answer.Attributes().Get(radius.TypeClass); ok {
			r.session.class = append([]byte(nil), class...)
		}
	}
	if !s.o.spread && r.link < len(s.o.servers) {
		r.nas.home = r.link
	}
	s.advance(r)
	return err
}

// forgotten: a NAS that has crashed knows nothing of what it had sent.
func (s *acctSource) forgotten(slot int) bool {
	r := &s.slots[slot]
	return r.boot != r.nas.boot
}

// lost goes on with the session: what is cumulative comes with the next record.
func (s *acctSource) lost(slot int) {
	r := &s.slots[slot]
	if r.status != 0 {
		s.note(r, time.Time{})
	}
	if !s.forgotten(slot) {
		s.advance(r)
	}
}

// advance moves the session, or the NAS that boots, to its next request.
func (s *acctSource) advance(r *acctRequest) {
	n := r.nas
	n.busy--
	switch {
	case r.status == radius.AcctAccountingOff:
		n.goDown(time.Now())
	case r.status == radius.AcctAccountingOn:
		n.phase, n.begun = nasUp, 0
		n.plan(s.o.reboot)
	case r.status == radius.AcctStop:
		n.active--
	default:
		r.session.step++
		n.idle = append(n.idle, r.session)
	}
}
