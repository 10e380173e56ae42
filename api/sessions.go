package api

import (
	"context"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// SessionStore knows who is and was online.
type SessionStore interface {
	ListSessionsPage(ctx context.Context, filter aaa.SessionFilter, page aaa.Page) (sessions []aaa.Session, next string, err error)
	CountSessions(ctx context.Context, filter aaa.SessionFilter) (aaa.Count, error)
	SessionByID(ctx context.Context, id uuid.UUID) (*aaa.Session, error)
	// SessionRecords returns the first limit records of a session by event time.
	SessionRecords(ctx context.Context, id uuid.UUID, limit int) ([]aaa.Record, error)
}

// sessions is the resource /sessions.
type sessions struct{ store SessionStore }

func (h *sessions) ListSessions(ctx context.Context, r ListSessionsRequestObject) (ListSessionsResponseObject, error) {
	p := r.Params
	filter := aaa.SessionFilter{
		Online: p.Online, Username: p.Username, NASID: p.NasID, CallingStationID: p.CallingStationID, Plan: p.Plan,
		StartedFrom: p.StartedFrom, StartedBefore: p.StartedBefore,
	}
	var err error
	if filter.NASAddr, err = addressParameter("nas_ip", p.NasIP); err != nil {
		return nil, err
	}
	if filter.Address, err = addressParameter("framed_ip", p.FramedIP); err != nil {
		return nil, err
	}
	found, next, err := h.store.ListSessionsPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := SessionList{Items: make([]Session, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = sessionOf(&found[i])
	}
	if p.Count {
		if list.Total, err = total(h.store.CountSessions(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListSessions200JSONResponse(list), nil
}

func (h *sessions) GetSession(ctx context.Context, r GetSessionRequestObject) (GetSessionResponseObject, error) {
	session, err := h.store.SessionByID(ctx, r.SessionID)
	if err != nil {
		return nil, err
	}
	return GetSession200JSONResponse(sessionOf(session)), nil
}

// maxSessionRecords is how many records of one session are shown: a month of one a
// minute has more, and nobody reads them.
const maxSessionRecords = 10_000

func (h *sessions) ListSessionRecords(ctx context.Context, r ListSessionRecordsRequestObject) (ListSessionRecordsResponseObject, error) {
	if _, err := h.store.SessionByID(ctx, r.SessionID); err != nil {
		return nil, err
	}
	found, err := h.store.SessionRecords(ctx, r.SessionID, maxSessionRecords)
	if err != nil {
		return nil, err
	}
	return ListSessionRecords200JSONResponse(recordList(found, "")), nil
}

// sessionOf is a session as the API shows it.
func sessionOf(s *aaa.Session) Session {
	return Session{
		ID: s.ID, AcctSessionID: s.AcctSessionID, AcctMultiSessionID: s.AcctMultiSessionID,
		Username: s.Username, Online: s.Open(), Plan: s.Plan,
		NasID: idOrNull(s.NASID), NasIP: textOrNull(s.NASAddr), NasIdentifier: s.NASIdentifier,
		NasPort: int64(s.NASPort), NasPortID: s.NASPortID,
		FramedIP: textOrNull(s.FramedIP), FramedIpv6: textOrNull(s.FramedIPv6),
		FramedIpv6Prefix: textOrNull(s.FramedIPv6Prefix), DelegatedPrefix: textOrNull(s.DelegatedPrefix),
		CallingStationID: s.CallingStationID, CalledStationID: s.CalledStationID,
		StartedAt: s.StartedAt, StartInferred: s.StartInferred, UpdatedAt: s.UpdatedAt,
		StoppedAt: timeOrNull(s.StoppedAt), StopInferred: s.StopInferred,
		SessionSeconds: count(s.SessionSeconds), InputOctets: count(s.InputOctets), OutputOctets: count(s.OutputOctets),
		InputPackets: count(s.InputPackets), OutputPackets: count(s.OutputPackets),
		TerminateCause: s.TerminateCause, CounterWrapped: s.CounterWrapped,
	}
}
