// Package aaa is the domain of radiusd: who may use the network (users, plans,
// groups, NASes), what they get (policy), and what they used (sessions and
// accounting).
//
// Everything an Access-Request needs is in memory, in a [Directory] that follows
// the store's change feed, so that authentication never waits for a database.
// Accounting-Requests are appended to a journal and answered once they are on
// stable storage; sessions are a function of the set of accounting records, not
// of their order.
//
// Where a file belongs: the types an operator knows (user.go, plan.go, group.go,
// nas.go, item.go), the path of an Access-Request (authenticate, authorize,
// reply), the path of an Accounting-Request (record, session, live sessions), and
// the small interfaces that stores implement (stores.go).
package aaa
