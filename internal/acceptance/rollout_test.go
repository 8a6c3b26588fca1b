//go:build unix

package acceptance

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/azcli"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/standin"
)

// rollout is an organization whose platform team follows docs/rollout.md.
type rollout struct {
	*testing.T
	*emulator.Emulator
	az     []string // the environment of the Azure CLI and of the jobs, by the real names
	home   string
	blocks []string // of the page that are still to be run
	// words of the page that its reader replaces
	tenant, application string
	platform            string // the checkout of contoso/platform
	run                 int
}

// account is the service account, in the domain that the emulated tenant has.
const account = "azdo@" + emulator.TenantDomain

// gitHubStandIn is a gh that answers what setup asks about contoso/platform, and takes
// down everything else.
const gitHubStandIn = `#!/bin/sh
case $* in
"api repos/contoso/platform/actions/oidc/customization/sub "*) printf %s '{"use_default":true}' | jq -r "$4" ;;
"api repos/contoso/platform --jq "*) printf %s '{"full_name":"contoso/platform","owner":{"id":48213},"id":702420,"default_branch":"main"}' | jq -r "$4" ;;
*) echo "$*" >>"$HOME/gh.log" ;;
esac
`

func newRollout(t *testing.T) *rollout {
	t.Helper()
	e, az := azcli.Start(t, emulator.Options{World: func(w *emulator.State) {
		w.Vault.Name, w.Vault.Secrets, w.Vault.Roles = "contoso", nil, nil
		w.AzureVaults = []*emulator.AzureVault{{Name: "contoso", Location: "westeurope", RBAC: true}}
		w.ReplicationReads = 1
	}})
	r := &rollout{T: t, Emulator: e, home: t.TempDir()}
	bin := filepath.Join(r.home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	standin.Write(t, filepath.Join(bin, "gh"), gitHubStandIn)
	harness.LinkTo(t, bin, "azdo-pat")
	r.az = append(slices.Clone(az.Env()), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+r.home, "SETUP_PAUSE=0")
	// A checkout of this repository beside the one of contoso/platform.
	checkout := filepath.Join(r.home, "azdo-pat")
	if err := os.CopyFS(filepath.Join(checkout, "examples"), os.DirFS("examples")); err != nil {
		t.Fatal(err)
	}
	r.platform = filepath.Join(r.home, "platform")
	text, err := os.ReadFile("docs/rollout.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		r.blocks = append(r.blocks, m[1])
	}
	return r
}

// next takes the next block of the page, which must begin with a command, with the words
// replaced that the page has the reader replace.
func (r *rollout) next(begins string) string {
	r.Helper()
	if len(r.blocks) == 0 || !strings.HasPrefix(r.blocks[0], begins) {
		r.Fatalf("the page does not go on with %q: %q", begins, r.blocks)
	}
	block := strings.NewReplacer("TENANT", r.tenant, "APPLICATION", r.application, "GITHUB_ID", "48213", "azdo@contoso.com", account).Replace(r.blocks[0])
	r.blocks = r.blocks[1:]
	return block
}

// shell runs a block in a folder, as the reader who copies it.
func (r *rollout) shell(folder, block string) string {
	r.Helper()
	// The administrator is signed in: there is no browser for az login here.
	block = strings.Replace(block, "az login\n", "", 1)
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", block)
	cmd.Dir, cmd.Env = folder, r.az
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		r.Fatalf("%v\n%s\n%s\n%s", err, block, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

// login runs the block that signs in: what it prints for a second terminal, and what it
// opens in the browser.
func (r *rollout) login(block string) {
	r.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", block)
	cmd.Dir, cmd.Env = r.home, append(slices.Clone(r.az), "BROWSER=true")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		r.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	person := r.Person()
	r.Change(func(w *emulator.State) { // its password has been reset
		user := w.User(account)
		user.Password, user.PasswordExpired = "Pa55-after-the-reset", false
		person.Username, person.Password = user.UPN, user.Password
	})
	var all strings.Builder
	var remove string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		all.WriteString(line + "\n")
		switch {
		case strings.HasPrefix(line, "az ad app credential reset "):
			r.shell(r.home, line)
		case strings.HasPrefix(line, "az ad app credential list "):
			remove = line
		case strings.Contains(line, "/oauth2/v2.0/authorize?"):
			_, path, _ := strings.Cut(line, "https://login.microsoftonline.com/")
			if page, err := person.Visit(r.Context(), r.URL(emulator.Entra)+"/"+path); err != nil {
				r.Errorf("%v\n%s", err, page.Text)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		r.Fatalf("%v\n%s", err, all.String())
	}
	r.shell(r.home, remove)
}

// workflowFile is as much of a workflow as its minting step needs.
type workflowFile struct {
	On   any
	Jobs map[string]struct {
		Permissions map[string]string
		Steps       []struct {
			Uses string
			With map[string]string
		}
	}
}

// A jobRun is a job's step with azdo-pat.
type jobRun struct {
	status   int
	log      string
	summary  string
	requests int    // that reached Entra, the vault and Azure DevOps
	post     func() // the post step
}

// job runs the step with azdo-pat of a workflow of contoso/platform in a job.
func (r *rollout) job(file string, inputs map[string]string, j emulator.Job) *jobRun {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.platform, ".github/workflows", file))
	if err != nil {
		r.Fatal(err)
	}
	return r.workflow(string(text), inputs, j)
}

var inputExpression = regexp.MustCompile(`\$\{\{ inputs\.([\w-]+)(?: \|\| '?([^'}]*?)'?)? \}\}`)

func (r *rollout) workflow(text string, inputs map[string]string, j emulator.Job) *jobRun {
	r.Helper()
	var w workflowFile
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		r.Fatal(err)
	}
	r.run++
	j.RunID = "4" + strings.Repeat("0", r.run)
	job := r.StartJob(j)
	env := maps.Clone(r.JobEnv(job, emulator.VaultToken))
	for name := range env {
		if strings.HasPrefix(name, "INPUT_") {
			delete(env, name)
		}
	}
	for _, v := range r.az {
		if name, value, _ := strings.Cut(v, "="); name == "HTTPS_PROXY" || name == "SSL_CERT_FILE" {
			env[name] = value
		}
	}
	command := "mint"
	for _, job := range w.Jobs {
		for _, s := range job.Steps {
			if !strings.HasPrefix(s.Uses, "OWNER/azdo-pat@") {
				continue
			}
			if job.Permissions["id-token"] != "write" {
				r.Fatalf("the job has the permissions %v", job.Permissions)
			}
			for name, value := range s.With {
				value = inputExpression.ReplaceAllStringFunc(value, func(x string) string {
					m := inputExpression.FindStringSubmatch(x)
					if given, ok := inputs[m[1]]; ok {
						return given
					}
					return strings.TrimSpace(m[2])
				})
				env["INPUT_"+strings.ToUpper(name)] = value
			}
			if c := s.With["command"]; c != "" {
				command = c
			}
		}
	}
	before := len(r.Requests())
	step := harness.NewStep(r.T)
	cmd := harness.Command(r.T, env, step, "azdo-pat", command)
	status, err := harness.ExitStatus(cmd.Run())
	if err != nil {
		r.Fatal(err)
	}
	run := &jobRun{status: status, log: harness.Output(cmd)}
	for _, secret := range r.Secrets() {
		if harness.Contains(run.log, secret) {
			r.Errorf("%s: a credential is in the log", command)
		}
	}
	for _, q := range r.Requests()[before:] {
		if q.Service != emulator.GitHub {
			run.requests++
		}
	}
	if run.summary, err = step.Summary(); err != nil {
		r.Fatal(err)
	}
	run.post = func() {
		r.Helper()
		post := harness.PostStep(r.T, env, step, "both")
		if err := post.Run(); err != nil {
			r.Errorf("post: %v\n%s", err, harness.Output(post))
		}
	}
	return run
}

// gets checks that a job gets a PAT with the scope, without a warning about the policy,
// and that its post step revokes it.
func (r *rollout) gets(run *jobRun, scope string) {
	r.Helper()
	active := r.Active()
	if run.status != 0 || len(active) != 1 || active[0].Scope != scope || strings.Contains(run.log, "this would be refused") {
		r.Fatalf("status %d, PATs %+v, want one with %s\n%s", run.status, active, scope, run.log)
	}
	run.post()
	if n := len(r.Active()); n != 0 {
		r.Errorf("%d PATs are alive after the job", n)
	}
}

// refusedByEntra checks that Entra refuses a job, with the code, and nothing is minted.
func (r *rollout) refusedByEntra(run *jobRun, code string) {
	r.Helper()
	if run.status != 1 || len(r.Active()) != 0 || !strings.Contains(run.log, "AADSTS"+code+":") {
		r.Fatalf("status %d, want AADSTS%s\n%s", run.status, code, run.log)
	}
}

// TestRolloutGuide follows docs/rollout.md from its first command to its last, for an
// organization with three repositories beside that of its platform team: widgets
// publishes, planning writes work items by a rule of its own, and legacy is allowed
// neither. It tries to get around the policy as well.
//
// The commands are run as they are printed, by the real Azure CLI. Of the workflows the
// step with azdo-pat is run, by the real program; internal/e2e runs them whole.
func TestRolloutGuide(t *testing.T) {
	t.Parallel()
	r := newRollout(t)
	before := r.state()

	// 1. Create the account and the application.
	setup := r.next("az login\n")
	said := r.shell(r.home, setup)
	ids := regexp.MustCompile(`tenant-id: ([0-9a-f-]{36})\s+client-id: ([0-9a-f-]{36})`).FindStringSubmatch(said)
	if ids == nil {
		t.Fatalf("the script ends with no ids\n%s", said)
	}
	r.tenant, r.application = ids[1], ids[2]
	r.login(r.next("azdo-pat login "))

	// 3. Copy the workflows. The first block is run in the checkout of this repository.
	r.shell(filepath.Join(r.home, "azdo-pat"), r.next("mkdir -p ../platform/"))
	r.shell(r.platform, r.next("gh api --method PUT repos/contoso/platform/actions/permissions/access"))

	widgets := emulator.Job{Repository: "contoso/widgets"}
	planning := emulator.Job{Repository: "contoso/planning", ImmutableSubject: true}
	legacy := emulator.Job{Repository: "contoso/legacy"}
	platform := emulator.Job{Repository: "contoso/platform"}
	calls := func(j emulator.Job, file string) emulator.Job {
		j.JobWorkflowRef = "contoso/platform/.github/workflows/" + file + "@refs/heads/main"
		return j
	}
	plans := map[string]string{"scopes": "vso.work_write", "lifetime": "15m"}
	publish := func(j emulator.Job) *jobRun { return r.job("publish.yml", nil, calls(j, "publish.yml")) }
	plan := func(j emulator.Job) *jobRun { return r.job("run.yml", plans, calls(j, "run.yml")) }

	// Until step 4 Entra trusts the main branch of contoso/platform alone.
	r.refusedByEntra(publish(widgets), "700213")

	// 4. Trust the workflows.
	r.shell(r.platform, r.next("for workflow in publish run; do\n  cat >credential.json"))
	listed := r.shell(r.platform, r.next("az rest --method GET "))
	for _, want := range []string{"azdo-pat-publish\tclaims['sub']", "azdo-pat-run\tclaims['sub']", "\trepo:contoso/platform:ref:refs/heads/main\n", "\trepo:contoso@48213/platform@702420:ref:refs/heads/main\n"} {
		if !strings.Contains(listed, want) || strings.Count(listed, "\n") != 4 {
			t.Errorf("the application trusts\n%s, want four lines, one with %q", listed, want)
		}
	}
	if again := r.shell(r.home, setup); !strings.Contains(again, "everything was there already") {
		t.Errorf("setup once more:\n%s", again)
	}

	around := func() {
		t.Helper()
		const own = `jobs: {job: {permissions: {id-token: write}, steps: [{uses: OWNER/azdo-pat@COMMIT, with: {
			organization: contoso, tenant-id: TENANT, client-id: APPLICATION, scopes: vso.code_full,
			refresh-token-vault: "https://contoso.vault.azure.net/secrets/azdo-refresh-token"}}]}}`
		text := strings.NewReplacer("TENANT", r.tenant, "APPLICATION", r.application).Replace(own)
		for what, job := range map[string]emulator.Job{
			"a workflow of its own":                    legacy,
			"one of the allowed repository's own":      widgets,
			"a copy of the trusted workflow":           {Repository: "contoso/legacy", JobWorkflowRef: "contoso/legacy/.github/workflows/publish.yml@refs/heads/main"},
			"another workflow of the platform team":    calls(legacy, "sweep.yml"),
			"a branch of the platform team's":          {Repository: "contoso/legacy", JobWorkflowRef: "contoso/platform/.github/workflows/publish.yml@refs/heads/mine"},
			"a branch of contoso/platform, in a job":   {Repository: "contoso/platform", Ref: "refs/heads/mine"},
			"a pull request of contoso/platform":       {Repository: "contoso/platform", Ref: "refs/pull/7/merge", Event: "pull_request"},
			"another owner who calls the workflow":     calls(emulator.Job{Repository: "evil/widgets"}, "publish.yml"),
			"another owner whose name begins the same": calls(emulator.Job{Repository: "contoso-evil/widgets"}, "publish.yml"),
			"a tag of the same name as the branch":     {Repository: "contoso/widgets", JobWorkflowRef: "contoso/platform/.github/workflows/publish.yml@refs/tags/main"},
		} {
			t.Log(what)
			r.refusedByEntra(r.workflow(text, nil, job), "7002131")
		}
	}

	// 5. Begin with an audit: the policy warns and mints. Entra refuses from the beginning.
	r.gets(publish(widgets), "vso.packaging_write")
	r.gets(plan(planning), "vso.work_write")
	warned := plan(legacy)
	if warned.status != 0 || len(r.Active()) != 1 || !strings.Contains(warned.log, "this would be refused") ||
		!strings.Contains(warned.summary, "(audit): this would be refused") || !strings.Contains(warned.summary, "contoso/legacy") {
		t.Errorf("status %d\n%s\n%s", warned.status, warned.log, warned.summary)
	}
	warned.post()
	around()

	// 6. Enforce: what the policy refuses reaches no service of Microsoft's.
	r.shell(r.platform, r.next("sed -i.bak 's/mode: audit/mode: enforce/'"))
	r.gets(publish(widgets), "vso.packaging_write")
	r.gets(plan(planning), "vso.work_write")
	if run := plan(legacy); run.status != 1 || run.requests != 0 || len(r.Active()) != 0 || !strings.Contains(run.log, "refused by the policy") {
		t.Errorf("status %d, %d requests\n%s", run.status, run.requests, run.log)
	}
	if run := publish(emulator.Job{Repository: "contoso/widgets", Ref: "refs/heads/feature"}); run.status != 1 || run.requests != 0 {
		t.Errorf("status %d, %d requests\n%s", run.status, run.requests, run.log)
	}
	around()

	// See who uses what: a job of widgets was killed.
	all := r.PATs()
	killed := all[slices.IndexFunc(all, func(p emulator.PAT) bool { return strings.Contains(p.Name, " contoso/widgets ") })]
	now := r.Now(emulator.AzureDevOps)
	r.Seed(emulator.PAT{Name: killed.Name, Owner: killed.Owner, Scope: killed.Scope, ValidFrom: now.Add(-2 * time.Minute), ValidTo: now.Add(8 * time.Minute)})
	list := r.job("audit.yml", nil, platform)
	if list.status != 0 || !strings.Contains(list.summary, "contoso/widgets") || strings.Contains(list.summary, "contoso/planning") {
		t.Errorf("status %d\n%s\n%s", list.status, list.log, list.summary)
	}
	sweep := func(inputs map[string]string) *jobRun { return r.job("sweep.yml", inputs, platform) }
	if run := sweep(map[string]string{"dry-run": "true", "older-than": "1m"}); run.status != 0 || len(r.Active()) != 1 || !strings.Contains(run.log, killed.Name) {
		t.Errorf("status %d\n%s", run.status, run.log)
	}
	if run := sweep(nil); run.status != 0 || len(r.Active()) != 1 {
		t.Errorf("the nightly sweep: status %d, %d PATs\n%s", run.status, len(r.Active()), run.log)
	}

	// Take it back.
	r.shell(r.platform, r.next("for workflow in publish run; do\n  az rest --method DELETE"))
	if log := r.gh(); !strings.HasSuffix(log, "\nworkflow run sweep.yml --repo contoso/platform -f older-than=1m\n") {
		t.Errorf("gh was asked\n%s", log)
	}
	if run := publish(planning); run.status != 1 || !strings.Contains(run.log, "AADSTS700213:") {
		t.Errorf("status %d\n%s", run.status, run.log)
	}
	if run := sweep(map[string]string{"older-than": "1m"}); run.status != 0 || len(r.Active()) != 0 {
		t.Errorf("status %d, %d PATs\n%s", run.status, len(r.Active()), run.log)
	}
	r.shell(r.home, r.next("azdo-pat setup "))
	if after := r.state(); after != before {
		t.Errorf("left\n%s\nwant\n%s", after, before)
	}
	if run := sweep(nil); run.status != 1 || !strings.Contains(run.log, "AADSTS700016:") {
		t.Errorf("status %d\n%s", run.status, run.log)
	}
	for _, v := range r.Violations() {
		t.Errorf("%s: %s", v.Op, v.What)
	}
	if len(r.blocks) > 0 {
		t.Errorf("not followed: %q", r.blocks)
	}
}

// gh returns the commands of gh that were run, without those of setup.
func (r *rollout) gh() string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.home, "gh.log"))
	if err != nil {
		r.Fatal(err)
	}
	return "\n" + string(text)
}

// state is what there is in Entra and Azure DevOps.
func (r *rollout) state() string {
	var b strings.Builder
	r.Change(func(s *emulator.State) {
		for _, a := range s.Apps {
			io.WriteString(&b, "application "+a.ClientID+"\n")
			for _, c := range a.Credentials {
				io.WriteString(&b, "  trusts "+c.Subject+c.Expression+"\n")
			}
		}
		for _, u := range s.Users {
			io.WriteString(&b, "user "+u.UPN+"\n")
		}
		for _, g := range s.Grants {
			io.WriteString(&b, "grant "+g.Scope+"\n")
		}
		for _, o := range s.Organizations {
			io.WriteString(&b, "organization "+o.Name+" "+strings.Join(o.Members, " ")+"\n")
		}
		for _, a := range s.RoleAssignments {
			io.WriteString(&b, "role "+a.Role+" "+a.Scope+"\n")
		}
	})
	return b.String()
}
