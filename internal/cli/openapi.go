package cli

import (
	"github.com/spf13/cobra"

	"radiusd/api"
	"radiusd/api/apidoc"
)

func (a *app) openapiCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "openapi",
		Short: "Print the specification of the admin API",
		Long: `Prints the OpenAPI 3.1 specification that this version implements, for generators of
clients and other tools. A running API has it at /api/openapi.yaml and
/api/v1/openapi.json too, and the documentation made of it at /api/docs.`,
		Example: `  adminapi openapi >openapi.yaml
  adminapi openapi --format json | jq .paths`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			text := api.SpecYAML()
			switch format {
			case "yaml":
			case "json":
				var err error
				if text, err = apidoc.JSON(text); err != nil {
					return err
				}
			default:
				return usagef("--format is %q: want yaml or json", format)
			}
			_, err := a.stdout.Write(text)
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "yaml", "print as `FORMAT`: yaml, json")
	completeFlag(c, "format", "yaml", "json")
	return c
}
