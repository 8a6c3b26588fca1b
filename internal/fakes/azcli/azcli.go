// Package azcli runs the real Azure CLI against the emulator, so that a test can run a
// script as it is printed, with every address of the real services in it.
//
//	e, az := azcli.Start(t, emulator.Options{})
//	cmd := exec.Command("bash", script)
//	cmd.Env = az.Env()
//
// The CLI is in its default cloud. It and every other program with this environment (curl,
// azdo-pat) reach the emulator through its proxy, under the real names, and nothing else.
// The administrator is signed in as a person is, by password, since that needs no browser;
// the tokens are those of a person at the Azure CLI, with Directory.AccessAsUser.All.
//
// What works, tried with azure-cli 2.45 of Debian 12; each call takes one to two seconds:
//
//	az login --username --password --tenant
//	az account show, az ad signed-in-user show
//	az ad app create, list, show, delete
//	az ad app federated-credential create, list, delete
//	az ad app permission grant, list-grants
//	az ad app credential reset --cert @FILE --append, list --cert, delete --cert
//	az ad sp create
//	az ad user create, show, delete
//	az keyvault create, show
//	az role assignment create, list, delete
//	az rest, also with --resource for Azure DevOps
//
// What az itself does otherwise than one may expect:
//
//   - az ad app create changes an application of the same display name, if there is one.
//   - az ad app permission grant first deletes every other grant of the application for the
//     same API, those of other users too.
//   - az ad app federated-credential list fails where one of the credentials is flexible.
//   - az keyvault create fails if the vault exists.
//   - az role assignment fails in Debian's package, whatever the server answers; see
//     sitecustomize.py, which mends it for the tests.
//
// What cannot be tried: the sign-in in a browser and by device code, multi-factor
// authentication, whatever needs a service that the emulator does not play, and agent
// identities, which Microsoft Graph refuses to the Azure CLI. The clock is the machine's:
// az looks at the lifetime of its tokens.
package azcli

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// Switch is the environment variable that a machine with the Azure CLI sets to have these
// tests run. The stage setup of .ci/run does.
const Switch = "AZDO_PAT_SETUP"

//go:embed sitecustomize.py
var sitecustomize []byte

// A CLI is an Azure CLI of which nothing is shared with the user's own.
type CLI struct {
	dir string
	env []string
}

// Start starts an emulator and signs its administrator in at an Azure CLI. The test is
// skipped unless [Switch] is set.
func Start(t testing.TB, o emulator.Options) (*emulator.Emulator, *CLI) {
	t.Helper()
	if os.Getenv(Switch) == "" {
		t.Skipf("%s is not set", Switch)
	}
	o.Proxy = true
	e := emulator.StartWith(t, o)
	c, err := New(e, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var password string
	e.Change(func(w *emulator.State) { password = w.User(emulator.AdminID).Password })
	if _, err := c.Run(t.Context(), "login", "--username", emulator.AdminUPN, "--password", password, "--tenant", emulator.TenantID); err != nil {
		t.Fatal(err)
	}
	return e, c
}

// New prepares an Azure CLI, with its files in the directory, without signing in. The
// emulator must have been started with [emulator.Options.Proxy].
func New(e *emulator.Emulator, dir string) (*CLI, error) {
	ca, err := e.CAFile()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "azure")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return nil, err
	}
	python := filepath.Join(dir, "python")
	if err := os.MkdirAll(python, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(python, "sitecustomize.py"), sitecustomize, 0o600); err != nil {
		return nil, err
	}
	return &CLI{dir, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8",
		"HTTPS_PROXY=" + e.ProxyURL(), "HTTP_PROXY=" + e.ProxyURL(),
		"REQUESTS_CA_BUNDLE=" + ca, "SSL_CERT_FILE=" + ca, "CURL_CA_BUNDLE=" + ca,
		"AZURE_CONFIG_DIR=" + config, "AZURE_CORE_COLLECT_TELEMETRY=no", "AZURE_CORE_NO_COLOR=yes",
		"PYTHONPATH=" + python, "PYTHONWARNINGS=ignore",
	}}, nil
}

// Env is the environment for a script that runs az or any other program, such as curl
// and azdo-pat: they reach the emulator under the real names, and no other host.
func (c *CLI) Env() []string { return c.env }

// Run runs az with the arguments and returns what it writes on standard output.
func (c *CLI) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "az", args...)
	cmd.Env, cmd.Dir = c.env, c.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("az %s: %w\n%s", strings.Join(args[:min(3, len(args))], " "), err, stderr.String())
	}
	return string(out), nil
}

// Read is Run for a command that must succeed, with its JSON read into v.
func (c *CLI) Read(t testing.TB, v any, args ...string) {
	t.Helper()
	out, err := c.Run(t.Context(), args...)
	if err == nil && v != nil {
		err = json.Unmarshal([]byte(out), v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
