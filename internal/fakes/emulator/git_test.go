package emulator_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// git runs git with a PAT, in a directory of its own, without the configuration of
// this machine and its user.
func (c *client) git(dir, token string, args ...string) (string, error) {
	c.Helper()
	cmd := exec.CommandContext(c.Context(), "git", append([]string{
		"-c", "credential.helper=", "-c", "user.name=t", "-c", "user.email=t@example.com",
		"-c", "http.extraHeader=Authorization: " + basic(token),
	}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestGit(t *testing.T) {
	t.Parallel()
	c := start(t)
	dir := t.TempDir()
	reader := c.e.Seed(emulator.PAT{Scope: "vso.code"})
	writer := c.e.Seed(emulator.PAT{Scope: "vso.code_write"})
	clone := filepath.Join(dir, "clone")

	if out, err := c.git(dir, reader.Token, "clone", c.e.GitURL(), clone); err != nil {
		t.Fatalf("clone: %v\n%s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(clone, "README.md")); err != nil || string(b) != "Hello from Azure DevOps.\n" {
		t.Fatalf("README.md is %q, %v", b, err)
	}
	// Two megabytes that do not compress, so that git sends the pack in chunks.
	noise, err := os.Open("/dev/urandom")
	if err != nil {
		t.Skip(err)
	}
	defer noise.Close()
	large := make([]byte, 2<<20)
	if _, err := noise.Read(large); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(clone, "large"), large, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"add", "."}, {"commit", "--quiet", "-m", "more"}} {
		if out, err := c.git(clone, reader.Token, args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	if out, err := c.git(clone, reader.Token, "push"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("a push with vso.code: %v\n%s", err, out)
	}
	if out, err := c.git(clone, writer.Token, "push"); err != nil {
		t.Errorf("a push with vso.code_write: %v\n%s", err, out)
	}
	if out, err := c.git(dir, reader.Token, "clone", c.e.GitURL(), "again"); err != nil {
		t.Errorf("clone: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "again", "large")); err != nil {
		t.Error("what was pushed is not there")
	}
}

func TestGitRefused(t *testing.T) {
	t.Parallel()
	c := start(t)
	dir := t.TempDir()
	created := c.create(nil)
	token, id := created["token"].(string), created["authorizationId"].(string)
	if out, err := c.git(dir, token, "ls-remote", c.e.GitURL()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.pats("DELETE", "&authorizationId="+id, "")
	for name, test := range map[string]struct {
		token  string
		status int
	}{
		"revoked":     {token, 401},
		"unknown":     {strings.Repeat("x", 84), 401},
		"wrong scope": {c.e.Seed(emulator.PAT{Scope: "vso.build"}).Token, 403},
	} {
		if out, err := c.git(dir, test.token, "ls-remote", c.e.GitURL()); err == nil {
			t.Errorf("%s: git is let in\n%s", name, out)
		}
		a := c.send("GET", c.e.GitURL()+"/info/refs?service=git-upload-pack", "", "Authorization", basic(test.token))
		if a.Status != test.status || test.status == 401 && a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: got %d %v, want %d", name, a.Status, a.Header, test.status)
		}
	}
	good := c.e.Seed(emulator.PAT{}).Token
	if out, err := c.git(dir, good, "ls-remote", c.e.GitURL()+"2"); err == nil {
		t.Errorf("another repository is there\n%s", out)
	}
	if out, err := c.git(dir, good, "ls-remote", c.e.GitURL()+"/../../"); err == nil {
		t.Errorf("the path leads astray\n%s", out)
	}
}
