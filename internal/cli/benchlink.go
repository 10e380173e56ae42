package cli

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// benchLink is the socket of one thread of a load for one server, with its 256
// Identifiers. All but read belongs to one goroutine.
type benchLink struct {
	conn     *net.UDPConn
	batch    batchConn
	expected [256]expectedAnswer
	free     []uint8 // identifiers, the one that rests longest first
	out      []byte  // packets to send, one after the other
	ends     []int   // of the packets in out
	spare    chan arrival
	closed   atomic.Bool
}

// expectedAnswer is what the holder of an Identifier waits for.
type expectedAnswer struct {
	authenticator [16]byte // of the request
	slot          int32
	taken         bool
	lose          bool // the network loses the answer
}

// arrival is a batch of datagrams that came on a link, or why none comes.
type arrival struct {
	link      int
	datagrams [][]byte
	buffer    []byte
	refused   bool // nothing listens
	err       error
}

const (
	// benchBatch is how many datagrams are read or sent with one system call.
	benchBatch = 64
	// longestAnswer is room for what servers answer; a longer answer is cut off and
	// then no answer.
	longestAnswer = 4096
)

func newBenchLink(address string) (*benchLink, error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return nil, err
	}
	l := &benchLink{conn: conn.(*net.UDPConn), spare: make(chan arrival, 2)}
	_ = l.conn.SetReadBuffer(1 << 20) // what the system grants is enough
	if err := l.batch.open(l.conn); err != nil {
		conn.Close()
		return nil, err
	}
	for i := range 256 {
		l.free = append(l.free, uint8(i))
	}
	for range cap(l.spare) {
		l.spare <- arrival{datagrams: make([][]byte, 0, benchBatch), buffer: make([]byte, benchBatch*longestAnswer)}
	}
	return l, nil
}

func (l *benchLink) close() {
	l.closed.Store(true)
	l.conn.Close()
}

// take returns an Identifier for a slot, if one is free.
func (l *benchLink) take(slot int) (uint8, bool) {
	if len(l.free) == 0 {
		return 0, false
	}
	identifier := l.free[0]
	l.free = append(l.free[:0], l.free[1:]...)
	l.expected[identifier] = expectedAnswer{slot: int32(slot), taken: true}
	return identifier, true
}

// give takes an Identifier back.
func (l *benchLink) give(identifier uint8) {
	l.expected[identifier].taken = false
	l.free = append(l.free, identifier)
}

// expect says which packet was sent with an Identifier.
func (l *benchLink) expect(identifier uint8, packet []byte, lose bool) {
	e := &l.expected[identifier]
	e.authenticator, e.lose = [16]byte(packet[4:20]), lose
}

// queue takes a copy of a packet to be sent with the next flush.
func (l *benchLink) queue(packet []byte) {
	l.out = append(l.out, packet...)
	l.ends = append(l.ends, len(l.out))
}

// flush sends what is queued. What the network refuses now is a lost packet. The
// error is ECONNREFUSED if nothing listens.
func (l *benchLink) flush() error {
	if len(l.ends) == 0 {
		return nil
	}
	err := l.batch.write(l.out, l.ends)
	l.out, l.ends = l.out[:0], l.ends[:0]
	if errors.Is(err, syscall.ENOBUFS) {
		return nil
	}
	return err
}

// reuse gives the memory of an arrival back to the reader.
func (l *benchLink) reuse(a arrival) { l.spare <- a }

// read passes on what comes until the link is closed.
func (l *benchLink) read(index int, arrivals chan<- arrival, stop <-chan struct{}) {
	var a arrival
	holding := false
	for {
		if !holding {
			select {
			case a = <-l.spare:
				holding = true
			case <-stop:
				return
			}
		}
		var err error
		a.datagrams, err = l.batch.read(a.buffer, a.datagrams[:0])
		report := arrival{link: index}
		switch {
		case l.closed.Load():
			return
		case err == nil:
			a.link = index
			report, holding = a, false
		case errors.Is(err, syscall.ECONNREFUSED):
			report.refused = true
		default:
			report.err = err
		}
		select {
		case arrivals <- report:
		case <-stop:
			return
		}
		if report.err != nil {
			return
		}
	}
}
