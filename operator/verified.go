package operator

import (
	"crypto/sha256"
	"sync"

	"github.com/google/uuid"
)

// maxVerified bounds the tokens that are remembered.
const maxVerified = 10_000

// verifiedTokens remembers whose signature was found good: that does not change, and to
// verify it takes longer than all else that is asked about a token. What can change is
// asked each time: whether the key still verifies, the time, the session, the operator.
type verifiedTokens struct {
	mu     sync.Mutex
	tokens map[verifiedToken]signedClaims
}

// verifiedToken stands for a token; the token itself is not kept.
type verifiedToken struct {
	purpose
	hash [sha256.Size]byte
}

// signedClaims are the claims of a token and the key that signed them. They are not
// changed.
type signedClaims struct {
	*claims
	key uuid.UUID
}

func (v *verifiedTokens) get(p purpose, token string) (signedClaims, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known, ok := v.tokens[verifiedToken{p, sha256.Sum256([]byte(token))}]
	return known, ok
}

func (v *verifiedTokens) add(p purpose, token string, c signedClaims) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tokens == nil || len(v.tokens) >= maxVerified {
		v.tokens = map[verifiedToken]signedClaims{}
	}
	v.tokens[verifiedToken{p, sha256.Sum256([]byte(token))}] = c
}
