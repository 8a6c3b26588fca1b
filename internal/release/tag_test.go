package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/standin"
)

// repository is a clone, as a job has it, of an origin with one commit.
type repository struct {
	t             *testing.T
	origin, clone string
	path          string // goes before PATH
}

func newRepository(t *testing.T) *repository {
	dir := t.TempDir()
	r := &repository{t: t, origin: filepath.Join(dir, "origin"), clone: filepath.Join(dir, "clone")}
	r.git(dir, "init", "--quiet", "--bare", "--initial-branch=main", r.origin)
	r.git(dir, "clone", "--quiet", r.origin, r.clone)
	write(t, filepath.Join(r.clone, "action.yml"), "runs:\n  using: docker\n  image: Dockerfile\n")
	write(t, filepath.Join(r.clone, "other"), "other\n")
	r.git(r.clone, "add", ".")
	r.git(r.clone, "commit", "--quiet", "-m", "first")
	r.git(r.clone, "push", "--quiet", "origin", "HEAD:main")
	return r
}

// command prepares a command that sees nothing of the caller's own git.
func (r *repository) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(r.t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + r.path + os.Getenv("PATH"), "HOME=" + r.t.TempDir(), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	return cmd
}

func (r *repository) git(dir string, args ...string) string {
	r.t.Helper()
	out, err := r.command(dir, "git", args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// at is the commit that a ref of the origin stands for, or "".
func (r *repository) at(ref string) string {
	out, err := r.command(r.origin, "git", "rev-parse", "--quiet", "--verify", ref+"^{commit}").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// release pushes a tag and runs the script as the workflow does.
func (r *repository) release(version string) (string, error) {
	r.t.Helper()
	r.git(r.clone, "tag", "--force", version)
	r.git(r.clone, "push", "--quiet", "origin", version)
	return r.script(version)
}

func (r *repository) script(version string) (string, error) {
	r.t.Helper()
	script, err := filepath.Abs("tag.sh")
	if err != nil {
		r.t.Fatal(err)
	}
	action := filepath.Join(r.t.TempDir(), "action.yml")
	write(r.t, action, "runs:\n  using: docker\n  image: docker://"+pinned+"\n")
	out, err := r.command(r.clone, "bash", script, version, action).CombinedOutput()
	return string(out), err
}

// another makes a commit on main and checks it out.
func (r *repository) another(text string) {
	write(r.t, filepath.Join(r.clone, "other"), text)
	r.git(r.clone, "commit", "--quiet", "--all", "-m", text)
	r.git(r.clone, "push", "--quiet", "origin", "HEAD:main")
}

// The commit of a tag differs from the source's only in action.yml, so pinning the
// commit pins the image.
func TestTag(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	source := r.at("main")
	if out, err := r.release("v1.2.3"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made := r.at("v1.2.3")
	if made == source || r.at("v1") != made || r.at(made+"^") != source || r.at("main") != source {
		t.Errorf("v1.2.3 is %s, v1 %s, its parent %s, main %s; the source is %s", made, r.at("v1"), r.at(made+"^"), r.at("main"), source)
	}
	if got := r.git(r.origin, "diff", "--name-status", source, made); got != "M\taction.yml" {
		t.Errorf("the commit changes %q", got)
	}
	if got := r.git(r.origin, "show", made+":action.yml"); !strings.Contains(got, "image: docker://"+pinned) {
		t.Errorf("action.yml on the tag:\n%s", got)
	}

	// A run that failed later is run again, on the same commit.
	if out, err := r.script("v1.2.3"); err != nil || r.at("v1.2.3") != made || r.at("v1") != made {
		t.Errorf("run again: v1.2.3 is %s, was %s (%v)\n%s", r.at("v1.2.3"), made, err, out)
	}
}

func TestTagAnnotated(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.git(r.clone, "tag", "--annotate", "-m", "first", "v1.0.0")
	r.git(r.clone, "push", "--quiet", "origin", "v1.0.0")
	if out, err := r.script("v1.0.0"); err != nil || r.at("v1.0.0^") != r.at("main") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The major tag moves forward only, and not to a pre-release.
func TestTagMajor(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	for _, step := range []struct{ version, major string }{
		{"v1.9.0", "v1.9.0"}, {"v1.10.0", "v1.10.0"}, {"v1.9.1", "v1.10.0"}, {"v1.11.0-rc.1", "v1.10.0"}, {"v2.0.0", "v1.10.0"}, {"v1.10.1", "v1.10.1"},
	} {
		r.another(step.version)
		if out, err := r.release(step.version); err != nil {
			t.Fatalf("%s: %v\n%s", step.version, err, out)
		}
		if got, want := r.at("v1"), r.at(step.major); got != want {
			t.Errorf("after %s, v1 is %s, want %s, which is %s", step.version, got, step.major, want)
		}
	}
	if r.at("v2") != r.at("v2.0.0") {
		t.Error("v2 is not v2.0.0")
	}
}

// A tag that was moved since the run began stays, and so does the major tag.
func TestTagMoved(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	old := r.git(r.clone, "rev-parse", "HEAD")
	r.another("new")
	r.git(r.clone, "tag", "v1.0.0")
	r.git(r.clone, "push", "--quiet", "origin", "v1.0.0")
	moved := r.at("v1.0.0")
	r.git(r.clone, "checkout", "--quiet", old)
	if out, err := r.script("v1.0.0"); err == nil || r.at("v1.0.0") != moved || r.at("v1") != "" {
		t.Errorf("v1.0.0 is %s, was %s; v1 is %q (%v)\n%s", r.at("v1.0.0"), moved, r.at("v1"), err, out)
	}
	for _, version := range []string{"v3.0.0", "1.0.0", "v1", "v1.0.0;id"} {
		if out, err := r.script(version); err == nil {
			t.Errorf("%s: no error\n%s", version, out)
		}
	}
}

// A tag that is moved after the script has read it and before it pushes stays, and so
// does the major tag.
func TestTagMovedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"v1.0.1", "v1"} {
		r := newRepository(t)
		if out, err := r.release("v1.0.0"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		major := r.at("v1")
		r.another("theirs")
		theirs := r.at("main")
		r.another("new")
		r.git(r.clone, "tag", "v1.0.1")
		r.git(r.clone, "push", "--quiet", "origin", "v1.0.1")
		pushed := r.at("v1.0.1")

		// The git that the script finds first moves the tag before it pushes.
		git, err := exec.LookPath("git")
		if err != nil {
			t.Fatal(err)
		}
		bin := t.TempDir()
		standin.Write(t, filepath.Join(bin, "git"), "#!/bin/sh\n[ \"$1\" != push ] || "+git+" --git-dir='"+r.origin+"' update-ref refs/tags/"+tag+" "+theirs+"\nexec "+git+" \"$@\"\n")
		r.path = bin + ":"
		out, err := r.script("v1.0.1")
		want := map[string]string{"v1.0.1": pushed, "v1": major}
		want[tag] = theirs
		if err == nil || r.at("v1.0.1") != want["v1.0.1"] || r.at("v1") != want["v1"] {
			t.Errorf("%s moved: v1.0.1 is %s, want %s; v1 is %s, want %s (%v)\n%s", tag, r.at("v1.0.1"), want["v1.0.1"], r.at("v1"), want["v1"], err, out)
		}
	}
}
