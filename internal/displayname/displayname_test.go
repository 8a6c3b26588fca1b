package displayname_test

import (
	"io"
	"maps"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/sanitize"
)

var nameForm = regexp.MustCompile(`^azdo-pat (\S.*\S|\S) ([0-9a-f]{16})$`)

// githubOrigin is the origin of a step of a GitHub job, with these variables.
func githubOrigin(label string, variables ...string) displayname.Origin {
	env := maps.Clone(job)
	for i := 0; i < len(variables); i += 2 {
		env[variables[i]] = variables[i+1]
	}
	return ci.NewGitHub(options(env, "")).Origin(label)
}

// terminalOrigin is the origin on a machine of that name.
func terminalOrigin(label, host string) displayname.Origin {
	return ci.NewTerminal(options(nil, host)).Origin(label)
}

func options(env map[string]string, host string) ci.Options {
	return ci.Options{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Stdout:    io.Discard, Stderr: io.Discard, Random: strings.NewReader("randomness"), Host: host,
	}
}

var job = map[string]string{
	"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "octo/tools", "GITHUB_RUN_ID": "4711", "GITHUB_RUN_ATTEMPT": "1",
	"GITHUB_JOB": "build", "GITHUB_ACTION": "__octo_azdo-pat",
	"ACTIONS_ID_TOKEN_REQUEST_URL": "https://pipelines.example/oidc?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "eyJ0eXAi.cmVxdWVzdC1vbmU.c2ln",
}

func TestDisplayName(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef"
	// 128 less "azdo-pat ", a space and the key.
	room := strings.Repeat("s", 102)
	for source, want := range map[string]string{
		"octo/tools run 1.1 build":           "azdo-pat octo/tools run 1.1 build " + key,
		room:                                 "azdo-pat " + room + " " + key,
		room + "s":                           "azdo-pat " + room[1:] + "… " + key,
		strings.Repeat("ß🙂", 80):             "azdo-pat " + strings.Repeat("ß?", 50) + "ß… " + key, // to .NET 🙂 is two
		"":                                   "azdo-pat - " + key,
		" \n\t":                              "azdo-pat - " + key,
		"a\r\nb\x00c\x1b[1md\u0085e":         "azdo-pat a b c [1md e " + key,
		"a\u2028b\u202ec\u200bd":             "azdo-pat a b c d " + key,
		"a\xffb":                             "azdo-pat a b " + key,
		"##[error]x":                         "azdo-pat # #[error]x " + key,
		"a" + sanitize.OutputDelimiter + "b": "azdo-pat a-b " + key,
	} {
		got := displayname.Origin{Source: source, Key: key}.DisplayName()
		if got != want || utf8.RuneCountInString(got) > 128 {
			t.Errorf("%q: %q of %d characters, want %q", source, got, utf8.RuneCountInString(got), want)
		}
	}
}

func FuzzDisplayName(f *testing.F) {
	for _, seed := range githubrunner.HostileText {
		f.Add(seed)
	}
	f.Add(strings.Repeat("\u0301", 300))
	f.Fuzz(func(t *testing.T, label string) {
		name := githubOrigin(label).DisplayName()
		if !nameForm.MatchString(name) || utf8.RuneCountInString(name) > 128 || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
			t.Errorf("%q gave %q", label, name)
		}
		if strings.Contains(name, sanitize.OutputDelimiter) {
			t.Errorf("%q cannot be handed over", name)
		}
		if _, ok := githubrunner.ParseLine(name); ok || strings.Contains(name, "##") || sanitize.NoCommands(name) != name {
			t.Errorf("%q is a logging command where it is printed", name)
		}
	})
}
