package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
	"layeh.com/radius/rfc2759"

	"radiusd/aaa"
)

// hashNames are how a password can be kept.
var hashNames = []string{"cleartext", "nt", "argon2id", "bcrypt"}

// newCredential keeps a password as the name of a hash says.
func newCredential(password, hash string) (aaa.Credential, error) {
	var c aaa.Credential
	switch hash {
	case "cleartext":
		c = aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(password)}
	case "nt":
		unicode, err := rfc2759.ToUTF16([]byte(password))
		if err != nil {
			return c, fmt.Errorf("the password is not UTF-8, which an NT hash needs")
		}
		c = aaa.Credential{Scheme: aaa.SchemeNTHash, Secret: rfc2759.NTPasswordHash(unicode)}
	case "argon2id":
		return aaa.HashPassword(password)
	case "bcrypt":
		if len(password) > 72 {
			return c, fmt.Errorf("the password is longer than the 72 octets that bcrypt takes")
		}
		digest, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
		if err != nil {
			return c, fmt.Errorf("hash the password: %w", err)
		}
		c = aaa.Credential{Scheme: aaa.SchemeHash, Secret: digest}
	default:
		return c, fmt.Errorf("%q is not one of %s", hash, strings.Join(hashNames, ", "))
	}
	return c, c.Validate()
}

// passwordFlags are the flags that give a user a credential.
type passwordFlags struct {
	password, passwordHash, hash string
	stdin, mac                   bool
}

func (f *passwordFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.password, "password", "", "`PASSWORD` (visible in the process list: rather --password-stdin)")
	flags.BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input, or ask on a terminal")
	flags.StringVar(&f.hash, "hash", "cleartext", "how to keep the password: "+strings.Join(hashNames, ", ")+"; CHAP needs cleartext, MS-CHAP cleartext or nt")
	flags.StringVar(&f.passwordHash, "password-hash", "", "`HASH` as another system keeps it: $6$…, $2b$…, {SSHA}…, {NT}…")
	flags.BoolVar(&f.mac, "mac", false, "NAME is a MAC address that needs no password (MAC authentication)")
	completeFlag(c, "hash", hashNames...)
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
	case !slices.Contains(hashNames, f.hash):
		return nil, usagef("--hash: %q is not one of %s", f.hash, strings.Join(hashNames, ", "))
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
	credential, err := newCredential(password, f.hash)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return &credential, nil
}
