package api

import (
	"context"
	"time"

	"radiusd/aaa"
)

// StatusStore tells of itself.
type StatusStore interface {
	Status(ctx context.Context) (aaa.StoreStatus, error)
}

// status is the resource /status.
type status struct {
	store   StatusStore
	version string
	now     func() time.Time
}

func (h *status) GetStatus(ctx context.Context, _ GetStatusRequestObject) (GetStatusResponseObject, error) {
	s, err := h.store.Status(ctx)
	if err != nil {
		return nil, err
	}
	body := Status{
		Version: h.version, Engine: StatusEngine(s.Engine), SchemaVersion: s.SchemaVersion, Time: h.now().UTC(),
		Online: int64(s.Online), Users: int64(s.Users), Plans: int64(s.Plans), Nas: int64(s.NASes), Nodes: []StatusNode{},
	}
	for _, node := range s.Nodes {
		body.Nodes = append(body.Nodes, StatusNode{ID: node.ID, LastSeenAt: node.LastSeenAt})
	}
	return GetStatus200JSONResponse(body), nil
}
