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
	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

// Recorded returns the record that mint left for the post step; nil: there is none that
// can be trusted.
func Recorded(p ci.Platform) *lease.Record {
	if p.Info().Cleanup != ci.PostStep {
		return nil
	}
	origin := p.Origin("")
	text, ok := p.Recorded(origin)
	if !ok || text == "" {
		return nil
	}
	record, err := lease.ParseRecord(text)
	if err != nil {
		p.Log().Warning("saved state", "using the inputs, because the saved state cannot be read: "+err.Error())
		return nil
	}
	if record.Stage == lease.Started || record.Stage == lease.Closed {
		return &record
	}
	// If mint wrote no record, another step may have planted one in order to get
	// another PAT of the user revoked.
	name := displayname.Parse(record.Name)
	if name.Kind != displayname.Lease {
		p.Log().Warning("saved state", "using the inputs, because the saved state names no PAT of azdo-pat")
		return nil
	}
	if own := displayname.Parse(origin.DisplayName()); otherRun(name, own) {
		p.Log().Warning("saved state", "using the inputs, because the saved state belongs to another workflow run")
		return nil
	}
	return &record
}

// otherRun reports whether a recorded name is that of another workflow run's PAT,
// or of one that no workflow run minted.
func otherRun(recorded, own displayname.Name) bool {
	if own.RunID == "" || recorded.RunID == "" && recorded.Repository == own.Repository && strings.HasSuffix(recorded.Source, "…") {
		return false // the run is unknown, or was truncated after a long repository name
	}
	return recorded.Repository != own.Repository || recorded.RunID != own.RunID || recorded.Attempt != own.Attempt
}

// Post revokes what mint recorded or, without a record, every PAT of the name that is
// computed again from the inputs and the environment. The result is nil if there is
// nothing to report but what the log says.
func (j *Job) Post(ctx context.Context, recorded *lease.Record) (*Released, error) {
	log, s := j.Platform.Log(), j.Settings
	if s.SkipRevoke && recorded != nil && recorded.Stage == lease.HandedOver {
		log.Infof("skip-revoke is set: the PAT stays valid until it expires")
		return nil, nil
	}
	if s.SkipRevoke {
		log.Infof("revoking the PAT despite skip-revoke, because mint did not record that it was handed over")
	}
	origin := j.Platform.Origin(s.Name)
	if recorded == nil {
		if !origin.Derived {
			return nil, hint.Add(
				errors.New("mint left no saved state, and without ACTIONS_ID_TOKEN_REQUEST_TOKEN the name of its PAT cannot be computed"),
				"look for it in the user's token list, "+TokenPage(s.Organization))
		}
		unrecorded := lease.Unrecorded(origin.DisplayName(), time.Now())
		recorded = &unrecorded
	}
	record := *recorded
	moved := j.hostsDiffer(record.Settings)
	end := log.Group("azdo-pat post: " + s.Organization)
	r, expired, err := j.releaseRecorded(ctx, record, origin)
	end()
	if err == nil && moved && !r.revokedOne() {
		err = hint.Add(fmt.Errorf("it was minted at %s, and %s does not list it", record.Settings.Values[tokenServiceURL], s.TokenServiceURL),
			"set token-service-url to the value that the minting step has, or remove it")
	}
	switch {
	case err == nil:
		return r, nil
	case !moved && expired && record.Unsettled == 0:
		log.Infof("PAT %s expired at %s", record.ID, timefmt.Time(record.ValidTo))
		return nil, nil
	}
	return nil, j.NotRevoked(err, record, r.PATs...)
}

// lateTimeout is the time limit for revoking a PAT that has expired.
const lateTimeout = 10 * time.Second

// releaseRecorded revokes the recorded lease, and reports whether it has expired. If it
// seems to have, the time limit is short, unless the servers' clocks show that this
// machine's is wrong.
func (j *Job) releaseRecorded(ctx context.Context, record lease.Record, origin displayname.Origin) (r *Released, expired bool, err error) {
	sought := record
	if origin.Derived && record.Name != "" && record.Name != origin.DisplayName() {
		// Another step may have planted the record, or in a nested composite action
		// the input name is another step's: only the list tells whether the PAT of
		// that id has that name.
		sought.ID = ""
	}
	timeout := j.Settings.Timeout
	if record.Expired(time.Now()) {
		timeout = min(timeout, lateTimeout)
	}
	r, err = j.release(ctx, sought, timeout)
	expired = j.expired(record)
	if err != nil && timeout < j.Settings.Timeout && !expired {
		// The second attempt measures the clocks anew, and may get no answer. So expired
		// keeps its value.
		r, err = j.release(ctx, sought, j.Settings.Timeout-timeout)
	}
	return r, expired, err
}

// tokenServiceURL is the setting with the service that has the PAT, and
// refreshTokenVault the one with the vault.
const (
	tokenServiceURL   = "token-service-url"
	refreshTokenVault = "refresh-token-vault"
)

// hostsDiffer warns of each host that differs from mint's. It reports whether
// token-service-url does, since the PAT may then exist without being listed here. The
// inputs are used, because another step may have planted the record to have credentials
// sent to its own host.
func (j *Job) hostsDiffer(saved settings.Saved) (service bool) {
	for name, host := range map[string]string{
		tokenServiceURL: j.Settings.TokenServiceURL, "authority-host": j.Settings.AuthorityHost, refreshTokenVault: j.Settings.RefreshTokenVault,
	} {
		if recorded := saved.Values[name]; recorded != "" && recorded != host {
			j.Platform.Log().Warning("host differs from the record", fmt.Sprintf("mint recorded %s as %s; using the input, %s, instead", recorded, name, host))
			service = service || name == tokenServiceURL
		}
	}
	return service
}
