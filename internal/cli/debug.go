package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxDecisionLine bounds one line of the stream of decisions.
const maxDecisionLine = 1 << 20

func (a *app) debugCommand() *cobra.Command {
	var user, nas, server string
	format := "text"
	c := &cobra.Command{
		Use:   "debug",
		Short: "Watch the decisions of a running server, and why",
		Long: `Prints the login decisions of the running server as they are made, for one user
or one NAS or all: the request, the rules that took part, the reason and the
reply, with secrets masked. The server's log level stays as it is. It reads from
the server's metrics listener; end it with Ctrl-C.`,
		Example: `  radiusd debug --user alice
  radiusd debug --nas 192.0.2.1 -o json`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "text" && format != formatJSON {
				return usagef("--output: %q is neither text nor json", format)
			}
			if server == "" {
				cfg, err := a.loadConfig()
				if err != nil {
					return err
				}
				if server = cfg.Metrics.Listen; server == "" {
					return usagef("metrics.listen is empty in this configuration: give --server")
				}
			}
			address, err := reachable(server)
			if err != nil {
				return usagef("--server: %v", err)
			}
			err = a.watch(c.Context(), address, url.Values{"user": {user}, "nas": {nas}}, format == formatJSON)
			if c.Context().Err() != nil {
				return nil // that is how one ends it
			}
			return err
		},
	}
	c.Flags().StringVar(&user, "user", "", "only decisions on the user with this `NAME`")
	c.Flags().StringVar(&nas, "nas", "", "only requests of the NAS with this `NAME` or address")
	c.Flags().StringVar(&server, "server", "", "`HOST:PORT` of the server's metrics listener (default metrics.listen)")
	c.Flags().StringVarP(&format, "output", "o", format, "output `FORMAT`: text, or json for one object a line")
	completeFlagFunc(c, "user", a.completeUsers)
	completeFlagFunc(c, "nas", a.completeNASes)
	completeFlag(c, "output", "text", formatJSON)
	return c
}

// reachable turns an address to listen on into one to connect to.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", listen)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// watch prints the stream of decisions until it or ctx ends.
func (a *app) watch(ctx context.Context, address string, filter url.Values, raw bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+decisionsPath+"?"+filter.Encode(), nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return fmt.Errorf("no server answers on %s (metrics.listen): %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: is it the metrics listener of a radiusd?", address, response.Status)
	}
	fmt.Fprintf(a.stderr, "watching decisions on %s, end with Ctrl-C\n", address)
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxDecisionLine)
	for lines.Scan() {
		if err := a.printDecision(lines.Bytes(), raw); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read the decisions: %w", err)
	}
	return errors.New("the server has ended the stream")
}

// printDecision prints one line of the stream.
func (a *app) printDecision(line []byte, raw bool) error {
	if raw {
		_, err := a.stdout.Write(append(bytes.Clone(line), '\n'))
		return err
	}
	var e decisionEvent
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("read a decision: %w", err)
	}
	_, err := io.WriteString(a.stdout, e.text(a.colour(a.stdout)))
	return err
}

// text writes the decision for people.
func (e *decisionEvent) text(colour bool) string {
	bold, dim, reset := "", "", ""
	if colour {
		dim, reset, bold = "\x1b[2m", "\x1b[0m", "\x1b[31m"
		if e.Result == "accept" {
			bold = "\x1b[32m"
		}
	}
	var b strings.Builder
	if e.Missed > 0 {
		fmt.Fprintf(&b, "%s(%d decisions missed)%s\n", dim, e.Missed, reset)
	}
	fmt.Fprintf(&b, "%s%s%s %s%s%s %s", dim, e.Time.UTC().Format("15:04:05.000"), reset, bold, strings.ToUpper(e.Result), reset, printable(e.Username))
	attribute := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s%s=%s%s", dim, name, reset, printable(value))
		}
	}
	if e.User != e.Username {
		attribute("user", e.User)
	}
	attribute("reason", e.Reason)
	attribute("method", e.Method)
	attribute("nas", e.NAS)
	attribute("source", e.Source)
	attribute("plan", e.Plan)
	attribute("took", (time.Duration(e.Microseconds) * time.Microsecond).String())
	b.WriteByte('\n')
	indented := func(mark string, lines ...string) {
		for _, line := range lines {
			if line != "" {
				fmt.Fprintf(&b, "    %s%s%s %s\n", dim, mark, reset, printable(line))
			}
		}
	}
	indented("why", e.Detail)
	indented("rule", e.Rules...)
	indented(">", e.Request...)
	indented("<", e.Reply...)
	return b.String()
}
