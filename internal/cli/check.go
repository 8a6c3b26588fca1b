package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"azdo-pat/internal/check"
	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
)

func (c *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Try every step up to the mint, and say what is missing and how to fix it",
		Long: `check goes the whole way that mint goes and mints nothing: settings, platform,
the hosts, the assertion, each request of the exchange, the user's token, and the
organization's answer to a list of PATs. It reports a tick or a cross a line and,
for the first cross, what to do, with the commands for it.

The report is standard output and, on GitHub, the step's summary. It holds ids and
names, and no credential.`,
		Example: `  azdo-pat check --organization contoso --client-id BLUEPRINT --agent-id AGENT \
    --agent-user agent@contoso.com --federated-token-file "$TOKEN_FILE"

  # What failed first, for a script:
  azdo-pat check --output json | jq -r '.["first-cross"]'

  # In a workflow, as the action, with the inputs of the step that fails:
  - uses: OWNER/azdo-pat@COMMIT
    with:
      command: check
      organization: contoso`,
		Args: noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			c.status = c.check(cmd.Context(), flags(cmd))
		},
	}
}

func (c *app) check(ctx context.Context, given map[string]string) int {
	src := c.source(given, nil)
	found := map[string]string{}
	src.Found = func(name, where string) { found[name] = where }
	// Whether the CI system vouches for the job is the platform's row.
	var unvouched error
	if vouches := src.Assertion; vouches != nil {
		src.Assertion = func() error { unvouched = vouches(); return nil }
	}
	s, err := c.load(settings.Check, src)
	wrong := (*settings.Problems)(nil)
	if err != nil && !errors.As(err, &wrong) {
		return c.failed("check", err)
	}
	k := newPreflight(c, s)
	k.sawSettings(found, wrong)
	k.sawPlatform(unvouched)
	if wrong == nil && unvouched == nil {
		ctx, cancel := withTimeout(ctx, s.Timeout)
		k.walk(ctx)
		cancel()
		k.findings()
	}
	if err := k.say(); err != nil {
		return c.failed("check", fmt.Errorf("write the report: %w", err))
	}
	first := k.report.FirstCross()
	switch {
	case wrong != nil:
		// The report has just said which.
		text := howMany(wrong) + ": see the report"
		c.platform.Log().Error("azdo-pat check: wrong settings", errors.New(text))
		c.fallbackToStderr("check: wrong settings: " + text)
		return exitUsage
	case first == nil:
		return exitOK
	}
	failed := fmt.Errorf("%s: %s", first.Name, first.Seen)
	if _, ok := c.platform.(*ci.Terminal); !ok {
		failed = hint.Add(failed, first.Fix) // elsewhere it has just been said
	}
	c.failed("check", failed)
	if unvouched != nil {
		return exitUsage
	}
	return exitFailure
}

// surroundings is what check says of the platform.
type platformInfo struct {
	name    string // for people
	seen    string
	ready   string // what mint has here, if err is nil
	vouches string // the URL that is asked for an assertion; empty: none
	err     error  // what mint would miss here
	// permission is what to change where the platform does not vouch for the
	// job, beyond the hint of that error.
	permission string
}

// surroundings is the one place where check depends on the platform.
func (c *app) platformInfo() platformInfo {
	switch p := c.platform.(type) {
	case *ci.GitHub:
		event := p.Event()
		seen := "event " + sanitize.Line(event.Name, 40)
		if event.Dependabot {
			seen += " by Dependabot (its runs get only Dependabot's secrets)"
		}
		switch hasToken := p.IDToken().Available() == nil; {
		case event.Fork && hasToken:
			seen += " from a fork, with an OIDC token all the same: the job speaks for the base repository, so let it run nothing of the fork's"
		case event.WithoutToken():
			seen += " from a fork, whose jobs get no OIDC token"
		case event.Fork:
			seen += " from a fork"
		}
		return platformInfo{
			name: "GitHub Actions", seen: seen, ready: "GITHUB_OUTPUT and GITHUB_STATE can be written",
			vouches: p.IDToken().URL, err: p.Prepare(displayname.Origin{}), permission: check.IDToken,
		}
	case *ci.AzurePipelines:
		return platformInfo{
			name: "Azure Pipelines", seen: "build reason " + p.Reason(), ready: "outputs and masks go to the log",
			vouches: p.IDToken().URL,
		}
	default:
		return platformInfo{name: "terminal", seen: "no CI system that azdo-pat knows", ready: "a PAT would go to standard output"}
	}
}

// say writes the report where it is read.
func (k *preflight) say() error {
	log := k.platform.Log()
	k.report.Clean(log.Scrub)
	if err := k.platform.Summary(k.report.Markdown()); err != nil {
		log.Warning("no summary", err.Error())
	}
	_, terminal := k.platform.(*ci.Terminal)
	switch {
	case k.s.Output == settings.JSON:
		line, err := k.report.JSON()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(&k.out, "%s\n", line)
		return err
	case terminal:
		_, err := fmt.Fprint(&k.out, sanitize.NoCommands(k.report.Text()))
		return err
	}
	log.Infof("%s", k.report.Text()) // which is standard output there
	return nil
}
