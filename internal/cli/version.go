package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// The linker sets these, with -X azdo-pat/internal/cli.version=v1.2.3.
var (
	version = "dev"
	commit  = "unknown"
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Long: `version prints the release, the commit that it was built from, and the version of
Go.`,
		Example: "  azdo-pat version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := fmt.Fprintf(a.out, "azdo-pat %s (commit %s, %s)\n", version, commit, runtime.Version()); err != nil {
				return a.failed("version", err)
			}
			return nil
		},
	}
}
