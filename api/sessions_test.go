package api_test

import (
	"encoding/csv"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/api"
	"radiusd/ingest"
	"radiusd/operator"
)

// record is an accounting record of a session of a user on 127.0.0.1.
func record(username, session string, status aaa.AcctStatus, at time.Time, octets uint64) aaa.Record {
	r := aaa.Record{
		Status: status, AcctSessionID: session, Username: username, NASAddr: netip.MustParseAddr("127.0.0.1"), NASIdentifier: "bras",
		FramedIP: netip.MustParseAddr("192.0.2.7"), CallingStationID: "02-00-00-00-00-01", EventTime: at, ReceivedAt: at,
	}
	if status != aaa.AcctStart {
		r.HasSeconds, r.HasOctets, r.SessionSeconds, r.InputOctets, r.OutputOctets = true, true, 60, octets, 10*octets
	}
	if status == aaa.AcctStop {
		r.TerminateCause = "User-Request"
	}
	aaa.NewResolver().Resolve(&r)
	return r
}

// account puts records into the world's store.
func (w *world) account(t *testing.T, records ...aaa.Record) {
	t.Helper()
	sink, err := w.store.NewSink()
	require.NoError(t, err)
	cursor, err := sink.Cursor(t.Context())
	require.NoError(t, err)
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, Start: cursor, End: cursor + 1}))
}

func TestSessionsAndRecords(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		now := time.Now().UTC().Truncate(time.Second)
		w.account(t,
			record("alice", "1", aaa.AcctStart, now.Add(-2*time.Hour), 0), record("alice", "1", aaa.AcctStop, now.Add(-time.Hour), 1000),
			record("alice", "2", aaa.AcctStart, now.Add(-time.Minute), 0), record("alice", "2", aaa.AcctInterim, now, 5_000_000_000),
			record("=cmd|'/c calc'!A1", "3", aaa.AcctStart, now.Add(-time.Minute), 0), record("=cmd|'/c calc'!A1", "3", aaa.AcctInterim, now, 7))
		require.NoError(t, w.store.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(
			aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: now, Username: "alice", Reason: aaa.ReasonExpired, Detail: "since yesterday", Method: aaa.MethodCHAP},
			aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: now, Username: "nobody", Reason: aaa.ReasonUnknownUser, Method: aaa.MethodPAP},
		)))
		reader := w.as(t, "read-only")

		all := into[api.SessionList](reader.get("/sessions?count=true").is(http.StatusOK))
		require.Len(t, all.Items, 3)
		assert.Equal(t, int64(3), all.Total.Count)
		online := into[api.SessionList](reader.get("/sessions?online=true&username=alice").is(http.StatusOK))
		require.Len(t, online.Items, 1)
		session := online.Items[0]
		assert.Equal(t, "2", session.AcctSessionID)
		assert.Equal(t, int64(50_000_000_000), session.OutputOctets)
		assert.Equal(t, session, into[api.Session](reader.get("/sessions/"+session.ID.String()).is(http.StatusOK)))
		past := into[api.SessionList](reader.get("/sessions?online=false").is(http.StatusOK))
		require.Len(t, past.Items, 1)
		assert.Equal(t, "User-Request", past.Items[0].TerminateCause)
		assert.Len(t, into[api.SessionList](reader.get("/sessions?framed_ip=192.0.2.7&nas_ip=127.0.0.1").is(http.StatusOK)).Items, 3)
		assert.Empty(t, into[api.SessionList](reader.get("/sessions?framed_ip=192.0.2.8").is(http.StatusOK)).Items)
		reader.get("/sessions?framed_ip=home").field("framed_ip")
		reader.get("/sessions/"+uuid.NewString()).code(http.StatusNotFound, "not_found")

		made := into[api.RecordList](reader.get("/sessions/" + past.Items[0].ID.String() + "/records").is(http.StatusOK))
		require.Len(t, made.Items, 2)
		assert.Equal(t, "start", made.Items[0].Status)
		assert.True(t, made.Items[0].InputOctets.IsNull(), "not sent is not zero")
		reader.get("/sessions/"+uuid.NewString()+"/records").code(http.StatusNotFound, "not_found")

		stops := into[api.RecordList](reader.get("/accounting-records?status=stop").is(http.StatusOK))
		require.Len(t, stops.Items, 1)
		first := into[api.RecordList](reader.get("/accounting-records?limit=4&sort=event_time").is(http.StatusOK))
		rest := into[api.RecordList](reader.get("/accounting-records?limit=4&sort=event_time&cursor=" + url.QueryEscape(first.NextCursor.MustGet())).is(http.StatusOK))
		assert.Len(t, append(first.Items, rest.Items...), 6)

		refused := into[api.AuthRecordList](reader.get("/auth-records?username=alice&accepted=false").is(http.StatusOK))
		require.Len(t, refused.Items, 1)
		assert.Equal(t, "expired", refused.Items[0].Reason)
		assert.Equal(t, "The user has expired.", refused.Items[0].Explanation)
		assert.Equal(t, "since yesterday", refused.Items[0].Detail)
		reader.get("/auth-records?reason=bad-luck").field("reason")

		t.Run("reports", func(t *testing.T) {
			reader := reader.in(t)
			catalogue := into[api.ReportCatalogue](reader.get("/reports").is(http.StatusOK))
			require.NotEmpty(t, catalogue.Items)
			arguments := map[string]any{"arguments": map[string]string{"by": "user"}}
			usage := into[api.ReportResult](reader.post("/reports/usage/run", arguments).is(http.StatusOK))
			require.Len(t, usage.Rows, 2)
			text := reader.post("/reports/usage/run?format=csv", arguments).is(http.StatusOK)
			rows, err := csv.NewReader(strings.NewReader(string(text.body))).ReadAll()
			require.NoError(t, err)
			require.Len(t, rows, 3)
			assert.Contains(t, string(text.body), `'=cmd|`, "no formula for a spreadsheet")
			reader.post("/reports/usage/run", map[string]any{"arguments": map[string]string{"from": "whenever"}}).field("arguments.from")
			reader.post("/reports/usage/run", map[string]any{"arguments": map[string]string{"nonsense": "1"}}).field("arguments.nonsense")
			reader.post("/reports/nonsense/run", map[string]any{}).code(http.StatusNotFound, "not_found")
		})
		t.Run("status", func(t *testing.T) {
			status := into[api.Status](reader.in(t).get("/status").is(http.StatusOK))
			assert.Equal(t, w.store.Engine(), string(status.Engine))
			assert.Equal(t, int64(2), status.Online)
			require.Len(t, status.Nodes, 1)
			assert.WithinDuration(t, now, status.Nodes[0].LastSeenAt, time.Minute)
		})
		t.Run("who may", func(t *testing.T) {
			w.token(t, operator.UsersRead).get("/sessions").code(http.StatusForbidden, "forbidden")
			w.token(t, operator.SessionsRead).get("/sessions/"+session.ID.String()+"/records").code(http.StatusForbidden, "forbidden")
		})
	})
}

func TestDictionaryLookUp(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		c := w.token(t, operator.DictionaryRead)
		found := into[api.AttributeList](c.get("/dictionary/attributes?q=rate-limit&vendor=mikrotik").is(http.StatusOK))
		require.NotEmpty(t, found.Items)
		assert.Equal(t, "Mikrotik", found.Items[0].Vendor)
		a := into[api.Attribute](c.get("/dictionary/attributes/Service-Type").is(http.StatusOK))
		assert.Equal(t, "6", a.Oid)
		assert.Contains(t, a.Values, api.AttributeValue{Name: "Framed-User", Number: 2})
		c.get("/dictionary/attributes/No-Such").code(http.StatusNotFound, "not_found")
		assert.Contains(t, into[api.VendorList](c.get("/dictionary/vendors").is(http.StatusOK)).Items, "mikrotik")

		var names []string
		for path := "/dictionary/attributes?vendor=standard&limit=100"; path != ""; {
			page := into[api.AttributeList](c.get(path).is(http.StatusOK))
			for _, a := range page.Items {
				names = append(names, a.Name)
			}
			path = ""
			if next, err := page.NextCursor.Get(); err == nil {
				path = "/dictionary/attributes?vendor=standard&limit=100&cursor=" + url.QueryEscape(next)
			}
		}
		assert.IsIncreasing(t, names)
		assert.Contains(t, names, "User-Name")
		c.get("/dictionary/attributes?q=x&cursor=AAAA").code(http.StatusBadRequest, "bad_cursor")
	})
}
