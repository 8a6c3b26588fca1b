package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"azdo-pat/internal/pat"
)

func scopesCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "scopes",
		Short: "List the PAT scopes",
		Long: `scopes lists the scopes that a PAT can have, each with those that it includes.
The list may be out of date: for a scope that is not in it, mint logs a warning
and leaves the decision to the server.`,
		Example: `  azdo-pat scopes
  azdo-pat scopes | grep packaging`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			var table strings.Builder
			w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "SCOPE\tINCLUDES")
			for _, s := range pat.Known() {
				note := strings.Join(s.Includes, " ")
				if !s.Documented {
					note = strings.TrimSpace(note + " (in use, not documented)")
				}
				fmt.Fprintf(w, "%s\t%s\n", s.Name, note)
			}
			_ = w.Flush() // to memory
			head, rows, _ := strings.Cut(table.String(), "\n")
			if _, err := fmt.Fprintf(a.out, "%s\n%s", a.paint(bold, head), rows); err != nil {
				return a.failed("scopes", err)
			}
			return nil
		},
	}
}

func scopeNames() []string {
	var names []string
	for _, s := range pat.Known() {
		names = append(names, s.Name)
	}
	return names
}
