package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Job is a job on an agent: its variables, its masks and its folder.
type Job struct {
	temp      string
	variables map[string]variable // by name in lower case
	masks     map[string]bool
	result    Result // of the steps so far
}

type variable struct {
	name, value      string
	secret, readOnly bool
}

// A Result is how a step or a job ended, the worse the larger.
type Result int

// The results. The agent knows more, which no script step of ours sets.
const (
	Succeeded Result = iota
	SucceededWithIssues
	Failed
)

// String is the name of a result in task.complete.
func (r Result) String() string { return []string{"Succeeded", "SucceededWithIssues", "Failed"}[r] }

// NewJob begins a job whose folder is below dir. Its variables are given by
// their names, such as "System.JobId".
func NewJob(dir string, variables map[string]string) (*Job, error) {
	temp, err := os.MkdirTemp(dir, "_temp")
	if err != nil {
		return nil, err
	}
	j := &Job{temp: temp, variables: map[string]variable{}, masks: map[string]bool{}}
	j.set(variable{name: "Agent.TempDirectory", value: temp})
	j.set(variable{name: "TF_BUILD", value: "True"})
	for name, value := range variables {
		j.set(variable{name: name, value: value})
	}
	return j, nil
}

// SetSecret defines a secret variable, such as System.AccessToken.
func (j *Job) SetSecret(name, value string) { j.set(variable{name: name, value: value, secret: true}) }

// TempDirectory is AGENT_TEMPDIRECTORY.
func (j *Job) TempDirectory() string { return j.temp }

// Result is how the steps so far ended.
func (j *Job) Result() Result { return j.result }

// End ends the job, as far as its folder is concerned.
func (j *Job) End() error {
	entries, err := os.ReadDir(j.temp)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(j.temp, entry.Name())))
	}
	return err
}

// set keeps a variable. One that was secret or read-only stays so.
func (j *Job) set(v variable) {
	before := j.variables[strings.ToLower(v.name)]
	v.secret = v.secret || before.secret
	v.readOnly = v.readOnly || before.readOnly
	if v.secret {
		j.addMask(v.value)
	}
	j.variables[strings.ToLower(v.name)] = v
}

// Variable is the value of a variable and whether it is secret. An output
// variable is called STEP.NAME.
func (j *Job) Variable(name string) (value string, secret, ok bool) {
	v, ok := j.variables[strings.ToLower(name)]
	return v.value, v.secret, ok
}

// Expand replaces $(NAME) where a variable has that name, once, and leaves it as
// it is elsewhere.
func (j *Job) Expand(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$(")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, ")")
		if v, ok := j.variables[strings.ToLower(name)]; closed && ok {
			b.WriteString(v.value)
			text = after
		} else {
			b.WriteString("$(")
			text = rest
		}
	}
}

// Environment is what a script step sees of the variables: those that are not
// secret, and those that it maps.
func (j *Job) Environment(mapped map[string]string) map[string]string {
	env := map[string]string{}
	for _, v := range j.variables {
		if !v.secret {
			env[strings.ToUpper(strings.NewReplacer(".", "_", " ", "_").Replace(v.name))] = v.value
		}
	}
	for name, value := range mapped {
		env[name] = j.Expand(strings.TrimSpace(value))
	}
	return env
}

// A Line is a line of a log as a person sees it. Its format is that of
// ##[FORMAT] at its start.
type Line struct{ Text, Format string }

// An Issue is a warning or an error that the page of the run shows.
type Issue struct{ Type, Text string }

// A Record is what the agent keeps of a step.
type Record struct {
	Lines     []Line
	Issues    []Issue
	Commands  []Command
	Summaries []string // the files that were uploaded, as they were then
	Result    Result
}

// Text is what a person sees, line by line.
func (r *Record) Text() string {
	var b strings.Builder
	for _, line := range r.Lines {
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}

// newlines are what ends a line for the agent, a lone carriage return too.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Read reads what a step of that name wrote, on both streams, and does what its
// commands say.
func (j *Job) Read(step, output string) *Record {
	r := &Record{}
	for raw := range strings.Lines(newlines.Replace(output)) {
		raw = strings.TrimSuffix(raw, "\n")
		c, ok := ParseLine(raw)
		if !ok {
			r.show(j.Mask(raw))
			if strings.Contains(raw, "##vso") {
				r.issue(j, "warning", "'##vso' is in the line, which is no command: "+raw)
			}
			continue
		}
		r.Commands = append(r.Commands, c)
		if err := j.do(r, step, c); err != nil {
			r.issue(j, "error", "Unable to process command '"+raw+"' successfully: "+err.Error())
			r.Result = Failed
		}
	}
	j.result = max(j.result, r.Result)
	return r
}

func (r *Record) show(text string) {
	line := Line{Text: text}
	if rest, ok := strings.CutPrefix(text, "##["); ok {
		line.Format, _, _ = strings.Cut(rest, "]")
	}
	r.Lines = append(r.Lines, line)
}

// issue keeps an issue and shows it in the log, in as many lines as it has.
func (r *Record) issue(j *Job, kind, text string) {
	text = j.Mask(text)
	r.Issues = append(r.Issues, Issue{kind, text})
	for i, line := range strings.Split(text, "\n") {
		if i == 0 {
			line = "##[" + kind + "]" + line
		}
		r.show(line)
	}
}

// areas are those that a script may address; what they do is not played here.
var areas = []string{"artifact", "build", "codecoverage", "release", "results", "telemetry"}

// passive are the events of the area task that change nothing that is played
// here.
var passive = []string{"debug", "logdetail", "setprogress", "addattachment", "uploadfile", "settaskvariable", "prependpath", "setendpoint"}

// do does what a command says.
func (j *Job) do(r *Record, step string, c Command) error {
	switch {
	case slices.Contains(areas, c.Area):
		return nil
	case c.Area != "task":
		r.issue(j, "warning", "no area "+c.Area)
		return nil
	}
	switch c.Event {
	case "setsecret":
		j.addMask(c.Data)
	case "setvariable":
		return j.setVariable(step, c)
	case "logissue", "issue":
		switch kind := strings.ToLower(c.Properties["type"]); kind {
		case "warning", "error":
			r.issue(j, kind, c.Data)
		case "":
			r.issue(j, "warning", "Can't create an issue without a type")
		default:
			return errors.New("issue type " + kind)
		}
	case "complete":
		for result := Succeeded; result <= Failed; result++ {
			if c.Properties["result"] == result.String() {
				r.Result = max(r.Result, result)
				return nil
			}
		}
		return fmt.Errorf("result %q", c.Properties["result"])
	case "uploadsummary":
		text, err := os.ReadFile(c.Data)
		if err != nil {
			return err
		}
		r.Summaries = append(r.Summaries, string(text))
	default:
		if !slices.Contains(passive, c.Event) {
			return errors.New("no event " + c.Event)
		}
	}
	return nil
}

// setVariable keeps a variable; an output of the step under the step's name, read
// only.
func (j *Job) setVariable(step string, c Command) error {
	name := c.Properties["variable"]
	if name == "" {
		return errors.New("the property variable is missing")
	}
	is := func(property string) bool { return strings.EqualFold(c.Properties[property], "true") }
	if j.variables[strings.ToLower(name)].readOnly {
		return errors.New(name + " is read-only")
	}
	if is("issecret") {
		if strings.Contains(c.Data, "\n") {
			return errors.New("a secret of more than one line")
		}
		j.addMask(escape(c.Data))
	}
	v := variable{name: name, value: c.Data, secret: is("issecret"), readOnly: is("isreadonly")}
	if is("isoutput") {
		if step == "" {
			return errors.New("the step has no name")
		}
		v.name, v.readOnly = step+"."+name, true
	}
	j.set(v)
	return nil
}

// Outputs are the output variables of a step, by name.
func (j *Job) Outputs(step string) map[string]string {
	outputs := map[string]string{}
	for _, v := range j.variables {
		if name, ok := strings.CutPrefix(v.name, step+"."); ok {
			outputs[name] = v.value
		}
	}
	return outputs
}
