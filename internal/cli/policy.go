package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "policy",
		Short:   "See which rules decide about a login",
		Example: `  radiusd policy explain alice --nas 192.0.2.1`,
	}
	c.AddCommand(a.policyExplainCommand())
	return c
}

// explainFlags say what is asked.
type explainFlags struct {
	nas, method, at string
	attributes      []string
	passwordStdin   bool
	effective       bool
}

func (a *app) policyExplainCommand() *cobra.Command {
	f := &explainFlags{}
	c := &cobra.Command{
		Use:   "explain USER",
		Short: "Tell what would become of a login, and why",
		Long: `Decides about a login as the server does, from what the store has, and prints the
decision, each rule that took part and what became of it, and the reply with where
each attribute is from. Nothing is sent, recorded or reserved; no secret is shown.

Without --password-stdin the password is taken to be right. Without --nas, the rules
about the NAS see none, and the reply is that of the template standard.`,
		Example: `  radiusd policy explain alice --nas 192.0.2.1
  radiusd policy explain alice --nas bras1 --attribute 'Called-Station-Id = "guest"' --at 2026-12-24T23:00:00Z
  radiusd policy explain alice --nas bras1 --effective
  pass wifi/alice | radiusd policy explain alice --nas 192.0.2.1 --method chap --password-stdin -o json`,
		Args:              arguments("USER"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains([]string{formatTable, formatJSON}, a.format) {
				return usagef("--output: %q is not one of table, json", a.format)
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				request, err := f.request(c, a, cfg, s, args[0])
				if err != nil {
					return err
				}
				explainer, err := newExplainer(cfg, s)
				if err != nil {
					return err
				}
				explain := explainer.Explain
				if f.effective {
					explain = explainer.EffectiveReply
				}
				explanation, err := explain(c.Context(), request)
				if err != nil {
					return f.invalid(err)
				}
				return a.writeExplanation(explanation)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.nas, "nas", "", "`ADDRESS` that the request comes from, or the name of a NAS")
	flags.StringArrayVar(&f.attributes, "attribute", nil, "attribute of the request as `'Name = value'` (repeated)")
	flags.StringVar(&f.method, "method", "pap", "`METHOD`: "+strings.Join(passwordMethods, ", "))
	flags.BoolVar(&f.passwordStdin, "password-stdin", false, "check the password from standard input, or ask on a terminal")
	flags.StringVar(&f.at, "at", "", "`TIME` of the login, in RFC 3339, or a day (default now)")
	flags.BoolVar(&f.effective, "effective", false, "print the reply of an Access-Accept even if the user is refused")
	flags.StringVarP(&a.format, "output", "o", formatTable, "output `FORMAT`: table, json")
	completeFlag(c, "method", passwordMethods...)
	completeFlag(c, "output", formatTable, formatJSON)
	completeFlagFunc(c, "nas", a.completeNASes)
	completeFlagFunc(c, "attribute", a.completeAttributes)
	return c
}

func newExplainer(cfg *config.Config, s *store.Store) (*aaa.Explainer, error) {
	dict, err := openDictionary(cfg)
	if err != nil {
		return nil, err
	}
	templates, err := aaa.LoadTemplates(dict, cfg.Templates.Files...)
	if err != nil {
		return nil, err
	}
	return aaa.NewExplainer(aaa.ExplainerOptions{Dictionary: dict, Templates: templates, Store: s, Location: cfg.Location(), VoucherHash: s.VoucherHash})
}

// request reads what is asked about.
func (f *explainFlags) request(c *cobra.Command, a *app, cfg *config.Config, s *store.Store, name string) (r aaa.ExplainRequest, err error) {
	r = aaa.ExplainRequest{Attributes: f.attributes, At: a.now()}
	methods, err := aaa.ParseMethodSet(f.method)
	for _, m := range []aaa.Method{aaa.MethodPAP, aaa.MethodCHAP, aaa.MethodMSCHAP, aaa.MethodMSCHAPv2} {
		if err == nil && methods == 1<<m {
			r.Method = m
		}
	}
	if r.Method == aaa.MethodNone {
		return r, usagef("--method: %q is not one of %s", f.method, strings.Join(passwordMethods, ", "))
	}
	if f.at != "" {
		if r.At, err = parseMoment(f.at, cfg.Location()); err != nil {
			return r, usagef("--at: %v", err)
		}
	}
	if f.passwordStdin {
		password, err := a.readSecret("password")
		if err != nil {
			return r, err
		}
		r.Password = &password
	}
	user, err := findUser(c, s, name)
	if err != nil {
		return r, err
	}
	r.User = *user
	if r.Plan, r.Groups, err = s.PolicyOf(c.Context(), user); err != nil {
		return r, err
	}
	return r, f.findNAS(c, s, &r)
}

// findUser returns the user as a server finds it: by name, or a device by its address
// in any spelling.
func findUser(c *cobra.Command, s *store.Store, name string) (*aaa.User, error) {
	user, err := s.UserByName(c.Context(), name)
	if mac, ok := aaa.NormalizeMAC(name); ok && errors.Is(err, store.ErrNotFound) {
		user, err = s.UserByName(c.Context(), mac)
	}
	return user, missing(err, name, func() []string { return nearUsers(c.Context(), s, name) })
}

// findNAS finds the NAS by an address that it sends from, or by prefix or name.
func (f *explainFlags) findNAS(c *cobra.Command, s *store.Store, r *aaa.ExplainRequest) error {
	if f.nas == "" {
		return nil
	}
	source, err := netip.ParseAddr(f.nas)
	if err != nil {
		r.NAS, err = findNAS(c.Context(), s, f.nas)
		return err
	}
	nases, err := s.NASes(c.Context())
	if err != nil {
		return err
	}
	if r.NAS, r.Source = aaa.NASFor(nases, source), source; r.NAS == nil {
		return fmt.Errorf("no NAS has the address %s: the server drops its requests in silence", source)
	}
	return nil
}

// invalid names the flag that an error is about.
func (f *explainFlags) invalid(err error) error {
	var wrong *aaa.ExplainError
	if !errors.As(err, &wrong) {
		return err
	}
	i := 0
	if n, _ := fmt.Sscanf(wrong.Field, "attributes[%d]", &i); n == 1 {
		return usagef("--attribute %q: %s", f.attributes[i], oneLine(wrong.Err))
	}
	return usagef("%s", oneLine(wrong))
}

var explanationColumns = []column[aaa.Explanation]{
	{name: "login", value: func(e *aaa.Explanation) any {
		if e.Accepted {
			return "accepted"
		}
		return "refused: " + e.Reason.String()
	}},
	{name: "detail", value: func(e *aaa.Explanation) any { return e.Detail }},
	{name: "method", value: func(e *aaa.Explanation) any { return e.Method }},
	{name: "plan", value: func(e *aaa.Explanation) any { return e.Plan }},
	{name: "template", value: func(e *aaa.Explanation) any { return e.Template }},
	{name: "at", value: func(e *aaa.Explanation) any { return e.At }},
}

var explainStepColumns = []column[aaa.ExplainStep]{
	{name: "stage", value: func(s *aaa.ExplainStep) any { return string(s.Stage) }},
	{name: "source", value: func(s *aaa.ExplainStep) any { return s.Source }},
	{name: "rule", value: func(s *aaa.ExplainStep) any { return s.Rule }},
	{name: "outcome", value: func(s *aaa.ExplainStep) any {
		text := string(s.Outcome)
		switch s.Outcome {
		case aaa.OutcomeReplaced, aaa.OutcomeShutOut, aaa.OutcomeSkipped:
			text += " " + s.Detail
		default:
			if s.Refuses {
				text += " and refuses"
			}
			if s.Detail != "" {
				text += ": " + s.Detail
			}
		}
		return text
	}},
}

var explainReplyColumns = []column[aaa.ExplainReply]{
	{name: "attribute", value: func(r *aaa.ExplainReply) any { return r.Attribute }},
	{name: "value", value: func(r *aaa.ExplainReply) any {
		switch {
		case r.Secret:
			return "(hidden)"
		case r.Value == "" && r.Detail != "":
			return "(" + r.Detail + ")"
		}
		return r.Value
	}},
	{name: "source", value: func(r *aaa.ExplainReply) any { return r.Source }},
	{name: "detail", value: func(r *aaa.ExplainReply) any { return r.Detail }},
}

func (a *app) writeExplanation(e *aaa.Explanation) error {
	if a.format == formatJSON {
		return a.writeExplanationJSON(e)
	}
	if err := writeOne(a, explanationColumns, e); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	if err := writeList(a, explainStepColumns, sliceRows(e.Steps)); err != nil {
		return err
	}
	if len(e.Reply) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return writeList(a, explainReplyColumns, sliceRows(e.Reply))
}

func (a *app) writeExplanationJSON(e *aaa.Explanation) error {
	type step struct {
		Stage   aaa.ExplainStage   `json:"stage"`
		Source  string             `json:"source"`
		Rule    string             `json:"rule"`
		Outcome aaa.ExplainOutcome `json:"outcome"`
		Detail  string             `json:"detail"`
		Refuses bool               `json:"refuses"`
	}
	type attribute struct {
		Attribute string `json:"attribute"`
		Value     string `json:"value"`
		Secret    bool   `json:"secret"`
		Source    string `json:"source"`
		Detail    string `json:"detail"`
	}
	object := struct {
		Accepted bool        `json:"accepted"`
		Reason   string      `json:"reason"`
		Detail   string      `json:"detail"`
		Method   string      `json:"method"`
		Username string      `json:"username"`
		Plan     string      `json:"plan"`
		Template string      `json:"template"`
		At       time.Time   `json:"at"`
		Request  []string    `json:"request"`
		Steps    []step      `json:"steps"`
		Reply    []attribute `json:"reply"`
	}{
		Accepted: e.Accepted, Reason: e.Reason.String(), Detail: e.Detail, Method: e.Method.String(),
		Username: e.Username, Plan: e.Plan, Template: e.Template, At: e.At.UTC(), Request: e.Request,
		Steps: []step{}, Reply: []attribute{},
	}
	for _, s := range e.Steps {
		object.Steps = append(object.Steps, step(s))
	}
	for _, r := range e.Reply {
		object.Reply = append(object.Reply, attribute(r))
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(object)
}
