// Package mailaddr tells what is an address for electronic mail.
package mailaddr

import "net/mail"

// Valid reports whether s is one address and nothing else, such as anna@example.org: no
// name, no angle brackets, no space around it. Letters of all scripts are taken.
func Valid(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}
