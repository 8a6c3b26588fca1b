package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/nearest"
	"azdo-pat/internal/settings"
)

// errUnknownCommand is the error of an argument that names no command.
var errUnknownCommand = errors.New("unknown command")

// commandLineError explains what is wrong with the command line, and suggests what was
// meant or where to find help. It repeats unknown words only if they look like names of
// flags, because one may be a credential in the wrong place.
func commandLineError(err error, root *cobra.Command, args []string) error {
	cmd, _, e := root.Find(args)
	if e != nil {
		cmd = root
	}
	see := "see " + cmd.CommandPath() + " --help"
	if (cmd.Name() == "exec" || cmd.Name() == "rotate") && !slices.Contains(args, "--") {
		see = "put -- before the command: " + cmd.CommandPath() + " [flags] -- COMMAND [ARG…]; " + see
	}
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		syntax  *pflag.InvalidSyntaxError
	)
	switch {
	case errors.As(err, &unknown):
		return unknownFlag(unknown, cmd, see)
	case errors.As(err, &missing):
		return hint.Add(fmt.Errorf("--%s needs a value", missing.GetFlag().Name), see)
	case errors.As(err, &invalid):
		return hint.Add(fmt.Errorf("--%s has a wrong value, which is not shown", invalid.GetFlag().Name), see)
	case errors.As(err, &syntax):
		return hint.Add(errors.New("an argument that starts with - is not a flag; it is not shown, since it may be a credential"), see)
	case strings.HasPrefix(err.Error(), errUnknownCommand.Error()): // cobra's, which repeats it
		return unknownCommand(cmd, args, see)
	}
	return hint.Add(err, see)
}

// unknownFlag suggests the flag that was probably meant.
func unknownFlag(err *pflag.NotExistError, cmd *cobra.Command, see string) error {
	name := err.GetSpecifiedName()
	short := err.GetSpecifiedShortnames()
	switch {
	case name == "version":
		return hint.Add(errors.New("unknown flag: --version"), cmd.Root().Name()+" version prints it")
	case strings.EqualFold(short, "v"):
		return hint.Add(errors.New("unknown flag"), cmd.Root().Name()+" version prints the version")
	case short != "", !repeatable(name):
		return hint.Add(errors.New("unknown flag; it is not shown, since it may be a credential"), see)
	case settings.IsSecret(name):
		return secretFlag("--"+name+": ", name)
	}
	unknown := fmt.Errorf("unknown flag: --%s", name)
	if of := commandsWith(name); len(of) > 0 {
		return hint.Add(unknown, fmt.Sprintf("it is a flag of %s; %s", strings.Join(of, ", "), see))
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	noCommand := len(names) <= 1 // only help, so any setting may be meant
	for _, d := range settings.Descriptions {
		if noCommand || d.Secret {
			names = append(names, d.Name)
		}
	}
	near, ok := nearest.Name(name, append(names, "version"))
	switch {
	case ok && near == "version":
		see = "did you mean " + cmd.Root().Name() + " version? " + see
	case ok && settings.IsSecret(near):
		return secretFlag("unknown flag: --"+name+"; ", near)
	case ok:
		see = "did you mean --" + near + "? " + see
	}
	return hint.Add(unknown, see)
}

// secretFlag says why a secret has no flag.
func secretFlag(before, name string) error {
	return hint.Add(errors.New(before+"a secret has no flag, since a command line is visible to other processes"),
		"set the variable "+settings.Describe(name).Variables()[0])
}

// commandsWith lists the commands that have a flag of that name.
func commandsWith(name string) (commands []string) {
	if d := settings.Describe(name); d != nil {
		for _, c := range d.For {
			commands = append(commands, string(c))
		}
	}
	return commands
}

// unknownCommand suggests the command that was probably meant.
func unknownCommand(cmd *cobra.Command, args []string, see string) error {
	if cmd.HasParent() {
		return hint.Add(fmt.Errorf("unknown argument of %s; it is not shown, since it may be a credential", cmd.CommandPath()), see)
	}
	err := fmt.Errorf("%w; it is not shown, since it may be a credential", errUnknownCommand)
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if i := slices.IndexFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") }); i >= 0 {
		if near, ok := nearest.Name(args[i], names); ok {
			see = "did you mean " + cmd.Name() + " " + near + "? " + see
		}
	}
	return hint.Add(err, see)
}

// repeatable reports whether an unknown word may be shown in an error: no credential
// consists of a few words in lower case.
func repeatable(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") == ""
}
