package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// placeholders are what the reader of an example must replace, each with what a comment
// of the file must have about it: a word, or $1 for what was found.
var placeholders = []struct {
	found *regexp.Regexp
	named string
}{
	{regexp.MustCompile(`OWNER`), "OWNER"},
	{regexp.MustCompile(`@COMMIT`), "COMMIT"},
	{regexp.MustCompile(`/VERSION`), "VERSION"},
	{regexp.MustCompile(`\bcontoso\b`), "contoso"},
	{regexp.MustCompile(`(?m)^ *(tenant-id|client-id|agent-id|agent-user|refresh-token-vault): [^$\n]`), "$1"},
	{regexp.MustCompile(`(?m)^ *(tenantId|clientId|refreshTokenVault|serviceConnection(?:Id)?): [^$\n]`), "$1"},
	{regexp.MustCompile(`AZDO_PAT_SERVICE_CONNECTION_ID: [^$\n]`), "connection"},
	{regexp.MustCompile(`AZDO_PAT_TENANT_ID: [^$\n]`), "tenant"},
	{regexp.MustCompile(`AZDO_PAT_CLIENT_ID: [^$\n]`), "client id"},
	{regexp.MustCompile(`AZDO_PAT_REFRESH_TOKEN_VAULT: [^$\n]`), "vault"},
	{regexp.MustCompile(`\b(?:vars|secrets)\.(\w+)`), "$1"},
	{regexp.MustCompile(`"(\d{4,})"`), "$1"},
	{regexp.MustCompile(`@sha256:(\d{4})`), "$1"},
	{regexp.MustCompile(`ALLOWED: ([\d ]+\d)`), "$1"},
	{regexp.MustCompile(`pkgs\.dev\.azure\.com/contoso/(\w+)/_packaging`), "$1"},
	{regexp.MustCompile(`_packaging/(\w+)/`), "$1"},
	{regexp.MustCompile(`dev\.azure\.com/contoso/([a-z]+)/_`), "$1"},
}

// comments separates the comments of a YAML file from the rest of it.
func comments(text string) (said, rest string) {
	for line := range strings.Lines(text) {
		code, comment, _ := strings.Cut(" "+line, " #")
		rest += strings.TrimPrefix(code, " ") + "\n"
		said += comment
	}
	return said, rest
}

// Who copies an example finds each placeholder named in a comment, every other action at a
// commit with its version, and no permission but those that the jobs name.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/github/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../examples/github/azdo-pat/action.yml", "../../examples/azure-pipelines/publish.yml", "../../examples/azure-pipelines/rotate.yml")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		said, rest := comments(text)
		name := filepath.Base(file)
		if strings.HasPrefix(text, "# Do not copy this.") {
			continue
		}
		for _, p := range placeholders {
			for _, m := range p.found.FindAllStringSubmatch(rest, -1) {
				want := p.named
				if want == "$1" {
					want = m[1]
				}
				if !strings.Contains(said, want) {
					t.Errorf("%s: no comment names %s", name, want)
				}
			}
		}
		for _, m := range regexp.MustCompile(`(?m)uses: (\S+)(.*)$`).FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(m[1], "OWNER/azdo-pat@") && !regexp.MustCompile(`@[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(m[1]+m[2]) {
				t.Errorf("%s: %s is not at a commit, with the version behind it", name, m[1])
			}
		}
		var w struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				TimeoutMinutes int `yaml:"timeout-minutes"`
				Permissions    map[string]string
				Steps          []struct{ Uses string }
			}
		}
		if err := yaml.Unmarshal(content, &w); err != nil {
			t.Fatal(err)
		}
		if len(w.Jobs) > 0 && (w.Permissions == nil || len(w.Permissions) > 0) {
			t.Errorf("%s: the workflow has permissions of its own: %v", name, w.Permissions)
		}
		for id, job := range w.Jobs {
			var needed []string
			mints := regexp.MustCompile(`azdo-pat rotate`).MatchString(rest)
			for _, s := range job.Steps {
				mints = mints || strings.HasPrefix(s.Uses, "OWNER/azdo-pat@")
				if strings.HasPrefix(s.Uses, "actions/checkout@") {
					needed = append(needed, "contents")
				}
			}
			if mints {
				needed = append(needed, "id-token")
			}
			var has []string
			for permission := range job.Permissions {
				has = append(has, permission)
			}
			slices.Sort(has)
			slices.Sort(needed)
			if !slices.Equal(has, needed) {
				t.Errorf("%s: the job %s has the permissions %q, and needs %q", name, id, has, needed)
			}
			if job.TimeoutMinutes == 0 {
				t.Errorf("%s: the job %s has no timeout-minutes", name, id)
			}
		}
	}
}
