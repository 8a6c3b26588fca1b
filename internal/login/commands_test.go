package login

import (
	"testing"

	"azdo-pat/internal/settings"
)

// What is printed to be copied is exact, and no path becomes code in it.
func TestCommands(t *testing.T) {
	t.Parallel()
	const id = "c1c1c1c1-0000-4000-8000-000000000004"
	for name, test := range map[string]struct {
		windows           bool
		file, add, remove string
	}{
		"POSIX": {false, "/tmp/azdo-pat-login-1/cert.pem",
			"az ad app credential reset --id " + id + " --cert @/tmp/azdo-pat-login-1/cert.pem --append --display-name azdo-pat-login",
			`az ad app credential list --id ` + id + ` --cert --query "[?displayName=='azdo-pat-login'].keyId" -o tsv | xargs -I KEY az ad app credential delete --id ` + id + ` --key-id KEY --cert`},
		"POSIX, hostile": {false, "/tmp/it's $(here) `x`/cert.pem",
			"az ad app credential reset --id " + id + ` --cert '@/tmp/it'\''s $(here) ` + "`x`" + `/cert.pem' --append --display-name azdo-pat-login`, ""},
		"PowerShell": {true, `C:\Users\O'Brien\cert.pem`,
			"az ad app credential reset --id '" + id + `' --cert '@C:\Users\O''Brien\cert.pem' --append --display-name azdo-pat-login`,
			`az ad app credential list --id '` + id + `' --cert --query "[?displayName=='azdo-pat-login'].keyId" -o tsv | ForEach-Object { az ad app credential delete --id '` + id + `' --key-id $_ --cert }`},
	} {
		r := &run{Options: Options{Settings: &settings.Settings{ClientID: id}, Windows: test.windows}, certificate: &certificate{file: test.file}}
		if got := r.addCommand(); got != test.add {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.add)
		}
		if got := r.removeCommand(); test.remove != "" && got != test.remove {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.remove)
		}
	}
}
