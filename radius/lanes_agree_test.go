package radius

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A listener finds the same of a request with lanes and without them, for whatever
// secrets the NAS has.
func TestLanesAgreeWithListener(t *testing.T) {
	random, secrets := rand.New(rand.NewPCG(7, 8)), laneSecrets()
	s := &Server{logs: newLogs(slog.New(slog.NewTextHandler(io.Discard, nil)))}
	l := &listener{server: s, hashers: newHashers()}
	seen := map[Discard]int{}
	for range 400 {
		arrivals := make([]arrival, batchSize)
		for i := range arrivals {
			nas := &NAS{RequireMessageAuthenticator: Requirement(random.IntN(2))}
			for range random.IntN(4) {
				secret := secrets[random.IntN(len(secrets))].secret
				if random.IntN(5) == 0 {
					secret = nil
				}
				nas.Secrets = append(nas.Secrets, secret)
			}
			signer := secrets[random.IntN(len(secrets))]
			if n := len(nas.Secrets); n > 0 && random.IntN(3) > 0 {
				signer = l.hashers.get(nas.Secrets[random.IntN(n)])
			}
			p, _ := laneRequest(random, signer)
			if random.IntN(4) == 0 {
				p[4+random.IntN(AuthenticatorLength)] ^= 1
			}
			arrivals[i] = arrival{packet: p, nas: nas, hasher: l.hashers.of(nas), proof: -1}
		}
		l.lanes.verify(arrivals)
		for i := range arrivals {
			a := &arrivals[i]
			plain := arrival{packet: a.packet, nas: a.nas, hasher: a.hasher, proof: -1}
			h, reason := l.verify(a)
			wantHasher, want := l.verify(&plain)
			require.Equal(t, want, reason, "%x", []byte(a.packet))
			seen[reason]++
			if reason == 0 {
				require.Same(t, wantHasher, h)
			}
		}
	}
	require.Greater(t, seen[0], 1000)
	require.Greater(t, seen[DiscardMessageAuthenticatorInvalid], 500)
	require.Greater(t, seen[DiscardAuthenticatorInvalid], 500)
	require.Greater(t, seen[DiscardMessageAuthenticatorMissing], 100)
}
