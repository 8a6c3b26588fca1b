package assertion

import (
	"net/http"
	"time"

	"azdo-pat/internal/secret"
)

// Provider is a CI system that issues assertions to its jobs, with the URL and the token
// for requesting one. The zero value issues none.
type Provider struct {
	Name    string // of the CI system, for people
	Service string // the name of the service at URL, for people
	// AzureDevOps: the service sends Azure DevOps' rate limit headers.
	AzureDevOps bool
	URLVariable string // the variable that holds URL
	URL         string
	Token       secret.Value // the job's credential for URL
	TokenName   string       // the name of Token, for people
	// TokenLife is how long after the start of the job Token is valid; zero: see the
	// expiry in Token itself.
	TokenLife time.Duration
	// Unavailable is why the job cannot ask, and what to change; nil if it can.
	Unavailable error
	// Permission is what to add to the job's definition if Token is missing.
	Permission string
	// ServiceConnection: assertions are issued for a service connection, whose id must
	// be set.
	ServiceConnection bool
	// Source returns a source of assertions. A provider ignores arguments that it does
	// not need.
	Source func(client *http.Client, audience, serviceConnection string) Source
}

// Offered reports whether the job was given a URL and a credential for it, valid or
// not.
func (p Provider) Offered() bool { return p.URL != "" && !p.Token.IsZero() }
