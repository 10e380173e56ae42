package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"radiusd/aaa"
)

// RecordStore keeps what NASes have sent, and what was decided.
type RecordStore interface {
	ListRecordsPage(ctx context.Context, filter aaa.RecordFilter, page aaa.Page) (records []aaa.Record, next string, err error)
	ListAuthPage(ctx context.Context, filter aaa.AuthFilter, page aaa.Page) (records []aaa.AuthRecord, next string, err error)
}

// records is the resources /accounting-records and /auth-records.
type records struct{ store RecordStore }

func (h *records) ListAccountingRecords(ctx context.Context, r ListAccountingRecordsRequestObject) (ListAccountingRecordsResponseObject, error) {
	p := r.Params
	filter := aaa.RecordFilter{SessionID: p.SessionID, Username: p.Username, From: p.From, Before: p.Before}
	var err error
	if filter.NASAddr, err = addressParameter("nas_ip", p.NasIP); err != nil {
		return nil, err
	}
	if p.Status != "" {
		status, err := aaa.ParseAcctStatus(string(p.Status))
		if err != nil {
			return nil, invalidField("status", "%v", err)
		}
		filter.Status = &status
	}
	found, next, err := h.store.ListRecordsPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	return ListAccountingRecords200JSONResponse(recordList(found, next)), nil
}

func (h *records) ListAuthRecords(ctx context.Context, r ListAuthRecordsRequestObject) (ListAuthRecordsResponseObject, error) {
	p := r.Params
	filter := aaa.AuthFilter{Username: p.Username, Accepted: p.Accepted, CallingStationID: p.CallingStationID, From: p.From, Before: p.Before}
	var err error
	if filter.NASAddr, err = addressParameter("nas_ip", p.NasIP); err != nil {
		return nil, err
	}
	if p.Reason != "" {
		reason, err := aaa.ParseReason(p.Reason)
		if err != nil {
			return nil, invalidField("reason", "%v", err)
		}
		filter.Reason = &reason
	}
	found, next, err := h.store.ListAuthPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := AuthRecordList{Items: make([]AuthRecord, len(found)), NextCursor: nextCursor(next)}
	for i, a := range found {
		list.Items[i] = AuthRecord{
			ID: a.ID, At: a.At, Username: a.Username, Accepted: a.Accepted,
			Reason: a.Reason.String(), Explanation: a.Reason.Sentence(), Detail: a.Detail, Method: a.Method.String(),
			NasID: idOrNull(a.NASID), NasIP: textOrNull(a.NASAddr), NasPortID: a.NASPortID,
			CallingStationID: a.CallingStationID, CalledStationID: a.CalledStationID,
		}
	}
	return ListAuthRecords200JSONResponse(list), nil
}

// recordList is a page of accounting records as the API shows it.
func recordList(found []aaa.Record, next string) RecordList {
	list := RecordList{Items: make([]AccountingRecord, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = recordOf(&found[i])
	}
	return list
}

func recordOf(r *aaa.Record) AccountingRecord {
	counter := func(sent bool, n uint64) nullable.Nullable[int64] { return orNull(count(n), sent) }
	return AccountingRecord{
		RecordID: r.ID, SessionID: orNull(r.SessionID, r.SessionID != uuid.Nil), AcctSessionID: r.AcctSessionID,
		Status: r.Status.String(), Username: r.Username, Plan: r.Plan,
		NasIP: textOrNull(r.NASAddr), NasIdentifier: r.NASIdentifier, NasPortID: r.NASPortID,
		FramedIP: textOrNull(r.FramedIP), CallingStationID: r.CallingStationID, CalledStationID: r.CalledStationID,
		EventTime: r.EventTime, ReceivedAt: r.ReceivedAt,
		SessionSeconds: counter(r.HasSeconds, r.SessionSeconds),
		InputOctets:    counter(r.HasOctets, r.InputOctets), OutputOctets: counter(r.HasOctets, r.OutputOctets),
		TerminateCause: r.TerminateCause,
	}
}
