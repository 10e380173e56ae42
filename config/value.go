package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Size is a number of octets, written as 64MiB, 8GiB or 1500000.
type Size int64

// ParseSize reads a size: a number with an optional unit, binary (KiB, MiB, GiB,
// TiB) or decimal (kB, MB, GB, TB).
func ParseSize(text string) (Size, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size: want a number with a unit, like 64MiB or 8GiB", text)
	}
	return Size(n), nil
}

// String writes the size in the largest unit that gives a whole number.
func (s Size) String() string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for s != 0 && s%1024 == 0 && i < len(units)-1 {
		s, i = s/1024, i+1
	}
	if i == 0 {
		return strconv.FormatInt(int64(s), 10)
	}
	return strconv.FormatInt(int64(s), 10) + units[i]
}

// ParseDuration reads a duration as [time.ParseDuration] does, and days as in 30d.
func ParseDuration(text string) (time.Duration, error) {
	fail := func() (time.Duration, error) {
		return 0, fmt.Errorf("%q is not a duration: want a number with a unit, like 500ms, 10s, 5m, 12h or 30d", text)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > math.MaxInt64/uint64(24*time.Hour) {
			return fail()
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fail()
	}
	return d, nil
}

// formatDuration writes 1m rather than 1m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if d == 0 {
		return "0s"
	}
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// parseLevel knows the four levels by their names only, not slog's INFO+2.
func parseLevel(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not a log level: want debug, info, warn or error", text)
}

// setText sets a leaf of the configuration from one text.
func setText(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		switch strings.ToLower(text) {
		case "true", "yes", "on", "1":
			*p = true
		case "false", "no", "off", "0":
			*p = false
		default:
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	case *Size:
		size, err := ParseSize(text)
		if err != nil {
			return err
		}
		*p = size
	case *time.Duration:
		d, err := ParseDuration(text)
		if err != nil {
			return err
		}
		*p = d
	case *slog.Level:
		level, err := parseLevel(text)
		if err != nil {
			return err
		}
		*p = level
	case *[]string:
		*p = splitList(text)
	default:
		panic(fmt.Sprintf("config: no reader for %T", p))
	}
	return nil
}

// splitList reads a comma-separated list; an empty text is an empty list.
func splitList(text string) []string {
	list := []string{}
	for field := range strings.SplitSeq(text, ",") {
		if field = strings.TrimSpace(field); field != "" {
			list = append(list, field)
		}
	}
	return list
}

// formatValue writes a leaf as setText reads it.
func formatValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case slog.Level:
		return strings.ToLower(x.String())
	case []string:
		return strings.Join(x, ",")
	default:
		return fmt.Sprint(x)
	}
}

// maskURL returns the URL without its password, wherever it stands.
func maskURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := parseURL(text)
	if err != nil {
		return "***"
	}
	query := u.Query()
	for name := range query {
		if lower := strings.ToLower(name); strings.Contains(lower, "pass") || strings.Contains(lower, "secret") {
			query.Set(name, "***")
		}
	}
	u.RawQuery = query.Encode()
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "***")
	}
	return strings.ReplaceAll(u.String(), "%2A%2A%2A", "***")
}

// parseURL is url.Parse with errors that do not repeat the text, which may hold
// a password. There may be several hosts, with commas between them, which
// url.Parse does not take where they have ports; Host is then all of them.
func parseURL(text string) (*url.URL, error) {
	single, hosts := splitHosts(text)
	for _, host := range hosts {
		if u, err := url.Parse("//" + host); err != nil || u.Host == "" || u.Host != host || u.Hostname() == "" {
			return nil, errors.New("not a valid URL: want host:port,host:port between // and the database")
		}
	}
	u, err := url.Parse(single)
	if err == nil && len(hosts) > 0 {
		u.Host = strings.Join(hosts, ",")
	}
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) && !strings.Contains(parse.Err.Error(), "\"") {
			return nil, fmt.Errorf("not a valid URL: %w", parse.Err)
		}
		return nil, errors.New("not a valid URL (special characters in the password need %-encoding)")
	}
	if u.Scheme == "" || u.Opaque != "" {
		return nil, errors.New("not a valid URL: want scheme://host/…")
	}
	return u, nil
}

// splitHosts returns the URL with the first of its hosts, and all of them if there
// are several.
func splitHosts(text string) (single string, hosts []string) {
	start := strings.Index(text, "://") + len("://")
	if start < len("://") {
		return text, nil
	}
	end := len(text)
	if n := strings.IndexAny(text[start:], "/?#"); n >= 0 {
		end = start + n
	}
	start += strings.LastIndex(text[start:end], "@") + 1
	list := strings.Split(text[start:end], ",")
	if len(list) == 1 {
		return text, nil
	}
	return text[:start] + list[0] + text[end:], list
}
