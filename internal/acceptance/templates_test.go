package acceptance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// A pipeline as far as the examples and the templates use one. What else stands
// in it is an error.
type pipelineFile struct {
	Resources any               `yaml:"resources"`
	Variables map[string]string `yaml:"variables"`
	Steps     []pipelineStep    `yaml:"steps"`
	Jobs      []pipelineFileJob `yaml:"jobs"`
}

type pipelineFileJob struct {
	Job       string         `yaml:"job"`
	Pool      any            `yaml:"pool"`
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
}

// playedStep is a step that ran, and how many PATs were active after it.
type playedStep struct {
	pipelineStep
	record *pipelinesagent.Record
	active int
}

// theRelease is the checksum of the program that is tested.
var theRelease = sync.OnceValues(func() (sum string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(self)
	return fmt.Sprintf("%x", sha256.Sum256(text)), err
})

// play runs a pipeline: what it needs from the machine, and from the release page
// or the registry, is in bin. It returns the steps that ran.
func play(t *testing.T, e *emulator.Emulator, text string, programs ...string) []playedStep {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, page := t.TempDir(), t.TempDir()
	for _, name := range append(programs, "curl", "docker") {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := theRelease()
	if err != nil {
		t.Fatal(err)
	}
	file := "azdo-pat-" + runtime.GOOS + "-" + runtime.GOARCH
	sums := fmt.Sprintf("%064d  azdo-pat-plan9-arm\n%s  %s\n%064d  %s.sbom\n", 0, sum, file, 1, file)
	if err := os.Symlink(self, filepath.Join(page, file)); err != nil {
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
	text = strings.NewReplacer(
		"https://github.com/OWNER/azdo-pat/releases/download/v1.2.3", release.URL,
		strings.Repeat("1", 64), fmt.Sprintf("%x", sha256.Sum256([]byte(sums))),
		"https://dev.azure.com", e.URL(emulator.AzureDevOps),
	).Replace(text)

	expanded, err := pipelinesagent.Expand(".", text)
	if err != nil {
		t.Fatal(err)
	}
	flat, err := yaml.Marshal(expanded)
	if err != nil {
		t.Fatal(err)
	}
	var p pipelineFile
	decoder := yaml.NewDecoder(bytes.NewReader(flat))
	decoder.KnownFields(true)
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("%v in\n%s", err, flat)
	}
	if p.Steps != nil {
		p.Jobs = append(p.Jobs, pipelineFileJob{Job: "Job", Steps: p.Steps})
	}
	var played []playedStep
	for i, job := range p.Jobs {
		played = append(played, playJob(t, e, p.Variables, job, fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), bin)...)
	}
	return played
}

func playJob(t *testing.T, e *emulator.Emulator, variables map[string]string, job pipelineFileJob, id, bin string) []playedStep {
	t.Helper()
	started := e.StartPipelinesJob(emulator.PipelinesJob{JobID: id})
	all := map[string]string{"AZDO_PAT_AUTHORITY_HOST": e.URL(emulator.Entra), "AZDO_PAT_TOKEN_SERVICE_URL": e.URL(emulator.AzureDevOps)}
	for name, value := range e.PipelinesJobEnv(started, emulator.AgentUser) {
		if !strings.HasPrefix(name, "AZDO_PAT_") && name != "SYSTEM_ACCESSTOKEN" {
			all[name] = value
		}
	}
	for name, value := range variables {
		all[name] = value
	}
	a, err := pipelinesagent.NewJob(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	a.SetSecret("System.AccessToken", started.AccessToken)
	a.SetSecret("azdoRefreshToken", e.Settings(emulator.RefreshToken)["refresh-token"])

	// Azure DevOps looks at the tasks when the run begins.
	named := slices.ContainsFunc(job.Steps, func(s pipelineStep) bool { return s.Inputs["azureSubscription"] == "azdo-pat" })
	e.Change(func(w *emulator.State) { w.ServiceConnections[0].Unreferenced = !named })

	machine := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	var played []playedStep
	for _, s := range job.Steps {
		step := pipelinesagent.Step{Name: s.Name, Script: s.Bash, Env: s.Env, Condition: s.Condition}
		runs, err := a.Runs(step)
		if err != nil {
			t.Fatalf("%s: %v", s.DisplayName, err)
		}
		if !runs {
			continue
		}
		if s.Task != "" {
			t.Fatalf("the task %s is not played", s.Task)
		}
		record, output, err := a.Run(t.Context(), step, machine...)
		if err != nil {
			t.Fatalf("%s: %v", s.DisplayName, err)
		}
		unseen(t, e, a, record, output)
		played = append(played, playedStep{s, record, len(e.Active())})
	}
	if err := a.End(); err != nil {
		t.Error(err)
	}
	return played
}

// unseen fails the test if a person could see a PAT in the log, or find one in the
// job's folder: it stands in the commands that mask it and hand it over, and
// nowhere else.
func unseen(t *testing.T, e *emulator.Emulator, a *pipelinesagent.Job, record *pipelinesagent.Record, output string) {
	t.Helper()
	for _, s := range e.Secrets() {
		for _, form := range forms(s) {
			if strings.Contains(record.Text(), form) {
				t.Errorf("the log shows a credential:\n%s", record.Text())
			}
			if strings.Contains(unmasked.ReplaceAllString(output, ""), form) {
				t.Errorf("a line holds a credential:\n%s", output)
			}
		}
		err := filepath.WalkDir(a.TempDirectory(), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(path) == "azdo-pat" || d.Type()&fs.ModeSymlink != 0 {
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

// want compares the steps that ran, with the results and the PATs that there are
// after each.
func want(t *testing.T, played []playedStep, steps ...string) {
	t.Helper()
	var got []string
	for _, s := range played {
		got = append(got, fmt.Sprintf("%s: %v, %d", s.DisplayName, s.record.Result, s.active))
	}
	if !slices.Equal(got, steps) {
		t.Errorf("ran %q, want %q", got, steps)
		for _, s := range played {
			t.Logf("%s:\n%s", s.DisplayName, s.record.Text())
		}
	}
}

// examples are the blocks of a language in a document, by what stands in the first
// that has it.
func example(t *testing.T, file, language, having string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], having) {
			return m[1]
		}
	}
	t.Fatalf("%s has no example with %q", file, having)
	return ""
}

const templatesReadme = "examples/azure-pipelines/README.md"

// The example of the steps template, as it stands there: the PAT is usable in the
// caller's step, and revoked in the last one.
func TestStepsTemplate(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	played := play(t, e, example(t, templatesReadme, "yaml", "steps.yml@"))
	want(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
	if r := played[len(played)-1].record; len(r.Summaries) != 1 || len(r.Issues) != 0 {
		t.Errorf("%+v", r)
	}
	if n := len(e.Requests(emulator.OpConnectionData)); n != 1 {
		t.Errorf("the PAT was used %d times", n)
	}
}

// The example of the jobs template: each job has a PAT of its own, and an image
// brings the program.
func TestJobsTemplate(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	want(t, play(t, e, example(t, templatesReadme, "yaml", "jobs.yml@")),
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0",
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", ": Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
	names := map[string]bool{}
	for _, p := range e.PATs() {
		names[p.Name] = true
	}
	if len(names) != 2 {
		t.Errorf("the PATs are named %v", names)
	}
}

// The PAT is revoked whatever became of the steps in between, and nothing is
// passed: not even where the steps emptied the job's folder of all but the
// program.
func TestStepsTemplateRevokesAlways(t *testing.T) {
	t.Parallel()
	text := example(t, templatesReadme, "yaml", "steps.yml@")
	use := regexp.MustCompile(`(?m)^      - bash: curl.*$`)
	for script, result := range map[string]string{
		"exit 3":                         "Failed",
		"rm -f $AGENT_TEMPDIRECTORY/*.*": "Succeeded",
		`test ${#MY_PAT} = 84 && test -z "${SYSTEM_ACCESSTOKEN-}"`: "Succeeded",
	} {
		e := emulator.Start(t)
		played := play(t, e, use.ReplaceAllLiteralString(text, "      - bash: '"+script+"'"))
		want(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: "+result+", 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
		if n := len(e.PATs()); n != 1 {
			t.Errorf("%s: %d PATs were made", script, n)
		}
	}
}

// Every step can set variables of the steps after it by a line that it prints, and
// they win over what a step maps. They do not lead the program elsewhere: neither
// which one is run, nor which PAT it revokes, nor to which host it speaks.
func TestStepsTemplateIsNotLed(t *testing.T) {
	t.Parallel()
	text := example(t, templatesReadme, "yaml", "steps.yml@")
	use := regexp.MustCompile(`(?m)^      - bash: curl.*$`)
	for _, tc := range []struct {
		variable, value string
		result          string // of the step that revokes
		left            int
	}{
		{"azdo_pat_program", "", "Succeeded", 0},
		{"azdo_pat_program", "/bin/true", "Succeeded", 0},
		{"AZDO_PAT_NAME", "other", "Succeeded", 0},
		{"AZDO_PAT_ORGANIZATION", "other", "Succeeded", 0},
		{"AZDO_PAT_AUTHORIZATION_ID", "11111111-2222-4333-8444-555555555555", "Succeeded", 0},
		{"AZDO_PAT_SKIP_REVOKE", "true", "Succeeded", 0},
		{"AZDO_PAT_AUTHORITY_HOST", "https://127.0.0.1:9", "Failed", 1},
		{"AZURE_AUTHORITY_HOST", "https://127.0.0.1:9", "Succeeded", 0},
		{"AZDO_PAT_TOKEN_SERVICE_URL", "https://127.0.0.1:9", "Failed", 1},
		{"SYSTEM_OIDCREQUESTURI", "https://127.0.0.1:9/", "Failed", 1},
		{"GITHUB_ACTIONS", "true", "Failed", 1},
		{"TF_BUILD", "false", "Failed", 1},
	} {
		t.Run(tc.variable+"="+tc.value, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			line := "##vso[task.setvariable variable=" + tc.variable + "]" + tc.value
			played := play(t, e, use.ReplaceAllLiteralString(text, "      - bash: 'echo \""+line+"\"'"))
			want(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1",
				fmt.Sprintf("Revoke the Azure DevOps PAT: %s, %d", tc.result, tc.left))
		})
	}
	// Nor does one that fetches, in a later use in the same job.
	for variable, value := range map[string]string{"RELEASE": "http://127.0.0.1:9", "SHA256SUMS": strings.Repeat("0", 64), "IMAGE": "evil"} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			line := "##vso[task.setvariable variable=" + variable + "]" + value
			first := strings.Replace(text, "  steps:\n  - template", "  steps:\n  - bash: 'echo \""+line+"\"'\n    displayName: Print\n  - template", 1)
			want(t, play(t, e, first), "Print: Succeeded, 0", "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
		})
	}
}

// A program that is gone is a failure, and not a reason to do nothing.
func TestStepsTemplateWithoutTheProgram(t *testing.T) {
	t.Parallel()
	text := example(t, templatesReadme, "yaml", "steps.yml@")
	use := regexp.MustCompile(`(?m)^      - bash: curl.*$`)
	for _, script := range []string{"rm -r $AGENT_TEMPDIRECTORY/azdo-pat", "chmod -x $AGENT_TEMPDIRECTORY/azdo-pat/azdo-pat"} {
		e := emulator.Start(t)
		played := play(t, e, use.ReplaceAllLiteralString(text, "      - bash: '"+script+"'"))
		want(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Failed, 1")
		if text := played[len(played)-1].record.Text(); !strings.Contains(text, "azdo-pat is not where it was put") {
			t.Error(text)
		}
	}
}

// A quote in a parameter does not end the text that it stands in.
func TestStepsTemplateQuotes(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	text := strings.Replace(example(t, templatesReadme, "yaml", "steps.yml@"), "organization: contoso", `organization: "con'; exit 0; 'toso"`, 1)
	played := play(t, e, text)
	want(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Failed, 0", "Revoke the Azure DevOps PAT: Failed, 0")
}

// Two uses in one job, one inside the other, each with its own PAT.
func TestStepsTemplateTwice(t *testing.T) {
	t.Parallel()
	text := example(t, templatesReadme, "yaml", "steps.yml@")
	begin, end := strings.Index(text, "  - template:"), len(text)
	first := text[begin:end]
	second := strings.Replace(first, "variable: MY_PAT", "variable: MY_PAT\n      name: other", 1)
	e := emulator.Start(t)
	want(t, play(t, e, text[:begin]+first+second),
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0",
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
	if pats := e.PATs(); len(pats) != 2 || !strings.Contains(pats[0].Name, " pat ") || !strings.Contains(pats[1].Name, " other ") {
		t.Errorf("%d PATs", len(pats))
	}
}

// A program that is not the one that was asked for is not run.
func TestTemplatesCheckTheProgram(t *testing.T) {
	t.Parallel()
	text := example(t, templatesReadme, "yaml", "steps.yml@")
	for name, change := range map[string][2]string{
		"other checksums":  {strings.Repeat("1", 64), strings.Repeat("3", 64)},
		"no checksums":     {"sha256sums: " + strings.Repeat("1", 64), "sha256sums: ''"},
		"another page":     {"download/v1.2.3", "download/v1.2.3/nowhere"},
		"another program":  {"download/v1.2.3", "download/v1.2.3/tampered"},
		"image by its tag": {"release: https://github.com/OWNER/azdo-pat/releases/download/v1.2.3", "image: ghcr.io/OWNER/azdo-pat:v1"},
	} {
		e := emulator.Start(t)
		played := play(t, e, strings.Replace(text, change[0], change[1], 1))
		want(t, played, "Fetch azdo-pat: Failed, 0", "Revoke the Azure DevOps PAT: Failed, 0")
		if len(played) == 2 && !strings.Contains(played[1].record.Text(), "azdo-pat is not where it was put") {
			t.Errorf("%s: %s", name, played[1].record.Text())
		}
		if n := len(e.Requests()); n != 0 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// What one template takes, the other takes too, and hands on.
func TestTemplatesHaveTheSameParameters(t *testing.T) {
	t.Parallel()
	type template struct {
		Parameters []struct{ Name, Type, Default any }
	}
	read := func(name string) (list []string, text string) {
		b, err := os.ReadFile("examples/azure-pipelines/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var v template
		if err := yaml.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		for _, p := range v.Parameters {
			if p.Name != "steps" && p.Name != "jobs" {
				list = append(list, fmt.Sprint(p))
			}
		}
		return list, string(b)
	}
	steps, _ := read("steps.yml")
	jobs, text := read("jobs.yml")
	if !slices.Equal(steps, jobs) || len(steps) < 15 {
		t.Errorf("steps.yml takes %q, jobs.yml %q", steps, jobs)
	}
	for _, p := range jobs {
		name, _, _ := strings.Cut(strings.TrimPrefix(p, "{"), " ")
		if !strings.Contains(text, "        "+name+": ${{ parameters."+name+" }}\n") {
			t.Errorf("jobs.yml does not hand on %s", name)
		}
	}
}

// Without a task that names the service connection there is no token.
func TestServiceConnectionMustBeNamed(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	text := strings.Replace(example(t, templatesReadme, "yaml", "steps.yml@"), "serviceConnection: azdo-pat", "serviceConnection: ''", 1)
	played := play(t, e, text)
	want(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Failed, 0", "Revoke the Azure DevOps PAT: Failed, 0")
	if len(played) == 3 && !strings.Contains(played[1].record.Text(), "a task of this stage must name the service connection") {
		t.Error(played[1].record.Text())
	}
}

// The pipeline of the README, which uses no template.
func TestReadmePipeline(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	want(t, play(t, e, example(t, "README.md", "yaml", "azdo-pat revoke"), "azdo-pat"),
		"Mint: Succeeded, 1", "Use: Succeeded, 1", "Revoke: Succeeded, 0")
}

// standIn plays a program of the machine that scripts in the docs use, as far as
// they do, so that no other machine is asked.
func standIn(name string, args []string) {
	fail := func(status int, err error) {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(status)
	}
	if name == "docker" {
		self, err := os.Executable()
		switch {
		case err != nil:
		case len(args) == 2 && args[0] == "create":
			fmt.Println("c0ffee")
		case len(args) == 3 && args[0] == "cp" && args[1] == "c0ffee:/azdo-pat":
			_ = os.Remove(args[2])
			err = os.Symlink(self, args[2])
		case len(args) == 2 && args[0] == "rm" && args[1] == "c0ffee":
		default:
			err = fmt.Errorf("%q is not played", args)
		}
		if err != nil {
			fail(1, err)
		}
		os.Exit(0)
	}
	var out io.WriteCloser = os.Stdout
	var user *url.Userinfo
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--fail", "--silent", "--show-error", "--location":
		case "--output":
			i++
			f, err := os.Create(args[i])
			if err != nil {
				fail(23, err)
			}
			out = f
		case "--user":
			i++
			before, after, _ := strings.Cut(args[i], ":")
			user = url.UserPassword(before, after)
		default:
			u, err := url.Parse(args[i])
			if err != nil || strings.HasPrefix(args[i], "-") || u.Hostname() != "127.0.0.1" {
				fail(2, fmt.Errorf("%q is not played", args[i]))
			}
			u.User = user
			resp, err := http.Get(u.String())
			if err != nil {
				fail(7, err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				fail(22, fmt.Errorf("answered %s", resp.Status))
			}
			if _, err := io.Copy(out, resp.Body); err != nil {
				fail(18, err)
			}
			if err := out.Close(); err != nil {
				fail(23, err)
			}
		}
	}
	os.Exit(0)
}
