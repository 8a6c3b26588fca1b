package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/sweep"
)

func sweepCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "sweep",
		Short: "Revoke the PATs that earlier jobs left behind",
		Long: `sweep lists the user's active PATs and revokes those that azdo-pat minted and
that are older than --older-than. With a GitHub token (AZDO_PAT_GITHUB_TOKEN or
GITHUB_TOKEN) it also asks GitHub which runs have completed, and revokes their
PATs whatever their age. It never touches tokens that azdo-pat did not name.

sweep also revokes a PAT that is still in use once it is old enough: make
--older-than longer than your longest job. The next sweep does what was not done
in time.`,
		Example: `  azdo-pat sweep --organization contoso --client-id APPLICATION \
    --refresh-token-vault https://contoso.vault.azure.net/secrets/azdo \
    --federated-token-file "$TOKEN_FILE" --dry-run

  azdo-pat sweep --organization contoso … --repository contoso/widgets \
    --older-than 2h --timeout 1h --output json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSweep(cmd.Context(), a, flags(cmd))
		},
	}
}

func runSweep(ctx context.Context, a *app, given map[string]string) error {
	l, err := a.load(settings.Sweep, a.source(given, nil))
	if err != nil {
		return l.failed("sweep", err)
	}
	timeout := l.Settings.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, hint.Add(
		fmt.Errorf("not done within %s", timeout), "run it again: it continues with what is left; or give timeout a longer duration"))
	defer cancel()
	r := newSweepReport(l)
	end := l.platform.Log().Group("azdo-pat sweep: " + l.Settings.Organization)
	counts, err := l.sweep(ctx, r)
	end()
	r.close(counts, err == nil)
	if err != nil {
		return l.failed("sweep", err)
	}
	if r.writeErr != nil {
		return l.failed("sweep", fmt.Errorf("write to standard output: %w", r.writeErr))
	}
	return nil
}

// sweep signs in and sweeps.
func (l *loaded) sweep(ctx context.Context, r *sweepReport) (sweep.Counts, error) {
	s := l.Settings
	sweeper := &sweep.Sweeper{
		OlderThan: s.OlderThan, Repository: s.Repository, DryRun: s.DryRun,
		PATs: l.SignIn, Times: l.SignIn.Times, Ready: l.SignIn.Wait,
		Log: l.platform.Log(), Report: r.add,
	}
	if !s.GitHubToken.IsZero() {
		sweeper.Runs, sweeper.CredentialsOptional = l.runs(), s.GitHubTokenInherited()
	}
	session, err := l.SignIn.SignIn(ctx)
	if err != nil {
		return sweep.Counts{}, err
	}
	l.RefreshTokenNotice(session)
	r.begin()
	counts, err := sweeper.Run(ctx)
	r.conclude(counts)
	if l.SignIn.Worked() && !s.DryRun {
		l.RenewRefreshToken(ctx)
	}
	return counts, err
}

// runs asks GitHub which runs have completed.
func (l *loaded) runs() *githubapi.Client {
	s, log, client := l.Settings, l.platform.Log(), l.SignIn.HTTP
	host, pacer := httpclient.HostOf(s.GitHubAPI), l.SignIn.Pacer()
	pacer.Name(host, "GitHub", false)
	pacer.Limit(host, sweep.MaxGitHubWait)
	paced := &httpclient.Paced{Next: &httpclient.Traced{Next: client.Transport, Debugf: log.Debugf}, Pacer: pacer, Log: log}
	return &githubapi.Client{
		HTTP:    &http.Client{Transport: paced, CheckRedirect: client.CheckRedirect},
		BaseURL: s.GitHubAPI, Token: s.GitHubToken, UserAgent: "azdo-pat/" + version,
	}
}
