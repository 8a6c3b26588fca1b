package assertion

import (
	"net/http"
	"time"

	"azdo-pat/internal/secret"
)

// Provider is a CI system that issues assertions to its jobs, with what it gave
// this job to ask for one. The zero value issues none.
type Provider struct {
	Name    string // of the CI system, for people
	Service string // what people call the service at URL
	// AzureDevOps tells that the service has Azure DevOps' rate limit headers.
	AzureDevOps bool
	URLVariable string // the variable that holds URL
	URL         string
	Token       secret.Value // the job's credential for URL
	TokenName   string       // what people call Token
	// TokenLife is how long after the start of the job Token is valid; zero if
	// only Token itself tells.
	TokenLife time.Duration
	// Unavailable is why the job cannot ask, and what to change; nil if it can.
	Unavailable error
	// Permission is what to add to the job's definition where Token is missing.
	Permission string
	// ServiceConnection tells that an assertion is issued for a service connection,
	// whose id must be set.
	ServiceConnection bool
	// Source asks for assertions. Each provider uses the arguments that it knows.
	Source func(client *http.Client, audience, serviceConnection string) Source
}

// Offered reports whether the job was given a URL and a credential for it, valid or
// not.
func (p Provider) Offered() bool { return p.URL != "" && !p.Token.IsZero() }
