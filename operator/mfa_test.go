package operator_test

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/operator"
)

// TestHOTPVectors are those of RFC 4226 appendix D and, for SHA-1, RFC 6238 appendix B.
func TestHOTPVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		assert.Equal(t, want, operator.HOTP(secret, uint64(counter), 6))
	}
	for seconds, want := range map[uint64]string{59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"} {
		assert.Equal(t, want, operator.HOTP(secret, seconds/30, 8))
	}
}

func TestTOTPURL(t *testing.T) {
	u, err := url.Parse(operator.TOTPURL("radiusd", "alice@example.org", []byte("12345678901234567890")))
	require.NoError(t, err)
	assert.Equal(t, "otpauth", u.Scheme)
	assert.Equal(t, "/radiusd:alice@example.org", u.Path)
	assert.Equal(t, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", u.Query().Get("secret"))
}

// enrol gives an operator a second factor.
func (w *world) enrol(name string) (secret string, recovery []string) {
	w.t.Helper()
	by := w.as(name)
	enrolment, err := w.EnrolTOTP(w.t.Context(), by, rightPassword)
	require.NoError(w.t, err)
	recovery, err = w.ConfirmTOTP(w.t.Context(), by, operator.Code(enrolment.Secret, w.clock.Now()))
	require.NoError(w.t, err)
	return enrolment.Secret, recovery
}

// challenge signs in as far as the second factor.
func (w *world) challenge(name string) string {
	w.t.Helper()
	result, err := w.SignIn(w.t.Context(), name, rightPassword, here)
	require.NoError(w.t, err)
	require.Nil(w.t, result.Tokens, "no tokens before the second factor")
	return result.Challenge
}

func TestMFA(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.add("alice", "support")
		by := w.as("alice")
		_, err := w.ConfirmTOTP(ctx, by, "123456")
		require.ErrorIs(t, err, operator.ErrMFADisabled)
		enrolment, err := w.EnrolTOTP(ctx, by, rightPassword)
		require.NoError(t, err)
		w.signIn("alice") // is not asked yet
		_, err = w.ConfirmTOTP(ctx, by, "000000")
		require.ErrorIs(t, err, operator.ErrBadCredentials)
		first := operator.Code(enrolment.Secret, w.clock.Now())
		recovery, err := w.ConfirmTOTP(ctx, by, first[:3]+" "+first[3:])
		require.NoError(t, err)
		require.Len(t, recovery, 10)
		_, err = w.EnrolTOTP(ctx, by, rightPassword)
		require.ErrorIs(t, err, operator.ErrMFAEnabled)

		challenge := w.challenge("alice")
		_, err = w.Authenticate(ctx, challenge, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "a challenge opens nothing")
		_, err = w.Refresh(ctx, challenge, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated)
		_, err = w.VerifyMFA(ctx, w.challenge("alice"), first, here)
		require.ErrorIs(t, err, operator.ErrBadCredentials, "the code of the enrolment was used")
		_, err = w.VerifyMFA(ctx, "a.b.c", first, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated)

		w.clock.add(30 * time.Second)
		code := operator.Code(enrolment.Secret, w.clock.Now())
		tokens, err := w.VerifyMFA(ctx, challenge, code, here)
		require.NoError(t, err)
		who, err := w.Authenticate(ctx, tokens.Access, here)
		require.NoError(t, err)
		assert.True(t, who.MFA)
		tokens, err = w.Refresh(ctx, tokens.Refresh, here)
		require.NoError(t, err)
		who, err = w.Authenticate(ctx, tokens.Access, here)
		require.NoError(t, err)
		assert.True(t, who.MFA, "after a refresh too")
		_, err = w.VerifyMFA(ctx, w.challenge("alice"), code, here)
		require.ErrorIs(t, err, operator.ErrBadCredentials, "a code is good once")
		_, err = w.VerifyMFA(ctx, w.challenge("alice"), first, here)
		require.ErrorIs(t, err, operator.ErrBadCredentials, "and the ones before it are not any more")
		w.clock.add(time.Minute)
		ahead := operator.Code(enrolment.Secret, w.clock.Now().Add(30*time.Second))
		_, err = w.VerifyMFA(ctx, challenge, ahead, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "a challenge is good once")

		w.clock.add(time.Hour)
		late := w.challenge("alice")
		w.clock.add(operator.ChallengeLife)
		_, err = w.VerifyMFA(ctx, late, recovery[0], here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "too late")

		for i := range 3 {
			w.clock.add(time.Hour) // what failed before is forgotten
			_, err = w.VerifyMFA(ctx, w.challenge("alice"), "  "+strings.ToUpper(recovery[1]), here)
			if i == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, operator.ErrBadCredentials, "a recovery code is good once")
			}
		}
		o, err := w.OperatorNamed(ctx, "alice")
		require.NoError(t, err)
		assert.Equal(t, 9, o.RecoveryCodes)
		fresh, err := w.NewRecoveryCodes(ctx, who, recovery[3])
		require.NoError(t, err)
		_, err = w.VerifyMFA(ctx, w.challenge("alice"), recovery[2], here)
		require.ErrorIs(t, err, operator.ErrBadCredentials, "replaced")
		_, err = w.VerifyMFA(ctx, w.challenge("alice"), fresh[2], here)
		require.NoError(t, err)

		w.clock.add(time.Hour)
		require.ErrorIs(t, w.DisableTOTP(ctx, who, "", fresh[3]), operator.ErrBadCredentials)
		require.ErrorIs(t, w.DisableTOTP(ctx, who, wrongPassword, fresh[3]), operator.ErrBadCredentials)
		require.ErrorIs(t, w.DisableTOTP(ctx, who, rightPassword, fresh[2]), operator.ErrBadCredentials, "a used code")
		require.NoError(t, w.DisableTOTP(ctx, who, rightPassword, fresh[3]))
		_, err = w.EnrolTOTP(ctx, who, wrongPassword)
		require.ErrorIs(t, err, operator.ErrBadCredentials)
		w.signIn("alice")
	})
}

// TestMFAAtOnce: of many with one code exactly one gets in.
func TestMFAAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		w.add("alice", "support")
		secret, recovery := w.enrol("alice")
		w.clock.add(time.Minute)
		for _, code := range []string{operator.Code(secret, w.clock.Now()), recovery[0]} {
			var in atomic.Int32
			var all sync.WaitGroup
			for range 4 {
				challenge := w.challenge("alice")
				all.Go(func() {
					if _, err := w.VerifyMFA(t.Context(), challenge, code, here); err == nil {
						in.Add(1)
					}
				})
			}
			all.Wait()
			assert.EqualValues(t, 1, in.Load())
			w.clock.add(time.Hour)
		}
	})
}

func TestMFAIsThrottled(t *testing.T) {
	w := sqliteWorld(t)
	ctx := t.Context()
	w.add("alice", "support")
	secret, _ := w.enrol("alice")
	w.clock.add(time.Minute)
	challenge := w.challenge("alice")
	for i := range 5 {
		_, err := w.VerifyMFA(ctx, challenge, "000000", addrOf([16]byte{0x20, byte(i)}))
		require.ErrorIs(t, err, operator.ErrBadCredentials)
		w.challenge("alice") // the right password does not forget failures of the factor
	}
	var throttled *operator.ThrottledError
	_, err := w.VerifyMFA(ctx, challenge, operator.Code(secret, w.clock.Now()), addrOf([16]byte{0x21}))
	require.ErrorAs(t, err, &throttled)
}

func TestMFASignedOutMeanwhile(t *testing.T) {
	w := sqliteWorld(t)
	alice := w.add("alice", "support")
	secret, _ := w.enrol("alice")
	w.clock.add(time.Minute)
	challenge := w.challenge("alice")
	w.clock.add(time.Second)
	require.NoError(t, w.SetPassword(t.Context(), local, alice.ID, "another good secret"))
	_, err := w.VerifyMFA(t.Context(), challenge, operator.Code(secret, w.clock.Now()), here)
	require.ErrorIs(t, err, operator.ErrUnauthenticated)
}
