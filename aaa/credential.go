package aaa

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"radiusd/radius/mschap"
)

// PasswordForms are the forms in which a password can be kept, the most usual first.
func PasswordForms() []string { return []string{"cleartext", "nt", "argon2id", "bcrypt"} }

// NewCredential keeps a password in one of PasswordForms. argon2id and bcrypt take their
// time.
func NewCredential(password, form string) (Credential, error) {
	var c Credential
	switch form {
	case "cleartext":
		c = Credential{Scheme: SchemeCleartext, Secret: []byte(password)}
	case "nt":
		if !utf8.ValidString(password) {
			return c, fmt.Errorf("the password is not UTF-8, which an NT hash needs")
		}
		hash := mschap.HashPassword(password)
		c = Credential{Scheme: SchemeNTHash, Secret: hash[:]}
	case "argon2id":
		return HashPassword(password)
	case "bcrypt":
		if len(password) > 72 {
			return c, fmt.Errorf("the password is longer than the 72 octets that bcrypt takes")
		}
		digest, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
		if err != nil {
			return c, fmt.Errorf("hash the password: %w", err)
		}
		c = Credential{Scheme: SchemeHash, Secret: digest}
	default:
		return c, fmt.Errorf("%q is not one of %s", form, strings.Join(PasswordForms(), ", "))
	}
	return c, c.Validate()
}
