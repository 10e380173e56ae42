// Command adminapi is the admin API of radiusd as a process of its own, and the
// commands for those who may use it.
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
	os.Exit(cli.AdminMain(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
