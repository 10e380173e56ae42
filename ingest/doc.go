// Package ingest carries accounting from the journal to where it is used: the
// live sessions in memory and the sinks (SQL, ClickHouse), each at its own pace.
//
// One goroutine applies committed records to the live sessions as fast as they
// come, and so resolves which session each belongs to. One goroutine for each sink
// reads from the sink's own cursor, but never ahead of the live sessions, and
// writes batches. A sink that is down falls behind without slowing the others or
// the replies; the journal keeps what it has not taken. What cannot be decoded, or
// what a sink cannot take although it is well, goes into the quarantine file, so
// that it neither stops the flow nor is lost.
package ingest
