package emulator_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// azure-devops-node-api makes the calls that are played, as it makes them to the
// service. .ci/run installs it.
func TestNodeClient(t *testing.T) {
	t.Parallel()
	modules := os.Getenv("AZDO_PAT_NODE_MODULES")
	if modules == "" {
		t.Skip("AZDO_PAT_NODE_MODULES is to be the node_modules that npm ci makes of internal/fakes/emulator/testdata/node, as .ci/run has it")
	}
	if _, err := os.Stat(filepath.Join(modules, "azure-devops-node-api", "package.json")); err != nil {
		t.Fatalf("AZDO_PAT_NODE_MODULES has no azure-devops-node-api: %v", err)
	}
	c := startForSDKs(t)
	cmd := exec.Command("node", filepath.Join("testdata", "node", "client.js"))
	// The variables of proxies stay out of it.
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "NODE_PATH=" + modules, "NO_COLOR=1",
		"ORGANIZATION_URL=" + c.e.URL(emulator.AzureDevOps) + "/contoso", "ACCESS_TOKEN=" + c.e.AccessToken(),
		"NOW=" + c.e.Now(emulator.AzureDevOps).Format("2006-01-02T15:04:05Z07:00"),
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	type token struct{ AuthorizationID, DisplayName, Scope, Token string }
	var got struct {
		User, PATUser, Handler, Connection string
		Created, Got, Updated              token
		Listed                             []token
		Projects                           []string
		Revoked, Afterwards, Unknown       int
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout.String())
	}
	t.Logf("%s\n%s", stdout.String(), stderr.String())
	pats := c.e.PATs()
	if len(pats) != 1 || !pats[0].Revoked {
		t.Fatalf("PATs %+v", pats)
	}
	id := pats[0].ID
	if got.Created != (token{id, "node", "vso.project", pats[0].Token}) || got.Got != (token{id, "node", "vso.project", ""}) ||
		!slices.Equal(got.Listed, []token{got.Got}) || got.Updated.DisplayName != "node 2" || got.Revoked != 204 {
		t.Errorf("the PAT API: %+v", got)
	}
	if got.User != pats[0].Owner || got.PATUser != got.User || got.Connection != emulator.OrganizationID || !slices.Equal(got.Projects, []string{emulator.Project}) {
		t.Errorf("the others: %+v", got)
	}
	if got.Handler != "PersonalAccessTokenCredentialHandler" || got.Afterwards != 401 || got.Unknown != 401 {
		t.Errorf("PATs are used as %s, one that is revoked gets %d, one that is none %d", got.Handler, got.Afterwards, got.Unknown)
	}
	for _, q := range c.e.Requests() {
		if q.Refusal != "" && q.Op != emulator.OpConnectionData {
			t.Errorf("%s %s: %s", q.Method, q.URL, q.Refusal)
		}
	}
}
