package settings

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/toolconfig"
)

// The shortest and the longest lifetime of a job's PAT, and of the PAT that rotate mints.
// Azure DevOps grants a year at most.
const (
	ShortestLifetime = 5 * time.Minute
	LongestLifetime  = 24 * time.Hour
	shortestRotated  = day
	LongestRotated   = 365 * day
)

// check validates the text of a setting and returns it in the form that envconfig
// decodes. The error says what is allowed; of a credential, what is wrong with it.
type check func(text string) (string, error)

// checks are the kinds of settings.
var checks = map[string]check{
	"organization":     checkOrganization,
	"scopes":           checkScopes,
	"lifetime":         duration(ShortestLifetime, LongestLifetime, "a duration from 5m to 24h, such as 30m, 1h30m or 1d"),
	"rotated-lifetime": duration(shortestRotated, LongestRotated, "a duration from 1d to 365d, such as 7d, 36h or 90d"),
	"consumer":         matching("1 to 60 letters, digits, dots, underscores and hyphens, such as sonarqube", displayname.IsConsumer),
	"timeout":          duration(1, 365*day, "a duration above zero and up to 365d, such as 90s, 2m or 1d"),
	"age":              duration(0, math.MaxInt64, "a duration of zero or more, such as 6h, 90m or 2d"),
	"variables":        checkVariables,
	"repository":       matching("a GitHub repository as OWNER/REPO", repository.matches),
	"tenant": matching("the tenant's GUID or one of its domains, such as contoso.onmicrosoft.com", func(text string) bool {
		return IsGUID(text) || !isJWT(text) && domain.matches(text)
	}),
	"application": matching("the client id of an application, a GUID", clientID.matches),
	"agent":       matching("the client id of the agent identity, a GUID", clientID.matches),
	"user": matching("the agent's user account, as user principal name (agent@contoso.com) or object id (a GUID)", func(text string) bool {
		return IsGUID(text) || upn.matches(text)
	}),
	"username":           matching("the user principal name of the service account", visible),
	"authorization-id":   matching("the GUID that mint handed over as authorization-id", IsGUID),
	"service-connection": matching("the id (a GUID) of a service connection, which is in the address of its page", IsGUID),
	"audience":           matching("the audience of the federated credential, without white space", func(text string) bool { return !strings.ContainsFunc(text, hidden) }),
	"issuer":             checkIssuer,
	"subject":            matching("the subject as the job's token has it: up to 600 characters, no control characters", isSubject),
	"path":               matching("the path of a file", isPath),
	"policy":             matching("a policy", func(string) bool { return true }), // package policy compiles it
	"policy-file":        matching("the path of a file", isPath),
	"url":                BaseURL,
	"vault-secret":       checkVaultSecret,
	"tools":              checkTools,
	"feeds":              checkFeeds,
	"temp-folder":        checkTempFolder,
	"rules":              checkRules,
	"token":              checkToken,
	"password":           checkPassword,
}

// matching allows the texts for which ok is true.
func matching(allowed string, ok func(string) bool) check {
	return func(text string) (string, error) {
		if !ok(text) {
			return "", errors.New(allowed)
		}
		return text, nil
	}
}

func oneOf(allowed ...string) check {
	return matching(strings.Join(allowed, " or "), func(text string) bool { return slices.Contains(allowed, text) })
}

// checkBool takes what YAML writes for a boolean.
func checkBool(text string) (string, error) {
	switch text {
	case "true", "True", "TRUE":
		return "true", nil
	case "false", "False", "FALSE":
		return "false", nil
	}
	return "", errors.New("true or false")
}

// OrganizationForms are the forms that [Organization] reads, for errors.
const OrganizationForms = "contoso, https://dev.azure.com/contoso or https://contoso.visualstudio.com"

func checkOrganization(text string) (string, error) {
	name, err := Organization(text)
	if err != nil {
		return "", errors.New(OrganizationForms)
	}
	return name, nil
}

// checkVariables takes the names of variables, separated as scopes are.
func checkVariables(text string) (string, error) {
	names := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(names) == 0 {
		return "", errors.New("at least one name of a variable, such as AZURE_DEVOPS_EXT_PAT")
	}
	for _, name := range names {
		if !variable.matches(name) {
			return "", errors.New("names of variables, separated by white space or commas, such as AZURE_DEVOPS_EXT_PAT")
		}
	}
	return strings.Join(names, ","), nil
}

func checkScopes(text string) (string, error) {
	scopes, err := pat.ParseScopes(text)
	if err != nil {
		return "", fmt.Errorf("PAT scopes separated by white space or commas, such as vso.code vso.packaging_write, which azdo-pat scopes lists (%w)", err)
	}
	return strings.Join(scopes, ","), nil
}

func checkTools(text string) (string, error) {
	names, err := toolconfig.ParseTools(text)
	return strings.Join(names, ","), err
}

func checkFeeds(text string) (string, error) {
	feeds, err := toolconfig.ParseFeeds(text)
	var names []string
	for _, f := range feeds {
		names = append(names, f.String())
	}
	return strings.Join(names, ","), err
}

// checkTempFolder takes an absolute path, with the prefix that action.yml puts before it.
// A runner that does not know the folder leaves the prefix alone.
func checkTempFolder(text string) (string, error) {
	path := strings.TrimPrefix(text, "host:")
	if path != "" && (!filepath.IsAbs(path) || !isPath(path)) {
		return "", errors.New("the absolute path of a folder, with host: before it or not")
	}
	return path, nil
}

func checkVaultSecret(text string) (string, error) {
	secretURL, err := keyvault.ParseURL(text)
	if err != nil {
		return "", fmt.Errorf("the URL of a Key Vault secret without a version, %s (%w)", keyvault.Form, err)
	}
	return secretURL, nil
}

// checkToken and checkPassword refuse what cannot be a credential: the service's
// "wrong password" would not point to a slip in storing it. The error does not
// repeat the value.
func checkToken(text string) (string, error) { return credential(text, secret.New(text).Fault()) }
func checkPassword(text string) (string, error) {
	return credential(text, secret.New(text).PasswordFault())
}

func credential(text, fault string) (string, error) {
	if fault != "" {
		return "", errors.New(fault + "; store it again as it was issued")
	}
	return text, nil
}

func isPath(text string) bool {
	return !isJWT(text) && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) })
}

// checkIssuer takes a URL as it is: Entra compares it to the last character.
func checkIssuer(text string) (string, error) {
	if _, err := BaseURL(text); err != nil || len(text) > longestTrust {
		return "", errors.New("the issuer as the job's token has it: an https URL of up to 600 characters without user, query and fragment")
	}
	return text, nil
}

// longestTrust is the length of the longest issuer and subject of a federated credential.
const longestTrust = 600

func isSubject(text string) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= longestTrust && !strings.ContainsFunc(text, unicode.IsControl)
}

func visible(text string) bool { return !strings.ContainsFunc(text, sanitize.Invisible) }

// duration takes a Go duration or whole days.
func duration(least, most time.Duration, allowed string) check {
	return func(text string) (string, error) {
		d, err := ParseDuration(text)
		if err != nil || d < least || d > most {
			return "", errors.New(allowed)
		}
		return d.String(), nil
	}
}

// Organization returns the bare name of an Azure DevOps organization, given as
// such, as https://dev.azure.com/NAME or as https://NAME.visualstudio.com. A
// name has 1 to 50 letters, digits and hyphens, and starts and ends with a
// letter or digit.
func Organization(text string) (string, error) {
	name := text
	if strings.Contains(text, "/") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil || strings.ContainsAny(text, "?#") {
			return "", errors.New("not the URL of an organization")
		}
		host := sanitize.LowerASCII(u.Host)
		path := strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
		if sub, ok := strings.CutSuffix(host, ".visualstudio.com"); ok && path == "" {
			name = sub
		} else if host == "dev.azure.com" {
			name = path
		} else {
			return "", errors.New("not the URL of an organization")
		}
	}
	if !organization.matches(name) {
		return "", errors.New("not the name of an organization")
	}
	return name, nil
}

// BaseURL checks the base of a service's URLs: https, or http on 127.0.0.0/8,
// ::1 or localhost; no user, query or fragment. It returns it without a slash
// at the end.
func BaseURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Hostname() == "", u.User != nil, strings.ContainsAny(text, "?#"), strings.ContainsFunc(text, hidden):
		return "", errors.New("an https URL without user, query and fragment")
	case !httpclient.ValidPort(u):
		return "", errors.New("an https URL with a port from 1 to 65535, or none")
	case u.Scheme == "https", u.Scheme == "http" && httpclient.IsLoopback(u.Hostname()):
		return strings.TrimRight(text, "/"), nil
	}
	return "", errors.New("an https URL (http only on 127.0.0.0/8, ::1 or localhost)")
}

// hidden are the characters that no URL has, and that a reader does not see.
func hidden(r rune) bool { return r == ' ' || sanitize.Invisible(r) }

// SafeURL reports whether a request with a credential may go to a URL: https,
// or http on this machine.
func SafeURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && httpclient.ValidPort(u) && !strings.ContainsFunc(text, hidden) && (u.Scheme == "https" || u.Scheme == "http" && httpclient.IsLoopback(u.Hostname()))
}

// day is that of a duration such as "30d", which has nothing to do with a calendar.
const day = 24 * time.Hour

// ParseDuration reads a Go duration, or whole days.
func ParseDuration(text string) (time.Duration, error) {
	digits, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	days, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || days > uint64(math.MaxInt64/day) {
		return 0, errors.New("not a number of days")
	}
	return time.Duration(days) * day, nil
}
