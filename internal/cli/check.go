package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

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
	// Whether the CI system gives an assertion is the platform's row.
	var unvouched error
	if src.CI != nil {
		unvouched, src.CI.Unavailable = src.CI.Unavailable, nil
	}
	s, err := c.load(settings.Check, src)
	if s == nil || !s.AsksCI {
		unvouched = nil
	}
	wrong := (*settings.Problems)(nil)
	if err != nil && !errors.As(err, &wrong) {
		return c.failed("check", err)
	}
	k := newPreflight(c, s)
	k.sawSettings(wrong)
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
	if c.platform.Info().CI {
		failed = hint.Add(failed, first.Fix) // elsewhere it has just been said
	}
	c.failed("check", failed)
	if unvouched != nil {
		return exitUsage
	}
	return exitFailure
}

// say writes the report where it is read.
func (k *preflight) say() error {
	log := k.platform.Log()
	k.report.Clean(log.Scrub)
	if err := k.platform.Summary(k.report.Markdown()); err != nil {
		log.Warning("no summary", err.Error())
	}
	switch {
	case k.s.Output == settings.JSON:
		line, err := k.report.JSON()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(&k.out, "%s\n", line)
		return err
	case !k.platform.Info().CI:
		_, err := fmt.Fprint(&k.out, sanitize.NoCommands(k.report.Text()))
		return err
	}
	log.Infof("%s", k.report.Text()) // which is standard output there
	return nil
}
