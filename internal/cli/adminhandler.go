package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"radiusd/aaa"
	"radiusd/api"
	"radiusd/billing/checkout"
	"radiusd/config"
	"radiusd/dictionary"
	"radiusd/internal/httpserver"
	"radiusd/jobs"
	"radiusd/operator"
	"radiusd/store"
	"radiusd/store/clickhouse"
)

// importBytes bounds the body of an import: some million users.
const importBytes = 256 << 20

// statementBytes bounds a bank statement: some hundred thousand entries.
const statementBytes = 256 << 20

// adminRoutes are the operations of the API that are not short, or whose answers hold
// tokens.
func adminRoutes() []httpserver.Route {
	return []httpserver.Route{
		{Pattern: api.BasePath + "/auth/", Uncompressed: true},
		{Pattern: "POST " + api.BasePath + "/api-tokens", Uncompressed: true},
		{Pattern: "POST " + api.BasePath + "/users/import", BodyBytes: importBytes, Stream: true},
		{Pattern: "GET " + api.BasePath + "/users/export", Stream: true},
		{Pattern: "POST " + api.BasePath + "/user-batches", Stream: true},
		{Pattern: "GET " + api.BasePath + "/users/{user_id}/personal-data", Stream: true},
		{Pattern: "POST " + api.BasePath + "/reports/{report_name}/run", Stream: true},
		{Pattern: "GET " + api.BasePath + "/reports/billing/{billing_report_name}", Stream: true},
		{Pattern: "POST " + api.BasePath + "/bank-statements", BodyBytes: statementBytes, Stream: true},
		{Pattern: "POST " + api.BasePath + "/audit/verify", Stream: true},
		{Pattern: "GET " + api.BasePath + "/ledger/check", Stream: true},
		{Pattern: "GET " + api.BasePath + "/invoices/{invoice_id}/pdf", Stream: true},
		{Pattern: "GET " + api.BasePath + "/invoices/{invoice_id}/xml", Stream: true},
	}
}

// adminTools are what the API needs besides an open store.
type adminTools struct {
	dict      *dictionary.Dictionary
	templates *aaa.Templates
	zone      *time.Location
	sender    *operator.WebhookSender // for the test of a webhook
	openID    *operator.OIDCOptions   // nil: operators sign in with passwords only
	openName  string
	reports   *reportSource     // nil: the store answers them
	cards     checkout.Provider // nil: cards are not taken
	desk      func(*store.Store) *checkout.Desk
	log       *slog.Logger
}

// newAdminTools reads what the configuration names.
func newAdminTools(cfg *config.Config, dict *dictionary.Dictionary, log *slog.Logger) (*adminTools, error) {
	templates, err := aaa.LoadTemplates(dict, cfg.Templates.Files...)
	if err != nil {
		return nil, err
	}
	openID, err := openIDOptions(cfg.Admin.OIDC)
	if err != nil {
		return nil, err
	}
	t := &adminTools{
		dict: dict, templates: templates, zone: cfg.Location(), sender: newWebhookSender(cfg), openID: openID, openName: cfg.Admin.OIDC.Name, log: log,
	}
	if t.cards, err = cardProvider(cfg); err != nil {
		return nil, err
	}
	t.desk = func(s *store.Store) *checkout.Desk { return newDesk(cfg, t.cards, s, time.Now) }
	if cfg.ClickHouse.URL != "" {
		t.reports = &reportSource{open: func(ctx context.Context) (history *clickhouse.Store, away, err error) {
			return openReports(ctx, cfg, log)
		}, log: log}
	}
	return t, nil
}

// handler makes the API on an open store.
func (t *adminTools) handler(s *store.Store) (http.Handler, *operator.Service, error) {
	operators, err := operator.New(operator.Options{Store: s, Logger: t.log})
	if err != nil {
		return nil, nil, err
	}
	var provider *operator.OIDC
	if t.openID != nil {
		if provider, err = operators.NewOIDC(*t.openID); err != nil {
			return nil, nil, err
		}
	}
	queue, err := jobs.New(jobOptions(s, t.log))
	if err != nil {
		return nil, nil, err
	}
	startBilling, err := billingStarter(queue)
	if err != nil {
		return nil, nil, err
	}
	startDunning, err := dunningStarter(queue)
	if err != nil {
		return nil, nil, err
	}
	options := api.Options{
		StartBilling: startBilling, StartDunning: startDunning,
		Store: s, Operators: operators, Jobs: queue, OIDC: provider, OIDCName: t.openName, Dictionary: t.dict, Templates: t.templates, Zone: t.zone, Sender: t.sender,
		Version: readBuild().Version, Observe: tellActor, Logger: t.log,
	}
	if t.reports != nil {
		t.reports.sql = s
		options.Reports = t.reports
	}
	if t.cards != nil {
		options.Checkout = t.desk(s)
	}
	handler, err := api.New(options)
	if err != nil || t.cards == nil {
		return handler, operators, err
	}
	webhook := webhookHandler(options.Checkout, t.log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == checkoutWebhook {
			webhook.ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}), operators, nil
}

// close ends what requests have used.
func (t *adminTools) close() {
	t.sender.Close()
	if t.reports == nil {
		return
	}
	if err := t.reports.close(); err != nil {
		t.log.Warn("close ClickHouse", "error", err)
	}
}

// tellActor tells the access log who was let in.
func tellActor(ctx context.Context, actor operator.Actor) { httpserver.SetActor(ctx, actor.Name) }

// describeRequest tells the API what is known of a request.
func describeRequest(ctx context.Context, requestID string, client netip.Addr) context.Context {
	return api.WithClientAddr(api.WithRequestID(ctx, requestID), client)
}

// showFirstOperator makes the first operator, if there is none, and shows his password
// this once. It goes to w as it is and not through the logger: a log is kept and sent
// elsewhere, with everything in it.
func showFirstOperator(ctx context.Context, operators *operator.Service, w io.Writer) error {
	name, password, err := operators.EnsureFirst(ctx)
	if err != nil || name == "" {
		return err
	}
	const line = "────────────────────────────────────────────────────────────────────────"
	fmt.Fprintf(w, `%s
  There was no operator yet, so the first one was made. Sign in to the
  admin API with

      name:      %s
      password:  %s

  This password is shown this once. Change it after signing in, or with
  adminapi operator passwd %s
%s
`, line, name, password, name, line)
	return nil
}
