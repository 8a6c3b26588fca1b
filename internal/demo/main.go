// Command demo shows the whole life of a PAT on this machine. It starts the emulator
// of GitHub, Entra ID and Azure DevOps, builds the real program, and runs a job as
// GitHub's runner does: the main step, a step that uses the PAT with git and over REST,
// and the post step. It prints the log as a person sees it, and exits with status 1 if
// a check fails.
//
//	go run ./internal/demo                          as an agent user
//	go run ./internal/demo -identity refresh-token  as another identity
//	go run ./internal/demo -shell                   leave the emulator running, and try
//	                                                the program by hand
//	go run ./internal/demo -svg FILE                record it as an animated picture,
//	                                                docs/images/demo.svg
//	go run ./internal/demo -summary FILE            draw the step summary,
//	                                                docs/images/summary.svg
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

func main() {
	// A set of its own: packages for tests, which the emulator is for too, add flags.
	flags := flag.NewFlagSet("demo", flag.ExitOnError)
	name := flags.String("identity", string(emulator.AgentUser), "how the job signs in: "+names())
	interactive := flags.Bool("shell", false, "leave the emulator running, and print the variables for the program")
	picture := flags.String("svg", "", "write a recording to this file")
	summary := flags.String("summary", "", "write a picture of the step summary to this file")
	_ = flags.Parse(os.Args[1:])
	id := emulator.Identity(*name)
	if !slices.Contains(identities, id) || flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: -identity %s: allowed: %s\n", *name, names())
		os.Exit(2)
	}
	start := time.Now()
	do := run
	if *interactive {
		do = shell
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var output strings.Builder
	err := do(ctx, io.MultiWriter(os.Stdout, &output), id)
	if err == nil && *picture != "" {
		err = os.WriteFile(*picture, []byte(recording(output.String())), 0o644)
	}
	if err == nil && *summary != "" {
		err = os.WriteFile(*summary, []byte(summaryPicture(output.String())), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	if *interactive {
		return
	}
	fmt.Printf("\nAll checks passed, in %.1f s.\n", time.Since(start).Seconds())
}

// identities are those that a job can have.
var identities = append([]emulator.Identity{emulator.ServicePrincipal}, emulator.Identities...)

// names lists the identities.
func names() string {
	var all []string
	for _, id := range identities {
		all = append(all, string(id))
	}
	return strings.Join(all, ", ")
}

// demo is a run of the demonstration.
type demo struct {
	*emulator.Emulator
	out    io.Writer
	dir    string
	binary string
	env    map[string]string // of the action's steps
	log    githubrunner.Log
	raw    strings.Builder // all that the program wrote, unmasked
}

// start builds the program and starts the emulator. The caller calls stop.
func start(out io.Writer) (d *demo, stop func(), err error) {
	dir, err := os.MkdirTemp("", "azdo-pat-demo")
	if err != nil {
		return nil, nil, err
	}
	d = &demo{out: out, dir: dir}
	d.title("Build azdo-pat")
	err = d.build()
	if err == nil {
		d.Emulator, err = emulator.New(emulator.Options{})
	}
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	d.say("the emulator of GitHub, Entra ID and Azure DevOps listens on 127.0.0.1")
	return d, func() {
		d.Close()
		os.RemoveAll(dir)
	}, nil
}

func run(_ context.Context, out io.Writer, id emulator.Identity) error {
	d, stop, err := start(out)
	if err != nil {
		return err
	}
	defer stop()

	d.env = d.Env(id)
	if id != emulator.ServicePrincipal { // an Entra token has no scopes
		d.env["INPUT_SCOPES"] = "vso.code vso.project"
		d.env["INPUT_LIFETIME"] = "15m"
	}
	d.env["INPUT_NAME"] = "demo"

	d.title("Step 1: azdo-pat (main)")
	main, err := githubrunner.NewStep(d.dir)
	if err != nil {
		return err
	}
	if err := d.action(main, nil, "azdo-pat"); err != nil {
		return err
	}
	outputs, err := main.Outputs()
	if err != nil {
		return err
	}
	for _, name := range []string{"token", "token-type", "authorization-id", "expires-at", "display-name", "scopes"} {
		d.say("output %s: %s", name, d.log.Mask(outputs[name]))
	}
	token := outputs["token"]

	d.title("Step 2: the job uses the token")
	if err := d.clone(token, "before"); err != nil {
		return fmt.Errorf("git clone with the token: %w", err)
	}
	if status, err := d.rest(token); err != nil || status != http.StatusOK {
		return fmt.Errorf("REST with the token: %d, %w", status, err)
	}

	d.title("Step 3: azdo-pat (post)")
	state, err := main.State()
	if err != nil {
		return err
	}
	post, err := githubrunner.NewStep(d.dir)
	if err != nil {
		return err
	}
	if err := d.action(post, state, "post"); err != nil {
		return err
	}

	d.title("Afterwards")
	if id == emulator.ServicePrincipal {
		d.say("the Entra token ends by itself: nothing revokes it")
		return d.nothingLeft()
	}
	if err := d.clone(token, "after"); err == nil {
		return errors.New("git still accepts the PAT")
	}
	if status, err := d.rest(token); err != nil || status != http.StatusUnauthorized {
		return fmt.Errorf("REST still accepts the PAT: %d, %w", status, err)
	}
	return d.nothingLeft()
}

// prebuilt is the program that the tests build once for all of their demos.
var prebuilt string

// build builds the program from the module of this file.
func (d *demo) build() error {
	d.binary = filepath.Join(d.dir, "azdo-pat")
	if prebuilt != "" {
		return os.Symlink(prebuilt, d.binary)
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", d.binary, ".")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	return nil
}

// moduleRoot returns the nearest folder with a go.mod, from the current one upwards.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod here or above: start it inside the checkout")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// action starts the program as the runner starts a container action. The main and the
// post step differ only in the program's name.
func (d *demo) action(step *githubrunner.Step, state map[string]string, name string) error {
	env := maps.Clone(d.env)
	maps.Copy(env, step.Env())
	maps.Copy(env, state)
	cmd := exec.Command(d.binary, "mint")
	cmd.Args[0] = "/" + name
	cmd.Dir = d.dir
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	var wrote bytes.Buffer
	cmd.Stdout, cmd.Stderr = &wrote, &wrote
	err := cmd.Run()
	d.raw.Write(wrote.Bytes())
	for _, line := range d.log.Read(wrote.String()) {
		switch {
		case line.Command == nil:
			d.say("%s", line.Text)
		case line.Command.Name == "group":
			d.say("▾ %s", line.Text)
		case line.Command.Name != "endgroup":
			d.say("%s: %s: %s", line.Command.Name, line.Command.Properties["title"], line.Text)
		}
	}
	if summary, e := step.Summary(); e == nil && summary != "" {
		d.say("")
		d.say("the job's summary:")
		for line := range strings.Lines(strings.TrimSpace(summary)) {
			d.say("  | %s", strings.TrimRight(line, "\n"))
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// clone clones the repository with real git, as the README's workflow does: git
// asks a credential helper for the PAT, which is in the environment, so that no
// command line and no file holds it.
func (d *demo) clone(pat, folder string) error {
	d.say("$ git clone %s", d.GitURL())
	cmd := exec.Command("git", "clone", "--quiet", d.GitURL(), filepath.Join(d.dir, folder))
	cmd.Env = append(os.Environ(),
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=credential."+d.URL(emulator.AzureDevOps)+".helper",
		`GIT_CONFIG_VALUE_0=!f() { test "$1" = get && echo "username=pat" && echo "password=$PAT"; }; f`,
		"PAT="+pat,
	)
	text, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(text)) {
		d.say("%s", d.log.Mask(strings.TrimRight(line, "\n")))
	}
	if err != nil {
		return err
	}
	log := exec.Command("git", "-C", filepath.Join(d.dir, folder), "log", "--oneline")
	text, err = log.Output()
	d.say("%s", strings.TrimSpace(string(text)))
	return err
}

// rest requests the organization's projects as a script would.
func (d *demo) rest(pat string) (int, error) {
	url := d.URL(emulator.AzureDevOps) + "/" + emulator.OrganizationName + "/_apis/projects?api-version=7.1"
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth("", pat)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	d.say("$ curl --user :*** %s", url)
	d.say("%s", resp.Status)
	return resp.StatusCode, nil
}

// nothingLeft checks that no PAT is left and that the log holds no credential.
func (d *demo) nothingLeft() error {
	if active := d.Active(); len(active) != 0 {
		return fmt.Errorf("%d PATs are left", len(active))
	}
	d.say("PATs left at Azure DevOps: 0 of %d", len(d.PATs()))
	log := harness.WithoutMasks(d.raw.String())
	secrets := d.Secrets()
	for _, s := range secrets {
		if harness.Contains(log, s) {
			return errors.New("a credential is in the log")
		}
	}
	d.say("credentials in the log: 0 of the %d that the services know", len(secrets))
	if v := d.Violations(); len(v) != 0 {
		return fmt.Errorf("the program broke a rule of the services: %v", v)
	}
	requests := map[string]int{}
	for _, r := range d.Requests() {
		requests[string(r.Service)]++
	}
	d.say("requests: GitHub %d, Entra ID %d, Azure DevOps %d (including the job's own)",
		requests["github"], requests["entra"], requests["azdo"])
	return nil
}

func (d *demo) title(text string) { fmt.Fprintf(d.out, "\n== %s\n", text) }

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "   "+format+"\n", args...)
}
