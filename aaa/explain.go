package aaa

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/dictionary"
	"radiusd/radius"
	"radiusd/radius/mschap"
)

// ExplainerOptions are what an Explainer needs. Dictionary and Templates are
// required; all are to be those of the server whose decisions are explained.
type ExplainerOptions struct {
	Dictionary *dictionary.Dictionary
	Templates  *Templates
	// Store says what users have used and have open; nil: nothing at all.
	Store ExplainStore
	// Location is the time zone of login hours and quotas; nil: UTC.
	Location       *time.Location
	RejectMessages map[Reason]string // as in AccessOptions
	// VoucherHash is as in DirectoryOptions; nil: a code is never right.
	VoucherHash func(typed []byte) (hash [32]byte, ok bool)
}

// ExplainStore is what of the store's view of a user decides about quotas and
// simultaneous sessions. It is asked only where a user has some.
type ExplainStore interface {
	// UsageAccounts returns what each of the users has used, by day from since on and
	// in sum. A user of whom nothing is known is missing.
	UsageAccounts(ctx context.Context, usernames []string, since, recent time.Time) ([]UsageAccount, error)
	// OpenSessionsOf returns the user's open sessions, of very many the latest.
	OpenSessionsOf(ctx context.Context, username string) ([]Session, error)
}

// Explainer tells what would become of an Access-Request and why, without a server
// and without a trace of it: nothing is counted, recorded or reserved. It makes the
// decision with the server's own code, over a directory of one user. Any number of
// goroutines may use it.
type Explainer struct {
	options ExplainerOptions
	access  *Access // what its like have in common; decides nothing itself
}

// NewExplainer returns an Explainer.
func NewExplainer(options ExplainerOptions) (*Explainer, error) {
	if options.Dictionary == nil || options.Templates == nil {
		return nil, errors.New("explain: a dictionary and templates are required")
	}
	access, err := NewAccess(AccessOptions{
		Directory: detachedDirectory(DirectoryOptions{Dictionary: options.Dictionary, VoucherHash: options.VoucherHash}), Dictionary: options.Dictionary,
		Templates: options.Templates, Location: options.Location, RejectDelay: -1, VerifiedCache: -1,
		RejectMessages: options.RejectMessages,
	})
	if err != nil {
		return nil, err
	}
	options.Location = access.options.Location
	return &Explainer{options: options, access: access}, nil
}

// ExplainRequest is the Access-Request whose decision is explained.
type ExplainRequest struct {
	// User is as read from the store, or one that is not stored yet.
	User User
	// Plan is the user's; nil: there is none, and a user whose PlanID says otherwise
	// is refused.
	Plan *Plan
	// Groups are those that User.Groups refers to. One that is missing is taken to be
	// deleted, and others do not matter.
	Groups []Group
	// NAS sends the request. Nil: none in particular; rules about the NAS see none, and
	// the reply is of the template "standard". Its secrets do not matter.
	NAS *NAS
	// Source is the address the request comes from; zero: the first of the NAS.
	Source netip.Addr
	// Attributes are those of the request as text, each element one pair or several:
	// `Called-Station-Id = "guest"`. User-Name is the user's name unless given.
	// What proves a password is not among them; see Method and Password.
	Attributes []string
	// Method is how the user proves the password; MethodNone: PAP.
	Method Method
	// Password is the one to be checked; nil: it is taken to be right. Whether the
	// method can check it against what is stored is seen to either way.
	Password *string
	// At is when the request comes; zero: now.
	At time.Time
}

// ExplainError says what of an [ExplainRequest] cannot be used.
type ExplainError struct {
	Field string // "attributes", "attributes[2]", "password", "method", "user" or "source"
	Err   error
}

// Error names the field.
func (e *ExplainError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ExplainError) Unwrap() error { return e.Err }

// Explanation is a decision, the rules that took part, and the reply. No secret is in
// it, neither of the user nor of attributes.
type Explanation struct {
	Accepted bool
	Reason   Reason // ReasonAccepted: accepted
	Method   Method
	Detail   string // as in the auth record; may be empty
	At       time.Time
	Username string // User-Name as sent
	Plan     string // empty: none
	Template string // of the NAS
	// Request is the attributes of the request as text.
	Request []string
	// Steps are the rules that took part, stage by stage, within one in the order in
	// which they are looked at.
	Steps []ExplainStep
	// Reply is what the Access-Accept or Access-Reject carries.
	Reply []ExplainReply
}

// ExplainStage is a part of a decision; see docs/policy.md.
type ExplainStage string

// The stages, in the order of Explanation.Steps. Check items are of the stage check,
// whether they compare or set; what they limit is of the stages limit and quota.
const (
	StageIdentify     ExplainStage = "identify"
	StageAuthenticate ExplainStage = "authenticate"
	StageCheck        ExplainStage = "check"
	StageLimit        ExplainStage = "limit"
	StageQuota        ExplainStage = "quota"
	StageReply        ExplainStage = "reply"
)

// ExplainOutcome is what became of a rule.
type ExplainOutcome string

// The outcomes. Detail says by what a rule is replaced or shut out, and why it is
// skipped.
const (
	OutcomeHolds    ExplainOutcome = "holds"
	OutcomeFails    ExplainOutcome = "fails"    // Refuses tells whether that decided
	OutcomeSets     ExplainOutcome = "sets"     // a control, a limit or an attribute of the reply
	OutcomeReplaced ExplainOutcome = "replaced" // by a rule of its own level or, for a control, of a higher one
	OutcomeShutOut  ExplainOutcome = "shut out" // a higher level has the attribute to itself
	OutcomeSkipped  ExplainOutcome = "skipped"  // it was not looked at, or does not apply
)

// ExplainStep is one rule and what became of it.
type ExplainStep struct {
	Stage ExplainStage
	// Source is whose rule it is: "user", "group NAME", "plan NAME", "template NAME",
	// "NAS NAME", or "server" for what is the same for all.
	Source  string
	Rule    string // as an operator writes it, secrets masked
	Outcome ExplainOutcome
	Detail  string // may be empty
	// Refuses marks the rule that decided against the user; there is one at most.
	Refuses bool
}

// ExplainReply is one attribute of the reply.
type ExplainReply struct {
	Attribute string // the dictionary's name, with an optional :tag
	Value     string // as text; empty if Secret, or made at login
	Secret    bool   // the value is not shown
	// Source is as in ExplainStep; for Session-Timeout, whatever cut it shortest.
	Source string
	Detail string // may be empty
}

// String writes the attribute as an operator does, a hidden value as ….
func (r ExplainReply) String() string {
	switch {
	case r.Secret, r.Value == "" && r.Detail != "":
		return r.Attribute + " = …"
	}
	return r.Attribute + " = " + r.Value
}

// Explain makes the decision. It blocks for the store, and for a password that is
// checked against a slow hash. The error is an [*ExplainError] if the request cannot be used,
// and otherwise of the store or of ctx; a user who is refused is no error.
func (e *Explainer) Explain(ctx context.Context, r ExplainRequest) (*Explanation, error) {
	return e.explain(ctx, r, false)
}

// EffectiveReply is Explain, with the reply of the Access-Accept even if the user is
// refused, for whatever reason but a rule or a plan that cannot be used: what the user
// gets from the NAS once nothing stands in the way. Reason says what does.
func (e *Explainer) EffectiveReply(ctx context.Context, r ExplainRequest) (*Explanation, error) {
	return e.explain(ctx, r, true)
}

func (e *Explainer) explain(ctx context.Context, r ExplainRequest, always bool) (*Explanation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.At.IsZero() {
		r.At = time.Now()
	}
	r.At = r.At.Local() // as a server reads its clock
	request, err := e.request(&r)
	if err != nil {
		return nil, err
	}
	limits := &explainLimits{ctx: ctx, store: e.options.Store, location: e.options.Location, at: r.At}
	a := e.accessFor(&r, limits)
	x := &exchange{random: rand.NewChaCha8([32]byte{}), trace: &trace{assumed: r.Password == nil}}
	x.begin(a, request.Request(), true)
	decision := a.answer(request, x)
	if limits.err != nil {
		return nil, limits.err
	}
	ended := x.step
	if always && !decision.Accepted() && x.account != nil && x.broken == nil && x.plan != nil {
		request.Reset()
		x.replies, x.fromTemplate, x.allowance.now = replyList{}, pairList{}, x.now
		if x.nonce == (Nonce{}) {
			x.nonce[0] = 1 // as at a login, and shown as little
		}
		if err := a.accept(request, x); err != nil {
			return nil, fmt.Errorf("the reply cannot be made: %w", err)
		}
	}
	if request.TooLong() {
		decision = x.refuse(ReasonInternal, "the reply does not fit into a packet: the NAS gets no answer")
		ended = stepReply
	}
	return (&explanation{Access: a, x: x, ended: ended, reply: request, decision: decision, limits: limits}).make(), nil
}

// NASFor returns the NAS that a request from the address belongs to, as a server finds
// it: the one with the longest prefix that holds it; nil: none. One without a secret is
// passed over.
func NASFor(nases []NAS, source netip.Addr) *NAS {
	if found := newNASTable(nil, nases, nil).lookup(source); found != nil {
		return found.Owner.(*NAS)
	}
	return nil
}

// accessFor returns an Access that knows the user of the request and nobody else.
func (e *Explainer) accessFor(r *ExplainRequest, limits Limits) *Access {
	d := detachedDirectory(DirectoryOptions{Dictionary: e.options.Dictionary, VoucherHash: e.options.VoucherHash})
	user, plans := r.User, []Plan(nil)
	if user.ID == uuid.Nil {
		user.ID = uuid.New() // not stored yet
	}
	if r.Plan != nil {
		plan := *r.Plan
		if plan.ID == uuid.Nil {
			plan.ID = uuid.New()
		}
		user.PlanID, plans = plan.ID, []Plan{plan}
	}
	d.catalog.Store(d.buildCatalog(nil, plans, r.Groups, nil))
	d.putUser(d.users.Load(), &user)
	// A copy of e.access, but for what must not be copied and what is not used.
	a := &Access{options: e.access.options, log: e.access.log, hasher: e.access.hasher, noPlan: e.access.noPlan}
	a.options.Directory, a.options.Limits = d, limits
	return a
}

// proofs are the attributes that a password is proved by.
var proofs = []string{"User-Password", "CHAP-Password", "CHAP-Challenge", "MS-CHAP-Response", "MS-CHAP2-Response", "MS-CHAP-Challenge", "EAP-Message"}

// request makes the packet and the reply to it. The secret between NAS and server is
// one for this request.
func (e *Explainer) request(r *ExplainRequest) (*radius.Reply, error) {
	if r.User.Name == "" {
		return nil, &ExplainError{"user", errors.New("the user has no name")}
	}
	secret := []byte(cryptorand.Text())
	m := &radius.Message{Code: radius.AccessRequest, OmitMessageAuthenticator: true}
	named := false
	for i, text := range r.Attributes {
		field := fmt.Sprintf("attributes[%d]", i)
		pairs, err := e.options.Dictionary.ParsePairs(text)
		if err != nil {
			return nil, &ExplainError{field, err}
		}
		for _, pair := range pairs {
			if slices.Contains(proofs, pair.Attr.Name) {
				return nil, &ExplainError{field, fmt.Errorf("%s is made from method and password", pair.Attr.Name)}
			}
			named = named || pair.Attr.Name == "User-Name"
		}
		cipher := radius.NewCipher(secret, m.RequestAuthenticator())
		if m.Attributes, err = e.options.Dictionary.AppendWire(m.Attributes, pairs, cipher); err != nil {
			return nil, &ExplainError{field, err}
		}
	}
	if !named {
		if len(r.User.Name) > radius.MaxValueLength {
			return nil, &ExplainError{"user", fmt.Errorf("the name has %d octets; a User-Name holds %d", len(r.User.Name), radius.MaxValueLength)}
		}
		m.AddString(radius.TypeUserName, r.User.Name)
	}
	if err := r.prove(m, secret); err != nil {
		return nil, err
	}
	packet, err := m.AppendTo(nil, 0, radius.NewHasher(secret))
	if err != nil {
		return nil, &ExplainError{"attributes", err}
	}
	nas := &radius.NAS{}
	source := r.Source
	if r.NAS != nil {
		owner := *r.NAS
		owner.Prefix = unmapPrefix(owner.Prefix)
		nas = publishNAS(&owner, nil)
		if !source.IsValid() {
			source = owner.Prefix.Addr()
		}
	}
	nas.Secrets = [][]byte{secret}
	reply, err := radius.Detached(packet, nas, netip.AddrPortFrom(source.Unmap(), 0), r.At)
	if err != nil {
		return nil, &ExplainError{"attributes", err}
	}
	return reply, nil
}

// prove adds what the method sends. Without a password it is of the right form, and
// taken to be right.
func (r *ExplainRequest) prove(m *radius.Message, secret []byte) error {
	password := ""
	switch {
	case r.Password != nil:
		password = *r.Password
	case r.User.Credential.Scheme == SchemeMAC:
		password = r.User.Name
	}
	switch r.Method {
	case MethodNone, MethodPAP, MethodMAC:
		if err := m.AddUserPassword(secret, password); err != nil {
			return &ExplainError{"password", err}
		}
	case MethodCHAP:
		m.AddCHAPPassword(1, password)
	case MethodMSCHAP, MethodMSCHAPv2:
		name, _ := radius.Attributes(m.Attributes).String(radius.TypeUserName)
		if name == "" {
			name = r.User.Name
		}
		addMSCHAPProof(m, r.Method, []byte(name[strings.LastIndexByte(name, '\\')+1:]), password)
	case MethodEAP:
		// An EAP-Response/Identity (RFC 3748 §5.1).
		name := r.User.Name[:min(len(r.User.Name), radius.MaxValueLength-5)]
		eap := append([]byte{2, 0, 0, 0, 1}, name...)
		binary.BigEndian.PutUint16(eap[2:], uint16(len(eap)))
		m.Add(radius.TypeEAPMessage, eap)
	default:
		return &ExplainError{"method", fmt.Errorf("unknown %s", r.Method)}
	}
	return nil
}

// addMSCHAPProof answers a challenge of zeros (RFC 2548 §2.1.3, §2.3.2).
func addMSCHAPProof(m *radius.Message, method Method, name []byte, password string) {
	hash := mschap.HashPassword(password)
	var challenge, peer [msCHAP2ChallengeLength]byte
	response := make([]byte, radius.MSCHAPResponseLength)
	if method == MethodMSCHAP {
		response[1] = radius.MSCHAPUseNTResponse
		answer := hash.Respond([mschap.ChallengeLength]byte{})
		copy(response[26:], answer[:])
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, challenge[:msCHAPChallengeLength])
		m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPResponse, response)
		return
	}
	answer := hash.Respond(mschap.ChallengeHash(&peer, &challenge, name))
	copy(response[26:], answer[:])
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAPChallenge, challenge[:])
	m.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Response, response)
}

// detachedDirectory is NewDirectory for a directory that follows no store.
func detachedDirectory(options DirectoryOptions) *Directory {
	d := &Directory{options: options, log: slog.New(slog.DiscardHandler), planIDs: newPlaces(), groupIDs: newPlaces()}
	d.users.Store(newUserTable())
	d.catalog.Store(&catalog{nas: newNASTable(nil, nil, nil)})
	return d
}
