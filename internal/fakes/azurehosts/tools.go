package azurehosts

import (
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed tools
var scripts embed.FS

// A Tool is a real tool. What tests do with it is in functions of the script tools/FILE.sh:
//
//   - use downloads something from the feed $FEED of the organization, and uploads
//     something where the tool can.
//   - own uses what the caller has configured, by [CallersFiles] or [CallersVariables].
//   - foreign is refused by other organizations and hosts.
//   - limit is refused by them too, but sends them the token: the tool does not know
//     organizations. docs/tools.md names these tools.
type Tool struct {
	Name    string
	Setting string // in configure
	file    string
}

// Tools are the tools that tests run.
var Tools = []Tool{
	{"git", "git", "git"},
	{"npm", "npm", "npm"},
	{"pnpm", "npm", "npm"},
	{"yarn", "npm", "npm"},
	{"pip", "pip", "pip"},
	{"twine", "pip", "twine"},
	{"nuget", "nuget", "nuget"},
	{"maven", "maven", "maven"},
	{"cargo", "cargo", "cargo"},
	{"az", "az", "az"},
	{"curl", "pip az", "curl"},
}

func (tool Tool) script() string {
	var b strings.Builder
	for _, file := range []string{"lib", tool.file} {
		text, err := scripts.ReadFile("tools/" + file + ".sh")
		if err != nil {
			panic(err)
		}
		b.Write(text)
	}
	return b.String()
}

// Has reports whether the tool has a function.
func (tool Tool) Has(function string) bool {
	return strings.Contains(tool.script(), "\n"+function+"() {")
}

// Command is a script for sh that calls those functions that the tool has, with a feed. It
// is to be run in an empty folder.
func (tool Tool) Command(feed string, functions ...string) string {
	functions = slices.DeleteFunc(slices.Clone(functions), func(f string) bool { return !tool.Has(f) })
	return "TOOL=" + tool.Name + " FEED=" + feed + "\n" + tool.script() + strings.Join(functions, "\n") + "\n"
}

// Env is what makes the tools trust the server, for a user with that home folder.
// installed is where npm has installed pnpm, yarn and nuget-exe; empty: nowhere.
func (s *Server) Env(home, installed string) map[string]string {
	ca := filepath.Join(s.Dir, "ca.pem")
	env := map[string]string{
		"HOME": home, "PATH": os.Getenv("PATH"), "LANG": "C.UTF-8",
		"GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": ca, "CURL_CA_BUNDLE": ca,
		"NPM_CONFIG_CAFILE": ca, "NODE_EXTRA_CA_CERTS": ca, "NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_AUDIT": "false", "NPM_CONFIG_FUND": "false",
		"PIP_CERT": ca, "REQUESTS_CA_BUNDLE": ca, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore",
		"CARGO_HTTP_CAINFO": ca, "CARGO_HOME": filepath.Join(home, "cargo"),
		"MAVEN_OPTS":       "-Duser.home=" + home + " -Djavax.net.ssl.trustStore=" + filepath.Join(s.Dir, "store") + " -Djavax.net.ssl.trustStorePassword=changeit",
		"AZURE_CONFIG_DIR": filepath.Join(home, "azure"), "AZURE_CORE_COLLECT_TELEMETRY": "false",
	}
	if installed != "" {
		env["PATH"] = filepath.Join(installed, "node_modules/.bin") + ":" + env["PATH"]
		env["NUGET"] = filepath.Join(installed, "node_modules/nuget-exe/nuget-5.8.0.exe")
	}
	return env
}

// Home makes a home folder in which Java and mono, where they are installed, trust the
// server too.
func (s *Server) Home(t *testing.T, dir string) {
	t.Helper()
	ca, store := filepath.Join(s.Dir, "ca.pem"), filepath.Join(s.Dir, "store")
	if _, err := os.Stat(store); err != nil && installed("keytool") {
		run(t, "keytool", "-importcert", "-noprompt", "-alias", "test", "-file", ca, "-keystore", store, "-storepass", "changeit")
	}
	if installed("mono") { // which looks for a CA by the hash of its name
		hash := run(t, "openssl", "x509", "-noout", "-subject_hash", "-in", ca)
		text, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, ".config/.mono/new-certs/Trust", strings.TrimSpace(hash)+".0"), string(text))
	}
}

// RustupHome is the folder of rustup's toolchains, where cargo is rustup's. rustup looks
// for it in the home folder; under sudo that is another user's.
func RustupHome() string {
	var beside string
	if cargo, err := exec.LookPath("cargo"); err == nil { // ~/.cargo/bin/cargo
		beside = filepath.Join(filepath.Dir(cargo), "../../.rustup")
	}
	home, _ := os.UserHomeDir()
	for _, dir := range []string{os.Getenv("RUSTUP_HOME"), beside} {
		if _, err := os.Stat(dir); dir != "" && err == nil {
			return dir
		}
	}
	return filepath.Join(home, ".rustup")
}

func installed(program string) bool { _, err := exec.LookPath(program); return err == nil }

// CallersFiles are files of the caller's in a home folder with which the tools use
// elsewhere.example. They have wrong credentials for the organization's hosts and feeds.
func CallersFiles(t *testing.T, home string) {
	t.Helper()
	for name, text := range callersFiles {
		if name == ".netrc" { // which has one entry a host
			text += "machine pkgs.dev.azure.com login mine password wrong\n"
		}
		put(t, filepath.Join(home, name), text)
	}
}

var callersFiles = map[string]string{
	".gitconfig":                 "[credential]\nhelper = \"" + callersHelper + "\"\n[credential \"https://dev.azure.com\"]\nhelper = \"!f() { test $1 = get && echo username=mine && echo password=wrong; }; f\"\n",
	".npmrc":                     "@mine:registry=https://elsewhere.example/npm/\n//elsewhere.example/npm/:_authToken=mine\n//pkgs.dev.azure.com/:_authToken=wrong\n",
	".netrc":                     "machine elsewhere.example login mine password mine\n",
	".config/pip/pip.conf":       "[global]\nextra-index-url = https://elsewhere.example/pypi/simple/\n",
	".pypirc":                    "[distutils]\nindex-servers = mine\n  widgets\n[mine]\nrepository = https://elsewhere.example/pypi/upload/\nusername = mine\npassword = mine\n[widgets]\nrepository = https://elsewhere.example/pypi/upload/\nusername = mine\npassword = wrong\n",
	".m2/settings.xml":           "<settings><localRepository>${user.home}/own-m2</localRepository><servers><server><id>mine</id><username>mine</username><password>mine</password></server></servers></settings>\n",
	"cargo/config.toml":          "[registries.mine]\nindex = \"sparse+https://elsewhere.example/Cargo/index/\"\ncredential-provider = \"cargo:token\"\n[registries.widgets]\nindex = \"sparse+https://elsewhere.example/wrong/Cargo/index/\"\n",
	"cargo/credentials.toml":     "[registries.mine]\ntoken = \"mine\"\n[registries.widgets]\ntoken = \"wrong\"\n",
	".config/NuGet/NuGet.Config": "<configuration><packageSourceCredentials>" + nugetCredentials("mine", "mine") + nugetCredentials("widgets", "wrong") + "</packageSourceCredentials></configuration>\n",
}

func nugetCredentials(source, password string) string {
	return "<" + source + "><add key=\"Username\" value=\"mine\" /><add key=\"ClearTextPassword\" value=\"" + password + "\" /></" + source + ">"
}

const callersHelper = "!f() { test $1 = get && echo username=mine && echo password=mine; }; f"

// CallersVariables are variables of the caller's with the same effect as the files of
// [CallersFiles]. The files that they name are in dir.
func CallersVariables(t *testing.T, dir string) map[string]string {
	t.Helper()
	for name, file := range map[string]string{"npmrc": ".npmrc", "netrc": ".netrc", "pypirc": ".pypirc", "settings.xml": ".m2/settings.xml"} {
		text := callersFiles[file]
		if name == "npmrc" { // yarn reads ~/.npmrc by itself, and prefers this to a password
			text += "//pkgs.dev.azure.com/contoso/_packaging/widgets/npm/registry/:_authToken=wrong\n"
		}
		put(t, filepath.Join(dir, name), text)
	}
	return map[string]string{
		"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper", "GIT_CONFIG_VALUE_0": callersHelper,
		"NPM_CONFIG_USERCONFIG": filepath.Join(dir, "npmrc"),
		"NETRC":                 filepath.Join(dir, "netrc"), "PYPIRC_PATH": filepath.Join(dir, "pypirc"),
		"PIP_EXTRA_INDEX_URL":                       "https://elsewhere.example/pypi/simple/",
		"MAVEN_ARGS":                                "-s " + filepath.Join(dir, "settings.xml"),
		"CARGO_REGISTRIES_MINE_INDEX":               "sparse+https://elsewhere.example/Cargo/index/",
		"CARGO_REGISTRIES_MINE_TOKEN":               "mine",
		"CARGO_REGISTRIES_MINE_CREDENTIAL_PROVIDER": "cargo:token",
		"NuGetPackageSourceCredentials_mine":        "Username=mine;Password=mine;ValidAuthenticationTypes=Basic",
		"AZURE_DEVOPS_EXT_PAT":                      "mine",
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, command ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	return string(output)
}
