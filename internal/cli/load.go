package cli

import (
	"cmp"
	"errors"
	"fmt"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/ci"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// source lists where the settings of this run are read from.
func (c *app) source(given map[string]string, saved *settings.Saved) settings.Source {
	s := settings.Source{Flags: given, LookupEnv: c.platform.LookupEnv, Environ: c.Environ, Saved: saved}
	platform, provider := c.platform.Info(), c.platform.Provider()
	s.Action = platform.ActionInputs
	s.Lease = platform.Cleanup == ci.RevokeStep && c.platform.Origin("").Derived
	if provider.Name != "" {
		s.CI = &settings.CI{Offered: provider.Offered(), Unavailable: unavailable(provider), ServiceConnection: provider.ServiceConnection}
	}
	return s
}

// unavailable reports why the job cannot ask the CI system for an assertion. A
// credential is sent only to a safe URL.
func unavailable(p assertion.Provider) error {
	if p.Unavailable == nil && !settings.SafeURL(p.URL) {
		return errors.New(p.URLVariable + ": not an https URL (http only on 127.0.0.0/8, ::1 or localhost; a port from 1 to 65535, or none)")
	}
	return p.Unavailable
}

// load reads the settings of a command and makes the HTTP client that they ask for.
// It masks the credentials that came with them before it reports any problem.
func (c *app) load(command settings.Command, src settings.Source) (*settings.Settings, error) {
	s, wrong := settings.Load(command, src)
	if s != nil {
		wrong = c.newClient(command, src, s, wrong)
	}
	if wrong == nil {
		c.bound(s.Timeout + ShutdownTimeout)
	}
	if s != nil && s.Output == settings.JSON {
		c.platform = ci.Detect(c.options(true))
	}
	if err := c.maskGiven(s); err != nil {
		return s, err
	}
	if s != nil {
		c.signin = c.newSignIn(command, s)
		for _, text := range s.Warnings {
			c.platform.Log().Warning("azdo-pat settings", text)
		}
	}
	return s, wrong
}

// newClient makes the HTTP client. A wrong ca-file is reported with the other problems,
// except in the post step, where the file may be gone and is then not used.
func (c *app) newClient(command settings.Command, src settings.Source, s *settings.Settings, wrong error) error {
	var kept string
	if src.Saved != nil {
		kept = src.Saved.Roots
	}
	connections := 0 // the default
	if command == settings.Sweep {
		connections = 8 // a list and four revocations are sent at once
	}
	try := func(file string) (err error) {
		c.http, err = httpclient.NewClient(httpclient.Options{CAFile: file, KeptRoots: kept, ConnsPerHost: connections})
		if err == nil && command == settings.Mint && c.platform.Info().Cleanup == ci.PostStep {
			var roots string
			roots, err = httpclient.KeepRoots(file)
			c.keptRoots = &roots
		}
		return err
	}
	err := try(s.CAFile)
	if err == nil {
		return wrong
	}
	reason := sanitize.Line(err.Error(), 200)
	if command == settings.Post && try("") == nil {
		s.Warnings = append(s.Warnings, cmp.Or(s.Origins["ca-file"], "ca-file")+" cannot be read, continuing without it: "+reason)
		return wrong
	}
	return src.Wrong(s, wrong, "ca-file", s.CAFile, fmt.Sprintf("a PEM file of certificates (%s)", reason))
}

// maskGiven masks the secrets among the settings, and the job's own credentials.
func (c *app) maskGiven(s *settings.Settings) error {
	var given []secret.Value
	if s != nil {
		given = s.Credentials()
	}
	given = append(given, c.platform.Credentials()...)
	for _, v := range given {
		// A token of the job that cannot be masked is refused later, when it is needed.
		if err := c.mask(v); err != nil && !errors.Is(err, ci.ErrTooShort) {
			return err
		}
	}
	return nil
}
