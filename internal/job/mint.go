package job

import (
	"context"
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
	"azdo-pat/internal/timefmt"
)

// MintAndHandOver mints a PAT and hands it over to the platform. If it fails, no PAT is
// left. roots are the roots of trust that the post step will need; nil: there is no post
// step.
func (j *Job) MintAndHandOver(ctx context.Context, roots *string) (*lease.Lease, error) {
	s, p := j.Settings, j.Platform
	origin := p.Origin(s.Name)
	if err := p.Prepare(origin); err != nil {
		return nil, err
	}
	tools, err := j.prepareTools(origin.Key)
	if err != nil {
		return nil, err
	}
	last := p.Info().Cleanup == ci.NoCleanup
	client, minted, err := j.mint(ctx, mintOptions{
		origin: origin, roots: roots, last: last, folder: tools.folder(), leftover: j.leftover(),
		record: func(r lease.Record) error { return p.Record(r.String()) },
	})
	if err != nil {
		return nil, err
	}
	if last || s.SkipRevoke { // no later process will look for a second PAT
		if err := client.Settle(ctx, minted); err != nil {
			return nil, client.Undo(ctx, minted, err)
		}
		if minted.Record.Unsettled > 0 {
			j.WarnOfAnother(minted.Record.Name)
		}
	}
	t := minted.Token
	if err := tools.handOver(p, t.Secret, minted.Record, ci.Result{
		Token: t.Secret, AuthorizationID: t.ID, ExpiresAt: t.ValidTo, DisplayName: minted.Record.Name, Scopes: t.Scopes, Type: settings.PATToken,
	}); err != nil {
		return nil, client.Undo(ctx, minted, fmt.Errorf("hand over the PAT: %w", err))
	}
	if s.SkipRevoke {
		// Without this the post step would revoke it as a PAT that was not handed over.
		minted.Record.Stage = lease.HandedOver
		if err := p.Record(minted.Record.String()); err != nil {
			p.Log().Warning("skip-revoke", "the post step will revoke the PAT, because mint could not record that it was handed over: "+err.Error())
		}
	}
	return minted, nil
}

// mintOptions are how a command mints.
type mintOptions struct {
	origin displayname.Origin
	record func(lease.Record) error // keeps a record for a later process
	roots  *string                  // see [Job.MintAndHandOver]
	last   bool                     // no later process looks for the PAT
	// session is signed in already; nil: mint signs in.
	session *signin.Session
	// outlives: the PAT is meant to outlive the job.
	outlives bool
	leftover string // see [lease.Client.Leftover]
	folder   string // see [lease.Record]
}

// leftover is the hint about a PAT of mint's that may be left, see [lease.Client.Leftover].
func (j *Job) leftover() string {
	switch j.Platform.Info().Cleanup {
	case ci.PostStep:
		return "the post step looks for it again"
	case ci.RevokeStep:
		return "the step that runs azdo-pat revoke looks for it again; if there is none, add it"
	}
	return byHand(j.Settings.Organization)
}

// byHand is the hint about a PAT that may be left and that no later process looks for.
func byHand(organization string) string {
	return "look for it in the user's list of tokens, and revoke it there: " + TokenPage(organization)
}

// mint signs in and mints. If it fails, no PAT is left.
func (j *Job) mint(ctx context.Context, o mintOptions) (*lease.Client, *lease.Lease, error) {
	log, s := j.Platform.Log(), j.Settings
	for _, u := range pat.Unknown(s.Scopes) {
		text := fmt.Sprintf("azdo-pat does not know the scope %s, so Azure DevOps decides about it", u.Name)
		if len(u.Nearest) > 0 {
			text += "; did you mean " + strings.Join(u.Nearest, " or ") + "?"
		}
		log.Warning("unknown scope", text)
	}
	session := o.session
	if session == nil {
		var err error
		session, err = j.SignIn.SignIn(ctx)
		if err != nil {
			return nil, nil, err
		}
		j.RefreshTokenNotice(session)
	}
	r := lease.Record{
		Name: o.origin.DisplayName(), Skew: session.Clock.Skew(), User: session.User, Settings: s.Save(), Folder: o.folder,
	}
	if session.Tenant != "" { // saves the post step a request
		r.Settings.Values["tenant-id"] = session.Tenant
	}
	r.Settings.Asked = j.assertionHost()
	if o.roots != nil { // the file may be gone when the post step begins
		r.Settings.Roots = *o.roots
		delete(r.Settings.Values, "ca-file")
	}
	log.Infof("minting a PAT with %s for %s, named %q", strings.Join(s.Scopes, " "), timefmt.Duration(s.Lifetime), r.Name)
	client := j.leaseClient(session)
	client.Record, client.NoLaterProcess, client.Leftover = o.record, o.last, o.leftover
	minted, err := client.Acquire(ctx, r, lease.Want{Scopes: s.Scopes, Lifetime: min(s.Lifetime, longestLife)})
	if err != nil {
		j.clockWarning(session.Clock.Skew().Estimate())
		return nil, nil, err
	}
	j.clockWarning(minted.Record.Skew.Estimate())
	if !o.outlives {
		j.credentialWarning(session, minted)
	}
	return client, minted, nil
}

// longestLife is a little less than the year that Azure DevOps grants at most, since its
// clock is not known to the second.
const longestLife = 365*24*time.Hour - httpclient.Tolerance

// clockWarning warns of a clock that is off.
func (j *Job) clockWarning(skew time.Duration) {
	skew = skew.Truncate(time.Second)
	if skew.Abs() <= signin.ClockTolerance {
		return
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	j.Platform.Log().Warning("clock is off", fmt.Sprintf(
		"this machine's clock is %s %s the server's. The PAT is not affected, because the server's clock decides when it ends, but Entra may refuse an assertion: set this machine's clock", timefmt.Rough(skew.Abs()), direction))
}

// credentialWarning warns of a PAT that may outlive the credential that revokes it.
func (j *Job) credentialWarning(session *signin.Session, l *lease.Lease) {
	s := j.Settings
	if s.SkipRevoke {
		return
	}
	provider := j.Platform.Provider()
	credential, ends := provider.TokenName, assertion.Expiry(provider.Token) // zero: not known
	long := provider.TokenLife > 0 && l.Token.ValidTo.Sub(l.Record.ServerTime(time.Now())) > provider.TokenLife
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
		until = "ends at " + timefmt.Time(ends)
	case long:
		until = fmt.Sprintf("is valid for about %s after the start of the job", timefmt.Duration(provider.TokenLife))
	default:
		return
	}
	j.Platform.Log().Warning("PAT may outlive the credential that revokes it", fmt.Sprintf(
		"%s %s, and the PAT ends at %s: in between, the job cannot revoke the PAT\n%s", credential, until, timefmt.Time(l.Token.ValidTo), advice))
}

// WarnOfAnother warns of a request to mint that may still take effect where no later
// process looks for the PAT.
func (j *Job) WarnOfAnother(name string) {
	j.Platform.Log().Warning("a second PAT may be created", fmt.Sprintf("a request to mint was not answered, and timeout leaves no time to wait for its effect: a second PAT named %q may be created, which nothing revokes before it expires", name))
}
