package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker in a release; see the Makefile.
var version = ""

// build is what this binary was built from.
type build struct {
	Version, Commit, CommitTime, GoVersion, Platform string
	Modified                                         bool
}

// readBuild reads what the Go tool has put into the binary.
func readBuild() build {
	b := build{Version: version, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.CommitTime = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "version",
		Short:             "Print version and build information",
		Example:           "  " + a.program + " version -o json",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			info := readBuild()
			return writeOne(a, []column[build]{
				{name: "version", value: func(b *build) any { return b.Version }},
				{name: "commit", value: func(b *build) any { return b.Commit }},
				{name: "commit_time", value: func(b *build) any { return b.CommitTime }},
				{name: "modified", value: func(b *build) any { return b.Modified }},
				{name: "go_version", value: func(b *build) any { return b.GoVersion }},
				{name: "platform", value: func(b *build) any { return b.Platform }},
			}, &info)
		},
	}
	a.outputFlag(c)
	return c
}
