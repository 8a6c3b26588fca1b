package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
)

func (c *app) revokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke",
		Short: "Revoke a PAT that mint handed over",
		Long: `revoke revokes a PAT by its id and waits for the server to confirm it. A PAT that
was revoked before or has expired is a success; an id that belongs to none of the
user's PATs is a failure. A PAT cannot revoke itself: revoke needs the same
identity as mint.

In Azure Pipelines it needs no id: without one it revokes the PAT that an earlier
step of the same job minted with the same setting "name".`,
		Example: `  # With the same settings as mint:
  azdo-pat revoke --authorization-id 4ab5764f-4193-4f1d-b995-64144880b7d7 \
    --organization contoso --client-id BLUEPRINT --agent-id AGENT \
    --agent-user agent@contoso.com --federated-token-file "$TOKEN_FILE"`,
		Args: noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			c.status = c.revoke(cmd.Context(), flags(cmd))
		},
	}
}

func (c *app) revoke(ctx context.Context, given map[string]string) int {
	c.ending.Store(true)
	s, err := c.load(settings.Revoke, c.source(given, nil))
	if err != nil {
		return c.failed("revoke", err)
	}
	r := &revocation{releaser{app: c, command: "revoke", settings: s}}
	if s.AuthorizationID == "" {
		return r.revokeLease(ctx)
	}
	return r.finish(r.revokeID(ctx))
}

// revocation is one run of revoke.
type revocation struct{ releaser }

// revokeID revokes the PAT of the setting authorization-id, unless skip-revoke is set.
func (r *revocation) revokeID(ctx context.Context) error {
	log, s := r.platform.Log(), r.settings
	skip := s.SkipRevoke
	if r.platform.Info().Cleanup == ci.RevokeStep {
		// An earlier step may have set the id, since it can set any variable.
		line, _ := r.platform.Recorded(r.platform.Origin(s.Name))
		record, err := lease.ParseRecord(line)
		if err != nil {
			record = lease.Record{}
		}
		if err := r.sameHosts(record.Settings); err != nil {
			return notRevoked(err, s, lease.Record{ID: s.AuthorizationID})
		}
		if skip && !(record.Stage == lease.HandedOver && strings.EqualFold(record.ID, s.AuthorizationID)) {
			log.Infof("the record does not say that a mint with skip-revoke handed over the PAT %s, so it is revoked", s.AuthorizationID)
			skip = false
		}
	}
	if skip {
		log.Infof("skip-revoke is set: the PAT %s stays valid until it expires", s.AuthorizationID)
		return nil
	}
	return r.releaseID(ctx)
}

// releaseID revokes a PAT of which only the id is known.
func (r *revocation) releaseID(ctx context.Context) error {
	log, s := r.platform.Log(), r.settings
	ctx, enough := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer enough()
	ctx, cancel := withTimeout(ctx, s.Timeout)
	defer cancel()
	session, err := r.signin.SignIn(ctx)
	if err != nil {
		return err
	}
	ended, err := r.leaseClient(session).ReleaseID(ctx, s.AuthorizationID)
	switch {
	case errors.Is(err, lease.ErrNoSuchPAT):
		return hint.Add(fmt.Errorf("revoke PAT %s in %s: %w: the id is wrong, the PAT belongs to another identity, or it is already gone", s.AuthorizationID, s.Organization, err),
			"give the id that mint printed, and the same identity settings; the identity's own PATs are listed on "+tokenPage(s.Organization))
	case err != nil:
		return notRevoked(err, s, lease.Record{ID: s.AuthorizationID})
	case ended.Gone:
		log.Infof("PAT %s had ended before: it is among the user's PATs that were revoked or have expired", ended.ID)
	default:
		log.Infof("PAT %s is revoked", ended.ID)
	}
	return nil
}
