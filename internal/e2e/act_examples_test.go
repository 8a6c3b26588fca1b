//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// This file runs the workflows of examples/github, with the callers in its README.

const examples = "../../examples/github"

// An example is a run of one of the files.
type example struct {
	file string
	// caller is a text in the caller's code block of the README; empty: the file itself
	// is started.
	caller string
	// own is a workflow that the repository has instead of a caller.
	own   string
	event string
	job   emulator.Job // that GitHub attests; that of contoso/widgets if empty
	story func(*testing.T, *workflow)
	// replace has further texts of the files and of the caller, each with what takes its
	// place.
	replace func(*testing.T, *workflow) []string
}

var exampleRuns = map[string]example{
	"publish":          {file: "publish.yml", caller: "publish.yml@main", story: actPublish, replace: startFeed},
	"run":              {file: "run.yml", caller: "run.yml@main", event: "workflow_dispatch", story: actRunScript, replace: reachFromContainers},
	"mirror":           {file: "mirror.yml", caller: "mirror.yml@main", story: actMirror, replace: mirrorRepository},
	"pipeline":         {file: "pipeline.yml", caller: "pipeline.yml@main", story: actPipeline, replace: startPipelines},
	"action":           {file: "azdo-pat/action.yml", caller: "azdo-pat@main", story: actAction},
	"sweep":            {file: "sweep.yml", event: "workflow_dispatch", story: actSweep},
	"entra-token":      {file: "entra-token.yml", event: "workflow_dispatch", story: actEntraToken},
	"wrong-job-output": {file: "wrong-job-output.yml", event: "workflow_dispatch", story: actWrongJobOutput},

	// The organization of docs/rollout.md: contoso/planning has a rule of its own, another
	// repository has not, and one tries to get around the policy.
	"run-planning": {file: "run.yml", caller: "run.yml@main", event: "workflow_dispatch", job: emulator.Job{Repository: "contoso/planning", ImmutableSubject: true}, story: actRunPlans, replace: askForWorkItems},
	"run-refused":  {file: "run.yml", caller: "run.yml@main", event: "workflow_dispatch", story: actRunRefused, replace: askForWorkItems},
	"around":       {file: "publish.yml", own: ownWorkflow, story: actAround},
}

// newExample makes contoso/platform out of the examples, and a repository with the caller.
func newExample(t *testing.T, tools *actTools, action, name string, x example) *workflow {
	t.Helper()
	w := newWorkflow(t, tools, action, name)
	if x.event != "" {
		w.event = x.event
	}
	w.file = "example.yml"
	w.vars["AZDO_CLIENT_ID"] = emulator.AppID
	w.env["AZDO_PAT_AUTHORITY_HOST"] = w.URL(emulator.Entra)
	w.env["AZDO_PAT_TOKEN_SERVICE_URL"] = w.URL(emulator.AzureDevOps)
	if x.own != "" || strings.HasSuffix(x.caller, ".yml@main") {
		trustWorkflow(t, w, strings.TrimSuffix(x.file, ".yml"))
	}
	if strings.HasSuffix(x.caller, ".yml@main") {
		x.job.JobWorkflowRef = "contoso/platform/.github/workflows/" + x.file + "@refs/heads/main"
		job := w.StartJob(x.job)
		w.env["ACTIONS_ID_TOKEN_REQUEST_URL"], w.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = job.RequestURL, job.RequestToken
	}

	var replace []string
	if x.replace != nil {
		replace = x.replace(t, w)
	}
	replace = append(replace, "https://dev.azure.com", w.URL(emulator.AzureDevOps), "https://contoso.vault.azure.net/secrets/azdo-refresh-token", w.SecretURL(),
		// The composite action has an application and an account of its own.
		"https://contoso.vault.azure.net/secrets/azdo-reader-refresh-token", w.SecretURL(), "c3c3c3c3-0000-4000-8000-000000000007", emulator.AppID)
	text := readExample(t, x.file)
	for _, m := range regexp.MustCompile(`uses: (actions/([a-z]+-artifact)@[0-9a-f]{40})`).FindAllStringSubmatch(text, -1) {
		w.repositories[m[1]] = filepath.Join("testdata/actions", m[2])
	}
	w.repositories["OWNER/azdo-pat@COMMIT"] = action
	// Else act names the containers by the file, which other runs have too.
	text = regexp.MustCompile(`(?m)^name: .*$`).ReplaceAllLiteralString(text, "name: "+w.name)
	text = strings.NewReplacer(replace...).Replace(text)
	started := text
	if x.caller != "" {
		platform := t.TempDir()
		w.repositories["contoso/platform@main"] = platform
		file := x.file
		if filepath.Dir(file) == "." {
			file = filepath.Join(".github/workflows", file)
		}
		writeExample(t, filepath.Join(platform, file), text)
		started = "name: " + w.name + "\n" + strings.NewReplacer(replace...).Replace(callerOf(t, x.caller))
	}
	if x.own != "" {
		started = "name: " + w.name + "\n" + strings.NewReplacer(replace...).Replace(x.own)
	}
	writeExample(t, filepath.Join(w.dir, ".github/workflows/example.yml"), started)
	w.commit(t)
	return w
}

// trustWorkflow has the application trust a workflow of contoso/platform alone, by the
// flexible credential of docs/rollout.md.
func trustWorkflow(t *testing.T, w *workflow, name string) {
	t.Helper()
	guide, err := os.ReadFile("../../docs/rollout.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`"value": "(claims\[.*)",`).FindAllStringSubmatch(string(guide), -1)
	if len(m) != 1 {
		t.Fatalf("docs/rollout.md has %d expressions", len(m))
	}
	expression := strings.NewReplacer("$workflow", name, "GITHUB_ID", "48213").Replace(m[0][1])
	w.Change(func(s *emulator.State) {
		s.App(emulator.AppID).Credentials = []emulator.FederatedCredential{{Issuer: w.GitHubIssuer(), Audience: emulator.Audience, Expression: expression}}
	})
}

func readExample(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeExample(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// callerOf is the code block of the README that contains a text.
func callerOf(t *testing.T, containing string) string {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(readExample(t, "README.md"), -1) {
		if strings.Contains(m[1], containing) {
			return m[1]
		}
	}
	t.Fatalf("the README has no caller with %q", containing)
	return ""
}

// requests are those that an example's own server took.
type requests struct {
	mu   sync.Mutex
	list []string
}

func (r *requests) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, text)
}

func (r *requests) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// serveExample starts a server that takes requests with a PAT that is alive and has the
// scope.
func serveExample(t *testing.T, w *workflow, scope string, handle http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		if !slices.ContainsFunc(w.Active(), func(p emulator.PAT) bool { return p.Token == given && p.Scope == scope }) {
			rw.Header().Set("WWW-Authenticate", "Basic")
			http.Error(rw, "no PAT with "+scope, http.StatusUnauthorized)
			return
		}
		w.took.add(r.Method + " " + r.URL.Path)
		handle(rw, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// startFeed starts a feed for npm packages.
func startFeed(t *testing.T, w *workflow) []string {
	writeExample(t, filepath.Join(w.dir, "package.json"), `{"name":"widgets","version":"1.2.3","scripts":{
		"build":"echo built >built.txt; echo \"build: ${ACTIONS_ID_TOKEN_REQUEST_TOKEN:+token}\"",
		"prepublishOnly":"echo script: ran"}}`)
	writeExample(t, filepath.Join(w.dir, "package-lock.json"), `{"name":"widgets","version":"1.2.3","lockfileVersion":3,"requires":true,"packages":{"":{"name":"widgets","version":"1.2.3"}}}`)
	writeExample(t, filepath.Join(w.dir, ".gitignore"), "built.txt\nnode_modules\n")
	url := serveExample(t, w, "vso.packaging_write", func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			http.NotFound(rw, r) // the package has no versions yet
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		rw.WriteHeader(http.StatusCreated)
		fmt.Fprint(rw, `{"success":true}`)
	})
	return []string{"https://pkgs.dev.azure.com", url, "//pkgs.dev.azure.com", strings.TrimPrefix(url, "http:")}
}

// actPublish: the package is built in one job and published by another. The PAT lives in
// the second alone.
func actPublish(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the workflow failed")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	if p := w.PATs()[0]; p.Scope != "vso.packaging_write" {
		t.Errorf("the PAT has %s", p.Scope)
	}
	const put = "PUT /contoso/packages/_packaging/internal/npm/registry/widgets"
	if got := w.took.all(); !slices.Contains(got, put) {
		t.Errorf("the feed took %q, want %s", got, put)
	}
	w.log.hasNot(t, `script: ran`)
}

// reachFromContainers makes the script's container reach Azure DevOps: it has a network of
// its own, as on GitHub.
func reachFromContainers(t *testing.T, w *workflow) []string {
	w.docker = true
	gateway, err := defaultGateway()
	if err != nil {
		t.Fatal(err)
	}
	at := startRelay(t, net.JoinHostPort(gateway, "0"), host(w.Emulator, emulator.AzureDevOps), func(c net.Conn) net.Conn { return c })
	image := regexp.MustCompile(`ghcr\.io/\S+`).FindString(readExample(t, "run.yml"))
	return []string{image, jobImage, "https://dev.azure.com", "http://" + at.String(),
		"    script: |\n", `    script: |
        echo "PAT: ${#AZURE_DEVOPS_EXT_PAT}"
        echo "OIDC: $(env | grep -c -e ACTIONS_ -e GITHUB_ -e RUNNER_)"
        echo "docker: $(test ! -e /var/run/docker.sock && echo none)"
        echo "repository: $(head -c 4 /repository/.github/workflows/mint.yml)"
        echo "write: $(touch /repository/.git/x 2>/dev/null || echo refused)"
`}
}

// actRunScript: the script's container has the PAT, but neither the job's OIDC token nor
// Docker, and cannot change the repository.
func actRunScript(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the workflow failed")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	for name, want := range map[string]string{"PAT": "84", "OIDC": "0", "docker": "none", "repository": "name", "write": "refused"} {
		if got := w.log.said(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.log.has(t, `\| [0-9a-f]{40}\trefs/heads/main`)
}

// askForWorkItems makes the caller of run.yml ask for another scope.
func askForWorkItems(t *testing.T, w *workflow) []string {
	return append(reachFromContainers(t, w), "scopes: vso.code\n", "scopes: vso.work_write\n")
}

// actRunPlans: a rule of its own allows the repository what the others may not have. The
// script then fails, since the PAT has no access to code.
func actRunPlans(t *testing.T, w *workflow) {
	if w.run(t) {
		t.Error("the script could clone")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	if p := w.PATs()[0]; p.Scope != "vso.work_write" {
		t.Errorf("the PAT has %s", p.Scope)
	}
}

// actRunRefused: the policy refuses what no rule allows. (act keeps no state, so the post
// step asks Azure DevOps whether there is a PAT.)
func actRunRefused(t *testing.T, w *workflow) {
	if w.run(t) {
		t.Error("the job succeeded")
	}
	w.pats(t, 0, 0)
	w.log.has(t, `refused by the policy`)
	if n := len(w.Requests(emulator.OpCreate)); n != 0 {
		t.Errorf("%d requests to mint", n)
	}
}

// ownWorkflow mints without the reusable workflow and its policy.
const ownWorkflow = `
on: push
permissions: {}
jobs:
  around:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    permissions:
      id-token: write
    steps:
      - uses: OWNER/azdo-pat@COMMIT
        with:
          organization: contoso
          tenant-id: 11111111-1111-4111-8111-111111111111
          client-id: c1c1c1c1-0000-4000-8000-000000000004
          refresh-token-vault: https://contoso.vault.azure.net/secrets/azdo-refresh-token
          scopes: vso.packaging_write
`

// actAround: Entra refuses a job that does not come from the reusable workflow.
func actAround(t *testing.T, w *workflow) {
	if w.run(t) {
		t.Error("the job succeeded")
	}
	w.pats(t, 0, 0)
	w.log.has(t, `AADSTS7002131:`, `job_workflow_ref: contoso/widgets/\.github/workflows/ci\.yml@refs/heads/main`)
}

// mirrorRepository makes the branches and tags as actions/checkout leaves them, which act
// skips for the local repository.
func mirrorRepository(t *testing.T, w *workflow) []string {
	w.git(t, "remote", "set-url", "origin", "https://github.com/contoso/"+emulator.Repository)
	for _, ref := range []string{"refs/remotes/origin/main", "refs/remotes/origin/release/1", "refs/tags/v1"} {
		w.git(t, "update-ref", ref, "HEAD")
	}
	w.git(t, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
	return []string{"https://dev.azure.com/contoso/mirrors/", w.URL(emulator.AzureDevOps) + "/contoso/" + emulator.Project + "/"}
}

// actMirror: the mirror has the branches and tags of the repository, and nothing else.
func actMirror(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the workflow failed")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)

	p := w.Seed(emulator.PAT{Name: "reads", Scope: "vso.code"})
	got := w.git(t, "-c", "http.extraHeader=Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(":"+p.Token)), "ls-remote", w.GitURL())
	head := strings.TrimSpace(w.git(t, "rev-parse", "v1"))
	want := head + "\tHEAD\n" + head + "\trefs/heads/main\n" + head + "\trefs/heads/release/1\n" + head + "\trefs/tags/v1\n"
	if got != want {
		t.Errorf("the mirror has\n%swant\n%s", got, want)
	}
}

// startPipelines starts the API of Azure's pipelines, in which a run ends after two
// questions.
func startPipelines(t *testing.T, w *workflow) []string {
	asked := 0
	url := serveExample(t, w, "vso.build_execute", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("api-version") != "7.1" {
			t.Errorf("%s", r.URL)
		}
		state, result := "inProgress", ""
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if !strings.Contains(string(body), `"refName": "refs/heads/main"`) || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s, %v", body, err)
			}
		} else if asked++; asked == 2 {
			state, result = "completed", "succeeded"
		}
		fmt.Fprintf(rw, `{"id":4711,"state":%q,"result":%q}`, state, result)
	})
	return []string{"https://dev.azure.com/contoso/deployments/_apis", url + "/contoso/deployments/_apis", "sleep 15", "sleep 1"}
}

// actPipeline: the run is queued once and waited for.
func actPipeline(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the workflow failed")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	const runs = " /contoso/deployments/_apis/pipelines/12/runs"
	if got, want := w.took.all(), []string{"POST" + runs, "GET" + runs + "/4711", "GET" + runs + "/4711"}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	w.log.has(t, `the run ended: succeeded`)
}

// actAction: the composite action needs no more than the scopes.
func actAction(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the job failed")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	if err := os.RemoveAll(filepath.Join(w.dir, "hello")); err != nil {
		t.Error(err)
	}
	if len(w.Requests(emulator.OpGit)) == 0 {
		t.Error("git did not use the PAT")
	}
}

// actSweep: what is older than six hours is revoked, the rest is left alone.
func actSweep(t *testing.T, w *workflow) {
	now := w.Now(emulator.AzureDevOps)
	for name, age := range map[string]time.Duration{
		"azdo-pat contoso/widgets run 1.1 build 0123456789abcdef": 7 * time.Hour,
		"azdo-pat contoso/widgets run 2.1 build 1123456789abcdef": time.Hour,
		"of a person": 9 * time.Hour,
	} {
		w.Seed(emulator.PAT{Name: name, Owner: emulator.ServiceUserID, ValidFrom: now.Add(-age), ValidTo: now.Add(24 * time.Hour)})
	}
	if !w.run(t) {
		t.Error("the job failed")
	}
	for _, p := range w.PATs() {
		if want := strings.Contains(p.Name, " run 1.1 "); p.Revoked != want {
			t.Errorf("%s: revoked %v, want %v", p.Name, p.Revoked, want)
		}
	}
}

// actEntraToken: git and the REST API take the Entra token.
func actEntraToken(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the job failed")
	}
	w.pats(t, 0, 0)
	if err := os.RemoveAll(filepath.Join(w.dir, "hello")); err != nil {
		t.Error(err)
	}
	if len(w.Requests(emulator.OpGit)) == 0 || len(w.Requests(emulator.OpProjects)) != 1 {
		t.Error("git or the REST API did not get the token")
	}
}

// actWrongJobOutput: act hands over the job output, which GitHub drops. The PAT has been
// revoked even so, and the second job fails.
func actWrongJobOutput(t *testing.T, w *workflow) {
	if w.run(t) {
		t.Error("the workflow succeeded")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	w.log.has(t, `Failure - Main Clone`, `Authentication failed`)
}
