// Command radiusd is a RADIUS server with its user database, accounting and
// operator's tools built in.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"radiusd/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
