package toolconfig

import (
	"crypto/rand"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

// The real git asks for credentials of many URLs, as it does before a request. Those of the
// organization get the token; all others get what the caller's own helper has.
func TestGitCredentialFill(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs git, and paths that Windows does not have")
	}
	// A path with what a shell could take for syntax.
	temp, name := filepath.Join(t.TempDir(), `it's a "$(temp)" folder`), NewFolder(key, rand.Reader)
	write(t, filepath.Join(temp, "x"), "")
	const helper = `!f() { test "$1" = get && echo username=theirs && echo password=theirs; }; f`
	env := caller{"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper", "GIT_CONFIG_VALUE_0": helper}
	c, err := Build(Options{
		Organization: "contoso", Tools: []string{"git"}, Folder: filepath.Join(temp, name),
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}, secret.New(token))
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(temp, name, c.Files); err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Variables {
		env[v.Name] = v.Value
	}
	git := func(input string, arguments ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", arguments...)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true"}
		for name, value := range env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Stdin = strings.NewReader(input)
		output, _ := cmd.CombinedOutput() // it fails for some
		return string(output)
	}
	password := func(input string) string {
		passwords := map[string]bool{}
		for _, useHTTPPath := range []string{"false", "true"} {
			output := git(input, "-c", "credential.useHttpPath="+useHTTPPath, "credential", "fill")
			_, after, _ := strings.Cut(output, "\npassword=")
			after, _, _ = strings.Cut(after, "\n")
			passwords[after] = true
		}
		if len(passwords) != 1 {
			t.Errorf("%q depends on useHttpPath", input)
		}
		for p := range passwords {
			return p
		}
		return ""
	}
	for url, want := range map[string]string{
		"https://dev.azure.com/contoso/P/_git/app":                token,
		"https://dev.azure.com/contoso":                           token,
		"https://dev.azure.com:443/contoso/P/_git/app":            token,
		"https://DEV.Azure.com/contoso/P/_git/app":                token,
		"https://contoso@dev.azure.com/contoso/P/_git/app":        token,
		"https://somebody:else@dev.azure.com/contoso/P":           "else", // what a URL has wins in git
		"https://dev.azure.com/%63ontoso/P/_git/app":              token,
		"https://dev.azure.com/other/../contoso/P/_git/app":       token,
		"https://contoso.visualstudio.com/P/_git/app":             token,
		"https://contoso.visualstudio.com/DefaultCollection/P":    token,
		"https://me@contoso.visualstudio.com":                     token,
		"https://dev.azure.com/contosox/P/_git/app":               "theirs",
		"https://dev.azure.com/contos/P/_git/app":                 "theirs",
		"https://dev.azure.com/contoso-2/P/_git/app":              "theirs",
		"https://dev.azure.com/CONTOSO/P/_git/app":                "theirs",
		"https://dev.azure.com/other/P/_git/app":                  "theirs",
		"https://dev.azure.com/other/contoso/P/_git/app":          "theirs",
		"https://dev.azure.com/contoso/../other/P/_git/app":       "theirs",
		"https://dev.azure.com/contoso/%2e%2e/other/P/_git/app":   "theirs",
		"https://dev.azure.com/contoso%2F..%2Fother/P":            "theirs",
		"https://dev.azure.com//contoso/P/_git/app":               token,
		"https://dev.azure.com":                                   "theirs",
		"https://dev.azure.com/":                                  "theirs",
		"https://dev.azure.com:8443/contoso/P/_git/app":           "theirs",
		"http://dev.azure.com/contoso/P/_git/app":                 "theirs",
		"http://dev.azure.com:443/contoso/P/_git/app":             "theirs",
		"https://dev.azure.com.elsewhere.example/contoso/P":       "theirs",
		"https://dev.azure.com@elsewhere.example/contoso/P":       "theirs",
		"https://elsewhere.example/https://dev.azure.com/contoso": "theirs",
		"https://www.dev.azure.com/contoso/P":                     "theirs",
		"https://pkgs.dev.azure.com/contoso/_packaging/f":         "theirs",
		"https://xcontoso.visualstudio.com/P":                     "theirs",
		"https://contoso.visualstudio.com.elsewhere.example/P":    "theirs",
		"https://other.visualstudio.com/contoso/P":                "theirs",
		"ssh://git@ssh.dev.azure.com/v3/contoso/P/app":            "theirs",
	} {
		if got := password("url=" + url + "\n\n"); got != want {
			t.Errorf("%s gets %q, want %q", url, got, want)
		}
	}
	// The protocol's own form, with lines that a URL or a host could smuggle in. git refuses
	// what it does not take.
	for _, input := range []string{
		"protocol=https\nhost=elsewhere.example\npath=x\nhost=dev.azure.com\npath=contoso/P\nhost=elsewhere.example\n\n",
		"protocol=https\nhost=dev.azure.com\nhost=elsewhere.example\npath=contoso/P\n\n",
		"protocol=https\nhost=elsewhere.example\\ndev.azure.com\npath=contoso/P\n\n",
		"url=https://elsewhere.example/contoso%0ahost=dev.azure.com\n\n",
		"url=https://elsewhere.example%0ahost=dev.azure.com/contoso\n\n",
		"protocol=https\nhost=dev.azure.com\rx\npath=contoso/P\n\n",
		"protocol=https\nhost=\npath=dev.azure.com/contoso\n\n",
		"protocol=https\n\n",
	} {
		if got := git(input, "credential", "fill"); strings.Contains(got, token) {
			t.Errorf("%q gets %q", input, got)
		}
	}
	// Nothing that git stores or forgets changes what it gets next.
	const contoso = "protocol=https\nhost=dev.azure.com\npath=contoso/P\n"
	for _, verb := range []string{"approve", "reject"} {
		if got := git(contoso+"username=contoso\npassword=another\n\n", "credential", verb); got != "" {
			t.Errorf("%s says %q", verb, got)
		}
		if got := password(contoso + "\n"); got != token {
			t.Errorf("after %s it gets %q", verb, got)
		}
	}
}
