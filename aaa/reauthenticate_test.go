package aaa

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
	"radiusd/radius"
)

// switchWorld is a world whose live sessions hear of the accounting that a switch
// sends, with the Class that it was last given.
type switchWorld struct {
	*world
	live  *LiveSessions
	class []byte
}

func newSwitch(t *testing.T, plan Plan) *switchWorld {
	live := NewLiveSessions(LiveOptions{Now: func() time.Time { return monday }})
	w := newWorld(t, withRecords(t), func(o *AccessOptions) { o.Limits = live })
	w.addUser(User{Name: "alice", Credential: cleartext("x"), PlanID: w.store.putPlan(plan).ID})
	return &switchWorld{world: w, live: live}
}

const switchPort = `NAS-IP-Address = 10.1.2.3, Acct-Session-Id = "0000002A"`

// login authenticates and adopts the Class of the answer, if there is one.
func (s *switchWorld) login(attributes ...string) Nonce {
	s.t.Helper()
	answer := s.pap("alice", "x", attributes...).accepted()
	if class, ok := answer.packet.Attributes().Get(radius.TypeClass); ok {
		s.class = append([]byte(nil), class...)
	}
	nonce, _ := ParseClass(s.class)
	return nonce
}

// account has the switch send a record of its session, as it stands in the journal.
func (s *switchWorld) account(attributes string) {
	s.t.Helper()
	m := &radius.Message{Code: radius.AccountingRequest}
	m.AddString(radius.TypeUserName, "alice")
	if s.class != nil {
		m.Add(radius.TypeClass, s.class)
	}
	s.add(m, attributes)
	packet, err := m.AppendTo(nil, 1, radius.NewHasher([]byte(testSecret)))
	require.NoError(s.t, err)
	e := Envelope{Received: monday, Source: netip.MustParseAddr("127.0.0.1"), NASID: s.nas.ID, Packet: packet}
	var r Record
	_, err = NewDecoder(dictionary.Embedded()).Decode(e.AppendTo(nil), &r)
	require.NoError(s.t, err)
	s.live.Apply(&r)
}

func (s *switchWorld) sessions() (all []Session) {
	s.live.Each(LiveFilter{}, func(x *Session) bool { all = append(all, *x); return true })
	return all
}

// A session that is authenticated again stays the session that it is, although the
// NAS returns the Class of the last Access-Accept (RFC 2865 §5.25).
func TestReauthenticationKeepsTheSession(t *testing.T) {
	for name, plan := range map[string]Plan{"without a limit": {Name: "p"}, "at the limit": {Name: "p", SimultaneousUse: 1}} {
		t.Run(name, func(t *testing.T) {
			s := newSwitch(t, plan)
			first := s.login(switchPort)
			s.account(switchPort + `, Acct-Status-Type = Start`)
			s.account(switchPort + `, Acct-Status-Type = Interim-Update, Acct-Session-Time = 60, Acct-Output-Octets = 5000`)
			s.world.access.options.Records.taken()
			require.Equal(t, first, s.login(switchPort))
			require.Equal(t, first, s.record().SessionNonce)
			s.account(switchPort + `, Acct-Status-Type = Stop, Acct-Session-Time = 90, Acct-Output-Octets = 6000`)
			require.Len(t, s.sessions(), 1)
			require.Equal(t, Usage{Seconds: 90, OutputOctets: 6000}, s.live.Used("alice", PeriodEver, monday))
			require.NotEqual(t, first, s.login(switchPort), "the session has ended")
		})
	}
	t.Run("a session of another name, port or NAS is another", func(t *testing.T) {
		s := newSwitch(t, Plan{Name: "p"})
		first := s.login(switchPort)
		s.account(switchPort + `, Acct-Status-Type = Start`)
		for _, attributes := range []string{
			`NAS-IP-Address = 10.1.2.3`,
			`NAS-IP-Address = 10.1.2.3, Acct-Session-Id = "0000002B"`,
			`NAS-IP-Address = 10.1.2.4, Acct-Session-Id = "0000002A"`,
		} {
			s.class = nil
			require.NotEqual(t, first, s.login(attributes), attributes)
		}
	})
	t.Run("a NAS that has booted begins new ones", func(t *testing.T) {
		s := newSwitch(t, Plan{Name: "p"})
		first := s.login(switchPort)
		s.account(switchPort + `, Acct-Status-Type = Start, Acct-Delay-Time = 10`)
		s.account(`NAS-IP-Address = 10.1.2.3, Acct-Status-Type = Accounting-On`)
		require.NotEqual(t, first, s.login(switchPort))
	})
	t.Run("a session that runs without our Class gets none", func(t *testing.T) {
		s := newSwitch(t, Plan{Name: "p"})
		s.account(switchPort + `, Acct-Status-Type = Start`)
		s.pap("alice", "x", switchPort).accepted()
		require.Zero(t, s.login(switchPort))
		require.Zero(t, s.world.access.options.Records.taken()[0].SessionNonce)
		s.account(switchPort + `, Acct-Status-Type = Stop`)
		require.Len(t, s.sessions(), 1)
	})
	t.Run("a login that is repeated before the Start has one place", func(t *testing.T) {
		s := newSwitch(t, Plan{Name: "p", SimultaneousUse: 1})
		require.Equal(t, s.login(switchPort), s.login(switchPort))
		s.pap("alice", "x", `NAS-IP-Address = 10.1.2.3, Acct-Session-Id = "0000002B"`).rejected()
	})
	t.Run("an Acct-Session-Id that is not text", func(t *testing.T) {
		s := newSwitch(t, Plan{Name: "p"})
		const port = `NAS-IP-Address = 10.1.2.3, Acct-Session-Id = 0xff002a`
		first := s.login(port)
		s.account(port + `, Acct-Status-Type = Start`)
		require.Equal(t, first, s.login(port))
	})
}

// TestFiftyLoginsAtOnce: with a limit of one, exactly one of them is accepted.
func TestFiftyLoginsAtOnce(t *testing.T) {
	s := newSwitch(t, Plan{Name: "p", SimultaneousUse: 1})
	var accepted, rejected atomic.Int32
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			m := &radius.Message{Code: radius.AccessRequest}
			m.AddString(radius.TypeUserName, "alice")
			assert.NoError(t, m.AddUserPassword([]byte(testSecret), "x"))
			m.AddUint32(radius.TypeNASPort, uint32(n))
			m.AddString(radius.TypeAcctSessionID, strconv.Itoa(n))
			packet, err := s.client.Exchange(t.Context(), s.server.Auth, []byte(testSecret), m)
			switch {
			case !assert.NoError(t, err):
			case packet.Code() == radius.AccessAccept:
				accepted.Add(1)
			case packet.Code() == radius.AccessReject:
				rejected.Add(1)
			}
		})
	}
	all.Wait()
	require.Equal(t, []int32{1, 49}, []int32{accepted.Load(), rejected.Load()})
}

func TestReserveWithoutALimitDoesNotAllocate(t *testing.T) {
	l := NewLiveSessions(LiveOptions{})
	nas := netip.MustParseAddr("192.0.2.1")
	for _, id := range []string{"1", "2"} {
		r := Record{Status: AcctStart, AcctSessionID: id, Username: "alice", NASAddr: nas, EventTime: monday, ReceivedAt: monday}
		l.Apply(&r)
	}
	var limits Limits = l
	id := []byte("an Acct-Session-Id that is longer than most are")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		limits.Reserve(Reservation{Username: "alice", Nonce: Nonce{1}, AcctSessionID: id, NASAddr: nas, At: monday})
	}))
}
