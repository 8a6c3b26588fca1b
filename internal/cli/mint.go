package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

func (c *app) mintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "mint",
		Short: "Mint a PAT and hand it over to the CI system, or print it",
		Long: `mint exchanges the job's OIDC identity for a user token, mints a PAT with it and
hands it over: as outputs of the step on GitHub and in Azure Pipelines, on
standard output elsewhere.

On GitHub the action's post step revokes it. In Azure Pipelines the last step of
the job must run azdo-pat revoke, with condition: always(). Elsewhere run azdo-pat
revoke with the id that --output json prints.`,
		Example: `  # As an agent user, with the token file of a CI system:
  azdo-pat mint --organization contoso --client-id BLUEPRINT --agent-id AGENT \
    --agent-user agent@contoso.com --federated-token-file "$TOKEN_FILE" \
    --scopes "vso.code vso.packaging" --lifetime 30m --output json

  # As a service account, with most settings in the environment:
  export AZDO_PAT_ORGANIZATION=contoso AZDO_PAT_CLIENT_ID=APPLICATION
  export AZDO_PAT_REFRESH_TOKEN AZURE_FEDERATED_TOKEN_FILE
  PAT=$(azdo-pat mint --scopes vso.code --lifetime 5m)`,
		Args: noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			c.status = c.mint(cmd.Context(), flags(cmd))
		},
	}
}

// startTimeout is how long the first record may take to write.
const startTimeout = 10 * time.Second

func (c *app) mint(ctx context.Context, given map[string]string) int {
	// If the record's path is a named pipe, the write blocks forever.
	c.bound(startTimeout)
	// Record before anything else: until then another step could plant a record.
	recorded := c.platform.Record(lease.Record{Stage: lease.Started}.String())
	s, err := c.load(settings.Mint, c.source(given, nil))
	if err != nil {
		return c.failed("mint", err)
	}
	if recorded != nil {
		return c.failed("mint", fmt.Errorf("keep the record that the post step needs: %w; nothing was minted", recorded))
	}
	ctx, cancel := withTimeout(ctx, s.Timeout)
	defer cancel()
	log := c.platform.Log()
	end := log.Group("azdo-pat mint: " + s.Organization)
	minted, err := c.mintAndHandOver(ctx, s)
	end()
	if err != nil {
		return c.failed("mint", err)
	}
	t := minted.Token
	log.Infof("minted PAT %s for %s with %s, valid until %s", t.ID, s.Organization, strings.Join(t.Scopes, " "), stamp(t.ValidTo))
	return exitOK
}

// mintAndHandOver mints and passes the PAT on. If it fails, no PAT is left.
func (c *app) mintAndHandOver(ctx context.Context, s *settings.Settings) (*lease.Lease, error) {
	log := c.platform.Log()
	origin := c.platform.Origin(s.Name)
	if err := c.platform.Prepare(origin); err != nil {
		return nil, err
	}
	last := c.platform.Info().Cleanup == ci.NoCleanup
	client, minted, err := c.mintPAT(ctx, mintOptions{
		settings: s, origin: origin, last: last,
		record: func(r lease.Record) error { return c.platform.Record(r.String()) },
	})
	if err != nil {
		return nil, err
	}
	if last || s.SkipRevoke { // no later process will look for a second PAT
		if err := client.Settle(ctx, minted); err != nil {
			return nil, client.Undo(ctx, minted, err)
		}
		if minted.Record.Unsettled > 0 {
			c.anotherMayBeMade(minted.Record.Name)
		}
	}
	t := minted.Token
	if err := c.platform.HandOver(ci.Result{
		Token: t.Secret, AuthorizationID: t.ID, ExpiresAt: t.ValidTo, DisplayName: minted.Record.Name, Scopes: t.Scopes,
	}); err != nil {
		return nil, client.Undo(ctx, minted, fmt.Errorf("hand over the PAT: %w", err))
	}
	if s.SkipRevoke {
		// Without this the post step would revoke it as a PAT that was not handed over.
		minted.Record.Stage = lease.HandedOver
		if err := c.platform.Record(minted.Record.String()); err != nil {
			log.Warning("skip-revoke", "that the PAT was handed over could not be recorded, so the post step will revoke it: "+err.Error())
		}
	}
	if err := c.platform.Summary(c.mintSummary(s, minted)); err != nil {
		log.Warning("no summary", err.Error())
	}
	return minted, nil
}

// mintOptions are how a command mints.
type mintOptions struct {
	settings *settings.Settings
	origin   displayname.Origin
	record   func(lease.Record) error // keeps a record for a later process
	last     bool                     // no later process looks for the PAT
}

// mintPAT signs in and mints. If it fails, no PAT is left.
func (c *app) mintPAT(ctx context.Context, o mintOptions) (*lease.Client, *lease.Lease, error) {
	log, s := c.platform.Log(), o.settings
	for _, u := range pat.Unknown(s.Scopes) {
		text := fmt.Sprintf("%s is not a scope that azdo-pat knows; Azure DevOps decides", u.Name)
		if len(u.Nearest) > 0 {
			text += "; did you mean " + strings.Join(u.Nearest, " or ") + "?"
		}
		log.Warning("unknown scope", text)
	}
	session, err := c.signin.SignIn(ctx)
	if err != nil {
		return nil, nil, err
	}
	c.refreshTokenNotice(session)
	r := lease.Record{
		Name: o.origin.DisplayName(), Skew: session.Clock.Skew(), User: session.User, Settings: s.Save(),
	}
	if session.Tenant != "" { // saves the post step a request
		r.Settings.Values["tenant-id"] = session.Tenant
	}
	r.Settings.Asked = c.assertionHost(s)
	if c.keptRoots != nil { // the file may be gone when the post step begins
		r.Settings.Roots = *c.keptRoots
		delete(r.Settings.Values, "ca-file")
	}
	log.Infof("minting %q with %s for %s", r.Name, strings.Join(s.Scopes, " "), s.Lifetime)
	client := c.leaseClient(session)
	client.Record, client.NoLaterProcess = o.record, o.last
	minted, err := client.Acquire(ctx, r, lease.Want{Scopes: s.Scopes, Lifetime: s.Lifetime})
	if err != nil {
		c.clockWarning(session.Clock.Skew().Estimate())
		return nil, nil, err
	}
	c.clockWarning(minted.Record.Skew.Estimate())
	c.credentialWarning(s, session, minted)
	return client, minted, nil
}

// credentialWarning warns of a PAT that may outlive the credential that revokes it.
func (c *app) credentialWarning(s *settings.Settings, session *signin.Session, l *lease.Lease) {
	if s.SkipRevoke {
		return
	}
	provider := c.platform.Provider()
	credential, ends := provider.TokenName, assertion.Expiry(provider.Token) // zero: not known
	long := provider.TokenLife > 0 && l.Token.ValidTo.Sub(l.Record.ServerTime(c.Now())) > provider.TokenLife
	advice := "ask for a shorter lifetime, or revoke the PAT before then"
	if s.FederatedTokenFile != "" { // may be renewed at any time
		ends, long = time.Time{}, false
	}
	if s.Identity == settings.AccessToken {
		credential, ends, long = "the access token", session.TokenEnds, false
		advice = "ask for a shorter lifetime, or use a newer access token"
	}
	var until string
	switch {
	case !ends.IsZero() && ends.Add(httpclient.Tolerance).Before(l.Token.ValidTo):
		until = "ends at " + stamp(ends)
	case long:
		until = fmt.Sprintf("is good for about %s after the job's start", brief(provider.TokenLife))
	default:
		return
	}
	c.platform.Log().Warning("PAT may outlive what revokes it", fmt.Sprintf(
		"%s %s, and the PAT at %s: between these times the job cannot revoke the PAT\n%s", credential, until, stamp(l.Token.ValidTo), advice))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// anotherMayBeMade warns of a request to mint that may still take effect where no
// later process looks for the PAT.
func (c *app) anotherMayBeMade(name string) {
	c.platform.Log().Warning("another PAT may be made", fmt.Sprintf("a request to mint was not answered, and timeout leaves no time to wait for it: a second PAT named %q may be created; it stays valid until it expires unless it is revoked", name))
}
