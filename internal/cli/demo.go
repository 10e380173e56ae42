package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/radius"
	"radiusd/store"
)

// The demo: what `serve --demo` adds to the store so that there is something to
// try. Its credentials are published, so it serves loopback only, and a server
// without --demo does not start on a store that has them.
const demoSecret = "testing123"

var demoNASes = []aaa.NAS{
	{Name: "demo", Prefix: netip.MustParsePrefix("127.0.0.1/32"), Vendor: "mikrotik"},
	{Name: "demo6", Prefix: netip.MustParsePrefix("::1/128"), Vendor: "mikrotik"},
}

var demoPlans = []aaa.Plan{
	{Name: "demo-basic", RateUp: 2e6, RateDown: 10e6},
	{Name: "demo-fiber", RateUp: 50e6, RateDown: 100e6, QuotaOctets: 500e9, QuotaPeriod: aaa.PeriodMonth},
}

var demoUsers = []struct {
	name, password, plan string
	status               aaa.UserStatus
}{
	{"alice", "wonderland", "demo-fiber", aaa.UserActive},
	{"bob", "builder", "demo-basic", aaa.UserActive},
	{"carol", "christmas", "demo-basic", aaa.UserSuspended},
}

// seedDemo adds what is not there yet. What has one of the demo's names already is
// left as it is.
func seedDemo(ctx context.Context, s *store.Store) error {
	var errs []error
	add := func(err error) {
		if err != nil && !errors.Is(err, store.ErrExists) {
			errs = append(errs, err)
		}
	}
	for _, nas := range demoNASes {
		nas.Secret = []byte(demoSecret)
		// Debian's radclient sends no Message-Authenticator.
		nas.RequireMessageAuthenticator, nas.LimitProxyState = radius.RequireNo, true
		add(s.CreateNAS(ctx, &nas))
	}
	for _, plan := range demoPlans {
		add(s.CreatePlan(ctx, &plan))
	}
	for _, u := range demoUsers {
		plan, err := s.PlanByName(ctx, u.plan)
		if err != nil {
			add(err)
			continue
		}
		add(s.CreateUser(ctx, &aaa.User{
			Name: u.name, Status: u.status, PlanID: plan.ID,
			Credential: aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(u.password)},
		}))
	}
	if len(errs) > 0 {
		return fmt.Errorf("add the demo's data: %w", errors.Join(errs...))
	}
	return nil
}

// refuseDemo is an error if the store has one of the demo's published credentials,
// which must never serve a real network.
func refuseDemo(ctx context.Context, s *store.Store) error {
	var found []string
	nases, err := s.NASes(ctx)
	if err != nil {
		return err
	}
	for _, nas := range nases {
		for _, demo := range demoNASes {
			if nas.Prefix == demo.Prefix && string(nas.Secret) == demoSecret {
				found = append(found, "nas "+nas.Prefix.String())
			}
		}
	}
	for _, demo := range demoUsers {
		user, err := s.UserByName(ctx, demo.name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		if user.Credential.Scheme == aaa.SchemeCleartext && string(user.Credential.Secret) == demo.password {
			found = append(found, "user "+demo.name)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("the store has credentials of the demo, which everybody knows (%s): delete them or change their secrets, or start with --demo, which serves loopback only",
		strings.Join(found, ", "))
}

// onLoopback keeps the ports of the configured addresses and binds them to
// loopback, in the families that the machine has.
func onLoopback(c *config.Config) error {
	hosts := []string{"127.0.0.1"}
	if probe, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
		probe.Close()
		hosts = append(hosts, "::1")
	}
	for _, listen := range []*[]string{&c.Auth.Listen, &c.Acct.Listen} {
		var ports, addresses []string
		for _, address := range *listen {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return err
			}
			if !slices.Contains(ports, port) {
				ports = append(ports, port)
			}
		}
		for _, port := range ports {
			for _, host := range hosts {
				addresses = append(addresses, net.JoinHostPort(host, port))
			}
		}
		*listen = addresses
	}
	return c.LoopbackAdmin()
}
