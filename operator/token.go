package operator

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

const (
	// AccessTokenLife is how long an access token is good.
	AccessTokenLife = 10 * time.Minute
	// challengeLife is how long somebody may look for the second factor.
	challengeLife = 5 * time.Minute
	// clockSkew is how far the clocks of two processes may be apart.
	clockSkew = 5 * time.Second
	// maxToken is how long a token may be, in octets.
	maxToken = 2048
)

// purpose tells the kinds of JWTs apart: none is taken for another.
type purpose struct{ typ, audience string }

var (
	forAccess    = purpose{"at+jwt", "radiusd:admin"} // RFC 9068 section 2.1
	forChallenge = purpose{"mfa+jwt", "radiusd:mfa"}
)

// claims are those of RFC 7519 section 4.1 and RFC 9068 section 2.2.
type claims struct {
	Issuer   string    `json:"iss"`
	Subject  uuid.UUID `json:"sub"`
	Audience string    `json:"aud"`
	// The times are seconds; IssuedAt has microseconds as its fraction.
	ExpiresAt float64   `json:"exp"`
	NotBefore float64   `json:"nbf"`
	IssuedAt  float64   `json:"iat"`
	ID        uuid.UUID `json:"jti"`
	// SessionID is the family of refresh tokens; zero in a challenge.
	SessionID uuid.UUID `json:"sid,omitzero"`
	// Methods are how the operator showed who he is (RFC 8176).
	Methods []string `json:"amr,omitempty"`
}

// The values of amr.
const (
	byPassword = "pwd"
	byOTP      = "otp"
	byOIDC     = "oidc"
	byMFA      = "mfa"
)

func (c *claims) mfa() bool { return slices.Contains(c.Methods, byMFA) }

func numericDate(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func (c *claims) issuedAt() time.Time {
	return time.UnixMicro(int64(math.Round(c.IssuedAt * 1e6))).UTC()
}

// sign returns a JWT. It sets all claims that are the same for all of a purpose.
func (s *Service) sign(ctx context.Context, p purpose, c claims, at time.Time, life time.Duration) (string, error) {
	key, err := s.keys.signing(ctx)
	if err != nil {
		return "", err
	}
	c.Issuer, c.Audience = s.issuer, p.audience
	c.IssuedAt, c.NotBefore, c.ExpiresAt = numericDate(at), float64(at.Unix()), float64(at.Add(life).Unix())
	if c.ID, err = uuid.NewRandom(); err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: ed25519.NewKeyFromSeed(key.Seed), KeyID: key.ID.String()}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(p.typ)))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed.CompactSerialize()
}

// verify returns the claims of a JWT that we signed for the purpose and that is good
// now; else ErrUnauthenticated, whatever is wrong with it.
func (s *Service) verify(ctx context.Context, p purpose, token string) (*claims, error) {
	if len(token) > maxToken {
		return nil, ErrUnauthenticated
	}
	c, known := s.verified.get(p, token)
	if known {
		if _, err := s.keys.byID(ctx, c.key); err != nil {
			return nil, err
		}
	} else {
		var err error
		if c, err = s.verifySignature(ctx, p, token); err != nil {
			return nil, err
		}
		s.verified.add(p, token, c)
	}
	now := numericDate(s.now())
	skew := clockSkew.Seconds()
	if now >= c.ExpiresAt || now < c.NotBefore-skew || now < c.IssuedAt-skew {
		return nil, ErrUnauthenticated
	}
	return c.claims, nil
}

// verifySignature returns the claims of a JWT that we signed for the purpose at some time.
func (s *Service) verifySignature(ctx context.Context, p purpose, token string) (c signedClaims, err error) {
	if c.key, err = readHeader(token, p.typ); err != nil {
		return c, err
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return c, ErrUnauthenticated
	}
	key, err := s.keys.verifying(ctx, c.key)
	if err != nil {
		return c, err
	}
	if canonical, err := signed.CompactSerialize(); err != nil || canonical != token {
		return c, ErrUnauthenticated // another text for the same signature
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return c, ErrUnauthenticated
	}
	if err := json.Unmarshal(payload, &c.claims); err != nil || c.claims == nil {
		return c, ErrUnauthenticated
	}
	if c.Issuer != s.issuer || c.Audience != p.audience || c.Subject == uuid.Nil || c.ID == uuid.Nil {
		return c, ErrUnauthenticated
	}
	return c, nil
}

// readHeader checks that a JWT's header says what ours say and nothing else: jku, jwk,
// x5u, crit and all others are refused before any key is looked for. It returns the
// id of the key.
func readHeader(token, typ string) (kid uuid.UUID, err error) {
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return kid, ErrUnauthenticated
	}
	var header map[string]any
	if err := json.Unmarshal(text, &header); err != nil {
		return kid, ErrUnauthenticated
	}
	id, _ := header["kid"].(string)
	if len(header) != 3 || header["alg"] != string(jose.EdDSA) || header["typ"] != typ || len(id) != len(kid.String()) {
		return kid, ErrUnauthenticated
	}
	if kid, err = uuid.Parse(id); err != nil {
		return kid, ErrUnauthenticated
	}
	return kid, nil
}
