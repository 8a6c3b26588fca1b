package ci

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// AzurePipelines is a script step of an Azure Pipelines job.
// https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands
type AzurePipelines struct {
	env    func(string) (string, bool)
	log    *Log
	masked map[string]bool
	stream io.Writer // of the log and the commands
	json   io.Writer // nil: the result is not wanted on standard output
	random io.Reader
	record recordFile
}

// NewAzurePipelines returns the platform of an Azure Pipelines step.
func NewAzurePipelines(o Options) *AzurePipelines {
	p := &AzurePipelines{env: o.LookupEnv, random: o.Random, masked: map[string]bool{}, stream: o.Stdout}
	if o.JSON {
		p.stream, p.json = o.Stderr, o.Stdout
	}
	debug := strings.EqualFold(p.get("SYSTEM_DEBUG"), "true") || p.get("RUNNER_DEBUG") == "1"
	p.log = &Log{write: pipeline{p.stream}, debug: debug}
	return p
}

// macro matches an undefined variable: in a step's env, the agent leaves "$(NAME)" as it
// is if the variable does not exist.
var macro = regexp.MustCompile(`^\$\([^()]*\)$`)

// LookupEnv implements [Platform]. A macro that the agent did not replace counts as unset.
func (p *AzurePipelines) LookupEnv(name string) (string, bool) {
	v, ok := p.env(name)
	if macro.MatchString(strings.TrimSpace(v)) {
		return "", false
	}
	return v, ok
}

func (p *AzurePipelines) get(name string) string { v, _ := p.LookupEnv(name); return v }

// Info implements [Platform].
func (p *AzurePipelines) Info() Info {
	return Info{Name: "Azure Pipelines", CI: true, Cleanup: RevokeStep, TempVariable: tempDirectory, WorkspaceVariable: "BUILD_SOURCESDIRECTORY"}
}

// Status implements [Platform].
func (p *AzurePipelines) Status() Status {
	reason := sanitize.Line(cmp.Or(p.get("BUILD_REASON"), "not told"), 40)
	return Status{Seen: "build reason " + reason, Ready: "outputs and masks go to the log"}
}

// accessTokenVariable holds the job's access token.
const accessTokenVariable = "SYSTEM_ACCESSTOKEN"

// Provider implements [Platform].
func (p *AzurePipelines) Provider() assertion.Provider {
	source := assertion.AzurePipelines{URL: p.get("SYSTEM_OIDCREQUESTURI"), Token: secret.New(p.get(accessTokenVariable))}
	return assertion.Provider{
		Name: p.Info().Name, Service: "Azure Pipelines", AzureDevOps: true, URLVariable: "SYSTEM_OIDCREQUESTURI",
		URL: source.URL, Token: source.Token, TokenName: "the job's access token",
		Unavailable: source.Available(), ServiceConnection: true,
		Source: func(client *http.Client, _, serviceConnection string) assertion.Source {
			s := source
			s.HTTP, s.ServiceConnection = client, serviceConnection
			return &s
		},
	}
}

// Credentials implements [Platform].
func (p *AzurePipelines) Credentials() []secret.Value {
	return []secret.Value{secret.New(p.get(accessTokenVariable))}
}

// loggingCommand is a logging command on a line of its own. The escapes are those of
// azure-pipelines-agent's CommandStringConvertor. Properties need none here,
// since all of them are ours.
func loggingCommand(name, data string) string {
	return "##vso[" + name + "]" + strings.NewReplacer("%", "%AZP25", "\r", "%0D", "\n", "%0A").Replace(data) + "\n"
}

// write writes logging commands, in order with the lines of the log.
func (p *AzurePipelines) write(commands string) error {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	_, err := io.WriteString(p.stream, commands)
	return err
}

// Mask implements [Platform].
func (p *AzurePipelines) Mask(v secret.Value) error {
	if v.IsZero() {
		return nil
	}
	if err := unmaskable(v); err != nil {
		return err
	}
	p.log.hide(v)
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	// The agent masks line by line, so a value of several lines would not be masked.
	values := []string{v.Reveal()}
	for line := range strings.FieldsFuncSeq(v.Reveal(), func(r rune) bool { return r == '\r' || r == '\n' }) {
		values = append(values, strings.TrimSpace(line))
	}
	for _, value := range values {
		if value == "" || p.masked[value] {
			continue
		}
		if _, err := io.WriteString(p.stream, loggingCommand("task.setsecret", value)); err != nil {
			return fmt.Errorf("mask a credential in the log: %w", err)
		}
		p.masked[value] = true
	}
	return nil
}

// tempDirectory is the variable with the job's own folder, which the agent empties
// after the job.
const tempDirectory = "AGENT_TEMPDIRECTORY"

// Prepare implements [Platform].
func (p *AzurePipelines) Prepare(o displayname.Origin) error {
	if isNullDevice(p.stream) {
		return errUnseen
	}
	if isRegularFile(p.stream) {
		warnOfFile(p.log)
	}
	p.record = p.recordOf(o)
	return p.record.begin()
}

// recordOf returns the record file of a lease. There is none if no later step can
// compute the key, or if the steps share no folder; the lease is then found by its name
// alone.
func (p *AzurePipelines) recordOf(o displayname.Origin) recordFile {
	dir := p.get(tempDirectory)
	if dir == "" || !o.Derived {
		return recordFile{}
	}
	return recordFile{path: filepath.Join(dir, "azdo-pat-"+o.Key+".json")}
}

// Record implements [Platform]. Before [AzurePipelines.Prepare] it does nothing: a
// missing file means that no request to mint was sent.
func (p *AzurePipelines) Record(line string) error {
	if err := oneLine(line); err != nil {
		return err
	}
	return p.record.write(line)
}

// Close implements [Platform]. Records cannot be read where the job's own folder
// is missing.
func (p *AzurePipelines) Close(o displayname.Origin, closed string) (recorded string, known bool) {
	p.record = p.recordOf(o)
	return p.record.close(closed)
}

// Recorded implements [Platform].
func (p *AzurePipelines) Recorded(o displayname.Origin) (string, bool) {
	r := p.recordOf(o)
	if r.path == "" {
		return "", false
	}
	line := r.read()
	return line, line != ""
}

// Closed implements [Platform].
func (p *AzurePipelines) Closed(line string) { _ = p.record.replace(line) }

// variables are the names of the outputs.
var variables = map[string]string{
	"token": "token", "authorization-id": "authorizationId", "expires-at": "expiresAt", "display-name": "displayName", "scopes": "scopes", "token-type": "tokenType",
}

// macroStart begins a macro, $(NAME). When the next step begins, the agent replaces
// macros in the values of variables too: $(System.AccessToken) in an output would
// become the job's token.
const macroStart = "$("

var errMacro = errors.New("a value with a macro, " + macroStart + "…), cannot be handed over")

// HandOver implements [Platform].
func (p *AzurePipelines) HandOver(r Result) error {
	var b strings.Builder
	for _, f := range r.fields() {
		if err := oneLine(f.value); err != nil {
			return fmt.Errorf("output %s: %w", variables[f.name], err)
		}
		if strings.Contains(f.value, macroStart) {
			return fmt.Errorf("output %s: %w", variables[f.name], errMacro)
		}
		secrecy := ""
		if f.name == "token" {
			secrecy = "issecret=true;"
		}
		b.WriteString(loggingCommand("task.setvariable variable="+variables[f.name]+";"+secrecy+"isoutput=true", f.value))
	}
	if err := p.write(b.String()); err != nil {
		return err
	}
	if p.json != nil {
		return r.writeJSON(p.json)
	}
	return nil
}

// TempFolder implements [Platform].
func (p *AzurePipelines) TempFolder() string { return p.get(tempDirectory) }

// PrepareVariables implements [Platform]. Variables go to the log, which
// [AzurePipelines.Prepare] has checked.
func (p *AzurePipelines) PrepareVariables(variables []Variable) error {
	_, err := variableCommands(variables)
	return err
}

func variableCommands(variables []Variable) (string, error) {
	var b strings.Builder
	for _, v := range variables {
		if err := oneLine(v.Value); err != nil {
			return "", fmt.Errorf("variable %s: %w", v.Name, err)
		}
		if strings.Contains(v.Value, macroStart) {
			return "", fmt.Errorf("variable %s: %w", v.Name, errMacro)
		}
		b.WriteString(loggingCommand("task.setvariable variable="+v.Name+";preservecase=true", v.Value))
	}
	return b.String(), nil
}

// SetVariables implements [Platform]. The agent passes no secret variable on to the
// environment, so that those with a credential are ordinary ones; their values were
// masked before.
func (p *AzurePipelines) SetVariables(variables []Variable) error {
	commands, err := variableCommands(variables)
	if err != nil {
		return err
	}
	return p.write(commands)
}

// Summary implements [Platform]. The agent uploads the file some time after the
// command.
func (p *AzurePipelines) Summary(markdown string) error {
	if p.get(tempDirectory) == "" {
		return nil
	}
	name, err := newFile(p.get(tempDirectory), "azdo-pat-*.md", p.log.Redact(markdown))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.write(loggingCommand("task.uploadsummary", name))
}

// SucceedWithIssues implements [Platform].
func (p *AzurePipelines) SucceedWithIssues() {
	_ = p.write(loggingCommand("task.complete result=SucceededWithIssues;", ""))
}

// Origin implements [Platform]. The id of a job is made of names, so that it is
// the same in every run of a pipeline: what tells the runs apart goes into the
// key too. None of it is a secret.
func (p *AzurePipelines) Origin(label string) displayname.Origin {
	// Make the project one word, so that the name cannot look like that of a GitHub run.
	project := strings.Join(strings.Fields(strings.Trim(p.organization()+"/"+p.get("SYSTEM_TEAMPROJECT"), "/")), "-")
	source := strings.Join(strings.Fields(fmt.Sprintf("%s build %s.%s %s %s", project,
		p.get("BUILD_BUILDID"), p.get("SYSTEM_JOBATTEMPT"), p.get("SYSTEM_JOBNAME"), label)), " ")
	source = strings.ReplaceAll(source, macroStart, "$-(")
	job := p.get("SYSTEM_JOBID")
	if job == "" {
		return displayname.Random(source, p.random)
	}
	return displayname.Derive(source, secret.Value{}, p.get("SYSTEM_COLLECTIONID"), p.get("SYSTEM_TEAMPROJECTID"), p.get("SYSTEM_PLANID"), p.get("BUILD_BUILDID"),
		job, p.get("SYSTEM_STAGEATTEMPT"), p.get("SYSTEM_PHASEATTEMPT"), p.get("SYSTEM_JOBATTEMPT"), label)
}

// organization is the name in https://dev.azure.com/NAME/ or
// https://NAME.visualstudio.com/.
func (p *AzurePipelines) organization() string {
	u, err := url.Parse(p.get("SYSTEM_COLLECTIONURI"))
	if err != nil {
		return ""
	}
	host, _, _ := strings.Cut(u.Hostname(), ".")
	return cmp.Or(strings.Trim(path.Base("/"+u.Path), "/"), host)
}

// Log implements [Platform].
func (p *AzurePipelines) Log() *Log { return p.log }

// pipeline renders lines for the agent, and for the page that shows the log.
type pipeline struct{ w io.Writer }

func (p pipeline) line(text string)   { fmt.Fprintln(p.w, text) }
func (p pipeline) group(title string) { fmt.Fprintln(p.w, "##[group]"+title) }
func (p pipeline) endGroup()          { fmt.Fprintln(p.w, "##[endgroup]") }

func (p pipeline) debug(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(p.w, "##[debug]"+strings.TrimSuffix(line, "\n"))
	}
}

// issues are the kinds of annotation that the agent knows.
var issues = map[level]string{warning: "warning", failure: "error"}

func (p pipeline) annotate(level level, title, text string) {
	text = title + ": " + text
	if level == notice {
		for line := range strings.Lines(text) {
			p.line(strings.TrimSuffix(line, "\n"))
		}
		return
	}
	text = annotation(text, p.line)
	_, _ = io.WriteString(p.w, loggingCommand("task.logissue type="+issues[level], text))
}
