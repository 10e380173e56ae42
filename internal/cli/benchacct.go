package cli

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	crand "crypto/rand"
	"encoding/hex"

	"github.com/spf13/cobra"

	"radiusd/radius"
)

func (a *app) benchAcctCommand() *cobra.Command {
	o := &benchOptions{target: target{a: a}}
	var interims int
	var sessions uint64
	var ackPath string
	c := &cobra.Command{
		Use:   "acct",
		Short: "Load a server with accounting of whole sessions",
		Long: `Accounts sessions with growing counters: a Start, interim updates, a Stop, each
sent when the one before was acknowledged. With --ack-log, every acknowledged record
is written to a CSV file, to be compared with what the store holds: a server may
have more (an answer can be lost), but never less.`,
		Example: `  radiusd bench acct --duration 30s --concurrency 256
  radiusd bench acct --sessions 10000 --interims 3 --user 'user{n}' --users 1000 --ack-log acknowledged.csv`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if interims < 0 || interims > 1e6 {
				return usagef("--interims: want 0 to 1000000")
			}
			o.count = sessions
			if err := o.completeBench(acctPort); err != nil {
				return err
			}
			var log *ackLog
			if ackPath != "" {
				file, err := createFile(ackPath)
				if err != nil {
					return err
				}
				log = newAckLog(file)
				defer func() {
					err = errors.Join(err, log.close())
				}()
			}
			o.total = int64(sessions) * int64(interims+2)
			left := newQuota(sessions)
			var run [6]byte
			crand.Read(run[:])
			return o.runBench(c.Context(), func(socket, slots int) (benchSource, error) {
				return newAcctSource(o, interims, hex.EncodeToString(run[:]), socket, slots, left, log), nil
			})
		},
	}
	o.benchFlags(c)
	c.Flags().Uint64Var(&sessions, "sessions", 0, "how many sessions to account (default: for --duration)")
	c.Flags().IntVar(&interims, "interims", 2, "interim updates in each session")
	c.Flags().StringVar(&ackPath, "ack-log", "", "CSV `FILE` for the acknowledged records")
	_ = c.MarkFlagFilename("ack-log", "csv")
	return c
}

// acctSource makes Accounting-Requests. Each slot has one session at a time.
type acctSource struct {
	o        *benchOptions
	hasher   *radius.Hasher
	interims int
	prefix   string // of the session ids
	next     int
	slots    []benchSession
	left     *quota
	log      *ackLog
	message  radius.Message
	scratch  []byte
}

// benchSession is the session that a slot accounts.
type benchSession struct {
	id, user      string
	step          int // the request that is next or under way; 0 is Start
	begun         time.Time
	event         time.Time
	status        uint32
	seconds       uint32
	input, output uint64
}

func newAcctSource(o *benchOptions, interims int, run string, socket, slots int, left *quota, log *ackLog) *acctSource {
	return &acctSource{
		o: o, hasher: radius.NewHasher([]byte(o.secret)), interims: interims,
		prefix: fmt.Sprintf("%s-%d-", run, socket), slots: make([]benchSession, slots), left: left, log: log,
	}
}

func (s *acctSource) append(dst []byte, slot int, identifier uint8, ending bool) ([]byte, bool, error) {
	b := &s.slots[slot]
	if b.step == 0 && (ending || !s.left.take()) {
		return dst, false, nil
	}
	now := time.Now()
	if b.step == 0 {
		s.next++
		s.scratch = strconv.AppendInt(append(s.scratch[:0], s.prefix...), int64(s.next), 10)
		b.id = string(s.scratch)
		b.user = numbered(s.o.user, (s.next-1)%s.o.users+1)
		b.begun, b.input, b.output, b.status = now, 0, 0, radius.AcctStart
	} else {
		b.input += uint64(1000 + 7*s.next%1000)
		b.output += uint64(100_000 + 13*s.next%10_000)
		b.status = radius.AcctInterimUpdate
		if b.step > s.interims {
			b.status = radius.AcctStop
		}
	}
	b.event = now.Truncate(time.Second)
	b.seconds = uint32(now.Sub(b.begun) / time.Second)

	m := &s.message
	m.Code, m.Attributes = radius.AccountingRequest, m.Attributes[:0]
	m.AddUint32(radius.TypeAcctStatusType, b.status)
	m.AddString(radius.TypeUserName, b.user)
	m.AddString(radius.TypeAcctSessionID, b.id)
	m.AddString(radius.TypeNASIdentifier, testNASIdentifier)
	m.Attributes = radius.AppendTime(m.Attributes, radius.TypeEventTimestamp, b.event)
	if b.status != radius.AcctStart {
		m.AddUint32(radius.TypeAcctSessionTime, b.seconds)
		m.AddUint32(radius.TypeAcctInputOctets, uint32(b.input))
		m.AddUint32(radius.TypeAcctOutputOctets, uint32(b.output))
		m.AddUint32(radius.TypeAcctInputGigawords, uint32(b.input>>32))
		m.AddUint32(radius.TypeAcctOutputGigawords, uint32(b.output>>32))
	}
	packet, err := m.AppendTo(dst, identifier, s.hasher)
	return packet, err == nil, err
}

func (s *acctSource) answered(slot int, answer radius.Packet, authenticator *[16]byte) error {
	err := verifyAnswer(s.hasher, answer, authenticator, false)
	if errors.Is(err, errUnverified) {
		return err
	}
	if err == nil && answer.Code() != radius.AccountingResponse {
		err = fmt.Errorf("%v where Accounting-Response is right", answer.Code())
	}
	if err == nil && s.log != nil {
		err = s.log.write(&s.slots[slot])
	}
	s.advance(slot)
	return err
}

// lost goes on with the session: what is cumulative comes with the next record.
func (s *acctSource) lost(slot int) { s.advance(slot) }

// advance moves the session to its next request.
func (s *acctSource) advance(slot int) {
	b := &s.slots[slot]
	if b.step++; b.step > s.interims+1 {
		b.step = 0
	}
}

// ackLog is the log of acknowledged records, shared by all sockets.
type ackLog struct {
	mu    sync.Mutex
	file  io.WriteCloser
	buf   *bufio.Writer
	csv   *csv.Writer
	cells []string
	err   error
}

var ackNames = map[uint32]string{radius.AcctStart: "start", radius.AcctInterimUpdate: "interim", radius.AcctStop: "stop"}

func newAckLog(file io.WriteCloser) *ackLog {
	l := &ackLog{file: file, buf: bufio.NewWriterSize(file, 1<<16)}
	l.csv = csv.NewWriter(l.buf)
	l.err = l.csv.Write([]string{"acct_session_id", "status", "username", "event_time", "session_seconds", "input_octets", "output_octets"})
	return l
}

// write notes the record that the session has under way.
func (l *ackLog) write(b *benchSession) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cells = append(l.cells[:0], b.id, ackNames[b.status], protectCSV(b.user), b.event.UTC().Format(time.RFC3339),
		strconv.FormatUint(uint64(b.seconds), 10), strconv.FormatUint(b.input, 10), strconv.FormatUint(b.output, 10))
	if l.err == nil {
		l.err = l.csv.Write(l.cells)
	}
	return l.err
}

func (l *ackLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.csv.Flush()
	if err := errors.Join(l.err, l.csv.Error(), l.buf.Flush(), l.file.Close()); err != nil {
		return fmt.Errorf("write the log of acknowledgements: %w", err)
	}
	return nil
}
