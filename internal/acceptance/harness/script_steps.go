package harness

import (
	"bytes"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/fakes/pipelinesagent"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
)

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
			claims[name] = value
			if name == "exp" {
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
		w.env[emulator.Variable(name)] = value
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
		case "@vault":
			value = of(ts).SecretURL()
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

// secret FROM TO sets a variable to what another one holds.
func copySecret(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.env[args[1]] = w.env[args[0]]
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
	if i := slices.Index(args, "-planted"); i >= 0 { // as if another step had replaced the record
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

func (w *world) start(ts *testscript.TestScript, neg bool, name string, args []string) {
	path, err := Program()
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Args[0] = "/" + name
	cmd.Dir = w.dir
	cmd.Env = []string{} // not that of the test, even if it is empty
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
	io.WriteString(ts.Stdout(), WithoutMasks(stdout.String()))
	io.WriteString(ts.Stderr(), WithoutMasks(stderr.String()))
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
