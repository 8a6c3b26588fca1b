//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	actModule  = "github.com/nektos/act"
	actVersion = "v0.2.89"
	// jobImage is what act-image.sh makes.
	jobImage = "azdo-pat-job:latest"
)

// actTools is what it takes to run a workflow.
type actTools struct {
	act    string // the program
	source string // a folder with what a commit of the action has
}

// setUpAct gets the tools ready: act, from the module proxy if it is not in the
// cache, the image of the job and that of Go.
func setUpAct(t *testing.T) *actTools {
	t.Helper()
	for program, pkg := range map[string]string{"docker": "docker.io", "git": "git", "docker-registry": "docker-registry"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: these tests need Debian's package %s", err, pkg)
		}
	}
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		t.Fatalf("no Docker engine answers (%v); start dockerd, as .ci/docker does\n%s", err, out)
	}
	tools := &actTools{act: actProgram(t), source: filepath.Join(t.TempDir(), "azdo-pat")}
	mustRun(t, exec.Command("bash", "image/base.sh"))
	mustRun(t, exec.Command("bash", "act-image.sh", jobImage))
	if err := copyAction(tools.source, "../.."); err != nil {
		t.Fatal(err)
	}
	build(t, tools.source)
	return tools
}

// buildTag is the name of the image that build makes.
var buildTag = "azdo-pat-act:" + actRun

// build builds the action's image once. It is by the builder that act uses, and
// of the same bytes, so that what act builds later is in the cache.
func build(t *testing.T, source string) {
	t.Helper()
	context, err := tarFile(source)
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("docker", "build", "--quiet", "--tag", buildTag, "-")
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	build.Stdin = bytes.NewReader(context)
	mustRun(t, build)
	t.Cleanup(func() { mustRun(t, exec.Command("docker", "image", "rm", buildTag)) })
}

// mustRun runs a command that has to succeed and returns what it said.
func mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, errs.String(), out.String())
	}
	return out.String()
}

// actProgram is act, kept in the user's cache from one run to the next.
func actProgram(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(cache, "azdo-pat", "act-"+actVersion)
	program := filepath.Join(bin, "act")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	for attempt := 1; ; attempt++ { // it downloads hundreds of modules
		install := exec.Command("go", "install", actModule+"@"+actVersion)
		install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
		out, err := install.CombinedOutput()
		if err == nil {
			return program
		}
		if attempt == 3 {
			t.Fatalf("install act: %v\n%s", err, out)
		}
		time.Sleep(time.Duration(attempt) * 10 * time.Second)
	}
}

// The files of the action: those that .dockerignore lets through to the builder, and
// those that the runner reads. act would give the builder all files, and each change of
// a test would rebuild the image.
var (
	ofAction    = regexp.MustCompile(`^(action\.yml|Dockerfile|\.dockerignore|go\.mod|go\.sum|[^/]+\.go|internal/.+)$`)
	notOfAction = regexp.MustCompile(`_test\.go$|/testdata/|^internal/(demo|e2e|emulator|runner)/`)
)

// copyAction copies the action out of the tree that these tests lie in.
func copyAction(to, from string) error {
	tree := os.DirFS(from)
	return fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == ".git" && entry.IsDir() { // in a worktree it is a file
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() || !ofAction.MatchString(name) || notOfAction.MatchString(name) {
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}

// actionWith is a folder with the action as a commit has it whose action.yml
// names this image.
func (a *actTools) actionWith(t *testing.T, image string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "azdo-pat")
	if err := os.CopyFS(dir, os.DirFS(a.source)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "action.yml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const line = "\n  image: Dockerfile\n"
	if strings.Count(string(content), line) != 1 {
		t.Fatalf("action.yml does not have the line %q once", line)
	}
	content = []byte(strings.Replace(string(content), line, "\n  image: "+image+"\n", 1))
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// publish pushes the image to a registry on loopback that lives as long as the
// test, and has Docker forget that name of it. It returns the name, with the
// digest.
func (a *actTools) publish(t *testing.T) string {
	t.Helper()
	address := startRegistry(t)
	tag := address + "/azdo-pat:v1"
	mustRun(t, exec.Command("docker", "tag", buildTag, tag))
	mustRun(t, exec.Command("docker", "push", "--quiet", tag))
	digests := mustRun(t, exec.Command("docker", "image", "inspect", "--format", `{{join .RepoDigests "\n"}}`, tag))
	for name := range strings.Lines(digests) {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, address+"/azdo-pat@sha256:") {
			mustRun(t, exec.Command("docker", "image", "rm", tag)) // and so the digest too
			t.Cleanup(func() { mustRun(t, exec.Command("docker", "image", "rm", name)) })
			return name
		}
	}
	t.Fatalf("the pushed image has the digests %q", digests)
	return ""
}

// tarFile makes a tar file of the files in a folder, without the folders, as act
// does.
func tarFile(dir string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	tree := os.DirFS(dir)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// startRegistry starts an empty registry and returns its address. Docker speaks
// plain http with one on loopback.
func startRegistry(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `version: 0.1
storage:
  filesystem:
    rootdirectory: %s/images
http:
  addr: 127.0.0.1:0
`, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	log := newActLog()
	registry := exec.Command("docker-registry", "serve", config)
	registry.Stdout, registry.Stderr = log, log
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = registry.Process.Kill()
		_ = registry.Wait()
		// Docker has the layers already, and after the first pull the manifest too,
		// but it must ask the registry for the digest.
		log.has(t, `"(?:GET|HEAD) /v2/azdo-pat/manifests/sha256:\S+ \S+ 200`)
	})
	const listening = `listening on (127\.0\.0\.1:\d+)`
	log.await(t, listening)
	return regexp.MustCompile(listening).FindStringSubmatch(log.String())[1]
}
