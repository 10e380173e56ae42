package api

import (
	"context"

	"github.com/google/uuid"
)

func (h *users) ApplyUser(ctx context.Context, r ApplyUserRequestObject) (ApplyUserResponseObject, error) {
	batch, err := h.actions.applyPlan(ctx, r.UserID, uuid.Nil)
	if err != nil {
		return nil, err
	}
	return ApplyUser202JSONResponse{Body: actionBatchOf(batch), Headers: ApplyUser202ResponseHeaders{Location: location("action-batches", batch.ID)}}, nil
}
