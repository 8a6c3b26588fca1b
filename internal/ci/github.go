package ci

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// GitHub is a step of a GitHub Actions job.
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
type GitHub struct {
	env    func(string) (string, bool)
	action *githubactions.Action
	log    *Log
	masked map[string]bool
	stream io.Writer // the intended stream of the log and the masks
	// masks go to a stream that the runner reads: written to a file, they would only
	// store the credentials there. Nil: the runner reads neither stream.
	masks   *githubactions.Action
	streams [2]io.Writer // standard output, standard error
	json    io.Writer    // nil: the result is not wanted on standard output
	random  io.Reader
	// recorded is the last record.
	recorded string
}

// NewGitHub returns the platform of a GitHub Actions step.
func NewGitHub(o Options) *GitHub {
	g := &GitHub{env: o.LookupEnv, random: o.Random, masked: map[string]bool{}, streams: [2]io.Writer{o.Stdout, o.Stderr}}
	w, other := o.Stdout, o.Stderr
	if o.JSON {
		w, other, g.json = o.Stderr, o.Stdout, o.Stdout
	}
	g.stream = w
	redirected := g.fileBehind(w) != ""
	switch {
	case redirected:
		w = other // Prepare will fail, and its error must be visible
	case isNullDevice(w):
		w = o.Stderr
	}
	inFile := g.fileBehind(w) != ""
	if inFile {
		w = io.Discard
	}
	g.action = githubactions.New(githubactions.WithWriter(w), githubactions.WithGetenv(g.get))
	switch {
	case inFile, redirected && o.JSON:
		// The runner reads neither stream: the caller reads standard output.
	case isRegularFile(w) && !o.JSON && !isRegularFile(o.Stderr) && !isNullDevice(o.Stderr):
		// The runner reads standard error too; a mask in a file would only expose the
		// credential.
		g.masks = githubactions.New(githubactions.WithWriter(o.Stderr), githubactions.WithGetenv(g.get))
	default:
		g.masks = g.action
	}
	g.log = &Log{write: github{g.action}, debug: g.get("RUNNER_DEBUG") == "1"}
	if previous, ok := o.Previous.(*GitHub); ok {
		g.recorded = previous.recorded
	}
	return g
}

func (g *GitHub) get(name string) string { v, _ := g.env(name); return v }

// Info implements [Platform].
func (g *GitHub) Info() Info {
	return Info{Name: "GitHub Actions", CI: true, ActionInputs: true, Cleanup: PostStep, TempVariable: "RUNNER_TEMP", WorkspaceVariable: "GITHUB_WORKSPACE"}
}

// Status implements [Platform].
func (g *GitHub) Status() Status {
	event := g.Event()
	seen := "event " + sanitize.Line(event.Name, 40)
	if event.Dependabot {
		seen += " by Dependabot (its runs get only Dependabot's secrets)"
	}
	switch hasToken := g.Provider().Unavailable == nil; {
	case event.Fork && hasToken:
		seen += " from a fork, yet with an OIDC token: the job speaks for the base repository, so let it run nothing of the fork's"
	case event.WithoutToken():
		seen += " from a fork, whose jobs get no OIDC token"
	case event.Fork:
		seen += " from a fork"
	}
	return Status{Seen: seen, Ready: "GITHUB_OUTPUT and GITHUB_STATE can be written", Err: g.Prepare(displayname.Origin{})}
}

// LookupEnv implements [Platform].
func (g *GitHub) LookupEnv(name string) (string, bool) { return g.env(name) }

// The variables with the job's own credentials.
const (
	requestTokenVariable = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	requestURLVariable   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	runtimeTokenVariable = "ACTIONS_RUNTIME_TOKEN"
)

// requestToken is the credential with which the job requests assertions. It is unique
// to the job, matrix leg and attempt.
func (g *GitHub) requestToken() secret.Value {
	return secret.New(g.get(requestTokenVariable))
}

// requestTokenLife is how long after the start of the job GitHub accepts the
// request token.
const requestTokenLife = 6 * time.Hour

// idTokenPermission is what a job without an OIDC token needs.
const idTokenPermission = `permissions:
  id-token: write # the job's OIDC identity
  contents: read`

// Provider implements [Platform].
func (g *GitHub) Provider() assertion.Provider {
	source := assertion.GitHub{URL: g.get(requestURLVariable), Token: g.requestToken()}
	return assertion.Provider{
		Name: g.Info().Name, Service: "GitHub", URLVariable: requestURLVariable,
		URL: source.URL, Token: source.Token, TokenName: "the job's request token", TokenLife: requestTokenLife,
		Unavailable: source.Available(), Permission: idTokenPermission,
		Source: func(client *http.Client, audience, _ string) assertion.Source {
			s := source
			s.HTTP, s.Audience = client, audience
			return &s
		},
	}
}

// Credentials implements [Platform]. ACTIONS_RUNTIME_TOKEN, which every action gets for
// GitHub's own services, has the same value as the request token.
func (g *GitHub) Credentials() []secret.Value {
	return []secret.Value{g.requestToken(), secret.New(g.get(runtimeTokenVariable))}
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
	if g.masks == nil {
		return fmt.Errorf("mask a credential in the log: %w", g.redirected())
	}
	if err := recoverPanic(func() { g.masks.AddMask(v.Reveal()) }); err != nil {
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
	envFile     = "GITHUB_ENV"
)

var commandFiles = []string{outputFile, stateFile, summaryFile, envFile, "GITHUB_PATH"}

// Prepare implements [Platform].
func (g *GitHub) Prepare(displayname.Origin) error {
	if isNullDevice(g.stream) {
		return errUnseen
	}
	if isRegularFile(g.stream) {
		warnOfFile(g.log)
	}
	if err := g.distinct(); err != nil {
		return err
	}
	for _, name := range []string{outputFile, stateFile} {
		if err := g.file(name).check(); err != nil {
			return err
		}
	}
	return nil
}

// distinct makes sure that GITHUB_OUTPUT and GITHUB_STATE are files of their own and
// that the log goes to neither. Otherwise the PAT could end up in the public summary or
// in the environment of all later steps, and log lines would corrupt the file.
func (g *GitHub) distinct() error {
	var seen []os.FileInfo
	var names []string
	for _, name := range commandFiles {
		info, err := os.Stat(g.get(name))
		if err != nil {
			continue
		}
		for i, other := range seen {
			if os.SameFile(info, other) {
				return hint.Add(fmt.Errorf("%s and %s are the same file", names[i], name),
					"the runner makes a file for each of them; do not set these variables for the step, or give each a file of its own")
			}
		}
		seen, names = append(seen, info), append(names, name)
	}
	return g.redirected()
}

// redirected reports a standard stream that is a command file.
func (g *GitHub) redirected() error {
	for i, w := range g.streams {
		stream := []string{"standard output", "standard error"}[i]
		if name := g.fileBehind(w); name != "" {
			return hint.Add(fmt.Errorf("%s is the file of %s", stream, name),
				"azdo-pat writes there by itself; do not redirect its "+stream)
		}
	}
	return nil
}

// fileBehind is the variable of the command file that w writes to; empty: none.
func (g *GitHub) fileBehind(w io.Writer) string {
	f, ok := w.(interface{ Stat() (os.FileInfo, error) })
	if !ok {
		return ""
	}
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	for _, name := range commandFiles {
		if file, err := os.Stat(g.get(name)); err == nil && os.SameFile(info, file) {
			return name
		}
	}
	return ""
}

// file is a command file.
func (g *GitHub) file(name string) commandFile { return commandFile{name, g.get(name)} }

// ErrMultiline is the error for an output with a line break.
var ErrMultiline = errors.New("a value with a line break cannot be handed over")

// ErrInvalidText is the error for a value that the CI system would change: runner and
// agent replace bytes that are not UTF-8.
var ErrInvalidText = errors.New("a value that is not valid UTF-8 cannot be handed over")

func oneLine(value string) error {
	if strings.ContainsAny(value, "\r\n\x00") || strings.Contains(value, sanitize.OutputDelimiter) {
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

// maxState limits a state, in bytes. The post step gets it in an environment variable,
// which Linux limits to 128 KiB; with a longer one the step does not start.
const maxState = 120 << 10

// Record implements [Platform]. The runner reads the file when the step ends and then
// removes it, so a record that this process writes later would be lost.
func (g *GitHub) Record(line string) error {
	if err := oneLine(line); err != nil {
		return err
	}
	if len(line) > maxState {
		return fmt.Errorf("a record of %d KiB is too long for the post step (at most %d)", len(line)>>10, maxState>>10)
	}
	state := g.file(stateFile)
	if g.recorded != "" && !state.holds(field{recordKey, g.recorded}) {
		return fmt.Errorf("%s no longer holds what was written to it: the step has ended, or another command changed the file", stateFile)
	}
	if err := state.add(field{recordKey, line}); err != nil {
		return err
	}
	g.recorded = line
	return nil
}

// Recorded implements [Platform]. In the post step it returns what the main step
// recorded.
func (g *GitHub) Recorded(displayname.Origin) (string, bool) { return g.env("STATE_" + recordKey) }

// Close implements [Platform]. It is not needed: the post step starts only after the
// main step has ended.
func (g *GitHub) Close(displayname.Origin, string) (string, bool) { return "", false }

// Closed implements [Platform].
func (g *GitHub) Closed(string) {}

// SucceedWithIssues implements [Platform]. GitHub has no such result; the warning's
// annotation must do.
func (g *GitHub) SucceedWithIssues() {}

// HandOver implements [Platform].
func (g *GitHub) HandOver(r Result) error {
	fields := r.fields()
	for _, f := range fields {
		if err := oneLine(f.value); err != nil {
			return fmt.Errorf("output %s: %w", f.name, err)
		}
	}
	if err := g.file(outputFile).add(fields...); err != nil {
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
	return g.file(summaryFile).addText(g.log.Redact(markdown) + "\n")
}

// TempFolder implements [Platform].
func (g *GitHub) TempFolder() string { return g.get("RUNNER_TEMP") }

// PrepareVariables implements [Platform].
func (g *GitHub) PrepareVariables(variables []Variable) error {
	if _, err := variableFields(variables); err != nil {
		return err
	}
	return g.file(envFile).check()
}

func variableFields(variables []Variable) (fields []field, err error) {
	for _, v := range variables {
		if err := oneLine(v.Value); err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		fields = append(fields, field{v.Name, v.Value})
	}
	return fields, nil
}

// SetVariables implements [Platform].
func (g *GitHub) SetVariables(variables []Variable) error {
	fields, err := variableFields(variables)
	if err != nil {
		return err
	}
	return g.file(envFile).add(fields...)
}

// Origin implements [Platform]. The key is derived from the job's own request
// token, which no other job, matrix leg or attempt has, and from the step.
// All steps inside a composite action have the name of the step that uses the action,
// so the label tells them apart.
func (g *GitHub) Origin(label string) displayname.Origin {
	source := strings.Join(strings.Fields(fmt.Sprintf("%s run %s.%s %s %s",
		g.get("GITHUB_REPOSITORY"), g.get("GITHUB_RUN_ID"), g.get("GITHUB_RUN_ATTEMPT"), g.get("GITHUB_JOB"), label)), " ")
	job := g.requestToken()
	if job.IsZero() {
		return displayname.Random(source, g.random)
	}
	return displayname.Derive(source, job, g.get("GITHUB_REPOSITORY"), g.get("GITHUB_RUN_ID"), g.get("GITHUB_RUN_ATTEMPT"),
		g.get("GITHUB_JOB"), g.get("GITHUB_ACTION"), label)
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
