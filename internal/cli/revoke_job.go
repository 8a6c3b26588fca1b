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

const tokenServiceURL = "token-service-url"

// revokeLease revokes the lease that mint acquired in an earlier step of the same
// Azure Pipelines job. It needs no output of that step: the name of the PAT is
// recomputed from the job, and every PAT of exactly that name is revoked. The record
// only tells whether one may still be created.
func (r *revocation) revokeLease(ctx context.Context) int {
	log, s := r.platform.Log(), r.settings
	origin := r.platform.Origin(s.Name)
	closed := lease.Record{Stage: lease.Closed, Name: origin.DisplayName()}
	record, minted, known := r.closeRecord(origin, closed)
	if err := r.sameHosts(minted); err != nil {
		return r.finish(notRevoked(err, s, record))
	}
	if s.SkipRevoke && known && record.Stage == lease.HandedOver {
		log.Infof("skip-revoke is set: the PAT stays valid until it expires")
		return exitOK
	}
	if s.SkipRevoke {
		log.Infof("the record does not say that a mint with skip-revoke handed a PAT over, so it is revoked")
	}
	if record.Stage == lease.Minted {
		// The PAT exists, but the list may not show it yet, so wait for it.
		record.Stage = lease.Intended
	}
	end := log.Group("azdo-pat revoke: " + s.Organization)
	ended, open, err := r.release(ctx, record, s.Timeout)
	end()
	if then := minted.Values["organization"]; err == nil && len(ended) == 0 && record.Stage != lease.Closed && then != "" && then != s.Organization {
		err = fmt.Errorf("organization is %s in this step and was %s in the one that minted, and nothing was found", s.Organization, sanitize.Line(then, 100))
	}
	if err != nil {
		return r.finish(notRevoked(err, s, record))
	}
	r.platform.Closed(closed.String())
	r.report(record, ended, open)
	return exitOK
}

// sameHosts refuses to send a credential to another host than mint did: any step can
// change the variables of the steps after it by printing a line.
func (r *revocation) sameHosts(minted settings.Saved) error {
	s := r.settings
	for _, host := range []struct{ name, then, now string }{
		{"authority-host", minted.Values["authority-host"], s.AuthorityHost},
		{tokenServiceURL, minted.Values[tokenServiceURL], s.TokenServiceURL},
		{r.platform.Provider().URLVariable, minted.Asked, r.assertionHost(s)},
	} {
		if host.then != "" && host.now != "" && host.then != host.now {
			return hint.Add(fmt.Errorf("%s is %s in this step and was %s in the one that minted; nothing was sent", host.name, sanitize.Line(host.now, 200), sanitize.Line(host.then, 200)),
				"find the step in between that sets a variable of that name, perhaps by a line that it only prints; agents can be told to take no variables from it (target: settableVariables: none)")
		}
	}
	return nil
}

// assertionHost is the host that issues the assertion, on a platform where a later
// step of the job requests one again; otherwise it is empty.
func (c *app) assertionHost(s *settings.Settings) string {
	if c.platform.Info().Cleanup != ci.RevokeStep || s.FederatedTokenFile != "" || s.Identity == settings.AccessToken {
		return ""
	}
	u, err := url.Parse(c.platform.Provider().URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// closeRecord makes sure that no later mint can start this lease. It returns what
// mint recorded, mint's settings, and whether both are known. Another step may have
// planted the record, so only those fields are used that can at worst make this step
// wait or fail.
func (r *revocation) closeRecord(origin displayname.Origin, closed lease.Record) (record lease.Record, minted settings.Saved, known bool) {
	text, known := r.platform.Close(origin, closed.String())
	if !known {
		return lease.Unrecorded(closed.Name, r.Now()), settings.Saved{}, false
	}
	record, err := lease.ParseRecord(text)
	if err != nil || record.Name != closed.Name {
		// A truncated record, or not azdo-pat's: a request may be in flight.
		return lease.Record{Stage: lease.Intended, Name: closed.Name, Intended: r.Now()}, settings.Saved{}, false
	}
	return lease.Record{Stage: record.Stage, Name: closed.Name, Intended: record.Intended, Unsettled: record.Unsettled, User: record.User, Skew: record.Skew}, record.Settings, true
}
