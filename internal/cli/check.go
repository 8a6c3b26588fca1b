package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"azdo-pat/internal/check"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
)

func (c *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Try every step up to the mint, and report what is missing and how to fix it",
		Long: `check takes every step that mint takes, except the mint itself: settings, platform,
hosts, the assertion, each request of the exchange, the user's token, and a list of
the user's PATs. It reports a tick or a cross for each and, for the first cross,
what to do, with the commands for it.

The report goes to standard output and, on GitHub, to the step's summary. It has
ids and names, and no credential.`,
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
	// A CI system without an assertion has a row of its own in the report.
	var unavailable error
	if src.CI != nil {
		unavailable, src.CI.Unavailable = src.CI.Unavailable, nil
	}
	s, err := c.load(settings.Check, src)
	if s == nil || !s.AsksCI {
		unavailable = nil
	}
	wrong := (*settings.Problems)(nil)
	if err != nil && !errors.As(err, &wrong) {
		return c.failed("check", err)
	}
	ctx, cancel := withTimeout(ctx, s.Timeout)
	defer cancel()
	report := check.Run(ctx, check.Options{
		Settings: s, Wrong: wrong, Unavailable: unavailable,
		Platform: c.platform, SignIn: c.signin, HTTP: c.http,
		Version: version, Commit: commit,
	})
	if err := c.writeReport(s, report); err != nil {
		return c.failed("check", fmt.Errorf("write the report: %w", err))
	}
	first := report.FirstCross()
	switch {
	case wrong != nil:
		// The report says which.
		text := check.CountWrong(wrong) + ": see the report"
		c.platform.Log().Error("azdo-pat check: wrong settings", errors.New(text))
		c.fallbackToStderr("check: wrong settings: " + text)
		return exitUsage
	case first == nil:
		return exitOK
	}
	failed := fmt.Errorf("%s: %s", first.Name, first.Seen)
	if c.platform.Info().CI { // on a terminal the report stands just above
		failed = hint.Add(failed, first.Fix)
	}
	c.failed("check", failed)
	if unavailable != nil {
		return exitUsage
	}
	return exitFailure
}

// writeReport writes the report to the log of a CI system and its summary, or to
// standard output.
func (c *app) writeReport(s *settings.Settings, report *check.Report) error {
	log := c.platform.Log()
	report.Clean(log.Redact)
	if err := c.platform.Summary(report.Markdown()); err != nil {
		log.Warning("no summary", err.Error())
	}
	switch {
	case s.Output == settings.JSON:
		line, err := report.JSON()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(&c.out, "%s\n", line)
		return err
	case !c.platform.Info().CI:
		_, err := fmt.Fprint(&c.out, sanitize.NoCommands(report.Text()))
		return err
	}
	log.Infof("%s", report.Text())
	return nil
}
