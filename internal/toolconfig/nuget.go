package toolconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The variables of artifacts-credprovider, the newer one first.
// https://github.com/microsoft/artifacts-credprovider#environment-variables
const (
	feedEndpoints      = "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"
	olderFeedEndpoints = "VSS_NUGET_EXTERNAL_FEED_ENDPOINTS"
)

// setUpNuGet sets what NuGet's plugin reads, and what NuGet reads itself for a package
// source with the name of the feed. There is no variable for a file: the token is in the
// variables.
func setUpNuGet(p *plan) error {
	older := p.env(olderFeedEndpoints)
	newer := p.env(feedEndpoints)
	if newer == "" {
		newer = older // which the plugin reads only where there is no newer one
	}
	for _, v := range []Variable{{feedEndpoints, newer}, {olderFeedEndpoints, older}} {
		value, err := p.endpoints(v.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		p.set(v.Name, value)
	}
	for _, feed := range p.Feeds {
		p.set("NuGetPackageSourceCredentials_"+feed.word(),
			"Username="+p.Organization+";Password="+p.token.Reveal()+";ValidAuthenticationTypes=Basic")
	}
	return nil
}

// endpoint is an entry for the plugin.
type endpoint struct {
	Endpoint string `json:"endpoint"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// endpoints adds the feeds to those that the caller has.
func (p *plan) endpoints(callers string) (string, error) {
	all := map[string]json.RawMessage{}
	var list []json.RawMessage
	if callers != "" {
		err := json.Unmarshal([]byte(callers), &all)
		if err == nil && all["endpointCredentials"] != nil {
			err = json.Unmarshal(all["endpointCredentials"], &list)
		}
		if err != nil { // which may quote a credential
			return "", errors.New("what is set is no JSON object with a list endpointCredentials, so it cannot be extended")
		}
	}
	var kept []json.RawMessage
	for _, entry := range list {
		var e endpoint
		_ = json.Unmarshal(entry, &e)
		if !p.ownEndpoint(e.Endpoint) {
			kept = append(kept, entry)
		}
	}
	for _, feed := range p.Feeds {
		entry, err := json.Marshal(endpoint{feed.url(p.Organization, "nuget/v3/index.json"), p.Organization, p.token.Reveal()}) //nolint:gosec // the variable carries the PAT
		if err != nil {
			return "", err
		}
		kept = append(kept, entry)
	}
	list = kept
	encoded, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	if all == nil {
		all = map[string]json.RawMessage{} // the caller's was null
	}
	all["endpointCredentials"] = encoded
	value, err := json.Marshal(all)
	return string(value), err
}

// ownEndpoint reports whether an address is that of a feed that is being set up.
func (p *plan) ownEndpoint(address string) bool {
	for _, feed := range p.Feeds {
		if strings.EqualFold(address, feed.url(p.Organization, "nuget/v3/index.json")) {
			return true
		}
	}
	return false
}
