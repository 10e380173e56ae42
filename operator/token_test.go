package operator_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/operator"
)

// forge makes a JWT with any header and claims, signed by sign.
func forge(t *testing.T, header, claims map[string]any, sign func(input []byte) []byte) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func decodePart(t *testing.T, part string) (m map[string]any) {
	b, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &m))
	return m
}

// TestForgedAccessTokens changes one thing at a time, each time rightly signed with
// our own key unless the case says otherwise.
func TestForgedAccessTokens(t *testing.T) {
	w := sqliteWorld(t)
	ctx := t.Context()
	w.add("alice", "owner")
	tokens := w.signIn("alice")
	parts := strings.Split(tokens.Access, ".")
	header, claims := decodePart(t, parts[0]), decodePart(t, parts[1])
	keys, err := w.store.SigningKeys(ctx)
	require.NoError(t, err)
	ours := ed25519.NewKeyFromSeed(keys[0].Seed)
	bySeed := func(input []byte) []byte { return ed25519.Sign(ours, input) }
	_, err = w.Authenticate(ctx, forge(t, header, claims, bySeed), here)
	require.NoError(t, err, "the forgery works before it is spoilt")

	_, theirs, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(theirs.Public().(ed25519.PublicKey))}
	byTheirs := func(input []byte) []byte { return ed25519.Sign(theirs, input) }
	byPublicKey := func(input []byte) []byte {
		mac := hmac.New(sha256.New, ours.Public().(ed25519.PublicKey))
		mac.Write(input)
		return mac.Sum(nil)
	}
	now := w.clock.Now()
	for name, tt := range map[string]struct {
		header, claims map[string]any
		sign           func([]byte) []byte
	}{
		"alg none":                {header: map[string]any{"alg": "none"}, sign: func([]byte) []byte { return nil }},
		"alg None":                {header: map[string]any{"alg": "None"}, sign: func([]byte) []byte { return nil }},
		"algorithm confusion":     {header: map[string]any{"alg": "HS256"}, sign: byPublicKey},
		"RS256":                   {header: map[string]any{"alg": "RS256"}},
		"another key":             {sign: byTheirs},
		"jwk":                     {header: map[string]any{"jwk": jwk}, sign: byTheirs},
		"jwk, right signature":    {header: map[string]any{"jwk": jwk}},
		"jku":                     {header: map[string]any{"jku": "https://evil.example/keys"}},
		"x5u":                     {header: map[string]any{"x5u": "https://evil.example/cert"}},
		"x5c":                     {header: map[string]any{"x5c": []string{"AAAA"}}},
		"crit":                    {header: map[string]any{"crit": []string{"exp"}}},
		"b64":                     {header: map[string]any{"b64": false}},
		"kid of nobody":           {header: map[string]any{"kid": uuid.NewString()}},
		"kid a path":              {header: map[string]any{"kid": "../../../../dev/null"}},
		"kid SQL":                 {header: map[string]any{"kid": "' UNION SELECT seed FROM signing_keys --"}},
		"kid a number":            {header: map[string]any{"kid": 1}},
		"no kid":                  {header: map[string]any{"kid": nil}},
		"typ JWT":                 {header: map[string]any{"typ": "JWT"}},
		"typ of a challenge":      {header: map[string]any{"typ": "mfa+jwt"}},
		"audience of a challenge": {claims: map[string]any{"aud": "radiusd:mfa"}},
		"several audiences":       {claims: map[string]any{"aud": []string{"radiusd:admin", "radiusd:mfa"}}},
		"no audience":             {claims: map[string]any{"aud": nil}},
		"wrong issuer":            {claims: map[string]any{"iss": "radiusx"}},
		"expired":                 {claims: map[string]any{"exp": now.Unix()}},
		"no expiry":               {claims: map[string]any{"exp": nil}},
		"expiry a text":           {claims: map[string]any{"exp": "never"}},
		"not yet":                 {claims: map[string]any{"nbf": now.Unix() + 60}},
		"issued in the future":    {claims: map[string]any{"iat": now.Unix() + 60}},
		"of nobody":               {claims: map[string]any{"sub": uuid.NewString()}},
		"no subject":              {claims: map[string]any{"sub": nil}},
		"no id":                   {claims: map[string]any{"jti": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			h, c := maps.Clone(header), maps.Clone(claims)
			maps.Copy(h, tt.header)
			maps.Copy(c, tt.claims)
			for _, m := range []map[string]any{h, c} {
				maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
			}
			sign := tt.sign
			if sign == nil {
				sign = bySeed
			}
			_, err := w.Authenticate(ctx, forge(t, h, c, sign), here)
			assert.ErrorIs(t, err, operator.ErrUnauthenticated)
		})
	}
	for name, bearer := range map[string]string{
		"empty": "", "dots": "..", "a refresh token": tokens.Refresh, "cut": tokens.Access[:len(tokens.Access)-5], "no signature": parts[0] + "." + parts[1] + ".",
		"JSON form": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"huge":      tokens.Access + strings.Repeat("A", 1<<20), "twice": tokens.Access + "." + tokens.Access,
	} {
		_, err := w.Authenticate(ctx, bearer, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated, name)
	}
}

func TestKeyRotation(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.add("alice", "support")
		w.signIn("alice")
		w.clock.add(operator.KeyLife - time.Minute)
		old := w.signIn("alice")
		w.clock.add(2 * time.Minute)
		// Several processes rotate at once, and yield one key.
		worlds := []*world{w, w.another(), w.another(), w.another()}
		fresh := make([]*operator.Tokens, len(worlds))
		var all sync.WaitGroup
		for i, process := range worlds {
			all.Go(func() {
				result, err := process.SignIn(ctx, "alice", rightPassword, here)
				if assert.NoError(t, err) {
					fresh[i] = result.Tokens
				}
			})
		}
		all.Wait()
		keys, err := w.store.SigningKeys(ctx)
		require.NoError(t, err)
		require.Len(t, keys, 2)
		for _, process := range worlds {
			for _, tokens := range append(fresh, old) {
				_, err := process.Authenticate(ctx, tokens.Access, here)
				assert.NoError(t, err, "the old key verifies until its last token has expired")
			}
		}
		w.clock.add(operator.KeyLife)
		w.signIn("alice")
		keys, err = w.store.SigningKeys(ctx)
		require.NoError(t, err)
		assert.Len(t, keys, 2, "keys that verify nothing are gone")
	})
}

func TestDisabledOperatorIsOut(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		bob := w.add("bob", "admin")
		tokens := w.signIn("bob")
		by, err := w.Authenticate(ctx, tokens.Access, here)
		require.NoError(t, err)
		_, machine, err := w.CreateAPIToken(ctx, by, operator.NewAPIToken{Name: "cron", Permissions: operator.NewPermissionSet(operator.UsersRead)})
		require.NoError(t, err)
		other := w.another()
		for _, bearer := range []string{tokens.Access, machine} {
			_, err := other.Authenticate(ctx, bearer, here)
			require.NoError(t, err)
		}
		status := operator.Disabled
		w.clock.add(time.Second)
		_, err = w.ChangeOperator(ctx, local, bob.ID, operator.OperatorChange{Status: &status})
		require.NoError(t, err)
		for _, bearer := range []string{tokens.Access, machine} {
			_, err = w.Authenticate(ctx, bearer, here)
			assert.ErrorIs(t, err, operator.ErrUnauthenticated, "at once in the process that did it")
		}
		w.clock.add(operator.AccessFresh)
		for _, bearer := range []string{tokens.Access, machine} {
			_, err = other.Authenticate(ctx, bearer, here)
			assert.ErrorIs(t, err, operator.ErrUnauthenticated, "and soon in others")
		}
		_, err = other.Refresh(ctx, tokens.Refresh, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated)
		status = operator.Active
		_, err = w.ChangeOperator(ctx, local, bob.ID, operator.OperatorChange{Status: &status})
		require.NoError(t, err)
		_, err = w.Authenticate(ctx, tokens.Access, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated, "what was ended stays so")
		_, err = w.Authenticate(ctx, machine, here)
		assert.NoError(t, err)
	})
}

// TestSeenTokens: a token that was let in before is refused once it has expired, or its key
// verifies no more.
func TestSeenTokens(t *testing.T) {
	w := sqliteWorld(t)
	ctx := t.Context()
	alice := w.add("alice", "support")
	w.signIn("alice")
	w.clock.add(time.Second)
	sign := func(life time.Duration) string {
		token, err := w.SignForTest("at+jwt", "radiusd:admin", map[string]any{"sub": alice.ID.String()}, w.clock.Now(), life)
		require.NoError(t, err)
		return token
	}
	refused := func(token string) bool {
		_, err := w.Authenticate(ctx, token, here)
		if err != nil {
			require.ErrorIs(t, err, operator.ErrUnauthenticated)
		}
		return err != nil
	}
	short, long := sign(time.Minute), sign(10*operator.KeyLife)
	for range 2 {
		assert.False(t, refused(short))
		assert.False(t, refused(long))
		assert.True(t, refused(short+"A"))
	}
	w.clock.add(time.Minute)
	assert.True(t, refused(short), "it has expired")
	w.clock.add(operator.KeyLife)
	w.signIn("alice") // with another key
	assert.False(t, refused(long))
	w.clock.add(2 * time.Hour)
	assert.True(t, refused(long), "its key was followed long ago")
}

// TestStoreAway: what is known goes on for a minute, and then nobody is let in.
func TestStoreAway(t *testing.T) {
	w := sqliteWorld(t)
	ctx := t.Context()
	w.add("alice", "support")
	tokens := w.signIn("alice")
	_, err := w.Authenticate(ctx, tokens.Access, here)
	require.NoError(t, err)
	require.NoError(t, w.store.Close())
	w.clock.add(59 * time.Second)
	_, err = w.Authenticate(ctx, tokens.Access, here)
	require.NoError(t, err)
	w.clock.add(2 * time.Second)
	_, err = w.Authenticate(ctx, tokens.Access, here)
	require.ErrorIs(t, err, operator.ErrUnavailable)
}

func TestRefresh(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.add("alice", "support")
		first := w.signIn("alice")
		w.clock.add(time.Minute)
		second, err := w.another().Refresh(ctx, first.Refresh, here)
		require.NoError(t, err)
		assert.Equal(t, first.SessionID, second.SessionID)
		_, err = w.Authenticate(ctx, second.Access, here)
		require.NoError(t, err)

		other := w.signIn("alice")
		_, err = w.Refresh(ctx, first.Refresh, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "used before")
		events := w.takeEvents()
		assert.Equal(t, operator.RefreshTokenReused, events[len(events)-1].Kind)
		_, err = w.Refresh(ctx, second.Refresh, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "and so the whole family is worthless")
		_, err = w.Authenticate(ctx, second.Access, here)
		require.ErrorIs(t, err, operator.ErrUnauthenticated, "its access token too")
		_, err = w.Refresh(ctx, other.Refresh, here)
		require.NoError(t, err, "another sign-in goes on")
		for _, text := range []string{"", "rdr_", first.Access, "rdr_" + strings.Repeat("A", 43), other.Refresh + "A"} {
			_, err := w.Refresh(ctx, text, here)
			assert.ErrorIs(t, err, operator.ErrUnauthenticated)
		}
	})
}

// TestRefreshAtOnce: of two with the same token exactly one gets the next.
func TestRefreshAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		w.add("alice", "support")
		other := w.another()
		for range 5 {
			tokens := w.signIn("alice")
			var mu sync.Mutex
			won := 0
			var all sync.WaitGroup
			for i := range 6 {
				process := []*world{w, other}[i%2]
				all.Go(func() {
					_, err := process.Refresh(t.Context(), tokens.Refresh, here)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						won++
					} else {
						assert.ErrorIs(t, err, operator.ErrUnauthenticated)
					}
				})
			}
			all.Wait()
			assert.Equal(t, 1, won)
		}
	})
}

func TestSessionEnds(t *testing.T) {
	engines(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		alice := w.add("alice", "support")
		idle := w.signIn("alice")
		w.clock.add(operator.SessionIdle)
		_, err := w.Refresh(ctx, idle.Refresh, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated, "idle for too long")

		busy := w.signIn("alice")
		for range 5 {
			w.clock.add(operator.SessionIdle - time.Hour)
			if busy, err = w.Refresh(ctx, busy.Refresh, here); err != nil {
				break
			}
		}
		assert.ErrorIs(t, err, operator.ErrUnauthenticated, "thirty days at most")

		tokens := w.signIn("alice")
		by, err := w.Authenticate(ctx, tokens.Access, here)
		require.NoError(t, err)
		require.NoError(t, w.SignOut(ctx, by))
		_, err = w.Authenticate(ctx, tokens.Access, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated)
		_, err = w.Refresh(ctx, tokens.Refresh, here)
		assert.ErrorIs(t, err, operator.ErrUnauthenticated)

		one, two := w.signIn("alice"), w.signIn("alice")
		by, err = w.Authenticate(ctx, one.Access, here)
		require.NoError(t, err)
		sessions, err := w.Sessions(ctx, by)
		require.NoError(t, err)
		assert.Len(t, sessions, 2)
		w.add("mallory", "support")
		assert.ErrorIs(t, w.CloseSession(ctx, w.as("mallory"), one.SessionID), operator.ErrNotFound, "of somebody else")
		require.NoError(t, w.SignOutEverywhere(ctx, by, alice.ID))
		for _, tokens := range []*operator.Tokens{one, two} {
			_, err = w.Authenticate(ctx, tokens.Access, here)
			assert.ErrorIs(t, err, operator.ErrUnauthenticated)
			_, err = w.Refresh(ctx, tokens.Refresh, here)
			assert.ErrorIs(t, err, operator.ErrUnauthenticated)
		}
		w.clock.add(time.Millisecond)
		w.signIn("alice")
	})
}

func TestSessionsAreBounded(t *testing.T) {
	w := sqliteWorld(t)
	w.add("alice", "support")
	first := w.signIn("alice")
	for range operator.MaxSessions {
		w.clock.add(time.Second)
		w.signIn("alice")
	}
	by := w.as("alice")
	sessions, err := w.Sessions(t.Context(), by)
	require.NoError(t, err)
	assert.Len(t, sessions, operator.MaxSessions)
	_, err = w.Refresh(t.Context(), first.Refresh, here)
	assert.ErrorIs(t, err, operator.ErrUnauthenticated, "the oldest went")
}

func TestAPITokenText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		text, hash, err := operator.NewAPITokenText(rand.Reader, id)
		require.NoError(t, err)
		gotID, gotHash, err := operator.ParseAPITokenText(text)
		require.NoError(t, err)
		require.Equal(t, id, gotID)
		require.Equal(t, hash, gotHash[:])
		// One character changed is noticed without a look into the store.
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		c := rapid.Byte().Draw(t, "to")
		if changed := text[:at] + string(rune(c)) + text[at+1:]; changed != text {
			_, _, err = operator.ParseAPITokenText(changed)
			require.Error(t, err)
		}
	})
}

func FuzzParseAPIToken(f *testing.F) {
	text, _, err := operator.NewAPITokenText(rand.Reader, uuid.New())
	require.NoError(f, err)
	for _, seed := range []string{text, "", "rd_", strings.ToUpper(text), text + "a", "rd_" + strings.Repeat("7", 84), "rd_\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, _, err := operator.ParseAPITokenText(s); err == nil && !strings.HasPrefix(s, "rd_") {
			t.Fatal("taken without its prefix")
		}
	})
}

// FuzzAuthenticate: no text but those we gave lets anybody in, and none panics.
func FuzzAuthenticate(f *testing.F) {
	w := sqliteWorld(f)
	w.add("alice", "owner")
	tokens := w.signIn("alice")
	for _, seed := range []string{tokens.Access, tokens.Refresh, "rd_aaaa", "a.b.c", "eyJhbGciOiJub25lIn0.e30."} {
		f.Add(seed)
	}
	signed := tokens.Access[:strings.LastIndex(tokens.Access, ".")]
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := w.Authenticate(t.Context(), s, here); err == nil && !strings.HasPrefix(s, signed) {
			t.Fatalf("%q lets in", s)
		}
	})
}
