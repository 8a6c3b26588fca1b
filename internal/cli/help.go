package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"azdo-pat/internal/settings"
)

// helpWidth is the width of help, in columns.
const helpWidth = 80

// usage writes the second half of a command's help: how it is called, examples, and
// every setting that it reads with its variables, secrets included.
func usage(command settings.Command) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		w := cmd.OutOrStderr()
		fmt.Fprintf(w, "Usage:\n  %s\n", cmd.UseLine())
		if cmd.Example != "" {
			fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
		}
		fmt.Fprint(w, "\nEach setting is read from its flag, then from the input of the same name in GitHub\nActions, then from its variables, in the order shown. Empty means unset. Secrets\nhave no flag, because other processes can read a command line.\n")
		group := ""
		for _, d := range settings.Descriptions {
			if !slices.Contains(d.For, command) {
				continue
			}
			if d.Group != group {
				group = d.Group
				fmt.Fprintf(w, "\n%s:\n", group)
			}
			describe(w, d, command)
		}
		return nil
	}
}

// describe writes what a setting means and where it is read from.
func describe(w io.Writer, d *settings.Description, command settings.Command) {
	switch {
	case d.Secret:
		fmt.Fprintf(w, "  %s (secret)\n", d.Name)
	case d.Bool:
		fmt.Fprintf(w, "  --%s\n", d.Name)
	default:
		fmt.Fprintf(w, "  --%s VALUE\n", d.Name)
	}
	wrap(w, d.TextFor(command))
	wrap(w, strings.Join(d.Variables(), ", "))
}

// wrap writes text in indented lines of at most helpWidth columns. A word that is
// longer stays whole, so that it can be copied.
func wrap(w io.Writer, text string) {
	const indent = "      "
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && len(line)+len(" ")+len(word) > helpWidth {
			fmt.Fprintln(w, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}
