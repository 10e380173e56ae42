package cli

import (
	"encoding/json"
	"net/http"
	"time"

	"radiusd/aaa"
)

// decisionsPath is where the metrics listener streams decisions: what
// `radiusd debug` reads. The parameters user and nas narrow it.
const decisionsPath = "/debug/decisions"

// decisionEvent is one line of the stream.
type decisionEvent struct {
	Time         time.Time `json:"time"`
	Username     string    `json:"username"` // as sent
	User         string    `json:"user"`     // in the directory; empty: unknown
	Plan         string    `json:"plan,omitempty"`
	NAS          string    `json:"nas"`
	Source       string    `json:"source"`
	Result       string    `json:"result"` // accept or reject
	Reason       string    `json:"reason"`
	Method       string    `json:"method"`
	Detail       string    `json:"detail,omitempty"`
	Rules        []string  `json:"rules,omitempty"`
	Request      []string  `json:"request"`
	Reply        []string  `json:"reply"`
	Microseconds int64     `json:"microseconds"`     // from receipt to decision
	Missed       int       `json:"missed,omitempty"` // events before this one that the reader was too slow for
}

func newDecisionEvent(e *aaa.Event) decisionEvent {
	result := "reject"
	if e.Decision.Accepted() {
		result = "accept"
	}
	return decisionEvent{
		Time: e.At.UTC(), Username: e.Username, User: e.User, Plan: e.Plan, NAS: e.NAS, Source: e.Source.String(),
		Result: result, Reason: e.Decision.Reason.String(), Method: e.Decision.Method.String(), Detail: e.Decision.Detail,
		Rules: e.Rules, Request: e.Request, Reply: e.Reply, Microseconds: e.Took.Microseconds(), Missed: e.Missed,
	}
}

// streamDecisions writes decisions as JSON lines until the client hangs up or the
// server ends.
func streamDecisions(w http.ResponseWriter, r *http.Request, access *aaa.Access) {
	query := r.URL.Query()
	events, cancel := access.Watch(aaa.WatchFilter{User: query.Get("user"), NAS: query.Get("nas")})
	defer cancel()
	w.Header().Set("Content-Type", "application/x-ndjson")
	stream := http.NewResponseController(w)
	if stream.Flush() != nil { // the client sees the header, and knows that it watches
		return
	}
	lines := json.NewEncoder(w)
	for {
		select {
		case e, open := <-events:
			if !open {
				return
			}
			if lines.Encode(newDecisionEvent(&e)) != nil || stream.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
