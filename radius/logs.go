package radius

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logInterval is how often a line on the same matter and NAS is written.
	logInterval = time.Minute
	// logSubjects is how many matters and NASes are told apart; beyond it there is
	// silence until some are an interval old.
	logSubjects = 1024
)

// logs is what the server tells its operator. Nothing that a packet can cause is
// written more than once a minute for each NAS; the counters have the rest.
type logs struct {
	logger *slog.Logger

	// When to write again about what has no subject of its own, in Unix nanoseconds.
	nextUnknown, nextOverload atomic.Int64

	mu   sync.Mutex
	last map[logSubject]time.Time
}

type logSubject struct{ matter, name string }

func newLogs(logger *slog.Logger) *logs {
	return &logs{logger: logger, last: make(map[logSubject]time.Time)}
}

// due reports whether to write about the subject now.
func (g *logs) due(matter, name string, now time.Time) bool {
	subject := logSubject{matter, name}
	g.mu.Lock()
	defer g.mu.Unlock()
	if last, ok := g.last[subject]; ok {
		if now.Sub(last) < logInterval {
			return false
		}
	} else if len(g.last) >= logSubjects {
		for subject, last := range g.last {
			if now.Sub(last) >= logInterval {
				delete(g.last, subject)
			}
		}
		if len(g.last) >= logSubjects {
			return false
		}
	}
	g.last[subject] = now
	return true
}

// pass reports whether to write now, and not again for an interval.
func pass(next *atomic.Int64, now time.Time) bool {
	at := next.Load()
	return now.UnixNano() >= at && next.CompareAndSwap(at, now.Add(logInterval).UnixNano())
}

// overloaded names the source of a request that was shed: most likely the one that
// sends most.
func (g *logs) overloaded(nas *NAS, source netip.Addr, now time.Time) {
	if pass(&g.nextOverload, now) {
		g.logger.Warn("more requests than the server can handle; those beyond the fair share of a NAS are discarded (not repeated for a minute, for other NASes either)",
			"nas", nas.Name, "source", source)
	}
}

// flooded names the sources that the kernel drops, and says so when it does not.
func (g *logs) flooded(local netip.AddrPort, sources []flood, err error, now time.Time) {
	if err != nil {
		g.logger.Warn("the kernel takes no filter against floods; what is shed must be read first", "address", local, "error", err)
		return
	}
	for i := range sources {
		if s := &sources[i]; s.filtered() && g.due("flood", s.addr.String(), now) {
			g.logger.Warn("a source floods; the kernel drops a part of what it sends until that ends (not repeated for this source for a minute)",
				"source", s.addr, "address", local, "percent", int(100*(1-s.keep)))
		}
	}
}

func (g *logs) unknown(source netip.Addr, now time.Time) {
	if !pass(&g.nextUnknown, now) {
		return
	}
	g.logger.Warn("request from an unknown source; add it as a NAS if it is one of yours (not repeated for a minute, for other sources either)",
		"source", source)
}

// advice is what to do about a packet that did not pass verification.
var advice = [discardCount]string{
	DiscardMessageAuthenticatorMissing: "the request has no Message-Authenticator, which is required of this NAS: " +
		"update the NAS or make it send the attribute, or set require_message_authenticator to \"no\" for it and accept the risk of CVE-2024-3596 (BlastRADIUS)",
	DiscardMessageAuthenticatorInvalid: "the Message-Authenticator is wrong: the shared secrets of NAS and server probably differ",
	DiscardAuthenticatorInvalid:        "the Request Authenticator is wrong: the shared secrets of NAS and server probably differ",
	DiscardProxyStateLimited: "the request has Proxy-State but no Message-Authenticator: " +
		"if the NAS is a proxy make it send Message-Authenticator, or set limit_proxy_state to false for it and accept the risk of CVE-2024-3596 (BlastRADIUS)",
}

func (g *logs) unverified(nas *NAS, source netip.Addr, code Code, reason Discard, now time.Time) {
	if !g.due(reason.String(), nas.Name, now) {
		return
	}
	what := advice[reason]
	if reason == DiscardMessageAuthenticatorMissing && (code == StatusServer || !nas.messageAuthenticatorRequired()) {
		what = "the request has no Message-Authenticator, which Status-Server (RFC 5997 section 3) and requests with " +
			"EAP-Message (RFC 3579 section 3.2) must have whatever require_message_authenticator says: update the NAS"
	}
	g.logger.Warn("request discarded (not repeated for this NAS for a minute): "+what,
		"nas", nas.Name, "source", source, "code", code.String(), "reason", reason.String())
}

func (g *logs) learned(nas *NAS) {
	g.logger.Info("NAS sends Message-Authenticator; it is required of it from now on", "nas", nas.Name)
}

func (g *logs) readFailed(local netip.AddrPort, err error) {
	if g.due("read", local.String(), time.Now()) {
		g.logger.Error("reading from a socket fails (not repeated for a minute)", "address", local, "error", err)
	}
}

func (g *logs) writeFailed(local netip.AddrPort, err error) {
	if g.due("write", local.String(), time.Now()) {
		g.logger.Warn("sending a reply fails (not repeated for a minute)", "address", local, "error", err)
	}
}

func (g *logs) wrongReplyCode(nas *NAS, reply, request Code) {
	if g.due("reply code", nas.Name, time.Now()) {
		g.logger.Error("handler made a reply that does not answer its request",
			"nas", nas.Name, "code", request.String(), "reply", reply.String())
	}
}

func (g *logs) unended(nas *NAS, code Code) {
	if g.due("unended", nas.Name, time.Now()) {
		g.logger.Error("handler returned without ending its reply", "nas", nas.Name, "code", code.String())
	}
}

// panicked logs the stack and what the runtime says. Any other value may hold
// something of the packet, so only its type is named.
func (g *logs) panicked(nas *NAS, code Code, value any, stack []byte) {
	if !g.due("panic", nas.Name, time.Now()) {
		return
	}
	what := fmt.Sprintf("%T", value)
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	g.logger.Error("handler panicked; the request was discarded (not repeated for this NAS for a minute)",
		"nas", nas.Name, "code", code.String(), "panic", what, "stack", string(stack))
}
