package mailaddr

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestValid(t *testing.T) {
	for _, s := range []string{"anna@example.org", "anna.b+radius@mail.example.org", "o'neil@example.org", "root@localhost", "jörg@bücher.example", "anna@[192.0.2.1]", "A@B"} {
		assert.True(t, Valid(s), s)
	}
	for _, s := range []string{
		"", " ", "anna", "@example.org", "anna@", "anna@@example.org", "anna@example.org ", " anna@example.org", "anna@example.org\n", "an na@example.org",
		"Anna <anna@example.org>", "<anna@example.org>", "anna@example.org (Anna)", "anna@example.org, bob@example.org", "anna@.org", "\xff@example.org",
	} {
		assert.False(t, Valid(s), s)
	}
}
