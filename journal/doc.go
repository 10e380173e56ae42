// Package journal is a write-ahead journal on disk: opaque records in, positions
// out, group commit between. An Accounting-Response leaves only after Committed
// was called for its record, so what this package promises is what accounting
// promises: an acknowledged record is never lost.
//
// # On disk
//
// The folder holds segment files, named by the position at which they begin, and
// a lock. A position is a logical octet offset over all segments; a segment ends
// where the next one begins, whatever else its file holds.
//
//	lock, skip.lock                     held while the journal is open, and by SkipDamage
//	0000000000000000.journal            [      0, 3ffff58)
//	0000000003ffff58.journal            [3ffff58, 7fffe10)
//	0000000007fffe10.journal            [7fffe10, …         the active one
//	0000000003ffff58.journal.damaged    a quarantined copy, never read
//	spare.journal.tmp                   the next segment, prepared or being prepared
//	*.journal.tmp                       a segment being made, removed by Open
//	cursors                             a note of the cursors for Inspect, never read by Open
//
// A segment is a header of 32 octets and frames, one for a record, each a
// multiple of 8 octets long. Numbers are little-endian, checksums are CRC-32C.
//
//	 0        8         12        16        24     28        32
//	+--------+---------+---------+---------+------+---------+-------+-------+--
//	|RADIUSDJ|version 1|    0    |  base   |  0   | checksum| frame | frame | …
//	+--------+---------+---------+---------+------+---------+-------+-------+--
//
//	 0                  4          8            12           16
//	+------------------+----------+------------+------------+---------+---------+
//	| kind:2 length:30 |   back   | payload's  | header's   | payload | 0…7     |
//	|                  |          | checksum   | checksum   |         | zeros   |
//	+------------------+----------+------------+------------+---------+---------+
//
// The header's checksum covers the three fields before it and the frame's
// position, so that stale octets in a wrong place do not verify. back is the
// distance to the beginning of the group: everything before that was durable
// when the frame was written. A kind is 0 record, 1 filler (passed over: a
// damage that SkipDamage took out) or 2 seal (Close was here; not part of the
// positions). A record is never empty, so zeros are no frame.
//
// # Prepared segments
//
// A group that makes its file longer costs the file system a transaction with its
// sync; one that goes over zeros on the device does not. So while a journal is under
// load another goroutine writes the next segment ahead, full of zeros: the spare. When
// it is ready, and the active segment is full or was not prepared itself, the spare
// gets its header and then its name. Where there is no spare, because there is no
// room, the device was too slow or failed, segments grow as they are written.
//
// The file of the last segment may therefore be longer than what it holds. Zeros up
// to its end are room for what is to come. They are cut when the segment is left or
// closed, and by Open.
//
// # Why nothing acknowledged is lost
//
// One committer goroutine writes a group behind the last one and calls
// fdatasync; only then do readers and appenders hear of it. A segment gets its
// name only when its header is durable, and takes records only when its name is;
// Open syncs the folder first, because the name of a segment that a killed process
// made may be in memory only.
//
// After a crash the group that was in flight may be on the device in any part.
// Open keeps the records up to the first that does not verify. If a frame
// follows whose group began behind that place, that place was durable once, and
// it is damage: a *CorruptError, and nothing is cut. Otherwise it is the torn
// tail of a group that nobody was told of, and is cut; if nothing but zeros follows,
// nothing was being written. What is kept of the last group may be in the page cache
// only, so Open writes it again and syncs before anybody reads it: what a reader has
// seen does not go away. After a Close there is no such doubt, because the seal
// follows the last record. One doubt is left: damage to the very last group after a
// crash looks like a torn tail, and Open logs how much it cuts. It says nothing of
// zeros only if the file has the size of a segment that was written ahead.
//
// When a write or a sync fails, nothing of that group, nor of the one that
// filled meanwhile, is acknowledged. A failed sync is not repeated, because Linux
// marks the pages clean: the segment is left for good, and the next one begins
// at the end of what is committed, which ends the failed one there. Until the
// device has taken such a new segment, Append refuses. So the positions of a
// failed group are used again, but nobody was given them.
package journal
