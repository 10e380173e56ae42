// Package redis is the view of sessions that several nodes share: who is online,
// which places of a user's simultaneous sessions are taken, and what users have
// used. It implements [aaa.Limits] with one round trip to Redis for each request
// that has to ask.
//
// # What is told
//
// A node tells of states, not of records: [Store] collects which of its sessions
// have changed and tells of each as the node knows it. A script merges that into what
// other nodes have told, as Session.Merge and Session.Settle would: counters and times
// by maximum, a Stop over everything, an inferred end while no record is later. So it
// does not matter in which order nodes tell, or how often. A session that fell silent
// has a deadline in Redis; nobody needs to tell that it lapsed. One that ended is
// remembered for a while, and announced in a stream, so that a node on which it began
// closes it, too: its own view must be right if it has to go on alone.
//
// When Redis does not answer, the local view decides, by the same limits, on the
// listener and without waiting. When it answers again, when a marker in one of its
// parts is missing or another, or when a server is another process than before, it may
// have lost something: every node tells of all its sessions anew, and of the places it
// gave meanwhile. Until that is done a node asks its own view as well.
//
// # Usage, and why nothing is counted twice
//
// What a user has used is a sum over sessions, most of which nobody remembers but the
// database. A user's usage is therefore read from there when it is first asked for, and
// from then on each session that is told of adds what its counters say beyond those
// that were counted. The invariant is
//
//	usage = sum over all sessions of the counters that were counted
//
// and what was counted of a session is what Redis holds of it. To read the usage from
// the database keeps it: the account and the counters of the user's recent sessions are
// of one snapshot, so what the account contains of each session is known. The script
// that takes it in adds, for each session that is known in Redis, what its counters say
// beyond those in the snapshot, or all of them if the database has not heard of the
// session yet; and notes the counters of the sessions that Redis does not know, so that
// they are not counted again when a node tells of them. All of that is one script, and
// so is telling of a session: no state between the two can be seen.
//
// This leaves sessions that neither knows: those that ended before the snapshot's
// recent ones, or were forgotten in Redis, and of which a late record comes. What began
// before Redis began to remember may be such a session. It adds nothing, and the account
// is read from the database again, which knows. So usage may be behind for a moment, and
// is never ahead.
//
// Until the account was read, and while the database is away, quotas go by the local
// view. Users without a quota are never asked for, and cost Redis nothing for usage.
package redis
