package emulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	c := start(t)
	const common = "authority-host organization scopes token-service-url"
	for id, want := range map[emulator.Identity]string{
		emulator.AgentUser:        common + " agent-id agent-user client-id tenant-id",
		emulator.RefreshToken:     common + " client-id refresh-token tenant-id",
		emulator.VaultToken:       common + " client-id refresh-token-vault tenant-id",
		emulator.Password:         common + " client-id password tenant-id username",
		emulator.AccessToken:      common + " access-token",
		emulator.ServicePrincipal: "authority-host organization token-service-url client-id tenant-id token-type",
	} {
		settings := c.e.Settings(id)
		names := strings.Fields(want)
		slices.Sort(names)
		if got := slices.Sorted(maps.Keys(settings)); !slices.Equal(got, names) {
			t.Errorf("%s: settings %q, want %q", id, got, names)
		}
		env := c.e.Env(id)
		pipelines := c.e.PipelinesEnv(id)
		for name, value := range settings {
			github, azure := "INPUT_"+strings.ToUpper(name), "AZDO_PAT_"+strings.ReplaceAll(strings.ToUpper(name), "-", "_")
			if env[github] == "" || pipelines[azure] == "" {
				t.Errorf("%s: %s and %s are %q and %q", id, github, azure, env[github], pipelines[azure])
			}
			if name != "access-token" && env[github] != value {
				t.Errorf("%s: %s is %q, want %q", id, github, env[github], value)
			}
		}
		if first, second := c.e.Env(id), c.e.Env(id); first["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] != second["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
			t.Error("the job's request token changes from step to step")
		}
	}
}

func TestEnvOfAnotherJob(t *testing.T) {
	t.Parallel()
	c := start(t)
	j := c.e.StartJob(emulator.Job{Repository: "fabrikam/site", RunID: "5", RunAttempt: "2", Name: "deploy"})
	env := c.e.JobEnv(j, emulator.AgentUser)
	for name, want := range map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "fabrikam/site", "GITHUB_RUN_ID": "5", "GITHUB_RUN_ATTEMPT": "2",
		"GITHUB_JOB": "deploy", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": j.RequestToken, "ACTIONS_ID_TOKEN_REQUEST_URL": j.RequestURL,
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if j.RequestToken == c.e.Job().RequestToken {
		t.Error("two jobs have the same request token")
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	e := emulator.StartWith(t, emulator.Options{TLS: true})
	file, err := e.CAFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Settings(emulator.AgentUser)["ca-file"]; got != file {
		t.Errorf("ca-file is %q, want %q", got, file)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", pem)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	for range 2 {
		w, err := (&http.Client{Transport: transport}).Get(e.URL(emulator.AzureDevOps) + "/contoso")
		if err != nil {
			t.Fatal(err)
		}
		w.Body.Close()
		if w.ProtoMajor != 2 {
			t.Errorf("HTTP/%d, want 2", w.ProtoMajor)
		}
	}
	if got := e.Connections(emulator.AzureDevOps); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the CA file outlives the emulator: %v", err)
	}
}
