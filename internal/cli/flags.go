package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"azdo-pat/internal/settings"
)

// addFlags gives a command a flag for each of its settings, except secrets, and their
// help. Values are read as text; settings.Load validates them.
func addFlags(cmd *cobra.Command, command settings.Command) {
	for _, d := range settings.Descriptions {
		switch {
		case !d.HasFlag(command):
			continue
		case d.Repeatable:
			cmd.Flags().StringArray(d.Name, nil, d.TextFor(command))
		default:
			cmd.Flags().String(d.Name, "", d.TextFor(command))
		}
		if d.Bool {
			cmd.Flags().Lookup(d.Name).NoOptDefVal = "true"
		}
		if !strings.HasSuffix(d.Name, "-file") { // those the shell completes
			_ = cmd.RegisterFlagCompletionFunc(d.Name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return values(d), cobra.ShellCompDirectiveNoFileComp
			})
		}
	}
	cmd.Flags().SortFlags = false
	if slices.Contains(settings.Commands(), command) {
		cmd.SetUsageFunc(usage(command))
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
}

// values lists the values that a setting can have, if it is an enumeration.
func values(d *settings.Description) []string {
	switch {
	case d.Name == "scopes":
		return scopeNames()
	case d.Name == "fail-on":
		return settings.RuleForms()
	case d.Bool:
		return []string{"true", "false"}
	}
	return d.Values
}

// joined joins a boolean flag and the value that follows it after a space, which
// pflag does not do. What follows "--" belongs to another program.
func joined(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(out, args[i:]...)
		}
		isBool := slices.ContainsFunc(settings.Descriptions, func(d *settings.Description) bool {
			return d.Bool && args[i] == "--"+d.Name
		})
		if isBool && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			out = append(out, args[i]+"="+args[i+1])
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// flags returns the values of the flags that were given.
func flags(cmd *cobra.Command) map[string]string {
	given := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		given[f.Name] = f.Value.String()
		if several, ok := f.Value.(pflag.SliceValue); ok {
			given[f.Name] = strings.Join(several.GetSlice(), " ")
		}
	})
	return given
}
