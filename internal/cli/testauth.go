package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/radius"
)

func (a *app) testAuthCommand() *cobra.Command {
	t := &target{a: a}
	var method string
	var passwordStdin, omitMA bool
	c := &cobra.Command{
		Use:   "auth NAME [PASSWORD]",
		Short: "Log in as a user and print what the server grants",
		Long: `Sends an Access-Request and prints the answer. The exit code is 1 unless the
answer is an Access-Accept; with mschapv2, the server must also prove that it
knows the password (MS-CHAP2-Success).`,
		Example: `  radiusd test auth alice s3cret
  radiusd test auth alice s3cret --method chap --attr 'Calling-Station-Id = 02-00-00-00-00-01' -v
  pass wifi/alice | radiusd test auth alice --password-stdin --method mschapv2`,
		Args:              arguments("NAME", "[PASSWORD]"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(passwordMethods, method) {
				return usagef("--method: %q is not one of %s", method, strings.Join(passwordMethods, ", "))
			}
			if (len(args) == 2) == passwordStdin {
				return usagef("give either PASSWORD or --password-stdin")
			}
			if passwordStdin && t.secretStdin {
				return usagef("only one of --password-stdin and --secret-stdin can read standard input")
			}
			if err := t.complete(authPort); err != nil {
				return err
			}
			var password string
			var err error
			if passwordStdin {
				if password, err = a.readSecret("password"); err != nil {
					return err
				}
			} else {
				password = args[1]
			}
			d, err := a.dictionary()
			if err != nil {
				return err
			}
			if len(args[0]) > radius.MaxValueLength {
				return usagef("the name has %d octets; a User-Name holds %d", len(args[0]), radius.MaxValueLength)
			}
			m := &radius.Message{Code: radius.AccessRequest, OmitMessageAuthenticator: omitMA}
			m.AddString(radius.TypeUserName, args[0])
			proof, err := addPassword(m, method, []byte(t.secret), args[0], password)
			if err != nil {
				return usagef("%v", err)
			}
			if err := t.appendPairs(d, m); err != nil {
				return err
			}
			reply, err := t.exchange(c.Context(), d, m)
			if err != nil {
				return err
			}
			if reply.Code() != radius.AccessAccept {
				return errReported
			}
			if proof != nil {
				if err := proof(reply); err != nil {
					return err
				}
				fmt.Fprintln(a.stdout, "MS-CHAP2-Success: the server knows the password")
			}
			return nil
		},
	}
	t.exchangeFlags(c)
	c.Flags().StringVar(&method, "method", "pap", "`METHOD`: "+strings.Join(passwordMethods, ", "))
	c.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read the password from standard input")
	c.Flags().BoolVar(&omitMA, "no-message-authenticator", false, "send none, as old NASes do, to see what the server makes of it")
	completeFlag(c, "method", passwordMethods...)
	return c
}
