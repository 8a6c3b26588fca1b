package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	yaml3 "go.yaml.in/yaml/v3"

	"azdo-pat/internal/fakes/standin"
	"azdo-pat/internal/sanitize"
)

// options are all kinds of scripts, by name.
func options() map[string]Options {
	all := map[string]Options{}
	for _, identity := range []Identity{ServicePrincipal, ServiceAccount, AgentUser} {
		for _, undo := range []bool{false, true} {
			base := Options{Identity: identity, Format: Bash, Undo: undo, Organization: "contoso", Name: "azdo-pat-contoso",
				Audience: "api://AzureADTokenExchange", Repository: "contoso/widgets"}
			if identity == ServiceAccount {
				base.Username = "azdo@contoso.com"
			}
			if identity == AgentUser {
				base.Format = PowerShell
			}
			add := func(name string, change func(*Options)) {
				o := base
				change(&o)
				key := fmt.Sprintf("%s, %s", identity, name)
				if undo {
					key += ", undo"
				}
				all[key] = o
			}
			add("repository", func(*Options) {})
			add("subject", func(o *Options) {
				o.Repository, o.Issuer, o.Subject, o.Tenant = "", gitHubIssuer, "repo:contoso/widgets:environment:production", "contoso.onmicrosoft.com"
			})
			add("application", func(o *Options) {
				o.Client, o.Tenant = "C1C1C1C1-0000-4000-8000-000000000004", "11111111-1111-4111-8111-111111111111"
			})
			add("other issuer", func(o *Options) {
				o.Repository, o.Issuer, o.Subject = "", "https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0", "/eid1/c/pub/t/x/a/y/sc/z"
			})
			if identity == ServiceAccount {
				add("vault", func(o *Options) { o.Vault, o.Secret = "contoso-kv", "azdo-refresh-token" })
			}
			if identity == AgentUser {
				add("agent", func(o *Options) {
					o.Agent, o.AgentUser = "a1a1a1a1-0000-4000-8000-000000000002", "agent@contoso.com"
				})
			}
		}
	}
	return all
}

// needBash skips a test where there is no bash, except in the stage of CI that has it.
func needBash(t *testing.T) string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("no bash") // Windows' would be another's, with rules of its own for arguments
	}
	return bash
}

// bash understands the scripts, and nothing that a log or a linter would mind is in them.
func TestBash(t *testing.T) {
	t.Parallel()
	bash := needBash(t)
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil && os.Getenv("AZDO_PAT_SETUP_TOOLS") != "" {
		t.Fatal(err)
	}
	for name, o := range options() {
		if o.Format != Bash {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := Script(o)
			checkers := [][]string{{bash, "-n"}}
			if shellcheck != "" {
				checkers = append(checkers, []string{shellcheck, "-"})
			}
			for _, c := range checkers {
				cmd := exec.Command(c[0], c[1:]...)
				cmd.Stdin = strings.NewReader(script)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", filepath.Base(c[0]), err, out)
				}
			}
			if got := sanitize.NoCommands(strings.ReplaceAll(script, "\t", "    ")); got != strings.ReplaceAll(script, "\t", "    ") {
				t.Error("a log would change it")
			}
			if strings.Contains(script, "<no value>") || strings.Contains(script, "%!") {
				t.Error("a value is missing")
			}
		})
	}
}

// hostile holds values that would do harm as code. A test passes them to a real shell,
// so each must be harmless even if the quoting fails.
var hostile = []string{
	`'; touch pwned #`, `"; touch pwned #`, "`touch pwned`", `$(touch pwned)`, `${x:=$(touch pwned)}`, `\`, `\'`, `'\''`, `\\"`, `"`, "'", "''",
	`$HOME`, `$app`, `%COMSPEC%`, `%s%n`, "‘;touch pwned;’", "ünïcode 😀", "##[error]x", "::error::x", "!!", "@/etc/passwd", "-x", "--version", "*", "~", "a b",
	"&& touch pwned", "| touch pwned", "> pwned", "WORKFLOW", "$'\\n'", "{a,b}", "`u{41}", "a\u00a0b", "👩\u200d💻", "\u202ex", "x;touch pwned", "]} $(touch pwned)",
}

// What the script ends with is YAML, with the ids that it found.
func TestOutcome(t *testing.T) {
	t.Parallel()
	needBash(t)
	const found = "11111111-1111-4111-8111-111111111111"
	for name, o := range options() {
		if o.Undo || o.Format != Bash {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := Script(o)
			_, stdout, said, _ := run(t, script)
			for text, part := range map[string]string{said: "Trusted are jobs on the branch main alone: no pull request, no tag", script: "\n# It trusts the jobs on the repository's default branch alone"} {
				if strings.Contains(text, part) != (o.Repository != "") {
					t.Errorf("%q is missing, or of no repository, in %s", part, text)
				}
			}
			var got map[string]any
			if err := yaml3.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatalf("%v\n%s", err, stdout)
			}
			var settings map[string]any
			prefix := ""
			if strings.Contains(name, "other issuer") {
				settings, prefix = got["variables"].(map[string]any), "AZDO_PAT_"
			} else {
				job := got["jobs"].(map[string]any)["token"].(map[string]any)
				settings = job["steps"].([]any)[0].(map[string]any)["with"].(map[string]any)
				if environment := "production"; strings.Contains(name, "subject") && job["environment"] != environment {
					t.Errorf("environment %v, want %s", job["environment"], environment)
				}
			}
			store := "| gh secret set AZDO_REFRESH_TOKEN"
			if prefix != "" {
				store = " && AZURE_DEVOPS_EXT_PIPELINE_VAR_refreshToken=$t az pipelines variable create --name refreshToken --secret true "
				if steps := got["steps"].([]any); steps[len(steps)-1].(map[string]any)["bash"] != "exec azdo-pat revoke" {
					t.Errorf("no last step that revokes, and removes git's file, in\n%s", stdout)
				}
			}
			if strings.Contains(stdout, store) != (o.Identity == ServiceAccount && o.Vault == "") {
				t.Errorf("where to store the refresh token, %q, is missing or too much in\n%s", store, stdout)
			}
			for setting, want := range map[string]string{"organization": "contoso", "tenant-id": found, "client-id": found, "configure": "git"} {
				if prefix != "" {
					setting = prefix + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
				}
				if settings[setting] != want {
					t.Errorf("%s is %v, want %s, in\n%s", setting, settings[setting], want, stdout)
				}
			}
		})
	}
}

// Azure DevOps answers 200 also when it refuses. The script tells its reason.
func TestRefusalInAnAnswer(t *testing.T) {
	t.Parallel()
	bash := needBash(t)
	bin := t.TempDir()
	refusing := strings.Replace(stub, "*) touch", "*entitlements*) echo 'no licence is left' ;;\n*) touch", 1)
	for name, text := range map[string]string{"az": refusing, "gh": "#!/bin/sh\nexit 1\n"} {
		standin.Write(t, filepath.Join(bin, name), text)
	}
	cmd := exec.Command(bash)
	cmd.Stdin = strings.NewReader(Script(options()["service-principal, repository"]))
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + bin, "NOTES=" + filepath.Join(bin, "notes"), "SETUP_PAUSE=0", "SETUP_TRIES=2"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no licence is left\n\nStopped: this did not succeed") {
		t.Errorf("%v\n%s", err, out)
	}
}

// stub stands in for az: it notes its words, and finds what was created since it was
// last asked.
const stub = `#!/bin/bash
for word in "$@"; do printf '%s\0' "$word"; done >>"$NOTES"
printf '\n\0' >>"$NOTES"
found=$'11111111-1111-4111-8111-111111111111\t22222222-2222-4222-8222-222222222222\tyes'
case "$*" in
*'--method GET'*organization* | *'keyvault show'*) printf '%s\n' $'11111111-1111-4111-8111-111111111111\tyes' ;;
*'applications(appId='*) printf '%s\n' "$found" ;;
*'--method GET'* | *' list '*) if rm "$NOTES.created" 2>/dev/null; then printf '%s\n' "$found"; fi ;;
*) touch "$NOTES.created"
   for word in "$@"; do case $word in @*) cat "${word#@}" >>"$NOTES"; printf '\0\n\0' >>"$NOTES" ;; esac; done ;;
esac
`

// run runs a script with the stub, and returns the words of all calls of az and what the
// script printed.
func run(t *testing.T, script string) (calls [][]string, stdout, stderr string, dir string) {
	t.Helper()
	bash := needBash(t)
	bin, dir := t.TempDir(), t.TempDir()
	standin.Write(t, filepath.Join(bin, "az"), stub)
	standin.Write(t, filepath.Join(bin, "gh"), "#!/bin/sh\nexit 1\n")
	notes := filepath.Join(bin, "notes")
	cmd := exec.Command(bash)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(script)
	temp := t.TempDir()
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + dir, "NOTES=" + notes, "TMPDIR=" + temp, "SETUP_PAUSE=0", "SETUP_TRIES=3", "LC_ALL=C.UTF-8"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.Bytes())
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	text, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	var call []string
	for word := range strings.SplitSeq(string(text), "\x00") {
		if word == "\n" {
			calls, call = append(calls, call), nil
		} else if word != "" {
			call = append(call, word)
		}
	}
	return calls, out.String(), errs.String(), dir
}

// Hostile values are data to a real bash: each reaches az whole, in the JSON that it
// belongs to, and nothing else is run.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	needBash(t)
	for _, value := range hostile {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			o := Options{Identity: ServiceAccount, Format: Bash, Organization: "contoso", Name: value, Tenant: "contoso.com",
				Issuer: "https://a.example/" + value, Subject: "repo:contoso/widgets:environment:" + value, Audience: value,
				Username: strings.NewReplacer(" ", "", "@", "", "/", "", `\`, "", `"`, "", ">", "").Replace(value) + "x@contoso.com", Vault: "contoso-kv", Secret: "token"}
			script := Script(o)
			if shown := strings.ReplaceAll(script, "\t", "    "); sanitize.NoCommands(shown) != shown {
				t.Error("a log would change the script")
			}
			calls, stdout, stderr, dir := run(t, script)
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("something was run: %v", left)
			}
			bodies := bodiesOf(calls)
			want := []any{
				map[string]any{"displayName": value, "signInAudience": "AzureADMyOrg", "web": map[string]any{"redirectUris": []any{"http://localhost"}}},
				map[string]any{"name": CredentialName(o.Subject), "issuer": o.Issuer, "subject": o.Subject, "audiences": []any{value}},
			}
			for _, w := range want {
				if !slices.ContainsFunc(bodies, func(b any) bool { return fmt.Sprint(b) == fmt.Sprint(w) }) {
					t.Errorf("no body %v among %v", w, bodies)
				}
			}
			user := slices.IndexFunc(bodies, func(b any) bool {
				m, _ := b.(map[string]any)
				return m["userPrincipalName"] == o.Username && m["displayName"] == value
			})
			if user < 0 {
				t.Errorf("no user among %v", bodies)
			}
			if !strings.Contains(stderr, "the subject "+o.Subject) && !sanitize.NeedsEscape(o.Subject) {
				t.Errorf("the subject is not told: %s", stderr)
			}
			if err := yaml3.Unmarshal([]byte(strings.ReplaceAll(stdout, "=", ": ")), new(any)); strings.HasPrefix(stdout, "#") && strings.Contains(stdout, "jobs:") && err != nil {
				t.Errorf("%v in %s", err, stdout)
			}
			if !strings.Contains(stdout, "client-id: 11111111-1111-4111-8111-111111111111") && !strings.Contains(stdout, "CLIENT_ID=11111111-1111-4111-8111-111111111111") {
				t.Errorf("no settings in %s", stdout)
			}
		})
	}
}

// bodiesOf decodes the JSON among the words.
func bodiesOf(calls [][]string) (bodies []any) {
	for _, call := range calls {
		for _, word := range call {
			var v any
			if strings.HasPrefix(word, "{") && json.Unmarshal([]byte(word), &v) == nil {
				bodies = append(bodies, v)
			}
		}
	}
	return bodies
}

// The password of a new user is on no command line.
func TestPasswordIsOnNoCommandLine(t *testing.T) {
	t.Parallel()
	o := options()["service-account, repository"]
	calls, stdout, stderr, _ := run(t, Script(o))
	found := regexp.MustCompile(`"password":"([^"]{20,})"`)
	for _, call := range calls {
		for _, word := range call {
			m := found.FindStringSubmatch(word)
			if m == nil {
				continue
			}
			if len(call) > 1 && slices.Contains(call, "rest") {
				t.Errorf("az got it as an argument: %q", call)
			}
			if strings.Contains(stdout+stderr, m[1]) {
				t.Error("the script printed it")
			}
			return
		}
	}
	t.Errorf("no password among %q", calls)
}
