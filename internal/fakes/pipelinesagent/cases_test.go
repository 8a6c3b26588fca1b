package pipelinesagent

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
)

// cases are from the test suites of the agent and of its task library.
type cases struct {
	Commands []struct {
		From, Line, Data string
		OK               bool
		Props            map[string]string
	}
	Environment         [][2]string
	Definitions, Expand []struct {
		From, Text string
		Given      map[string]string
		Want       json.RawMessage
	}
	Masks []struct {
		From  string
		Masks []string
		Shown map[string]string
	}
}

func readCases(t *testing.T) (c cases) {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Commands) == 0 || len(c.Environment) == 0 || len(c.Definitions) == 0 || len(c.Expand) == 0 || len(c.Masks) == 0 {
		t.Fatal("cases are missing")
	}
	return c
}

func want[T any](t *testing.T, raw json.RawMessage) (v T) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCommandCases(t *testing.T) {
	t.Parallel()
	for _, c := range readCases(t).Commands {
		got, ok := ParseLine(c.Line)
		if ok != c.OK || got.Data != c.Data || !maps.Equal(got.Properties, c.Props) || ok && (got.Area != "area" || got.Event != "event") {
			t.Errorf("%s: %q: %+v, %v, want %+v", c.From, c.Line, got, ok, c)
		}
	}
}

func TestVariableCases(t *testing.T) {
	t.Parallel()
	all := readCases(t)
	for _, c := range all.Environment {
		j := newJob(t, map[string]string{c[0]: "x"})
		if env := j.Environment(nil); env[c[1]] != "x" {
			t.Errorf("%q is not %s in the environment: %q", c[0], c[1], env)
		}
	}
	for _, c := range all.Definitions {
		j := newJob(t, c.Given)
		for name, want := range want[map[string]string](t, c.Want) {
			if got, secret, ok := j.Variable(name); got != want || secret || !ok {
				t.Errorf("%s: %s is %q, want %q", c.From, name, got, want)
			}
		}
	}
	for _, c := range all.Expand {
		// Set by a step, so that they are not expanded yet.
		j := newJob(t, nil)
		for name, value := range c.Given {
			j.set(variable{name: name, value: value})
		}
		if got, want := j.Expand(c.Text), want[string](t, c.Want); got != want {
			t.Errorf("%s: %q becomes %q, want %q", c.From, c.Text, got, want)
		}
	}
}

func TestMaskCases(t *testing.T) {
	t.Parallel()
	for _, c := range readCases(t).Masks {
		j := newJob(t, nil)
		for _, mask := range c.Masks {
			j.Read("", "##vso[task.setsecret]"+escape(mask))
		}
		for text, want := range c.Shown {
			if got := j.Mask(text); got != want {
				t.Errorf("%s: %q: %q becomes %q, want %q", c.From, c.Masks, text, got, want)
			}
		}
	}
}

// A variable made from a secret is secret too, and variables that a step sets are
// expanded when the next step begins.
func TestExpandedVariables(t *testing.T) {
	t.Parallel()
	j := newJob(t, map[string]string{"one": "a $(two) $(none)", "two": "b $(Three)", "four": "$(four)$(x)", "five": "5"})
	j.SetSecret("three", "s3cret")
	for name, want := range map[string]string{"one": "a b s3cret $(none)", "two": "b s3cret", "three": "s3cret"} {
		if got, secret, _ := j.Variable(name); got != want || !secret || j.Mask(got) != "***" {
			t.Errorf("%s is %q, secret: %v, shown %q", name, got, secret, j.Mask(got))
		}
	}
	env := j.Environment(map[string]string{"MAPPED": "$(one)"})
	if env["ONE"]+env["TWO"]+env["THREE"] != "" || env["FIVE"] != "5" || env["MAPPED"] != "a b s3cret $(none)" {
		t.Errorf("the environment is %q", env)
	}
	r := j.Read("pat", "##vso[task.setvariable variable=six;isoutput=true]$(three) $(five)\n##vso[task.setvariable variable=$(]$()\n")
	if len(r.Issues) != 1 || r.Issues[0] != (Issue{"warning", "the variable four: it refers to itself"}) {
		t.Errorf("%+v", r.Issues)
	}
	if got, secret, _ := j.Variable("pat.six"); got != "s3cret 5" || !secret {
		t.Errorf("six is %q, secret: %v", got, secret)
	}
	if got := j.Environment(nil); got["PAT_SIX"] != "" || got["FOUR"] != "$(four)$(x)" {
		t.Errorf("the environment is %q", got)
	}

	// The value of a macro does not form another macro with the text after it.
	j = newJob(t, map[string]string{"open": "$(", "five": "5", "both": "$(open)five)"})
	if got, _, _ := j.Variable("both"); got != "$(five)" || j.Expand("$(open)five)") != "$(five)" {
		t.Errorf("%q, %q", got, j.Expand("$(open)five)"))
	}

	// Macros nest fifty deep.
	deep := map[string]string{"v51": "end"}
	for i := range 51 {
		deep[fmt.Sprint("v", i)] = fmt.Sprintf("$(v%d)", i+1)
	}
	j = newJob(t, deep)
	for name, want := range map[string]string{"v0": "$(v1)", "v1": "$(v2)", "v2": "end", "v50": "end"} {
		if got, _, _ := j.Variable(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// A variable of a step can have the name of another in the environment.
func TestNamesInTheEnvironment(t *testing.T) {
	t.Parallel()
	j := newJob(t, map[string]string{"System.JobId": "1"})
	j.Read("", "##vso[task.setvariable variable=system_jobid]2\n##vso[task.setvariable variable=My.Name;preservecase=true]3")
	if env := j.Environment(nil); env["SYSTEM_JOBID"] != "2" || env["My_Name"] != "3" || env["MY_NAME"] != "" {
		t.Errorf("%q", env)
	}
}

// The agent masks more forms of a secret that the pipeline defines than of one that a
// step sets.
func TestMasksOfDefinitions(t *testing.T) {
	t.Parallel()
	const value = "'5% of\nit '"
	forms := map[string]string{
		"as it is": value, "trimmed": "5% of\nit ", "percent": "'5%AZP25 of%0Ait '", "lines": "'5% of%0Ait '",
		"lines, trimmed": "5% of%0Ait ", "base64": "JzUlIG9mCml0ICc=",
	}
	j := newJob(t, nil)
	j.SetSecret("x", value)
	for name, form := range forms {
		if got := j.Mask("<" + form + ">"); got != "<***>" {
			t.Errorf("%s: %q becomes %q", name, form, got)
		}
	}
	j = newJob(t, nil)
	j.Read("", "##vso[task.setsecret]"+escape(value))
	for name, form := range forms {
		if j.Masked(form) != (name == "as it is") {
			t.Errorf("set by a step, %s: %q becomes %q", name, form, j.Mask(form))
		}
	}
	j = newJob(t, nil)
	j.SetSecret("blank", " \n")
	j.SetSecret("spaces", " pad ")
	for text, want := range map[string]string{"a  \n b": "a  \n b", "<pad>": "<***>", "https://a:b@c.d https://e:f@g": "https://a:***@c.d https://e:***@g"} {
		if got := j.Mask(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// Passwords in URLs, as far as the suite of the agent goes beyond the cases.
func TestPasswordsInURLs(t *testing.T) {
	t.Parallel()
	j := newJob(t, nil)
	long := strings.Repeat("o", 200)
	for text, want := range map[string]string{
		"https://username123:password@example.com":          "https://username123:***@example.com",
		"https://l" + long + "ng:passw" + long + "rd@x.y":   "https://l" + long + "ng:***@x.y",
		"https://user%AZP2510%AZP25A3:password123@x.y":      "https://user%AZP2510%AZP25A3:***@x.y",
		"https://u:50%25@x.y https://u:50%2@x.y":            "https://u:***@x.y https://u:50%2@x.y",
		"https://u:a:b@x.y":                                 "https://u:***@x.y",
		"https://u:a%AZP2541b@x.y":                          "https://u:***@x.y",
		"https://ü:pässwört@x.y \U0001F511 https://u:p@x.y": "https://ü:***@x.y \U0001F511 https://u:***@x.y",
		"https://u:p/x@y":                                   "https://u:p/x@y",
		"https://u?a:p@x":                                   "https://u?a:p@x",
		"// a comment: b@c":                                 "// a comment: b@c",
		"https://:p@x.y":                                    "https://:p@x.y",
	} {
		if got := j.Mask(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
