package ci

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// job is what tells one job's step from another.
var job = map[string]string{
	"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "octo/tools", "GITHUB_RUN_ID": "4711", "GITHUB_RUN_ATTEMPT": "1",
	"GITHUB_JOB": "build", "GITHUB_ACTION": "__octo_azdo-pat",
	"ACTIONS_ID_TOKEN_REQUEST_URL": "https://pipelines.example/oidc?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "eyJ0eXAi.cmVxdWVzdC1vbmU.c2ln",
}

// step is a step of a job with command files of its own.
type step struct {
	*GitHub
	env            map[string]string
	stdout, stderr bytes.Buffer
}

func (s *step) lookup(name string) (string, bool) { v, ok := s.env[name]; return v, ok }

// file reads a command file.
func (s *step) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(s.env[name])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// newStep starts a step. Further variables are name and value in turn.
func newStep(t testing.TB, json bool, variables ...string) *step {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for _, name := range []string{outputFile, stateFile, summaryFile} {
		path := filepath.Join(dir, strings.ToLower(name))
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, name, path)
	}
	return newBareStep(json, append(files, variables...)...)
}

// newBareStep is newStep without command files.
func newBareStep(json bool, variables ...string) *step {
	s := &step{env: maps.Clone(job)}
	for i := 0; i < len(variables); i += 2 {
		s.env[variables[i]] = variables[i+1]
	}
	s.GitHub = NewGitHub(Options{LookupEnv: s.lookup, Stdout: &s.stdout, Stderr: &s.stderr, Random: strings.NewReader("randomness"), JSON: json})
	return s
}

// newTerminal starts the program where there is no CI system.
func newTerminal(json bool, variables map[string]string) (p *Terminal, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return NewTerminal(Options{
		LookupEnv: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
		Stdout:    stdout, Stderr: stderr, Random: strings.NewReader("randomness"), Host: "build-7", JSON: json,
	}), stdout, stderr
}

// A PAT of each generation.
const (
	newPAT = "9zXc0BNm1qWe2Rty3Uio4Pas5Dfg6Hjk7Lzx8Cvb9Nmq0Wer1Tyu2Iop3Asd4Fgh5Jkl6Zxc7Vbn" + "AZDO" + "4x1Z"
	oldPAT = "dip55dwf4vpitomw63jzvomefmi2jluguprzwwqwuc6xq4fhocwq"
)

func TestDetect(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"true": true, "": false, "false": false, "1": false, "TRUE": false} {
		lookup := func(name string) (string, bool) { return value, name == "GITHUB_ACTIONS" && value != "" }
		p := Detect(Options{LookupEnv: lookup, Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer)})
		if _, ok := p.(*GitHub); ok != want {
			t.Errorf("GITHUB_ACTIONS=%q: %T", value, p)
		}
	}
}

func TestProvider(t *testing.T) {
	t.Parallel()
	got := newStep(t, false).Provider()
	if got.URL != job["ACTIONS_ID_TOKEN_REQUEST_URL"] || got.Token.Reveal() != job["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] || got.Unavailable != nil {
		t.Errorf("URL %q, token of %d bytes", got.URL, len(got.Token.Reveal()))
	}
	if got := newStep(t, false, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "").Provider(); got.Unavailable == nil {
		t.Error("an assertion without a request token")
	}
}
