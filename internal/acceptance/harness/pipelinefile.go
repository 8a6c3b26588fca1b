package harness

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/pipelinesagent"
)

// pipelineFile is as much of a pipeline as the examples and the templates use.
// Any other field is an error.
type pipelineFile struct {
	Resources any               `yaml:"resources"`
	Variables map[string]string `yaml:"variables"`
	Steps     []pipelineStep    `yaml:"steps"`
	Jobs      []pipelineFileJob `yaml:"jobs"`
	Stages    []struct {
		Stage     string            `yaml:"stage"`
		DependsOn string            `yaml:"dependsOn"`
		Jobs      []pipelineFileJob `yaml:"jobs"`
	} `yaml:"stages"`
}

type pipelineFileJob struct {
	Job       string         `yaml:"job"`
	Pool      any            `yaml:"pool"`
	Container string         `yaml:"container"`
	Timeout   int            `yaml:"timeoutInMinutes"`
	DependsOn string         `yaml:"dependsOn"`
	Steps     []pipelineStep `yaml:"steps"`
}

type pipelineStep struct {
	Bash        string            `yaml:"bash"`
	Task        string            `yaml:"task"`
	Inputs      map[string]string `yaml:"inputs"`
	Name        string            `yaml:"name"`
	DisplayName string            `yaml:"displayName"`
	Condition   string            `yaml:"condition"`
	Env         map[string]string `yaml:"env"`
	Target      *struct {
		Commands          string    `yaml:"commands"`
		SettableVariables yaml.Node `yaml:"settableVariables"`
	} `yaml:"target"`

	Checkout string `yaml:"checkout"` // it does nothing here
	Publish  string `yaml:"publish"`
	Download string `yaml:"download"`
	Artifact string `yaml:"artifact"`
}

// target returns the restrictions of the step.
func (s pipelineStep) target() (t pipelinesagent.Target) {
	if s.Target == nil {
		return t
	}
	t.Restricted = s.Target.Commands == "restricted"
	switch variables := s.Target.SettableVariables; variables.Kind {
	case yaml.ScalarNode:
		t.Limited = variables.Value == "none"
	case yaml.SequenceNode:
		t.Limited = true
		for _, n := range variables.Content {
			t.Settable = append(t.Settable, n.Value)
		}
	}
	return t
}

// PlayedStep is a step that ran.
type PlayedStep struct {
	pipelineStep
	Record *pipelinesagent.Record
	Active int // PATs after it
}

// programSum returns the checksum of the tested program, as a release publishes it.
var programSum = sync.OnceValues(func() (sum string, err error) {
	program, err := Program()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(program)
	return fmt.Sprintf("%x", sha256.Sum256(text)), err
})

// PlayPipeline runs a pipeline, whose PATH has curl, docker, npm and the given programs,
// and returns the steps that ran. It downloads the tested program from a release
// page, which has a tampered one too.
func PlayPipeline(t *testing.T, e *emulator.Emulator, text string, programs ...string) []PlayedStep {
	t.Helper()
	bin, page := t.TempDir(), t.TempDir()
	LinkTo(t, bin, append(programs, "curl", "docker", "npm")...)
	sum, err := programSum()
	if err != nil {
		t.Fatal(err)
	}
	file := "azdo-pat-" + runtime.GOOS + "-" + runtime.GOARCH
	sums := fmt.Sprintf("%064d  azdo-pat-plan9-arm\n%s  %s\n%064d  %s.sbom\n", 0, sum, file, 1, file)
	LinkTo(t, page, "azdo-pat")
	if err := os.Rename(filepath.Join(page, "azdo-pat"), filepath.Join(page, file)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(page, "tampered"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"SHA256SUMS": sums, "tampered/SHA256SUMS": sums, "tampered/" + file: "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(page, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	release := httptest.NewServer(http.FileServer(http.Dir(page)))
	defer release.Close()
	expanded, err := pipelinesagent.Expand(".", text)
	if err != nil {
		t.Fatal(err)
	}
	flat, err := yaml.Marshal(expanded)
	if err != nil {
		t.Fatal(err)
	}
	flat = []byte(strings.NewReplacer(
		"https://github.com/OWNER/azdo-pat/releases/download/v1.2.3", release.URL,
		strings.Repeat("1", 64), fmt.Sprintf("%x", sha256.Sum256([]byte(sums))),
		"https://dev.azure.com", e.URL(emulator.AzureDevOps), DocumentedVault, e.SecretURL(),
	).Replace(string(flat)))
	var p pipelineFile
	decoder := yaml.NewDecoder(bytes.NewReader(flat))
	decoder.KnownFields(true)
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("%v in\n%s", err, flat)
	}
	if p.Steps != nil {
		p.Jobs = append(p.Jobs, pipelineFileJob{Job: "Job", Steps: p.Steps})
	}
	for _, stage := range p.Stages {
		p.Jobs = append(p.Jobs, stage.Jobs...)
	}
	var played []PlayedStep
	artifacts := t.TempDir()
	for i, job := range p.Jobs {
		played = append(played, playJob(t, e, p.Variables, job, fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), bin, artifacts)...)
	}
	return played
}

// DocumentedVault is the secret's URL in the documents, for which tests put the
// emulator's.
const DocumentedVault = "https://contoso.vault.azure.net/secrets/azdo-refresh-token"

func playJob(t *testing.T, e *emulator.Emulator, variables map[string]string, job pipelineFileJob, id, bin, artifacts string) []PlayedStep {
	t.Helper()
	started := e.StartPipelinesJob(emulator.PipelinesJob{JobID: id})
	all := map[string]string{"AZDO_PAT_AUTHORITY_HOST": e.URL(emulator.Entra), "AZDO_PAT_TOKEN_SERVICE_URL": e.URL(emulator.AzureDevOps)}
	for name, value := range e.PipelinesJobEnv(started, emulator.AgentUser) {
		if !strings.HasPrefix(name, "AZDO_PAT_") && name != "SYSTEM_ACCESSTOKEN" {
			all[name] = value
		}
	}
	maps.Copy(all, variables)
	all["Build.ArtifactStagingDirectory"], all["Pipeline.Workspace"] = t.TempDir(), artifacts
	if job.Container != "" { // since agent 5.279
		all["DOCKER_HOST"] = "unix:///nowhere"
	}
	a, err := pipelinesagent.NewJob(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	a.SetSecret("System.AccessToken", started.AccessToken)
	a.SetSecret("azdoRefreshToken", e.Settings(emulator.RefreshToken)["refresh-token"])

	// Azure DevOps looks for tasks that name the service connection when the run begins.
	named := slices.ContainsFunc(job.Steps, func(s pipelineStep) bool { return s.Inputs["azureSubscription"] == "azdo-pat" })
	e.Change(func(w *emulator.State) { w.ServiceConnections[0].Unreferenced = !named })

	machine := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	var played []PlayedStep
	for _, s := range job.Steps {
		step := pipelinesagent.Step{Name: s.Name, Script: s.Bash, Env: s.Env, Condition: s.Condition, Target: s.target()}
		runs, err := a.Runs(step)
		if err != nil {
			t.Fatalf("%s: %v", s.DisplayName, err)
		}
		if !runs {
			continue
		}
		if s.Publish != "" { // every job of these pipelines downloads all of them
			if err := os.CopyFS(filepath.Join(artifacts, s.Artifact), os.DirFS(a.Expand(s.Publish))); err != nil {
				t.Fatal(err)
			}
		}
		if s.Checkout+s.Publish+s.Download != "" {
			continue
		}
		if s.Task != "" {
			t.Fatalf("the task %s is not supported", s.Task)
		}
		record, output, err := a.Run(t.Context(), step, machine...)
		if err != nil {
			t.Fatalf("%s: %v", s.DisplayName, err)
		}
		noCredential(t, e, a, record, output)
		played = append(played, PlayedStep{s, record, len(e.Active())})
	}
	if left, _ := filepath.Glob(filepath.Join(a.TempDirectory(), "azdo-pat-*-*")); len(left) > 0 {
		t.Errorf("left at the end of the job: %q", left)
	}
	if err := a.End(); err != nil {
		t.Error(err)
	}
	return played
}

// noCredential fails the test if the log or the job's folder shows a credential.
// Only the commands that mask it and hand it over, and the files of the setting configure,
// may have it.
func noCredential(t *testing.T, e *emulator.Emulator, a *pipelinesagent.Job, record *pipelinesagent.Record, output string) {
	t.Helper()
	for _, s := range e.Secrets() {
		if Contains(record.Text(), s) {
			t.Errorf("the log shows a credential:\n%s", record.Text())
		}
		if Contains(WithoutMasks(output), s) {
			t.Errorf("a line holds a credential:\n%s", output)
		}
		err := filepath.WalkDir(a.TempDirectory(), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(path) == "azdo-pat" || d.Type()&fs.ModeSymlink != 0 || strings.HasPrefix(filepath.Base(filepath.Dir(path)), "azdo-pat-") {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), s) {
				t.Errorf("%s holds a credential", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// CodeBlock returns the first code block in that language that contains a text,
// from a Markdown file.
func CodeBlock(t *testing.T, file, language, containing string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], containing) {
			return m[1]
		}
	}
	t.Fatalf("%s has no code block with %q", file, containing)
	return ""
}
