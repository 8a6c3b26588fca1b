package cli

import (
	"context"

	"github.com/spf13/cobra"

	"azdo-pat/internal/job"
	"azdo-pat/internal/settings"
)

func revokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke",
		Short: "Revoke a PAT that mint handed over",
		Long: `revoke revokes a PAT by its id and waits for the server to confirm it. A PAT that
was revoked before or has expired is a success; an id that belongs to none of the
user's PATs is a failure. A PAT cannot revoke itself: revoke needs the same
identity as mint.

In Azure Pipelines it needs no id: without one it revokes the PAT that an earlier
step of the same job minted with the same setting "name". With token-type entra it
says there that nothing can be revoked; elsewhere it refuses that setting.`,
		Example: `  # With the same settings as mint:
  azdo-pat revoke --authorization-id 4ab5764f-4193-4f1d-b995-64144880b7d7 \
    --organization contoso --client-id APPLICATION \
    --refresh-token-vault https://contoso.vault.azure.net/secrets/azdo \
    --federated-token-file "$TOKEN_FILE"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRevoke(cmd.Context(), a, flags(cmd))
		},
	}
}

func runRevoke(ctx context.Context, a *app, given map[string]string) error {
	a.ending.Store(true)
	l, err := a.load(settings.Revoke, a.source(given, nil))
	if err != nil {
		if l.Job != nil {
			job.RemoveTools(l.platform, l.OwnTools(""))
		}
		return l.failed("revoke", err)
	}
	if l.Settings.TokenType == settings.EntraToken {
		job.RemoveTools(l.platform, l.OwnTools(""))
		return l.revokeEntraToken()
	}
	if l.Settings.AuthorizationID != "" {
		job.RemoveTools(l.platform, l.OwnTools(""))
		return revokeID(ctx, l)
	}
	released, err := l.RevokeMinted(ctx)
	return l.reportReleased("revoke", released, err)
}

func revokeID(ctx context.Context, l *loaded) error {
	revoked, err := l.RevokeID(ctx)
	switch log := l.platform.Log(); {
	case err != nil:
		return l.revokeFailed("revoke", err)
	case revoked == nil: // skip-revoke, which is in the log
	case revoked.Gone:
		log.Infof("PAT %s had already ended: it is listed among the user's revoked and expired PATs", revoked.ID)
	default:
		log.Infof("PAT %s is revoked", revoked.ID)
	}
	return nil
}
