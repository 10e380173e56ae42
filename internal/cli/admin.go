package cli

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// AdminMain is Main for the program adminapi.
func AdminMain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := &app{program: "adminapi", stdin: stdin, stdout: stdout, stderr: stderr, environ: environ, now: time.Now}
	return a.run(ctx, a.adminRootCommand(), args)
}

func (a *app) adminRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "adminapi",
		Short: "The admin API of radiusd, and those who may use it",
		Long: `adminapi is how operators run radiusd: it serves the admin API, and keeps who they are
and what they may do. It works on the store that the configuration of radiusd names.`,
		Example: `  adminapi serve --config /etc/radiusd/radiusd.yaml
  adminapi operator add alice --role owner
  adminapi operator list`,
	}
	a.prepareRoot(root)
	root.AddCommand(a.adminCommands()...)
	prepare(root)
	return root
}
