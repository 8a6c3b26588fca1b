package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// assertionLife is how long the token file's content is good for in the emulator.
const assertionLife = 5 * time.Minute

// shell leaves the emulator running until ctx ends, with a file of variables by which
// the program at a terminal finds it.
func shell(ctx context.Context, out io.Writer, id emulator.Identity) error {
	d, stop, err := start(out)
	if err != nil {
		return err
	}
	defer stop()

	// As Entra does: a person tries more than one command with the same token file.
	d.Change(func(w *emulator.State) { w.AllowReusedAssertions = true })
	token := filepath.Join(d.dir, "token.jwt")
	variables := map[string]string{"AZDO_PAT_FEDERATED_TOKEN_FILE": token}
	for name, value := range d.Settings(id) {
		variables[emulator.Variable(name)] = value
	}
	var env strings.Builder
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintf(&env, "export %s='%s'\n", name, variables[name])
	}
	file := filepath.Join(d.dir, "env")
	path := fmt.Sprintf("PATH='%s':$PATH\n", d.dir)
	if err := os.WriteFile(file, []byte(env.String()+path), 0o600); err != nil {
		return err
	}
	// Before the text, so that its commands work at once.
	writeToken := func() error { return os.WriteFile(token, []byte(d.Assertion()), 0o600) }
	if err := writeToken(); err != nil {
		return err
	}
	d.title("Variables of the identity " + string(id))
	d.say("%s", strings.ReplaceAll(strings.TrimSpace(env.String()), "\n", "\n   "))
	d.title("Try it in another terminal")
	d.say(". %s", file)
	d.say("azdo-pat check")
	if id == emulator.ServicePrincipal {
		d.say("azdo-pat mint")
	} else {
		d.say("azdo-pat mint --output json")
		d.say("azdo-pat list")
		d.say("azdo-pat revoke --authorization-id ID")
	}
	d.say(`azdo-pat exec -- sh -c 'curl --user ":$AZURE_DEVOPS_EXT_PAT" %s/%s/_apis/projects'`, d.URL(emulator.AzureDevOps), emulator.OrganizationName)
	d.say("")
	d.say("See what a mistake looks like, and look its message up in docs/troubleshooting.md:")
	d.say("azdo-pat check --organization fabrikam")
	d.say("azdo-pat check --client-id 00000000-0000-4000-8000-000000000000")
	d.say("")
	d.say("Press Ctrl-C here to stop the emulator.")
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(assertionLife / 2):
		}
		if err := writeToken(); err != nil {
			return err
		}
	}
}
