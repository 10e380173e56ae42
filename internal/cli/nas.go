package cli

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/radius"
	"radiusd/store"
)

func (a *app) nasCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "nas",
		Short: "Add, change, list and delete network access servers",
		Long: `A NAS is a router, access point or switch that may send requests, by its address,
or a whole prefix of them. Packets from other addresses are dropped in silence.`,
		Example: `  radiusd nas add 192.0.2.1 --secret-stdin --name bras1 --vendor mikrotik
  radiusd nas set bras1 --secret-stdin --keep-old
  radiusd nas list`,
	}
	c.AddCommand(a.nasAddCommand(),
		listCommand(a, "List NASes by address", "radiusd nas list -o csv", nasColumns(false),
			func(ctx context.Context, s *store.Store) ([]aaa.NAS, error) { return s.NASes(ctx) }),
		a.nasShowCommand(), a.nasSetCommand(), a.nasDeleteCommand())
	return c
}

// nasColumns never show a secret.
func nasColumns(single bool) []column[aaa.NAS] {
	return []column[aaa.NAS]{
		{name: "address", value: func(n *aaa.NAS) any { return prefixText(n.Prefix) }},
		{name: "name", value: func(n *aaa.NAS) any { return n.Name }},
		{name: "vendor", value: func(n *aaa.NAS) any { return n.Vendor }},
		{name: "coa_port", value: func(n *aaa.NAS) any { return coaPort(n) }},
		{name: "require_message_authenticator", value: func(n *aaa.NAS) any { return n.RequireMessageAuthenticator }},
		{name: "limit_proxy_state", value: func(n *aaa.NAS) any { return n.LimitProxyState }, detail: !single},
		{name: "has_previous_secret", value: func(n *aaa.NAS) any { return n.PreviousSecret != nil }, detail: !single},
		{name: "created_at", value: func(n *aaa.NAS) any { return n.CreatedAt }, detail: !single},
		{name: "updated_at", value: func(n *aaa.NAS) any { return n.UpdatedAt }, detail: !single},
		{name: "id", value: func(n *aaa.NAS) any { return n.ID }, detail: !single},
	}
}

// coaPort is where the NAS takes Disconnect and CoA requests (RFC 5176 section 3).
func coaPort(n *aaa.NAS) uint16 {
	if n.CoAPort == 0 {
		return aaa.DefaultCoAPort
	}
	return n.CoAPort
}

// prefixText writes a single address without its length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// parsePrefix reads an address or a prefix.
func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is neither an address nor a prefix, like 192.0.2.1 or 2001:db8::/32", text)
	}
	if prefix.Masked() != prefix {
		return prefix, fmt.Errorf("%s has bits set beyond its length: did you mean %s or %s?", text, prefix.Masked(), prefix.Addr())
	}
	return prefix, nil
}

// findNAS returns the NAS with the address, the prefix or the name.
func findNAS(ctx context.Context, s *store.Store, text string) (*aaa.NAS, error) {
	if prefix, err := parsePrefix(text); err == nil {
		nas, err := s.NASByPrefix(ctx, prefix)
		return nas, missing(err, text, func() []string { return nasNames(ctx, s) })
	}
	nas, err := s.NASByName(ctx, text)
	return nas, missing(err, text, func() []string { return nasNames(ctx, s) })
}

// nasNames are the names and the addresses.
func nasNames(ctx context.Context, s *store.Store) []string {
	list, _ := s.NASes(ctx) // only for a hint
	return append(namesOf(list, func(n *aaa.NAS) string { return n.Name }),
		namesOf(list, func(n *aaa.NAS) string { return prefixText(n.Prefix) })...)
}

// nasFlags are the flags of add and set.
type nasFlags struct {
	secret, name, vendor, require string
	secretStdin, limitProxyState  bool
	keepOld, forgetOld            bool
	coaPort                       uint16
	newAddress                    string
}

func (f *nasFlags) register(a *app, c *cobra.Command, changing bool) {
	flags := c.Flags()
	flags.StringVar(&f.secret, "secret", "", "shared `SECRET` (visible in the process list: rather --secret-stdin)")
	flags.BoolVar(&f.secretStdin, "secret-stdin", false, "read the shared secret from standard input, or ask on a terminal")
	flags.StringVar(&f.name, "name", "", "`NAME` for logs and metrics")
	flags.StringVar(&f.vendor, "vendor", "", "`VENDOR` of reply templates, like mikrotik or cisco; none for standard attributes")
	flags.Uint16Var(&f.coaPort, "coa-port", 3799, "`PORT` for Disconnect and CoA requests")
	flags.StringVar(&f.require, "require-message-authenticator", "yes", "whether Access-Requests need a Message-Authenticator: yes, no, auto (CVE-2024-3596)")
	flags.BoolVar(&f.limitProxyState, "limit-proxy-state", true, "where it is not required: drop requests with Proxy-State that have none")
	if changing {
		flags.BoolVar(&f.keepOld, "keep-old", false, "go on accepting the old secret beside the new one")
		flags.BoolVar(&f.forgetOld, "forget-old", false, "no longer accept the previous secret")
		flags.StringVar(&f.newAddress, "address", "", "new `ADDRESS` or prefix")
	}
	completeFlagFunc(c, "vendor", a.completeTemplates)
	completeFlag(c, "require-message-authenticator", "yes", "no", "auto")
}

// readSecret completes the secret from standard input.
func (f *nasFlags) readSecret(a *app) error {
	if !f.secretStdin {
		return nil
	}
	if f.secret != "" {
		return usagef("--secret and --secret-stdin exclude each other")
	}
	var err error
	f.secret, err = a.readSecret("shared secret")
	return err
}

// applyTo changes the NAS as the given flags say.
func (f *nasFlags) applyTo(a *app, c *cobra.Command, cfg *config.Config, nas *aaa.NAS) (err error) {
	given := c.Flags().Changed
	if given("name") {
		nas.Name = f.name
	}
	if given("vendor") {
		if nas.Vendor = f.vendor; f.vendor == "none" {
			nas.Vendor = ""
		} else if err := a.checkVendor(cfg, f.vendor); err != nil {
			return err
		}
	}
	if given("coa-port") {
		nas.CoAPort = f.coaPort
	}
	if given("require-message-authenticator") {
		if nas.RequireMessageAuthenticator, err = radius.ParseRequirement(f.require); err != nil {
			return usagef("--require-message-authenticator: %v", err)
		}
	}
	if given("limit-proxy-state") {
		nas.LimitProxyState = f.limitProxyState
	}
	if given("address") {
		if nas.Prefix, err = parsePrefix(f.newAddress); err != nil {
			return usagef("--address: %v", err)
		}
	}
	if f.forgetOld {
		nas.PreviousSecret = nil
	}
	if f.secret == "" {
		return nil
	}
	if nas.PreviousSecret = nil; f.keepOld {
		nas.PreviousSecret = nas.Secret
	}
	nas.Secret = []byte(f.secret)
	if len(f.secret) < 16 && !nas.Prefix.Addr().IsLoopback() {
		fmt.Fprintln(a.stderr, "warning: a shared secret of less than 16 characters can be found from captured packets (RFC 2865 section 3)")
	}
	return nil
}

// checkVendor refuses a vendor that no template is for.
func (a *app) checkVendor(cfg *config.Config, vendor string) error {
	names, err := templateNames(cfg)
	if err != nil || vendor == "" || slices.Contains(names, vendor) {
		return err
	}
	return usagef("--vendor: no reply template %q%s; there are %s", vendor, hint(vendor, names), strings.Join(names, ", "))
}

func templateNames(cfg *config.Config) ([]string, error) {
	d, err := openDictionary(cfg)
	if err != nil {
		return nil, err
	}
	templates, err := aaa.LoadTemplates(d, cfg.Templates.Files...)
	if err != nil {
		return nil, err
	}
	return templates.Names(), nil
}

func (a *app) nasAddCommand() *cobra.Command {
	f := &nasFlags{}
	c := &cobra.Command{
		Use:   "add ADDRESS|PREFIX",
		Short: "Add a NAS, or a prefix of them",
		Example: `  radiusd nas add 192.0.2.1 --secret-stdin --name bras1 --vendor mikrotik
  radiusd nas add 2001:db8:1::/48 --secret-stdin --require-message-authenticator no`,
		Args:              arguments("ADDRESS|PREFIX"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			prefix, err := parsePrefix(args[0])
			if err != nil {
				return usagef("%v", err)
			}
			if err := f.readSecret(a); err != nil {
				return err
			}
			if f.secret == "" {
				return usagef("a NAS needs --secret or --secret-stdin")
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				nas := &aaa.NAS{Prefix: prefix, LimitProxyState: true}
				if err := f.applyTo(a, c, cfg, nas); err != nil {
					return err
				}
				if nas.RequireMessageAuthenticator == radius.RequireAuto && !prefix.IsSingleIP() {
					return usagef("--require-message-authenticator: auto learns from one host and does not work for a prefix")
				}
				if err := s.CreateNAS(c.Context(), nas); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "NAS %s added\n", prefixText(nas.Prefix))
				return nil
			})
		},
	}
	f.register(a, c, false)
	return c
}

func (a *app) nasSetCommand() *cobra.Command {
	f := &nasFlags{}
	c := &cobra.Command{
		Use:   "set ADDRESS|PREFIX|NAME",
		Short: "Change a NAS",
		Long: `Changes what the flags say and leaves all else as it is. To change a secret without
a gap, set the new one with --keep-old, change it on the NAS, then --forget-old.`,
		Example: `  radiusd nas set bras1 --secret-stdin --keep-old
  radiusd nas set bras1 --forget-old
  radiusd nas set 192.0.2.1 --vendor cisco`,
		Args:              arguments("ADDRESS|PREFIX|NAME"),
		ValidArgsFunction: first(a.completeNASes),
		RunE: func(c *cobra.Command, args []string) error {
			if !anyChanged(c) {
				return usagef("%s: nothing to change; see %s --help", c.CommandPath(), c.CommandPath())
			}
			if err := f.readSecret(a); err != nil {
				return err
			}
			if f.keepOld && (f.secret == "" || f.forgetOld) {
				return usagef("--keep-old goes with a new secret, not with --forget-old")
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				found, err := findNAS(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				err = s.UpdateNAS(c.Context(), found.Prefix, func(nas *aaa.NAS) error {
					if err := f.applyTo(a, c, cfg, nas); err != nil {
						return err
					}
					if nas.RequireMessageAuthenticator == radius.RequireAuto && !nas.Prefix.IsSingleIP() {
						return usagef("--require-message-authenticator: auto learns from one host and does not work for a prefix")
					}
					return nil
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "NAS %s changed\n", printable(args[0]))
				return nil
			})
		},
	}
	f.register(a, c, true)
	return c
}

func (a *app) nasShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show ADDRESS|PREFIX|NAME",
		Short:             "Show a NAS, without its secrets",
		Example:           "  radiusd nas show bras1",
		Args:              arguments("ADDRESS|PREFIX|NAME"),
		ValidArgsFunction: first(a.completeNASes),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				nas, err := findNAS(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				return writeOne(a, nasColumns(true), nas)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) nasDeleteCommand() *cobra.Command {
	c := a.deleteCommand("NAS", "From then on its packets are dropped in silence.", a.completeNASes,
		func(ctx context.Context, s *store.Store, name string) error {
			_, err := findNAS(ctx, s, name)
			return err
		},
		func(ctx context.Context, s *store.Store, name string) error {
			nas, err := findNAS(ctx, s, name)
			if err != nil {
				return err
			}
			return s.DeleteNAS(ctx, nas.Prefix)
		})
	c.Use = "delete ADDRESS|PREFIX|NAME"
	c.Example = "  radiusd nas delete 192.0.2.1 --yes"
	return c
}
