package pipelinesagent

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"azdo-pat/internal/fakes/dotnet"
)

// A Job is a job on an agent: its variables, masks and temporary directory.
type Job struct {
	temp     string
	defined  variables // as they were set
	expanded variables // with macros replaced when the current step began
	warnings []string  // about macros, for the log of the current step
	masker   dotnet.Masker
	result   Result // of the steps so far
}

// A Result is how a step or a job ended; a larger one is worse.
type Result int

// The results that script steps can set. The agent knows more.
const (
	Succeeded Result = iota
	SucceededWithIssues
	Failed
)

// String is the name of a result in task.complete.
func (r Result) String() string { return []string{"Succeeded", "SucceededWithIssues", "Failed"}[r] }

// NewJob starts a job with variables, such as "System.JobId". Its temporary directory is
// below dir.
func NewJob(dir string, given map[string]string) (*Job, error) {
	temp, err := os.MkdirTemp(dir, "_temp")
	if err != nil {
		return nil, err
	}
	j := &Job{temp: temp, defined: variables{}, expanded: variables{}, masker: dotnet.Masker{Encoders: encoders, Regexp: password}}
	j.set(variable{name: "Agent.TempDirectory", value: temp})
	j.set(variable{name: "TF_BUILD", value: "True"})
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if strings.TrimSpace(name) != "" {
			j.set(variable{name: name, value: given[name]})
		}
	}
	j.expandVariables()
	return j, nil
}

// SetSecret defines a secret variable of the job, such as System.AccessToken.
func (j *Job) SetSecret(name, value string) {
	j.addDefined(value)
	j.store(variable{name: name, value: value, secret: true})
	j.expandVariables()
}

// TempDirectory is AGENT_TEMPDIRECTORY.
func (j *Job) TempDirectory() string { return j.temp }

// Result is the worst result of the steps so far.
func (j *Job) Result() Result { return j.result }

// End empties the temporary directory, as the agent does at the end of a job.
func (j *Job) End() error {
	entries, err := os.ReadDir(j.temp)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(j.temp, entry.Name())))
	}
	return err
}

// A Line is a line of a log as a person sees it. Format is that of ##[FORMAT] at its
// start.
type Line struct{ Text, Format string }

// An Issue is a warning or an error that the page of the run shows.
type Issue struct{ Type, Text string }

// A Record is what the agent records about a step.
type Record struct {
	Lines     []Line
	Issues    []Issue
	Commands  []Command
	Summaries []string // the contents of uploaded files, at the time of the upload
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

// Read reads the output of a step, both streams, and executes its commands.
func (j *Job) Read(step, output string) *Record { return j.read(Step{Name: step}, output) }

func (j *Job) read(s Step, output string) *Record {
	r := &Record{}
	for _, warning := range j.warnings {
		r.issue(j, "warning", warning)
	}
	for _, raw := range dotnet.Lines(output) {
		c, ok := ParseLine(raw)
		if !ok {
			r.show(j.Mask(raw))
			if dotnet.Index(dotnet.Units(raw), "##vso", 0) >= 0 {
				r.issue(j, "warning", "'##vso' is in the line, which is no command: "+raw)
			}
			continue
		}
		if !s.Target.allows(c) {
			r.issue(j, "warning", "the command "+c.Area+"."+c.Event+" is not allowed in this step, because of its target")
			continue
		}
		r.Commands = append(r.Commands, c)
		if err := j.execute(r, s.Name, c); err != nil {
			r.issue(j, "error", "Unable to process command '"+raw+"' successfully: "+err.Error())
			r.Result = Failed
		}
	}
	j.result = max(j.result, r.Result)
	j.expandVariables() // for the next step
	return r
}

func (r *Record) show(text string) {
	line := Line{Text: text}
	if rest, ok := strings.CutPrefix(text, "##["); ok {
		line.Format, _, _ = strings.Cut(rest, "]")
	}
	r.Lines = append(r.Lines, line)
}

// issue records an issue and shows its lines in the log.
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

// areas are those that a script may use and that have no effect in this fake.
var areas = []string{"artifact", "build", "codecoverage", "release", "results", "telemetry"}

// passive are the events of the area task that have no effect in this fake.
var passive = []string{"debug", "logdetail", "setprogress", "addattachment", "uploadfile", "settaskvariable", "prependpath", "setendpoint"}

// execute executes a command.
func (j *Job) execute(r *Record, step string, c Command) error {
	switch {
	case slices.Contains(areas, c.Area):
		return nil
	case c.Area != "task":
		r.issue(j, "warning", "unknown area "+c.Area)
		return nil
	}
	switch c.Event {
	case "setsecret":
		j.masker.Add(c.Data)
	case "setvariable":
		return j.setVariable(step, c)
	case "logissue", "issue":
		switch kind := strings.ToLower(c.Properties["type"]); kind {
		case "warning", "error":
			r.issue(j, kind, c.Data)
		case "":
			r.issue(j, "warning", "Can't create an issue without a type")
		default:
			return errors.New("unknown issue type " + kind)
		}
	case "complete":
		for result := Succeeded; result <= Failed; result++ {
			if c.Properties["result"] == result.String() {
				r.Result = max(r.Result, result)
				return nil
			}
		}
		return fmt.Errorf("unknown result %q", c.Properties["result"])
	case "uploadsummary":
		text, err := os.ReadFile(c.Data)
		if err != nil {
			return err
		}
		r.Summaries = append(r.Summaries, string(text))
	default:
		if !slices.Contains(passive, c.Event) {
			return errors.New("unknown event " + c.Event)
		}
	}
	return nil
}

// setVariable sets a variable. An output gets the step's name in front and is read-only.
func (j *Job) setVariable(step string, c Command) error {
	name := c.Properties["variable"]
	if name == "" {
		return errors.New("the property variable is missing")
	}
	is := func(property string) bool { return strings.EqualFold(c.Properties[property], "true") }
	if j.expanded[strings.ToLower(name)].readOnly {
		return errors.New(name + " is read-only")
	}
	if is("issecret") {
		if strings.Contains(c.Data, "\n") {
			return errors.New("a secret of more than one line")
		}
		j.masker.Add(escape(c.Data))
	}
	v := variable{name: name, value: c.Data, secret: is("issecret"), readOnly: is("isreadonly"), preserveCase: is("preservecase")}
	if is("isoutput") {
		if step == "" {
			return errors.New("the step has no name")
		}
		v.name, v.readOnly = step+"."+name, true
	}
	j.set(v)
	return nil
}
