package journal

import (
	"errors"
	"fmt"
)

// Errors that Append, Reader and Committed give; test for them with errors.Is.
var (
	// ErrFull: there is no room for the record, because of Options.MaxBytes or
	// because the device is full. The journal accepts records again by itself
	// when segments were deleted or the device has room.
	ErrFull = errors.New("journal: full")
	// ErrBusy: the device is slower than the records come and the group that
	// waits for it has reached Options.GroupBytes.
	ErrBusy = errors.New("journal: busy, the device is too slow")
	// ErrFailed: the last write or sync failed. The error wraps the cause. The
	// journal goes on probing and accepts records again by itself.
	ErrFailed = errors.New("journal: device failed")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("journal: closed")
	// ErrRecordSize: the record is empty or longer than Options.MaxRecord.
	ErrRecordSize = errors.New("journal: record is empty or too long")
	// ErrLocked: another process has the journal open.
	ErrLocked = errors.New("already in use by another process")
)

// CorruptError is damage that a crash does not explain: octets that were
// durable before and do not verify now. Nothing is skipped on its account until
// an operator calls SkipDamage.
type CorruptError struct {
	Segment  string   // file name in the journal's directory
	Offset   int64    // octets from the beginning of the file
	Position Position // of the first record that cannot be read
	Reason   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal: segment %s is damaged at offset %d (position %d): %s",
		e.Segment, e.Offset, uint64(e.Position), e.Reason)
}

// PositionError says that the journal does not hold the position a reader asked
// for: it lies before Oldest (deleted) or behind End (the journal lost its
// directory, or the position belongs to another journal).
type PositionError struct {
	Position, Oldest, End Position
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("journal: position %d is not in the journal, which holds %d to %d",
		uint64(e.Position), uint64(e.Oldest), uint64(e.End))
}

// failure is what Append and Committed give while the device is failing. A full
// device is ErrFull, everything else ErrFailed.
type failure struct {
	kind  error // ErrFull or ErrFailed
	cause error
}

func newFailure(cause error) *failure {
	if isNoSpace(cause) {
		return &failure{kind: ErrFull, cause: cause}
	}
	return &failure{kind: ErrFailed, cause: cause}
}

func (f *failure) Error() string   { return f.kind.Error() + ": " + f.cause.Error() }
func (f *failure) Unwrap() []error { return []error{f.kind, f.cause} }
