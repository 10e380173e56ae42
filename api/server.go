package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/dictionary"
	"radiusd/operator"
	"radiusd/report"
)

// Options is what the API works on.
type Options struct {
	// Store keeps everything but operators. Required.
	Store Store
	// Operators signs in and manages who may use the API. Required.
	Operators *operator.Service
	// OIDC signs operators in through an OpenID provider. Nil: there is none.
	OIDC *operator.OIDC
	// OIDCName is what the provider is called on a sign-in page.
	OIDCName string
	// Dictionary knows the attributes of items. Required.
	Dictionary *dictionary.Dictionary
	// Templates turn plans into the attributes of vendors, as those of the servers do.
	// Required.
	Templates *aaa.Templates
	// Jobs are those in the background. Required.
	Jobs Jobs
	// StartBilling adds the job of a billing run for a day, or finds the one that waits or
	// works, and returns its id. Required.
	StartBilling func(ctx context.Context, asOf billing.Date) (jobID int64, err error)
	// StartDunning does the same for a dunning run. Required.
	StartDunning func(ctx context.Context, asOf billing.Date) (jobID int64, err error)
	// Checkout asks for payments by card. Nil: they are not taken.
	Checkout *checkout.Desk
	// Sender posts test events to webhooks. Required.
	Sender WebhookSender
	// Reports answers reports. Nil: the store does.
	Reports report.Source
	// Zone is that of days, weeks, months and login hours. Nil: UTC.
	Zone *time.Location
	// Version is the program's.
	Version string

	// Observe is told who makes a request, in its goroutine. Nil: nobody is.
	Observe func(ctx context.Context, actor operator.Actor)
	// Logger takes the errors that clients are not told. Nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Store keeps what the resources are of; each file declares its part.
type Store interface {
	PlanStore
	GroupStore
	NASStore
	UserStore
	SessionStore
	RecordStore
	StatusStore
	AuditStore
	WebhookStore
	DeliveryStore
	SettingStore
	report.Source
	PolicyStore
	ActionStore
	UserBatchStore
	UsageStore
	ImportStore
	PrivacyStore
	BillingStore
	VoucherStore
	DunningStore
	MailStore
	RunLog
}

// server implements the operations of the specification: each resource is a type of its
// own, in a file of its own.
type server struct {
	unimplemented
	auth
	openID
	operators
	roles
	apiTokens
	plans
	groups
	nases
	users
	sessions
	records
	reports
	dictionaries
	status
	policy
	audit
	webhooks
	actions
	settings
	jobList
	userBatches
	usage
	userFiles
	privacy
	*billingRules
	vouchers
	prices
	subscriptions
	charges
	ledger
	orders
	invoices
	payments
	bankEntries
	checkouts
	billingReports
	billingRuns
	dunning
	mails
}

// unimplemented stands in for nothing: TestEveryOperationIsImplemented fails if one of
// its methods is reached.
type unimplemented struct{ gaps }

type gaps struct{ StrictServerInterface }

// New returns the API's handler, for all of BasePath.
func New(o Options) (http.Handler, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(context.Context, operator.Actor) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Store == nil || o.Operators == nil || o.Dictionary == nil || o.Templates == nil || o.Jobs == nil || o.StartBilling == nil || o.StartDunning == nil || o.Sender == nil {
		return nil, errors.New("api: a store, operators, a dictionary, templates, jobs, billing and dunning runs and a sender are needed")
	}
	if o.Reports == nil {
		o.Reports = o.Store
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	spec, err := readSpecification()
	if err != nil {
		return nil, err
	}
	explainer, err := aaa.NewExplainer(aaa.ExplainerOptions{Dictionary: o.Dictionary, Templates: o.Templates, Store: o.Store, Location: o.Zone, VoucherHash: o.Store.VoucherHash})
	if err != nil {
		return nil, err
	}
	hashing := newTurns()
	s := &server{
		auth:      auth{service: o.Operators, now: o.Now},
		openID:    openID{provider: o.OIDC, name: o.OIDCName, now: o.Now},
		operators: operators{spec: spec, service: o.Operators},
		roles:     roles{spec: spec, service: o.Operators},
		apiTokens: apiTokens{service: o.Operators},
		plans:     plans{spec: spec, dict: o.Dictionary, store: o.Store},
		groups:    groups{spec: spec, dict: o.Dictionary, store: o.Store},
		nases:     nases{spec: spec, store: o.Store, templates: o.Templates},
		users:     users{spec: spec, dict: o.Dictionary, store: o.Store, hashing: hashing},

		sessions:     sessions{store: o.Store},
		records:      records{store: o.Store},
		reports:      reports{source: o.Reports, zone: o.Zone, now: o.Now},
		dictionaries: newDictionaries(o.Dictionary, o.Templates),
		status:       status{store: o.Store, version: o.Version, now: o.Now},
		policy:       policy{store: o.Store, explainer: explainer, operators: o.Operators, hashing: hashing, now: o.Now},
		audit:        audit{store: o.Store},
		webhooks:     webhooks{store: o.Store, deliveries: o.Store, sender: o.Sender, now: o.Now},
		actions:      actions{dict: o.Dictionary, templates: o.Templates, store: o.Store, now: o.Now},
		settings:     settings{spec: spec, store: o.Store},
		jobList:      jobList{jobs: o.Jobs, audit: o.Store},
		userBatches:  userBatches{store: o.Store},
		usage:        usage{store: o.Store, zone: o.Zone, now: o.Now},
	}
	s.billingRules = &billingRules{rules: o.Store, zone: o.Zone, now: o.Now}
	s.prices = prices{store: o.Store, plans: o.Store}
	s.subscriptions = subscriptions{billingRules: s.billingRules, store: o.Store, prices: o.Store}
	s.vouchers = vouchers{store: o.Store, users: o.Store, now: o.Now}
	s.charges = charges{store: o.Store, prices: o.Store}
	s.orders = orders{billingRules: s.billingRules, store: o.Store, subscriptions: &s.subscriptions}
	s.invoices = invoices{billingRules: s.billingRules, store: o.Store}
	s.payments = payments{billingRules: s.billingRules, store: o.Store, desk: o.Checkout}
	s.billingRuns = billingRuns{billingRules: s.billingRules, store: o.Store, accounts: o.Store, starter: runStarter{o.Store, "billing_runs.start", "POST /billing/preview", o.StartBilling}}
	s.dunning = dunning{billingRules: s.billingRules, store: o.Store, starter: runStarter{o.Store, "dunning_runs.start", "GET /billing/dunning/preview", o.StartDunning}}
	s.mails = mails{store: o.Store}
	s.bankEntries = bankEntries{store: o.Store}
	s.checkouts = checkouts{desk: o.Checkout}
	s.billingReports = billingReports{source: o.Store, zone: o.Zone, now: o.Now}
	s.ledger = ledger{store: o.Store, users: o.Store}
	s.privacy = privacy{store: o.Store}
	s.users.actions = &s.actions
	s.userFiles = userFiles{users: &s.users, store: o.Store, zone: o.Zone}
	router := newRouter(spec, o)
	strict := NewStrictHandlerWithOptions(s, nil, StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  router.badRequest,
		ResponseErrorHandlerFunc: router.fail,
	})
	HandlerWithOptions(strict, StdHTTPServerOptions{BaseURL: BasePath, BaseRouter: router, ErrorHandlerFunc: router.badRequest})
	return router, nil
}
