package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/aaa"
)

// passwordFlags are the flags that give a user a credential.
type passwordFlags struct {
	password, passwordHash, hash string
	stdin, mac                   bool
}

func (f *passwordFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.password, "password", "", "`PASSWORD` (visible in the process list: rather --password-stdin)")
	flags.BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input, or ask on a terminal")
	flags.StringVar(&f.hash, "hash", "cleartext", "how to keep the password: "+strings.Join(aaa.PasswordForms(), ", ")+"; CHAP needs cleartext, MS-CHAP cleartext or nt")
	flags.StringVar(&f.passwordHash, "password-hash", "", "`HASH` as another system keeps it: $6$…, $2b$…, {SSHA}…, {NT}…")
	flags.BoolVar(&f.mac, "mac", false, "NAME is a MAC address that needs no password (MAC authentication)")
	completeFlag(c, "hash", aaa.PasswordForms()...)
}

// credential returns what the flags say; nil if they say nothing.
func (f *passwordFlags) credential(a *app, c *cobra.Command) (*aaa.Credential, error) {
	given := 0
	for _, name := range []string{"password", "password-stdin", "password-hash", "mac"} {
		if c.Flags().Changed(name) {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, usagef("only one of --password, --password-stdin, --password-hash and --mac can be given")
	case !slices.Contains(aaa.PasswordForms(), f.hash):
		return nil, usagef("--hash: %q is not one of %s", f.hash, strings.Join(aaa.PasswordForms(), ", "))
	case given == 0 && c.Flags().Changed("hash"):
		return nil, usagef("--hash needs the password: a stored one cannot be hashed otherwise")
	case given == 0:
		return nil, nil
	case f.mac:
		return &aaa.Credential{Scheme: aaa.SchemeMAC}, nil
	case f.passwordHash != "":
		credential, err := aaa.ParseCredential(f.passwordHash)
		if err != nil {
			return nil, usagef("--password-hash: %v", err)
		}
		return &credential, nil
	}
	password := f.password
	if f.stdin {
		var err error
		if password, err = a.readSecret("password"); err != nil {
			return nil, err
		}
	}
	if password == "" {
		return nil, usagef("the password is empty")
	}
	credential, err := aaa.NewCredential(password, f.hash)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return &credential, nil
}
