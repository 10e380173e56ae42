package cli

import (
	"bytes"
	"fmt"
	"os"

	"radiusd/config"
	"radiusd/operator"
)

// openIDOptions reads how operators sign in through a provider; nil: they do not.
func openIDOptions(cfg config.OIDC) (*operator.OIDCOptions, error) {
	if cfg.Issuer == "" {
		return nil, nil
	}
	options := &operator.OIDCOptions{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, RedirectURL: cfg.RedirectURL, LinkByEmail: cfg.LinkByEmail,
		RoleClaim: cfg.RoleClaim, RoleMap: cfg.RolesByClaim(),
	}
	if cfg.ClientSecretFile != "" {
		content, err := os.ReadFile(cfg.ClientSecretFile)
		if err != nil {
			return nil, fmt.Errorf("admin.oidc.client_secret_file: %w", err)
		}
		options.ClientSecret = string(bytes.TrimSpace(content))
		if options.ClientSecret == "" {
			return nil, fmt.Errorf("admin.oidc.client_secret_file: %s is empty", cfg.ClientSecretFile)
		}
	}
	return options, nil
}
