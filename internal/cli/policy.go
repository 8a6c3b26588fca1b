package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"azdo-pat/internal/policy"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

func policyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check a policy, and tell what it decides",
		Long: `A policy says which job may ask for which scopes, in which organization and for
how long. mint, exec and rotate read it from the setting policy or policy-file, and
refuse what no rule allows before anything is sent to Microsoft Entra or Azure
DevOps.

The commands below read a policy file and send nothing.`,
		Example: `  azdo-pat policy check policy.yml`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errUnknownCommand
			}
			return errors.New("policy needs the command check or test")
		},
	}
	cmd.AddCommand(policyCheckCommand(a), policyTestCommand(a))
	return cmd
}

func policyCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a policy file and summarize its rules",
		Long: `check compiles a policy file. If it is right, its rules are printed, a line each;
otherwise everything that is wrong is reported with line and column, and the exit
status is 2.`,
		Example: `  azdo-pat policy check policy.yml`,
		Args:    oneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.compile(args[0])
			if err != nil {
				return a.wrongPolicy("policy check: wrong policy", err)
			}
			return a.print("policy check", p.Describe())
		},
	}
}

func policyTestCommand(a *app) *cobra.Command {
	var claims string
	asked := policy.Asked{}
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Tell what a policy decides for given claims",
		Long: `test decides about a request as mint does, with the claims of an assertion from a
file: the JSON object that is the assertion's payload. The exit status is 0 if a rule
allows the request, 1 if none does, with the nearest rule, and 2 if the policy, the
claims or a flag is wrong.

With --token-type entra, scopes and lifetime are not compared: an Entra token has the
service principal's permissions and about an hour.`,
		Example: `  azdo-pat policy test policy.yml --claims claims.json --organization contoso \
    --scopes "vso.code vso.packaging_write" --lifetime 30m`,
		Args: oneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			return runPolicyTest(a, args[0], claims, asked)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&claims, "claims", "", "file with the claims, a JSON object (required)")
	f.StringVar(&asked.Organization, "organization", "", "Azure DevOps organization that is asked for (required)")
	f.StringVar(&asked.Scopes, "scopes", "", "PAT scopes that are asked for, separated by white space or commas")
	f.StringVar(&asked.Lifetime, "lifetime", policy.DefaultLifetime, "lifetime that is asked for")
	f.StringVar(&asked.TokenType, "token-type", policy.PAT, "pat or entra")
	for name, choices := range map[string]func() []string{
		"organization": func() []string { return nil }, "lifetime": func() []string { return nil },
		"scopes": scopeNames, "token-type": func() []string { return []string{policy.PAT, policy.Entra} },
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return choices(), cobra.ShellCompDirectiveNoFileComp
		})
	}
	return cmd
}

func runPolicyTest(a *app, file, claimsFile string, asked policy.Asked) error {
	p, err := a.compile(file)
	request, wrong := asked.Request()
	claims, claimsErr := readClaims(claimsFile)
	err = errors.Join(err, wrong, claimsErr)
	if err != nil {
		return a.wrongPolicy("policy test: wrong policy, claims or flags", err)
	}
	d := p.Decide(request, claims)
	if d.Allowed {
		return a.print("policy test", d.Explain()+"\n")
	}
	text := "refused: " + d.Explain() + "\n" + d.Table() + "\n"
	if p.Mode == policy.Audit {
		text += "the mode is audit, so the job would get a warning and its token\n"
	}
	if err := a.print("policy test", text); err != nil {
		return err
	}
	return exitStatus(exitFailure)
}

// oneFile requires one argument. The error does not repeat it.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes one argument, the file of a policy; %d found", cmd.CommandPath(), len(args))
	}
	return nil
}

// compile reads a policy file, and logs what is unusual in it.
func (a *app) compile(file string) (*policy.Policy, error) {
	text, err := policy.ReadFile(file)
	var p *policy.Policy
	if err == nil {
		p, err = policy.Compile(text)
	}
	if err != nil {
		return nil, inFile(file, err)
	}
	for _, warning := range p.Warnings {
		a.platform.Log().Warning("policy", inFile(file, errors.New(warning)).Error())
	}
	return p, nil
}

func readClaims(file string) (policy.Claims, error) {
	if file == "" {
		return nil, errors.New("--claims: not set; allowed: a file with the claims as a JSON object")
	}
	text, err := policy.ReadFile(file)
	var claims policy.Claims
	if err == nil {
		// Some editors write a byte order mark, which ParseClaims refuses.
		claims, err = policy.ParseClaims(bytes.TrimPrefix(text, []byte("\ufeff")))
	}
	if err != nil {
		return nil, inFile(file, err)
	}
	return claims, nil
}

// inFile adds the name of the file to an error, unless the name may be a credential in the
// wrong place.
func inFile(file string, err error) error {
	name := sanitize.Exact(file)
	if secret.Resembles(file) {
		name = "a file whose name is not shown, since it may be a credential"
	}
	return fmt.Errorf("%s: %w", name, err)
}

// wrongPolicy reports what is wrong with a policy, the claims or the flags.
func (a *app) wrongPolicy(title string, err error) error {
	a.platform.Log().Error("azdo-pat "+title, err)
	a.fallbackToStderr(title + ": " + err.Error())
	return exitStatus(exitUsage)
}

// print writes the result of a command so that no line of it is a logging command.
func (a *app) print(command, text string) error {
	if _, err := io.WriteString(a.out, sanitize.NoCommands(a.platform.Log().Redact(text))); err != nil {
		return a.failed(command, fmt.Errorf("write to standard output: %w", err))
	}
	return nil
}
