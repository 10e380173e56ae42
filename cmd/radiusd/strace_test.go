package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The kernel's own account of a running server: no Accounting-Response leaves
// before the fdatasync of its record has returned.
func TestResponsesLeaveAfterTheSync(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("strace")
	require.NoError(t, err, "scripts/install-test-servers installs it")
	f := newFaultSite(t, "", "")
	path := filepath.Join(t.TempDir(), "trace")
	// With -D the server is the process that was started, and strace is beside it.
	f.launcher = []string{"strace", "-D", "-f", "-yy", "-xx", "-s", "65536", "-o", path,
		"-e", "trace=pwrite64,pwritev,pwritev2,write,writev,fdatasync,fsync,recvmmsg,recvfrom,recvmsg,sendmmsg,sendto,sendmsg"}
	server := f.start()
	acks := f.accounting("--sessions", "100", "--interims", "1").finish()
	require.Zero(t, server.terminate(), server.logged())
	var trace []byte
	require.Eventually(t, func() bool {
		trace, err = os.ReadFile(path)
		return err == nil && regexp.MustCompile(fmt.Sprintf(`(?m)^%d +\+\+\+ exited with 0`, server.cmd.Process.Pid)).Match(trace)
	}, patience, 20*time.Millisecond)
	_, port, _ := strings.Cut(f.acct, ":")

	lines := strings.Split(string(trace), "\n")
	responses, err := checkTrace(lines, port)
	require.NoError(t, err)
	require.GreaterOrEqual(t, responses, len(acks))

	// It would be seen.
	var unsynced []string
	for _, line := range lines {
		if !strings.Contains(line, "fdatasync") {
			unsynced = append(unsynced, line)
		}
	}
	_, err = checkTrace(unsynced, port)
	require.ErrorContains(t, err, "is not synced")
	var late []string // each sync returns after the next response
	held := ""
	for _, line := range lines {
		switch {
		case strings.Contains(line, "fdatasync") && strings.HasSuffix(line, " = 0"):
			held = line
			continue
		case held != "" && strings.Contains(line, "sendmmsg("):
			late = append(late, line, held)
			held = ""
			continue
		}
		late = append(late, line)
	}
	_, err = checkTrace(late, port)
	require.ErrorContains(t, err, "is not synced")
}

var (
	// tracedCall is a line of strace: process, call, and the rest, which is cut short
	// when another process comes between.
	tracedCall   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	tracedReturn = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	tracedFile   = regexp.MustCompile(`^(\d+<[^>]*>)`)
	// tracedPart is the port of a message's peer, or after it a datagram of the message:
	// several, which the kernel cuts apart, if they go to the same peer.
	tracedPart  = regexp.MustCompile(`sin_port=htons\((\d+)\)|iov_base="([^"]*)"`)
	tracedOctet = regexp.MustCompile(`\\x[0-9a-f]{2}`)
	tracedText  = regexp.MustCompile(`"([^"]*)"`)
)

// tracedDatagram is one that was received or sent: the peer's port, and what it is
// as strace writes it.
type tracedDatagram struct{ port, octets string }

// datagrams returns those of a call's messages.
func datagrams(call string) (list []tracedDatagram) {
	port := ""
	for _, m := range tracedPart.FindAllStringSubmatch(call, -1) {
		if m[1] != "" {
			port = m[1]
		} else {
			list = append(list, tracedDatagram{port, m[2]})
		}
	}
	return list
}

// unescape gives the text of a name that strace wrote as \x2f\x74…
func unescape(name string) string {
	return tracedOctet.ReplaceAllStringFunc(name, func(octet string) string {
		n, _ := strconv.ParseUint(octet[2:], 16, 8)
		return string(rune(n))
	})
}

const unfinished = " <unfinished ...>"

// checkTrace follows the records of a trace from socket to disk and returns how many
// Accounting-Responses left the port, or what is wrong with one.
func checkTrace(lines []string, port string) (responses int, err error) {
	requests := map[string]string{} // by port and identifier of the NAS: the last request, in hex
	synced := map[string]int{}      // the line from which on a request is durable
	written := map[string][]string{}
	syncing := map[string][]string{}
	pending := map[string]string{} // by process: the call that has not returned
	begun := map[string]int{}      // and the line at which it began
	for number, line := range lines {
		process, call, rest, entered := "", "", "", false
		if m := tracedCall.FindStringSubmatch(line); m != nil {
			process, call, rest, entered = m[1], m[2], m[3], true
		} else if m := tracedReturn.FindStringSubmatch(line); m != nil {
			process, call, rest = m[1], m[2], pending[m[1]]+m[3]
		} else {
			continue
		}
		if entered {
			begun[process] = number
		}
		rest, open := strings.CutSuffix(rest, unfinished)
		pending[process] = rest
		returned := !open
		name := unescape(tracedFile.FindString(rest))
		onSocket := strings.Contains(name, ":"+port+"]>")
		switch {
		case strings.HasPrefix(call, "recv") && returned && onSocket:
			for _, d := range datagrams(rest) {
				requests[d.port+d.octets[:8]] = d.octets
			}
		case strings.HasPrefix(call, "send") && returned && onSocket:
			for _, d := range datagrams(rest) {
				if !strings.HasPrefix(d.octets, `\x05`) {
					continue
				}
				responses++
				request := requests[d.port+`\x04`+d.octets[4:8]]
				if request == "" {
					return responses, fmt.Errorf("a response to nothing: %s", line)
				}
				if at, ok := synced[request]; !ok || at > begun[process] {
					return responses, fmt.Errorf("the record of a response is not synced: %s", line)
				}
			}
		case !strings.HasSuffix(name, ".journal>"):
		case strings.Contains(call, "write") && returned:
			if text := tracedText.FindStringSubmatch(rest); text != nil {
				written[name] = append(written[name], text[1])
			}
		case strings.HasSuffix(call, "sync"):
			if entered {
				syncing[name], written[name] = written[name], nil
			}
			if !returned {
				continue
			}
			if !strings.Contains(rest, "= 0") {
				return responses, errors.New(line)
			}
			for _, octets := range syncing[name] {
				for _, request := range requests {
					if strings.Contains(octets, request) {
						if _, ok := synced[request]; !ok {
							synced[request] = number
						}
					}
				}
			}
			syncing[name] = nil
		}
	}
	return responses, nil
}
