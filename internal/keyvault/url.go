package keyvault

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
)

// Form is what the URL of a secret looks like.
const Form = "https://NAME.vault.azure.net/secrets/NAME"

// domain is that of the vaults of Azure's public cloud, the only one with Azure DevOps.
const domain = ".vault.azure.net"

var (
	// https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#vault-name-and-object-name
	vaultName  = regexp.MustCompile(`^[a-z][a-z0-9-]{2,23}$`)
	secretName = regexp.MustCompile(`^[0-9A-Za-z-]+$`)
)

// ParseURL checks the URL of a secret: https on *.vault.azure.net (or on this machine,
// where http will do too), without a version, a query or a user. The port 443 and a
// slash at the end are removed. The error says what is wrong, as in "it has a version".
func ParseURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Opaque != "", strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || sanitize.Invisible(r) }):
		return "", errors.New("it is not a URL")
	case u.User != nil:
		return "", errors.New("it has a user")
	case strings.ContainsAny(text, "?#"):
		return "", errors.New("it has a query or a fragment")
	}
	host, err := vaultHost(u)
	if err != nil {
		return "", err
	}
	path, isSecret := strings.CutPrefix(strings.TrimSuffix(u.EscapedPath(), "/"), "/secrets/")
	name, _, hasVersion := strings.Cut(path, "/")
	switch {
	case !isSecret:
		return "", errors.New("its path is not that of a secret")
	case len(name) > 127 || !secretName.MatchString(name):
		return "", errors.New("the name of the secret is not 1 to 127 letters, digits and hyphens")
	case hasVersion:
		return "", errors.New("it has a version; without one, the newest is read")
	}
	return u.Scheme + "://" + host + "/secrets/" + name, nil
}

// Names returns the names of the vault and of the secret in a URL from [ParseURL]. The
// vault on this machine has none.
func Names(secretURL string) (vault, secret string) {
	u, err := url.Parse(secretURL)
	if err != nil || secretURL == "" {
		return "", ""
	}
	vault, ok := strings.CutSuffix(u.Host, domain)
	if !ok {
		vault = ""
	}
	return vault, strings.TrimPrefix(u.Path, "/secrets/")
}

// vaultHost returns the host of a vault, with a port only on this machine.
func vaultHost(u *url.URL) (string, error) {
	host := sanitize.LowerASCII(u.Hostname())
	switch {
	case host == "":
		return "", errors.New("it has no host")
	case !httpclient.ValidPort(u):
		return "", errors.New("its port is not one from 1 to 65535")
	case httpclient.IsLoopback(host) && (u.Scheme == "https" || u.Scheme == "http"):
		return u.Host, nil
	case u.Scheme != "https":
		return "", errors.New("it is not https")
	case !strings.HasSuffix(host, domain):
		return "", errors.New("its host is not one of *" + domain)
	case !vaultName.MatchString(strings.TrimSuffix(host, domain)):
		return "", errors.New("the name of the vault is not 3 to 24 letters, digits and hyphens that begin with a letter")
	case u.Port() != "" && u.Port() != "443":
		return "", errors.New("its port is not 443")
	}
	return host, nil
}
