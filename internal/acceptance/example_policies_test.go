package acceptance

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// azdoStep is the step of an example in examples/github that uses the action, which must
// be the only one, with these inputs of the workflow.
func azdoStep(t *testing.T, file string, inputs map[string]string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("examples/github/" + file)
	if err != nil {
		t.Fatal(err)
	}
	type steps []struct {
		Uses string
		With map[string]string
	}
	var w struct {
		Jobs map[string]struct{ Steps steps }
		Runs struct{ Steps steps }
	}
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	all := w.Runs.Steps
	for _, job := range w.Jobs {
		all = append(all, job.Steps...)
	}
	var found map[string]string
	for _, s := range all {
		if strings.HasPrefix(s.Uses, "OWNER/azdo-pat@") {
			if found != nil {
				t.Fatalf("%s uses the action twice", file)
			}
			found = s.With
		}
	}
	optional := strings.NewReplacer("${{ inputs.name }}", "", "${{ inputs.configure }}", "", "${{ inputs.feed }}", "")
	for name, value := range found {
		for input, given := range inputs {
			value = strings.ReplaceAll(value, "${{ inputs."+input+" }}", given)
		}
		value = optional.Replace(value)
		if strings.Contains(value, "${{") {
			t.Fatalf("%s: %s: %s", file, name, value)
		}
		found[name] = value
	}
	return found
}

// platformJob is a job of a workflow of contoso/platform, on its main branch.
func platformJob(file string, j emulator.Job) emulator.Job {
	if j.JobWorkflowRef == "" {
		j.JobWorkflowRef = "contoso/platform/.github/workflows/" + file + "@refs/heads/main"
	}
	return j
}

// The policies in examples/github decide over the claims of jobs. act makes no OIDC token,
// so which repository, ref, event and workflow they allow is tried here. In each case
// Entra would trust the job: only the policy stands in its way.
func TestExamplePolicies(t *testing.T) {
	t.Parallel()
	reads := map[string]string{"scopes": "vso.code", "lifetime": "15m"}
	plans := map[string]string{"scopes": "vso.work_write", "lifetime": "15m"}
	for i, tc := range []struct {
		file    string
		inputs  map[string]string
		job     emulator.Job
		refused string // what the table of the refusal marks with NO; empty: allowed
	}{
		{"publish.yml", nil, emulator.Job{}, ""},
		{"publish.yml", nil, emulator.Job{Repository: "contoso/anything", Ref: "refs/tags/v1.2.3", Event: "release"}, ""},
		{"publish.yml", nil, emulator.Job{Ref: "refs/heads/feature"}, "claim ref"},
		{"publish.yml", nil, emulator.Job{Event: "pull_request"}, "claim event_name"},
		{"publish.yml", nil, emulator.Job{Event: "pull_request_target"}, "claim event_name"},
		{"publish.yml", nil, emulator.Job{Repository: "evil/widgets"}, "claim repository_owner_id"},
		{"publish.yml", nil, emulator.Job{JobWorkflowRef: "contoso/widgets/.github/workflows/publish.yml@refs/heads/main"}, "claim job_workflow_ref"},
		{"publish.yml", nil, emulator.Job{JobWorkflowRef: "contoso/platform/.github/workflows/publish.yml@refs/heads/mine"}, "claim job_workflow_ref"},
		{"publish.yml", nil, emulator.Job{JobWorkflowRef: "contoso/platform/.github/workflows/run.yml@refs/heads/main"}, "claim job_workflow_ref"},

		{"run.yml", reads, emulator.Job{Ref: "refs/heads/feature"}, ""},
		{"run.yml", map[string]string{"scopes": "vso.code vso.packaging", "lifetime": "30m"}, emulator.Job{}, ""},
		{"run.yml", map[string]string{"scopes": "vso.code", "lifetime": "31m"}, emulator.Job{}, "lifetime"},
		{"run.yml", map[string]string{"scopes": "vso.code_write", "lifetime": "15m"}, emulator.Job{}, "scopes"},
		{"run.yml", plans, emulator.Job{Repository: "contoso/planning"}, ""},
		{"run.yml", plans, emulator.Job{Repository: "contoso/planning", Ref: "refs/heads/feature"}, "scopes"},
		{"run.yml", plans, emulator.Job{}, "scopes"},
		{"run.yml", map[string]string{"scopes": "vso.code vso.work_write", "lifetime": "15m"}, emulator.Job{Repository: "contoso/planning"}, "scopes"},
		{"run.yml", reads, emulator.Job{Repository: "evil/widgets"}, "claim repository_owner_id"},

		{"mirror.yml", nil, emulator.Job{Ref: "refs/heads/feature"}, ""},
		{"mirror.yml", nil, emulator.Job{Event: "pull_request"}, "claim event_name"},
		{"mirror.yml", nil, emulator.Job{Repository: "evil/widgets"}, "claim repository_owner_id"},

		{"pipeline.yml", nil, emulator.Job{}, ""},
		{"pipeline.yml", nil, emulator.Job{Ref: "refs/heads/feature"}, "claim ref"},
		{"pipeline.yml", nil, emulator.Job{Repository: "evil/widgets"}, "claim repository_owner_id"},

		{"azdo-pat/action.yml", reads, emulator.Job{JobWorkflowRef: "contoso/widgets/.github/workflows/ci.yml@refs/heads/main"}, ""},
		{"azdo-pat/action.yml", map[string]string{"scopes": "vso.code_write", "lifetime": "15m"}, emulator.Job{}, "scopes"},
	} {
		t.Run(fmt.Sprintf("%d %s", i, tc.file), func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			job := e.StartJob(platformJob(tc.file, tc.job))
			e.Change(func(w *emulator.State) { w.App(emulator.AppID).Credentials[0].Subject = job.Subject() })
			env := e.JobEnv(job, emulator.VaultToken)
			for name := range env {
				if strings.HasPrefix(name, "INPUT_") && name != "INPUT_AUTHORITY-HOST" && name != "INPUT_TOKEN-SERVICE-URL" {
					delete(env, name)
				}
			}
			for name, value := range azdoStep(t, tc.file, tc.inputs) {
				env["INPUT_"+strings.ToUpper(name)] = strings.NewReplacer(
					// The composite action has an application and an account of its own.
					"c3c3c3c3-0000-4000-8000-000000000007", emulator.AppID,
					"https://contoso.vault.azure.net/secrets/azdo-reader-refresh-token", e.SecretURL(), "https://contoso.vault.azure.net/secrets/azdo-refresh-token", e.SecretURL()).Replace(value)
			}
			mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
			err := mint.Run()
			status, _ := harness.ExitStatus(err)
			log := harness.Output(mint)
			if tc.refused == "" {
				if status != 0 || len(e.Active()) != 1 {
					t.Errorf("status %d, %d PATs\n%s", status, len(e.Active()), log)
				}
				return
			}
			marked := false
			for line := range strings.SplitSeq(log, "%0A") {
				marked = marked || strings.HasPrefix(strings.TrimSpace(line), tc.refused+" ") && strings.HasSuffix(strings.TrimSpace(line), " NO")
			}
			if status != 1 || len(e.PATs()) != 0 || len(e.Requests()) != 1 || !strings.Contains(log, "refused by the policy") || !marked {
				t.Errorf("%+v, %v: status %d, %d requests, want a refusal because of %s\n%s", tc.job, tc.inputs, status, len(e.Requests()), tc.refused, log)
			}
		})
	}
}
