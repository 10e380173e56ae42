package radius

import (
	"fmt"
	"net/netip"
	"sync/atomic"
)

// Requirement says whether requests of a NAS must carry Message-Authenticator
// (BlastRADIUS, CVE-2024-3596).
type Requirement uint8

// The requirements. The zero value is the safe one.
const (
	RequireYes  Requirement = iota // drop Access-Requests without it
	RequireNo                      // take them; see NAS.LimitProxyState
	RequireAuto                    // take them until the first valid one that has it
)

var requirementNames = [...]string{"yes", "no", "auto"}

// String returns yes, no or auto.
func (r Requirement) String() string {
	if int(r) < len(requirementNames) {
		return requirementNames[r]
	}
	return fmt.Sprintf("requirement(%d)", uint8(r))
}

// ParseRequirement reads a requirement as String writes it.
func ParseRequirement(s string) (Requirement, error) {
	for i, name := range requirementNames {
		if s == name {
			return Requirement(i), nil
		}
	}
	return 0, fmt.Errorf("unknown requirement %q: want yes, no or auto", s)
}

// NAS is what the server needs to know of a network access server. It is
// immutable once a NASLookup has returned it, Learned aside.
type NAS struct {
	// Name is for logs and metrics.
	Name string
	// Secrets are the shared secrets, the current one first, then earlier ones
	// that are still accepted. A reply uses the one that verified the request.
	// An Access-Request without Message-Authenticator does not tell which one its
	// sender holds; it is taken to be the first. Requests of a NAS without a
	// secret, or with an empty one, are discarded.
	Secrets [][]byte
	// RequireMessageAuthenticator applies to Access-Request.
	RequireMessageAuthenticator Requirement
	// LimitProxyState drops an Access-Request that has Proxy-State but no
	// Message-Authenticator, where the latter is not required.
	LimitProxyState bool
	// SingleHost is true when the NAS is one address; RequireAuto may learn
	// only then.
	SingleHost bool
	// Learned is set when a NAS under RequireAuto has sent a valid
	// Message-Authenticator. The owner carries it over when it publishes a
	// changed NAS; nil is taken as not learned and cannot be learned.
	Learned *atomic.Bool
	// Owner is the domain's own record of the NAS, untouched here.
	Owner any
}

// NASLookup finds a NAS by the source address of a packet (never IPv4-mapped),
// and returns nil for an unknown one. It is called for every packet, from all
// listeners at once, and must neither block nor allocate.
type NASLookup interface {
	LookupNAS(source netip.Addr) *NAS
}

// messageAuthenticatorRequired applies the setting to what has been learned.
func (n *NAS) messageAuthenticatorRequired() bool {
	switch n.RequireMessageAuthenticator {
	case RequireNo:
		return false
	case RequireAuto:
		return n.canLearn() && n.Learned.Load()
	default:
		return true
	}
}

// learn notes a valid Message-Authenticator and reports whether that changed
// what the NAS is held to.
func (n *NAS) learn() bool {
	return n.RequireMessageAuthenticator == RequireAuto && n.canLearn() &&
		!n.Learned.Load() && n.Learned.CompareAndSwap(false, true)
}

func (n *NAS) canLearn() bool { return n.SingleHost && n.Learned != nil }
