package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
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
	if s.AuthorizationID == "" {
		return c.revokeLease(ctx, s)
	}
	skip := s.SkipRevoke
	if c.platform.Info().Cleanup == ci.RevokeStep {
		// Another step may have set the id, as any other variable.
		line, _ := c.platform.Recorded(c.platform.Origin(s.Name))
		r, err := lease.ParseRecord(line)
		if err != nil {
			r = lease.Record{}
		}
		if err := c.elsewhere(s, r.Settings); err != nil {
			return c.ended("revoke", s, describe(err, s, lease.Record{ID: s.AuthorizationID}))
		}
		if skip && !(r.Stage == lease.HandedOver && strings.EqualFold(r.ID, s.AuthorizationID)) {
			c.platform.Log().Infof("nothing on record says that a mint with skip-revoke handed the PAT %s over, so that it is revoked", s.AuthorizationID)
			skip = false
		}
	}
	if skip {
		c.platform.Log().Infof("the PAT %s is left to its expiry, as skip-revoke says", s.AuthorizationID)
		return exitOK
	}
	return c.ended("revoke", s, c.revokeID(ctx, s))
}

// revokeID ends the PAT of the setting authorization-id, of which nothing else is
// known.
func (c *app) revokeID(ctx context.Context, s *settings.Settings) error {
	ctx, enough := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer enough()
	ctx, cancel := withTimeout(ctx, s.Timeout)
	defer cancel()
	session, err := c.signin.SignIn(ctx)
	if err != nil {
		return err
	}
	ended, err := c.leaseClient(session).ReleaseID(ctx, s.AuthorizationID)
	switch {
	case errors.Is(err, lease.ErrNotTheirs):
		return hint.Add(fmt.Errorf("revoke PAT %s in %s: %w: the id is wrong, the PAT belongs to another identity, or it is already gone", s.AuthorizationID, s.Organization, err),
			"give the id that mint printed, and the same identity settings; the identity's own PATs are listed on "+tokenPage(s.Organization))
	case err != nil:
		return describe(err, s, lease.Record{ID: s.AuthorizationID})
	case ended.Gone:
		c.platform.Log().Infof("PAT %s had ended before: it is among the user's PATs that were revoked or have expired", ended.ID)
	default:
		c.platform.Log().Infof("PAT %s is revoked", ended.ID)
	}
	return nil
}

// post is the action's post step: revoke, by what mint recorded, or else by
// what can be worked out again from the inputs and the environment.
func (c *app) post(ctx context.Context, args []string) int {
	c.ending.Store(true)
	log := c.platform.Log()
	record, saved := c.recorded()
	none := saved == nil || record.Stage == lease.Started || record.Stage == lease.Closed
	switch {
	case none && len(args) > 0 && args[0] != "" && args[0] != string(settings.Mint):
		// Main had the same argument, so that it was no mint. Where a PAT is on
		// record it was one: in a nested composite action the arguments can be
		// another step's.
		command := "the command"
		if repeatable(args[0]) {
			command = fmt.Sprintf("%q", args[0])
		}
		log.Infof("%s mints nothing, so there is nothing to revoke", command)
		return exitOK
	case saved != nil && record.Stage == lease.Started:
		log.Infof("nothing was minted, so there is nothing to revoke")
		return exitOK
	case saved != nil && record.Stage == lease.Closed:
		log.Infof("mint left no PAT behind, so there is nothing to revoke")
		return exitOK
	}
	s, err := c.load(settings.Post, c.source(nil, saved))
	if err != nil {
		if wrong := (*settings.Problems)(nil); saved == nil && errors.As(err, &wrong) {
			err = hint.Add(err, "mint left no state, and with these settings its PAT cannot be looked for; a mint with the same settings minted nothing")
		}
		if saved != nil && s != nil {
			err = describe(err, s, record)
		}
		return c.ended("post", s, err)
	}
	if s.SkipRevoke && record.Stage == lease.HandedOver {
		log.Infof("the PAT is left to its expiry, as skip-revoke says")
		return exitOK
	}
	if s.SkipRevoke {
		log.Infof("nothing on record says that anybody got the PAT, so that it is revoked in spite of skip-revoke")
	}
	origin := c.platform.Origin(s.Name)
	if saved == nil {
		if !origin.Derived {
			return c.ended("post", s, hint.Add(
				errors.New("mint left no state, and without ACTIONS_ID_TOKEN_REQUEST_TOKEN the name of its PAT cannot be worked out"),
				"look for it in the user's token list, "+tokenPage(s.Organization)))
		}
		record = lease.Unrecorded(origin.DisplayName(), c.Now())
	}
	timeout := s.Timeout
	if record.Expired(c.Now()) {
		timeout = min(timeout, lateTimeout)
	}
	moved := c.hostsDiffer(s, saved)
	sought := record
	if origin.Derived && record.Name != "" && record.Name != origin.DisplayName() {
		// Another step may have planted the record, or in a nested composite action
		// the input name is another step's: only the list tells whether the PAT of
		// that id has that name.
		sought.ID = ""
	}
	end := log.Group("azdo-pat post: " + s.Organization)
	ended, open, err := c.release(ctx, s, sought, timeout)
	if err != nil && timeout < s.Timeout && !c.expired(record) {
		// By the servers' clocks it has not expired: this machine's was set.
		ended, open, err = c.release(ctx, s, sought, s.Timeout-timeout)
	}
	end()
	if err == nil && moved && !slices.ContainsFunc(ended, func(e lease.Revoked) bool { return !e.Gone }) {
		err = hint.Add(fmt.Errorf("it was minted at %s, and %s does not show it", saved.Values[tokenServiceURL], s.TokenServiceURL),
			"give the input token-service-url of the step that mints, or none")
	}
	if err != nil && !moved && c.expired(record) && record.Unsettled == 0 {
		log.Infof("the PAT %s expired by itself at %s", record.ID, stamp(record.ValidTo))
		return exitOK
	}
	if err != nil {
		return c.ended("post", s, describe(err, s, record, ended...))
	}
	c.released(s, record, ended, open)
	return exitOK
}

const tokenServiceURL = "token-service-url"

// hostsDiffer reports whether the inputs name another service than the record, so
// that what it does not show proves nothing. The inputs win: somebody else can have
// planted the record, to have credentials sent to a host of theirs.
func (c *app) hostsDiffer(s *settings.Settings, saved *settings.Saved) (service bool) {
	if saved == nil {
		return false
	}
	for name, host := range map[string]string{tokenServiceURL: s.TokenServiceURL, "authority-host": s.AuthorityHost} {
		if recorded := saved.Values[name]; recorded != "" && recorded != host {
			c.platform.Log().Warning("another host on record", fmt.Sprintf("the record of the PAT names %s as %s; the input, %s, is used", recorded, name, host))
			service = service || name == tokenServiceURL
		}
	}
	return service
}

// released says what became of a lease of which only the name is certain. Open
// says that another PAT may be made later.
func (c *app) released(s *settings.Settings, record lease.Record, ended []lease.Revoked, open bool) {
	log := c.platform.Log()
	if len(ended) == 0 && open {
		log.Infof("there is no PAT named %q; the setting timeout leaves no time to wait for one that is made later. If one is made, it can be revoked on %s", record.Name, tokenPage(s.Organization))
		return
	}
	if len(ended) == 0 {
		log.Infof("there is no PAT named %q, so there is nothing to revoke", record.Name)
		return
	}
	for _, e := range ended {
		log.Infof("PAT %s is revoked%s", e.ID, lived(e, c.serverTime(record)))
	}
	if open {
		log.Infof("another PAT named %q may still be made; the setting timeout leaves no time to wait for it", record.Name)
	}
	if err := c.platform.Summary(revokeSummary(s, ended, c.serverTime(record))); err != nil {
		log.Warning("no summary", err.Error())
	}
}

// expired reports whether the PAT has ended by itself: by Azure DevOps' clock, as
// this machine has known it since the mint, and by every server that has told the
// time since. A clock may have been set, and a Date may be wrong.
func (c *app) expired(r lease.Record) bool {
	clock := c.signin.Clock()
	return r.Expired(c.Now()) && (clock == nil || clock.After(r.ValidTo))
}

// serverTime is Azure DevOps' clock as this machine has known it since the mint. It
// is zero if what the servers have told since differs.
func (c *app) serverTime(r lease.Record) time.Time {
	clock := c.signin.Clock()
	switch {
	case clock == nil || clock.Skew().Agrees(r.Skew):
		return r.ServerTime(c.Now())
	case r.ValidFrom.IsZero(): // nothing was known
		return c.Now().Add(-clock.Skew().Estimate())
	}
	return time.Time{}
}

// lateTimeout is how long it is tried to revoke a PAT that has expired.
const lateTimeout = 10 * time.Second

// recorded returns what mint recorded and the settings in it, or nil.
func (c *app) recorded() (lease.Record, *settings.Saved) {
	if c.platform.Info().Cleanup != ci.PostStep {
		return lease.Record{}, nil
	}
	origin := c.platform.Origin("")
	text, ok := c.platform.Recorded(origin)
	if !ok || text == "" {
		return lease.Record{}, nil
	}
	record, err := lease.ParseRecord(text)
	if err != nil {
		c.platform.Log().Warning("saved state", "the saved state cannot be read, so that the inputs decide: "+err.Error())
		return lease.Record{}, nil
	}
	if record.Stage == lease.Started || record.Stage == lease.Closed {
		return record, &record.Settings
	}
	// Where mint wrote no record, another step may have planted one, to have another
	// PAT of the user revoked.
	name, ours := displayname.Parse(record.Name)
	if !ours {
		c.platform.Log().Warning("saved state", "the saved state names no PAT of azdo-pat, so that the inputs decide")
		return lease.Record{}, nil
	}
	if own, known := displayname.Parse(origin.DisplayName()); known && otherRun(name, own) {
		c.platform.Log().Warning("saved state", "the saved state is of another workflow run, so that the inputs decide")
		return lease.Record{}, nil
	}
	return record, &record.Settings
}

// otherRun reports whether a recorded name is that of another workflow run's PAT,
// or of one that no workflow run minted.
func otherRun(recorded, own displayname.Name) bool {
	if own.RunID == "" || recorded.RunID == "" && recorded.Repository == own.Repository && strings.HasSuffix(recorded.Source, "…") {
		return false // the run is not known, or was cut off behind a long repository
	}
	return recorded.Repository != own.Repository || recorded.RunID != own.RunID || recorded.Attempt != own.Attempt
}

// release connects and ends what a record speaks of. Open says that there was no
// time to wait for a PAT that may be made later.
func (c *app) release(ctx context.Context, s *settings.Settings, r lease.Record, timeout time.Duration) (ended []lease.Revoked, open bool, err error) {
	ctx, enough := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer enough()
	ctx, cancel := withTimeout(ctx, timeout)
	defer cancel()
	session, err := c.signin.SignIn(ctx)
	if err != nil {
		return nil, false, err
	}
	ended, open, err = c.leaseClient(session).Release(ctx, r)
	return ended, open, otherUser(session, r, ended, err)
}

// otherUser is the error of a release in the name of another user than the one
// whose PAT it was: to them, the PAT does not exist.
func otherUser(session *signin.Session, r lease.Record, ended []lease.Revoked, err error) error {
	found := slices.ContainsFunc(ended, func(e lease.Revoked) bool { return !e.Gone })
	if found || r.User == "" || session.User == "" || r.User == session.User {
		return err
	}
	other := fmt.Errorf("mint signed in as the user %s, and this step as %s, to whom the PAT is not shown", sanitize.Line(r.User, 40), session.User)
	if err != nil {
		other = fmt.Errorf("%w: %w", other, err)
	}
	return hint.Add(other, "give this step the same secrets as mint")
}

// describe says what is left when a revocation did not succeed, and how to end
// it by hand. The PAT on record may be among those that were ended all the same.
func describe(err error, s *settings.Settings, r lease.Record, ended ...lease.Revoked) error {
	what := fmt.Sprintf("the PAT named %q", r.Name)
	switch {
	case slices.ContainsFunc(ended, func(e lease.Revoked) bool { return !e.Gone && strings.EqualFold(e.ID, r.ID) }):
		what, r.ValidTo = fmt.Sprintf("the PAT %s is revoked; another one named %q", r.ID, r.Name), time.Time{}
	case r.ID != "":
		what = "the PAT " + r.ID
	}
	until := ""
	if !r.ValidTo.IsZero() {
		until = " and lives until " + stamp(r.ValidTo)
	}
	lines := []string{hint.Of(err), "revoke it by hand: " + tokenPage(s.Organization)}
	if lines[0] == "" {
		lines = lines[1:]
	}
	return hint.Add(fmt.Errorf("%s is not known to be revoked%s: %w", what, until, err), strings.Join(lines, "\n"))
}

// ended says how a revocation ended; on-revoke-failure decides what a failure
// does to the exit status.
func (c *app) ended(command string, s *settings.Settings, err error) int {
	if err == nil {
		return exitOK
	}
	policy := settings.Warn
	if s != nil {
		policy = s.OnRevokeFailure
	}
	if policy == settings.Fail {
		return c.failed(command, err)
	}
	title := "not revoked"
	if errors.Is(err, lease.ErrNotTheirs) {
		title = "no such PAT"
	}
	if wrong := (*settings.Problems)(nil); errors.As(err, &wrong) {
		title = "wrong settings"
	}
	c.platform.Log().Warning("azdo-pat "+command+": "+title, ci.Explain(err))
	c.fallbackToStderr(command + ": " + title + ": " + ci.Explain(err))
	c.platform.SucceedWithIssues()
	return exitOK
}
