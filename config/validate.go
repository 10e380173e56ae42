package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time_zone works on machines without a zone database
)

// Validate checks every value and returns all that is wrong, as a [Problems].
func (c *Config) Validate() error {
	v := validator{c: c}
	v.check("data_dir", c.DataDir != "", "must not be empty")
	v.checkErr("time_zone", checkZone(c.TimeZone))

	v.listens("auth.listen", c.Auth.Listen)
	v.listens("acct.listen", c.Acct.Listen)
	if len(c.Auth.Listen) == 0 && len(c.Acct.Listen) == 0 {
		v.fail("auth.listen", errors.New("both auth.listen and acct.listen are empty: nothing to serve"))
	}
	for _, address := range c.Acct.Listen {
		// Port 0 is a port of its own each time.
		if slices.Contains(c.Auth.Listen, address) && !strings.HasSuffix(address, ":0") {
			v.fail("acct.listen", fmt.Errorf("%q is in auth.listen too: want another port", address))
		}
	}
	v.between("auth.reject_delay", c.Auth.RejectDelay, 0, 5*time.Second)
	v.count("auth.workers", c.Auth.Workers, 0, 1024)
	v.count("auth.queue_length", c.Auth.QueueLength, 0, 1<<20)
	v.between("radius.duplicate_window", c.Radius.DuplicateWindow, 5*time.Second, 30*time.Second)
	v.count("radius.listeners", c.Radius.Listeners, 0, 256)
	v.paths("dictionary.files", c.Dictionary.Files)
	v.paths("templates.files", c.Templates.Files)

	v.size("journal.segment_bytes", c.Journal.SegmentBytes, 1<<20, 1<<30)
	v.check("journal.max_bytes", c.Journal.SegmentBytes > 1<<30 || c.Journal.MaxBytes >= 4*c.Journal.SegmentBytes,
		"%s is too little: want at least four segments (%s)", c.Journal.MaxBytes, 4*c.Journal.SegmentBytes)
	v.between("journal.keep", c.Journal.Keep, 0, 24*time.Hour)
	if c.Sessions.Liveness != 0 {
		v.between("sessions.liveness", c.Sessions.Liveness, time.Minute, 30*24*time.Hour)
	}
	v.between("sessions.reservation", c.Sessions.Reservation, time.Second, 10*time.Minute)

	v.checkErr("store.url", checkStoreURL(c.Store.URL))
	v.count("store.max_connections", c.Store.MaxConnections, 2, 1000)
	v.count("store.retention_days", c.Store.RetentionDays, 0, 36500)
	v.url("redis.url", c.Redis.URL, "redis", "rediss", "unix")
	v.check("redis.prefix", c.Redis.Prefix != "" && !strings.ContainsAny(c.Redis.Prefix, "{}* \t\r\n"),
		"%q: want a short name without braces, stars and spaces", c.Redis.Prefix)
	v.between("redis.timeout", c.Redis.Timeout, 10*time.Millisecond, 10*time.Second)
	v.url("clickhouse.url", c.ClickHouse.URL, "clickhouse", "tcp")
	v.check("clickhouse.cluster", strings.Trim(c.ClickHouse.Cluster, clusterLetters) == "",
		"%q: want letters, digits, _ and -", c.ClickHouse.Cluster)
	v.count("clickhouse.retention_days", c.ClickHouse.RetentionDays, 0, 36500)
	for i, text := range c.Admin.WebhookAllow {
		_, err := netip.ParsePrefix(text)
		v.check("admin.webhook_allow", err == nil, "entry %d, %q: want a prefix like 10.1.2.0/24", i+1, text)
	}
	v.count("audit.retention_days", c.Audit.RetentionDays, 0, 36500)
	if scheme, _, _ := strings.Cut(c.Feed.URL, ":"); scheme != "kafka" { // which may name several hosts
		v.url("feed.url", c.Feed.URL, "redis", "rediss", "amqp", "amqps")
	}
	v.check("feed.topic", c.Feed.URL == "" || c.Feed.Topic != "", "must not be empty")
	v.count("jobs.workers", c.Jobs.Workers, 0, 1000)
	if c.Billing.RunAt != "" {
		_, err := time.Parse("15:04", c.Billing.RunAt)
		v.check("billing.run_at", err == nil, "%q is not a time of day like 04:00", c.Billing.RunAt)
	}
	v.url("mail.url", c.Mail.URL, "smtp", "smtps")
	v.check("mail.from", c.Mail.URL == "" || c.Mail.From != "", "must not be empty if mail.url is set")
	v.check("mail.language", c.Mail.Language != "", "must not be empty")
	v.checkout(&c.Billing.Checkout)
	v.admin(&c.Admin)
	v.optionalListen("metrics.listen", c.Metrics.Listen)
	return v.problems.err()
}

func (v *validator) checkout(c *Checkout) {
	v.check("billing.checkout.provider", c.Provider == "" || c.Provider == "stripe", "%q is not one of stripe, or empty", c.Provider)
	v.url("billing.checkout.success_url", c.SuccessURL, "https", "http")
	v.url("billing.checkout.cancel_url", c.CancelURL, "https", "http")
	v.url("billing.checkout.url", c.URL, "https", "http")
	if c.Provider == "" {
		return
	}
	for _, need := range [][2]string{{"secret_key_file", c.SecretKeyFile}, {"webhook_secret_file", c.WebhookSecretFile}, {"success_url", c.SuccessURL}, {"cancel_url", c.CancelURL}} {
		v.check("billing.checkout."+need[0], need[1] != "", "is empty, and billing.checkout.provider needs it")
	}
}

type validator struct {
	c        *Config
	problems Problems
}

// fail reports a problem, unless the key's text could not be read in the first
// place.
func (v *validator) fail(key string, err error) {
	if v.c.broken[key] {
		return
	}
	v.problems = append(v.problems, &Problem{Origin: v.c.Origin(key), Key: key, Err: err})
}

func (v *validator) check(key string, ok bool, format string, args ...any) {
	if !ok {
		v.fail(key, fmt.Errorf(format, args...))
	}
}

func (v *validator) checkErr(key string, err error) {
	if err != nil {
		v.fail(key, err)
	}
}

func (v *validator) between(key string, d, least, most time.Duration) {
	v.check(key, d >= least && d <= most, "%s is out of range: want %s to %s",
		formatDuration(d), formatDuration(least), formatDuration(most))
}

func (v *validator) count(key string, n, least, most int) {
	v.check(key, n >= least && n <= most, "%d is out of range: want %d to %d", n, least, most)
}

func (v *validator) size(key string, n, least, most Size) {
	v.check(key, n >= least && n <= most, "%s is out of range: want %s to %s", n, least, most)
}

func (v *validator) paths(key string, paths []string) {
	for i, path := range paths {
		v.check(key, path != "", "entry %d is empty", i+1)
		v.check(key, path == "" || !slices.Contains(paths[:i], path), "%q is listed twice", path)
	}
}

func (v *validator) listens(key string, addresses []string) {
	for i, address := range addresses {
		v.checkErr(key, checkListen(address))
		v.check(key, !slices.Contains(addresses[:i], address) || strings.HasSuffix(address, ":0"), "%q is listed twice", address)
	}
}

func (v *validator) optionalListen(key, address string) {
	if address != "" {
		v.checkErr(key, checkListen(address))
	}
}

// clusterLetters are what the name of a cluster may be made of.
const clusterLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// url checks a URL that may be empty.
func (v *validator) url(key, text string, schemes ...string) {
	if text == "" {
		return
	}
	if u, err := parseURL(text); err != nil {
		v.fail(key, err)
	} else if !slices.Contains(schemes, u.Scheme) {
		v.fail(key, fmt.Errorf("unknown scheme %q: want %s://…", u.Scheme, schemes[0]))
	}
}

func checkListen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address: want host:port, like :1812, 192.0.2.1:1812 or [2001:db8::1]:1812", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no valid port: want 1 to 65535", address)
	} else if n == 0 && port != "0" {
		return fmt.Errorf("%q has no valid port", address)
	}
	if host == "" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if strings.ContainsAny(host, ":/ \t@%") || strings.Trim(host, "0123456789.") == "" {
		return fmt.Errorf("%q: %q is neither an IP address nor a host name", address, host)
	}
	return nil
}

func checkZone(name string) error {
	if name == "" || name == "Local" {
		return errors.New("name the zone, like UTC or Europe/Vienna")
	}
	if _, err := time.LoadLocation(name); err != nil {
		return fmt.Errorf("unknown time zone %q: want an IANA name, like Europe/Vienna", name)
	}
	return nil
}

// Location returns the time zone; UTC if the configuration is not valid.
func (c *Config) Location() *time.Location {
	if location, err := time.LoadLocation(c.TimeZone); err == nil && checkZone(c.TimeZone) == nil {
		return location
	}
	return time.UTC
}

func checkStoreURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := parseURL(text)
	if err != nil {
		return err
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return fmt.Errorf("unknown scheme %q: want postgres://user:password@host/database, or empty for the embedded store", u.Scheme)
	}
	if !hasDatabase(u) {
		return errors.New("names no database: want postgres://user:password@host/database")
	}
	return nil
}

func hasDatabase(u *url.URL) bool {
	return strings.Trim(u.Path, "/") != "" || u.Query().Get("dbname") != "" || u.Query().Get("database") != ""
}
