package aaa

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const verifiedHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

func TestVerifiedCacheDoesNotAllocate(t *testing.T) {
	c, err := newVerifiedCache(100)
	require.NoError(t, err)
	password := []byte(strings.Repeat("p", 128))
	c.add(verifiedHash, password)
	require.True(t, c.has(verifiedHash, password))
	require.Zero(t, testing.AllocsPerRun(100, func() { c.has(verifiedHash, password) }))

	long := strings.Repeat(verifiedHash, 10)
	c.add(long, password)
	require.True(t, c.has(long, password), "longer than what fits the stack")
	require.False(t, c.has(long[1:], password))

	other, err := newVerifiedCache(100)
	require.NoError(t, err)
	require.NotEqual(t, c.sum("", nil), other.sum("", nil), "each process has its key")
}

func BenchmarkVerified(b *testing.B) {
	c, err := newVerifiedCache(1000)
	require.NoError(b, err)
	password := []byte("a password")
	c.add(verifiedHash, password)
	b.ReportAllocs()
	for b.Loop() {
		if !c.has(verifiedHash, password) {
			b.Fatal("forgotten")
		}
	}
}
