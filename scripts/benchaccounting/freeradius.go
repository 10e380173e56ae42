package main

import (
	"fmt"

	"radiusd/scripts/internal/testbed"
)

// startFreeRADIUS starts FreeRADIUS on a database of its own of the same Postgres server
// and returns its accounting address.
func (b *bench) startFreeRADIUS() (acct string, err error) {
	if err := b.postgres.MakeFreeRADIUSTables(); err != nil {
		return "", err
	}
	f, err := b.bed.StartFreeRADIUS("freeradius", secret, b.postgres)
	if err != nil {
		return "", fmt.Errorf("%w; -freeradius=false does without", err)
	}
	b.freeradiusServer = f.Process
	return f.Acct, f.Await(func() error {
		_, err := testbed.Run(b.options.radiusd, "test", "acct", "start", "probe", "--server", f.Acct, "--secret", secret, "--timeout", "1s")
		return err
	})
}
