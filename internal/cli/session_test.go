package cli

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
)

// TestFindSessions has sessions of a NAS entry that is many hosts, with
// Acct-Session-Ids that look like a UUID without its dashes.
func TestFindSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.ok("nas", "add", "127.1.0.0/16", "--name", "site", "--secret", "0123456789abcdef")
	opened := s.open()
	list, err := opened.NASes(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	sink, err := opened.NewSink()
	require.NoError(t, err)

	const acctSessionID = "0123456789ABCDEF0123456789ABCDEF"
	now := time.Now().UTC().Truncate(time.Second)
	on := record(acctSessionID, aaa.AcctStart, now.Add(-time.Minute), 0, 0)
	on.NASAddr, on.NASID = netip.MustParseAddr("127.1.2.3"), list[0].ID
	aaa.NewResolver().Resolve(&on)
	elsewhere := record("2", aaa.AcctStart, now, 0, 0)
	behindNAT := record("3", aaa.AcctStart, now, 0, 0)
	behindNAT.NASAddr, behindNAT.NASID = netip.MustParseAddr("127.2.0.1"), list[0].ID
	aaa.NewResolver().Resolve(&behindNAT)
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{End: 8, Records: []aaa.Record{on, elsewhere, behindNAT}}))

	for nas, want := range map[string][]string{
		"site": {"3", acctSessionID}, "127.1.0.0/16": {"3", acctSessionID}, "127.1.2.3": {acctSessionID}, "127.2.0.1": {"3"},
	} {
		var ids []string
		for _, row := range s.rows("session", "list", "--nas", nas) {
			ids = append(ids, row["acct_session_id"].(string))
		}
		assert.Equal(t, want, ids, nas)
	}
	assert.Empty(t, s.rows("session", "list", "--nas", "127.1.0.0"), "an address, and no session has it")
	assert.Contains(t, s.fails(exitFailed, "session", "list", "--nas", "nowhere"), `NAS "nowhere": not found`)

	assert.Equal(t, on.SessionID.String(), s.object("session", "show", acctSessionID)["id"])
	assert.Contains(t, s.fails(exitFailed, "session", "show", strings.ToLower(acctSessionID)), "not found")

	// What a NAS says of itself does not choose who gets a request under its secret.
	r := s.run("session", "disconnect", "3", "--timeout", "100ms")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.out, "came with the NAS-IP-Address 127.2.0.1, which is not in 127.1.0.0/16")
}

// TestSessionRecords: what is left out of a long session is its beginning, and it
// is said.
func TestSessionRecords(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	sink, err := s.open().NewSink()
	require.NoError(t, err)
	at := time.Now().UTC().Truncate(time.Hour).Add(-48 * time.Hour)
	var records []aaa.Record
	for i := range 1500 {
		records = append(records, record("1", aaa.AcctInterim, at.Add(time.Duration(i)*time.Minute), uint64(60*i), uint64(i)))
	}
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{End: 8, Records: records}))

	for limit, want := range map[string]int{"1000": 1000, "3": 3, "0": 1500, "1500": 1500} {
		r := s.run("session", "show", "1", "--limit", limit, "-o", "json")
		require.Zero(t, r.code, r.err)
		var shown struct {
			Records []struct {
				InputOctets int `json:"input_octets"`
			} `json:"records"`
		}
		require.NoError(t, json.Unmarshal([]byte(r.out), &shown))
		require.Len(t, shown.Records, want)
		assert.Equal(t, 1499, shown.Records[want-1].InputOctets, "the latest")
		assert.Equal(t, 1500-want, shown.Records[0].InputOctets, "in order")
		assert.Equal(t, want < 1500, strings.Contains(r.err, "earlier records are not shown"), limit)
	}
	assert.Contains(t, s.fails(exitUsage, "session", "show", "1", "--limit", "-1"), "--limit must not be negative")
}
