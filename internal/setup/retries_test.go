package setup

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/standin"
)

// A script tries again only what may succeed later, and says what it waits for.
func TestRetries(t *testing.T) {
	t.Parallel()
	bash := needBash(t)
	const (
		tries    = 4
		register = "--method PATCH *applications(uniqueName="
		appear   = "--method POST *v1.0/servicePrincipals "
		trust    = "--method POST *federatedIdentityCredentials"
		look     = "--method GET *applications(uniqueName="
		moment   = "what was created a moment ago may not be known there yet"
		busy     = "the service is busy, or cannot be reached"
		other    = "another change may be under way"
	)
	for _, tc := range []struct {
		name, options string
		fails         string // which calls of az
		with          string
		times         int // how often; 0: always
		calls         int // how many calls of that kind there are
		ok            bool
		says          string // what it waits for; empty: it does not wait
	}{
		{"a wrong request", "service-principal, repository", register, "Bad Request({\"error\":{\"message\":\"Invalid value.\"}})", 0, 1, false, ""},
		{"a wrong look-up", "service-principal, repository", look, "Bad Request({})", 0, 1, false, ""},
		{"busy", "service-principal, repository", register, "Service Unavailable({})", 2, 3, true, busy},
		{"throttled", "service-principal, repository", look, "Too Many Requests({})", 2, 4, true, busy},
		{"no network", "service-principal, repository", look, "HTTPSConnectionPool(host='graph.microsoft.com', port=443): Max retries exceeded with url", 1, 3, true, busy},
		{"busy for good", "service-principal, repository", register, "Bad Gateway", 0, tries, false, busy},
		{"another change", "service-principal, repository", trust, "Conflict({})", 1, 2, true, other},
		{"a new application is not found", "service-principal, repository", appear, "Not Found({})", 2, 3, true, moment},
		{"a new application is not known", "service-principal, repository", appear, "Bad Request({\"error\":{\"message\":\"The appId does not reference a valid application object.\"}})", 2, 3, true, moment},
		{"wrong for a new application", "service-principal, repository", trust, "Bad Request({})", 0, tries, false, moment},
		{"wrong for an old application", "service-principal, application", trust, "Bad Request({})", 0, 1, false, ""},
		{"missing for an old application", "service-principal, application", trust, "Not Found({})", 0, 1, false, ""},
		{"a wrong user", "service-account, repository", "--method POST *v1.0/users", "Bad Request({\"error\":{\"message\":\"The domain portion is not verified.\"}})", 0, 1, false, ""},
		{"not allowed", "service-principal, repository", register, "Forbidden({})", 0, 1, false, ""},
		{"not allowed for a new application", "service-principal, repository", appear, "Forbidden({})", 0, 1, false, ""},
		{"a removal that is wrong", "service-principal, application, undo", "--method DELETE", "Bad Request({})", 0, 1, false, ""},
		{"a removal while busy", "service-principal, application, undo", "--method DELETE", "Internal Server Error({})", 1, 4, true, busy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o, found := options()[tc.options]
			if !found {
				t.Fatal(tc.options)
			}
			bin := t.TempDir()
			failing := strings.Replace(stub, "found=", `case "$*" in *`+tc.fails+`*)
	echo . >>"$NOTES.failing"
	if [ "$TIMES" -eq 0 ] || [ "$(wc -l <"$NOTES.failing")" -le "$TIMES" ]; then printf 'ERROR: %s\n' "$WITH" >&2; exit 1; fi ;;
esac
found=`, 1)
			// A case pattern needs quotes around what is not a wildcard.
			failing = strings.ReplaceAll(failing, tc.fails, `'`+strings.ReplaceAll(tc.fails, "*", `'*'`)+`'`)
			if o.Undo { // what there is to remove is found each time
				failing = strings.Replace(failing, `if rm "$NOTES.created" 2>/dev/null; then printf '%s\n' "$found"; fi`, `printf '%s\n' "$found"`, 1)
			}
			for name, text := range map[string]string{"az": failing, "gh": "#!/bin/sh\nexit 1\n"} {
				standin.Write(t, filepath.Join(bin, name), text)
			}
			notes := filepath.Join(bin, "notes")
			cmd := exec.Command(bash)
			cmd.Dir, cmd.Stdin = t.TempDir(), strings.NewReader(Script(o))
			cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + bin, "NOTES=" + notes, "SETUP_PAUSE=0", "SETUP_TRIES=4", "TIMES=" + string(rune('0'+tc.times)), "WITH=" + tc.with}
			var said bytes.Buffer
			cmd.Stderr = &said
			if err := cmd.Run(); (err == nil) != tc.ok {
				t.Errorf("%v", err)
			}
			calls, err := os.ReadFile(notes + ".failing")
			if got := strings.Count(string(calls), "."); err != nil || got != tc.calls {
				t.Errorf("%d calls, want %d, %v", got, tc.calls, err)
			}
			if got := strings.Count(said.String(), "Trying again up to 3 times, every 0 s: "); got > 1 || (got == 1) != (tc.says != "") || !strings.Contains(said.String(), tc.says) {
				t.Errorf("it says %d times what it waits for, want %q", got, tc.says)
			}
			if !strings.Contains(said.String(), tc.with) {
				t.Error("it does not say what came back")
			}
			if t.Failed() {
				t.Log(said.String())
			}
		})
	}
}
