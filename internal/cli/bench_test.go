package cli

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

func TestBenchAuth(t *testing.T) {
	auth, _ := newOracle(t, &oracle{})
	s := newSite(t, "")
	for _, args := range [][]string{
		{"--count", "500"},
		{"--count", "200", "--method", "chap", "--concurrency", "600"},
		{"--count", "50", "--method", "mschapv2"},
		{"--count", "100", "--rate", "2000", "--sockets", "2"},
		{"--duration", "100ms"},
	} {
		report := s.object(append([]string{"bench", "auth", "--server", auth, "--user", "alice", "--password", "s3cret"}, args...)...)
		assert.Equal(t, report["requests"], report["answers"], args)
		assert.Positive(t, report["answers"], args)
		assert.Zero(t, report["wrong_answers"])
		assert.Zero(t, report["lost"])
		assert.GreaterOrEqual(t, report["latency_max_us"], report["latency_p50_us"])
		if args[0] == "--count" {
			assert.Equal(t, args[1], strconv.Itoa(int(report["requests"].(float64))))
		}
	}
	r := s.run("bench", "auth", "--server", auth, "--user", "alice", "--password", "wrong", "--count", "10")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "10 of 10 answers were wrong: Access-Reject where Access-Accept is right")
	s.ok("bench", "auth", "--server", auth, "--user", "alice", "--password", "wrong", "--count", "10", "--expect", "reject")

	users := s.file("users.csv", "username,password\nalice,s3cret\nmallory,x\n")
	r = s.run("bench", "auth", "--server", auth, "--users-file", users, "--count", "10", "--sockets", "1")
	assert.Contains(t, r.err, "5 of 10 answers were wrong")
	assert.Contains(t, s.run("bench", "auth", "--server", auth, "--users-file", s.file("bad.csv", "name\nx\n")).err, "columns username and password")
}

func TestBenchFindsWhatIsWrong(t *testing.T) {
	auth, _ := newOracle(t, &oracle{lie: true})
	s := newSite(t, "")
	r := s.run("bench", "auth", "--server", auth, "--user", "alice", "--password", "s3cret", "--method", "mschapv2", "--count", "10")
	assert.Contains(t, r.err, "10 of 10 answers were wrong: the MS-CHAP2-Success is wrong")
	r = s.run("bench", "auth", "--server", auth, "--secret", "wrong", "--count", "5", "--wait", "50ms", "--tries", "2", "-o", "json")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "5 of 5 requests got no answer")
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	assert.Equal(t, 5.0, report["retransmissions"])
	assert.Contains(t, s.fails(exitFailed, "bench", "auth", "--server", "127.0.0.1:1", "--wait", "50ms"), "nothing listens on that port")
}

// One request and its answer cost the load generator no allocation, so that it
// measures the server.
func TestBenchSourcesDoNotAllocate(t *testing.T) {
	hasher := radius.NewHasher([]byte("secret"))
	answer := make([]byte, 0, 512)
	reply := func(request radius.Packet, code radius.Code) radius.Packet {
		answer = radius.AppendHeader(answer[:0], code, request.Identifier(), request.Authenticator())
		answer = radius.AppendMessageAuthenticator(answer)
		radius.SetLength(answer)
		hasher.SignMessageAuthenticator(answer, radius.HeaderLength, request.Authenticator())
		hasher.SignResponse(answer, request.Authenticator())
		return answer
	}
	options := func() *benchOptions {
		return &benchOptions{target: target{secret: "secret"}, user: "alice", users: 1, concurrency: 1, seed: 1}
	}
	acct := newAcctSource(&acctOptions{benchOptions: *options(), interims: 100, clock: "both", nases: 1, open: 1, repeat: 0.5}, 1, nil)
	acct.o.servers = []string{"127.0.0.1"}
	acct.add(0)
	logins := []login{{"alice", "s3cret"}}
	for name, c := range map[string]struct {
		source benchSource
		code   radius.Code
		most   float64
	}{
		"pap":  {newAuthSource(options(), "pap", radius.AccessAccept, logins, 0, newQuota(0)), radius.AccessAccept, 0},
		"chap": {newAuthSource(options(), "chap", radius.AccessAccept, logins, 0, newQuota(0)), radius.AccessAccept, 0},
		"acct": {acct, radius.AccountingResponse, 0},
	} {
		t.Run(name, func(t *testing.T) {
			buf := make([]byte, 0, 512)
			allocs := testing.AllocsPerRun(200, func() {
				if wait := c.source.begin(0, time.Now(), false); wait != 0 {
					t.Fatal(wait)
				}
				c.source.fate(0, 0, 0)
				packet, err := c.source.encode(buf, 0, 7, 0)
				if err != nil {
					t.Fatal(err)
				}
				request, discard := radius.Parse(packet)
				if discard != 0 {
					t.Fatal(discard)
				}
				if err := c.source.answered(0, reply(request, c.code), request.Authenticator()); err != nil {
					t.Fatal(err)
				}
			})
			assert.LessOrEqual(t, allocs, c.most)
		})
	}
}

func TestVerifyAnswer(t *testing.T) {
	hasher := radius.NewHasher([]byte("secret"))
	authenticator := &[16]byte{1, 2, 3}
	answer := func(build func([]byte) []byte) radius.Packet {
		p := radius.AppendHeader(nil, radius.AccessAccept, 1, authenticator)
		p = build(p)
		radius.SetLength(p)
		if i := bytes.IndexByte(p[radius.HeaderLength:], byte(radius.TypeMessageAuthenticator)); i >= 0 {
			hasher.SignMessageAuthenticator(p, radius.HeaderLength+i, authenticator)
		}
		hasher.SignResponse(p, authenticator)
		return p
	}
	first := answer(radius.AppendMessageAuthenticator)
	assert.NoError(t, verifyAnswer(hasher, first, authenticator, true))
	assert.ErrorIs(t, verifyAnswer(hasher, first, &[16]byte{9}, true), errUnverified)
	none := answer(func(p []byte) []byte { return p })
	assert.NoError(t, verifyAnswer(hasher, none, authenticator, false))
	assert.ErrorContains(t, verifyAnswer(hasher, none, authenticator, true), "has no Message-Authenticator")
	second := answer(func(p []byte) []byte {
		return radius.AppendMessageAuthenticator(radius.AppendUint32(p, radius.TypeSessionTimeout, 1))
	})
	assert.ErrorContains(t, verifyAnswer(hasher, second, authenticator, true), "not the first attribute")
	forged := answer(radius.AppendMessageAuthenticator)
	forged[radius.HeaderLength+5] ^= 1
	hasher.SignResponse(forged, authenticator)
	assert.ErrorIs(t, verifyAnswer(hasher, forged, authenticator, true), errUnverified)
}
