package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
)

// RevokeID revokes the PAT of the setting authorization-id. The result is nil if
// skip-revoke is set and the PAT stays valid.
func (j *Job) RevokeID(ctx context.Context) (*lease.Revoked, error) {
	log, s := j.Platform.Log(), j.Settings
	skip := s.SkipRevoke
	if j.Platform.Info().Cleanup == ci.RevokeStep {
		// An earlier step may have set the id, since it can set any variable.
		line, _ := j.Platform.Recorded(j.Platform.Origin(s.Name))
		record, err := lease.ParseRecord(line)
		if err != nil {
			record = lease.Record{}
		}
		if err := j.sameHosts(record.Settings); err != nil {
			return nil, j.NotRevoked(err, lease.Record{ID: s.AuthorizationID})
		}
		if skip && !(record.Stage == lease.HandedOver && strings.EqualFold(record.ID, s.AuthorizationID)) {
			log.Infof("revoking the PAT %s despite skip-revoke, because no mint with skip-revoke recorded that it was handed over", s.AuthorizationID)
			skip = false
		}
	}
	if skip {
		log.Infof("skip-revoke is set: the PAT %s stays valid until it expires", s.AuthorizationID)
		return nil, nil
	}
	return j.releaseID(ctx)
}

// releaseID revokes the PAT with the id of the settings.
func (j *Job) releaseID(ctx context.Context) (*lease.Revoked, error) {
	s := j.Settings
	ctx, stopGrace := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer stopGrace()
	ctx, cancel := settings.WithTimeout(ctx, s.Timeout)
	defer cancel()
	session, err := j.SignIn.SignIn(ctx)
	if err != nil {
		return nil, err
	}
	revoked, err := j.leaseClient(session).ReleaseID(ctx, s.AuthorizationID)
	switch {
	case errors.Is(err, lease.ErrNoSuchPAT):
		return nil, hint.Add(fmt.Errorf("revoke PAT %s in %s: %w: the id is wrong, the PAT belongs to another identity, or it is already gone", s.AuthorizationID, s.Organization, err),
			"give the id that mint printed, and the same identity settings; the identity's own PATs are listed on "+TokenPage(s.Organization))
	case err != nil:
		return nil, j.NotRevoked(err, lease.Record{ID: s.AuthorizationID})
	}
	return &revoked, nil
}

// RevokeMinted revokes the lease that mint acquired in an earlier step of the same
// Azure Pipelines job. It needs no output of that step: it computes the name of the PAT
// again from the job, and revokes every PAT of exactly that name. From the record it
// takes only whether one may still be created. The result is nil if skip-revoke is set
// and the PAT stays valid.
func (j *Job) RevokeMinted(ctx context.Context) (*Released, error) {
	log, s := j.Platform.Log(), j.Settings
	origin := j.Platform.Origin(s.Name)
	closed := lease.Record{Stage: lease.Closed, Name: origin.DisplayName()}
	record, minted, known := j.closeRecord(origin, closed)
	RemoveTools(j.Platform, j.OwnTools(record.Folder)) // after that no mint writes any
	if err := j.sameHosts(minted); err != nil {
		return nil, j.NotRevoked(err, record)
	}
	if s.SkipRevoke && known && record.Stage == lease.HandedOver {
		log.Infof("skip-revoke is set: the PAT stays valid until it expires")
		return nil, nil
	}
	if s.SkipRevoke {
		log.Infof("revoking the PAT despite skip-revoke, because no mint with skip-revoke recorded that it was handed over")
	}
	if record.Stage == lease.Minted {
		// The PAT exists, but the list may not show it yet, so wait for it.
		record.Stage = lease.Intended
	}
	end := log.Group("azdo-pat revoke: " + s.Organization)
	r, err := j.release(ctx, record, s.Timeout)
	end()
	if then := minted.Values["organization"]; err == nil && len(r.PATs) == 0 && record.Stage != lease.Closed && then != "" && then != s.Organization {
		err = fmt.Errorf("organization is %s in this step and was %s in the one that minted, and no PAT was found", s.Organization, sanitize.Line(then, 100))
	}
	if err != nil {
		return nil, j.NotRevoked(err, record)
	}
	j.Platform.Closed(closed.String())
	return r, nil
}

// sameHosts refuses to send a credential to another host than mint did: any step can
// change the variables of the steps after it by printing a line.
func (j *Job) sameHosts(minted settings.Saved) error {
	s := j.Settings
	for _, host := range []struct{ name, then, now string }{
		{"authority-host", minted.Values["authority-host"], s.AuthorityHost},
		{tokenServiceURL, minted.Values[tokenServiceURL], s.TokenServiceURL},
		{refreshTokenVault, minted.Values[refreshTokenVault], s.RefreshTokenVault},
		{j.Platform.Provider().URLVariable, minted.Asked, j.assertionHost()},
	} {
		if host.then != "" && host.now != "" && host.then != host.now {
			return hint.Add(fmt.Errorf("%s is %s in this step and was %s in the one that minted; nothing was sent", host.name, sanitize.Line(host.now, 200), sanitize.Line(host.then, 200)),
				"find the step in between that sets this variable, perhaps by a line that it prints; target: { settableVariables: none } on that step prevents it")
		}
	}
	return nil
}

// closeRecord makes sure that no later mint can start this lease. It returns what
// mint recorded, mint's settings, and whether both are known. Another step may have
// planted the record, so only those fields are used that can at worst make this step
// wait or fail.
func (j *Job) closeRecord(origin displayname.Origin, closed lease.Record) (record lease.Record, minted settings.Saved, known bool) {
	text, known := j.Platform.Close(origin, closed.String())
	if !known {
		return lease.Unrecorded(closed.Name, time.Now()), settings.Saved{}, false
	}
	record, err := lease.ParseRecord(text)
	if err != nil || record.Name != closed.Name {
		// A truncated record, or not azdo-pat's: a request may be in flight.
		return lease.Record{Stage: lease.Intended, Name: closed.Name, Intended: time.Now()}, settings.Saved{}, false
	}
	return lease.Record{Stage: record.Stage, Name: closed.Name, Intended: record.Intended, Unsettled: record.Unsettled, User: record.User, Skew: record.Skew, Folder: record.Folder}, record.Settings, true
}
