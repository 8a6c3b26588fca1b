package ci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/secret"
)

// GitHub is a step of a GitHub Actions job.
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
type GitHub struct {
	env    func(string) (string, bool)
	action *githubactions.Action
	log    *Log
	masked map[string]bool
	stream io.Writer // where the log and the masks are to go
	json   io.Writer // nil: the result is not wanted on standard output
	random io.Reader
}

// Options of the platforms.
type Options struct {
	LookupEnv func(string) (string, bool)
	Stdout    io.Writer
	Stderr    io.Writer
	Random    io.Reader
	// JSON asks for the result as an object on standard output, and for the
	// log on standard error.
	JSON bool
	// Host is the name of this machine.
	Host string
}

// Detect returns the platform that the program runs on.
func Detect(o Options) Platform {
	if v, _ := o.LookupEnv("GITHUB_ACTIONS"); v == "true" {
		return NewGitHub(o)
	}
	if v, _ := o.LookupEnv("TF_BUILD"); strings.EqualFold(v, "true") {
		return NewAzurePipelines(o)
	}
	return NewTerminal(o)
}

// NewGitHub returns the platform of a GitHub Actions step.
func NewGitHub(o Options) *GitHub {
	g := &GitHub{env: o.LookupEnv, random: o.Random, masked: map[string]bool{}}
	w := o.Stdout
	if o.JSON {
		w, g.json = o.Stderr, o.Stdout
	}
	g.stream = w
	if discards(w) {
		w = o.Stderr // nothing is minted then, and somebody should learn why
	}
	g.action = githubactions.New(githubactions.WithWriter(w), githubactions.WithGetenv(g.get))
	g.log = &Log{write: github{g.action}, debug: g.get("RUNNER_DEBUG") == "1"}
	return g
}

func (g *GitHub) get(name string) string { v, _ := g.env(name); return v }

// IDToken is where the job can ask for an assertion.
func (g *GitHub) IDToken() *assertion.GitHub {
	return &assertion.GitHub{
		URL:   g.get("ACTIONS_ID_TOKEN_REQUEST_URL"),
		Token: secret.New(g.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")),
	}
}

// Mask implements [Platform].
func (g *GitHub) Mask(v secret.Value) error {
	if v.IsZero() {
		return nil
	}
	if err := unmaskable(v); err != nil {
		return err
	}
	g.log.hide(v)
	g.log.mu.Lock()
	defer g.log.mu.Unlock()
	if g.masked[v.Reveal()] {
		return nil
	}
	if err := contained(func() { g.action.AddMask(v.Reveal()) }); err != nil {
		return fmt.Errorf("mask a credential in the log: %w", err)
	}
	g.masked[v.Reveal()] = true
	return nil
}

// The names of the runner's command files.
const (
	outputFile  = "GITHUB_OUTPUT"
	stateFile   = "GITHUB_STATE"
	summaryFile = "GITHUB_STEP_SUMMARY"
)

// Prepare implements [Platform].
func (g *GitHub) Prepare(Origin) error {
	if discards(g.stream) {
		return errors.New("the log goes to the null device: nobody would see the masks")
	}
	for _, name := range []string{outputFile, stateFile} {
		if _, err := g.size(name); err != nil {
			return err
		}
	}
	return nil
}

// size opens a command file for appending and tells its size.
func (g *GitHub) size(name string) (int64, error) {
	path := g.get(name)
	if path == "" {
		return 0, hint.Add(fmt.Errorf("%s is not set", name), "the runner sets it for every step; hand it through to where azdo-pat runs")
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, hint.Add(fmt.Errorf("%s cannot be written: %w", name, err), "the container must run as root, as GitHub requires it of container actions")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// appendTo writes to a command file by way of go-githubactions. What is written
// by half, on a full disk, is taken back: half a line fails the whole step.
func (g *GitHub) appendTo(name string, write func()) error {
	before, err := g.size(name)
	if err != nil {
		return err
	}
	if err := contained(write); err != nil {
		_ = os.Truncate(g.get(name), before)
		return fmt.Errorf("write to %s: %w", name, err)
	}
	return nil
}

// ErrMultiline is what a value with a line break is refused with.
var ErrMultiline = errors.New("a value with a line break cannot be handed over")

// ErrInvalidText refuses a value that the CI system would read as another one:
// both runner and agent replace bytes that are not UTF-8.
var ErrInvalidText = errors.New("a value that is not valid UTF-8 cannot be handed over")

// delimiter is go-githubactions' for every value of a command file.
const delimiter = "_GitHubActionsFileCommandDelimeter_"

func oneLine(value string) error {
	if strings.ContainsAny(value, "\r\n\x00") || strings.Contains(value, delimiter) {
		return ErrMultiline
	}
	if !utf8.ValidString(value) {
		return ErrInvalidText
	}
	return nil
}

// recordKey is the name of the only state that the action keeps. The runner
// shows it to the post step as STATE_lease.
const recordKey = "lease"

// Record implements [Platform].
func (g *GitHub) Record(line string) error {
	if err := oneLine(line); err != nil {
		return err
	}
	return g.appendTo(stateFile, func() { g.action.SaveState(recordKey, line) })
}

// Recorded is what the main step recorded, in its post step.
func (g *GitHub) Recorded() (string, bool) { return g.env("STATE_" + recordKey) }

// HandOver implements [Platform].
func (g *GitHub) HandOver(r Result) error {
	fields := r.fields()
	for _, f := range fields {
		if err := oneLine(f.value); err != nil {
			return fmt.Errorf("output %s: %w", f.name, err)
		}
	}
	if err := g.appendTo(outputFile, func() {
		for _, f := range fields {
			g.action.SetOutput(f.name, f.value)
		}
	}); err != nil {
		return err
	}
	if g.json != nil {
		return r.writeJSON(g.json)
	}
	return nil
}

// Summary implements [Platform].
func (g *GitHub) Summary(markdown string) error {
	if g.get(summaryFile) == "" {
		return nil
	}
	return g.appendTo(summaryFile, func() { g.action.AddStepSummary(g.log.Scrub(markdown)) })
}

// Origin implements [Platform]. The key is derived from the job's own request
// token, which no other job, matrix leg or attempt has, and from the step.
// Steps inside one composite action have the name of the step that uses it, so
// the label tells them apart.
func (g *GitHub) Origin(label string) Origin {
	o := Origin{Source: strings.Join(strings.Fields(fmt.Sprintf("%s run %s.%s %s %s",
		g.get("GITHUB_REPOSITORY"), g.get("GITHUB_RUN_ID"), g.get("GITHUB_RUN_ATTEMPT"), g.get("GITHUB_JOB"), label)), " ")}
	if job := g.IDToken().Token; !job.IsZero() {
		o.Key, o.Derived = key(job, g.get("GITHUB_REPOSITORY"), g.get("GITHUB_RUN_ID"), g.get("GITHUB_RUN_ATTEMPT"),
			g.get("GITHUB_JOB"), g.get("GITHUB_ACTION"), label), true
	} else {
		o.Key = randomKey(g.random)
	}
	return o
}

// Log implements [Platform].
func (g *GitHub) Log() *Log { return g.log }

// github renders lines as workflow commands.
type github struct{ action *githubactions.Action }

func (g github) line(text string)   { g.action.Infof("%s", text) }
func (g github) debug(text string)  { g.action.Debugf("%s", text) }
func (g github) group(title string) { g.action.Group(title) }
func (g github) endGroup()          { g.action.EndGroup() }

func (g github) annotate(level level, title, text string) {
	a := g.action.WithFieldsMap(map[string]string{"title": title})
	text = annotation(text, g.line)
	switch level {
	case notice:
		a.Noticef("%s", text)
	case warning:
		a.Warningf("%s", text)
	case failure:
		a.Errorf("%s", text)
	}
}
