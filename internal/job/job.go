// Package job mints, renews and revokes the PAT of one CI job. mint hands it over, exec
// renews it while a command runs, and revoke and the post step find and revoke it. With
// token-type entra it is a service principal's own token instead, which is neither
// renewed nor revoked.
//
// Package signin signs in, package lease mints and revokes, and the [ci.Platform] keeps
// the record between the steps of the job. This package joins them. It logs progress
// and returns results, which package cli reports.
package job

import (
	"io"
	"net/url"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// Job is a job whose settings are known.
type Job struct {
	Settings *settings.Settings
	Platform ci.Platform
	SignIn   *signin.Client
	// Random is the source of the names of folders.
	Random io.Reader
}

// leaseClient mints and revokes as the signed-in user.
func (j *Job) leaseClient(session *signin.Session) *lease.Client {
	return &lease.Client{
		PATs:   session.PATs,
		Record: func(r lease.Record) error { return j.Platform.Record(r.String()) },
		Mask:   func(v secret.Value) error { return ci.MaskPAT(j.Platform, v) },
		Log:    j.Platform.Log(),
		Server: session.ServerTime, Ready: session.Wait,
	}
}

// assertionHost is the host that issues the assertion, on a platform where a later
// step of the job requests one again; otherwise it is empty.
func (j *Job) assertionHost() string {
	if j.Platform.Info().Cleanup != ci.RevokeStep || j.Settings.FederatedTokenFile != "" || j.Settings.Identity == settings.AccessToken {
		return ""
	}
	u, err := url.Parse(j.Platform.Provider().URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// TokenPage is where a user sees and revokes tokens by hand.
func TokenPage(organization string) string {
	return "https://dev.azure.com/" + organization + "/_usersSettings/tokens"
}
