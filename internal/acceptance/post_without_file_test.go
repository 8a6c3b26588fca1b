package acceptance

import (
	"io"
	stdlog "log"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// The post step needs no file that another step can delete: neither the roots of
// trust, in whichever setting they are, nor a token file if GitHub gives the job an
// assertion.
func TestPostWithoutTheFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		setting string // the variable that names the file
		says    string // in the post step
	}{
		{"ca-file", "INPUT_CA-FILE", ""},
		{"ca-file of the environment", "AZDO_PAT_CA_FILE", ""},
		{"SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_FILE"},
		{"SSL_CERT_DIR", "SSL_CERT_DIR", "SSL_CERT_DIR"},
		{"token file", "INPUT_FEDERATED-TOKEN-FILE", "no such file or directory; asking GitHub for an assertion instead"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tls := tc.setting != "INPUT_FEDERATED-TOKEN-FILE"
			e := emulator.StartWith(t, emulator.Options{TLS: tls, ErrorLog: stdlog.New(io.Discard, "", 0)})
			env := e.Env(emulator.AgentUser)
			workspace := t.TempDir()
			file := filepath.Join(workspace, "file")
			content := []byte(e.Assertion())
			if tls {
				var err error
				if content, err = os.ReadFile(env["INPUT_CA-FILE"]); err != nil {
					t.Fatal(err)
				}
				delete(env, "INPUT_CA-FILE")
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			env[tc.setting] = file
			if tc.setting == "SSL_CERT_DIR" {
				env[tc.setting] = workspace
			}
			step := harness.NewStep(t)
			mint := harness.Command(t, env, step, "azdo-pat", "mint")
			if err := mint.Run(); err != nil || len(e.Active()) != 1 {
				t.Fatalf("mint: %v\n%s", err, harness.Output(mint))
			}
			state, err := step.State()
			if err != nil {
				t.Fatal(err)
			}
			if n := len(state["STATE_lease"]); n > 4<<10 {
				t.Errorf("the state holds %d bytes", n)
			}
			if err := os.RemoveAll(workspace); err != nil {
				t.Fatal(err)
			}
			for _, gone := range []string{"", tc.setting} { // without the file, and without its setting too
				after := maps.Clone(env)
				delete(after, gone)
				maps.Copy(after, state)
				post := harness.Command(t, after, harness.NewStep(t), "post", "mint")
				if err := post.Run(); err != nil || len(e.Active()) > 0 {
					t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), harness.Output(post))
				}
				if text := harness.Output(post); !tls && !strings.Contains(text, "assertion: from GitHub Actions, issuer ") {
					t.Errorf("it does not say whose assertion it is:\n%s", text)
				}
				if text := harness.Output(post); gone == "" && strings.Contains(text, "::warning") != (tc.says != "") || gone == "" && !strings.Contains(text, tc.says) {
					t.Errorf("the log:\n%s", text)
				}
			}
		})
	}
}

// Without a record and without the file, the post step tries without that file.
func TestPostWithoutTheFileOrARecord(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	env := e.Env(emulator.AgentUser)
	mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
	if err := mint.Run(); err != nil {
		t.Fatalf("mint: %v\n%s", err, harness.Output(mint))
	}
	env["INPUT_CA-FILE"] = filepath.Join(t.TempDir(), "gone.pem")
	post := harness.Command(t, env, harness.NewStep(t), "post", "mint")
	if err := post.Run(); err != nil || len(e.Active()) > 0 || !strings.Contains(harness.Output(post), "ca-file cannot be read, continuing without it: ") {
		t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), harness.Output(post))
	}
}
