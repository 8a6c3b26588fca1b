package harness

import (
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/emulator"
)

// vault WHAT [ARG] changes the key vault.
func changeVault(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	now := w.Now(emulator.KeyVault)
	w.Change(func(world *emulator.State) {
		v := world.Vault
		newest := v.Secrets[0].Newest()
		switch args[0] {
		case "age": // how long ago the newest version was stored
			d, err := time.ParseDuration(args[1])
			ts.Check(err)
			newest.Created = now.Add(-d)
		case "tags": // NAME=VALUE
			name, value, _ := strings.Cut(args[1], "=")
			newest.Tags = map[string]string{name: value}
		case "roles":
			v.Roles = map[string][]string{emulator.AppPrincipalID: args[1:]}
		case "policy": // PERMISSION…
			v.AccessPolicies = map[string][]string{emulator.AppPrincipalID: args[1:]}
		case "rbac":
			v.AccessPolicies = nil
		case "firewall":
			v.Firewall = args[1] == "on"
		case "private":
			v.PrivateOnly = args[1] == "on"
		case "disabled":
			newest.Disabled = args[1] == "on"
		case "deleted":
			v.Secrets[0].Deleted = args[1] == "on"
		case "tenant":
			v.Tenant = args[1]
		case "unknown":
			world.NoKeyVault = args[1] == "on"
		case "value": // a word in which \n is a line break; $TOKEN is the refresh token
			newest.Value = strings.NewReplacer(`\n`, "\n", "$TOKEN", world.RefreshTokens[0].Value).Replace(args[1])
		default:
			ts.Fatalf("no change %q", args[0])
		}
	})
}

// stored VERSIONS [tags=…] checks how many versions the vault has, and that the newest
// one is a refresh token of its own with a life of 90 days.
func stored(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.Change(func(world *emulator.State) {
		versions := world.Vault.Secrets[0].Versions
		if got := strconv.Itoa(len(versions)); got != args[0] {
			ts.Fatalf("%s versions, want %s", got, args[0])
		}
		if len(versions) < 2 {
			return
		}
		newest := versions[len(versions)-1]
		var issued *emulator.IssuedRefreshToken
		for _, t := range world.RefreshTokens {
			if t.Value == newest.Value {
				issued = t
			}
		}
		switch {
		case issued == nil || newest.Value == versions[len(versions)-2].Value:
			ts.Fatalf("the newest version is no new refresh token")
		case newest.Expires.Sub(issued.Expires).Abs() > time.Minute: // on a slow machine
			ts.Fatalf("it ends at %s and is labelled %s", issued.Expires, newest.Expires)
		case newest.ContentType == "":
			ts.Fatalf("it has no content type")
		}
		for _, tag := range args[1:] {
			name, value, _ := strings.Cut(tag, "=")
			if newest.Tags[name] != value {
				ts.Fatalf("the tags are %v, want %s", newest.Tags, tag)
			}
		}
	})
}
