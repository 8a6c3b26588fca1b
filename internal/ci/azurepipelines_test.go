package ci

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/fakes/pipelinesagent"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// jobVariables are those of a step in Azure Pipelines that tell where it runs.
var jobVariables = map[string]string{
	"TF_BUILD": "True", "BUILD_BUILDID": "4711", "SYSTEM_COLLECTIONID": "c0", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/contoso/",
	"SYSTEM_TEAMPROJECT": "demo", "SYSTEM_TEAMPROJECTID": "d0", "SYSTEM_PLANID": "p0", "SYSTEM_JOBID": agentJob, "SYSTEM_JOBNAME": "Job",
	"SYSTEM_JOBATTEMPT": "1", "SYSTEM_PHASEATTEMPT": "1", "SYSTEM_STAGEATTEMPT": "1",
}

const agentJob = "12f1170f-54f2-53f3-20dd-22fc7dff55f9"

// pipelineStep is a step in Azure Pipelines and what it writes.
type pipelineStep struct {
	*AzurePipelines
	stdout, stderr bytes.Buffer
	temp           string
}

func newPipelineStep(t testing.TB, json bool, variables ...string) *pipelineStep {
	t.Helper()
	s := &pipelineStep{temp: t.TempDir()}
	env := map[string]string{"AGENT_TEMPDIRECTORY": s.temp}
	for name, value := range jobVariables {
		env[name] = value
	}
	for i := 0; i < len(variables); i += 2 {
		env[variables[i]] = variables[i+1]
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	p, ok := Detect(Options{LookupEnv: lookup, Stdout: &s.stdout, Stderr: &s.stderr, Random: strings.NewReader("randomness"), JSON: json}).(*AzurePipelines)
	if !ok {
		t.Fatal("not Azure Pipelines")
	}
	s.AzurePipelines = p
	return s
}

func TestDetectAzurePipelines(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"True": true, "true": true, "TRUE": true, "": false, "1": false, "False": false} {
		for _, github := range []string{"", "true"} {
			lookup := func(name string) (string, bool) {
				v := map[string]string{"TF_BUILD": value, "GITHUB_ACTIONS": github}[name]
				return v, v != ""
			}
			_, got := Detect(Options{LookupEnv: lookup}).(*AzurePipelines)
			if got != (want && github == "") {
				t.Errorf("TF_BUILD=%q GITHUB_ACTIONS=%q: Azure Pipelines is %v", value, github, got)
			}
		}
	}
}

// A mask is a command on a line of its own, escaped as the agent undoes it.
func TestPipelinesMask(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		newPAT:                    newPAT,
		"100%;a]b %0A":            "100%AZP25;a]b %AZP250A",
		"##vso[a.b]c":             "##vso[a.b]c",
		"abcd\r\nefghi\n\n jklm ": "abcd%0D%0Aefghi%0A%0A jklm \n##vso[task.setsecret]abcd\n##vso[task.setsecret]efghi\n##vso[task.setsecret]jklm",
	} {
		s := newPipelineStep(t, false)
		if err := errors.Join(s.Mask(secret.New(text)), s.Mask(secret.New(text))); err != nil {
			t.Fatal(err)
		}
		if got := s.stdout.String(); got != "##vso[task.setsecret]"+want+"\n" {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		s.Log().Infof("x %s x", text)
		if got := s.stdout.String(); !strings.HasSuffix(got, "\nx *** x\n") {
			t.Errorf("%q: then said %q", text, got)
		}
		job, err := pipelinesagent.NewJob(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		job.Read("", s.stdout.String())
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
			if got := job.Mask(strings.TrimSpace(line)); got != "***" {
				t.Errorf("%q: the agent shows %q", text, got)
			}
		}
	}
	s := newPipelineStep(t, true)
	if err := errors.Join(s.Mask(secret.Value{}), MaskPAT(s, secret.New(oldPAT))); err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, form := range []string{oldPAT, base64.StdEncoding.EncodeToString([]byte(oldPAT)), base64.StdEncoding.EncodeToString([]byte(":" + oldPAT))} {
		want += "##vso[task.setsecret]" + form + "\n"
	}
	if s.stderr.String() != want || s.stdout.Len() > 0 {
		t.Errorf("standard error %q, want %q; standard output %q", s.stderr.String(), want, s.stdout.String())
	}
}

// The outputs, to the byte, and the PAT last.
func TestPipelinesOutputs(t *testing.T) {
	t.Parallel()
	r := minted
	r.DisplayName = "azdo-pat 100% ;a]b 0123456789abcdef"
	want := `##vso[task.setvariable variable=authorizationId;isoutput=true]4ab5764f-4193-4f1d-b995-64144880b7d7
##vso[task.setvariable variable=expiresAt;isoutput=true]2026-11-02T13:00:00Z
##vso[task.setvariable variable=displayName;isoutput=true]azdo-pat 100%AZP25 ;a]b 0123456789abcdef
##vso[task.setvariable variable=scopes;isoutput=true]vso.code vso.packaging_write
##vso[task.setvariable variable=tokenType;isoutput=true]pat
##vso[task.setvariable variable=token;issecret=true;isoutput=true]` + newPAT + "\n"
	s := newPipelineStep(t, false)
	if err := errors.Join(s.Prepare(s.Origin("")), s.HandOver(r)); err != nil || s.stdout.String() != want {
		t.Errorf("%v, %q, want %q", err, s.stdout.String(), want)
	}
	job, err := pipelinesagent.NewJob(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	job.Read("pat", s.stdout.String())
	if got := job.Outputs("pat"); len(got) != 6 || got["token"] != newPAT || got["displayName"] != r.DisplayName {
		t.Errorf("the agent read %q", got)
	}
	// In JSON the outputs go where the log goes, and standard output is the object.
	s = newPipelineStep(t, true)
	if err := s.HandOver(minted); err != nil || !strings.HasSuffix(s.stderr.String(), "isoutput=true]"+newPAT+"\n") {
		t.Errorf("%v, standard error %q", err, s.stderr.String())
	}
	object(t, s.stdout.String())
	// A value with a line break, and a log that cannot be written.
	for _, name := range []string{"a\nb", "a\rb", "a\x00b"} {
		s, r := newPipelineStep(t, false), minted
		r.DisplayName = name
		if err := s.HandOver(r); !errors.Is(err, ErrMultiline) || !strings.HasPrefix(err.Error(), "output displayName: ") || s.stdout.Len() > 0 {
			t.Errorf("%q: %v, %q", name, err, s.stdout.String())
		}
	}
	s = newPipelineStep(t, true)
	s.stream = struct{ io.Writer }{&failing{}} // without its WriteString
	if err := errors.Join(s.HandOver(minted), s.Mask(secret.New(newPAT))); err == nil || s.stdout.Len() > 0 || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v, %q", err, s.stdout.String())
	}
	// It is masked when it could be written, though it was tried before.
	s.stream = &s.stderr
	if err := s.Mask(secret.New(newPAT)); err != nil || s.stderr.String() != "##vso[task.setsecret]"+newPAT+"\n" {
		t.Errorf("%v, %q", err, s.stderr.String())
	}
}

func TestPipelinesLog(t *testing.T) {
	t.Parallel()
	s := newPipelineStep(t, false, "SYSTEM_DEBUG", "True")
	log := s.Log()
	end := log.Group("a group\nof ##[group]")
	log.Infof("one\ntwo ##vso[task.complete]%s", "")
	log.Debugf("three\nfour")
	end()
	log.Notice("refresh token", "dies\nsoon")
	log.Warning("clock is off", "by 50%\r\nor so; ##vso[a.b]")
	log.Error("azdo-pat mint failed", hint.Add(errors.New("no ]"), "do this"))
	log.Warning("long", strings.Repeat("x", 5000))
	s.SucceedWithIssues()
	want := `##[group]a group of # #[group]
one
two # #vso[task.complete]
##[debug]three
##[debug]four
##[endgroup]
refresh token: dies
soon
##vso[task.logissue type=warning]clock is off: by 50%AZP25 %0Aor so; # #vso[a.b]
##vso[task.logissue type=error]azdo-pat mint failed: no ]%0Ado this
long: ` + strings.Repeat("x", 5000) + `
##vso[task.logissue type=warning]long: ` + strings.Repeat("x", 4000-len("long: ")) + `… (cut: the lines of the log before this one have all of it)
##vso[task.complete result=SucceededWithIssues;]
`
	if got := s.stdout.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for variable, want := range map[[2]string]bool{{"SYSTEM_DEBUG", "true"}: true, {"RUNNER_DEBUG", "1"}: true, {"SYSTEM_DEBUG", "false"}: false, {"SYSTEM_DEBUG", ""}: false} {
		s := newPipelineStep(t, false, variable[:]...)
		s.Log().Debugf("x")
		if got := s.stdout.String() == "##[debug]x\n"; got != want {
			t.Errorf("%v: debug lines are %v", variable, got)
		}
	}
}

// The agent would replace a macro in an output when the next step begins.
func TestPipelinesMacroInOutput(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Result{
		"authorizationId": {AuthorizationID: "$(System.AccessToken)"},
		"displayName":     {DisplayName: "azdo-pat a $(x) b"},
		"scopes":          {Scopes: []string{"vso.code", "$(x)"}},
		"token":           {Token: secret.New("$(System.AccessToken)")},
	} {
		s := newPipelineStep(t, false)
		want := "output " + name + ": a value with a macro, $(…), cannot be handed over"
		if err := s.HandOver(r); err == nil || err.Error() != want || s.stdout.Len() > 0 {
			t.Errorf("%v, want %s; standard output %q", err, want, s.stdout.String())
		}
	}
	got := newPipelineStep(t, false, "SYSTEM_TEAMPROJECT", "run$(a)").Origin("x $(System.AccessToken) $$(").DisplayName()
	if want := "azdo-pat contoso/run$-(a) build 4711.1 Job x $-(System.AccessToken) $$-( "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever a caller names a PAT, the next step reads the outputs as they were
// handed over.
func FuzzPipelinesOutputs(f *testing.F) {
	for _, seed := range append(githubrunner.HostileText, "$(System.AccessToken)", "$\u200b(pat.token)", "$(System.Acc$(x)essToken)", "a%AZP25]b;%0D", "$"+sanitize.OutputDelimiter+"(x)") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, label string) {
		s := newPipelineStep(t, false)
		r := minted
		r.DisplayName = s.Origin(label).DisplayName()
		if err := s.HandOver(r); err != nil {
			t.Fatalf("%q: %v", label, err)
		}
		job, err := pipelinesagent.NewJob(t.TempDir(), map[string]string{"x": "y"})
		if err != nil {
			t.Fatal(err)
		}
		job.SetSecret("System.AccessToken", "j0b-t0ken")
		record := job.Read("pat", s.stdout.String())
		if len(record.Commands) != 6 || len(record.Issues) > 0 {
			t.Fatalf("%q: %+v", label, record)
		}
		got := job.Outputs("pat")
		if _, secret, _ := job.Variable("pat.displayName"); secret || got["displayName"] != r.DisplayName || got["token"] != newPAT || len(got) != 6 {
			t.Errorf("%q: the agent read %q, want the name %q", label, got, r.DisplayName)
		}
	})
}

// Whatever is said, the agent sees no command that is not ours.
func FuzzPipelinesLog(f *testing.F) {
	for _, seed := range githubrunner.HostileText {
		f.Add(seed, seed)
	}
	f.Add("%5D%0A##vso[task.complete result=Failed]", "]##vso[a.b]\n##vso[a.b]")
	f.Fuzz(func(t *testing.T, title, text string) {
		s := newPipelineStep(t, false, "SYSTEM_DEBUG", "true")
		log := s.Log()
		log.Group(title)()
		log.Infof("%s", text)
		log.Debugf("%s", text)
		log.Notice(title, text)
		log.Warning(title, text)
		log.Error(title, errors.New(text))
		job, err := pipelinesagent.NewJob(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := job.Read("", s.stdout.String())
		if len(r.Commands) != 2 || len(r.Issues) != 2 || r.Issues[0].Type != "warning" || r.Issues[1].Type != "error" || r.Result != pipelinesagent.Succeeded {
			t.Errorf("%q, %q gave %+v in\n%s", title, text, r, s.stdout.String())
		}
		for _, issue := range r.Issues {
			if vso(issue.Text) {
				t.Errorf("%q, %q gave the issue %q", title, text, issue.Text)
			}
		}
	})
}

func TestPipelinesOrigin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		label, want string
		variables   []string
	}{
		{"", "contoso/demo build 4711.1 Job", nil},
		{" two\n words ", "contoso/demo build 4711.1 Job two words", nil},
		{"", "contoso/demo build 4711.1 Job", []string{"SYSTEM_COLLECTIONURI", "https://contoso.visualstudio.com/"}},
		{"", "DefaultCollection/demo build 4711.1 Job", []string{"SYSTEM_COLLECTIONURI", "https://tfs.example/tfs/DefaultCollection"}},
		{"", "demo build 4711.1 Job", []string{"SYSTEM_COLLECTIONURI", ""}},
		{"", "demo build 4711.1 Job", []string{"SYSTEM_COLLECTIONURI", "%"}},
		{"", "contoso/my-project build 4711.2 a b", []string{"SYSTEM_TEAMPROJECT", "my project", "SYSTEM_JOBNAME", "a  b", "SYSTEM_JOBATTEMPT", "2"}},
	} {
		got := newPipelineStep(t, false, tc.variables...).Origin(tc.label)
		if got.Source != tc.want || !got.Derived || !nameForm.MatchString(got.DisplayName()) {
			t.Errorf("%v %q: %+v, want %q", tc.variables, tc.label, got, tc.want)
		}
	}
	if got := newPipelineStep(t, false, "SYSTEM_JOBID", "").Origin(""); got.Derived || got.Key != "72616e646f6d6e65" {
		t.Errorf("without a job id: %+v", got)
	}
}

// Each input of the key, changed alone, changes the key. Other variables do not: another
// step of the same job must compute the same name.
func TestPipelinesKey(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, variable := range []string{"", "SYSTEM_JOBID", "SYSTEM_JOBATTEMPT", "SYSTEM_PHASEATTEMPT", "SYSTEM_STAGEATTEMPT",
		"BUILD_BUILDID", "SYSTEM_PLANID", "SYSTEM_COLLECTIONID", "SYSTEM_TEAMPROJECTID"} {
		key := newPipelineStep(t, false, variable, "9").Origin("").Key
		if other, again := seen[key]; again {
			t.Errorf("another %s has the key of another %s", variable, other)
		}
		seen[key] = variable
	}
	first := newPipelineStep(t, false)
	if other, again := seen[first.Origin("a").Key]; again {
		t.Errorf("another label has the key of another %s", other)
	}
	later := newPipelineStep(t, true, "SYSTEM_DEBUG", "True", "AGENT_TEMPDIRECTORY", "", "SYSTEM_ACCESSTOKEN", "x", "SYSTEM_TASKINSTANCEID", "9")
	if a, b := first.Origin("a"), later.Origin("a"); a != b {
		t.Errorf("first %+v, later %+v", a, b)
	}
}

// A variable that the pipeline does not define arrives as its macro.
func TestPipelinesMacros(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"$(System.AccessToken)": "", " $(x) ": "", "$()": "", "x": "x", "$(a)b": "$(a)b", "a$(b)": "a$(b)", "$(a)$(b)": "$(a)$(b)", "$x": "$x",
	} {
		s := newPipelineStep(t, false, "SYSTEM_ACCESSTOKEN", value)
		if got, ok := s.LookupEnv("SYSTEM_ACCESSTOKEN"); got != want || ok != (want != "") || s.Provider().Token.Reveal() != want {
			t.Errorf("%q is read as %q, %v", value, got, ok)
		}
	}
}

// The summary is a file that is there until the job ends, and a command that
// names it.
func TestPipelinesSummary(t *testing.T) {
	t.Parallel()
	s := newPipelineStep(t, false)
	if err := errors.Join(s.Mask(secret.New(newPAT)), s.Summary("# one "+newPAT), s.Summary("two")); err != nil {
		t.Fatal(err)
	}
	job, err := pipelinesagent.NewJob(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := job.Read("", s.stdout.String()); fmt.Sprint(r.Summaries) != "[# one *** two]" || r.Result != pipelinesagent.Succeeded {
		t.Errorf("%+v", r)
	}
	files, err := filepath.Glob(filepath.Join(s.temp, "azdo-pat-*.md"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, dir := range []string{"", filepath.Join(s.temp, "nowhere")} {
		s := newPipelineStep(t, false, "AGENT_TEMPDIRECTORY", dir)
		if err := s.Summary("x"); err != nil || s.stdout.Len() > 0 {
			t.Errorf("%q: %v, %q", dir, err, s.stdout.String())
		}
	}
	s = newPipelineStep(t, false, "AGENT_TEMPDIRECTORY", files[0])
	if err := s.Summary("x"); err == nil || errors.Is(err, fs.ErrNotExist) || s.stdout.Len() > 0 {
		t.Errorf("a file for a folder: %v, %q", err, s.stdout.String())
	}
}

// With the log on the null device, the agent would see neither masks nor outputs.
func TestPipelinesPrepare(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s := newPipelineStep(t, false)
	s.stream = null
	if err := s.Prepare(s.Origin("")); err == nil || !strings.Contains(err.Error(), "null device") {
		t.Error(err)
	}
}

// Guards against a project whose name makes a lease look like one of another's
// GitHub run, which sweep would ask GitHub about.
func TestPipelineLooksLikeNoRun(t *testing.T) {
	t.Parallel()
	o := newPipelineStep(t, false, "SYSTEM_TEAMPROJECT", "tools run 5.1 x").Origin("")
	n := displayname.Parse(o.DisplayName())
	if n.Kind != displayname.Lease || n.RunID != "" || n.Repository != "" {
		t.Errorf("%q is %+v", o.DisplayName(), n)
	}
}
