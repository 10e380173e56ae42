package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"radiusd/report"
)

// billingReports is the resource /reports/billing: the reports on money of package report.
type billingReports struct {
	source report.BillingSource
	zone   *time.Location
	now    func() time.Time
}

func (h *billingReports) ListBillingReports(context.Context, ListBillingReportsRequestObject) (ListBillingReportsResponseObject, error) {
	var list ReportCatalogue
	for _, r := range report.BillingCatalogue() {
		list.Items = append(list.Items, reportOf(&r.Report))
	}
	return ListBillingReports200JSONResponse(list), nil
}

func (h *billingReports) GetBillingReport(ctx context.Context, r GetBillingReportRequestObject) (GetBillingReportResponseObject, error) {
	chosen, err := billingReportNamed(string(r.BillingReportName))
	if err != nil {
		return nil, err
	}
	p := r.Params
	given := report.Arguments{}
	for name, text := range map[string]string{"by": p.By, "period": p.Period, "from": p.From, "to": p.To, "date": p.Date, "on": p.On, "user": p.User} {
		if text != "" {
			given[name] = text
		}
	}
	result, err := reportRows(chosen.Columns(given), func(fn func(report.Row) error) error {
		return chosen.Run(ctx, h.source, given, report.Environment{Zone: h.zone, Now: h.now()}, fn)
	})
	var wrong *report.ArgumentError
	switch {
	case errors.As(err, &wrong):
		return nil, invalidField(wrong.Parameter, "%s", wrong.Message)
	case err != nil:
		return nil, err
	case p.Format == GetBillingReportParamsFormatCsv:
		b, err := reportCSV(&result)
		if err != nil {
			return nil, err
		}
		return GetBillingReport200TextCsvResponse{Body: b, ContentLength: int64(b.Len())}, nil
	}
	return GetBillingReport200JSONResponse(result), nil
}

func billingReportNamed(name string) (*report.BillingReport, error) {
	for _, r := range report.BillingCatalogue() {
		if r.Name == name {
			return &r, nil
		}
	}
	return nil, problemf(http.StatusNotFound, "not_found", "there is no report %q", name)
}
