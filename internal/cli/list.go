package cli

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"azdo-pat/internal/audit"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/job"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/sweep"
)

func listCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the user's PATs, with what is wrong with each",
		Long: `list shows every active PAT of the user, the worst first: what minted it, when it
ends, its scopes, and what is wrong with it. With --fail-on it is a gate for a
scheduled job: if a rule applies to a PAT, the exit status is 1.

Rules:
  full-access           it has the scope app_token
  all-organizations     all organizations of the user accept it
  other                 azdo-pat did not name it
  run-over              the workflow run that minted it has completed
                        (needs AZDO_PAT_GITHUB_TOKEN or GITHUB_TOKEN)
  long-lived=DURATION   it lives longer than that, from its beginning to its end
  ends-within=DURATION  it ends within that from now
  scope=NAME            it may do what that scope permits: it has the scope, or
                        one that includes it

Without --fail-on, list looks for the rules that need no argument, and for
run-over only with a GitHub token. It changes nothing, and no PAT is shown with
its value.`,
		Example: `  azdo-pat list --organization contoso --client-id APPLICATION \
    --refresh-token-vault https://contoso.vault.azure.net/secrets/azdo \
    --federated-token-file "$TOKEN_FILE"

  # Fail if the account has a PAT that no job minted, or one for more than a day:
  azdo-pat list --fail-on "other long-lived=24h full-access"

  # The names of all PATs that may write packages:
  azdo-pat list --fail-on scope=vso.packaging_write --output json |
    jq -r '.pats[] | select(.findings != []) | .["display-name"]'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runList(cmd.Context(), a, flags(cmd))
		},
	}
}

func runList(ctx context.Context, a *app, given map[string]string) error {
	l, err := a.load(settings.List, a.source(given, nil))
	if err != nil {
		return l.failed("list", err)
	}
	ctx, cancel := settings.WithTimeout(ctx, l.Settings.Timeout)
	defer cancel()
	rules := l.Settings.Rules
	if rules == nil {
		rules = audit.DefaultRules(!l.Settings.GitHubToken.IsZero())
	}
	// The table is in memory until all PATs are known. With names of 200 characters this
	// saves 4 of 28 MiB for 10,000 PATs, and costs a third more processor time.
	debug.SetGCPercent(20)
	r := newListReport(l, rules)
	end := l.platform.Log().Group("azdo-pat list: " + l.Settings.Organization)
	result, err := l.list(ctx, r, rules)
	end()
	if err == nil && r.writeErr != nil {
		err = fmt.Errorf("write to standard output: %w", r.writeErr)
	}
	if err == nil && l.Settings.Rules != nil {
		err = l.verdict(result, rules)
	}
	if err != nil {
		return l.failed("list", err)
	}
	return nil
}

// list signs in, lists and reports.
func (l *loaded) list(ctx context.Context, r *listReport, rules []settings.Rule) (audit.Result, error) {
	auditor := &audit.Auditor{
		PATs: l.SignIn, Rules: rules, Now: l.SignIn.ServerTime, Ready: l.SignIn.Wait,
		Log: l.platform.Log(), Report: r.add,
	}
	var runs *sweep.RunLookup
	if !l.Settings.GitHubToken.IsZero() {
		runs = sweep.NewRunLookup(l.runs(), l.platform.Log(), "run-over is unknown for")
		auditor.Runs = runs
	}
	session, err := l.SignIn.SignIn(ctx)
	if err != nil {
		return audit.Result{}, err
	}
	l.RefreshTokenNotice(session)
	r.begin()
	result, err := auditor.Run(ctx)
	if runs != nil {
		l.warnOfRuns(result, runs.CredentialsErr())
	}
	r.close(result)
	if l.SignIn.Worked() {
		l.RenewRefreshToken(ctx)
	}
	return result, err
}

// warnOfRuns says for how many leases run-over is unknown, and why.
func (l *loaded) warnOfRuns(result audit.Result, refused error) {
	log := l.platform.Log()
	if result.Hidden > 0 {
		log.Warning("azdo-pat list: run-over unknown", fmt.Sprintf(
			"run-over is unknown for %s of runs that GitHub does not show to github-token\ngive github-token the permission to read actions in the repositories of these leases", leases(result.Hidden)))
	}
	if result.Unanswered == 0 {
		return
	}
	text := fmt.Sprintf("run-over is unknown for %s, since GitHub did not answer", leases(result.Unanswered))
	if refused != nil {
		text = fmt.Sprintf("run-over is unknown for %s: %v", leases(result.Unanswered), refused)
		if h := hint.Of(refused); h != "" {
			text += "\n" + h
		}
	}
	log.Warning("azdo-pat list: run-over unknown", text)
}

// verdict returns an error if a rule of fail-on was found, or could not be applied because
// GitHub did not answer: without an answer the gate must stay closed.
func (l *loaded) verdict(result audit.Result, rules []settings.Rule) error {
	where := "revoke the PATs that are not needed: " + job.TokenPage(l.Settings.Organization)
	if found := foundRules(result, rules); len(found) > 0 {
		return hint.Add(fmt.Errorf("fail-on found %d of %s: %s", result.WithAny, pats(result.PATs), strings.Join(countedRules(result, rules), ", ")), where)
	}
	if result.Unanswered > 0 {
		return hint.Add(fmt.Errorf("the rule run-over could not be applied to %s, since GitHub did not say whether the run has ended", leases(result.Unanswered)),
			"the warnings above say why")
	}
	return nil
}

// foundRules are the rules that apply to a PAT, in the order of rules.
func foundRules(result audit.Result, rules []settings.Rule) []string {
	found := []string{}
	for i, n := range result.Findings {
		if n > 0 {
			found = append(found, rules[i].Text)
		}
	}
	return found
}

// countedRules are the rules that apply to a PAT, each with the number of PATs.
func countedRules(result audit.Result, rules []settings.Rule) []string {
	var found []string
	for i, n := range result.Findings {
		if n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, rules[i].Text))
		}
	}
	return found
}

func pats(n int) string   { return number(n, "PAT") }
func leases(n int) string { return number(n, "lease") }

// number is a number of things in words.
func number(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
