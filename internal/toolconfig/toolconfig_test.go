package toolconfig

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

const token = "pat1234567890"

// caller is the environment of a caller.
type caller map[string]string

// build sets up tools in the folder /t/f.
func build(t *testing.T, env caller, feeds string, names ...string) *Config {
	t.Helper()
	config, err := tryBuild(env, feeds, names...)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func tryBuild(env caller, feeds string, names ...string) (*Config, error) {
	o := Options{
		Organization: "contoso", Tools: names, Folder: "/t/f",
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	if feeds != "" {
		var err error
		if o.Feeds, err = ParseFeeds(feeds); err != nil {
			return nil, err
		}
	}
	return Build(o, secret.New(token))
}

// variable is a variable of a configuration; ok: it is set.
func (c *Config) variable(name string) (value string, ok bool) {
	for _, v := range c.Variables {
		if v.Name == name {
			return v.Value, true
		}
	}
	return "", false
}

// content is the text of a file.
func (c *Config) content(t *testing.T, name string) string {
	t.Helper()
	for _, f := range c.Files {
		if f.Name == name {
			return string(f.Content)
		}
	}
	t.Fatalf("no file %s", name)
	return ""
}

// wantVariables checks values of variables, empty: it is not set.
func wantVariables(t *testing.T, c *Config, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got, ok := c.variable(name); got != value || ok != (value != "") {
			t.Errorf("%s is %q, %v, want %q", name, got, ok, value)
		}
	}
}

func TestParseTools(t *testing.T) {
	t.Parallel()
	if got, err := ParseTools(" git,\n git "); err != nil || strings.Join(got, " ") != "git" {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string]string{"": "tools, separated by white space or commas: git", "gti": "the nearest name is git", "Git": "the nearest name is git", "git;x": "git"} {
		if _, err := ParseTools(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseFeeds(t *testing.T) {
	t.Parallel()
	got, err := ParseFeeds("a, My%20Project/b-1.c@Local\na")
	want := []Feed{{"", "a"}, {"My%20Project", "b-1.c@Local"}}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseFeeds("%C3%9Cber%20R%26D%20%28old%29/w"); err != nil || got[0].Project != "%C3%9Cber%20R%26D%20%28old%29" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"%2e%2e/a", "%2E%2E/a", "%2E/a", "a%2E/a", "a./a", "%2Ea/a", "%2F/a", "%00/a", "%0A/a", "%FF/a", "%E2%80%AE/a", "%/a", "%5C/a", "%c3%9c/a", "%3Fx/a", "%25/a", "", ",", "a/b/c", "/a", "a/", "../a", "a/..", ".", "a b/../c", "a%2Fb/c", "a?b", "a#b", "a:b@c/d", "a\\b", "é", "p/f@", "my-feed my_feed", "p/f q/F"} {
		if got, err := ParseFeeds(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if got := want[1].url("contoso", "npm/registry/"); got != "https://pkgs.dev.azure.com/contoso/My%20Project/_packaging/b-1.c@Local/npm/registry/" {
		t.Error(got)
	}
	if got := want[1].variable(); got != "B_1_C_LOCAL" {
		t.Error(got)
	}
}

// No variable holds the token, except where a tool has no other way.
func TestVariablesHoldNoToken(t *testing.T) {
	t.Parallel()
	inVariable := map[string]bool{"nuget": true, "az": true}
	for _, name := range slices.DeleteFunc(Names(), func(name string) bool { return name == "cargo" && runtime.GOOS == "windows" }) {
		for _, v := range build(t, nil, "a,p/b", name).Variables {
			if strings.Contains(v.Value, token) && !inVariable[name] {
				t.Errorf("%s: %s holds the token", name, v.Name)
			}
		}
	}
}

func TestGit(t *testing.T) {
	t.Parallel()
	c := build(t, nil, "", "git")
	helper := `!f() { if test "$1" = get; then cat /t/f/git-credential 2>/dev/null; fi; }; f`
	wantVariables(t, c, map[string]string{
		"GIT_CONFIG_COUNT": "4", "GIT_CONFIG_KEY_0": "credential.https://dev.azure.com/contoso.helper", "GIT_CONFIG_VALUE_1": helper,
		"GIT_CONFIG_KEY_3": "credential.https://contoso.visualstudio.com.helper", "GIT_CONFIG_VALUE_3": helper,
	})
	if got := c.content(t, "git-credential"); got != "username=contoso\npassword="+token+"\n" {
		t.Errorf("%q", got)
	}
	c = build(t, caller{"GIT_CONFIG_COUNT": "3"}, "", "git")
	wantVariables(t, c, map[string]string{"GIT_CONFIG_COUNT": "7", "GIT_CONFIG_KEY_2": "", "GIT_CONFIG_KEY_3": "credential.https://dev.azure.com/contoso.helper"})
	for _, count := range []string{"-1", "x", "1e3", "99999999999999999999"} {
		if _, err := tryBuild(caller{"GIT_CONFIG_COUNT": count}, "", "git"); err == nil {
			t.Errorf("%s: no error", count)
		}
	}
}
