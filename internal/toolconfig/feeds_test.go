package toolconfig

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

func init() { pipSystemFiles = nil } // those of the machine that runs the tests

// home is a home folder with a file.
func home(t *testing.T, name, text string) caller {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, name), text)
	return caller{"HOME": dir}
}

func TestNPM(t *testing.T) {
	t.Parallel()
	c := build(t, nil, "f,My%20Project/g", "npm")
	wantVariables(t, c, map[string]string{"NPM_CONFIG_USERCONFIG": "/t/f/npmrc", "npm_config_userconfig": ""})
	password := base64.StdEncoding.EncodeToString([]byte(token))
	var want strings.Builder
	for _, path := range []string{"_packaging/f/npm/registry/", "_packaging/f/npm/", "My%20Project/_packaging/g/npm/registry/", "My%20Project/_packaging/g/npm/"} {
		path = "//pkgs.dev.azure.com/contoso/" + path
		want.WriteString(path + ":username=contoso\n" + path + ":_password=" + password + "\n" + path + ":email=not-used\n")
	}
	if got := c.content(t, "npmrc"); got != want.String() {
		t.Errorf("%s", got)
	}
}

// The user's lines are kept, except credentials of the same feed, to which npm would give
// preference.
func TestNPMKeepsTheUsersFile(t *testing.T) {
	t.Parallel()
	const own = "//pkgs.dev.azure.com/contoso/_packaging/f/npm/registry/"
	text := "\ufeffregistry=https://registry.example/\r\n//registry.example/:_authToken=${TOKEN}\n" + own + ":_authToken=${NODE_AUTH_TOKEN}\n" +
		"//pkgs.dev.azure.com/contoso/_packaging/f/npm:_authToken=x\n//pkgs.dev.azure.com/other/_packaging/f/npm/registry/:_authToken=y\n\"" + own + ":_auth\" = z\nlast=1"
	want := own + ":email=not-used\n//pkgs.dev.azure.com/contoso/_packaging/f/npm/:username=contoso\n//pkgs.dev.azure.com/contoso/_packaging/f/npm/:_password=" + base64.StdEncoding.EncodeToString([]byte(token)) +
		"\n//pkgs.dev.azure.com/contoso/_packaging/f/npm/:email=not-used\nregistry=https://registry.example/\n//registry.example/:_authToken=${TOKEN}\n//pkgs.dev.azure.com/other/_packaging/f/npm/registry/:_authToken=y\nlast=1\n"
	for name, env := range map[string]caller{"NPM_CONFIG_USERCONFIG": {}, "npm_config_userconfig": {}, "": home(t, ".npmrc", text)} {
		if name != "" {
			env[name] = filepath.Join(t.TempDir(), "rc")
			write(t, env[name], text)
		}
		c := build(t, env, "f", "npm")
		if got := c.content(t, "npmrc"); !strings.HasSuffix(got, want) {
			t.Errorf("%s:\n%s", name, got)
		}
		if name == "" {
			name = "NPM_CONFIG_USERCONFIG"
		}
		wantVariables(t, c, map[string]string{name: "/t/f/npmrc"})
		if len(c.Variables) != 1 || len(c.Warnings) > 0 {
			t.Errorf("%s: %v, %q", name, c.Variables, c.Warnings)
		}
	}
}

// A file that cannot be read would stop working, so that is an error; one that is not
// there for azdo-pat, as on the runner's side of a container, is a warning.
func TestCallersFiles(t *testing.T) {
	t.Parallel()
	c := build(t, caller{"NETRC": "/home/runner/.netrc-not-here"}, "f", "pip")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "the file that NETRC names is not there") {
		t.Errorf("%q", c.Warnings)
	}
	if _, err := tryBuild(caller{"NETRC": t.TempDir()}, "f", "pip"); err == nil {
		t.Error("a folder: no error")
	}
	large := filepath.Join(t.TempDir(), "large")
	write(t, large, strings.Repeat("#", maxCallersFile+1))
	if _, err := tryBuild(caller{"NETRC": large}, "f", "pip"); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := os.Stat("/dev/null"); err == nil {
		if _, err := tryBuild(caller{"NETRC": "/dev/null"}, "f", "pip"); err == nil {
			t.Error("a device: no error")
		}
	}
}

func TestPip(t *testing.T) {
	t.Parallel()
	env := home(t, ".netrc", "machine example login a password b\nmacdef init\nx")
	env["PIP_EXTRA_INDEX_URL"] = "https://a.example/simple\n  https://b.example/simple"
	env["UV_INDEX"] = "mine=https://a.example/simple"
	c := build(t, env, "p/f@Local", "pip")
	const address = "https://pkgs.dev.azure.com/contoso/p/_packaging/f@Local/pypi/simple/"
	wantVariables(t, c, map[string]string{
		"NETRC": "/t/f/netrc", "PYPIRC_PATH": "/t/f/pypirc",
		"PIP_EXTRA_INDEX_URL": "https://a.example/simple https://b.example/simple " + address,
		"UV_INDEX":            "mine=https://a.example/simple f-Local=" + address,
	})
	entry := "machine pkgs.dev.azure.com\nlogin contoso\npassword " + token + "\n"
	if got := c.content(t, "netrc"); got != entry+"machine example login a password b\nmacdef init\nx\n\n"+entry {
		t.Errorf("%q", got)
	}
	if got := build(t, nil, "f", "pip").content(t, "netrc"); got != entry {
		t.Errorf("%q", got)
	}
}

// A netrc has one login for each host, so another one for the feeds' host stops working.
func TestPipWarnsOfAnotherLogin(t *testing.T) {
	t.Parallel()
	for text, warnings := range map[string]int{
		"machine pkgs.dev.azure.com login me password x":                                        1,
		"machine pkgs.dev.azure.com\nlogin contoso\npassword x\n":                               0,
		"machine other.example login me password x\nmachine pkgs.dev.azure.com login contoso\n": 0,
	} {
		if c := build(t, home(t, ".netrc", text), "f", "pip"); len(c.Warnings) != warnings {
			t.Errorf("%q: %q", text, c.Warnings)
		}
	}
}

// Our variable wins over extra-index-url of pip's files, so the indexes in them are
// added, without credentials.
func TestPipKeepsTheIndexesOfItsFiles(t *testing.T) {
	t.Parallel()
	const feed = " https://pkgs.dev.azure.com/contoso/_packaging/f/pypi/simple/"
	text := "[other]\nextra-index-url = https://no.example/\n[global]\ntimeout = 1\nExtra_Index_URL: https://a.example/simple\n  # more\n  https://me:s%3Aame@b.example:8443/simple\n[global.x]\n"
	c := build(t, home(t, ".config/pip/pip.conf", text), "f", "pip")
	wantVariables(t, c, map[string]string{"PIP_EXTRA_INDEX_URL": "https://a.example/simple https://b.example:8443/simple" + feed})
	entry := "machine pkgs.dev.azure.com\nlogin contoso\npassword " + token + "\n"
	if got := c.content(t, "netrc"); got != entry+"\n\nmachine b.example\nlogin me\npassword s:ame\n\n"+entry || len(c.Warnings) > 0 {
		t.Errorf("%q, %q", got, c.Warnings)
	}
	// The section of the command and the later file win, and the variable over all.
	env := home(t, ".pip/pip.conf", "[install]\nextra-index-url = https://old.example/\n")
	write(t, filepath.Join(env["HOME"], ".config/pip/pip.conf"), "[global]\nextra-index-url = https://global.example/\n")
	wantVariables(t, build(t, env, "f", "pip"), map[string]string{"PIP_EXTRA_INDEX_URL": "https://old.example/" + feed})
	env["PIP_CONFIG_FILE"] = filepath.Join(env["HOME"], "mine")
	write(t, env["PIP_CONFIG_FILE"], "[install]\nextra-index-url =\n\thttps://new.example/\n")
	wantVariables(t, build(t, env, "f", "pip"), map[string]string{"PIP_EXTRA_INDEX_URL": "https://new.example/" + feed})
	env["PIP_EXTRA_INDEX_URL"] = "https://variable.example/"
	wantVariables(t, build(t, env, "f", "pip"), map[string]string{"PIP_EXTRA_INDEX_URL": "https://variable.example/" + feed})
	env["PIP_EXTRA_INDEX_URL"], env["PIP_CONFIG_FILE"] = "", os.DevNull
	wantVariables(t, build(t, env, "f", "pip"), map[string]string{"PIP_EXTRA_INDEX_URL": feed[1:]})
	// What a netrc cannot hold is left out with a warning, and is not shown.
	for _, index := range []string{"https://sesame@a.example/", "https://me:sesame%20sesame@a.example/", "https://me:ses%zzame@a.example/"} {
		c := build(t, home(t, ".config/pip/pip.conf", "[global]\nextra-index-url = "+index+"\n"), "f", "pip")
		wantVariables(t, c, map[string]string{"PIP_EXTRA_INDEX_URL": feed[1:]})
		if len(c.Warnings) != 1 || strings.Contains(c.Warnings[0], "ses") {
			t.Errorf("%s: %q", index, c.Warnings)
		}
	}
	if _, err := tryBuild(caller{"HOME": t.TempDir(), "PIP_CONFIG_FILE": t.TempDir()}, "f", "pip"); err == nil {
		t.Error("a folder: no error")
	}
}

// In a second use the feeds of the first stay in every list, once.
func TestSecondUse(t *testing.T) {
	t.Parallel()
	first := build(t, nil, "f", "pip", "nuget", "maven", "git")
	env := caller{}
	for _, v := range first.Variables {
		env[v.Name] = v.Value
	}
	dir := t.TempDir()
	for name, variable := range map[string]string{"netrc": "NETRC", "pypirc": "PYPIRC_PATH"} {
		env[variable] = filepath.Join(dir, name)
		write(t, env[variable], first.content(t, name))
	}
	second := build(t, env, "f,g", "pip", "nuget", "maven", "git")
	for name, count := range map[string][2]int{
		"PIP_EXTRA_INDEX_URL": {1, 1}, "UV_INDEX": {1, 1}, feedEndpoints: {1, 1}, olderFeedEndpoints: {1, 1},
	} {
		value, _ := second.variable(name)
		if f, g := strings.Count(value, "/_packaging/f/"), strings.Count(value, "/_packaging/g/"); f != count[0] || g != count[1] {
			t.Errorf("%s: %s", name, value)
		}
	}
	if got := second.content(t, "pypirc"); strings.Count(got, "[f]") != 1 || strings.Count(got, "[g]") != 1 || strings.Count(got, "[distutils]") != 1 {
		t.Errorf("%s", got)
	}
	wantVariables(t, second, map[string]string{"GIT_CONFIG_COUNT": "8"})
}

func TestTwine(t *testing.T) {
	t.Parallel()
	c := build(t, nil, "f", "pip")
	want := "[distutils]\nindex-servers =\n    pypi\n    testpypi\n    f\n\n[f]\nrepository = https://pkgs.dev.azure.com/contoso/_packaging/f/pypi/upload/\nusername = contoso\npassword = " + token + "\n"
	if got := c.content(t, "pypirc"); got != want {
		t.Errorf("%s", got)
	}
	if len(c.Notes) != 1 || !strings.Contains(c.Notes[0], `--config-file "$PYPIRC_PATH"`) {
		t.Errorf("%q", c.Notes)
	}
	c = build(t, home(t, ".pypirc", "[distutils]\n# mine\nindex-servers = pypi\n  mine\nother = 1\n[mine]\nrepository=https://m.example\npassword=50%\n[f]\npassword=old\n"), "f", "pip")
	want = "[distutils]\nindex-servers =\n    pypi\n    mine\n    f\n\n[mine]\nrepository=https://m.example\npassword=50%\n\n[f]\nrepository = "
	if got := c.content(t, "pypirc"); !strings.HasPrefix(got, want) || strings.Contains(got, "old") {
		t.Errorf("%s", got)
	}
}

func TestNuGet(t *testing.T) {
	t.Parallel()
	c := build(t, nil, "p/my-feed", "nuget")
	const own = `{"endpoint":"https://pkgs.dev.azure.com/contoso/p/_packaging/my-feed/nuget/v3/index.json","username":"contoso","password":"` + token + `"}`
	wantVariables(t, c, map[string]string{
		feedEndpoints: `{"endpointCredentials":[` + own + `]}`, olderFeedEndpoints: `{"endpointCredentials":[` + own + `]}`,
		"NuGetPackageSourceCredentials_my_feed": "Username=contoso;Password=" + token + ";ValidAuthenticationTypes=Basic",
	})
	// The older variable alone goes on counting.
	const theirs = `{"endpoint":"https://other.example/index.json","username":"u","password":"p","more":1}`
	c = build(t, caller{olderFeedEndpoints: `{"x": [1], "endpointCredentials": [` + theirs + `]}`}, "p/my-feed", "nuget")
	wantVariables(t, c, map[string]string{
		feedEndpoints: `{"endpointCredentials":[` + theirs + `,` + own + `],"x":[1]}`, olderFeedEndpoints: `{"endpointCredentials":[` + theirs + `,` + own + `],"x":[1]}`,
	})
	for _, text := range []string{"sesame", "[]", `{"endpointCredentials":"sesame"}`} {
		if _, err := tryBuild(caller{feedEndpoints: text}, "f", "nuget"); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := tryBuild(caller{feedEndpoints: "null"}, "f", "nuget"); err != nil {
		t.Error(err)
	}
}

func TestMaven(t *testing.T) {
	t.Parallel()
	c := build(t, caller{"MAVEN_ARGS": "-ntp\n-B"}, "f,p/g", "maven")
	wantVariables(t, c, map[string]string{"MAVEN_ARGS": "-ntp -B -gs /t/f/settings.xml"})
	var settings struct {
		Servers []struct {
			ID       string `xml:"id"`
			Username string `xml:"username"`
			Password string `xml:"password"`
		} `xml:"servers>server"`
		Mirrors []string `xml:"mirrors>mirror>id"`
	}
	if err := xml.Unmarshal([]byte(c.content(t, "settings.xml")), &settings); err != nil {
		t.Fatal(err)
	}
	if s := settings.Servers; len(s) != 2 || s[0].ID != "f" || s[1].ID != "g" || s[0].Username != "contoso" || s[1].Password != token || len(settings.Mirrors) != 1 {
		t.Errorf("%+v", settings)
	}
	if len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "-s /t/f/settings.xml") {
		t.Errorf("%q", c.Notes)
	}
	if c := build(t, caller{"MAVEN_ARGS": "-gs theirs"}, "f", "maven"); len(c.Warnings) != 1 {
		t.Errorf("%q", c.Warnings)
	}
}

// Maven obeys the first -gs only, so a second use takes over the servers of the first.
func TestMavenSecondUse(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	names := []string{NewFolder(key, rand.Reader), NewFolder(key, rand.Reader)}
	arguments := "-ntp"
	for i, feeds := range []string{"f,shared", "g,shared"} {
		parsed, err := ParseFeeds(feeds)
		if err != nil {
			t.Fatal(err)
		}
		// The steps see the folder under another path than azdo-pat does.
		c, err := Build(Options{
			Organization: "contoso", Tools: []string{"maven"}, Feeds: parsed, Folder: "/host/" + names[i], InContainer: temp + "/" + names[i],
			LookupEnv: func(name string) (string, bool) { return arguments, name == "MAVEN_ARGS" },
		}, secret.New(token+strings.Repeat("x", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(temp, names[i], c.Files); err != nil {
			t.Fatal(err)
		}
		arguments, _ = c.variable("MAVEN_ARGS")
		if want := "-ntp -gs /host/" + names[i] + "/settings.xml"; arguments != want || len(c.Warnings) > 0 {
			t.Errorf("%q, %q", arguments, c.Warnings)
		}
	}
	text, err := os.ReadFile(filepath.Join(temp, names[1], "settings.xml"))
	if err != nil {
		t.Fatal(err)
	}
	for id, password := range map[string]string{"f": token, "g": token + "x", "shared": token + "x"} {
		if want := "<server><id>" + id + "</id><username>contoso</username><password>" + password + "</password></server>"; strings.Count(string(text), want) != 1 || strings.Count(string(text), "<id>"+id+"</id>") != 1 {
			t.Errorf("%s:\n%s", id, text)
		}
	}
}

func TestCargo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("cargo is not configured there")
	}
	c := build(t, caller{"CARGO_REGISTRIES_MY_FEED_INDEX": "sparse+https://elsewhere.example/"}, "p/my-feed", "cargo")
	wantVariables(t, c, map[string]string{
		"CARGO_REGISTRIES_MY_FEED_INDEX":               "sparse+https://pkgs.dev.azure.com/contoso/p/_packaging/my-feed/Cargo/index/",
		"CARGO_REGISTRIES_MY_FEED_CREDENTIAL_PROVIDER": "cargo:token-from-stdout cat /t/f/cargo",
	})
	if got := c.content(t, "cargo"); got != "Basic "+base64.StdEncoding.EncodeToString([]byte(":"+token))+"\n" {
		t.Errorf("%q", got)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "CARGO_REGISTRIES_MY_FEED_INDEX named another index") {
		t.Errorf("%q", c.Warnings)
	}
}

func TestAz(t *testing.T) {
	t.Parallel()
	wantVariables(t, build(t, caller{"AZURE_DEVOPS_EXT_PAT": "other"}, "", "az"), map[string]string{"AZURE_DEVOPS_EXT_PAT": token})
}
