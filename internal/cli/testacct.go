package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"radiusd/dictionary"
	"radiusd/radius"
)

// testStatuses are what `test acct` sends; session stands for a whole one.
var testStatuses = []string{"start", "interim", "stop", "session", "on", "off"}

var acctStatusTypes = map[string]uint32{
	"start": radius.AcctStart, "interim": radius.AcctInterimUpdate, "stop": radius.AcctStop,
	"on": radius.AcctAccountingOn, "off": radius.AcctAccountingOff,
}

// acctRecord is what one Accounting-Request of a test says.
type acctRecord struct {
	status        string
	name          string
	session       string
	seconds       uint32
	input, output uint64
	framedIP      string
}

func (a *app) testAcctCommand() *cobra.Command {
	t := &target{a: a}
	var r acctRecord
	var duration time.Duration
	var input, output string
	c := &cobra.Command{
		Use:   "acct STATUS [NAME]",
		Short: "Account a user's session and wait for the acknowledgement",
		Long: `Sends an Accounting-Request with the given status: start, interim, stop, on or
off, or session for start, interim and stop one after the other. An answer means
that the record is on stable storage. Without --session-id a random one is used and
printed.`,
		Example: `  radiusd test acct start alice --session-id 4711
  radiusd test acct stop alice --session-id 4711 --time 30m --input 10MB --output 1GB
  radiusd test acct session alice
  radiusd test acct on`,
		Args: arguments("STATUS", "[NAME]"),
		ValidArgsFunction: func(c *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return testStatuses, cobra.ShellCompDirectiveNoFileComp
			case 1:
				return a.completeUsers(c, args, toComplete)
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			r.status = args[0]
			if !slices.Contains(testStatuses, r.status) {
				return usagef("unknown status %q: want one of %s", r.status, strings.Join(testStatuses, ", "))
			}
			whole := r.status == "on" || r.status == "off"
			if !whole && len(args) < 2 {
				return usagef("%s: missing NAME", c.CommandPath())
			} else if whole && len(args) > 1 {
				return usagef("%s: %s is about the whole NAS and takes no NAME", c.CommandPath(), r.status)
			}
			if len(args) > 1 {
				r.name = args[1]
			}
			var err error
			if r.input, err = parseOctets(input); err != nil {
				return usagef("--input: %v", err)
			}
			if r.output, err = parseOctets(output); err != nil {
				return usagef("--output: %v", err)
			}
			if _, err := netip.ParseAddr(r.framedIP); r.framedIP != "" && err != nil {
				return usagef("--framed-ip: %q is not an address", r.framedIP)
			}
			r.seconds = uint32(duration / time.Second)
			if err := t.complete(acctPort); err != nil {
				return err
			}
			d, err := a.dictionary()
			if err != nil {
				return err
			}
			return t.account(c.Context(), d, r)
		},
	}
	t.exchangeFlags(c)
	c.Flags().StringVar(&r.session, "session-id", "", "Acct-Session-Id (default random)")
	c.Flags().DurationVar(&duration, "time", 0, "Acct-Session-Time, for interim and stop")
	c.Flags().StringVar(&input, "input", "0", "`OCTETS` from the user, for interim and stop, as in 10MB")
	c.Flags().StringVar(&output, "output", "0", "`OCTETS` to the user, for interim and stop")
	c.Flags().StringVar(&r.framedIP, "framed-ip", "", "the user's `ADDRESS` (Framed-IP-Address)")
	return c
}

// account sends the record, or a whole session's.
func (t *target) account(ctx context.Context, d *dictionary.Dictionary, r acctRecord) error {
	if r.session == "" && r.name != "" {
		var id [8]byte
		rand.Read(id[:])
		r.session = hex.EncodeToString(id[:])
		fmt.Fprintf(t.a.stdout, "Acct-Session-Id %s\n", r.session)
	}
	statuses := []string{r.status}
	if r.status == "session" {
		statuses = []string{"start", "interim", "stop"}
	}
	for _, status := range statuses {
		r.status = status
		m, err := r.message(t.a.now())
		if err != nil {
			return err
		}
		if err := t.appendPairs(d, m); err != nil {
			return err
		}
		reply, err := t.exchange(ctx, d, m)
		if err != nil {
			return err
		}
		if reply.Code() != radius.AccountingResponse {
			return fmt.Errorf("%v is not an Accounting-Response", reply.Code())
		}
	}
	return nil
}

// message encodes the record.
func (r *acctRecord) message(now time.Time) (*radius.Message, error) {
	if len(r.name) > radius.MaxValueLength || len(r.session) > radius.MaxValueLength {
		return nil, usagef("name and --session-id have at most %d octets", radius.MaxValueLength)
	}
	m := &radius.Message{Code: radius.AccountingRequest}
	m.AddUint32(radius.TypeAcctStatusType, acctStatusTypes[r.status])
	if r.name != "" {
		m.AddString(radius.TypeUserName, r.name)
	}
	if r.session != "" {
		m.AddString(radius.TypeAcctSessionID, r.session)
	}
	m.Attributes = radius.AppendTime(m.Attributes, radius.TypeEventTimestamp, now)
	if r.framedIP != "" {
		address, err := netip.ParseAddr(r.framedIP)
		if err != nil {
			return nil, err
		}
		t := radius.TypeFramedIPAddress
		if address.Is6() {
			t = radius.TypeFramedIPv6Address
		}
		m.AddAddr(t, address)
	}
	if r.status == "interim" || r.status == "stop" {
		m.AddUint32(radius.TypeAcctSessionTime, r.seconds)
		m.AddUint32(radius.TypeAcctInputOctets, uint32(r.input))
		m.AddUint32(radius.TypeAcctOutputOctets, uint32(r.output))
		m.AddUint32(radius.TypeAcctInputGigawords, uint32(r.input>>32))
		m.AddUint32(radius.TypeAcctOutputGigawords, uint32(r.output>>32))
	}
	if r.status == "stop" {
		m.AddUint32(radius.TypeAcctTerminateCause, 1) // User-Request, RFC 2866 section 5.10
	}
	return m, nil
}
