package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

func mintCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "mint",
		Short: "Mint a PAT and hand it over to the CI system, or print it",
		Long: `mint exchanges the job's OIDC identity for a user token, mints a PAT with it and
hands it over: as outputs of the step on GitHub and in Azure Pipelines, on
standard output elsewhere.

On GitHub the action's post step revokes it. In Azure Pipelines the last step of
the job must run azdo-pat revoke, with condition: always(). Elsewhere run azdo-pat
revoke with the id that --output json prints.

With token-type entra it hands over an Entra access token of the service principal
client-id instead: no user, scopes and lifetime are set, and nothing revokes it.`,
		Example: `  # An Entra token of an application, where a tool takes one in place of a PAT:
  TOKEN=$(azdo-pat mint --token-type entra --organization contoso \
    --client-id APPLICATION --federated-token-file "$TOKEN_FILE")

  # As a service account, with most settings in the environment:
  export AZDO_PAT_ORGANIZATION=contoso AZDO_PAT_CLIENT_ID=APPLICATION
  export AZDO_PAT_REFRESH_TOKEN AZURE_FEDERATED_TOKEN_FILE
  PAT=$(azdo-pat mint --scopes vso.code --lifetime 5m)

  # As an agent user, with the token file of a CI system:
  azdo-pat mint --organization contoso --client-id BLUEPRINT --agent-id AGENT \
    --agent-user agent@contoso.com --federated-token-file "$TOKEN_FILE" \
    --scopes "vso.code vso.packaging" --lifetime 30m --output json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runMint(cmd.Context(), a, flags(cmd))
		},
	}
}

// startTimeout is how long the first record may take to write.
const startTimeout = 10 * time.Second

func runMint(ctx context.Context, a *app, given map[string]string) error {
	// If the record's path is a named pipe, the write blocks forever.
	a.limit.set(startTimeout)
	// Record before anything else: until then another step could plant a record.
	recorded := a.platform.Record(lease.Record{Stage: lease.Started}.String())
	l, err := a.load(settings.Mint, a.source(given, nil))
	if err == nil && recorded != nil {
		err = fmt.Errorf("keep the record that the post step needs: %w; nothing was minted", recorded)
	}
	if err != nil {
		return l.failed("mint", err)
	}
	ctx, cancel := settings.WithTimeout(ctx, l.Settings.Timeout)
	defer cancel()
	log, organization := l.platform.Log(), l.Settings.Organization
	end := log.Group("azdo-pat mint: " + organization)
	if l.Settings.TokenType == settings.EntraToken {
		return l.handOverEntraToken(ctx, end)
	}
	minted, err := l.MintAndHandOver(ctx, l.roots)
	if err == nil {
		l.summary(mintSummary(l, minted))
		l.RenewRefreshToken(ctx)
	}
	end()
	if err != nil {
		return l.failed("mint", err)
	}
	t := minted.Token
	log.Infof("minted PAT %s for %s with %s, valid until %s", t.ID, organization, strings.Join(t.Scopes, " "), timefmt.Time(t.ValidTo))
	return nil
}
