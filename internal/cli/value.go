package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"radiusd/config"
)

// readSecret reads a password or secret: from a terminal without showing it,
// else the first line of standard input.
func (a *app) readSecret(what string) (string, error) {
	if file, ok := a.stdin.(interface{ Fd() uintptr }); ok && isTerminal(a.stdin) {
		fmt.Fprintf(a.stderr, "%s: ", what)
		secret, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(a.stderr)
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", what, err)
		}
		return string(secret), nil
	}
	const longest = 4096
	line, err := bufio.NewReader(io.LimitReader(a.stdin, longest)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	if secret := strings.TrimRight(line, "\r\n"); secret != "" {
		return secret, nil
	}
	return "", usagef("standard input has no %s", what)
}

// confirm asks on a terminal; elsewhere, it wants --yes.
func (a *app) confirm(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	question := fmt.Sprintf(format, args...)
	if !isTerminal(a.stdin) {
		return usagef("%s Give --yes to do it without a terminal to ask on", question)
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed: nothing was changed")
}

// decimalUnits are the factors of k, M, G and T.
var decimalUnits = map[byte]uint64{'k': 1e3, 'K': 1e3, 'm': 1e6, 'M': 1e6, 'g': 1e9, 'G': 1e9, 't': 1e12, 'T': 1e12}

// parseRate reads bit/s, as in 512k, 10M, 1.5G or 10000000: k, M, G and T are
// powers of 1000. 0 or "none" means not limited.
func parseRate(text string) (uint64, error) {
	fail := fmt.Errorf("%q is not a rate: want bit/s, as in 512k, 10M or 1.5G", text)
	if text == "none" {
		return 0, nil
	}
	number, factor := strings.TrimSuffix(text, "bit/s"), uint64(1)
	number = strings.TrimSpace(number)
	if number == "" {
		return 0, fail
	}
	if unit, ok := decimalUnits[number[len(number)-1]]; ok {
		number, factor = strings.TrimSpace(number[:len(number)-1]), unit
	}
	return scaled(number, factor, fail)
}

// scaled returns number, a decimal fraction, times factor if that is a whole
// number in range.
func scaled(number string, factor uint64, fail error) (uint64, error) {
	if number == "" || len(number) > 20 || strings.Trim(number, "0123456789.") != "" {
		return 0, fail
	}
	value, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fail
	}
	value.Mul(value, new(big.Rat).SetInt(new(big.Int).SetUint64(factor)))
	if !value.IsInt() || !value.Num().IsInt64() {
		return 0, fail
	}
	return value.Num().Uint64(), nil
}

// formatRate writes bit/s as parseRate reads them; empty for none.
func formatRate(rate uint64) string {
	if rate == 0 {
		return ""
	}
	for _, unit := range []struct {
		name   string
		factor uint64
	}{{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if rate >= unit.factor && rate%(unit.factor/1000) == 0 {
			return strconv.FormatFloat(float64(rate)/float64(unit.factor), 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatUint(rate, 10)
}

// parseOctets reads an amount of data: a number with an optional unit, decimal
// (kB, MB, GB, TB) or binary (KiB, MiB, GiB, TiB). 0 or "none" is zero.
func parseOctets(text string) (uint64, error) {
	if text == "none" {
		return 0, nil
	}
	size, err := config.ParseSize(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not an amount of data: want a number with a unit, as in 500MB or 100GB", text)
	}
	return uint64(size), nil
}

// formatOctets writes an amount of data for people, to three digits or so.
func formatOctets(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	value, unit := float64(n), 0
	for _, name := range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		value /= 1000
		if unit++; value < 999.5 {
			return strconv.FormatFloat(value, 'f', max(0, 2-int(math.Log10(value))), 64) + name
		}
	}
	return strconv.FormatUint(n, 10)
}

// parseSpan reads a duration in whole seconds; 0 or "none" is zero.
func parseSpan(text string) (time.Duration, error) {
	if text == "none" || text == "0" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, err
	}
	if d < 0 || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is not a whole number of seconds", text)
	}
	return d, nil
}

// formatSpan writes a duration in whole seconds as 1h30m; empty for zero.
func formatSpan(d time.Duration) string {
	if d == 0 {
		return ""
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
