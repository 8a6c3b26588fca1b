// Package acceptance has the tests that start the built program, as GitHub's runner,
// Azure Pipelines' agent or a person at a terminal would.
package acceptance

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/cli"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/fakes/pipelinesagent"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
)

// The test binary is the program, under the two names that an image has it, and
// what else scripts in the docs start and the program is tried with.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	switch name {
	case "azdo-pat", "post":
		cli.Main()
	case "curl", "docker":
		standIn(name, os.Args[1:])
	}
	if play := plays[name]; play != nil {
		os.Exit(play(os.Args[1:]))
	}
	if start := starters[name]; start != nil {
		fmt.Fprintln(os.Stderr, start(os.Args[1:]))
		os.Exit(1)
	}
	// The program is built, and its documents are read, at the root of the repository.
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	// These tests wait more than they compute, most of all for what never comes.
	parallel := "40"
	if raced { // then they compute, too
		parallel = "20"
	}
	_ = flag.Set("test.parallel", parallel)
	debug.SetGCPercent(400) // there is memory, and no time
	status := m.Run()
	os.RemoveAll(builtDir)
	os.Exit(status)
}

// plays are programs of the tests, by name.
var plays = map[string]func(args []string) (status int){}

// TestScripts runs the scripts in testdata/script: the real main against the
// emulator, as GitHub's runner, Azure Pipelines' agent or a person at a terminal
// would start it. After every start of the program the canary looks for
// credentials in all that it wrote.
func TestScripts(t *testing.T) { runScripts(t, "") }

// Debug logging changes nothing but what is logged, and shows no credential
// either. (A test of its own, so that the waiting in both is done at once.)
func TestScriptsWithDebugLog(t *testing.T) { runScripts(t, "1") }

func runScripts(t *testing.T, debug string) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			w, err := newWorld(env, debug)
			if err != nil {
				return err
			}
			env.Values["world"] = w
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"job":       job,
			"pipeline":  pipeline,
			"jobof":     jobOf,
			"token":     accessToken,
			"terminal":  terminal,
			"set":       set,
			"unset":     unset,
			"main":      mainStep,
			"post":      postStep,
			"azdo-pat":  program,
			"status":    status,
			"result":    result,
			"plant":     plant,
			"output":    output,
			"nooutput":  noOutput,
			"state":     state,
			"summary":   summary,
			"log":       log,
			"pats":      pats,
			"requests":  requests,
			"fault":     fault,
			"world":     change,
			"seed":      seed,
			"aged":      seedAged,
			"own":       ownPAT,
			"runs":      seedRun,
			"active":    activeNames,
			"advance":   advance,
			"assertion": assertionFile,
			"usable":    usable,
			"json":      jsonField,
			"secret":    copySecret,
		},
	})
}

// world is what one script plays in.
type world struct {
	*emulator.Emulator
	dir     string
	debug   string
	env     map[string]string      // of the next start
	step    *githubrunner.Step     // whose command files the last start wrote
	main    *githubrunner.Step     // the last main step
	agent   *pipelinesagent.Job    // in Azure Pipelines
	record  *pipelinesagent.Record // of the last start there
	status  int
	log     githubrunner.Log
	shown   []githubrunner.Line // what a person sees of the last start
	fixture []string            // files that hold a credential because the script put it there
}

func newWorld(env *testscript.Env, debug string) (*world, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return nil, err
	}
	env.Defer(func() { e.Close() })
	env.Setenv("GIT_URL", e.GitURL())
	return &world{Emulator: e, dir: env.WorkDir, debug: debug, env: map[string]string{}}, nil
}

func of(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

// job IDENTITY [NAME=VALUE…] begins a step of the default job, whose command files
// are $OUTPUT_FILE and $STATE_FILE.
func job(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.agent = nil
	w.env = w.Env(emulator.Identity(args[0]))
	w.begin(ts)
	w.main = w.step
	ts.Setenv("OUTPUT_FILE", w.env["GITHUB_OUTPUT"])
	ts.Setenv("STATE_FILE", w.env["GITHUB_STATE"])
	set(ts, false, args[1:])
}

// pipeline IDENTITY [NAME=VALUE…] begins an Azure Pipelines job in a run of its
// own, of which every start of the program is a script step named pat. Its folder
// is $AGENT_TEMP.
func pipeline(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	job, err := pipelinesagent.NewJob(w.dir, nil)
	ts.Check(err)
	w.agent = job
	w.env = w.PipelinesJobEnv(w.StartPipelinesJob(emulator.PipelinesJob{}), emulator.Identity(args[0]))
	maps.Copy(w.env, job.Environment(nil))
	if w.debug != "" {
		w.env["SYSTEM_DEBUG"] = "True"
	}
	ts.Setenv("AGENT_TEMP", job.TempDirectory())
	set(ts, false, args[1:])
}

// result RESULT checks how the last step ended, as far as its log tells.
func result(ts *testscript.TestScript, neg bool, args []string) {
	if got := of(ts).record.Result.String(); got != args[0] {
		ts.Fatalf("the result is %s, want %s", got, args[0])
	}
}

// plant TEXT puts a text in the place of what mint recorded in Azure Pipelines;
// DISPLAYNAME in it is the PAT's, and THEIRS the id of the PAT named "theirs".
func plant(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	files, err := filepath.Glob(filepath.Join(w.agent.TempDirectory(), "azdo-pat-*.json"))
	ts.Check(err)
	if len(files) != 1 {
		ts.Fatalf("there are the records %q", files)
	}
	text := strings.ReplaceAll(args[0], "DISPLAYNAME", w.agent.Outputs("pat")["displayName"])
	for _, p := range w.PATs() {
		if p.Name == "theirs" {
			text = strings.ReplaceAll(text, "THEIRS", p.ID)
		}
	}
	ts.Check(os.WriteFile(files[0], []byte(text), 0o644))
}

// jobof REF IDENTITY [NAME=VALUE…] is job for a push to another ref.
func jobOf(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	job(ts, neg, args[1:])
	maps.Copy(w.env, w.JobEnv(w.StartJob(emulator.Job{Ref: args[0]}), emulator.Identity(args[1])))
	set(ts, false, args[2:])
}

// token CLAIM=VALUE… hands in an access token with those claims; exp is a
// duration from now.
func accessToken(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.env["AZDO_PAT_ACCESS_TOKEN"] = w.AccessToken(func(claims map[string]any) {
		for _, arg := range args {
			name, value, _ := strings.Cut(arg, "=")
			if claims[name] = value; name == "exp" {
				d, err := time.ParseDuration(value)
				ts.Check(err)
				claims[name] = w.Now(emulator.Entra).Add(d).Unix()
			}
		}
	})
	unset(ts, false, []string{"INPUT_ACCESS-TOKEN"})
}

// begin makes the command files of a step.
func (w *world) begin(ts *testscript.TestScript) {
	step, err := githubrunner.NewStep(w.dir)
	ts.Check(err)
	w.step = step
	maps.Copy(w.env, step.Env())
	if w.debug != "" {
		w.env["RUNNER_DEBUG"] = w.debug
	}
}

// terminal IDENTITY [NAME=VALUE…] begins a plain shell, with a token file.
func terminal(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.step, w.agent = nil, nil
	w.env = map[string]string{"RUNNER_DEBUG": w.debug}
	for name, value := range w.Settings(emulator.Identity(args[0])) {
		w.env["AZDO_PAT_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = value
	}
	if args[0] != string(emulator.AccessToken) {
		assertionFile(ts, false, []string{"token.jwt"})
		w.env["AZDO_PAT_FEDERATED_TOKEN_FILE"] = ts.MkAbs("token.jwt")
	}
	set(ts, false, args[1:])
}

// assertion FILE puts a fresh assertion into a file.
func assertionFile(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file, []byte(w.Assertion()+"\n"), 0o600))
	w.fixture = append(w.fixture, file)
}

// set NAME=VALUE… sets variables of the next start; "\n" in a value is a line
// feed, "$NAME" a variable of the script, "@github-token" and its like what only
// the services know.
func set(ts *testscript.TestScript, neg bool, args []string) {
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			ts.Fatalf("set: %q has no =", arg)
		}
		switch value {
		case "@github-token":
			value = of(ts).GitHubToken()
		case "@github-api":
			value = of(ts).Env(emulator.AgentUser)["GITHUB_API_URL"]
		case "@agent-token":
			value = of(ts).AccessToken(func(claims map[string]any) { claims["oid"] = emulator.AgentUserID })
		}
		of(ts).env[name] = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\e`, "\x1b").Replace(value)
	}
}

// unset NAME… takes variables away; a * stands for the rest of a name.
func unset(ts *testscript.TestScript, neg bool, args []string) {
	for _, arg := range args {
		prefix, all := strings.CutSuffix(arg, "*")
		maps.DeleteFunc(of(ts).env, func(name, _ string) bool {
			return name == arg || all && strings.HasPrefix(name, prefix)
		})
	}
}

// main [ARGS…] runs the action's main step.
func mainStep(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		args = []string{"mint"}
	}
	of(ts).start(ts, neg, "azdo-pat", args)
}

// azdo-pat ARGS… runs the program.
func program(ts *testscript.TestScript, neg bool, args []string) {
	of(ts).start(ts, neg, "azdo-pat", args)
}

var validTo = regexp.MustCompile(`"validTo":"[^"]*"`)

// post [-nostate] [-noinputs] [-secrets] [-expired] [-clock AHEAD] [-planted NAME ID] runs the action's post step of the last step.
func postStep(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	before := maps.Clone(w.env)
	defer func() { w.env = before }()
	if slices.Contains(args, "-noinputs") {
		unset(ts, false, []string{"INPUT_*", "AZDO_PAT_*", "AZURE_*"})
	}
	for name, value := range before { // the secrets of the identity stay
		if slices.Contains(args, "-secrets") && (name == "INPUT_REFRESH-TOKEN" || name == "INPUT_PASSWORD" || name == "INPUT_ACCESS-TOKEN") {
			w.env[name] = value
		}
	}
	if !slices.Contains(args, "-nostate") {
		saved, err := w.main.State()
		ts.Check(err)
		maps.Copy(w.env, saved)
	}
	if slices.Contains(args, "-expired") { // as if the job had outlived the PAT
		w.env["STATE_lease"] = validTo.ReplaceAllString(w.env["STATE_lease"], `"validTo":"2020-01-01T00:00:00Z"`)
	}
	if i := slices.Index(args, "-clock"); i >= 0 { // as if this machine's clock had been set since the mint
		ahead, err := time.ParseDuration(args[i+1])
		ts.Check(err)
		w.env["STATE_lease"] = setClock(ts, w.env["STATE_lease"], ahead)
	}
	if i := slices.Index(args, "-planted"); i >= 0 { // as if another step had put a record in the place of main's
		r, err := lease.ParseRecord(w.env["STATE_lease"])
		ts.Check(err)
		r.Name, r.ID = args[i+1], args[i+2]
		w.env["STATE_lease"] = r.String()
	}
	w.begin(ts)
	command := "mint"
	if c := w.env["INPUT_COMMAND"]; c != "" {
		command = c
	}
	w.start(ts, neg, "post", []string{command})
}

// setClock is a record as it would be if this machine's clock had been set ahead
// since it was written: all of its own times are earlier.
func setClock(ts *testscript.TestScript, record string, ahead time.Duration) string {
	r, err := lease.ParseRecord(record)
	ts.Check(err)
	r.Intended = r.Intended.Add(-ahead)
	r.Skew = httpclient.Skew{Min: r.Skew.Min - ahead, Max: r.Skew.Max - ahead}
	return r.String()
}

// unmasked are the lines that set a mask or the PAT: long, and nothing for a
// person.
var unmasked = regexp.MustCompile(`(?m)^(::add-mask::|##vso\[task\.setsecret\]|##vso\[task\.setvariable variable=token;issecret=true;isoutput=true\]).*\n`)

func (w *world) start(ts *testscript.TestScript, neg bool, name string, args []string) {
	path, err := built()
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Args[0] = "/" + name
	cmd.Dir = w.dir
	for key, value := range w.env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		cmd.Env = append(cmd.Env, "GOCOVERDIR="+dir)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	w.status = cmd.ProcessState.ExitCode()
	ts.Stdout().Write(unmasked.ReplaceAll(stdout.Bytes(), nil))
	ts.Stderr().Write(unmasked.ReplaceAll(stderr.Bytes(), nil))
	// Runner and agent read both streams for commands, stderr first.
	if w.agent != nil {
		w.record = w.agent.Read("pat", stderr.String()+stdout.String())
	} else {
		w.shown = w.log.Read(stderr.String() + stdout.String())
		for _, line := range w.shown {
			ts.Check(line.Err)
		}
	}
	w.canary(ts, stdout.String(), stderr.String())
	if neg == (err == nil) {
		ts.Fatalf("exit status %d", w.status)
	}
}

// canary looks for every credential that the services ever issued or know of,
// in every encoding in which it could be repeated, in all that a start of the
// program wrote.
func (w *world) canary(ts *testscript.TestScript, stdout, stderr string) {
	handed := stdout // on a terminal standard output is what was asked for
	if (w.env["GITHUB_ACTIONS"] == "true" || w.agent != nil) && !strings.HasPrefix(stdout, "{") {
		handed = ""
	} else {
		stdout = ""
	}
	var said strings.Builder
	for line := range strings.Lines(stdout + stderr) {
		if c, ok := githubrunner.ParseLine(strings.TrimRight(line, "\r\n")); !ok || c.Name != "add-mask" {
			said.WriteString(unmasked.ReplaceAllString(line, ""))
		}
	}
	files := map[string]string{}
	ts.Check(filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains(w.fixture, path) {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	}))
	pats := map[string]bool{}
	for _, p := range w.PATs() {
		pats[p.Token] = true
	}
	for _, s := range w.Secrets() {
		for _, form := range forms(s) {
			if strings.Contains(said.String(), form) {
				ts.Fatalf("the log holds a credential (%s):\n%s", form, said.String())
			}
			if !pats[s] && strings.Contains(handed, form) {
				ts.Fatalf("standard output holds a credential that is no PAT: %s", handed)
			}
			for path, text := range files {
				if strings.Contains(text, form) && !(pats[s] && strings.HasSuffix(path, "github_output")) {
					ts.Fatalf("%s holds a credential: %s", path, text)
				}
			}
		}
	}
	if v := w.Violations(); len(v) > 0 {
		ts.Fatalf("the program did what it must not: %v", v)
	}
}

// forms are the encodings of a credential.
func forms(s string) []string {
	quoted, _ := json.Marshal(s)
	all := []string{s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), strings.Trim(string(quoted), `"`),
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
	for _, before := range []string{"", ":", "::"} {
		all = append(all, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(before + s))[4*min(1, len(before)):], "=")[:len(s)],
			strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(before + s))[4*min(1, len(before)):], "=")[:len(s)])
	}
	return all
}

// status N checks the exit status of the last start.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if got := strconv.Itoa(of(ts).status); got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

func matches(ts *testscript.TestScript, what, text, pattern string, neg bool) {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	if re.MatchString(text) == neg {
		ts.Fatalf("%s: match of %q is %v:\n%s", what, pattern, !neg, text)
	}
}

// output NAME PATTERN checks an output of the step.
func output(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	outputs, masked := w.outputs(ts, w.step), w.log.Masked
	if w.agent != nil {
		masked = w.agent.Masked
	}
	value, ok := outputs[args[0]]
	if !ok {
		ts.Fatalf("no output %s in %v", args[0], outputs)
	}
	matches(ts, "output "+args[0], value, args[1], neg)
	if masked := masked(value); masked != (args[0] == "token") {
		ts.Fatalf("output %s masked: %v", args[0], masked)
	}
}

// outputs are those of a step, or in Azure Pipelines of the step pat.
func (w *world) outputs(ts *testscript.TestScript, step *githubrunner.Step) map[string]string {
	if w.agent != nil {
		return w.agent.Outputs("pat")
	}
	outputs, err := step.Outputs()
	ts.Check(err)
	return outputs
}

// nooutput checks that the step has none.
func noOutput(ts *testscript.TestScript, neg bool, args []string) {
	if outputs := of(ts).outputs(ts, of(ts).step); len(outputs) > 0 {
		ts.Fatalf("outputs: %v", outputs)
	}
}

// state PATTERN checks the state that the step has left.
func state(ts *testscript.TestScript, neg bool, args []string) {
	saved, err := of(ts).main.State()
	ts.Check(err)
	matches(ts, "state", fmt.Sprint(saved), args[0], neg)
}

// summary PATTERN checks the step's summary.
func summary(ts *testscript.TestScript, neg bool, args []string) {
	if w := of(ts); w.agent != nil {
		matches(ts, "summary", strings.Join(w.record.Summaries, "\n"), args[0], neg)
		return
	}
	text, err := of(ts).step.Summary()
	ts.Check(err)
	matches(ts, "summary", text, args[0], neg)
}

// log [-KIND] PATTERN checks what a person sees of the last start: lines, or
// the annotations of a kind.
func log(ts *testscript.TestScript, neg bool, args []string) {
	kind := ""
	if len(args) == 2 {
		kind, args = strings.TrimPrefix(args[0], "-"), args[1:]
	}
	var text strings.Builder
	if w := of(ts); w.agent != nil {
		for _, line := range w.record.Lines {
			if kind == "" || line.Format == kind {
				text.WriteString(line.Text + "\n")
			}
		}
		for _, issue := range w.record.Issues { // all of it, however many lines
			if issue.Type == kind {
				text.WriteString(issue.Text + "\n")
			}
		}
		matches(ts, "log", text.String(), args[0], neg)
		return
	}
	for _, line := range of(ts).shown {
		if kind == "" || line.Command != nil && line.Command.Name == kind {
			if line.Command != nil {
				fmt.Fprintf(&text, "%s: %s: ", line.Command.Name, line.Command.Properties["title"])
			}
			text.WriteString(line.Text + "\n")
		}
	}
	matches(ts, "log", text.String(), args[0], neg)
}

// pats N checks how many PATs are active; pats N TOTAL also how many there ever
// were.
func pats(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	got := []string{strconv.Itoa(len(w.Active())), strconv.Itoa(len(w.PATs()))}[:len(args)]
	if !slices.Equal(got, args) {
		ts.Fatalf("PATs active, in all: %v, want %v", got, args)
	}
}

// requests OP N checks how many requests of a kind there were; "all" counts all.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	ops := args[:1]
	if args[0] == "all" {
		ops = nil
	}
	if got := strconv.Itoa(len(of(ts).Requests(ops...))); got != args[1] {
		var list []string
		for _, r := range of(ts).Requests() {
			list = append(list, r.Op)
		}
		ts.Fatalf("%s requests of %s, want %s, in %v", got, args[0], args[1], list)
	}
}

// fault OP [times=N] [after=N] KIND [ARG] puts a fault in front of an operation.
func fault(ts *testscript.TestScript, neg bool, args []string) {
	w, op, args := of(ts), args[0], args[1:]
	wrap := func(f emulator.Fault) emulator.Fault { return f }
	for len(args) > 0 && strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "{") {
		name, n, _ := strings.Cut(args[0], "=")
		count, err := strconv.Atoi(n)
		ts.Check(err)
		inner := wrap
		wrap = func(f emulator.Fault) emulator.Fault {
			if name == "times" {
				return emulator.Times(count, inner(f))
			}
			return emulator.After(count, inner(f))
		}
		args = args[1:]
	}
	var f emulator.Fault
	number := func(i int) int {
		n, err := strconv.Atoi(args[i])
		ts.Check(err)
		return n
	}
	switch args[0] {
	case "clear":
		w.ClearFaults()
		return
	case "drop":
		f = emulator.Drop
	case "commit-drop":
		f = emulator.CommitAndDrop
	case "commit-answer":
		f = emulator.CommitAndAnswer(number(1), nil, strings.Join(args[2:], " "))
	case "limit":
		f = emulator.GitHubLimit(time.Duration(number(1)) * time.Second)
	case "late": // SECONDS
		f = emulator.Late(time.Duration(number(1)) * time.Second)
	case "header": // HEADER: VALUE…
		header := http.Header{}
		for _, h := range args[1:] {
			name, value, _ := strings.Cut(h, ": ")
			header.Set(name, value)
		}
		f = emulator.WithHeader(header)
	case "throttle":
		f = emulator.Throttle(time.Duration(number(1)) * time.Second)
	case "entra":
		f = emulator.EntraError(number(1))
	case "answer": // STATUS BODY [HEADER: VALUE]…
		header := http.Header{"Content-Type": {"application/json"}}
		for _, h := range args[3:] {
			name, value, _ := strings.Cut(h, ": ")
			header.Set(name, value)
		}
		f = emulator.Answer(number(1), header, args[2])
	case "date": // how far ahead the answers are dated
		ahead, err := time.ParseDuration(args[1])
		ts.Check(err)
		f = emulator.Alter(func(a *emulator.Response) {
			a.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		})
	case "shorten": // display names, to so many characters
		f = emulator.RewritePAT(func(pat map[string]any) {
			name := pat["displayName"].(string)
			pat["displayName"] = name[:min(number(1), len(name))]
		})
	case "claims": // JSON that a token must be asked for with
		f = emulator.ClaimsChallenge(args[1])
	case "bom": // a byte order mark before the answer
		f = emulator.Alter(func(a *emulator.Response) { a.Body = append([]byte("\xef\xbb\xbf"), a.Body...) })
	case "pat": // JSON object of fields to put into the PAT that is answered
		var fields map[string]any
		ts.Check(json.Unmarshal([]byte(args[1]), &fields))
		f = emulator.RewritePAT(func(pat map[string]any) {
			for name, value := range fields {
				if s, ok := value.(string); ok && strings.HasPrefix(s, "+") && name == "validTo" {
					d, err := time.ParseDuration(s[1:])
					at, err2 := time.Parse(time.RFC3339, pat[name].(string))
					if err == nil && err2 == nil {
						value = at.Add(d).Format(time.RFC3339Nano)
					}
				}
				pat[name] = value
			}
		})
	case "echo": // an answer that repeats the request with all its credentials
		f = func(rw http.ResponseWriter, r *http.Request, _ http.Handler) {
			_ = r.ParseForm()
			text := r.Header.Get("Authorization")
			sent := []string{strings.TrimPrefix(text, "Bearer ")}
			for _, values := range r.PostForm {
				sent = append(sent, values...)
			}
			for _, s := range sent {
				text += " " + base64.StdEncoding.EncodeToString([]byte(s)) + " " + s
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(number(1))
			json.NewEncoder(rw).Encode(map[string]any{"error": text, "error_description": text, "message": text, "typeKey": text,
				"correlation_id": text, "trace_id": text, "patTokenError": text, "patTokenErrorMessage": text})
		}
	default:
		ts.Fatalf("no fault %q", args[0])
	}
	w.Intercept(op, wrap(f))
}

// world WHAT changes what the services know.
func change(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.Change(func(world *emulator.State) {
		org := world.Organization(emulator.OrganizationName)
		app := world.App(emulator.BlueprintID)
		user := world.User(emulator.ServiceUserID)
		switch args[0] {
		case "organization": // another one, of the same members
			other := *org
			other.Name, other.ID = args[1], "99999999-0000-4000-8000-000000000099"
			world.Organizations = append(world.Organizations, &other)
		case "notenant":
			org.Tenant = emulator.NoTenant
		case "cap":
			d, err := time.ParseDuration(args[1])
			ts.Check(err)
			org.Policies.MaxLifetime = d
		case "refuse":
			org.Policies.RefuseLongLived = true
		case "nocreation":
			org.Policies.RestrictCreation = true
		case "nofull":
			org.Policies.RestrictFullScope = true
		case "nomember":
			org.Members = nil
		case "subject":
			app.Credentials[0].Subject = args[1]
		case "audience":
			app.Credentials[0].Audience = args[1]
		case "nocredential":
			app.Credentials = nil
		case "noappcredential":
			world.App(emulator.AppID).Credentials = nil
		case "noconsent":
			world.App(emulator.AgentID).Consented = nil
		case "consent":
			for _, id := range []string{emulator.AgentID, emulator.AppID} {
				world.App(id).Consented = args[1:]
			}
		case "tenant":
			org.Tenant = args[1]
		case "mfa":
			user.MFARequired = true
		case "rotate":
			world.RotateRefreshTokens = true
		case "unreferenced":
			world.ServiceConnections[0].Unreferenced = true
		case "gone":
			n, err := strconv.Atoi(args[1])
			ts.Check(err)
			org.Revoked = emulator.GoneAnswer(n)
		case "oldtoken":
			world.RefreshTokens[0].Revoked = true
		default:
			ts.Fatalf("no change %q", args[0])
		}
	})
}

// secret FROM TO sets a variable to what another one holds.
func copySecret(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.env[args[1]] = w.env[args[0]]
}

// seed NAME… plants PATs; $SEEDED is the id of the last one.
func seed(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		ts.Setenv("SEEDED", of(ts).Seed(emulator.PAT{Name: name}).ID)
	}
}

// aged AGE NAME… plants PATs that were minted some time ago and live for a day.
func seedAged(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	age, err := time.ParseDuration(args[0])
	ts.Check(err)
	from := w.Now(emulator.AzureDevOps).Add(-age)
	for _, name := range args[1:] {
		w.Seed(emulator.PAT{Name: name, ValidFrom: from, ValidTo: from.Add(24 * time.Hour)})
	}
}

// own revoked|expired|theirs makes a PAT of the agent user, or of another one, and
// sets it as the one to revoke.
func ownPAT(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	p := emulator.PAT{Name: "own"}
	switch args[0] {
	case "revoked":
		p.Revoked = true
	case "expired":
		p.ValidFrom = w.Now(emulator.AzureDevOps).Add(-2 * time.Hour)
	case "theirs":
		p.Owner = emulator.ServiceUserID
	}
	w.env["AZDO_PAT_AUTHORIZATION_ID"] = w.Seed(p).ID
}

// runs OWNER/REPO ID.ATTEMPT STATUS makes an attempt of a GitHub workflow run.
func seedRun(ts *testscript.TestScript, neg bool, args []string) {
	id, attempt, _ := strings.Cut(args[1], ".")
	n, err := strconv.Atoi(attempt)
	ts.Check(err)
	of(ts).Change(func(world *emulator.State) {
		world.Runs = append(world.Runs, &emulator.Run{Repository: args[0], ID: id, Attempt: n, Status: args[2]})
	})
}

// active PATTERN checks the names of the PATs that are active, a line each.
func activeNames(ts *testscript.TestScript, neg bool, args []string) {
	var names strings.Builder
	for _, p := range of(ts).Active() {
		names.WriteString(p.Name + "\n")
	}
	matches(ts, "active PATs", names.String(), args[0], neg)
}

// advance DURATION moves the services' clock.
func advance(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	of(ts).Advance(d)
}

// usable checks that the PAT that the step handed over works, or does not.
func usable(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	outputs := w.outputs(ts, w.main)
	req, err := http.NewRequest(http.MethodGet, w.URL(emulator.AzureDevOps)+"/contoso/_apis/connectionData?api-version=7.1-preview.1", nil)
	ts.Check(err)
	req.SetBasicAuth("", outputs["token"])
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	resp.Body.Close()
	if ok := resp.StatusCode == http.StatusOK; ok == neg {
		ts.Fatalf("the PAT is answered with %d", resp.StatusCode)
	}
}

// json NAME PATTERN checks a field of the object on standard output.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &object); err != nil {
		ts.Fatalf("standard output is no JSON object: %v", err)
	}
	value, ok := object[args[0]]
	if !ok {
		ts.Fatalf("no field %s in %v", args[0], slices.Sorted(maps.Keys(object)))
	}
	text := string(value) // as it is, but for strings
	_ = json.Unmarshal(value, &text)
	matches(ts, "field "+args[0], text, args[1], neg)
}
