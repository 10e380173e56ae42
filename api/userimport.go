package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/operator"
)

// ImportStore takes users from files.
type ImportStore interface {
	// ImportUsers takes all rows or none. What is wrong with rows is joined
	// aaa.LineErrors. It reads the rows in a transaction.
	ImportUsers(ctx context.Context, rows iter.Seq2[aaa.ImportRow, error], options aaa.ImportOptions) (aaa.ImportResult, error)
}

// userFiles takes and gives users as files.
type userFiles struct {
	users *users
	store ImportStore
	zone  *time.Location
}

// maxLineErrors is how many errors of a file are told.
const maxLineErrors = 100

func (h *userFiles) ImportUsers(ctx context.Context, r ImportUsersRequestObject) (ImportUsersResponseObject, error) {
	// The transaction must not wait for the client.
	file, err := spool(bodyReader{r.Body})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := r.Params
	options := userfile.Options{Zone: h.zone, Update: p.Existing != "" && p.Existing != ImportUsersParamsExistingRefuse}
	if p.Format == ImportUsersParamsFormatNdjson || p.Format == "" && isJSON(r.ContentType) {
		options.Format = userfile.JSONLines
	}
	result := ImportResult{DryRun: p.DryRun, Errors: []FieldError{}}
	reader, err := userfile.NewReader(file, options)
	if err != nil {
		result.Errors = headingErrors(err)
		return imported(result)
	}
	done, err := h.store.ImportUsers(ctx, h.rows(ctx, reader, &result.Lines), aaa.ImportOptions{
		Update: p.Existing == ImportUsersParamsExistingUpdate, Skip: p.Existing == ImportUsersParamsExistingSkip,
		DryRun: p.DryRun, MaxErrors: maxLineErrors,
	})
	if result.Errors = lineErrors(err); len(result.Errors) > 0 {
		return imported(result)
	}
	if err != nil {
		return nil, err
	}
	result.Created, result.Updated, result.Skipped = done.Created, done.Updated, done.Skipped
	return imported(result)
}

// isJSON reports whether a file of that media type is JSON lines.
func isJSON(mediaType string) bool {
	mediaType, _, _ = mime.ParseMediaType(mediaType)
	return slices.Contains([]string{"application/x-ndjson", "application/jsonl", jsonType}, mediaType)
}

// imported answers what an import did. Wrong lines are what a dry run is for; else they
// are a problem.
func imported(result ImportResult) (ImportUsersResponseObject, error) {
	if len(result.Errors) > 0 && !result.DryRun {
		p := invalid(result.Errors...)
		p.detail = "lines of the file are wrong: nothing was imported"
		return nil, p
	}
	return ImportUsers200JSONResponse(result), nil
}

// rows are the reader's, counted. Profiles are for those who may write them.
func (h *userFiles) rows(ctx context.Context, reader *userfile.Reader, lines *int) iter.Seq2[aaa.ImportRow, error] {
	forbidden := principalOf(ctx).Require(operator.ProfilesWrite)
	return func(yield func(aaa.ImportRow, error) bool) {
		for row, err := range reader.Rows() {
			*lines++
			if forbidden != nil && err == nil && hasProfile(&row) {
				yield(row, forbidden)
				return
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func hasProfile(row *aaa.ImportRow) bool {
	return row.FullName != nil || row.Email != nil || row.Phone != nil || row.Address != nil || row.Note != nil
}

// headingErrors are what is wrong with the first line.
func headingErrors(err error) []FieldError {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	var wrong []FieldError
	for _, err := range list {
		wrong = append(wrong, FieldError{Line: 1, Message: strings.TrimPrefix(err.Error(), "line 1: ")})
	}
	return wrong[:min(len(wrong), maxLineErrors)]
}

// lineErrors are the errors about lines that err joins or wraps.
func lineErrors(err error) []FieldError {
	wrong := []FieldError{}
	var collect func(error)
	collect = func(err error) {
		switch e := err.(type) {
		case *aaa.LineError:
			fields := aaa.FieldErrors(e.Err)
			for _, f := range fields {
				wrong = append(wrong, FieldError{Line: e.Line, Field: f.Field, Message: f.Message})
			}
			if len(fields) == 0 {
				wrong = append(wrong, FieldError{Line: e.Line, Message: e.Err.Error()})
			}
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				collect(err)
			}
		case interface{ Unwrap() error }:
			collect(e.Unwrap())
		}
	}
	collect(err)
	// What only the database knows, such as a plan's name, is told after what follows it.
	slices.SortStableFunc(wrong, func(a, b FieldError) int { return cmp.Compare(a.Line, b.Line) })
	return wrong[:min(len(wrong), maxLineErrors)]
}

// bodyReader words what ends a body too early for the client.
type bodyReader struct{ r io.Reader }

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case errors.As(err, &tooLarge):
		return n, problemf(http.StatusRequestEntityTooLarge, "too_large", "the file is larger than %d octets", tooLarge.Limit)
	}
	return n, problemf(http.StatusBadRequest, "malformed_request", "the file could not be read: %s", fmt.Sprint(err))
}
