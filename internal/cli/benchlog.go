package cli

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/radius"
)

// ackColumns are the columns of the log of `bench acct`. nas_port is unique for each
// session of a NAS, while Acct-Session-Ids repeat after a boot.
var ackColumns = []string{
	"nas_identifier", "nas_ip", "boot", "acct_session_id", "nas_port", "username", "framed_ip", "status",
	"event_time", "event_sent", "session_seconds", "input_octets", "output_octets", "acknowledged_at",
}

// ackLog is the log of records, shared by all threads.
type ackLog struct {
	mu      sync.Mutex
	file    io.WriteCloser
	writers []*ackWriter
	err     error
}

// ackWriter is the part of the log that belongs to one thread.
type ackWriter struct {
	log *ackLog
	buf []byte
}

const ackBuffer = 1 << 16

func newAckLog(file io.WriteCloser) *ackLog {
	l := &ackLog{file: file}
	_, l.err = io.WriteString(file, strings.Join(ackColumns, ",")+"\n")
	return l
}

// writer returns a writer for a thread. Its lines are in the file after close.
func (l *ackLog) writer() *ackWriter {
	w := &ackWriter{log: l, buf: make([]byte, 0, ackBuffer+1024)}
	l.writers = append(l.writers, w)
	return w
}

// flush writes whole lines, so that those of several threads stay apart.
func (w *ackWriter) flush() {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if _, err := w.log.file.Write(w.buf); err != nil && w.log.err == nil {
		w.log.err = err
	}
	w.buf = w.buf[:0]
}

// close ends the log; no thread may write any more.
func (l *ackLog) close() error {
	for _, w := range l.writers {
		w.flush()
	}
	if err := errors.Join(l.err, l.file.Close()); err != nil {
		return fmt.Errorf("write the log of acknowledgements: %w", err)
	}
	return nil
}

var ackStatuses = map[uint32]aaa.AcctStatus{
	radius.AcctStart: aaa.AcctStart, radius.AcctInterimUpdate: aaa.AcctInterim, radius.AcctStop: aaa.AcctStop,
	radius.AcctAccountingOn: aaa.AcctOn, radius.AcctAccountingOff: aaa.AcctOff,
}

// note writes the request as a record into the log; a zero time says that it was not
// acknowledged.
func (s *acctSource) note(r *acctRequest, acknowledged time.Time) {
	if s.log == nil {
		return
	}
	b := append(s.log.buf, r.nas.identifier...)
	b = append(b, ',')
	if r.nas.addr.IsValid() {
		b = r.nas.addr.AppendTo(b)
	}
	b = append(b, ',')
	b = strconv.AppendUint(b, uint64(r.boot), 10)
	b = append(b, ',')
	b = appendSessionID(b, r.session.number)
	b = append(b, ',')
	b = strconv.AppendUint(b, uint64(r.session.port), 10)
	b = append(b, ',')
	if !r.bootRecord() {
		s.scratch = s.user.append(s.scratch[:0], s.userNumber(r))
		b = appendCell(b, s.scratch)
	}
	b = append(b, ',')
	if !r.bootRecord() {
		b = r.framedIP().AppendTo(b)
	}
	b = append(b, ',')
	b = append(b, ackStatuses[r.status].String()...)
	b = append(b, ',')
	b = r.event.AppendFormat(b, time.RFC3339Nano)
	b = append(b, ',')
	b = strconv.AppendBool(b, r.nas.clock.timestamp)
	for _, n := range [...]uint64{uint64(r.seconds), r.session.input, r.session.output} {
		b = append(b, ',')
		b = strconv.AppendUint(b, n, 10)
	}
	b = append(b, ',')
	if !acknowledged.IsZero() {
		b = acknowledged.UTC().AppendFormat(b, time.RFC3339Nano)
	}
	s.log.buf = append(b, '\n')
	if len(s.log.buf) >= ackBuffer {
		s.log.flush()
	}
}

// appendCell appends a cell of a CSV file (RFC 4180), which no spreadsheet takes for
// a formula.
func appendCell(b, cell []byte) []byte {
	text := userfile.Protect(string(cell))
	if !strings.ContainsAny(text, "\",\r\n") && !strings.HasPrefix(text, " ") {
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(text, `"`, `""`)...)
	return append(b, '"')
}

// ackRecord is a line of the log.
type ackRecord struct {
	nas           string // NAS-Identifier
	nasAddr       netip.Addr
	boot          int
	acctSessionID string
	port          uint32 // unique for each session of the NAS
	username      string
	framedIP      netip.Addr
	status        aaa.AcctStatus
	event         time.Time
	eventSent     bool // with Event-Timestamp
	seconds       uint64
	input, output uint64
	acknowledged  time.Time // zero: it was not
}

// readAckLog calls fn for every line of a log. The record belongs to fn only during
// the call.
func readAckLog(path string, fn func(*ackRecord) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, reason(err))
	}
	defer file.Close()
	reader := csv.NewReader(bufio.NewReaderSize(file, 1<<20))
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil || !slices.Equal(header, ackColumns) {
		return fmt.Errorf("%s is not a log of radiusd bench acct: its first line does not name the columns", path)
	}
	for {
		cells, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err) // names the line
		}
		r, err := parseAck(cells)
		if err != nil {
			line, _ := reader.FieldPos(0)
			return fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if err := fn(&r); err != nil {
			return err
		}
	}
}

func parseAck(cells []string) (r ackRecord, err error) {
	var errs []error
	check := func(err error) { errs = append(errs, err) }
	whole := func(i, bits int) uint64 {
		n, err := strconv.ParseUint(cells[i], 10, bits)
		check(err)
		return n
	}
	addr := func(i int) netip.Addr {
		if cells[i] == "" {
			return netip.Addr{}
		}
		a, err := netip.ParseAddr(cells[i])
		check(err)
		return a
	}
	moment := func(i int) time.Time {
		if cells[i] == "" {
			return time.Time{}
		}
		at, err := time.Parse(time.RFC3339Nano, cells[i])
		check(err)
		return at
	}
	r = ackRecord{
		nas: cells[0], nasAddr: addr(1), boot: int(whole(2, 31)), acctSessionID: cells[3], port: uint32(whole(4, 32)),
		username: userfile.Unprotect(cells[5]), framedIP: addr(6), event: moment(8),
		seconds: whole(10, 64), input: whole(11, 64), output: whole(12, 64), acknowledged: moment(13),
	}
	r.status, err = aaa.ParseAcctStatus(cells[7])
	check(err)
	r.eventSent, err = strconv.ParseBool(cells[9])
	check(err)
	return r, errors.Join(errs...)
}
