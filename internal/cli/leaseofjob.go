package cli

import (
	"context"
	"fmt"
	"net/url"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
)

// revokeLease ends the lease that mint acquired in an earlier step of the same
// Azure Pipelines job. Nothing is passed from that step to this one: the name of
// the PAT is worked out again from the job, and every PAT of exactly that name is
// revoked. What mint recorded says no more than whether one may still be made.
func (c *app) revokeLease(ctx context.Context, s *settings.Settings) int {
	log := c.platform.Log()
	origin := c.platform.Origin(s.Name)
	over := lease.Record{Stage: lease.Closed, Name: origin.DisplayName()}
	record, minted, known := c.recordedBy(origin, over)
	if err := c.elsewhere(s, minted); err != nil {
		return c.ended("revoke", s, describe(err, s, record))
	}
	if s.SkipRevoke && known && record.Stage == lease.HandedOver {
		log.Infof("the PAT is left to its expiry, as skip-revoke says")
		return exitOK
	}
	if s.SkipRevoke {
		log.Infof("nothing on record says that a mint with skip-revoke handed a PAT over, so that it is revoked")
	}
	if record.Stage == lease.Minted {
		// It is there, and a list may not show it at once.
		record.Stage = lease.Intended
	}
	end := log.Group("azdo-pat revoke: " + s.Organization)
	ended, open, err := c.release(ctx, s, record, s.Timeout)
	end()
	if then := minted.Values["organization"]; err == nil && len(ended) == 0 && record.Stage != lease.Closed && then != "" && then != s.Organization {
		err = fmt.Errorf("organization is %s in this step and was %s in the one that minted, and nothing was found", s.Organization, sanitize.Line(then, 100))
	}
	if err != nil {
		return c.ended("revoke", s, describe(err, s, record))
	}
	c.platform.Closed(over.String())
	c.released(s, record, ended, open)
	return exitOK
}

// elsewhere refuses to send a credential to another host than mint did: a line that
// any step prints can change the variables of the steps after it.
func (c *app) elsewhere(s *settings.Settings, minted settings.Saved) error {
	for _, host := range []struct{ name, then, now string }{
		{"authority-host", minted.Values["authority-host"], s.AuthorityHost},
		{tokenServiceURL, minted.Values[tokenServiceURL], s.TokenServiceURL},
		{c.platform.Provider().URLVariable, minted.Asked, c.asks(s)},
	} {
		if host.then != "" && host.now != "" && host.then != host.now {
			return hint.Add(fmt.Errorf("%s is %s in this step and was %s in the one that minted; nothing was sent", host.name, sanitize.Line(host.now, 200), sanitize.Line(host.then, 200)),
				"find the step in between that sets a variable of that name, perhaps by a line that it only prints; agents can be told to take no variables from it (target: settableVariables: none)")
		}
	}
	return nil
}

// asks is the host that is asked for an assertion; empty: none.
func (c *app) asks(s *settings.Settings) string {
	if c.platform.Info().Cleanup != ci.RevokeStep || s.FederatedTokenFile != "" || s.Identity == settings.AccessToken {
		return ""
	}
	u, err := url.Parse(c.platform.Provider().URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// recordedBy is what mint recorded, as far as another step that planted it could
// do no more harm than to have this one wait or fail; the settings that it had; and
// whether that is known at all. No mint can begin after it.
func (c *app) recordedBy(origin displayname.Origin, over lease.Record) (r lease.Record, minted settings.Saved, known bool) {
	text, known := c.platform.Close(origin, over.String())
	if !known {
		return lease.Unrecorded(over.Name, c.Now()), settings.Saved{}, false
	}
	r, err := lease.ParseRecord(text)
	if err != nil || r.Name != over.Name {
		// Half of a record, or none of ours: a request may just be under way.
		return lease.Record{Stage: lease.Intended, Name: over.Name, Intended: c.Now()}, settings.Saved{}, false
	}
	return lease.Record{Stage: r.Stage, Name: over.Name, Intended: r.Intended, Unsettled: r.Unsettled, User: r.User, Skew: r.Skew}, r.Settings, true
}
