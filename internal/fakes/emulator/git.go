package emulator

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"strings"
)

// isGit reports whether a path is that of a git repository.
func isGit(path string) bool {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 4)
	return len(parts) == 4 && parts[2] == "_git"
}

// GitURL is the URL to clone the repository from, without credentials.
func (e *Emulator) GitURL() string {
	return e.urls[AzureDevOps] + "/" + OrganizationName + "/" + Project + "/_git/" + Repository
}

// git serves the repository over smart HTTP: fetching needs a PAT with
// vso.code, pushing one with vso.code_write. git's own http-backend does the
// work.
func (e *Emulator) git(w http.ResponseWriter, r *http.Request) {
	pat := e.admitToGit(w, r)
	if pat == nil {
		return
	}
	root, err := e.repositories()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	git, err := exec.LookPath("git")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	prefix := r.URL.Path[:strings.Index(r.URL.Path, "/_git/")+len("/_git")]
	// The body has been read; CGI knows no chunked ones.
	r = r.Clone(r.Context())
	r.TransferEncoding = nil
	backend := &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Root: prefix,
		Env: append(gitEnv(root),
			"GIT_PROJECT_ROOT="+root,
			"GIT_HTTP_EXPORT_ALL=1",
			"GIT_PROTOCOL="+r.Header.Get("Git-Protocol"),
			"REMOTE_USER="+pat.Owner),
	}
	backend.ServeHTTP(w, r)
}

// admitToGit returns the request's PAT if it permits the request. Otherwise it has
// answered the request. git sends credentials only after a 401.
func (e *Emulator) admitToGit(w http.ResponseWriter, r *http.Request) *PAT {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.organizationLocked(w, r)
	if o == nil {
		return nil
	}
	want := "vso.code"
	if strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack" {
		want = "vso.code_write"
	}
	refuse := func(status int, reason string) *PAT {
		recordOf(r).Refusal = reason
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+e.urls[AzureDevOps]+`/"`)
		}
		http.Error(w, reason, status)
		return nil
	}
	p, reason := e.patLocked(r, o)
	switch {
	case p == nil:
		return refuse(http.StatusUnauthorized, reason)
	case !permits(p.Scope, want):
		return refuse(http.StatusForbidden, "PAT without "+want)
	case !strings.HasPrefix(r.URL.Path, "/"+o.Name+"/"+Project+"/_git/"+Repository+"/"):
		return refuse(http.StatusNotFound, "TF401019: The Git repository does not exist or you do not have permissions for the operation you are attempting.")
	}
	c := *p
	return &c
}

// repositories is the directory with the bare repository, made on first use.
func (e *Emulator) repositories() (string, error) {
	dir, err := e.temporary()
	if err != nil {
		return "", err
	}
	root := filepath.Join(dir, "git")
	e.gitOnce.Do(func() { e.gitErr = makeRepository(root) })
	return root, e.gitErr
}

// makeRepository makes a bare repository with one commit on main.
func makeRepository(root string) error {
	repository := filepath.Join(root, Repository)
	for _, step := range []struct {
		args  []string
		input string
	}{
		{[]string{"init", "--quiet", "--bare", "--initial-branch=main", repository}, ""},
		{[]string{"-C", repository, "fast-import", "--quiet"}, firstCommit},
	} {
		git := exec.Command("git", step.args...)
		git.Env = gitEnv(root)
		git.Stdin = strings.NewReader(step.input)
		var out bytes.Buffer
		git.Stdout, git.Stderr = &out, &out
		if err := git.Run(); err != nil {
			return fmt.Errorf("git %s: %w: %s", strings.Join(step.args, " "), err, out.String())
		}
	}
	return nil
}

// firstCommit is the repository's history, for git fast-import.
const firstCommit = `commit refs/heads/main
committer Octo Cat <octocat@example.com> 1767225600 +0000
data <<END
Say hello
END
M 644 inline README.md
data <<END
Hello from Azure DevOps.
END

done
`

// gitEnv keeps git from reading the configuration of this machine and its user.
func gitEnv(home string) []string {
	return []string{"HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
}
