package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// shelf is a store that holds what a test puts there.
type shelf struct {
	records  []aaa.Record
	sessions []aaa.Session
}

func (s *shelf) CountRecordsOf(context.Context, string) (int, error) { return len(s.records), nil }

func (s *shelf) EachRecordOf(_ context.Context, _ string, fn func(*aaa.Record) error) error {
	for i := range s.records {
		if err := fn(&s.records[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) EachSessionOf(_ context.Context, _ string, fn func(*aaa.Session) error) error {
	for i := range s.sessions {
		if err := fn(&s.sessions[i]); err != nil {
			return err
		}
	}
	return nil
}

// shelve returns what a store has that did everything right.
func shelve(t *testing.T, log string) *shelf {
	s := &shelf{}
	ids := map[string]int{} // of the session in sessions
	require.NoError(t, readAckLog(log, func(r *ackRecord) error {
		record := aaa.Record{ID: uuid.New(), Status: r.status, AcctSessionID: r.acctSessionID, Username: r.username, NASIdentifier: r.nas,
			NASPort: r.port, FramedIP: r.framedIP, EventTime: r.event, SessionSeconds: r.seconds, InputOctets: r.input, OutputOctets: r.output}
		if !r.eventSent {
			record.EventTime = record.EventTime.Add(time.Second)
		}
		if r.port > 0 {
			key := fmt.Sprint(r.nas, r.port)
			i, ok := ids[key]
			if !ok {
				i = len(s.sessions)
				ids[key] = i
				s.sessions = append(s.sessions, aaa.Session{ID: uuid.New(), AcctSessionID: r.acctSessionID, Username: r.username, NASIdentifier: r.nas})
			}
			x := &s.sessions[i]
			record.SessionID = x.ID
			x.SessionSeconds, x.InputOctets, x.OutputOctets = max(x.SessionSeconds, r.seconds), max(x.InputOctets, r.input), max(x.OutputOctets, r.output)
			if r.status == aaa.AcctStop {
				x.StoppedAt = r.event
			}
		}
		s.records = append(s.records, record)
		return nil
	}))
	return s
}

// logLines is a log of two sessions with the same Acct-Session-Id, before and after a
// boot, of which the first was cut off.
const logLines = `nas_identifier,nas_ip,boot,acct_session_id,nas_port,username,framed_ip,status,event_time,event_sent,session_seconds,input_octets,output_octets,acknowledged_at
bench-x-0,10.255.0.0,0,00000001,1,alice,10.0.0.1,start,2026-12-01T10:00:00Z,true,0,0,0,2026-12-01T10:00:00.1Z
bench-x-0,10.255.0.0,0,00000001,1,alice,10.0.0.1,interim,2026-12-01T10:00:05Z,true,5,100,5000000000,2026-12-01T10:00:05.1Z
bench-x-0,10.255.0.0,0,00000001,1,alice,10.0.0.1,stop,2026-12-01T10:00:09Z,true,9,200,6000000000,
bench-x-0,10.255.0.0,1,00000000,0,,,on,2026-12-01T10:00:12Z,true,0,0,0,2026-12-01T10:00:12.1Z
bench-x-0,10.255.0.0,1,00000001,2,alice,10.0.0.2,start,2026-12-01T10:00:13Z,true,0,0,0,2026-12-01T10:00:13.1Z
bench-x-0,10.255.0.0,1,00000001,2,alice,10.0.0.2,stop,2026-12-01T10:00:20Z,true,7,300,400,2026-12-01T10:00:20.1Z
bench-x-1,,0,00000000,0,,,off,2026-12-01T10:00:12.5Z,false,0,0,0,2026-12-01T10:00:12.6Z
bench-x-1,,1,00000001,1,"a,""b",10.1.0.1,start,2026-12-01T10:00:13.5Z,false,0,0,0,2026-12-01T10:00:13.6Z
`

func TestBenchVerifyFindsWhatIsWrong(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log.csv")
	require.NoError(t, os.WriteFile(log, []byte(logLines), 0o600))
	find := func(s *shelf, status aaa.AcctStatus) *aaa.Record {
		i := slices.IndexFunc(s.records, func(r aaa.Record) bool { return r.Status == status })
		return &s.records[i]
	}
	for name, c := range map[string]struct {
		spoil func(s *shelf)
		want  string // of the first problem; empty: none
	}{
		"nothing":                 {func(*shelf) {}, ""},
		"unanswered is not there": {func(s *shelf) { s.drop(2); sessionWithoutStop(&s.sessions[0], 5, 100, 5_000_000_000) }, ""},
		"a boot without Event-Timestamp twice": {func(s *shelf) {
			again := *find(s, aaa.AcctOff)
			again.ID = uuid.New()
			s.records = append(s.records, again)
		}, ""},
		"missing":        {func(s *shelf) { s.drop(4) }, "missing: start of session 00000001 (port 2) of alice on NAS bench-x-0"},
		"boot missing":   {func(s *shelf) { s.drop(3) }, "missing: on of NAS bench-x-0"},
		"off missing":    {func(s *shelf) { s.drop(6) }, "missing: off of NAS bench-x-1"},
		"doubled":        {func(s *shelf) { s.records = append(s.records, s.records[1]) }, "doubled: record"},
		"boot doubled":   {func(s *shelf) { s.records = append(s.records, s.records[3]) }, "doubled: record"},
		"other counters": {func(s *shelf) { s.records[1].InputOctets++ }, "not in the log: record"},
		"other time":     {func(s *shelf) { s.records[0].EventTime = time.Now() }, "wrong event_time"},
		"other user":     {func(s *shelf) { s.records[0].Username = "bob" }, "wrong username"},
		"other address":  {func(s *shelf) { s.records[0].FramedIP = s.records[4].FramedIP }, "wrong framed_ip"},
		"boots mixed":    {func(s *shelf) { s.records[4].SessionID = s.records[0].SessionID }, "in the session of port 1"},
		"torn":           {func(s *shelf) { s.records[1].SessionID = uuid.New() }, "torn from session"},
		"session's sum":  {func(s *shelf) { s.sessions[1].OutputOctets = 1 }, "its records have 7 s, 300 and 400"},
		"session's user": {func(s *shelf) { s.sessions[1].Username = "bob" }, "is not of the user"},
		"session twice":  {func(s *shelf) { s.sessions = append(s.sessions, s.sessions[1]) }, "has 2 rows"},
		"no session":     {func(s *shelf) { s.sessions = s.sessions[:2] }, "has 0 rows"},
		"session without records": {func(s *shelf) {
			s.sessions = append(s.sessions, aaa.Session{ID: uuid.New()})
		}, "has no record"},
		"session is open":          {func(s *shelf) { s.sessions[1].StoppedAt = time.Time{} }, "has a Stop, and is open"},
		"session ended":            {func(s *shelf) { s.sessions[2].StoppedAt = time.Now() }, "has no Stop, and is ended"},
		"session's start inferred": {func(s *shelf) { s.sessions[2].StartInferred = true }, "has a Start, and one"},
	} {
		t.Run(name, func(t *testing.T) {
			book, err := readAckBook(log)
			require.NoError(t, err)
			s := shelve(t, log)
			c.spoil(s)
			result, err := book.compare(t.Context(), "shelf", s, 10)
			require.NoError(t, err)
			assert.Equal(t, 7, result.acknowledged)
			assert.Equal(t, 1, result.unanswered)
			assert.Equal(t, c.want == "", result.ok())
			if c.want == "" {
				assert.Empty(t, result.problems)
				return
			}
			assert.Contains(t, fmt.Sprint(result.problems), c.want)
		})
	}
}

func (s *shelf) drop(i int) { s.records = slices.Delete(s.records, i, i+1) }

// sessionWithoutStop makes the session what it is without its Stop.
func sessionWithoutStop(x *aaa.Session, seconds, input, output uint64) {
	x.SessionSeconds, x.InputOctets, x.OutputOctets, x.StoppedAt = seconds, input, output, time.Time{}
}

func TestBenchVerifyCommand(t *testing.T) {
	s := newSite(t, "")
	assert.Contains(t, s.fails(exitFailed, "bench", "verify", "nowhere.csv"), "no such file")
	assert.Contains(t, s.fails(exitFailed, "bench", "verify", s.file("other.csv", "a,b\n1,2\n")), "is not a log of radiusd bench acct")
	assert.Contains(t, s.fails(exitFailed, "bench", "verify", s.file("bad.csv", logLines+"bench-x-0,,zero\n")), "wrong number of fields")
	path := s.file("log.csv", logLines)
	r := s.run("bench", "verify", path, "--limit", "2", "--wait", "0s")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "sqlite: missing: ")
	assert.Contains(t, r.err, "what is stored is not what was acknowledged, in sqlite")
	var rows []map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.run("bench", "verify", path, "--wait", "0s", "-o", "json").out), &rows))
	require.Len(t, rows, 1)
	assert.Equal(t, 7.0, rows[0]["missing"])
	assert.Equal(t, 0.0, rows[0]["stored"])
}
