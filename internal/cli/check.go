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

func checkCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Try every step up to the mint, and report what is missing and how to fix it",
		Long: `check takes every step that mint takes, except the mint itself: settings, platform,
hosts, the assertion, each request of the exchange, the user's token, and a list of
the user's PATs. It reports a tick or a cross for each and, for the first cross,
what to do, with the commands for it. With token-type entra it asks whether the
organization takes the token, instead of listing PATs.

The report goes to standard output and, on GitHub, to the step's summary. It has
ids and names, and no credential.`,
		Example: `  azdo-pat check --organization contoso --client-id APPLICATION \
    --refresh-token-vault https://contoso.vault.azure.net/secrets/azdo \
    --federated-token-file "$TOKEN_FILE"

  # What failed first, for a script:
  azdo-pat check --output json | jq -r '.["first-cross"]'

  # In a workflow, as the action, with the inputs of the step that fails:
  - uses: OWNER/azdo-pat@COMMIT
    with:
      command: check
      organization: contoso`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCheck(cmd.Context(), a, flags(cmd))
		},
	}
}

func runCheck(ctx context.Context, a *app, given map[string]string) error {
	src := a.source(given, nil)
	// A CI system without an assertion has a row of its own in the report.
	var unavailable error
	if src.CI != nil {
		unavailable, src.CI.Unavailable = src.CI.Unavailable, nil
	}
	l, err := a.load(settings.Check, src)
	wrong := (*settings.Problems)(nil)
	if err != nil && !errors.As(err, &wrong) {
		return l.failed("check", err)
	}
	if !l.Settings.AsksCI {
		unavailable = nil
	}
	ctx, cancel := settings.WithTimeout(ctx, l.Settings.Timeout)
	defer cancel()
	report := check.Run(ctx, check.Options{
		Settings: l.Settings, Wrong: wrong, Unavailable: unavailable,
		Platform: l.platform, SignIn: l.SignIn, HTTP: l.SignIn.HTTP,
		Version: version, Commit: commit,
	})
	err = l.writeCheck(report)
	if err != nil {
		return l.failed("check", fmt.Errorf("write the report: %w", err))
	}
	first := report.FirstCross()
	switch {
	case wrong != nil:
		// The report says which.
		text := check.CountWrong(wrong) + ": see the report"
		l.platform.Log().Error("azdo-pat check: wrong settings", errors.New(text))
		l.fallbackToStderr("check: wrong settings: " + text)
		return exitStatus(exitUsage)
	case first == nil:
		return nil
	}
	failed := fmt.Errorf("%s: %s", first.Name, first.Seen)
	if l.platform.Info().CI { // on a terminal the report stands just above
		failed = hint.Add(failed, first.Fix)
	}
	err = l.failed("check", failed)
	if unavailable != nil {
		return exitStatus(exitUsage)
	}
	return err
}

// writeCheck writes the report to the log of a CI system and its summary, or to
// standard output.
func (l *loaded) writeCheck(report *check.Report) error {
	log := l.platform.Log()
	report.Clean(log.Redact)
	l.summary(report.Markdown())
	switch {
	case l.Settings.Output == settings.JSON:
		line, err := report.JSON()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(l.out, "%s\n", line)
		return err
	case !l.platform.Info().CI:
		_, err := fmt.Fprint(l.out, l.paintReport(sanitize.NoCommands(report.Text())))
		return err
	}
	log.Infof("%s", report.Text())
	return nil
}
