package aaa

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Hashes of the password "wonderland" that other programs made: libxcrypt,
// OpenSSL, Python's hashlib.
func foreignHashes() map[string]string {
	return map[string]string{
		"SHA-512 crypt":    "$6$xDOCEfgFCf31ikkV$rKfDj93evMa9Pv3pZPoB0Yp/AkxUm4LcEZl.GNsByoA8iNJc7nvk/qByhcfe5yCgAa9V/GTh.HDJ0L5slWSc60",
		"SHA-256 crypt":    "$5$saltsalt$IeaomH1t0t79ShF5t59ZywXLL/dm2jA/3vpoR6EMo74",
		"MD5 crypt":        "$1$saltsalt$rMIqYVCXYNdPxX2s/bKpR0",
		"bcrypt":           "$2b$05$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW",
		"PBKDF2":           "$pbkdf2-sha512$1000$MDEyMzQ1Njc4OWFiY2RlZg$GBQV0aUMYbiyELyBOq6WBd4dDN58zrZ.z4OumtmTSVsnU38dCxiEe/njJ/gCTDccmdqsjR3CyKjD3hhVEdAIZQ",
		"scrypt":           "$scrypt$ln=4,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$d80gVbyUXkI0LPQnTPDZYrK8loKWJPKPRoQ36tRAKO8",
		"yescrypt":         "$y$j9T$saltsalt$gQHlKvC8EsN9d4RGdGHtWbZLrbVNBED7jgMaO1mgI30",
		"LDAP crypt":       "{CRYPT}$5$saltsalt$IeaomH1t0t79ShF5t59ZywXLL/dm2jA/3vpoR6EMo74",
		"LDAP in lower":    "{crypt}$5$saltsalt$IeaomH1t0t79ShF5t59ZywXLL/dm2jA/3vpoR6EMo74",
		"LDAP SHA":         "{SHA}tiY7sUhYKUwI5L3866kDY+ENcrQ=",
		"LDAP SSHA":        "{SSHA}RFMKYeWLidwCuUudsQKImRUtrq1zYWx0",
		"LDAP ssha":        "{ssha}RFMKYeWLidwCuUudsQKImRUtrq1zYWx0",
		"LDAP SHA256":      "{SHA256}pxp8cBH1OhurNkLsLOElk/BSMKzo3h4+dkX2nvrBRD0=",
		"LDAP SSHA256":     "{SSHA256}4sQDIwQzUVerYK4wC/EIhCZeQP2HAS8BAeZHau9a/9hzYWx0",
		"LDAP SHA384":      "{SHA384}QtDE5HkzMdwwDRiDC02dhrUTwZJXTC1aGF/m2zAh5jggcpKWI4X5QwevNBIzCeiD",
		"LDAP SSHA384":     "{SSHA384}MkyXjJhyBIkgry+21BHkc7OCJ5NDGMysnaeIz1QRe0AN43d5rLUMN/ORE1pKbNXlc2FsdA==",
		"LDAP SHA512":      "{SHA512}ku0fDfoQrWtagdEFYHEbjQ9c9VgiIcfBTHy9WUlYxzC0akkZeapved5X1TI3/zY9iEZNFBBxylKvMcYzgvbHpg==",
		"LDAP SSHA512":     "{SSHA512}i3DHjD+nG9lZVFneiJOpuHEIlWquKdcJHxr/CK7Y8Xx4RL+1cDf6fOU3ky5nbh14qdtQTsEJYM8+lw99JwfiAXNhbHQ=",
		"LDAP MD5":         "{MD5}TOyv8rMLvnXOcyIQkWTPtQ==",
		"LDAP SMD5":        "{SMD5}OBEYMdB7Wuez+ZSKGURozHNhbHQ=",
		"LDAP, no padding": "{SMD5}OBEYMdB7Wuez+ZSKGURozHNhbHQ",
	}
}

func TestForeignHashes(t *testing.T) {
	h, err := newHasher()
	require.NoError(t, err)
	for name, text := range foreignHashes() {
		t.Run(name, func(t *testing.T) {
			credential, err := ParseCredential(text)
			require.NoError(t, err)
			require.Equal(t, Credential{SchemeHash, []byte(text)}, credential)
			require.NoError(t, credential.Validate())
			match, err := h.verify(text, []byte("wonderland"))
			require.NoError(t, err)
			require.True(t, match)
			for _, wrong := range []string{"", "wonderlan", "wonderland ", "Wonderland"} {
				match, err = h.verify(text, []byte(wrong))
				require.NoError(t, err)
				require.False(t, match, "%q", wrong)
			}
			require.Equal(t, !strings.HasPrefix(name, "LDAP") || strings.Contains(strings.ToLower(text), "{crypt}"), h.slow(text))
		})
	}
}

// The example in the README of the reference implementation of argon2.
func TestArgon2Vector(t *testing.T) {
	h, err := newHasher()
	require.NoError(t, err)
	match, err := h.verify("$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG", []byte("password"))
	require.NoError(t, err)
	require.True(t, match)
}

func TestHashPassword(t *testing.T) {
	h, err := newHasher()
	require.NoError(t, err)
	credential, err := HashPassword("wonderland")
	require.NoError(t, err)
	require.Equal(t, SchemeHash, credential.Scheme)
	require.Contains(t, string(credential.Secret), "$argon2id$v=19$m=19456,t=2,p=1$")
	require.NoError(t, credential.Validate())
	match, err := h.verify(string(credential.Secret), []byte("wonderland"))
	require.NoError(t, err)
	require.True(t, match)
	again, err := HashPassword("wonderland")
	require.NoError(t, err)
	require.NotEqual(t, credential.Secret, again.Secret, "salted")
}

func TestParseCredential(t *testing.T) {
	nt := unhex(t, rfc2759Hash)
	for name, test := range map[string]struct {
		text string
		want Credential
	}{
		"cleartext": {"{CLEARTEXT}wonder{land}", cleartext("wonder{land}")},
		"plain":     {"{plain}x", cleartext("x")},
		"NT hash":   {"{NT}" + strings.ToLower(rfc2759Hash), Credential{SchemeNTHash, nt}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCredential(test.text)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
	for name, text := range map[string]string{
		"no prefix": "canary", "unknown scheme": "{ROT13}canary", "unknown id": "$99$canary$canary", "broken base64": "{SHA}canary!",
		"digest too short": "{SSHA}Y2FuYXJ5", "no brace": "{SHA", "short NT hash": "{NT}ca", "broken bcrypt": "$2b$05$canary", "empty": "",
		"SHA with a salt": "{SHA}RFMKYeWLidwCuUudsQKImRUtrq1zYWx0", "DES crypt": "saG3ZOabPzJCk",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCredential(text)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

// A hash says what it costs to verify, and nobody may make the server pay any price:
// four TiB of memory would end the process at the first login.
func TestHashesThatCostTooMuch(t *testing.T) {
	const salt, sum = "$MDEyMzQ1Njc4OWFiY2RlZg$", "d80gVbyUXkI0LPQnTPDZYrK8loKWJPKPRoQ36tRAKO8"
	h, err := newHasher()
	require.NoError(t, err)
	for _, test := range []struct {
		text string
		fine bool
	}{
		{"$argon2id$v=19$m=262144,t=16,p=4" + salt + sum, true},
		{"$argon2id$v=19$m=4294967295,t=1,p=1" + salt + sum, false},
		{"{ARGON2}$argon2id$v=19$m=4294967295,t=1,p=1" + salt + sum, false},
		{"$argon2i$v=19$m=1024,t=2147483647,p=1" + salt + sum, false},
		{"$argon2d$v=19$m=1024,t=1,p=16777215" + salt + sum, false},
		{"$argon2id$v=19$m=1024,t=0,p=1" + salt + sum, false},
		{"$argon2id$v=19$m=1024,t=1,p=0" + salt + sum, false},
		{"$argon2id$v=19$m=1,t=1,p=1,m=4294967295" + salt + sum, false},
		{"$scrypt$ln=18,r=8,p=1" + salt + sum, true},
		{"$scrypt$ln=30,r=8,p=1" + salt + sum, false},
		{"$scrypt$ln=4,r=1000000,p=1" + salt + sum, false},
		{"$scrypt$ln=4,r=8,p=1000000" + salt + sum, false},
		{"$2b$12$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW", true},
		{"$2y$31$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW", false},
		{"{crypt}$2b$31$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW", false},
		{"$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2", true},
		{"$bcrypt-sha256$v=2,t=2b,r=31$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2", false},
		{"$5$rounds=10000000$saltsalt$IeaomH1t0t79ShF5t59ZywXLL/dm2jA/3vpoR6EMo74", true},
		{"$5$rounds=999999999$saltsalt$IeaomH1t0t79ShF5t59ZywXLL/dm2jA/3vpoR6EMo74", false},
		{"$pbkdf2-sha512$10000000" + salt + sum, true},
		{"$pbkdf2-sha512$4294967295" + salt + sum, false},
		{"{PBKDF2-SHA512}2147483647" + salt + sum, false},
		{"$sha1$40000$saltsalt$pZ9ibNqdYuzHRE3f5Ff8JtoZ5nYM", true},
		{"$sha1$4294967295$saltsalt$pZ9ibNqdYuzHRE3f5Ff8JtoZ5nYM", false},
		{"$md5,rounds=4294967295$saltsalt$$rMIqYVCXYNdPxX2s/bKpR0", false},
		{"$y$jDT$saltsalt$gQHlKvC8EsN9d4RGdGHtWbZLrbVNBED7jgMaO1mgI30", true},
		{"$y$jET$saltsalt$gQHlKvC8EsN9d4RGdGHtWbZLrbVNBED7jgMaO1mgI30", false},
		{"$y$jzz$saltsalt$gQHlKvC8EsN9d4RGdGHtWbZLrbVNBED7jgMaO1mgI30", false},
	} {
		t.Run(test.text[:min(40, len(test.text))], func(t *testing.T) {
			_, err := ParseCredential(test.text)
			if test.fine {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, errHashCost)
			_, err = h.verify(test.text, []byte("x"))
			require.ErrorIs(t, err, errHashCost, "one that is in the store already is not tried")
		})
	}
}

func TestCredentialValidate(t *testing.T) {
	for name, c := range map[string]Credential{
		"empty password": {Scheme: SchemeCleartext}, "long password": cleartext(strings.Repeat("x", 129)), "zero octet": cleartext("a\x00b"),
		"short NT hash": {SchemeNTHash, []byte("x")}, "broken hash": {SchemeHash, []byte("x")}, "secret without scheme": {SchemeNone, []byte("x")},
		"unknown scheme": {Scheme: 99},
	} {
		t.Run(name, func(t *testing.T) { require.Error(t, c.Validate()) })
	}
	require.NoError(t, Credential{Scheme: SchemeMAC}.Validate())
	require.NoError(t, cleartext(strings.Repeat("x", 128)).Validate())
}

func TestVerifiedCache(t *testing.T) {
	c, err := newVerifiedCache(10)
	require.NoError(t, err)
	c.add("hash", []byte("right"))
	require.True(t, c.has("hash", []byte("right")))
	require.False(t, c.has("hash", []byte("wrong")))
	require.False(t, c.has("changed", []byte("right")), "another stored hash is another password")
	require.False(t, c.has("hashr", []byte("ight")))
	for i := range 100 {
		c.add("hash", fmt.Append(nil, i))
		require.True(t, c.has("hash", []byte("right")), "what is in use stays")
		require.LessOrEqual(t, len(c.recent)+len(c.older), 10)
	}
	require.False(t, c.has("hash", []byte("3")), "what is not is forgotten")
}
