package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
)

// postStep is the action's post step. It revokes what mint recorded, or what can be
// recomputed from the inputs and the environment.
type postStep struct {
	releaser
	record lease.Record
	saved  *settings.Saved // what mint recorded of its settings; nil: nothing
	moved  bool            // the inputs name a different service from the record's
}

func (c *app) post(ctx context.Context, args []string) int {
	c.ending.Store(true)
	p := &postStep{releaser: releaser{app: c, command: "post"}}
	p.record, p.saved = c.savedState()
	if why := p.nothingMinted(args); why != "" {
		c.platform.Log().Infof("%s, so there is nothing to revoke", why)
		return exitOK
	}
	var err error
	if p.settings, err = c.load(settings.Post, c.source(nil, p.saved)); err != nil {
		return p.finish(p.wrongSettings(err))
	}
	return p.run(ctx)
}

// nothingMinted says why there is nothing to revoke; empty: there may be a PAT.
func (p *postStep) nothingMinted(args []string) string {
	ended := p.saved == nil || p.record.Stage == lease.Started || p.record.Stage == lease.Closed
	switch {
	case ended && len(args) > 0 && args[0] != "" && args[0] != string(settings.Mint):
		// The main step was given the same argument, so it did not mint. A record of a
		// PAT outweighs that: in a nested composite action the arguments can be
		// another step's.
		command := "the command"
		if repeatable(args[0]) {
			command = fmt.Sprintf("%q", args[0])
		}
		return command + " mints nothing"
	case p.saved != nil && p.record.Stage == lease.Started:
		return "nothing was minted"
	case p.saved != nil && p.record.Stage == lease.Closed:
		return "mint left no PAT behind"
	}
	return ""
}

// wrongSettings adds to an error of the settings what it means for the PAT.
func (p *postStep) wrongSettings(err error) error {
	if p.saved != nil && p.settings != nil {
		return notRevoked(err, p.settings, p.record)
	}
	if wrong := (*settings.Problems)(nil); p.saved == nil && errors.As(err, &wrong) {
		return hint.Add(err, "mint left no state, and with these settings its PAT cannot be searched for; a mint with the same settings minted nothing")
	}
	return err
}

func (p *postStep) run(ctx context.Context) int {
	log, s := p.platform.Log(), p.settings
	if s.SkipRevoke && p.record.Stage == lease.HandedOver {
		log.Infof("skip-revoke is set: the PAT stays valid until it expires")
		return exitOK
	}
	if s.SkipRevoke {
		log.Infof("the record does not say that the PAT was handed over, so it is revoked despite skip-revoke")
	}
	origin := p.platform.Origin(s.Name)
	if p.saved == nil {
		if !origin.Derived {
			return p.finish(hint.Add(
				errors.New("mint left no state, and without ACTIONS_ID_TOKEN_REQUEST_TOKEN the name of its PAT cannot be computed"),
				"look for it in the user's token list, "+tokenPage(s.Organization)))
		}
		p.record = lease.Unrecorded(origin.DisplayName(), p.Now())
	}
	p.moved = p.hostsDiffer()
	end := log.Group("azdo-pat post: " + s.Organization)
	ended, open, err := p.revoke(ctx, origin)
	end()
	if err == nil && p.moved && !slices.ContainsFunc(ended, func(e lease.Revoked) bool { return !e.Gone }) {
		err = hint.Add(fmt.Errorf("it was minted at %s, and %s does not show it", p.saved.Values[tokenServiceURL], s.TokenServiceURL),
			"give the input token-service-url of the step that mints, or none")
	}
	switch {
	case err == nil:
		p.report(p.record, ended, open)
		return exitOK
	case !p.moved && p.expired(p.record) && p.record.Unsettled == 0:
		log.Infof("the PAT %s expired by itself at %s", p.record.ID, stamp(p.record.ValidTo))
		return exitOK
	}
	return p.finish(notRevoked(err, s, p.record, ended...))
}

// revoke revokes the recorded lease. If it seems to have expired, the time limit is
// short, unless the servers' clocks show that this machine's is wrong.
func (p *postStep) revoke(ctx context.Context, origin displayname.Origin) (ended []lease.Revoked, open bool, err error) {
	sought := p.record
	if origin.Derived && p.record.Name != "" && p.record.Name != origin.DisplayName() {
		// Another step may have planted the record, or in a nested composite action
		// the input name is another step's: only the list tells whether the PAT of
		// that id has that name.
		sought.ID = ""
	}
	timeout := p.settings.Timeout
	if p.record.Expired(p.Now()) {
		timeout = min(timeout, lateTimeout)
	}
	ended, open, err = p.release(ctx, sought, timeout)
	if err != nil && timeout < p.settings.Timeout && !p.expired(p.record) {
		return p.release(ctx, sought, p.settings.Timeout-timeout)
	}
	return ended, open, err
}

// lateTimeout is the time limit for revoking a PAT that has expired.
const lateTimeout = 10 * time.Second

// hostsDiffer reports whether the inputs name a different service from the record's.
// If so, a PAT that the service does not list may still exist elsewhere. The inputs win, because
// another step may have planted the record to have credentials sent to its host.
func (p *postStep) hostsDiffer() (service bool) {
	s, saved := p.settings, p.saved
	if saved == nil {
		return false
	}
	for name, host := range map[string]string{tokenServiceURL: s.TokenServiceURL, "authority-host": s.AuthorityHost} {
		if recorded := saved.Values[name]; recorded != "" && recorded != host {
			p.platform.Log().Warning("another host on record", fmt.Sprintf("the record of the PAT names %s as %s; the input, %s, is used", recorded, name, host))
			service = service || name == tokenServiceURL
		}
	}
	return service
}

// savedState returns what mint recorded and the settings in it, or nil.
func (c *app) savedState() (lease.Record, *settings.Saved) {
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
	// If mint wrote no record, another step may have planted one in order to get
	// another PAT of the user revoked.
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
		return false // the run is unknown, or was truncated after a long repository name
	}
	return recorded.Repository != own.Repository || recorded.RunID != own.RunID || recorded.Attempt != own.Attempt
}
