package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/ci"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/job"
	"azdo-pat/internal/policy"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// loaded is a command with its settings.
type loaded struct {
	*app // with the output that the setting output asks for
	*job.Job
	// roots are the roots of trust that the post step will need; nil: there is no post
	// step.
	roots *string
}

// source returns the places from which this run reads its settings.
func (a *app) source(given map[string]string, saved *settings.Saved) settings.Source {
	s := settings.Source{Flags: given, LookupEnv: a.platform.LookupEnv, Environ: a.Environ, Saved: saved}
	platform, provider := a.platform.Info(), a.platform.Provider()
	s.Action = platform.ActionInputs
	s.RevokeStep = platform.Cleanup == ci.RevokeStep
	s.LaterSteps = platform.CI
	s.Lease = s.RevokeStep && a.platform.Origin("").Derived
	if provider.Name != "" {
		s.CI = &settings.CI{Offered: provider.Offered(), Unavailable: unavailable(provider), ServiceConnection: provider.ServiceConnection}
	}
	return s
}

// unavailable returns why the job cannot ask the CI system for an assertion; nil: it can.
// An unsafe URL is one reason, since the request carries a credential.
func unavailable(p assertion.Provider) error {
	if p.Unavailable == nil && !settings.SafeURL(p.URL) {
		return errors.New(p.URLVariable + ": not an https URL (http only on 127.0.0.0/8, ::1 or localhost; a port from 1 to 65535, or none)")
	}
	return p.Unavailable
}

// load reads the settings of a command and makes the client that it signs in with. It
// masks the credentials among the settings first. With an error, the result is only good
// for reporting it; its Job is nil if no setting could be read.
func (a *app) load(command settings.Command, src settings.Source) (*loaded, error) {
	l := &loaded{app: a}
	s, wrong := settings.Load(command, src)
	var client *http.Client
	var rules *policy.Policy
	if s != nil {
		client, l.roots, wrong = a.newClient(command, src, s, wrong)
		rules, wrong = loadPolicy(src, s, wrong)
	}
	if wrong == nil {
		a.limit.set(s.Timeout + ShutdownTimeout)
	}
	if s != nil && s.Output == settings.JSON {
		l.app = a.withOutput(a.Stdout, true)
	}
	if s != nil {
		l.Job = &job.Job{Settings: s, Platform: l.platform, Random: a.Random}
	}
	if err := l.maskGiven(s); err != nil {
		return l, err
	}
	if s != nil {
		l.SignIn = signin.New(signin.Options{
			Settings: s, HTTP: client,
			Provider: l.platform.Provider(), ProviderFallback: command == settings.Post,
			Mask: l.mask, Authorize: l.authorizer(rules), Log: l.platform.Log(),
			UserAgent: "azdo-pat/" + version,
		})
		for _, text := range s.Warnings {
			l.platform.Log().Warning("azdo-pat settings", text)
		}
	}
	return l, wrong
}

// newClient makes the HTTP client. A wrong ca-file is added to the problems in wrong. The
// post step goes on without a ca-file that is gone. roots are those that the post step
// will need; nil: there is none.
func (a *app) newClient(command settings.Command, src settings.Source, s *settings.Settings, wrong error) (client *http.Client, roots *string, _ error) {
	o := httpclient.Options{CAFile: s.CAFile, Dial: a.Dial}
	if src.Saved != nil {
		o.KeptRoots = src.Saved.Roots
	}
	if command == settings.Sweep || command == settings.List {
		o.ConnsPerHost = 8 // for a list, and four revocations or requests to GitHub, at the same time
	}
	client, err := httpclient.NewClient(o)
	if err == nil && command == settings.Mint && a.platform.Info().Cleanup == ci.PostStep {
		var kept string
		kept, err = httpclient.KeepRoots(s.CAFile)
		roots = &kept
	}
	if err == nil {
		return client, roots, wrong
	}
	reason := sanitize.Line(err.Error(), 200)
	if command == settings.Post {
		o.CAFile = ""
		client, err = httpclient.NewClient(o)
		if err == nil {
			s.Warnings = append(s.Warnings, cmp.Or(s.Origins["ca-file"], "ca-file")+" cannot be read, continuing without it: "+reason)
			return client, nil, wrong
		}
	}
	return client, roots, src.Wrong(s, wrong, "ca-file", s.CAFile, fmt.Sprintf("a PEM file of certificates (%s)", reason))
}

// maskGiven masks the secrets among the settings, and the job's own credentials.
func (a *app) maskGiven(s *settings.Settings) error {
	var given []secret.Value
	if s != nil {
		given = s.Credentials()
	}
	given = append(given, a.platform.Credentials()...)
	for _, v := range given {
		// A token that is too short is refused later, if it is needed.
		if err := a.mask(v); err != nil && !errors.Is(err, ci.ErrTooShort) {
			return err
		}
	}
	return nil
}
