package acceptance

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// AZDO_PAT_TOOLS=1 runs the real tools. They find a server on loopback under the real
// names of the hosts, in a namespace without any other network. That needs root.
const (
	toolsVariable  = "AZDO_PAT_TOOLS"
	insideVariable = "AZDO_PAT_TOOLS_INSIDE"
)

// The tools that configure sets up take the token for the named organization, with the
// caller's own configuration in place; no other host or organization gets it.
func TestRealTools(t *testing.T) {
	if os.Getenv(toolsVariable) == "" {
		t.Skip(toolsVariable + " is not set: needs root, and git, npm, pnpm, pip, twine, mvn, cargo and curl")
	}
	if os.Getenv(insideVariable) == "" {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program, "-test.run", "^TestRealTools$", "-test.v")
		cmd.Dir = "internal/acceptance" // Main goes to the root from there
		cmd.Env = append(os.Environ(), insideVariable+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
		output, err := cmd.CombinedOutput()
		t.Logf("%s", output)
		if err != nil || !strings.Contains(string(output), "--- PASS: TestRealTools") {
			t.Error(err)
		}
		return
	}
	w := newToolsWorld(t)
	first := w.mint("git npm pip nuget maven cargo az", "widgets", "")
	t.Run("git", w.git)
	t.Run("npm", func(t *testing.T) { w.npm(t, "npm") })
	t.Run("pnpm", func(t *testing.T) { w.npm(t, "pnpm") })
	t.Run("pip", w.pip)
	t.Run("twine", w.twine)
	t.Run("maven", w.maven)
	t.Run("cargo", w.cargo)
	t.Run("curl", w.curl)

	second := w.mint("git npm pip maven cargo", "gadgets", "second")
	w.feed = "gadgets"
	t.Run("a second use", func(t *testing.T) {
		t.Run("git", w.git)
		t.Run("npm", func(t *testing.T) { w.npm(t, "npm") })
		t.Run("pip", w.pip)
		t.Run("twine", w.twine)
		t.Run("maven", w.maven)
		t.Run("cargo", w.cargo)
	})
	w.feed = "widgets"
	t.Run("the first use's feed after it", func(t *testing.T) {
		t.Run("npm", func(t *testing.T) { w.npm(t, "npm") })
		t.Run("twine", w.twine)
		t.Run("maven", w.maven)
		t.Run("cargo", w.cargo)
	})
	w.server.noLeak(t)
	second()
	first()
	if left, _ := filepath.Glob(filepath.Join(w.temp, "azdo-pat-*")); len(left) > 0 {
		t.Errorf("left in the temp folder: %v", left)
	}
	t.Run("after the post step", w.after)
	t.Run("a full disk", w.fullDisk)
}

// toolsWorld is a job whose later steps are real tools.
type toolsWorld struct {
	t      *testing.T
	e      *emulator.Emulator
	server *toolServer
	temp   string
	home   string            // of the job's user, with configuration of its own
	env    map[string]string // of the next step
	feed   string
}

func newToolsWorld(t *testing.T) *toolsWorld {
	w := &toolsWorld{t: t, temp: t.TempDir(), home: t.TempDir(), feed: "widgets"}
	w.run(t, "", "ip", "link", "set", "lo", "up")
	hosts := filepath.Join(t.TempDir(), "hosts")
	w.put(hosts, "127.0.0.1 localhost dev.azure.com pkgs.dev.azure.com contoso.visualstudio.com elsewhere.example\n")
	for _, mount := range []func() error{
		func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") },
		func() error { return syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, "") },
	} {
		if err := mount(); err != nil {
			t.Fatal(err)
		}
	}
	w.server = newToolServer(t)
	w.e = emulator.Start(t)
	w.put(filepath.Join(w.home, ".gitconfig"), "[user]\nname = N\nemail = n@example.com\n[credential]\nhelper = \"!f() { test $1 = get && echo username=mine && echo password=mine; }; f\"\n")
	w.put(filepath.Join(w.home, ".npmrc"), "@mine:registry=https://elsewhere.example/npm/\n//elsewhere.example/npm/:_authToken=mine\n")
	w.put(filepath.Join(w.home, ".netrc"), "machine elsewhere.example login mine password mine\n")
	w.put(filepath.Join(w.home, ".m2/settings.xml"), "<settings><localRepository>"+w.home+"/own-m2</localRepository></settings>\n")
	real, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	ca := w.server.caFile
	store := filepath.Join(t.TempDir(), "store")
	w.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": w.home, "LANG": "C.UTF-8",
		"PYENV_ROOT": filepath.Join(real, ".pyenv"), "CARGO_HOME": filepath.Join(w.home, "cargo"),
		"GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": ca, "NPM_CONFIG_CAFILE": ca, "NODE_EXTRA_CA_CERTS": ca, "PIP_CERT": ca, "REQUESTS_CA_BUNDLE": ca,
		"CARGO_HTTP_CAINFO": ca, "CURL_CA_BUNDLE": ca, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_AUDIT": "false", "NPM_CONFIG_FUND": "false",
		"MAVEN_OPTS": "-Duser.home=" + w.home + " -Djavax.net.ssl.trustStore=" + store + " -Djavax.net.ssl.trustStorePassword=changeit",
	}
	if cargo, err := exec.LookPath("cargo"); err == nil { // rustup's finds its toolchains by HOME
		if rustup := filepath.Join(filepath.Dir(cargo), "../../.rustup"); exists(rustup) {
			w.env["RUSTUP_HOME"] = rustup
		}
	}
	w.run(t, "", "keytool", "-importcert", "-noprompt", "-alias", "test", "-file", ca, "-keystore", store, "-storepass", "changeit")
	return w
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// mint is a step that sets up tools. post ends it.
func (w *toolsWorld) mint(tools, feed, label string) (post func()) {
	step := harness.NewStep(w.t)
	env := w.e.Env(emulator.AgentUser)
	for _, name := range slices.Collect(maps.Keys(w.env)) { // as a later step has it
		env[name] = w.env[name]
	}
	maps.Copy(env, map[string]string{"RUNNER_TEMP": w.temp, "INPUT_CONFIGURE": tools, "INPUT_FEED": feed, "INPUT_NAME": label, "INPUT_SCOPES": "vso.code_write vso.packaging_write"})
	mint := harness.Command(w.t, env, step, "azdo-pat", "mint")
	if err := mint.Run(); err != nil {
		w.t.Fatalf("%v\n%s", err, harness.Output(mint))
	}
	outputs, err := step.Outputs()
	if err != nil {
		w.t.Fatal(err)
	}
	variables, err := step.Variables()
	if err != nil {
		w.t.Fatal(err)
	}
	maps.Copy(w.env, variables)
	w.server.accept(outputs["token"])
	return func() {
		post := harness.PostStep(w.t, env, step, "both")
		if err := post.Run(); err != nil {
			w.t.Errorf("%v\n%s", err, harness.Output(post))
		}
	}
}

func (w *toolsWorld) put(path, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// try runs a tool in a folder, in the job's environment.
func (w *toolsWorld) try(t *testing.T, dir string, command ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func (w *toolsWorld) run(t *testing.T, dir string, command ...string) string {
	t.Helper()
	output, err := w.try(t, dir, command...)
	if err != nil {
		t.Fatalf("%s: %v\n%s\nrequests:\n%s", strings.Join(command, " "), err, output, w.server)
	}
	return output
}

func (w *toolsWorld) fails(t *testing.T, dir string, command ...string) {
	t.Helper()
	if output, err := w.try(t, dir, command...); err == nil {
		t.Errorf("%s: no error\n%s", strings.Join(command, " "), output)
	}
}

func (w *toolsWorld) git(t *testing.T) {
	dir := t.TempDir()
	for i, url := range []string{
		"https://dev.azure.com/contoso/P/_git/app", "https://contoso@dev.azure.com/contoso/P/_git/app",
		"https://somebody@dev.azure.com/contoso/P/_git/app", "https://contoso.visualstudio.com/P/_git/app",
	} {
		clone := fmt.Sprintf("clone%d", i)
		w.run(t, dir, "git", "clone", "--quiet", url, clone)
		w.run(t, filepath.Join(dir, clone), "git", "commit", "--quiet", "--allow-empty", "-m", "more")
		w.run(t, filepath.Join(dir, clone), "git", "push", "--quiet", "origin", "HEAD:refs/heads/"+w.feed+clone)
		w.run(t, filepath.Join(dir, clone), "git", "-c", "credential.useHttpPath=true", "fetch", "--quiet")
	}
	clone := filepath.Join(dir, "clone0")
	// Other organizations and hosts get the caller's own.
	for _, url := range []string{"https://dev.azure.com/other/P/_git/app", "https://dev.azure.com/contosox/P/_git/app", "https://elsewhere.example/contoso/P/_git/app"} {
		w.fails(t, clone, "git", "submodule", "add", url, "sub")
		w.fails(t, clone, "git", "ls-remote", url)
	}
	for _, host := range []string{"dev.azure.com\npath=other", "other.visualstudio.com", "elsewhere.example", "pkgs.dev.azure.com"} {
		if got := w.run(t, dir, "sh", "-c", `printf 'protocol=https\nhost=%s\n\n' "$0" | git -c credential.useHttpPath=true credential fill`, host); !strings.Contains(got, "password=mine\n") {
			t.Errorf("%s: %s", host, got)
		}
	}
	// A token that has ended is not forgotten, and another is not asked for.
	w.server.expire(true)
	w.fails(t, clone, "git", "fetch")
	w.server.expire(false)
	w.run(t, clone, "git", "fetch", "--quiet")
}

// npm installs a package of the feed, and one of a registry of the caller's.
func (w *toolsWorld) npm(t *testing.T, tool string) {
	if path := os.Getenv("AZDO_PAT_PNPM"); tool == "pnpm" && path != "" {
		tool = path
	} else if _, err := exec.LookPath(tool); err != nil && tool == "pnpm" {
		t.Skip("AZDO_PAT_PNPM is not set")
	}
	dir := t.TempDir()
	w.put(filepath.Join(dir, ".npmrc"), "registry=https://pkgs.dev.azure.com/contoso/_packaging/"+w.feed+"/npm/registry/\ncache="+dir+"/cache\nstore-dir="+dir+"/store\nfetch-retries=0\n")
	w.put(filepath.Join(dir, "package.json"), `{"name":"p","version":"1.0.0","dependencies":{"demo":"1.0.0","@mine/demo":"1.0.0"}}`)
	w.run(t, dir, tool, "install")
	for _, file := range []string{"node_modules/demo/package.json", "node_modules/@mine/demo/package.json"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
	w.fails(t, dir, tool, "view", "demo", "--registry", "https://pkgs.dev.azure.com/other/_packaging/"+w.feed+"/npm/registry/")
	w.server.expire(true)
	w.fails(t, dir, tool, "view", "demo")
	w.server.expire(false)
}

func (w *toolsWorld) pip(t *testing.T) {
	dir := t.TempDir()
	index := "https://pkgs.dev.azure.com/contoso/_packaging/" + w.feed + "/pypi/simple/"
	if !strings.Contains(w.env["PIP_EXTRA_INDEX_URL"], index) {
		t.Error(w.env["PIP_EXTRA_INDEX_URL"])
	}
	install := []string{"python3", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-deps", "--retries", "0", "--target", dir + "/site", "--index-url"}
	w.run(t, dir, append(install, index, "demo")...)
	w.run(t, dir, append(install, "https://elsewhere.example/contoso/_packaging/"+w.feed+"/pypi/simple/", "mine")...)
	w.server.expire(true)
	w.fails(t, dir, append(install, index, "demo", "--upgrade")...)
	w.server.expire(false)
}

func (w *toolsWorld) twine(t *testing.T) {
	wheel := filepath.Join(t.TempDir(), "demo-1.0-py3-none-any.whl")
	w.put(wheel, string(wheelOf("demo")))
	upload := func(feed string) []string {
		return []string{"twine", "upload", "--non-interactive", "--disable-progress-bar", "-r", feed, "--config-file", w.env["PYPIRC_PATH"], wheel}
	}
	w.run(t, "", upload(w.feed)...)
	w.server.expire(true)
	w.fails(t, "", upload(w.feed)...)
	w.server.expire(false)
}

// maven resolves a POM's parent from the feed. Maven before 3.9 does not read MAVEN_ARGS,
// so it gets the same on its command line.
func (w *toolsWorld) maven(t *testing.T) {
	dir := t.TempDir()
	w.put(filepath.Join(dir, "pom.xml"), `<project><modelVersion>4.0.0</modelVersion><parent><groupId>demo</groupId><artifactId>parent</artifactId><version>1</version><relativePath/></parent>
<artifactId>child</artifactId><packaging>pom</packaging><repositories><repository><id>`+w.feed+`</id><url>https://pkgs.dev.azure.com/contoso/_packaging/`+w.feed+`/maven/v1</url></repository></repositories></project>`)
	arguments := strings.Fields(w.env["MAVEN_ARGS"])
	own := filepath.Join(w.home, "own-m2")
	mvn := func(more ...string) []string {
		return append(append([]string{"mvn", "-B", "-q"}, more...), append(arguments, "validate")...)
	}
	clean := func() {
		if err := os.RemoveAll(own); err != nil {
			t.Fatal(err)
		}
	}
	clean()
	w.run(t, dir, mvn()...)
	if _, err := os.Stat(filepath.Join(own, "demo/parent/1/parent-1.pom")); err != nil {
		t.Errorf("the user's own settings do not count: %v", err)
	}
	// With settings of the caller's own on the command line.
	theirs := filepath.Join(dir, "theirs.xml")
	w.put(theirs, "<settings><localRepository>"+dir+"/theirs-m2</localRepository></settings>")
	w.run(t, dir, mvn("-s", theirs)...)
	if _, err := os.Stat(filepath.Join(dir, "theirs-m2/demo/parent/1/parent-1.pom")); err != nil {
		t.Errorf("the caller's -s does not count: %v", err)
	}
	clean()
	w.server.expire(true)
	w.fails(t, dir, mvn()...)
	w.server.expire(false)
}

func (w *toolsWorld) cargo(t *testing.T) {
	dir := t.TempDir()
	w.put(filepath.Join(dir, "src/lib.rs"), "")
	w.put(filepath.Join(dir, "Cargo.toml"), "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ndemo_crate = { version = \"1.0.0\", registry = \""+w.feed+"\" }\n")
	clean := func() {
		for _, path := range []string{filepath.Join(w.env["CARGO_HOME"], "registry"), filepath.Join(dir, "Cargo.lock")} {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	clean()
	w.run(t, dir, "cargo", "fetch")
	clean()
	w.server.expire(true)
	w.fails(t, dir, "cargo", "fetch")
	w.server.expire(false)
}

// curl with the netrc, and as az calls the API.
func (w *toolsWorld) curl(t *testing.T) {
	w.run(t, "", "curl", "--fail", "--silent", "--netrc-file", w.env["NETRC"], "https://pkgs.dev.azure.com/contoso/_packaging/"+w.feed+"/pypi/simple/demo/")
	w.run(t, "", "curl", "--fail", "--silent", "--user", ":"+w.env["AZURE_DEVOPS_EXT_PAT"], "https://dev.azure.com/contoso/_apis/projects")
	w.run(t, "", "curl", "--fail", "--silent", "--netrc-file", w.env["NETRC"], "https://elsewhere.example/contoso/_packaging/"+w.feed+"/pypi/simple/mine/")
	w.fails(t, "", "curl", "--fail", "--silent", "--netrc-file", w.env["NETRC"], "https://dev.azure.com/contoso/_apis/projects")
}

// fullDisk: if the files cannot be written, neither they nor the PAT are left.
func (w *toolsWorld) fullDisk(t *testing.T) {
	temp := t.TempDir()
	if err := syscall.Mount("none", temp, "tmpfs", 0, "size=8k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(temp, syscall.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(temp, "full"), make([]byte, 16<<10), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	before := len(w.e.Active())
	env := w.e.Env(emulator.AgentUser)
	env["RUNNER_TEMP"], env["INPUT_CONFIGURE"] = temp, "git"
	mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
	status, err := harness.ExitStatus(mint.Run())
	if text := harness.Output(mint); err != nil || status != 1 || len(w.e.Active()) != before || !strings.Contains(text, "no space left on device; the PAT was revoked") {
		t.Errorf("status %d, %v, %d PATs left\n%s", status, err, len(w.e.Active())-before, text)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "azdo-pat-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// after: the variables are still set, and the files are gone.
func (w *toolsWorld) after(t *testing.T) {
	dir := t.TempDir()
	w.run(t, dir, "git", "init", "--quiet")
	if got, _ := w.try(t, dir, "git", "ls-remote", "https://dev.azure.com/contoso/P/_git/app"); strings.Contains(got, "No such file") {
		t.Errorf("%s", got)
	}
	w.run(t, dir, "npm", "config", "get", "registry")
	w.run(t, dir, "python3", "-m", "pip", "--version")
	w.run(t, dir, "cargo", "--version")
}
