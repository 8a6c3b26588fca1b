package harness

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/githubrunner"
)

// WithoutMasks returns what a program wrote without the commands that mask a
// credential or hand over the PAT, the only lines where one may be in the clear.
func WithoutMasks(text string) string { return maskLine.ReplaceAllString(text, "") }

var maskLine = regexp.MustCompile(`(?m)^(::add-mask::|##vso\[task\.setsecret\]|##vso\[task\.setvariable variable=token;issecret=true;isoutput=true\]|##vso\[task\.setvariable variable=` + toolVariables + `;preservecase=true\]).*\n`)

// toolFile is a file with which the setting configure sets up a tool.
var toolFile = regexp.MustCompile(`/azdo-pat-[0-9a-f]{16}-[0-9a-f]{32}/[a-z.-]+$`)

// toolVariable is a variable of the tools that take the PAT in no other way.
var toolVariable = regexp.MustCompile(`(?m)^` + toolVariables + `<<.*\n.*\n`)

const toolVariables = `(AZURE_DEVOPS_EXT_PAT|NuGetPackageSourceCredentials_\w+|ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS|VSS_NUGET_EXTERNAL_FEED_ENDPOINTS)`

// canary fails the script if anything that the program wrote in one run holds a
// credential that the services know of, in any encoding (see [Contains]).
func (w *world) canary(ts *testscript.TestScript, stdout, stderr string) {
	handed := stdout // on a terminal, standard output is the result
	if (w.env["GITHUB_ACTIONS"] == "true" || w.agent != nil) && !strings.HasPrefix(stdout, "{") {
		handed = ""
	} else {
		stdout = ""
	}
	var said strings.Builder
	for line := range strings.Lines(stdout + stderr) {
		if c, ok := githubrunner.ParseLine(strings.TrimRight(line, "\r\n")); !ok || c.Name != "add-mask" {
			said.WriteString(WithoutMasks(line))
		}
	}
	files := map[string]string{}
	ts.Check(filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || slices.Contains(w.fixture, path) {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		if strings.HasSuffix(path, "github_env") {
			files[path] = toolVariable.ReplaceAllString(files[path], "")
		}
		return err
	}))
	pats := map[string]bool{}
	for _, p := range w.PATs() {
		pats[p.Token] = true
	}
	for _, token := range w.AppTokens() { // handed over in place of a PAT
		pats[token] = true
	}
	for _, s := range w.Secrets() {
		forms := encodings(s)
		if containsAny(said.String(), forms) {
			ts.Fatalf("the log holds a credential (%s):\n%s", s, said.String())
		}
		if !pats[s] && containsAny(handed, forms) {
			ts.Fatalf("standard output holds a credential that is no PAT: %s", handed)
		}
		for path, text := range files {
			if containsAny(text, forms) && !(pats[s] && (strings.HasSuffix(path, "github_output") || toolFile.MatchString(path))) {
				ts.Fatalf("%s holds a credential: %s", path, text)
			}
		}
	}
	if v := w.Violations(); len(v) > 0 {
		ts.Fatalf("the program broke a rule of the services: %v", v)
	}
}

// Contains reports whether a text holds a credential, as it is or in an encoding in
// which a program or a server could repeat it.
func Contains(text, credential string) bool { return containsAny(text, encodings(credential)) }

func containsAny(text string, forms []string) bool {
	return text != "" && slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(text, form) })
}

// encodings returns the end of a credential in every encoding. The end is enough:
// tokens differ there, and package strings finds up to 63 bytes much faster.
func encodings(s string) []string {
	if known, ok := encoded.Load(s); ok {
		return known.([]string)
	}
	quoted, _ := json.Marshal(s)
	all := []string{s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), strings.Trim(string(quoted), `"`),
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
	for _, before := range []string{"", ":", "::"} {
		all = append(all, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(before + s))[4*min(1, len(before)):], "=")[:len(s)],
			strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(before + s))[4*min(1, len(before)):], "=")[:len(s)])
	}
	for i, form := range all {
		all[i] = form[max(0, len(form)-63):]
	}
	slices.Sort(all)
	all = slices.Compact(all) // most encodings leave a token as it is
	encoded.Store(s, all)
	return all
}

// encoded has the result of encodings: each credential is searched for many times.
var encoded sync.Map
