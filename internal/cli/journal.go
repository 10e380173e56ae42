package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"radiusd/journal"
)

func (a *app) journalCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "journal",
		Short: "Look into the accounting journal",
		Long: `The journal holds accounting records that were acknowledged, until every store has
them. info and verify only read, and work while the server runs.`,
		Example: `  radiusd journal info
  radiusd journal verify
  radiusd journal skip 0000000003ffff58.journal`,
	}
	c.AddCommand(a.journalInfoCommand(), a.journalVerifyCommand(), a.journalSkipCommand())
	return c
}

// adviseDamage tells an operator what to do about a journal that is damaged.
func adviseDamage(err error) error {
	var damage *journal.CorruptError
	if !errors.As(err, &damage) {
		return err
	}
	return fmt.Errorf("%w; `radiusd journal verify` lists all damage, and `radiusd journal skip %s` gives it up", err, damage.Segment)
}

// journalPath is the folder of the configured journal, and its limit in octets.
func (a *app) journalPath() (string, int64, error) {
	c, err := a.loadConfig()
	if err != nil {
		return "", 0, err
	}
	return filepath.Join(c.DataDir, journalDir), int64(c.Journal.MaxBytes), nil
}

// errNoJournal is for a journal without a segment.
func errNoJournal(dir string) error {
	return fmt.Errorf("there is no journal in %s: is data_dir right, and has the server run?", dir)
}

func (a *app) journalInfoCommand() *cobra.Command {
	segments, cursors := false, false
	c := &cobra.Command{
		Use:   "info",
		Short: "Show size, positions and state of the journal",
		Long: `Shows how much of its limit the journal takes, which records it holds and which
store it holds them for: held_by is the one that has taken least. The stores'
positions are those of a second ago while the server runs.`,
		Example: `  radiusd journal info
  radiusd journal info --cursors
  radiusd journal info --segments -o csv`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			dir, limit, err := a.journalPath()
			if err != nil {
				return err
			}
			info, err := journal.Inspect(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if len(info.Segments) == 0 {
				return errNoJournal(dir)
			}
			switch {
			case segments:
				return writeList(a, segmentColumns, sliceRows(info.Segments))
			case cursors:
				return writeList(a, cursorColumns(&info), sliceRows(slices.Sorted(maps.Keys(info.Cursors))))
			}
			if err := writeOne(a, journalColumns(dir, limit), &info); err != nil {
				return err
			}
			if info.Damage != nil {
				return adviseDamage(fmt.Errorf("the journal is damaged: %w", info.Damage))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&segments, "segments", false, "list the segments")
	c.Flags().BoolVar(&cursors, "cursors", false, "list how far each store has come")
	c.MarkFlagsMutuallyExclusive("segments", "cursors")
	a.outputFlag(c)
	return c
}

func journalColumns(dir string, limit int64) []column[journal.Info] {
	return []column[journal.Info]{
		{name: "path", value: func(*journal.Info) any { return dir }},
		{name: "segments", value: func(i *journal.Info) any { return len(i.Segments) }},
		{name: "bytes", value: func(i *journal.Info) any { return i.Bytes }},
		{name: "limit_bytes", value: func(*journal.Info) any { return limit }},
		{name: "used_percent", value: func(i *journal.Info) any { return i.Bytes * 100 / max(limit, 1) }},
		{name: "oldest_position", value: func(i *journal.Info) any { return uint64(i.Oldest) }},
		{name: "end_position", value: func(i *journal.Info) any { return uint64(i.End) }},
		{name: "held_by", value: func(i *journal.Info) any { return i.HeldBy }},
		{name: "held_bytes", value: func(i *journal.Info) any { return behind(i.HeldAt, i.End) }},
		{name: "closed", value: func(i *journal.Info) any { return i.Closed }},
		{name: "torn_bytes", value: func(i *journal.Info) any { return i.Torn }},
		{name: "damage", value: func(i *journal.Info) any {
			if i.Damage == nil {
				return nil
			}
			return i.Damage.Error()
		}},
	}
}

var segmentColumns = []column[journal.SegmentInfo]{
	{name: "name", value: func(s *journal.SegmentInfo) any { return s.Name }},
	{name: "base_position", value: func(s *journal.SegmentInfo) any { return uint64(s.Base) }},
	{name: "end_position", value: func(s *journal.SegmentInfo) any { return uint64(s.End) }},
	{name: "bytes", value: func(s *journal.SegmentInfo) any { return s.Bytes }},
}

func cursorColumns(info *journal.Info) []column[string] {
	return []column[string]{
		{name: "name", value: func(name *string) any { return *name }},
		{name: "position", value: func(name *string) any { return uint64(info.Cursors[*name]) }},
		{name: "behind_bytes", value: func(name *string) any { return behind(info.Cursors[*name], info.End) }},
	}
}

// behind is how much a cursor has still to take.
func behind(cursor, end journal.Position) uint64 { return uint64(end - min(cursor, end)) }

func (a *app) journalVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read the whole journal and check every record",
		Long: `Reads the whole journal, checks every record's checksum and place and that the
segments join, and names all damage. The exit code is 1 if there is any.`,
		Example:           "  radiusd journal verify -o json",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, _, err := a.journalPath()
			if err != nil {
				return err
			}
			p := a.newProgress("octets", -1)
			read := int64(0)
			report, err := journal.Verify(c.Context(), dir, func(done, total int64) {
				read = done
				p.of(done, total)
			})
			p.done(read)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if report.Segments == 0 {
				return errNoJournal(dir)
			}
			if err := writeOne(a, reportColumns, &report); err != nil {
				return err
			}
			var damage []error
			for i := range report.Damage {
				damage = append(damage, &report.Damage[i].CorruptError)
			}
			if len(damage) > 0 {
				return adviseDamage(fmt.Errorf("the journal is damaged in %d places: %w", len(damage), errors.Join(damage...)))
			}
			return nil
		},
	}
	a.outputFlag(c)
	return c
}

var reportColumns = []column[journal.Report]{
	{name: "segments", value: func(r *journal.Report) any { return r.Segments }},
	{name: "records", value: func(r *journal.Report) any { return r.Records }},
	{name: "oldest_position", value: func(r *journal.Report) any { return uint64(r.Oldest) }},
	{name: "end_position", value: func(r *journal.Report) any { return uint64(r.End) }},
	{name: "closed", value: func(r *journal.Report) any { return r.Closed }},
	{name: "torn_bytes", value: func(r *journal.Report) any { return r.Torn }},
	{name: "skipped_bytes", value: func(r *journal.Report) any { return r.Skipped }},
	{name: "damaged_places", value: func(r *journal.Report) any { return len(r.Damage) }},
}

func (a *app) journalSkipCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "skip SEGMENT",
		Short: "Give up what cannot be read in a damaged segment",
		Long: `Keeps a copy of the segment as it is, in a file whose name ends in .damaged, and
marks what cannot be read in it, so that the server passes over that and goes on
with the records behind it. What is passed over are accounting records that were
acknowledged: keep the copy until it is clear what they were.

A server that runs goes on by itself within seconds. Only for the segment that it is
writing to, the last one, it must be stopped.`,
		Example:           "  radiusd journal skip 0000000003ffff58.journal",
		Args:              arguments("SEGMENT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			dir, _, err := a.journalPath()
			if err != nil {
				return err
			}
			skipped, err := journal.SkipDamage(dir, args[0])
			if err != nil {
				return err
			}
			return writeList(a, skippedColumns(skipped.Quarantine), sliceRows(skipped.Damage))
		},
	}
	a.outputFlag(c)
	return c
}

func skippedColumns(quarantine string) []column[journal.Damage] {
	return []column[journal.Damage]{
		{name: "offset", value: func(d *journal.Damage) any { return d.Offset }},
		{name: "position", value: func(d *journal.Damage) any { return uint64(d.Position) }},
		{name: "bytes", value: func(d *journal.Damage) any { return d.Octets }},
		{name: "reason", value: func(d *journal.Damage) any { return d.Reason }},
		{name: "copy", value: func(*journal.Damage) any { return quarantine }},
	}
}
