package aaa

import "time"

// StoreStatus is what a store tells of itself.
type StoreStatus struct {
	Engine        string // "sqlite" or "postgres"
	SchemaVersion int64
	Online        int // open sessions
	Users         int
	Plans         int
	NASes         int
	Nodes         []NodeStatus // by id
}

// NodeStatus is a server whose accounting the store takes.
type NodeStatus struct {
	ID         string
	LastSeenAt time.Time // when its accounting last reached the store
}
