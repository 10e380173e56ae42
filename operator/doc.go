// Package operator is who runs the network and what they did: who acts in a
// request (Actor), the log of what they changed (AuditEntry), the events that
// other systems hear of (Event, Outbox, Webhook), and repeated requests
// (IdempotencyKey).
//
// It declares small interfaces for what it needs of a database; package store
// implements them.
package operator
