//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// actRun tells the containers of this run of the tests from those of others.
var actRun = strings.ToLower(rand.Text()[:8])

// workflow is a workflow in a repository of its own, with services of its own.
type workflow struct {
	*emulator.Emulator
	tools *actTools
	dir   string // the repository
	name  string // of the workflow; act names its containers by it
	file  string

	event  string // that starts it
	docker bool   // the job can reach Docker, as on GitHub's runners
	// containers are options of docker run for all of the job's containers.
	containers []string
	env        map[string]string // of every job
	vars       map[string]string
	secrets    map[string]string
	// repositories are those whose actions and workflows it uses: OWNER/NAME@REF, and the
	// folder that has its files.
	repositories map[string]string

	log  *actLog
	cmd  *exec.Cmd
	took requests
}

// newWorkflow makes the repository: a checkout of contoso/widgets with the
// workflows and actions in testdata, of which one workflow is to run.
func newWorkflow(t *testing.T, tools *actTools, action, name string) *workflow {
	t.Helper()
	w := &workflow{
		Emulator: emulator.Start(t), tools: tools, dir: t.TempDir(),
		name: name + "-" + strings.ToLower(rand.Text()[:6]) + "-" + actRun,
		file: name + ".yml", event: "push",
		repositories: map[string]string{"contoso/azdo-pat@v1": action},
	}
	for _, folder := range []string{"workflows", "actions"} {
		if err := os.CopyFS(filepath.Join(w.dir, ".github", folder), os.DirFS(filepath.Join("testdata", folder))); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(w.dir, ".github/workflows/*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// Else act names them by their files, which other runs have too.
		named := append([]byte("name: "+w.name+"\n"), content...)
		if err := os.WriteFile(file, named, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.git(t, "init", "--quiet", "--initial-branch=main")
	w.git(t, "remote", "add", "origin", "https://github.com/contoso/widgets")
	w.commit(t)

	w.env = map[string]string{
		"ACTIONS_ID_TOKEN_REQUEST_URL":   w.Job().RequestURL,
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": w.Job().RequestToken,
	}
	w.vars = map[string]string{
		"REPOSITORY_URL":  w.GitURL(),
		"AZURE_DEVOPS":    w.URL(emulator.AzureDevOps),
		"BLUEPRINT_ID":    emulator.BlueprintID,
		"APP_ID":          emulator.AppID,
		"AGENT_ID":        emulator.AgentID,
		"AGENT_USER":      emulator.AgentUserUPN,
		"TENANT_ID":       emulator.TenantID,
		"ENTRA":           w.URL(emulator.Entra),
		"ORGANIZATION":    emulator.OrganizationName,
		"SERVICE_ACCOUNT": emulator.ServiceUserUPN,
	}
	w.secrets = map[string]string{}
	return w
}

func (w *workflow) git(t *testing.T, args ...string) string {
	t.Helper()
	git := exec.Command("git", append([]string{"-C", w.dir}, args...)...)
	git.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	return mustRun(t, git)
}

func (w *workflow) commit(t *testing.T) {
	t.Helper()
	w.git(t, "add", ".")
	w.git(t, "-c", "user.name=Octo Cat", "-c", "user.email=octocat@example.com", "commit", "--quiet", "-m", "Workflows")
}

// start starts the workflow.
func (w *workflow) start(t *testing.T) {
	t.Helper()
	// Nothing of the user's own settings, and nothing secret on a command line.
	home := t.TempDir()
	for name, content := range map[string]string{
		".config/act/actrc": "",
		"env":               dotenv(w.env),
		"vars":              dotenv(w.vars),
		"secrets":           dotenv(w.secrets),
	} {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, kill := context.WithTimeout(context.Background(), 5*time.Minute)
	w.log = newActLog()
	args := []string{w.event,
		"--workflows", filepath.Join(".github/workflows", w.file),
		"--directory", w.dir, "--bind", "--defaultbranch", "main", "--actor", "octocat",
		"--platform", "ubuntu-latest=" + jobImage, "--pull=false", "--rm",
		"--no-cache-server",
		"--env-file", filepath.Join(home, "env"),
		"--var-file", filepath.Join(home, "vars"),
		"--secret-file", filepath.Join(home, "secrets"),
	}
	for name, folder := range w.repositories {
		args = append(args, "--local-repository", name+"="+folder)
	}
	if !w.docker {
		args = append(args, "--container-daemon-socket", "-")
	}
	if w.containers != nil {
		args = append(args, "--container-options", strings.Join(w.containers, " "))
	}
	w.cmd = exec.CommandContext(ctx, w.tools.act, args...)
	w.cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "XDG_CONFIG_HOME=" + filepath.Join(home, ".config")}
	for _, name := range []string{"DOCKER_HOST", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			w.cmd.Env = append(w.cmd.Env, name+"="+value)
		}
	}
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	if err := w.cmd.Start(); err != nil {
		kill()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill()
		if w.cmd.ProcessState == nil {
			_ = w.cmd.Wait()
		}
		w.nothingLeft(t)
		if t.Failed() {
			t.Logf("the log of act (%v):\n%s", w.cmd.ProcessState, w.log)
		}
	})
}

func dotenv(values map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s=%s\n", name, values[name])
	}
	return b.String()
}

// wait waits for the end of the workflow and reports whether it succeeded.
func (w *workflow) wait(t *testing.T) bool {
	t.Helper()
	if err := w.cmd.Wait(); err != nil && w.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("act: %v", err) // 1 is that of a job that failed
	}
	return w.cmd.ProcessState.Success()
}

// run runs the workflow to its end.
func (w *workflow) run(t *testing.T) bool {
	t.Helper()
	w.start(t)
	return w.wait(t)
}

// interrupt is a person who cancels the run.
func (w *workflow) interrupt(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// nothingLeft checks that no container and no volume is left of the job, and
// removes them.
func (w *workflow) nothingLeft(t *testing.T) {
	t.Helper()
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "--all", "--quiet"}, []string{"rm", "--force"}},
		{[]string{"volume", "ls", "--quiet"}, []string{"volume", "rm"}},
	} {
		list := mustRun(t, exec.Command("docker", append(kind.list, "--filter", "name="+w.name)...))
		if ids := strings.Fields(list); len(ids) > 0 {
			t.Errorf("left by the job: %s %s", kind.list[0], ids)
			mustRun(t, exec.Command("docker", append(kind.remove, ids...)...))
		}
	}
}

// nothingStrange checks what holds after every workflow: no credential has been
// in the log, the services had no reason to object, and the job's workspace is
// as it was.
func (w *workflow) nothingStrange(t *testing.T) {
	t.Helper()
	log := w.log.String()
	for _, s := range w.Secrets() {
		if i := strings.Index(log, s); i >= 0 {
			line, _, _ := strings.Cut(log[strings.LastIndex(log[:i], "\n")+1:], "\n")
			t.Errorf("a credential is in the log: %s", line)
		}
	}
	for _, v := range w.Violations() {
		t.Errorf("%s: %s", v.Op, v.What)
	}
	if left := w.git(t, "status", "--porcelain"); left != "" {
		t.Errorf("the workspace has changed:\n%s", left)
	}
}

// pats checks how many PATs work, and how many there ever were.
func (w *workflow) pats(t *testing.T, active, all int) {
	t.Helper()
	if got := len(w.PATs()); got != all {
		t.Fatalf("%d PATs were minted, want %d", got, all)
	}
	if got := w.Active(); len(got) != active {
		t.Errorf("%d PATs are active, want %d: %+v", len(got), active, got)
	}
}

// eachRevokedOnce checks that every PAT has been revoked by one request that
// was sent for it alone.
func (w *workflow) eachRevokedOnce(t *testing.T) {
	t.Helper()
	asked := map[string]int{}
	for _, r := range w.Requests(emulator.OpRevoke) {
		query, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		asked[query.Query().Get("authorizationId")]++
	}
	for _, p := range w.PATs() {
		if !p.Revoked || asked[p.ID] != 1 {
			t.Errorf("PAT %s: revoked %v, by %d requests, want 1", p.ID, p.Revoked, asked[p.ID])
		}
	}
}

// names are the names of all PATs, each once and in the order of their making,
// as the workflows print them.
func (w *workflow) names() string {
	var names []string
	for _, p := range w.PATs() {
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, " / ")
}
