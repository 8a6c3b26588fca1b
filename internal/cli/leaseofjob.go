package cli

import (
	"context"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
)

// revokeLease ends the lease that mint acquired in an earlier step of the same
// Azure Pipelines job. Nothing is passed from that step to this one: the name of
// the PAT is worked out again from the job, and every PAT of exactly that name is
// revoked. What mint recorded says no more than whether one may still be made.
func (c *call) revokeLease(ctx context.Context, s *settings.Settings) int {
	log := c.platform.Log()
	job := c.platform.(*ci.AzurePipelines)
	origin := job.Origin(s.Name)
	over := lease.Record{Stage: lease.Over, Name: origin.DisplayName()}
	record, known := c.recordedBy(job, origin, over)
	if s.SkipRevoke && known && record.Stage == lease.Handed {
		log.Infof("the PAT is left to its expiry, as skip-revoke says")
		return done
	}
	if s.SkipRevoke {
		log.Infof("nothing on record says that a mint with skip-revoke handed a PAT over, so that it is revoked")
	}
	if record.Stage == lease.Minted {
		// It is there, and a list may not show it at once.
		record.Stage = lease.Intended
	}
	end := log.Group("azdo-pat revoke: " + s.Organization)
	ended, err := c.release(ctx, s, record, s.Timeout)
	end()
	if err != nil {
		return c.ended("revoke", s, describe(err, s, record))
	}
	job.Closed(over.String())
	c.released(s, record, ended)
	return done
}

// recordedBy is what mint recorded, as far as another step that planted it could
// do no more harm than to have this one wait; and whether that is known at all.
// No mint can begin after it.
func (c *call) recordedBy(job *ci.AzurePipelines, origin ci.Origin, over lease.Record) (lease.Record, bool) {
	text, known := job.Close(origin, over.String())
	if !known {
		return lease.Unrecorded(over.Name, c.Now()), false
	}
	r, err := lease.ParseRecord(text)
	if err != nil || r.Name != over.Name {
		// Half of a record, or none of ours: a request may just be under way.
		return lease.Record{Stage: lease.Intended, Name: over.Name, Intended: c.Now()}, false
	}
	return lease.Record{Stage: r.Stage, Name: over.Name, Intended: r.Intended, Doubt: r.Doubt, Open: r.Open, User: r.User, Skew: r.Skew}, true
}
