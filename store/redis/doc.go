// Package redis is the view of sessions that several nodes share: who is online,
// which places of a user's simultaneous sessions are taken, and what users have
// used. It implements [aaa.Limits] with one round trip to Redis for each request
// that has to ask.
package redis
