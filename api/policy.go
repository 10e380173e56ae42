package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// PolicyStore is what decisions rest on.
type PolicyStore interface {
	aaa.ExplainStore
	UserByName(ctx context.Context, name string) (*aaa.User, error)
	UserByID(ctx context.Context, id uuid.UUID) (*aaa.User, *aaa.Profile, error)
	// PolicyOf returns the user's plan, nil if there is none, and groups.
	PolicyOf(ctx context.Context, user *aaa.User) (*aaa.Plan, []aaa.Group, error)
	NASRowByID(ctx context.Context, id uuid.UUID) (*aaa.NASRow, error)
}

// policy explains decisions.
type policy struct {
	store     PolicyStore
	explainer *aaa.Explainer
	operators *operator.Service
	hashing   turns // for passwords
	now       func() time.Time
}

func (h *policy) ExplainPolicy(ctx context.Context, r ExplainPolicyRequestObject) (ExplainPolicyResponseObject, error) {
	in := *r.Body
	user, err := h.user(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	request := aaa.ExplainRequest{User: *user, Password: in.Password, At: in.At}
	if in.Method != "" {
		if request.Method, err = aaa.ParseMethod(string(in.Method)); err != nil {
			return nil, invalidField("method", "%v", err)
		}
	}
	if request.Source, err = addressParameter("source", in.Source); err != nil {
		return nil, err
	}
	for _, a := range in.Attributes {
		request.Attributes = append(request.Attributes, a.Attribute+" = "+quoted(a.Value))
	}
	if err := h.complete(ctx, &request, in.NasID); err != nil {
		return nil, err
	}
	explanation, err := h.explain(ctx, request)
	if err != nil {
		return nil, err
	}
	return ExplainPolicy200JSONResponse(explanationOf(explanation)), nil
}

// explain makes the decision. To have a password checked is for who may set it, and
// throttled: with no more than a look at decisions, nobody finds out passwords.
func (h *policy) explain(ctx context.Context, request aaa.ExplainRequest) (explanation *aaa.Explanation, err error) {
	if request.Password == nil {
		return h.explainer.Explain(ctx, request)
	}
	by := principalOf(ctx)
	if err := by.Require(operator.UsersWrite); err != nil {
		return nil, err
	}
	done, err := h.hashing.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	err = h.operators.CheckGuess(ctx, by, func() (right bool, err error) {
		explanation, err = h.explainer.Explain(ctx, request)
		return err == nil && explanation.Reason != aaa.ReasonWrongPassword, err
	})
	return explanation, err
}

func (h *policy) GetUserReply(ctx context.Context, r GetUserReplyRequestObject) (GetUserReplyResponseObject, error) {
	user, _, err := h.store.UserByID(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	request := aaa.ExplainRequest{User: *user}
	if err := h.complete(ctx, &request, r.Params.NasID); err != nil {
		return nil, err
	}
	e, err := h.explainer.EffectiveReply(ctx, request)
	if err != nil {
		return nil, err
	}
	return GetUserReply200JSONResponse{
		Reply: replyOf(e.Reply), Template: e.Template, Accepted: e.Accepted, Reason: e.Reason.String(), Detail: e.Detail,
	}, nil
}

// user finds a user as a server does: by name, or a device by its address in any
// spelling.
func (h *policy) user(ctx context.Context, name string) (*aaa.User, error) {
	user, err := h.store.UserByName(ctx, name)
	if mac, ok := aaa.NormalizeMAC(name); ok && errors.Is(err, aaa.ErrNotFound) {
		user, err = h.store.UserByName(ctx, mac)
	}
	if errors.Is(err, aaa.ErrNotFound) {
		return nil, invalidField("username", "there is no user %q: a login is refused", name)
	}
	return user, err
}

// complete adds what applies to the user, the NAS and the time.
func (h *policy) complete(ctx context.Context, r *aaa.ExplainRequest, nasID uuid.UUID) (err error) {
	if r.At.IsZero() {
		r.At = h.now()
	}
	if r.Plan, r.Groups, err = h.store.PolicyOf(ctx, &r.User); err != nil {
		return err
	}
	if nasID == uuid.Nil {
		return nil
	}
	nas, err := h.store.NASRowByID(ctx, nasID)
	if errors.Is(err, aaa.ErrNotFound) {
		return invalidField("nas_id", "there is no such NAS")
	}
	if err != nil {
		return err
	}
	if r.Source.IsValid() && !nas.Prefix.Contains(r.Source.Unmap()) {
		return invalidField("source", "%s is no address of the NAS, which is %s", r.Source, nas.Prefix)
	}
	r.NAS = &aaa.NAS{
		ID: nas.ID, Name: nas.Name, Prefix: nas.Prefix, Vendor: nas.Vendor, CoAPort: nas.CoAPort,
		RequireMessageAuthenticator: nas.RequireMessageAuthenticator, LimitProxyState: nas.LimitProxyState,
	}
	return nil
}

// quoted writes a value of an attribute as the dictionary reads it.
func quoted(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

func explanationOf(e *aaa.Explanation) Explanation {
	steps := make([]ExplainStep, len(e.Steps))
	for i, s := range e.Steps {
		steps[i] = ExplainStep{
			Stage: ExplainStepStage(s.Stage), Source: s.Source, Rule: s.Rule,
			Outcome: ExplainStepOutcome(s.Outcome), Detail: s.Detail, Refuses: s.Refuses,
		}
	}
	return Explanation{
		Accepted: e.Accepted, Reason: e.Reason.String(), Detail: e.Detail, Username: e.Username, Method: e.Method.String(),
		Plan: orNull(e.Plan, e.Plan != ""), Template: e.Template, At: e.At.UTC(), Request: append([]string{}, e.Request...),
		Steps: steps, Reply: replyOf(e.Reply),
	}
}

func replyOf(list []aaa.ExplainReply) []ReplyAttribute {
	reply := make([]ReplyAttribute, len(list))
	for i, a := range list {
		reply[i] = ReplyAttribute{Attribute: a.Attribute, Value: a.Value, Source: a.Source, Secret: a.Secret, Detail: a.Detail}
	}
	return reply
}
