package cli

import (
	"context"
	"io"
	"io/fs"
	"iter"

	"radiusd/store"
)

// takesLong reports whether the rows of an import come slowly: from a pipe or a
// person, or because their passwords are hashed with what is slow on purpose.
func takesLong(source io.Reader, hash string) bool {
	if hash == "argon2id" || hash == "bcrypt" {
		return true
	}
	file, ok := source.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return true
	}
	info, err := file.Stat()
	return err != nil || !info.Mode().IsRegular()
}

// importItem is what one step of an iteration over rows gives.
type importItem struct {
	row store.ImportRow
	err error
}

// readAhead takes all rows into memory, a few hundred octets each. An import is
// one transaction, and with SQLite nobody else writes meanwhile: no server and no
// other command, so it must not wait for slow rows.
func readAhead(ctx context.Context, rows iter.Seq2[store.ImportRow, error], p *progress) (iter.Seq2[store.ImportRow, error], error) {
	var items []importItem
	for row, err := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		items = append(items, importItem{row, err})
		p.set(int64(len(items)))
	}
	p.done(int64(len(items)))
	return func(yield func(store.ImportRow, error) bool) {
		for i := range items {
			if !yield(items[i].row, items[i].err) {
				return
			}
		}
	}, nil
}
