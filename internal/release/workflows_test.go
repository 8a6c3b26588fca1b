package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is the part of a workflow that the rules are about.
type workflow struct {
	On          yaml.Node           `yaml:"on"`
	Permissions map[string]string   `yaml:"permissions"`
	Defaults    struct{ Run shell } `yaml:"defaults"`
	Env         map[string]string   `yaml:"env"`
	Jobs        map[string]job      `yaml:"jobs"`
}

type shell struct{ Shell string }

type job struct {
	Uses        string            `yaml:"uses"`
	Permissions map[string]string `yaml:"permissions"`
	Timeout     int               `yaml:"timeout-minutes"`
	Environment string            `yaml:"environment"`
	Steps       []step            `yaml:"steps"`
}

type step struct {
	ID   string            `yaml:"id"`
	Name string            `yaml:"name"`
	Uses string            `yaml:"uses"`
	With map[string]string `yaml:"with"`
	Env  map[string]string `yaml:"env"`
	Run  string            `yaml:"run"`
	If   string            `yaml:"if"`
}

// writes is all that any job may do beyond reading, by workflow and job. A job
// that is not here reads.
var writes = map[string]map[string]string{
	"release.yml/image":   {"packages": "write"},
	"release.yml/attest":  {"id-token": "write", "attestations": "write"},
	"release.yml/release": {"contents": "write"},
}

// triggers are the events that start a workflow. None of them gives a stranger's
// code a token that writes, as pull_request_target and workflow_run do.
var triggers = map[string]bool{"push": true, "pull_request": true, "schedule": true, "workflow_dispatch": true}

var (
	usesLine   = regexp.MustCompile(`^\s*(?:- )?uses:\s*(\S+)(.*)$`)
	pinnedUse  = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._/-]+@[0-9a-f]{40}$`)
	versionEnd = regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`)
	// A value that another job worked out.
	jobOutput = regexp.MustCompile(`needs\.[A-Za-z0-9_-]+\.outputs\.([A-Za-z0-9_-]+)`)
	// An address on GitHub or its registry that goes on with a name.
	owner = regexp.MustCompile(`(?:github\.com|ghcr\.io|githubusercontent\.com)/[A-Za-z0-9-]+`)
	// secrets.NAME, secrets['NAME'], toJSON(secrets), secrets: inherit.
	storedSecret = regexp.MustCompile(`(?i)\bsecrets\s*(?:\.\w|\[|\)|:)`)
	// Tools that "go run" and actions fetch are not the owner of this repository.
	tool = regexp.MustCompile(`\b[a-z0-9.-]+(?:/[A-Za-z0-9._-]+)+@v\d+\.\d+\.\d+\b`)
)

// reproduced are the outputs of a job that another job works out again and compares.
var reproduced = map[string]bool{"digest": true, "sums": true}

// broken returns the rules that a workflow breaks.
func broken(file, text string) []string {
	var all []string
	wrong := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		return []string{err.Error()}
	}

	for i, line := range strings.Split(text, "\n") {
		use := usesLine.FindStringSubmatch(line)
		if use == nil || strings.HasPrefix(use[1], "./") {
			continue
		}
		if !pinnedUse.MatchString(use[1]) {
			wrong("line %d: %s is not pinned by a commit", i+1, use[1])
		}
		if !versionEnd.MatchString(use[2]) {
			wrong("line %d: no comment that names the version, such as # v1.2.3", i+1)
		}
	}
	if name := owner.FindString(tool.ReplaceAllString(text, "")); name != "" {
		wrong("%s: an owner is baked in", name)
	}

	events := map[string]yaml.Node{}
	if err := w.On.Decode(&events); err != nil {
		wrong("on: not a mapping")
	}
	for _, event := range slices.Sorted(maps.Keys(events)) {
		if !triggers[event] {
			wrong("on: %s", event)
		}
	}

	if w.Permissions == nil || len(w.Permissions) > 0 {
		wrong("permissions at the top are %v, want {}", w.Permissions)
	}
	if w.Defaults.Run.Shell != "bash" {
		// Named, it is started so that a failure inside a pipe counts.
		wrong("the default shell is %q, want bash", w.Defaults.Run.Shell)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
		j := w.Jobs[name]
		may := writes[file+"/"+name]
		if j.Permissions == nil {
			wrong("%s: no permissions of its own", name)
		}
		for scope, access := range j.Permissions {
			if access != "read" && access != may[scope] {
				wrong("%s: %s: %s", name, scope, access)
			}
		}
		if len(may) > 0 && j.Environment != "release" {
			wrong("%s: writes outside the environment release", name)
		}
		if j.Timeout == 0 {
			wrong("%s: no timeout-minutes", name)
		}
		if j.Uses != "" {
			wrong("%s: is another workflow", name)
		}
		for i, s := range j.Steps {
			// An expression in a script is text that the shell then reads as
			// commands. By the environment it stays text.
			if strings.Contains(s.Run, "${{") {
				wrong("%s, step %d: an expression in a script", name, i+1)
			}
			if strings.Contains(s.Run, "::set-output") || strings.Contains(s.Run, "curl") {
				wrong("%s, step %d: something fetched or an old command", name, i+1)
			}
			if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != "false" {
				wrong("%s, step %d: the token stays in the checkout", name, i+1)
			}
			if strings.HasPrefix(s.Uses, "actions/setup-go@") && s.With["go-version-file"] == "" {
				wrong("%s, step %d: not go.mod's version of Go", name, i+1)
			}
			if file == "release.yml" && strings.HasPrefix(s.Uses, "actions/setup-go@") && s.With["cache"] != "false" {
				wrong("%s, step %d: a cache that other runs write", name, i+1)
			}
		}
	}
	for _, output := range jobOutput.FindAllStringSubmatch(text, -1) {
		if !reproduced[output[1]] {
			wrong("%s: taken from another job without being compared with anything", output[0])
		}
	}
	if storedSecret.MatchString(text) {
		wrong("a stored secret is used")
	}
	return all
}

const workflows = tree + "/.github/workflows/"

func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob(workflows + "*")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	pins := map[string]string{}
	for _, file := range files {
		text := read(t, file)
		for _, rule := range broken(filepath.Base(file), text) {
			t.Errorf("%s: %s", filepath.Base(file), rule)
		}
		// One version of an action, so that an update is not half done.
		for line := range strings.Lines(text) {
			if use := usesLine.FindStringSubmatch(line); use != nil {
				action, pin, _ := strings.Cut(use[1], "@")
				if before := pins[action]; before != "" && before != pin {
					t.Errorf("%s at %s and at %s", action, before, pin)
				}
				pins[action] = pin
			}
		}
	}
	// A comment is not enough to tell what a commit is; every further owner is
	// one more who could change what a release is made by.
	for action := range pins {
		if !strings.HasPrefix(action, "actions/") {
			t.Errorf("%s is not GitHub's own", action)
		}
	}
	for job := range writes {
		file, name, _ := strings.Cut(job, "/")
		var w workflow
		if err := yaml.Unmarshal([]byte(read(t, workflows+file)), &w); err != nil {
			t.Fatal(err)
		}
		if len(w.Jobs[name].Permissions) == 0 {
			t.Errorf("there is no job %s, or it writes nothing", job)
		}
	}
}

// The tools are of the same versions in CI as on a contributor's machine.
func TestToolVersions(t *testing.T) {
	versions := map[string]string{}
	for _, match := range tool.FindAllString(read(t, tree+"/.ci/run"), -1) {
		name, version, _ := strings.Cut(match, "@")
		versions[name] = version
	}
	for _, match := range tool.FindAllString(read(t, workflows+"ci.yml"), -1) {
		name, version, _ := strings.Cut(match, "@")
		if local, ok := versions[name]; ok && local != version {
			t.Errorf("%s: CI has %s, .ci/run %s", name, version, local)
		}
	}
}

// A check that finds nothing proves nothing: each of these must be found.
func TestWorkflowRules(t *testing.T) {
	const good = `on: {push: }
permissions: {}
defaults: {run: {shell: bash}}
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
      - run: echo "$GITHUB_REPOSITORY"
`
	if found := broken("ci.yml", good); len(found) > 0 {
		t.Errorf("a good workflow breaks %q", found)
	}
	for _, bad := range []struct{ old, new, want string }{
		{"@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7.0.1", "not pinned"},
		{"@3d3c42e5aac5ba805825da76410c181273ba90b1", "@3d3c42e", "not pinned"},
		{"actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "docker://alpine:3", "not pinned"},
		{" # v7.0.1", "", "no comment"},
		{" # v7.0.1", " # v7", "no comment"},
		{"push: ", "pull_request_target: ", "on: pull_request_target"},
		{"push: ", "workflow_run: ", "on: workflow_run"},
		{"{push: }", "push", "on: not a mapping"},
		{"permissions: {}\n", "", "permissions at the top"},
		{"permissions: {}\n", "permissions: {contents: write}\n", "permissions at the top"},
		{"permissions: {}\n", "permissions: write-all\n", "cannot unmarshal"},
		{"contents: read", "contents: write", "contents: write"},
		{"contents: read", "id-token: write", "id-token: write"},
		{"    permissions:\n      contents: read\n", "", "no permissions of its own"},
		{"    timeout-minutes: 5\n", "", "no timeout-minutes"},
		{"false", "true", "stays in the checkout"},
		{"$GITHUB_REPOSITORY", "${{ github.event.pull_request.title }}", "expression in a script"},
		{"      - run:", "      - env: {IMAGE: '${{ needs.build.outputs.image }}'}\n        run:", "needs.build.outputs.image: taken from another job"},
		{"$GITHUB_REPOSITORY", "ghcr.io/somebody/azdo-pat", "owner is baked in"},
		{"shell: bash", "shell: sh", "default shell"},
		{"    timeout-minutes", "    secrets: inherit\n    timeout-minutes", "a stored secret"},
		{"      - run:", "      - env: {TOKEN: '${{ secrets.TOKEN }}'}\n        run:", "a stored secret"},
		{"      - run:", "      - env: {TOKEN: \"${{ secrets['TOKEN'] }}\"}\n        run:", "a stored secret"},
		{"      - run:", "      - env: {ALL: '${{ toJSON(secrets) }}'}\n        run:", "a stored secret"},
	} {
		text := strings.Replace(good, bad.old, bad.new, 1)
		if text == good {
			t.Fatalf("%q is not in the workflow", bad.old)
		}
		if found := strings.Join(broken("ci.yml", text), "\n"); !strings.Contains(found, bad.want) {
			t.Errorf("%q: found %q, want %q", bad.new, found, bad.want)
		}
	}
	// Permissions that only the release has, and only in its environment.
	release := strings.NewReplacer("one:", "image:", "contents: read", "packages: write").Replace(good)
	if found := strings.Join(broken("release.yml", release), "\n"); found != "image: writes outside the environment release" {
		t.Errorf("found %q", found)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
