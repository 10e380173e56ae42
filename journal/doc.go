// Package journal is a write-ahead journal on disk: records in, positions out.
package journal
