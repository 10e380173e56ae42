// Package config is the configuration of radiusd: one struct with its defaults,
// loaded from a YAML file, the environment and flags (in ascending precedence),
// and validated with every problem reported at once, each with its place.
//
// Only internal/cli knows this package; every other package takes a small struct
// of its own.
package config

import (
	"log/slog"
	"time"
)

//go:generate go test -run TestReference -update .

// Config is the whole configuration. Every leaf has a key, the yaml names joined
// by dots (auth.listen), and an environment variable, the key in capitals with
// underscores (RADIUSD_AUTH_LISTEN). The comments of the fields are the text of
// docs/configuration.md and of deploy/radiusd.example.yaml.
type Config struct {
	// Directory for everything radiusd keeps on disk: the embedded store, the
	// journal, the master key and snapshots. It is made on first start, readable
	// by its owner only. A relative path is relative to the working directory.
	DataDir string `yaml:"data_dir"`
	// File with the key that seals NAS secrets and passwords in the store: 64 hex
	// digits, mode 0600. Empty: master.key in data_dir, made on
	// first start. All nodes that share a store need the same key; without it
	// the sealed secrets are lost, so keep a copy apart from the store's backup.
	MasterKeyFile string `yaml:"master_key_file"`
	// Time zone, as an IANA name like Europe/Vienna, in which days, weeks, months
	// and login hours are meant (quotas, usage per day). It is UTC rather than
	// the machine's own zone unless set, so that all nodes agree. Times are
	// stored and printed in UTC in any case.
	TimeZone string `yaml:"time_zone"`

	Auth       Auth       `yaml:"auth"`
	Acct       Acct       `yaml:"acct"`
	Radius     Radius     `yaml:"radius"`
	Dictionary Dictionary `yaml:"dictionary"`
	Templates  Templates  `yaml:"templates"`
	Journal    Journal    `yaml:"journal"`
	Sessions   Sessions   `yaml:"sessions"`
	Store      Store      `yaml:"store"`
	Redis      Redis      `yaml:"redis"`
	ClickHouse ClickHouse `yaml:"clickhouse"`
	Audit      Audit      `yaml:"audit"`
	Feed       Feed       `yaml:"feed"`
	Jobs       Jobs       `yaml:"jobs"`
	Billing    Billing    `yaml:"billing"`
	Mail       Mail       `yaml:"mail"`
	Admin      Admin      `yaml:"admin"`
	Metrics    Metrics    `yaml:"metrics"`
	Log        Log        `yaml:"log"`

	path     string            // the file that was read; empty: none
	origins  map[string]Origin // of the keys that are not at their default
	broken   map[string]bool   // keys whose text could not be read
	warnings []string
}

// Auth is the authentication port.
type Auth struct {
	// Addresses to take Access-Requests on, as host:port. Without a host, all
	// addresses of the machine, IPv4 and IPv6. An empty list turns authentication
	// off.
	Listen []string `yaml:"listen"`
	// How long an Access-Reject is held back, counted from the request's arrival,
	// to slow down guessing. 0s answers at once; at most 5s, since a NAS gives up.
	RejectDelay time.Duration `yaml:"reject_delay"`
	// Which decisions are recorded, for operators to see why somebody was let in or
	// not: all, or refused, which spares the database a row for each login that
	// succeeds; those have their sessions and accounting.
	Record string `yaml:"record" oneof:"all,refused"`
	// Workers for what must not run on a listener: slow password hashes like
	// argon2id and bcrypt, and asking Redis about limits. 0: one for each CPU, but at
	// least two, and eight with Redis.
	Workers int `yaml:"workers"`
	// How many requests may wait for a worker before new ones are shed, in
	// silence, for the NAS to try again. 0: 1024.
	QueueLength int `yaml:"queue_length"`
}

// Acct is the accounting port.
type Acct struct {
	// Addresses to take Accounting-Requests on, as host:port. An empty list turns
	// accounting off.
	Listen []string `yaml:"listen"`
}

// Radius is what both ports share.
type Radius struct {
	// How long a reply is kept to answer retransmissions of its request with the
	// same octets (RFC 5080 section 2.2.2); 5s to 30s.
	DuplicateWindow time.Duration `yaml:"duplicate_window"`
	// Sockets for each listen address, each read by a goroutine of its own. 0: one
	// for each CPU. Where the system has no SO_REUSEPORT, one is used.
	Listeners int `yaml:"listeners"`
}

// Dictionary is the attribute dictionary.
type Dictionary struct {
	// Files in FreeRADIUS's dictionary syntax to load over the embedded
	// dictionary, in order.
	Files []string `yaml:"files"`
}

// Templates are the reply templates, which turn a plan's fields into the reply
// attributes of a vendor.
type Templates struct {
	// Files with reply templates to load over the embedded ones, in order; a
	// template replaces the embedded one of the same vendor.
	Files []string `yaml:"files"`
}

// Journal is the write-ahead journal of accounting, in the folder journal of
// data_dir.
type Journal struct {
	// Most disk space the journal may take. Records stay in it until every store
	// has them, so this is how long a store may be away. When it is full,
	// Accounting-Requests are left unanswered, for the NAS to keep and repeat.
	MaxBytes Size `yaml:"max_bytes"`
	// Size of a segment file; whole segments are deleted once they are stored.
	SegmentBytes Size `yaml:"segment_bytes"`
	// How long records stay in the journal after every store has them, as far as
	// there is room: a database that fails over to a standby, and loses its last
	// transactions with it, gets them again. 0s keeps none.
	Keep time.Duration `yaml:"keep"`
}

// Sessions is the view of open sessions.
type Sessions struct {
	// How long a session may go without a sign of life before it is taken as
	// ended at its last one, and its Stop as lost. 0s goes by the session itself:
	// three times the longest interval between its interim updates, but at least
	// 15m, and 24h if it has none. A value of your own should be at least three
	// times the longest interim interval of the NASes.
	Liveness time.Duration `yaml:"liveness"`
	// How long an Access-Accept holds a place among the user's simultaneous
	// sessions before the session's Start has to arrive.
	Reservation time.Duration `yaml:"reservation"`
}

// Store is the database.
type Store struct {
	// Where users, plans, NASes, sessions and accounting are kept:
	// postgres://user:password@host/database, or empty for the embedded SQLite
	// database radiusd.db in data_dir.
	URL string `yaml:"url" secret:"url"`
	// Most connections to Postgres at once. The embedded store manages its own.
	MaxConnections int `yaml:"max_connections"`
	// Whether serve brings the schema of a Postgres database up to date when it
	// starts. If false, that is left to `radiusd migrate up`. The embedded store
	// is always brought up to date.
	AutoMigrate bool `yaml:"auto_migrate"`
	// Days for which accounting and authentication records are kept; older ones
	// are deleted. Sessions and usage per day stay. 0 keeps them for good.
	RetentionDays int `yaml:"retention_days"`
}

// Redis is what several nodes share: open sessions, simultaneous use and usage.
// One node needs none; several without it each count for themselves.
type Redis struct {
	// Where it is: redis://user:password@host:6379/0, rediss:// for TLS. More
	// addresses of a Redis Cluster follow as ?addr=host:port&addr=host:port. Empty:
	// this node counts alone.
	URL string `yaml:"url" secret:"url"`
	// Whether the server is a Redis Cluster. Either must not evict keys
	// (maxmemory-policy noeviction); it need not keep anything on disk.
	Cluster bool `yaml:"cluster"`
	// What the names of all keys begin with, to share one Redis with others.
	Prefix string `yaml:"prefix"`
	// How long it may take to answer before a node counts alone until it does. So long
	// a login with limits may wait for it.
	Timeout time.Duration `yaml:"timeout"`
}

// ClickHouse takes accounting and authentication records for history and
// reports, beside the store.
type ClickHouse struct {
	// Where it is: clickhouse://user:password@host:9000/database; more hosts
	// after commas; ?secure=true for TLS. Empty: none, reports read the store.
	URL string `yaml:"url" secret:"url"`
	// Name of the cluster, as in the server's remote_servers: tables are then made
	// on all its hosts, replicated by shard, with a Distributed table over them.
	// Empty: a single server.
	Cluster string `yaml:"cluster"`
	// Days for which records are kept; older ones are deleted, by months. 0 keeps
	// them for good.
	RetentionDays int `yaml:"retention_days"`
}

// Audit is the log of who changed what.
type Audit struct {
	// Days for which entries are kept; older ones are deleted, and where the log then
	// begins is signed. 0 keeps them for good.
	RetentionDays int `yaml:"retention_days"`
}

// Feed is a broker that all events are published to, at least once, those of one
// user, plan or NAS in order.
type Feed struct {
	// Where it is: redis://user:password@host:6379/0 (Redis Streams; rediss:// for
	// TLS), amqp://user:password@host:5672/vhost (RabbitMQ; amqps:// for TLS), or
	// kafka://host:9092,host:9092 (Kafka; ?tls=true, and user:password@ for SASL
	// PLAIN). Empty: none.
	URL string `yaml:"url" secret:"url"`
	// The stream in Redis, the durable fanout exchange in RabbitMQ, or the topic in
	// Kafka.
	Topic string `yaml:"topic"`
}

// Jobs is work in the background. The process of the admin API runs it: `adminapi
// serve`, or `radiusd serve --admin`.
type Jobs struct {
	// How many jobs the process runs at once. 0: none, another process does.
	Workers int `yaml:"workers"`
}

// Billing is what happens by itself in billing. The process that runs jobs does it, once
// billing was set up with `radiusd billing set`. How bills are made, and what becomes of
// who does not pay, is in the store.
type Billing struct {
	// Time of day of the nightly billing run, in the time zone of time_zone. Reminders and
	// suspensions follow it. Empty: it does not run by itself.
	RunAt string `yaml:"run_at"`

	Checkout Checkout `yaml:"checkout"`
}

// Checkout is payment by card on a provider's page. No card data comes near radiusd. The
// provider tells of payments at /api/v1/checkout/webhook of the admin API, which has to be
// reachable for it there.
type Checkout struct {
	// Provider of the pages: stripe. Empty: cards are not taken.
	Provider string `yaml:"provider"`
	// File with the secret key of the provider's API (sk_live_…, or rk_live_… with rights
	// on checkout sessions and refunds alone).
	SecretKeyFile string `yaml:"secret_key_file"`
	// File with the secrets that webhooks are signed with (whsec_…), a line each: more
	// than one while one replaces another.
	WebhookSecretFile string `yaml:"webhook_secret_file"`
	// Page that customers come to when they have paid.
	SuccessURL string `yaml:"success_url"`
	// Page that customers come to when they have not.
	CancelURL string `yaml:"cancel_url"`
	// Address of the provider's API, for tests. Empty: the provider's own.
	URL string `yaml:"url"`
}

// Mail is how invoices and reminders are sent. The process that runs jobs sends them.
type Mail struct {
	// The SMTP server: smtp://user:password@host:587 (STARTTLS, without which nothing is
	// sent), smtps://user:password@host:465 (TLS from the first octet), or
	// smtp://host:25?tls=none for a server on a trusted network. Empty: no mail is sent,
	// and what is to be sent waits.
	URL string `yaml:"url" secret:"url"`
	// Address that mails are from.
	From string `yaml:"from"`
	// Name beside it. Empty: that of the seller on the invoice.
	FromName string `yaml:"from_name"`
	// Language of mails and documents: en, de, or one that templates has.
	Language string `yaml:"language"`
	// Folder with texts in place of the built-in ones, as invoice.en.txt. Empty: none.
	Templates string `yaml:"templates"`
}

// Admin is the admin API: `adminapi serve` runs it as a process of its own, on
// Postgres; `radiusd serve --admin` in the server's.
type Admin struct {
	// Whether `radiusd serve` runs the admin API too, as with its flag --admin.
	Enabled bool `yaml:"enabled"`
	// Address to take requests on, as host:port. One that is not loopback needs TLS.
	Listen string `yaml:"listen"`
	// Whether an address that is not loopback may be served without TLS, for when a
	// proxy on a network of its own ends TLS. Passwords and tokens cross the network
	// in the clear then.
	Insecure bool `yaml:"insecure"`
	// File with the certificate, and the chain to its authority, in PEM. Empty: no TLS.
	// The files are read again when they change; a pair that is of no use leaves the
	// old one in place.
	TLSCertFile string `yaml:"tls_cert_file"`
	// File with the certificate's key, in PEM.
	TLSKeyFile string `yaml:"tls_key_file"`
	// Networks of the proxies before the API, as prefixes. Their X-Forwarded-For (or
	// Forwarded, if there is none), X-Forwarded-Proto, X-Request-Id and traceparent are
	// believed, and nobody else's. A proxy that sets Forwarded only has to remove the
	// X-Forwarded-For that clients send.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Origins whose pages may use the API from a browser, like
	// https://console.example.net. Empty: none (CORS is off).
	CORSOrigins []string `yaml:"cors_origins"`
	// Requests to log: off, failed (answered with status 400 or above) or all. Query
	// strings, bodies and tokens are never logged. Changes are in the audit log in any
	// case.
	AccessLog string `yaml:"access_log" oneof:"off,failed,all"`
	// Address of adminapi's own /metrics, /healthz and /readyz, as host:port; within
	// radiusd they are at metrics.listen. It has no authentication. Empty turns it off.
	MetricsListen string `yaml:"metrics_listen"`
	// Networks, as prefixes, that webhooks may be delivered to although they are
	// private. Empty: public addresses only.
	WebhookAllow []string `yaml:"webhook_allow"`
	// Whether webhooks may be http:// without TLS.
	WebhookAllowHTTP bool `yaml:"webhook_allow_http"`
	// Where to send traces of requests and of the store's statements, by OTLP over HTTP,
	// like http://127.0.0.1:4318/v1/traces. Empty: no traces. They hold no arguments of
	// statements.
	Traces string `yaml:"traces" secret:"url"`

	OIDC OIDC `yaml:"oidc"`
}

// OIDC is signing in through an OpenID provider. Operators are not made by it: each has to
// be there already.
type OIDC struct {
	// URL of the provider, under which /.well-known/openid-configuration is. Empty:
	// operators sign in with their passwords only.
	Issuer string `yaml:"issuer"`
	// Id that the provider gave this client.
	ClientID string `yaml:"client_id"`
	// File with the secret that the provider gave this client. Empty: a public client.
	ClientSecretFile string `yaml:"client_secret_file"`
	// Where the provider sends the browser back to: the API's address with
	// /api/v1/auth/oidc/callback, as the provider knows it.
	RedirectURL string `yaml:"redirect_url"`
	// What the provider is called on a sign-in page.
	Name string `yaml:"name"`
	// Claim of the ID token with a list of texts that role_map turns into roles, at
	// each sign-in. Empty: roles are given here.
	RoleClaim string `yaml:"role_claim"`
	// Roles for what is in role_claim, each as text=role.
	RoleMap []string `yaml:"role_map"`
	// Whether the first sign-in of a person finds the operator by an e-mail address
	// that the provider has verified. If not, an operator must be given the subject
	// before.
	LinkByEmail bool `yaml:"link_by_email"`
}

// Metrics is the listener for those who watch the server: /metrics, /healthz,
// /readyz, /debug/pprof and what `radiusd debug` reads. It has no
// authentication: keep it on loopback or a management network.
type Metrics struct {
	// Address as host:port. Empty turns it off.
	Listen string `yaml:"listen"`
}

// Log is what goes to standard error.
type Log struct {
	// Least level that is logged: debug, info, warn or error.
	Level slog.Level `yaml:"level"`
	// text is coloured lines for people, json one object a line; auto is text on
	// a terminal and json elsewhere.
	Format string `yaml:"format" oneof:"auto,text,json"`
}

// Default returns the configuration that holds where nothing else is said.
func Default() *Config {
	return &Config{
		DataDir:    "data",
		TimeZone:   "UTC",
		Auth:       Auth{Listen: []string{":1812"}, RejectDelay: time.Second, Record: "all"},
		Acct:       Acct{Listen: []string{":1813"}},
		Radius:     Radius{DuplicateWindow: 10 * time.Second},
		Journal:    Journal{MaxBytes: 8 << 30, SegmentBytes: 64 << 20, Keep: 10 * time.Minute},
		Sessions:   Sessions{Reservation: time.Minute},
		Store:      Store{MaxConnections: 10, AutoMigrate: true, RetentionDays: 400},
		Redis:      Redis{Prefix: "radiusd", Timeout: 300 * time.Millisecond},
		ClickHouse: ClickHouse{RetentionDays: 1100},
		Feed:       Feed{Topic: "radiusd.events"},
		Jobs:       Jobs{Workers: 4},
		Billing:    Billing{RunAt: "04:00"},
		Mail:       Mail{Language: "en"},
		Admin: Admin{
			Listen: "127.0.0.1:8080", AccessLog: "off", MetricsListen: "127.0.0.1:9813",
			OIDC: OIDC{Name: "Single sign-on"},
		},
		Metrics: Metrics{Listen: "127.0.0.1:9812"},
		Log:     Log{Level: slog.LevelInfo, Format: "auto"},
	}
}
