package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"time"

	"radiusd/report"
)

// reports is the resource /reports: the catalogue of package report.
type reports struct {
	source report.Source
	zone   *time.Location
	now    func() time.Time
}

// maxReportRows is how many rows an answer has.
const maxReportRows = 100_000

func (h *reports) ListReports(context.Context, ListReportsRequestObject) (ListReportsResponseObject, error) {
	var list ReportCatalogue
	for _, r := range report.Catalogue() {
		list.Items = append(list.Items, reportOf(&r))
	}
	return ListReports200JSONResponse(list), nil
}

// reportOf is what the catalogue says of a report.
func reportOf(r *report.Report) Report {
	parameters := []ReportParameter{}
	for _, p := range r.Parameters {
		parameters = append(parameters, ReportParameter{Name: p.Name, Kind: string(p.Kind), Default: p.Default, Choices: p.Choices, Text: p.Says})
	}
	return Report{Name: r.Name, Title: r.Title, Text: r.Text, Parameters: parameters, Columns: reportColumns(r.AllColumns())}
}

func (h *reports) RunReport(ctx context.Context, r RunReportRequestObject) (RunReportResponseObject, error) {
	chosen, err := reportNamed(r.ReportName)
	if err != nil {
		return nil, err
	}
	given := report.Arguments(r.Body.Arguments)
	result, err := reportRows(chosen.Columns(given), func(fn func(report.Row) error) error {
		return chosen.Run(ctx, h.source, given, report.Environment{Zone: h.zone, Now: h.now()}, fn)
	})
	var wrong *report.ArgumentError
	switch {
	case errors.As(err, &wrong):
		return nil, invalidField("arguments."+wrong.Parameter, "%s", wrong.Message)
	case err != nil:
		return nil, err
	case r.Params.Format == RunReportParamsFormatCsv:
		b, err := reportCSV(&result)
		if err != nil {
			return nil, err
		}
		return RunReport200TextCsvResponse{Body: b, ContentLength: int64(b.Len())}, nil
	}
	return RunReport200JSONResponse(result), nil
}

// reportRows runs a report and takes the first maxReportRows of its rows.
func reportRows(columns []report.Column, run func(fn func(report.Row) error) error) (ReportResult, error) {
	result := ReportResult{Columns: reportColumns(columns), Rows: [][]any{}}
	errEnough := errors.New("no more rows are wanted")
	err := run(func(row report.Row) error {
		if len(result.Rows) == maxReportRows {
			result.Truncated = true
			return errEnough
		}
		values := make([]any, len(row))
		for i, v := range row {
			values[i] = reportValue(v)
		}
		result.Rows = append(result.Rows, values)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return result, err
}

func reportNamed(name string) (*report.Report, error) {
	for _, r := range report.Catalogue() {
		if r.Name == name {
			return &r, nil
		}
	}
	return nil, problemf(http.StatusNotFound, "not_found", "there is no report %q", name)
}

func reportColumns(columns []report.Column) []ReportColumn {
	list := make([]ReportColumn, len(columns))
	for i, c := range columns {
		list[i] = ReportColumn{Name: c.Name, Unit: string(c.Unit), Text: c.Says}
	}
	return list
}

// reportValue is a value of a row as JSON has it: null for what is not there.
func reportValue(v any) any {
	switch v := v.(type) {
	case string, bool, uint64:
		return v
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UTC()
	case interface {
		IsValid() bool
		String() string
	}:
		if !v.IsValid() {
			return nil
		}
		return v.String()
	}
	return fmt.Sprint(v)
}

// reportCSV writes the rows as CSV that a spreadsheet takes for data, not for formulas.
func reportCSV(result *ReportResult) (*bytes.Buffer, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	line := make([]string, len(result.Columns))
	for i, c := range result.Columns {
		line[i] = c.Name
	}
	_ = w.Write(line) // a buffer takes everything; Error tells
	for _, row := range result.Rows {
		for i, v := range row {
			switch v := v.(type) {
			case nil:
				line[i] = ""
			case time.Time:
				line[i] = v.Format(time.RFC3339Nano)
			default:
				if line[i] = fmt.Sprint(v); result.Columns[i].Unit != string(report.UnitMoney) { // -5.00 is none
					line[i] = plainCell(line[i])
				}
			}
		}
		_ = w.Write(line)
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, err
	}
	return &b, nil
}

// plainCell keeps a text from being run as a formula by a spreadsheet (OWASP, CSV
// injection).
func plainCell(text string) string {
	if text == "" {
		return text
	}
	switch text[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n':
		return "'" + text
	}
	return text
}
