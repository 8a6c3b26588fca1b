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

func (c *app) sweepCommand() *cobra.Command {
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
		Example: `  azdo-pat sweep --organization contoso --client-id BLUEPRINT --agent-id AGENT \
    --agent-user agent@contoso.com --federated-token-file "$TOKEN_FILE" --dry-run

  azdo-pat sweep --organization contoso … --repository contoso/widgets \
    --older-than 2h --timeout 1h --output json`,
		Args: noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			c.status = c.sweep(cmd.Context(), flags(cmd))
		},
	}
}

func (c *app) sweep(ctx context.Context, given map[string]string) int {
	s, err := c.load(settings.Sweep, c.source(given, nil))
	if err != nil {
		return c.failed("sweep", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, hint.Add(
		fmt.Errorf("not done within %s", s.Timeout), "run it again: it continues with what is left; or give timeout a longer duration"))
	defer cancel()
	log := c.platform.Log()
	end := log.Group("azdo-pat sweep: " + s.Organization)
	r := &sweepReport{app: c, settings: s}
	counts, err := c.sweepAll(ctx, s, r)
	end()
	r.close(counts, err == nil)
	if err != nil {
		return c.failed("sweep", err)
	}
	if r.writeErr != nil {
		return c.failed("sweep", fmt.Errorf("write to standard output: %w", r.writeErr))
	}
	return exitOK
}

// sweepAll signs in and sweeps.
func (c *app) sweepAll(ctx context.Context, s *settings.Settings, r *sweepReport) (sweep.Counts, error) {
	log := c.platform.Log()
	sweeper := &sweep.Sweeper{
		OlderThan: s.OlderThan, Repository: s.Repository, DryRun: s.DryRun,
		Log: log, Report: r.add,
	}
	if !s.GitHubToken.IsZero() {
		pacer := c.signin.Pacer()
		pacer.Name(httpclient.HostOf(s.GitHubAPI), "GitHub", false)
		pacer.Limit(httpclient.HostOf(s.GitHubAPI), sweep.MaxGitHubWait)
		paced := &httpclient.Paced{Next: &httpclient.Traced{Next: c.http.Transport, Debugf: log.Debugf}, Pacer: pacer, Log: log}
		sweeper.Runs = &githubapi.Client{
			HTTP:    &http.Client{Transport: paced, CheckRedirect: c.http.CheckRedirect},
			BaseURL: s.GitHubAPI, Token: s.GitHubToken, UserAgent: "azdo-pat/" + version,
		}
	}
	session, err := c.signin.SignIn(ctx)
	if err != nil {
		return sweep.Counts{}, err
	}
	c.refreshTokenNotice(session)
	sweeper.PATs, sweeper.Times, sweeper.Ready = c.signin, c.signin.Times, c.signin.Wait
	r.begin()
	counts, err := sweeper.Run(ctx)
	r.conclude(counts)
	return counts, err
}
