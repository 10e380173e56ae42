package api

import (
	"context"
	"io"
	"net/http"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// PrivacyStore exports and erases a person's data.
type PrivacyStore interface {
	UserRowByID(ctx context.Context, id uuid.UUID) (*aaa.UserRow, error)
	// ExportPerson writes one JSON document. It fails with aaa.ErrNotFound before it has
	// written anything.
	ExportPerson(ctx context.Context, userID uuid.UUID, w io.Writer) error
	// StartErasure deletes the user; the rest is done later.
	StartErasure(ctx context.Context, userID uuid.UUID, options aaa.EraseOptions) (aaa.Erasure, error)
	ErasureByID(ctx context.Context, id uuid.UUID) (aaa.Erasure, error)
	ListErasuresPage(ctx context.Context, filter aaa.ErasureFilter, page aaa.Page) (list []aaa.Erasure, next string, err error)
}

// privacy gives and erases personal data.
type privacy struct{ store PrivacyStore }

func (h *privacy) ExportPersonalData(ctx context.Context, r ExportPersonalDataRequestObject) (ExportPersonalDataResponseObject, error) {
	return personalData(func(w io.Writer) error { return h.store.ExportPerson(ctx, r.UserID, w) }), nil
}

// personalData is an answer that is written while it is read.
type personalData func(w io.Writer) error

// VisitExportPersonalDataResponse implements ExportPersonalDataResponseObject. What fails
// after the first octet breaks the connection off, so that nobody takes a part for the
// whole.
func (p personalData) VisitExportPersonalDataResponse(w http.ResponseWriter) error {
	body := &lateHeader{w: w}
	err := p(body)
	if err != nil && body.sent {
		panic(http.ErrAbortHandler)
	}
	return err
}

// lateHeader sends the header with the first octet of the body.
type lateHeader struct {
	w    http.ResponseWriter
	sent bool
}

func (l *lateHeader) Write(b []byte) (int, error) {
	if !l.sent {
		l.sent = true
		l.w.Header().Set("Content-Type", "application/json")
		l.w.Header().Set("Content-Disposition", `attachment; filename="personal-data.json"`)
		l.w.WriteHeader(http.StatusOK)
	}
	return l.w.Write(b)
}

func (h *privacy) ErasePersonalData(ctx context.Context, r ErasePersonalDataRequestObject) (ErasePersonalDataResponseObject, error) {
	user, err := h.store.UserRowByID(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	if user.Name != r.Body.Username {
		return nil, invalidField("username", "this is not the name of the user who would be erased")
	}
	erasure, err := h.store.StartErasure(ctx, r.UserID, aaa.EraseOptions{KeepUser: r.Body.KeepUser, CloseOptions: aaa.CloseOptions{WithoutUsageAtHours: r.Body.WithoutUsageAtHours}})
	if err != nil {
		return nil, err
	}
	return ErasePersonalData202JSONResponse(erasureOf(&erasure)), nil
}

func (h *privacy) GetErasure(ctx context.Context, r GetErasureRequestObject) (GetErasureResponseObject, error) {
	erasure, err := h.store.ErasureByID(ctx, r.ErasureID)
	if err != nil {
		return nil, err
	}
	return GetErasure200JSONResponse(erasureOf(&erasure)), nil
}

func (h *privacy) ListErasures(ctx context.Context, r ListErasuresRequestObject) (ListErasuresResponseObject, error) {
	p := r.Params
	found, next, err := h.store.ListErasuresPage(ctx, aaa.ErasureFilter{UserID: p.UserID, State: aaa.ErasureState(p.State)}, page(p.Cursor, p.Limit, ""))
	if err != nil {
		return nil, err
	}
	list := ErasureList{Items: make([]Erasure, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = erasureOf(&found[i])
	}
	return ListErasures200JSONResponse(list), nil
}

// erasureOf is an erasure as the API shows it.
func erasureOf(e *aaa.Erasure) Erasure {
	return Erasure{
		ID: e.ID, UserID: e.UserID, Pseudonym: e.Pseudonym, KeepUser: e.KeepUser, State: ErasureState(e.State), Rows: e.Rows, Detail: e.Detail,
		CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(), FinishedAt: timeOrNull(e.FinishedAt),
	}
}
