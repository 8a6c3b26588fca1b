package login

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// inVault sends the refresh token to the vault of the emulator.
func inVault(t *testing.T) *fixture {
	t.Helper()
	f := setUp(t)
	f.o.Settings.RefreshTokenVault = f.SecretURL()
	return f
}

func (f *fixture) stored() (value string, versions int, version emulator.SecretVersion) {
	f.Change(func(w *emulator.State) {
		if s := w.Vault.Secret(emulator.VaultSecret); s != nil && s.Newest() != nil {
			version = *s.Newest()
			value, versions = version.Value, len(s.Versions)
		}
	})
	return value, versions, version
}

func TestVault(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*emulator.Vault){
		"replaced": func(*emulator.Vault) {},
		"new":      func(v *emulator.Vault) { v.Secrets = nil },
		"disabled": func(v *emulator.Vault) { v.Secrets[0].Versions[0].Disabled = true },
		"no token": func(v *emulator.Vault) { v.Secrets[0].Versions[0].Value = "not set yet" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := inVault(t)
			f.Change(func(w *emulator.State) { change(w.Vault) })
			before, _, _ := f.stored()
			end := func() string { return f.Now(emulator.KeyVault).Add(90 * 24 * time.Hour).Format(time.DateOnly) }
			earliest := end()
			page := f.start().send(f.signIn())
			f.wait()
			if f.err != nil {
				t.Fatal(f.err)
			}
			latest := end() // the next day if it is midnight
			after, _, version := f.stored()
			if after == before || after == "" || f.out.Len() > 0 {
				t.Fatalf("the vault has %q; standard output has %q", after, f.out.String())
			}
			f.refreshes(after)
			until := version.Expires.UTC().Format(time.DateOnly)
			if until != earliest && until != latest {
				t.Errorf("the secret expires on %s, want %s", version.Expires, latest)
			}
			f.shows(page, "The refresh token was stored in Key Vault, in ", "/secrets/"+emulator.VaultSecret+", and is valid until "+until)
		})
	}
}

// A vault that refuses is known before the person signs in.
func TestVaultRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*emulator.Vault)
		says   string
	}{
		"no role":  {func(v *emulator.Vault) { v.Roles = nil }, "Key Vault Secrets Officer"},
		"firewall": {func(v *emulator.Vault) { v.Firewall = true }, "firewall"},
		"private":  {func(v *emulator.Vault) { v.PrivateOnly = true }, "private endpoint"},
		"tenant":   {func(v *emulator.Vault) { v.Tenant = emulator.OrganizationID }, "tenant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := inVault(t)
			f.Change(func(w *emulator.State) { test.change(w.Vault) })
			f.start().failed(test.says)
			if len(f.Requests(emulator.OpAuthorize)) > 0 {
				t.Error("the browser was opened")
			}
		})
	}
}

// Reading is not writing.
func TestVaultCannotBeWritten(t *testing.T) {
	t.Parallel()
	f := inVault(t)
	f.Change(func(w *emulator.State) { w.Vault.Roles[emulator.AppPrincipalID] = []string{emulator.SecretsUser} })
	before, _, _ := f.stored()
	page := f.start().send(f.signIn())
	f.failed("the refresh token could not be stored", "Key Vault Secrets Officer")
	f.shows(page, "Not signed in", "Key Vault Secrets Officer", "Nothing was stored")
	if after, _, _ := f.stored(); after != before {
		t.Error("the stored token has changed")
	}
}

// A vault without a conclusive answer may have stored the token.
func TestVaultAnswersInconclusively(t *testing.T) {
	t.Parallel()
	f := inVault(t)
	f.Intercept(emulator.OpSetSecret, emulator.Answer(http.StatusOK, nil, `{"value":"another"}`))
	page := f.start().send(f.signIn())
	f.failed("it is not known whether the refresh token was stored")
	f.shows(page, "Not signed in", "it is not known whether the refresh token was stored", "You can close this window.")
	if strings.Contains(page.Text, "Nothing was stored") {
		t.Error("the page says that nothing was stored")
	}
}

// What is checked is checked before anything is stored.
func TestNothingIsStored(t *testing.T) {
	t.Parallel()
	for name, test := range failures {
		if strings.Contains(name, "standard output") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := inVault(t)
			test.change(f)
			f.start().send(f.signIn())
			f.failed(test.says...)
			if n := len(f.Requests(emulator.OpSetSecret)); n > 0 {
				t.Error("something was stored")
			}
		})
	}
}

// A failure that passes is tried again.
func TestVaultIsThrottled(t *testing.T) {
	t.Parallel()
	f := inVault(t)
	f.Intercept(emulator.OpSetSecret, emulator.Times(1, emulator.Answer(http.StatusServiceUnavailable, nil, "")))
	f.start().send(f.signIn())
	f.wait()
	if f.err != nil {
		t.Fatal(f.err)
	}
}
