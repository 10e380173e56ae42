package cli

import (
	"fmt"

	"radiusd/config"
	"radiusd/dictionary"
)

// openDictionary returns the embedded dictionary with the configured files on
// top.
func openDictionary(c *config.Config) (*dictionary.Dictionary, error) {
	d := dictionary.Embedded()
	if len(c.Dictionary.Files) == 0 {
		return d, nil
	}
	d, err := d.WithFiles(c.Dictionary.Files...)
	if err != nil {
		return nil, fmt.Errorf("load the dictionary: %w", err)
	}
	return d, nil
}
