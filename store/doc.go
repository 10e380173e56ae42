// Package store keeps what radiusd must not forget in SQL: users, plans, groups
// and NASes with the feed of their changes, sessions and accounting records,
// decisions, and usage.
//
// One set of queries serves two engines through database/sql: SQLite, embedded,
// and Postgres. They differ in their migrations, in how many rows at once are
// written (bulk.go), and in how the change feed finds what was committed late
// (change.go). docs/decisions/0003-sql.md says why things are as they are,
// docs/schema.md describes the tables to those who query them.
//
// Secrets are sealed at rest under a master key, see package seal.
package store
