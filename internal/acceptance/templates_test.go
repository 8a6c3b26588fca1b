package acceptance

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/pipelinesagent"
)

// checkSteps compares the steps that ran, their results, and the number of PATs
// after each.
func checkSteps(t *testing.T, played []harness.PlayedStep, steps ...string) {
	t.Helper()
	var got []string
	for _, s := range played {
		got = append(got, fmt.Sprintf("%s: %v, %d", s.DisplayName, s.Record.Result, s.Active))
	}
	if !slices.Equal(got, steps) {
		t.Errorf("ran %q, want %q", got, steps)
		for _, s := range played {
			t.Logf("%s:\n%s", s.DisplayName, s.Record.Text())
		}
	}
}

const templatesReadme = "examples/azure-pipelines/README.md"

// The example of the steps template runs as it is: the PAT works in the caller's step
// and is revoked in the last one.
func TestStepsTemplate(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	played := harness.PlayPipeline(t, e, harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@"))
	checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
	if r := played[len(played)-1].Record; len(r.Summaries) != 1 || len(r.Issues) != 0 {
		t.Errorf("%+v", r)
	}
	if n := len(e.Requests(emulator.OpConnectionData)); n != 1 {
		t.Errorf("the PAT was used %d times", n)
	}
}

// With an Entra token the template takes the same steps, and the last one sends nothing.
func TestStepsTemplateWithEntraToken(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	played := harness.PlayPipeline(t, e, harness.CodeBlock(t, templatesReadme, "yaml", "tokenType: entra"))
	checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 0", "Use it: Succeeded, 0", "Revoke the Azure DevOps PAT: Succeeded, 0")
	if text := played[len(played)-1].Record.Text(); !strings.Contains(text, "there is nothing to revoke: an Entra token cannot be revoked") {
		t.Error(text)
	}
	if n := len(e.Requests()); n != 3 || len(e.Requests(emulator.OpProjects)) != 1 {
		t.Errorf("%d requests, want one for the assertion, one for the token and one with it", n)
	}
}

// In the example of the jobs template, each job has its own PAT, and one takes the
// program from an image.
func TestJobsTemplate(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	checkSteps(t, harness.PlayPipeline(t, e, harness.CodeBlock(t, templatesReadme, "yaml", "jobs.yml@")),
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0",
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", ": Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
	names := map[string]bool{}
	for _, p := range e.PATs() {
		names[p.Name] = true
	}
	if len(names) != 2 {
		t.Errorf("the PATs are named %v", names)
	}
}

// The last step revokes the PAT even if the caller's steps fail or delete all files of
// the job's folder except the program. Their environment has the PAT and not the job's
// access token.
func TestStepsTemplateRevokesAlways(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@")
	use := regexp.MustCompile(`(?m)^      - bash: curl.*$`)
	for script, result := range map[string]string{
		"exit 3":                         "Failed",
		"rm -f $AGENT_TEMPDIRECTORY/*.*": "Succeeded",
		`test ${#MY_PAT} = 84 && test -z "${SYSTEM_ACCESSTOKEN-}"`: "Succeeded",
	} {
		e := emulator.Start(t)
		played := harness.PlayPipeline(t, e, use.ReplaceAllLiteralString(text, "      - bash: '"+script+"'"))
		checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: "+result+", 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
		if n := len(e.PATs()); n != 1 {
			t.Errorf("%s: %d PATs were made", script, n)
		}
	}
}

// By printing a line, a step can set variables of later steps, which override what
// those map. They change neither which program runs, nor which PAT it revokes, nor to
// which host it talks.
func TestStepsTemplateIgnoresSetVariables(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@")
	use := regexp.MustCompile(`(?m)^      - bash: curl.*$`)
	for _, tc := range []struct {
		variable, value string
		result          string // of the step that revokes
		left            int
	}{
		{"azdo_pat_program", "", "Succeeded", 0},
		{"azdo_pat_program", "/bin/true", "Succeeded", 0},
		{"AZDO_PAT_NAME", "other", "Succeeded", 0},
		{"AZDO_PAT_ORGANIZATION", "other", "Succeeded", 0},
		{"AZDO_PAT_TOKEN_TYPE", "entra", "Succeeded", 0},
		{"AZDO_PAT_AUTHORIZATION_ID", "11111111-2222-4333-8444-555555555555", "Succeeded", 0},
		{"AZDO_PAT_SKIP_REVOKE", "true", "Succeeded", 0},
		{"AZDO_PAT_AUTHORITY_HOST", "https://127.0.0.1:9", "Failed", 1},
		{"AZURE_AUTHORITY_HOST", "https://127.0.0.1:9", "Succeeded", 0},
		{"AZDO_PAT_TOKEN_SERVICE_URL", "https://127.0.0.1:9", "Failed", 1},
		{"SYSTEM_OIDCREQUESTURI", "https://127.0.0.1:9/", "Failed", 1},
		{"GITHUB_ACTIONS", "true", "Failed", 1},
		{"TF_BUILD", "false", "Failed", 1},
	} {
		t.Run(tc.variable+"="+tc.value, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			line := "##vso[task.setvariable variable=" + tc.variable + "]" + tc.value
			played := harness.PlayPipeline(t, e, use.ReplaceAllLiteralString(text, "      - bash: 'echo \""+line+"\"'"))
			checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1",
				fmt.Sprintf("Revoke the Azure DevOps PAT: %s, %d", tc.result, tc.left))
		})
	}
	// The same holds for the step that fetches the program, in a later use in the job.
	for variable, value := range map[string]string{"RELEASE": "http://127.0.0.1:9", "SHA256SUMS": strings.Repeat("0", 64), "IMAGE": "evil"} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			line := "##vso[task.setvariable variable=" + variable + "]" + value
			first := strings.Replace(text, "  steps:\n  - template", "  steps:\n  - bash: 'echo \""+line+"\"'\n    displayName: Print\n  - template", 1)
			checkSteps(t, harness.PlayPipeline(t, e, first), "Print: Succeeded, 0", "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
		})
	}
}

// If the program was deleted, the step that revokes fails.
func TestStepsTemplateWithoutTheProgram(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@")
	use := regexp.MustCompile(`(?m)^      - bash: curl.*$`)
	for _, script := range []string{"rm -r $AGENT_TEMPDIRECTORY/azdo-pat", "chmod -x $AGENT_TEMPDIRECTORY/azdo-pat/azdo-pat"} {
		e := emulator.Start(t)
		played := harness.PlayPipeline(t, e, use.ReplaceAllLiteralString(text, "      - bash: '"+script+"'"))
		checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Failed, 1")
		if text := played[len(played)-1].Record.Text(); !strings.Contains(text, "azdo-pat is not where it was put") {
			t.Error(text)
		}
	}
}

// A quote in a parameter does not end the quoted text around it.
func TestStepsTemplateQuotes(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	text := strings.Replace(harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@"), "organization: contoso", `organization: "con'; exit 0; 'toso"`, 1)
	played := harness.PlayPipeline(t, e, text)
	checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Failed, 0", "Revoke the Azure DevOps PAT: Failed, 0")
}

// With configure the caller's steps find the tools set up, by files in the agent's temp
// folder that are theirs alone. The last step removes them, whatever the steps did.
func TestStepsTemplateConfigure(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "configure: git npm")
	use := regexp.MustCompile(`(?m)^      - bash: git clone.*$`)
	for result, script := range map[string]string{
		"Succeeded": `set -eu
          printf 'protocol=https\nhost=%s\npath=contoso/MyProject\n\n' dev.azure.com | git credential fill | grep -q "^password=$AZURE_DEVOPS_EXT_PAT$"
          grep -q "^//pkgs.dev.azure.com/contoso/MyProject/_packaging/tools/npm/registry/:_password=$(printf %s "$AZURE_DEVOPS_EXT_PAT" | base64 -w 0)$" "$NPM_CONFIG_USERCONFIG"
          grep -q '^//pkgs.dev.azure.com/contoso/_packaging/widgets/npm/:_password=' "$NPM_CONFIG_USERCONFIG"
          test "$(stat -c %a "$NPM_CONFIG_USERCONFIG")" = 600
          case $NPM_CONFIG_USERCONFIG in "$AGENT_TEMPDIRECTORY"/*) ;; *) exit 1 ;; esac`,
		"Failed": `chmod 500 "$(dirname "$NPM_CONFIG_USERCONFIG")"; exit 3`,
	} {
		e := emulator.Start(t)
		played := harness.PlayPipeline(t, e, use.ReplaceAllLiteralString(text, "      - bash: |\n          "+script))
		checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: "+result+", 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
		if text := played[len(played)-1].Record.Text(); !strings.Contains(text, "removed the files that configure wrote: ") {
			t.Error(text)
		}
	}
	// With the jobs template too, where each job has its own.
	jobs := strings.Replace(harness.CodeBlock(t, templatesReadme, "yaml", "jobs.yml@"), "    scopes: vso.code\n", "    scopes: vso.code\n    configure: git\n", 1)
	jobs = strings.Replace(jobs, `test -n "$AZURE_DEVOPS_EXT_PAT"`, `test "$GIT_CONFIG_COUNT" = 4`, 1)
	played := harness.PlayPipeline(t, emulator.Start(t), jobs)
	if len(played) != 8 || played[6].Record.Result != pipelinesagent.Succeeded {
		t.Errorf("%+v", played)
	}
	// Without the feed that a tool needs there is an error, and nothing is minted.
	e := emulator.Start(t)
	played = harness.PlayPipeline(t, e, strings.Replace(text, "      feed: widgets MyProject/tools\n", "", 1))
	checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Failed, 0", "Revoke the Azure DevOps PAT: Succeeded, 0")
	if n := len(e.Requests(emulator.OpCreate)); n != 0 {
		t.Errorf("%d requests to mint", n)
	}
}

// The template can be used twice in one job. Each use has its own PAT.
func TestStepsTemplateTwice(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@")
	begin, end := strings.Index(text, "  - template:"), len(text)
	first := text[begin:end]
	second := strings.Replace(first, "variable: MY_PAT", "variable: MY_PAT\n      name: other", 1)
	e := emulator.Start(t)
	checkSteps(t, harness.PlayPipeline(t, e, text[:begin]+first+second),
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0",
		"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
	if pats := e.PATs(); len(pats) != 2 || !strings.Contains(pats[0].Name, " pat ") || !strings.Contains(pats[1].Name, " other ") {
		t.Errorf("%d PATs", len(pats))
	}
}

// A downloaded program with another checksum is not run.
func TestTemplatesCheckTheProgram(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@")
	for name, change := range map[string][2]string{
		"other checksums":  {strings.Repeat("1", 64), strings.Repeat("3", 64)},
		"no checksums":     {"sha256sums: " + strings.Repeat("1", 64), "sha256sums: ''"},
		"another page":     {"download/v1.2.3", "download/v1.2.3/nowhere"},
		"another program":  {"download/v1.2.3", "download/v1.2.3/tampered"},
		"image by its tag": {"release: https://github.com/OWNER/azdo-pat/releases/download/v1.2.3", "image: ghcr.io/OWNER/azdo-pat:v1"},
	} {
		e := emulator.Start(t)
		played := harness.PlayPipeline(t, e, strings.Replace(text, change[0], change[1], 1))
		checkSteps(t, played, "Fetch azdo-pat: Failed, 0", "Revoke the Azure DevOps PAT: Failed, 0")
		if len(played) == 2 && !strings.Contains(played[1].Record.Text(), "azdo-pat is not where it was put") {
			t.Errorf("%s: %s", name, played[1].Record.Text())
		}
		if n := len(e.Requests()); n != 0 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// The jobs template has the parameters of the steps template and passes them on.
func TestTemplatesHaveTheSameParameters(t *testing.T) {
	t.Parallel()
	type template struct {
		Parameters []struct{ Name, Type, Default any }
	}
	read := func(name string) (list []string, text string) {
		b, err := os.ReadFile("examples/azure-pipelines/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var v template
		if err := yaml.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		for _, p := range v.Parameters {
			if p.Name != "steps" && p.Name != "jobs" {
				list = append(list, fmt.Sprint(p))
			}
		}
		return list, string(b)
	}
	steps, _ := read("steps.yml")
	jobs, text := read("jobs.yml")
	if !slices.Equal(steps, jobs) || len(steps) < 15 {
		t.Errorf("steps.yml takes %q, jobs.yml %q", steps, jobs)
	}
	for _, p := range jobs {
		name, _, _ := strings.Cut(strings.TrimPrefix(p, "{"), " ")
		if !strings.Contains(text, "        "+name+": ${{ parameters."+name+" }}\n") {
			t.Errorf("jobs.yml does not hand on %s", name)
		}
	}
}

// Without a task that names the service connection, the job gets no token.
func TestServiceConnectionMustBeNamed(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	text := strings.Replace(harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@"), "serviceConnection: azdo-pat", "serviceConnection: ''", 1)
	played := harness.PlayPipeline(t, e, text)
	checkSteps(t, played, "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Failed, 0", "Revoke the Azure DevOps PAT: Failed, 0")
	if len(played) == 3 && !strings.Contains(played[1].Record.Text(), "a task of this stage must name the service connection") {
		t.Error(played[1].Record.Text())
	}
}

// The policy is written into the script: a variable that an earlier step sets does not
// replace it, and a quote in it does not end the text.
func TestStepsTemplatePolicy(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@")
	with := func(scope string) string {
		return strings.Replace(text, "      steps:\n", `      policy: |
        version: 1
        rules:
        - name: "it's $HOME"
          claims: {sub: 'sc://contoso/demo/*'}
          organizations: ["contoso"]
          scopes: [`+scope+`, vso.packaging]
      steps:
`, 1)
	}
	allowed := []string{"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0"}
	refused := []string{"Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Failed, 0", "Revoke the Azure DevOps PAT: Succeeded, 0"}
	e := emulator.Start(t)
	played := harness.PlayPipeline(t, e, with("vso.code"))
	checkSteps(t, played, allowed...)
	if text := played[1].Record.Text(); !strings.Contains(text, "allowed by rule 1 (it's $HOME)") {
		t.Error(text)
	}
	e = emulator.Start(t)
	played = harness.PlayPipeline(t, e, with("vso.work"))
	checkSteps(t, played, refused...)
	if text := played[1].Record.Text(); !strings.Contains(text, "refused by the policy") {
		t.Error(text)
	}
	for _, line := range []string{
		"##vso[task.setvariable variable=AZDO_PAT_POLICY]version: 1%0Arules:%0A- claims: {sub: '*'}%0A  scopes: [app_token]",
		"##vso[task.setvariable variable=AZDO_PAT_POLICY]",
	} {
		e = emulator.Start(t)
		first := strings.Replace(with("vso.work"), "  steps:\n  - template", "  steps:\n  - bash: |\n      echo \""+line+"\"\n    displayName: Print\n  - template", 1)
		checkSteps(t, harness.PlayPipeline(t, e, first), append([]string{"Print: Succeeded, 0"}, refused...)...)
	}
}

// In the template for an organization, the caller's script runs in a stage that does not
// name the service connection, so it gets no token of it.
func TestPublishTemplate(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "publish.yml@")
	played := harness.PlayPipeline(t, emulator.Start(t), strings.Replace(text, "build: npm test", `build: test -z "${SYSTEM_ACCESSTOKEN-}" && test -z "${PAT-}"`, 1))
	checkSteps(t, played, "Build: Succeeded, 0", "Pack: Succeeded, 0", "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Publish: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")
	if text := played[4].Record.Text(); !strings.Contains(text, "published to //pkgs.dev.azure.com/contoso/_packaging/internal/npm/registry/") {
		t.Error(text)
	}
	// Whatever the caller gives is a script. No step of its stage names the service
	// connection, so Azure DevOps refuses its token there (TestServiceConnectionMustBeNamed).
	expanded, err := pipelinesagent.Expand(".", strings.Replace(text, "build: npm test", `build: "true\n- task: AzureCLI@2\n  inputs: {azureSubscription: azdo-pat}"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Stages []struct {
			Jobs []struct{ Steps []map[string]any }
		}
	}
	if err := expanded.Decode(&p); err != nil || len(p.Stages) != 2 || len(p.Stages[0].Jobs) != 1 || len(p.Stages[0].Jobs[0].Steps) != 4 {
		t.Fatalf("%v, %+v", err, p)
	}
	for _, step := range p.Stages[0].Jobs[0].Steps {
		if step["task"] != nil || step["env"] != nil || step["inputs"] != nil {
			t.Errorf("a step of the caller's stage: %v", step)
		}
	}
}

// A container job has no Docker socket: the release works there, and with an image the
// error says why it does not.
func TestContainerJob(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "container: ")
	checkSteps(t, harness.PlayPipeline(t, emulator.Start(t), text), "Fetch azdo-pat: Succeeded, 0", "Mint an Azure DevOps PAT: Succeeded, 1", "Use it: Succeeded, 1", "Revoke the Azure DevOps PAT: Succeeded, 0")

	text = strings.Replace(text, "release: https://github.com/OWNER/azdo-pat/releases/download/v1.2.3", "image: ghcr.io/OWNER/azdo-pat@sha256:"+strings.Repeat("2", 64), 1)
	played := harness.PlayPipeline(t, emulator.Start(t), text)
	checkSteps(t, played, "Fetch azdo-pat: Failed, 0", "Revoke the Azure DevOps PAT: Failed, 0")
	if text := played[0].Record.Text(); !strings.Contains(text, "a container job has no Docker socket") {
		t.Error(text)
	}
}

// If the step that mints may not set variables, the next one says that it has no PAT, and
// the last one revokes it. Restricted commands are enough for everything but the summary.
func TestRestrictedSteps(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, "docs/azure-pipelines.md", "yaml", "azdo-pat revoke")
	with := func(target string) string {
		return strings.Replace(text, "  name: pat\n", "  name: pat\n  target: "+target+"\n", 1)
	}
	for _, target := range []string{"{settableVariables: none}", "{settableVariables: [authorizationId, expiresAt]}"} {
		played := harness.PlayPipeline(t, emulator.Start(t), with(target), "azdo-pat")
		checkSteps(t, played, "Mint: Succeeded, 1", "Use: Failed, 1", "Revoke: Succeeded, 0")
		if text := played[1].Record.Text(); !strings.Contains(text, "The PAT did not arrive in this step") {
			t.Error(text)
		}
	}
	for _, target := range []string{"{commands: restricted}", "{settableVariables: [token, authorizationId, expiresAt, displayName, scopes, tokenType]}"} {
		checkSteps(t, harness.PlayPipeline(t, emulator.Start(t), with(target), "azdo-pat"), "Mint: Succeeded, 1", "Use: Succeeded, 1", "Revoke: Succeeded, 0")
	}
}

// The template for Windows has the steps of the other one, with the same environment. No
// PowerShell is here to run them.
func TestWindowsTemplate(t *testing.T) {
	t.Parallel()
	text := harness.CodeBlock(t, templatesReadme, "yaml", "steps.yml@")
	text = strings.Replace(text, "      steps:\n", "      policy: 'version: 1'\n      steps:\n", 1)
	expand := func(text string) (steps []map[string]any) {
		expanded, err := pipelinesagent.Expand(".", text)
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Jobs []struct{ Steps []map[string]any }
		}
		if err := expanded.Decode(&p); err != nil || len(p.Jobs) != 1 {
			t.Fatalf("%v, %+v", err, p)
		}
		return p.Jobs[0].Steps
	}
	linux, windows := expand(text), expand(strings.Replace(text, "steps.yml@", "steps-windows.yml@", 1))
	if len(linux) != 5 || len(windows) != len(linux) {
		t.Fatalf("%d steps, on Windows %d", len(linux), len(windows))
	}
	for i, l := range linux {
		w := windows[i]
		for _, key := range []string{"name", "displayName", "condition", "env"} {
			if !reflect.DeepEqual(l[key], w[key]) {
				t.Errorf("step %d: %s is %v, on Windows %v", i, key, l[key], w[key])
			}
		}
		script, ok := w["powershell"].(string)
		if own := i == 1 || i == 2 || i == 4; own != ok {
			t.Errorf("step %d is %v", i, w)
		}
		if i == 2 && !strings.Contains(script, "$policy = @'\nversion: 1\n'@\n") {
			t.Errorf("the policy is not in\n%s", script)
		}
		for _, flag := range regexp.MustCompile(`--[a-z-]+ '?[^ ']+'?`).FindAllString(fmt.Sprint(l["bash"]), -1) {
			if i > 1 && !strings.HasPrefix(flag, "--policy") && i != 3 && !strings.Contains(script, flag) {
				t.Errorf("step %d: no %s in\n%s", i, flag, script)
			}
		}
	}
}

// The pipeline in the guide uses no template.
func TestReadmePipeline(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	checkSteps(t, harness.PlayPipeline(t, e, harness.CodeBlock(t, "docs/azure-pipelines.md", "yaml", "azdo-pat revoke"), "azdo-pat"),
		"Mint: Succeeded, 1", "Use: Succeeded, 1", "Revoke: Succeeded, 0")
}
