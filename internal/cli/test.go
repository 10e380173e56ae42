package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"radiusd/dictionary"
	"radiusd/radius"
)

const (
	authPort = "1812"
	acctPort = "1813"
	// secretVariable holds the shared secret for test and bench.
	secretVariable = "RADIUSD_TEST_SECRET"
	// loopbackSecret is what the demo's NAS 127.0.0.1 has, and FreeRADIUS's.
	loopbackSecret = "testing123"
	// testNASIdentifier is sent unless the attributes name a NAS (RFC 2865 section
	// 4.1 wants one).
	testNASIdentifier = "radiusd-test"
)

func (a *app) testCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "test",
		Short: "Send a request to a RADIUS server, as a NAS does",
		Long: `Sends one request to a RADIUS server, checks the signatures of the answer, and
prints it. The machine that runs it must be a NAS of that server.`,
		Example: `  radiusd test auth alice s3cret
  radiusd test auth alice s3cret --method mschapv2 --server 192.0.2.10 --secret-stdin
  radiusd test acct start alice
  radiusd test status`,
	}
	c.AddCommand(a.testAuthCommand(), a.testAcctCommand(), a.testStatusCommand())
	return c
}

// target is the server a request goes to, and how it is asked.
type target struct {
	a           *app
	server      string
	secret      string
	secretStdin bool
	attributes  []string
	verbose     bool
	timeout     time.Duration
	tries       int
}

func (t *target) flags(flags *pflag.FlagSet) {
	flags.StringVar(&t.server, "server", "127.0.0.1", "`HOST[:PORT]` of the server")
	flags.StringVar(&t.secret, "secret", "", "shared `SECRET` (default $"+secretVariable+"; "+loopbackSecret+" on loopback only)")
	flags.BoolVar(&t.secretStdin, "secret-stdin", false, "read the shared secret from standard input")
	flags.DurationVar(&t.timeout, "timeout", 10*time.Second, "how long to wait for an answer altogether")
	flags.IntVar(&t.tries, "tries", 4, "how often to send the request at most")
}

func (t *target) exchangeFlags(c *cobra.Command) {
	t.flags(c.Flags())
	c.Flags().StringArrayVar(&t.attributes, "attr", nil, "further attribute as `'Name = value'` (repeated)")
	c.Flags().BoolVarP(&t.verbose, "verbose", "v", false, "print the request as well")
	completeFlagFunc(c, "attr", t.a.completeAttributes)
}

// complete fills in port and secret.
func (t *target) complete(port string) error {
	server, err := hostPort(t.server, port)
	if err != nil {
		return usagef("--server: %v", err)
	}
	t.server = server
	if t.tries < 1 || t.timeout <= 0 {
		return usagef("--tries and --timeout must be greater than zero")
	}
	switch {
	case t.secretStdin && t.secret != "":
		return usagef("--secret and --secret-stdin exclude each other")
	case t.secretStdin:
		t.secret, err = t.a.readSecret("shared secret")
		return err
	case t.secret != "":
	case t.a.getenv(secretVariable) != "":
		t.secret = t.a.getenv(secretVariable)
	case isLoopback(t.server):
		t.secret = loopbackSecret
	default:
		return usagef("no shared secret for %s: give --secret, --secret-stdin or $%s", t.server, secretVariable)
	}
	return nil
}

// hostPort completes HOST[:PORT] with the port.
func hostPort(text, port string) (string, error) {
	if text == "" {
		return "", errors.New("empty")
	}
	bare := text
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		bare = strings.TrimSuffix(inner, "]")
	}
	if address, err := netip.ParseAddr(bare); err == nil {
		return net.JoinHostPort(address.String(), port), nil
	}
	if !strings.Contains(text, ":") {
		return net.JoinHostPort(text, port), nil
	}
	if _, _, err := net.SplitHostPort(text); err != nil {
		return "", fmt.Errorf("%q is not HOST[:PORT]", text)
	}
	return text, nil
}

// isLoopback reports whether host:port is on this machine without asking DNS.
func isLoopback(server string) bool {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// exchange sends m and prints what comes back. The cipher reads what is
// encrypted in the request and in the reply.
func (t *target) exchange(ctx context.Context, d *dictionary.Dictionary, m *radius.Message) (radius.Packet, error) {
	if t.verbose {
		t.a.printPacket(d, m.Code.String()+" to "+t.server, m.Attributes, radius.NewCipher([]byte(t.secret), m.RequestAuthenticator()))
	}
	client := radius.Client{
		InitialTimeout: t.timeout / time.Duration(2*t.tries),
		MaxTimeout:     t.timeout / time.Duration(t.tries),
		MaxAttempts:    t.tries,
		MaxDuration:    t.timeout,
	}
	defer client.Close()
	start := t.a.now()
	reply, err := client.Exchange(ctx, t.server, []byte(t.secret), m)
	if err != nil {
		return nil, explainExchange(err)
	}
	took := t.a.now().Sub(start).Round(10 * time.Microsecond)
	t.a.printPacket(d, fmt.Sprintf("%v from %s in %v", reply.Code(), t.server, took), reply.Attributes(),
		radius.NewCipher([]byte(t.secret), m.RequestAuthenticator()))
	return reply, nil
}

// explainExchange says in one line what an operator can do about silence.
func explainExchange(err error) error {
	var silence *radius.NoAnswerError
	var unreachable *radius.UnreachableError
	switch {
	case errors.As(err, &silence) && silence.Cause != nil:
		return err
	case errors.As(err, &silence) && silence.Ignored > 0:
		return fmt.Errorf("no valid answer from %s (%d packets ignored: %v): is the secret the same on both sides?",
			silence.Server, silence.Ignored, silence.Reason)
	case errors.As(err, &silence):
		return fmt.Errorf("no answer from %s after %d attempts: is this address a NAS there, with the same secret?",
			silence.Server, silence.Attempts)
	case errors.As(err, &unreachable):
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%s: nothing listens on that port", unreachable.Server)
		}
		return err
	}
	return err
}

// printPacket prints a title and the attributes as pairs, those that hold a
// secret without it.
func (a *app) printPacket(d *dictionary.Dictionary, title string, attributes []byte, cipher dictionary.Cipher) {
	fmt.Fprintln(a.stdout, title)
	pairs, err := d.ParseWire(attributes, cipher)
	if err != nil {
		fmt.Fprintf(a.stdout, "  (%v)\n", err)
		return
	}
	for _, p := range pairs {
		if p.Attr.Secret || p.Attr.Encrypt != dictionary.EncryptNone {
			fmt.Fprintf(a.stdout, "  %s = (hidden)\n", p.Attr.Name)
			continue
		}
		fmt.Fprintf(a.stdout, "  %s\n", printable(p.String()))
	}
}

// appendPairs encodes the --attr flags onto a message, and the test's own
// NAS-Identifier if they name no NAS.
func (t *target) appendPairs(d *dictionary.Dictionary, m *radius.Message) error {
	var pairs []dictionary.Pair
	for _, text := range t.attributes {
		parsed, err := d.ParsePairs(text)
		if err != nil {
			return usagef("--attr %q: %v", text, err)
		}
		pairs = append(pairs, parsed...)
	}
	attributes, err := d.AppendWire(nil, pairs, radius.NewCipher([]byte(t.secret), m.RequestAuthenticator()))
	if err != nil {
		return usagef("--attr: %v", err)
	}
	m.Attributes = append(m.Attributes, attributes...)
	given := radius.Attributes(attributes)
	if !given.Has(radius.TypeNASIPAddress) && !given.Has(radius.TypeNASIPv6Address) && !given.Has(radius.TypeNASIdentifier) {
		m.AddString(radius.TypeNASIdentifier, testNASIdentifier)
	}
	return nil
}

func (a *app) testStatusCommand() *cobra.Command {
	t := &target{a: a}
	acct := false
	c := &cobra.Command{
		Use:   "status",
		Short: "Ask a server whether it is alive (Status-Server, RFC 5997)",
		Example: `  radiusd test status
  radiusd test status --acct --server 192.0.2.10 --secret s3cret`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			port := authPort
			if acct {
				port = acctPort
			}
			if err := t.complete(port); err != nil {
				return err
			}
			d, err := a.dictionary()
			if err != nil {
				return err
			}
			m := &radius.Message{Code: radius.StatusServer}
			if err := t.appendPairs(d, m); err != nil {
				return err
			}
			_, err = t.exchange(c.Context(), d, m)
			return err
		},
	}
	t.exchangeFlags(c)
	c.Flags().BoolVar(&acct, "acct", false, "ask the accounting port")
	return c
}
