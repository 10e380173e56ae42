package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/operator"
)

func (h *userFiles) ExportUsers(ctx context.Context, r ExportUsersRequestObject) (ExportUsersResponseObject, error) {
	p := r.Params
	filter, err := userFilter(ctx, p.Q, p.Status, p.PlanID, p.GroupID, p.BatchID)
	if err != nil {
		return nil, err
	}
	e := &userExport{
		ctx: ctx, users: h.users, filter: filter, names: userfile.Names{Plans: map[uuid.UUID]string{}, Groups: map[uuid.UUID]string{}},
		options: userfile.WriterOptions{WithoutProfiles: !principalOf(ctx).Can(operator.ProfilesRead)},
	}
	e.options.Names = e.names
	if p.Format == ExportUsersParamsFormatNdjson {
		e.options.Format = userfile.JSONLines
	}
	return e, e.next() // what is wrong from the beginning is a problem
}

// userExport is the answer to an export: users, page by page.
type userExport struct {
	ctx     context.Context
	users   *users
	filter  aaa.UserFilter
	options userfile.WriterOptions
	names   userfile.Names
	rows    []aaa.UserRow
	cursor  string // of the page after rows; empty: there is none
}

// next reads the next page.
func (e *userExport) next() (err error) {
	e.rows, e.cursor, err = e.users.store.ListUsersPage(e.ctx, e.filter, aaa.Page{Cursor: e.cursor, Limit: aaa.MaxPageLimit})
	if err != nil {
		return err
	}
	for i := range e.rows {
		u := &e.rows[i]
		e.names.Plans[u.PlanID] = u.Plan
		for g, m := range u.Groups {
			e.names.Groups[m.GroupID] = u.GroupNames[g]
		}
	}
	return nil
}

// VisitExportUsersResponse implements ExportUsersResponseObject. The status is sent
// before the last user is read: what fails then breaks the connection off, so that
// nobody takes a part for the whole.
func (e *userExport) VisitExportUsersResponse(w http.ResponseWriter) error {
	contentType, name := "text/csv; charset=utf-8", "users.csv"
	if e.options.Format == userfile.JSONLines {
		contentType, name = "application/x-ndjson", "users.ndjson"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.WriteHeader(http.StatusOK)
	if err := e.write(w); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (e *userExport) write(w http.ResponseWriter) error {
	file, err := userfile.NewWriter(w, e.options)
	if err != nil {
		return err
	}
	for {
		for i := range e.rows {
			if err := file.Write(&e.rows[i]); err != nil {
				return err
			}
		}
		if e.cursor == "" {
			return file.Flush()
		}
		if err := e.next(); err != nil {
			return err
		}
	}
}
