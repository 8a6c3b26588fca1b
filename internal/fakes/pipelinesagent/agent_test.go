package pipelinesagent

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newJob(t *testing.T, variables map[string]string) *Job {
	t.Helper()
	j, err := NewJob(t.TempDir(), variables)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// An agent that recognises no commands would prove nothing.
func TestParseLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Command{
		"##vso[task.complete]":                                     {"task", "complete", nil, ""},
		"x ##vso[Task.SetVariable variable=A;]b ]##c":              {"task", "setvariable", map[string]string{"variable": "A"}, "b ]##c"},
		"##vso[a.b c=1=2;D=%5D%3B%0A%AZP25;e=;=f;g]%0D%AZP250A%5D": {"a", "b", map[string]string{"c": "1=2", "d": "];\n%"}, "\r%0A]"},
		"##vso[a.b]##vso[c.d]e":                                    {"a", "b", nil, "##vso[c.d]e"},
	} {
		got, ok := ParseLine(line)
		if !ok || got.Area != want.Area || got.Event != want.Event || got.Data != want.Data || !maps.Equal(got.Properties, want.Properties) {
			t.Errorf("%q: %+v, %v, want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{"", "##vso", "##vso[a.b", "##vso[a]b", "##vso[a.b.c]d", "##VSO[a.b]", "# #vso[a.b]c", "##[error]x", "##vso[]x"} {
		if c, ok := ParseLine(line); ok {
			t.Errorf("%q is the command %+v", line, c)
		}
	}
}

// The effect of each command, line by line.
func TestRead(t *testing.T) {
	t.Parallel()
	j := newJob(t, map[string]string{"Build.BuildId": "7"})
	file := filepath.Join(j.TempDirectory(), "a.md")
	if err := os.WriteFile(file, []byte("# a"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := j.Read("pat", strings.Join([]string{
		"s3cret before", "##vso[task.setsecret]s3cret", "s3cret after czNjcmV0", "##[group]x",
		"##vso[task.setvariable variable=token;issecret=true;isoutput=true]t0ken", "a t0ken",
		"##vso[task.setvariable variable=id;isoutput=true]1", "##vso[task.setvariable variable=plain.name]p",
		"##vso[task.logissue type=warning]one%0Atwo s3cret", "##vso[task.uploadsummary]" + file,
		"##vso[task.complete result=SucceededWithIssues;]done", "##vso[nothing.x]y", "x ##vso y", "##vso[build.addbuildtag]z",
	}, "\r\n"))
	want := `s3cret before
*** after czNjcmV0
##[group]x
a ***
##[warning]one
two ***
##[warning]unknown area nothing
x ##vso y
##[warning]'##vso' is in the line, which is no command: x ##vso y
`
	if r.Text() != want || r.Result != SucceededWithIssues || fmt.Sprint(r.Summaries) != "[# a]" || len(r.Issues) != 3 || r.Lines[2].Format != "group" || r.Lines[0].Format != "" {
		t.Errorf("%+v\n%s\nwant\n%s", r, r.Text(), want)
	}
	if got := j.Outputs("pat"); !maps.Equal(got, map[string]string{"token": "t0ken", "id": "1"}) {
		t.Errorf("outputs %v", got)
	}
	env := j.Environment(map[string]string{"PAT": " $(pat.TOKEN) ", "A": "$(nope)$(build.buildid)$("})
	delete(env, "AGENT_TEMPDIRECTORY")
	if want := map[string]string{"TF_BUILD": "True", "BUILD_BUILDID": "7", "PAT_ID": "1", "PLAIN_NAME": "p", "PAT": "t0ken", "A": "$(nope)7$("}; !maps.Equal(env, want) {
		t.Errorf("the environment is %v, want %v", env, want)
	}
	if value, secret, ok := j.Variable("PAT.token"); value != "t0ken" || !secret || !ok {
		t.Errorf("%q, %v, %v", value, secret, ok)
	}
	// A variable that was secret stays secret.
	j.Read("", "##vso[task.setvariable variable=mine;issecret=true]one\n##vso[task.setvariable variable=mine]two\n")
	if _, secret, _ := j.Variable("mine"); !secret || j.Mask("two") != "***" {
		t.Error("a secret became public")
	}
	if j.Result() != SucceededWithIssues {
		t.Error(j.Result())
	}
}

// Commands that the agent refuses fail the step.
func TestRefusedCommands(t *testing.T) {
	t.Parallel()
	for _, output := range []string{
		"##vso[task.setvariable]x", "##vso[task.nonsense]x", "##vso[task.uploadsummary]/nowhere/x", "##vso[task.uploadsummary]", "##vso[task.complete result=failed]",
		"##vso[task.complete]", "##vso[task.logissue type=notice]x", "##vso[task.setvariable variable=a;issecret=true]b%0Ac",
		"##vso[task.setvariable variable=a;isreadonly=true]b\n##vso[task.setvariable variable=A]c",
		"##vso[task.setvariable variable=a;isoutput=true]b\n##vso[task.setvariable variable=pat.a]c",
	} {
		if r := newJob(t, nil).Read("pat", output); r.Result != Failed || len(r.Issues) != 1 {
			t.Errorf("%q: %+v", output, r)
		}
	}
	if r := newJob(t, nil).Read("", "##vso[task.setvariable variable=a;isoutput=true]b"); r.Result != Failed {
		t.Errorf("an output of a step without a name: %+v", r)
	}
	if r := newJob(t, nil).Read("", "##vso[task.logissue]x\n##vso[task.debug]y\n"); r.Result != Succeeded || len(r.Issues) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	j := newJob(t, nil)
	j.SetSecret("System.AccessToken", `a"b/ c`)
	j.Read("", "##vso[task.setsecret]bcd%0Aefg\n##vso[task.setsecret]\n##vso[task.setsecret]xyz\n##vso[task.setsecret]yzw\n")
	for text, want := range map[string]string{
		`-a"b/ c-`: "-***-", `-a\"b/ c-`: "-***-", "-a%22b%2F%20c-": "-***-", "bcd": "bcd", "-xyzw-xyzyzw": "-***-***", "": "",
	} {
		if got := j.Mask(text); got != want || j.Masked(text) != (got != text) {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if env := j.Environment(nil); env["SYSTEM_ACCESSTOKEN"] != "" {
		t.Error("a secret is in the environment")
	}
}

// Steps run as the task runs them, their turn decided by their conditions.
func TestSteps(t *testing.T) {
	t.Parallel()
	j := newJob(t, nil)
	var ran []string
	for _, s := range []Step{
		{Name: "one", Script: "echo $A $(b) $TF_BUILD >&2; echo '##vso[task.setvariable variable=b;isoutput=true]c'", Env: map[string]string{"A": "a"}},
		{Name: "two", Script: "echo $(one.b); exit 3"},
		{Name: "three", Script: "echo never"},
		{Name: "four", Script: "echo never", Condition: "false"},
		{Name: "five", Script: "echo always", Condition: "always()"},
	} {
		runs, err := j.Runs(s)
		if err != nil {
			t.Fatal(err)
		}
		if !runs {
			continue
		}
		r, output, err := j.Run(t.Context(), s, "PATH="+os.Getenv("PATH"))
		if err != nil {
			t.Fatal(err)
		}
		ran = append(ran, s.Name, r.Text(), r.Result.String())
		if s.Name == "five" && output != "always\n" {
			t.Errorf("the output is %q", output)
		}
	}
	want := []string{"one", "a $(b) True\n", "Succeeded", "two", "c\n##[error]Bash exited with code '3'.\n", "Failed", "five", "always\n", "Succeeded"}
	// bash takes an unknown macro for a command, which fails with an error on the same stream.
	if len(ran) != len(want) || ran[3] != want[3] || ran[4] != want[4] || ran[5] != want[5] || ran[6] != want[6] || ran[7] != want[7] || !strings.Contains(ran[1], "b: command not found") {
		t.Errorf("ran %q", ran)
	}
	if _, err := j.Runs(Step{Condition: "eq(1, 1)"}); err == nil {
		t.Error("a condition that is not played")
	}
	if err := j.End(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(j.TempDirectory()); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}
