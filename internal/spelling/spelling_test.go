package spelling

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"alice", "alcie", 1},
		{"listen", "listne", 1}, {"kitten", "sitting", 3}, {"zoë", "zoe", 1},
	} {
		assert.Equal(t, c.want, Distance(c.a, c.b), "%q to %q", c.a, c.b)
		assert.Equal(t, c.want, Distance(c.b, c.a), "%q to %q", c.b, c.a)
	}
}

func TestHint(t *testing.T) {
	names := []string{"alice", "alicia", "bob", "Alina", "alice@example.org"}
	assert.Equal(t, "did you mean alice?", Hint("ailce", []string{"alice", "bob"}))
	assert.Equal(t, "did you mean alice, alicia or Alina?", Hint("alice", names))
	assert.Equal(t, "did you mean alice@example.org?", Hint("example", names))
	assert.Empty(t, Hint("zebra", names))
	assert.Equal(t, []string{"bob"}, Near("BOB", names))
	assert.Len(t, Near("a1", []string{"a2", "a3", "a4", "a5"}), 3, "never more than three")
}
