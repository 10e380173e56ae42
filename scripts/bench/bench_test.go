//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"radiusd/radius"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The floors and the judge of answers have a RADIUS of their own; package radius says
// whether it is the same one.

func TestRequestsAreValid(t *testing.T) {
	for _, method := range []string{"pap", "chap", "mschapv2"} {
		t.Run(method, func(t *testing.T) {
			for _, distinct := range []bool{false, true} {
				keys := newNASKeys(3, distinct)
				p, err := newPool(method, 2, 1500, keys)
				require.NoError(t, err)
				for identifier := range 256 {
					raw := p.packet(1, 1, identifier)
					packet, discard := radius.Parse(raw)
					require.Zero(t, discard)
					key := keys[nasOf(raw)]
					require.Equal(t, radius.MessageAuthenticatorValid, radius.NewHasher(key.secret[:]).VerifyMessageAuthenticator(packet, nil))
					require.Equal(t, uint8(identifier), packet.Identifier())
					source, ok := packet.Attributes().Addr(radius.TypeNASIPAddress)
					require.True(t, ok)
					require.Equal(t, netip.AddrFrom4(sourceOf(raw)), source)
				}
				assert.NotEqual(t, p.packet(0, 1, 7)[4:20], p.packet(1, 1, 7)[4:20], "two in a row must differ")
			}
		})
	}
}

// TestPoolHasEveryUser also holds that a user always comes from the same NAS.
func TestPoolHasEveryUser(t *testing.T) {
	for _, users := range []int{10, 1000, 5000, 1_000_000} {
		p, err := newPool("pap", 8, users, newNASKeys(8, false))
		require.NoError(t, err)
		nas := map[string]int{}
		for variant := range p.variants {
			for slot := range 8 * 256 {
				raw := p.packet(variant, slot/256, slot%256)
				packet, _ := radius.Parse(raw)
				name, _ := packet.Attributes().Get(radius.TypeUserName)
				if at, seen := nas[string(name)]; seen {
					require.Equal(t, at, nasOf(raw))
				}
				nas[string(name)] = nasOf(raw)
			}
		}
		if users < largestPool {
			assert.Len(t, nas, users)
		} else {
			assert.GreaterOrEqual(t, len(nas), largestPool)
		}
	}
}

func TestAccountingRecordsDiffer(t *testing.T) {
	s := newAcctSource(8, 1000, newNASKeys(8, false))
	hasher := radius.NewHasher([]byte(secret))
	seen := map[string]bool{}
	kinds := map[uint32]int{}
	of := map[string]string{} // NAS of a session
	for i := range 3 * openSessions {
		raw := s.request(i/256%8, i%256)
		packet, discard := radius.Parse(raw)
		require.Zero(t, discard)
		require.True(t, hasher.VerifyRequestAuthenticator(packet))
		require.False(t, seen[string(raw[headerLength:])])
		seen[string(raw[headerLength:])] = true
		status, _ := packet.Attributes().Uint32(radius.TypeAcctStatusType)
		kinds[status]++
		session, _ := packet.Attributes().Get(radius.TypeAcctSessionID)
		nas, _ := packet.Attributes().Get(radius.TypeNASIPAddress)
		address := nasAddress(i / 256 % 8)
		require.Equal(t, address[:], nas)
		if before, known := of[string(session)]; known {
			require.Equal(t, before, string(nas))
		}
		of[string(session)] = string(nas)
	}
	assert.InDelta(t, 3*openSessions/14, kinds[radius.AcctStart], openSessions/100)
	assert.InDelta(t, 3*openSessions/14, kinds[radius.AcctStop], openSessions/100)
}

// TestFloorsAnswerWithValidSignatures lets every floor answer, lets package radius check
// the answer, and lets the generator's own check refuse it once it was changed.
func TestFloorsAnswerWithValidSignatures(t *testing.T) {
	hasher := radius.NewHasher([]byte(secret))
	keys := newNASKeys(1, false)
	judge := &poolSource{pool: &pool{keys: keys}}
	for kind, method := range map[string]string{"pap": "pap", "pap-bare": "pap", "chap": "chap", "mschapv2": "mschapv2"} {
		t.Run(kind, func(t *testing.T) {
			random := bytes.Repeat([]byte{1, 2, 3, 4}, 16)
			request, err := appendRequest(nil, method, 42, keys, 9, random)
			require.NoError(t, err)
			answer, err := floorAnswer(kind)
			require.NoError(t, err)
			raw := answer(request, nil)
			packet, discard := radius.Parse(raw)
			require.Zero(t, discard)
			authenticator := [16]byte(request[4:20])
			require.Equal(t, radius.AccessAccept, packet.Code())
			require.True(t, hasher.VerifyResponse(packet, &authenticator))
			require.Equal(t, radius.MessageAuthenticatorValid, hasher.VerifyMessageAuthenticator(packet, &authenticator))
			verdictOf := func(raw []byte) verdict {
				var b answerBuffer
				return judge.verify(&b, copy(b.packet(), raw), request)
			}
			require.Equal(t, right, verdictOf(raw))
			for i := range raw {
				changed := bytes.Clone(raw)
				changed[i] ^= 1
				require.Equal(t, unverified, verdictOf(changed), "octet %d", i)
			}
			for _, i := range []int{30, len(request) - 1} { // something of what is signed, and the signature
				changed := bytes.Clone(request)
				changed[i] ^= 1
				require.Nil(t, answer(changed, nil), "octet %d", i)
			}
			require.Nil(t, answer(request[:len(request)-1], nil))
			other, err := appendRequest(nil, method, 42, newNASKeys(1, true), 9, random)
			require.NoError(t, err)
			require.Nil(t, answer(other, nil), "another secret")
		})
	}
}

// TestFloorRefusesWrongPassword changes the user's name and signs anew.
func TestFloorRefusesWrongPassword(t *testing.T) {
	for _, method := range []string{"pap", "chap", "mschapv2"} {
		keys := newNASKeys(1, false)
		request, err := appendRequest(nil, method, 42, keys, 9, make([]byte, 64))
		require.NoError(t, err)
		request = bytes.Replace(request, []byte(userName(42)), []byte(userName(43)), 1)
		radius.NewHasher([]byte(secret)).SignMessageAuthenticator(radius.Packet(request), len(request)-18, nil)
		answer, err := floorAnswer(method)
		require.NoError(t, err)
		require.Nil(t, answer(request, nil), method)
	}
}

// TestMSCHAPv2 is the example of RFC 2759 section 9.2.
func TestMSCHAPv2(t *testing.T) {
	challenge := []byte("\x5B\x5D\x7C\x7D\x7B\x3F\x2F\x3E\x3C\x2C\x60\x21\x32\x26\x26\x28")
	peer := []byte("\x21\x40\x23\x24\x25\x5E\x26\x2A\x28\x29\x5F\x2B\x3A\x33\x7C\x7E")
	response, err := ntResponse(challenge, peer, []byte("User"), []byte("clientPass"))
	require.NoError(t, err)
	require.Equal(t, []byte("\x82\x30\x9E\xCD\x8D\x70\x8B\x5E\xA0\x8F\xAA\x39\x81\xCD\x83\x54\x42\x33\x11\x4A\x3D\x85\xD6\xDF"), response[:])
}

// serveFloor runs a floor in this process on a socket of its own.
func serveFloor(t *testing.T, answer func(request, dst []byte) []byte) netip.AddrPort {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	f, err := newFloor(conn)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { defer close(done); _ = f.run(answer) }()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestGenerator(t *testing.T) {
	pap, err := floorAnswer("pap")
	require.NoError(t, err)
	n := 0
	cases := []struct {
		name   string
		answer func(request, dst []byte) []byte
		args   []string
		check  func(t *testing.T, l *load)
	}{
		{"right", pap, nil, func(t *testing.T, l *load) {
			assert.Zero(t, l.Wrong+l.Unverified+l.Unexpected+l.Lost)
			assert.Greater(t, l.Answers, uint64(100))
			assert.Positive(t, l.OwnCPU)
		}},
		{"NASes in turn", pap, []string{"-mixed", "-nases", "300"}, func(t *testing.T, l *load) {
			assert.Zero(t, l.Wrong+l.Unverified+l.Unexpected+l.Lost)
			assert.Greater(t, l.Answers, uint64(100))
		}},
		{"at a rate", pap, []string{"-rate", "1000"}, func(t *testing.T, l *load) {
			assert.Zero(t, l.Wrong+l.Unverified+l.Unexpected+l.Lost)
			// A machine that is busy may be late, but nothing is sent too early.
			assert.Less(t, float64(l.Requests)/l.Elapsed.Seconds(), 1200.0)
			assert.Greater(t, l.Requests, uint64(100))
			assert.Positive(t, l.P99)
		}},
		{"wrong code", func(request, dst []byte) []byte {
			raw := pap(request, dst)
			raw[0] = byte(radius.AccessReject)
			h := radius.NewHasher([]byte(secret))
			authenticator := [16]byte(request[4:20])
			h.SignMessageAuthenticator(raw, headerLength, &authenticator)
			h.SignResponse(raw, &authenticator)
			return raw
		}, nil, func(t *testing.T, l *load) { assert.Equal(t, l.Answers, l.Wrong); assert.Positive(t, l.Wrong) }},
		{"wrong signature", func(request, dst []byte) []byte {
			raw := pap(request, dst)
			raw[5] ^= 1
			return raw
		}, nil, func(t *testing.T, l *load) {
			assert.Zero(t, l.Answers)
			assert.NotEmpty(t, l.FirstError)
		}},
		{"some lost", func(request, dst []byte) []byte {
			if n++; n%3 == 0 {
				return nil
			}
			return pap(request, dst)
		}, []string{"-rate", "100", "-duration", "1300ms"}, func(t *testing.T, l *load) {
			assert.Positive(t, l.Lost)
			assert.Zero(t, l.Wrong+l.Unverified)
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			args := append([]string{"-server", serveFloor(t, c.answer).String(), "-users", "1000", "-sockets", "2",
				"-warmup", "20ms", "-duration", "1s", "-concurrency", "32"}, c.args...)
			require.NoError(t, generate(context.Background(), args, &out))
			var l load
			require.NoError(t, json.Unmarshal(out.Bytes(), &l))
			c.check(t, &l)
		})
	}
}

// TestCrowd has a crowd's requests judged by package radius. None may be the same as the
// one before with the same Identifier from the same port, and no user have a limit.
func TestCrowd(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer conn.Close()
	input, end := io.Pipe()
	done := make(chan error, 1)
	var out bytes.Buffer
	go func() {
		done <- runCrowd([]string{"-server", conn.LocalAddr().String(), "-first", "3", "-nases", "2", "-of", "6", "-ports", "2",
			"-train", "8", "-users", "1000", "-rate", "20000"}, input, &out)
	}()
	_, err = end.Write([]byte{'\n'})
	require.NoError(t, err)
	hasher := radius.NewHasher([]byte(secret))
	before := map[netip.AddrPort]map[uint8][16]byte{}
	raw := make([]byte, slotSize)
	for range 5000 {
		n, from, err := conn.ReadFromUDPAddrPort(raw)
		require.NoError(t, err)
		require.Contains(t, []netip.Addr{netip.AddrFrom4(nasAddress(3)), netip.AddrFrom4(nasAddress(4))}, from.Addr())
		require.Equal(t, netip.AddrFrom4(sourceOf(raw[:n])), from.Addr())
		packet, discard := radius.Parse(raw[:n])
		require.Zero(t, discard)
		require.Equal(t, radius.MessageAuthenticatorValid, hasher.VerifyMessageAuthenticator(packet, nil))
		name, _ := packet.Attributes().Get(radius.TypeUserName)
		require.NotEqual(t, byte('0'), name[len(name)-1])
		if before[from] == nil {
			before[from] = map[uint8][16]byte{}
		}
		require.NotEqual(t, before[from][packet.Identifier()], *packet.Authenticator())
		before[from][packet.Identifier()] = *packet.Authenticator()
	}
	require.Len(t, before, 4)
	end.Close()
	require.NoError(t, <-done)
	rate, err := strconv.ParseFloat(strings.TrimSpace(out.String()), 64)
	require.NoError(t, err)
	require.Positive(t, rate)
}

func TestReportOfDisturbances(t *testing.T) {
	calm := &contestant{name: "disturbed-not", title: "calm", server: disturbedServer, disturbance: nothing}
	flooded := &contestant{name: "f", title: "flood", server: disturbedServer, disturbance: floodServer}
	round := func(calm, flooded time.Duration) map[string]*result {
		return map[string]*result{
			"disturbed-not": {load: load{P50: calm, P99: 10 * calm, Elapsed: time.Second}},
			"f":             {load: load{P50: flooded, P99: 20 * calm, Elapsed: time.Second}, effect: effect{flooded: 300, answered: 100}},
		}
	}
	b := &bench{options: &options{sockets: 8}, peaks: map[string]float64{disturbedServer: 100}, disturbed: []*contestant{calm, flooded},
		under: []map[string]*result{round(time.Millisecond, 3*time.Millisecond), round(2*time.Millisecond, 2*time.Millisecond), round(time.Millisecond, 4*time.Millisecond)}}
	b.alone = []reads{{PerSecond: 3000, Done: 10, APICPU: 2 * time.Millisecond, PostgresCPU: time.Millisecond}}
	var text strings.Builder
	b.printDisturbed(func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) })
	assert.Contains(t, text.String(), "| calm | 1.00 (1.00 to 2.00) | 10.00 (10.00 to 20.00) |  |  |")
	assert.Contains(t, text.String(), "| 3.00 (1.00 to 4.00) | 2.00 (2.00 to 2.00) | 0 | 0 % | 0.0 (0.0 to 0.0) % | 0 (0 to 0) % | 300 (300 to 300) a second, answered 100 (100 to 100) |")
	assert.Contains(t, text.String(), "3000 reads a second; CPU a read: the API 200 µs, Postgres 100 µs")
}

func TestReader(t *testing.T) {
	long := strings.Repeat(" ", 10_000)
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/api/users":
			fmt.Fprintf(w, `{"items":[{"id":"7","username":"%s"}]}`, r.URL.Query().Get("q"))
		case "/api/users/7":
			fmt.Fprint(w, `{"id":"7"}`, long) // in chunks
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer served.Close()
	target, err := url.Parse(served.URL + "/api")
	require.NoError(t, err)
	r := &reader{target: target, token: "secret", users: 10}
	require.NoError(t, r.findIDs())
	c, err := r.connect()
	require.NoError(t, err)
	defer c.conn.Close()
	for n := range 3 {
		require.NoError(t, c.read(n))
	}
	require.Len(t, c.body, len(`{"id":"7"}`)+len(long))
	require.ErrorContains(t, c.read(3), "status 503")
	require.NoError(t, c.read(4), "the connection goes on")
	require.ErrorContains(t, c.getWith("/users/7", `"id":"8"`), "the answer is without")
}

func TestGeneratorWithoutServer(t *testing.T) {
	err := generate(context.Background(), []string{"-server", "127.0.0.1:9", "-users", "10", "-duration", "100ms"}, new(bytes.Buffer))
	require.ErrorContains(t, err, "nothing listens")
}

func TestAccountingFloorAnswersAfterSync(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	f, err := newFloor(conn)
	require.NoError(t, err)
	path := t.TempDir() + "/records"
	done := make(chan error, 1)
	go func() { done <- f.runAccounting(path) }()
	var out bytes.Buffer
	require.NoError(t, generate(context.Background(), []string{"-server", conn.LocalAddr().String(), "-method", "acct",
		"-sockets", "2", "-warmup", "20ms", "-duration", "200ms"}, &out))
	var l load
	require.NoError(t, json.Unmarshal(out.Bytes(), &l))
	assert.Zero(t, l.Wrong+l.Unverified+l.Unexpected+l.Lost)
	assert.Positive(t, l.Answers)
	require.FileExists(t, path)
	conn.Close()
	<-done
}

func TestHistogram(t *testing.T) {
	var h histogram
	for n := range 100_000 {
		h.add(int64(n) * 1000)
	}
	assert.InEpsilon(t, 50_000_000, int64(h.quantile(0.5)), 0.035)
	assert.InEpsilon(t, 99_000_000, int64(h.quantile(0.99)), 0.035)
	h.add(int64(time.Hour))
	assert.InEpsilon(t, int64(time.Hour), int64(h.quantile(1)), 0.035)
	assert.Zero(t, new(histogram).quantile(0.5))
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		cores []int
		want  places
	}{
		{[]int{0, 1}, places{"0", "0,1", "1", "1", "1"}},
		{[]int{0, 2, 4}, places{"0", "0,2", "4", "4", "4"}},
		{[]int{0, 1, 2, 3, 4, 5, 6, 7}, places{"0", "0,1", "2", "3,4,5,6", "2"}},
	} {
		got, err := placesOf(c.cores)
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
	}
	_, err := placesOf([]int{0})
	require.Error(t, err)
}

// Who reads, with Postgres, has a core to itself, also where there are only two.
func TestPlacesOfReads(t *testing.T) {
	two := &bench{options: &options{nice: -15}, places: places{"0", "0,1", "1", "1", "1"}}
	assert.Equal(t, places{"0", "0,1", "0", "1", "0"}, two.placesFor(readServer))
	assert.Equal(t, two.places, two.placesFor(disturbedServer))
	assert.Equal(t, []string{"chrt", "-r", "1", "taskset", "-c", "0"}, two.ahead(readServer, "0"))
	assert.Equal(t, []string{"taskset", "-c", "0"}, two.ahead(disturbedServer, "0"))
	two.nice = 0 // it may not have real time, nor a priority
	assert.Equal(t, []string{"taskset", "-c", "0"}, two.ahead(readServer, "0"))
	eight := &bench{options: &options{nice: -15}, places: places{"0", "0,1", "2", "3,4,5,6", "2"}}
	assert.Equal(t, eight.places, eight.placesFor(readServer))
	assert.Equal(t, []string{"taskset", "-c", "2"}, eight.ahead(readServer, "2"))
}

func TestChoose(t *testing.T) {
	all, err := choose("", false)
	require.NoError(t, err)
	scaled, err := choose("", true)
	require.NoError(t, err)
	assert.Greater(t, len(scaled), len(all))
	some, err := choose("echo, crypto-pap*", false)
	require.NoError(t, err)
	assert.Len(t, some, 4)
	_, err = choose("nobody", false)
	require.ErrorContains(t, err, "nobody")
}

func TestWriteInto(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	require.NoError(t, os.WriteFile(path, []byte("before\n"+resultBegins+"\nold\n"+resultEnds+"\nafter\n"), 0o600))
	c := &contestant{name: "a", title: "the one", server: "a"}
	b := &bench{options: new(options), chosen: []*contestant{c}, servers: map[string]*server{"a": {}},
		results: []map[string]*result{{"a": {load: load{counts: counts{Answers: 1000}, Elapsed: time.Second, ServerCPU: 2 * time.Millisecond}}}}}
	require.NoError(t, b.writeInto(path))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(content)
	assert.True(t, strings.HasPrefix(text, "before\n"+resultBegins))
	assert.True(t, strings.HasSuffix(text, resultEnds+"\nafter\n"))
	assert.NotContains(t, text, "old")
	assert.Contains(t, text, "| the one | 1000 | 2.00 |")
	require.NoError(t, os.WriteFile(path, []byte("nothing"), 0o600))
	require.ErrorContains(t, b.writeInto(path), "no place")
}

// TestContestantsNameEachOther keeps the table in order.
func TestContestantsNameEachOther(t *testing.T) {
	names := map[string]bool{"": true}
	for _, c := range contestants {
		assert.False(t, names[c.name], c.name)
		names[c.name] = true
	}
	for _, c := range contestants {
		assert.True(t, names[c.floor], c.floor)
		for _, rival := range c.rivals {
			assert.True(t, names[rival], rival)
		}
	}
}

func TestBusyOf(t *testing.T) {
	const stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 100 1 20 5000 300 2 3 4 50 6\ncpu10 1 1 1 1 1 1 1 1 0 0\nintr 1\n"
	require.Equal(t, 1300*time.Millisecond, busyOf(stat, "1"), "neither idle nor waiting for a disk, and guests are users")
	require.Zero(t, busyOf(stat, "0-1"), "several")
}
