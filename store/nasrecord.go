package store

import (
	"context"
	"fmt"
	"unicode/utf8"

	"radiusd/aaa"
)

// ofNASes selects the rows of NASes whose NAS-Identifier begins with a text.
const ofNASes = "WHERE substr(nas_identifier, 1, %d) = $1"

// EachRecordOf calls fn for every accounting record of the NASes whose
// NAS-Identifier begins with prefix, in no order. The record belongs to fn only
// during the call.
func (s *Store) EachRecordOf(ctx context.Context, prefix string, fn func(*aaa.Record) error) error {
	var r aaa.Record
	fields := recordFields(&r)
	where := fmt.Sprintf(ofNASes, utf8.RuneCountInString(prefix))
	err := eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM accounting_records "+where, []any{prefix}, targets(fields),
		func() error { return fn(&r) })
	if err != nil {
		return fmt.Errorf("read accounting records: %w", s.explain(err))
	}
	return nil
}

// CountRecordsOf returns how many records EachRecordOf would give.
func (s *Store) CountRecordsOf(ctx context.Context, prefix string) (n int, err error) {
	where := fmt.Sprintf(ofNASes, utf8.RuneCountInString(prefix))
	if err := s.reader.QueryRowContext(ctx, "SELECT count(*) FROM accounting_records "+where, prefix).Scan(&n); err != nil {
		return 0, fmt.Errorf("count accounting records: %w", s.explain(err))
	}
	return n, nil
}

// EachSessionOf calls fn for every session on the NASes whose NAS-Identifier begins
// with prefix, in no order. The session belongs to fn only during the call.
func (s *Store) EachSessionOf(ctx context.Context, prefix string, fn func(*aaa.Session) error) error {
	if err := eachSession(ctx, s.reader, fmt.Sprintf(ofNASes, utf8.RuneCountInString(prefix)), []any{prefix}, fn); err != nil {
		return fmt.Errorf("read sessions: %w", s.explain(err))
	}
	return nil
}
