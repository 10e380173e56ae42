package aaa

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"radiusd/radius"
)

// exchanged is how a NAS was asked, and what came of it.
type exchanged struct {
	attempts int
	elapsed  time.Duration
	ignored  int
	reason   radius.Discard
	answer   radius.Packet
	cause    radius.ErrorCause
	err      error
	ended    bool // the context ended before there was an answer
}

// ask sends the request and waits for the answer. While an operator changes the
// secret on both ends, nothing says which one the NAS has yet: if it is silent under
// the new one, the time that is left is for the one before. Both are requests of
// their own, with another Identifier and time; a NAS that got both under the secret
// that it has answers the second one as what it is, a repeat.
func (x *exchanged) ask(ctx context.Context, a *Actions, nas *NAS, to netip.AddrPort, request func() (*radius.Message, error)) {
	secrets := [][]byte{nas.Secret}
	if len(nas.PreviousSecret) > 0 {
		secrets = append(secrets, nas.PreviousSecret)
	}
	for _, secret := range secrets {
		var m *radius.Message
		if m, x.err = request(); x.err != nil {
			return
		}
		// A time limit of ours is silence, the end of ctx is not.
		limited, cancel := context.WithTimeout(ctx, a.options.Timeout/time.Duration(len(secrets)))
		var trace radius.Trace
		x.answer, trace, x.err = a.options.Client.ExchangeTraced(limited, to.String(), secret, m)
		cancel()
		x.attempts += trace.Attempts
		x.elapsed += trace.Elapsed
		x.ignored += trace.Ignored
		if trace.Ignored > 0 {
			x.reason = trace.Reason
			a.metrics.ignored(trace.Reason, trace.Ignored)
		}
		var silence *radius.NoAnswerError
		if ctx.Err() != nil || !errors.As(x.err, &silence) {
			break
		}
	}
	if x.err == nil {
		x.cause = x.answer.Attributes().ErrorCause()
	}
	x.ended = x.err != nil && ctx.Err() != nil
}

// outcome says what it means for the action. [ActionSent]: nothing is known yet.
func (x *exchanged) outcome(to netip.AddrPort) (ActionState, string) {
	var silence *radius.NoAnswerError
	var unreachable *radius.UnreachableError
	switch {
	case x.err == nil:
		return x.answered()
	case x.ended:
		return ActionSent, ""
	case errors.As(x.err, &silence):
		detail := fmt.Sprintf("no answer from %s to %d requests: does the NAS take them on this port, from this machine, with this secret?", to, x.attempts)
		if x.ignored > 0 {
			detail = fmt.Sprintf("no answer from %s that verifies; ignored %d packets, the last one as %v", to, x.ignored, x.reason)
		}
		return ActionUnanswered, detail
	case errors.As(x.err, &unreachable):
		return ActionUnanswered, fmt.Sprintf("%s is unreachable: the NAS takes no requests on this port, or a firewall is in between", to)
	}
	return ActionFailed, x.err.Error()
}

// answered says what an answer means. The text of a NAS is for people: it is cut, and
// stays out of states and metrics.
func (x *exchanged) answered() (ActionState, string) {
	text, _ := x.answer.Attributes().String(radius.TypeReplyMessage)
	switch code := x.answer.Code(); {
	case code == radius.DisconnectACK || code == radius.CoAACK:
		return ActionAcknowledged, text
	case x.cause == radius.ErrorCauseSessionContextNotFound:
		return ActionGone, text
	case code == radius.ProtocolError:
		return ActionRefused, "Protocol-Error"
	}
	return ActionRefused, text
}
