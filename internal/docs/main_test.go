package main

import (
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/syntax"

	"azdo-pat/internal/cli"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/setup"
	"azdo-pat/internal/toolconfig"
)

const root = "../.."

func read(t *testing.T) []document {
	t.Helper()
	all, err := documents(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("%d documents", len(all))
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// anchor is the id that GitHub gives a heading.
func anchor(title string) string {
	title = strings.ToLower(strings.NewReplacer("`", "", "*", "").Replace(title))
	title = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(title, "$1")
	title = regexp.MustCompile(`[^\p{L}\p{N}\- _]`).ReplaceAllString(title, "")
	return strings.ReplaceAll(title, " ", "-")
}

// A link to a file or a heading has its target, and one to the outside is a whole URL.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := read(t)
	anchors := map[string][]string{}
	for _, d := range all {
		for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(d.text, ""), -1) {
			anchors[d.path] = append(anchors[d.path], anchor(m[1]))
		}
	}
	seen := 0
	for _, d := range all {
		for _, m := range link.FindAllStringSubmatch(d.prose(), -1) {
			seen++
			u, err := url.Parse(m[1])
			switch {
			case err != nil:
				t.Errorf("%s: %v", d.path, err)
			case u.IsAbs():
				if u.Scheme != "https" || !strings.Contains(u.Host, ".") {
					t.Errorf("%s: %s is no https URL", d.path, m[1])
				}
			default:
				target := d.path
				if u.Path != "" {
					target = path.Join(path.Dir(d.path), u.Path)
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s: %s leads nowhere", d.path, m[1])
				} else if u.Fragment != "" && !slices.Contains(anchors[target], u.Fragment) {
					t.Errorf("%s: %s has no heading #%s; it has %q", d.path, target, u.Fragment, anchors[target])
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d links were seen", seen)
	}
}

// Every page can be reached from the README.
func TestPagesAreLinked(t *testing.T) {
	t.Parallel()
	texts := map[string]string{}
	for _, d := range read(t) {
		texts[d.path] = d.prose()
	}
	reached := map[string]bool{"README.md": true}
	for queue := []string{"README.md"}; len(queue) > 0; queue = queue[1:] {
		for _, m := range link.FindAllStringSubmatch(texts[queue[0]], -1) {
			file, _, _ := strings.Cut(m[1], "#")
			target := path.Join(path.Dir(queue[0]), file)
			if info, err := os.Stat(filepath.Join(root, target)); err == nil && info.IsDir() {
				target = path.Join(target, "README.md")
			}
			if _, ok := texts[target]; ok && !reached[target] {
				reached[target] = true
				queue = append(queue, target)
			}
		}
	}
	for name := range texts {
		if strings.HasPrefix(name, "docs/") && !reached[name] {
			t.Errorf("no link leads from the README to %s", name)
		}
	}
}

// Commands in the documents exist, with their flags; shell code is shell code.
func TestCommands(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, d := range read(t) {
		for _, b := range d.blocks() {
			if b.language != "sh" && b.language != "bash" {
				continue
			}
			seen += checkShell(t, d.path, b.text)
		}
		for _, b := range d.blocks() {
			if b.language != "yaml" {
				continue
			}
			var node yaml.Node
			if err := yaml.Unmarshal([]byte(b.text), &node); err != nil {
				t.Errorf("%s, line %d: %v", d.path, b.line, err)
			}
			for _, script := range scripts(&node) {
				seen += checkShell(t, d.path, script)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were seen", seen)
	}
}

// scripts are the shell scripts of a workflow or pipeline.
func scripts(n *yaml.Node) (all []string) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.ScalarNode && slices.Contains([]string{"run", "bash"}, n.Content[i-1].Value) {
			// An expression of the workflow stands for a word.
			all = append(all, regexp.MustCompile(`\$\{\{.*?\}\}`).ReplaceAllString(c.Value, "EXPRESSION"))
		}
		all = append(all, scripts(c)...)
	}
	return all
}

// checkShell parses a script and checks its calls of azdo-pat. It returns how many there
// are.
func checkShell(t *testing.T, file, script string) (seen int) {
	t.Helper()
	parsed, err := syntax.NewParser().Parse(strings.NewReader(script), file)
	if err != nil {
		t.Errorf("%s: %v in\n%s", file, err, script)
		return 0
	}
	syntax.Walk(parsed, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		var words []string
		for _, w := range call.Args {
			words = append(words, w.Lit())
		}
		if i := slices.IndexFunc(words, func(w string) bool { return path.Base(w) == "azdo-pat" }); i >= 0 && i <= 1 {
			seen++
			checkCall(t, file, words[i+1:])
		}
		return true
	})
	return seen
}

// checkCall checks the command and the flags of a call. An empty word is not literal.
func checkCall(t *testing.T, file string, words []string) {
	t.Helper()
	cmd, rest, err := cli.Root().Find(words)
	if err != nil || cmd == nil {
		t.Errorf("%s: azdo-pat %q: %v", file, words, err)
		return
	}
	for _, w := range rest {
		name, isFlag := strings.CutPrefix(w, "--")
		if w == "--" {
			return // what follows is another program's
		}
		name, _, _ = strings.Cut(name, "=")
		if isFlag && name != "help" && !hasFlag(cmd, name) {
			t.Errorf("%s: azdo-pat %s has no flag --%s", file, cmd.Name(), name)
		}
	}
}

func hasFlag(cmd *cobra.Command, name string) bool {
	return cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
}

// action is the part of action.yml that workflows refer to.
type action struct {
	Inputs  map[string]any `yaml:"inputs"`
	Outputs map[string]any `yaml:"outputs"`
}

// Steps that use the action give inputs that it has, and read outputs that it has.
func TestActionUses(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var a action
	if err := yaml.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, d := range read(t) {
		for _, b := range d.blocks() {
			var node yaml.Node
			if b.language != "yaml" || yaml.Unmarshal([]byte(b.text), &node) != nil {
				continue
			}
			ids := uses(t, d.path, &node, a, &seen)
			for _, m := range regexp.MustCompile(`steps\.([a-z-]+)\.outputs\.([a-z-]+)`).FindAllStringSubmatch(b.text, -1) {
				if slices.Contains(ids, m[1]) && a.Outputs[m[2]] == nil {
					t.Errorf("%s: the action has no output %s", d.path, m[2])
				}
			}
		}
	}
	if seen < 3 {
		t.Errorf("only %d steps were seen", seen)
	}
}

// uses checks the inputs of the steps that use the action, and returns their ids.
func uses(t *testing.T, file string, n *yaml.Node, a action, seen *int) (ids []string) {
	t.Helper()
	var step struct {
		ID   string         `yaml:"id"`
		Uses string         `yaml:"uses"`
		With map[string]any `yaml:"with"`
	}
	if n.Kind == yaml.MappingNode && n.Decode(&step) == nil && strings.HasPrefix(step.Uses, "OWNER/azdo-pat@") {
		*seen++
		ids = append(ids, step.ID)
		for name := range step.With {
			if a.Inputs[name] == nil {
				t.Errorf("%s: the action has no input %s", file, name)
			}
		}
	}
	for _, c := range n.Content {
		ids = append(ids, uses(t, file, c, a, seen)...)
	}
	return ids
}

// fileName is the name of a page, as a link has it: that is no prose.
var fileName = regexp.MustCompile(`[a-z-]+\.md\b`)

// terms are wrong spellings of names, outside code.
var terms = regexp.MustCompile(`\b(Github|GitHub actions|Azure Devops|AzureDevOps|Azure AD|Open ID|open id connect|OIDC-token|Key vault|key-vault|NuGet's|Typescript|Javascript|Powershell)\b`)

func TestTerms(t *testing.T) {
	t.Parallel()
	for _, d := range read(t) {
		for _, found := range terms.FindAllString(fileName.ReplaceAllString(d.prose(), ""), -1) {
			t.Errorf("%s: %q", d.path, found)
		}
	}
}

// Every code block names its language, so that it is checked.
func TestBlocksHaveALanguage(t *testing.T) {
	t.Parallel()
	for _, d := range read(t) {
		for _, b := range d.blocks() {
			if !slices.Contains([]string{"sh", "yaml", "json", "text", "mermaid", "powershell", "dockerfile"}, b.language) {
				t.Errorf("%s, line %d: the language %q is not checked by any test", d.path, b.line, b.language)
			}
		}
	}
}

// The workflows that the linter gets are those of the documents.
func TestWorkflowsAreWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command("go", "run", "./internal/docs", dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.yml")); len(files) == 0 {
		t.Error("no workflow")
	}
}

// The README is read by people with a job to do. What is longer has a page of its own.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(string(text))); n >= 1300 {
		t.Errorf("%d words, want fewer than 1300", n)
	}
}

// Each tool of configure has a row of docs/tools.md, and action.yml lists them all.
func TestToolsAreDescribed(t *testing.T) {
	t.Parallel()
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	page := read("docs/tools.md")
	for _, tool := range toolconfig.Names() {
		if !strings.Contains(page, "\n| "+tool+" | ") {
			t.Errorf("docs/tools.md has no row for %s", tool)
		}
	}
	if all := strings.Join(toolconfig.Names(), " "); !strings.Contains(strings.Join(strings.Fields(read("action.yml")), " "), ": "+all+". ") {
		t.Errorf("action.yml does not list %s", all)
	}
}

// The commands for a role in Key Vault are those that setup's table of steps and check have.
func TestVaultRole(t *testing.T) {
	t.Parallel()
	known := setup.Known{Application: "22222222-2222-4222-8222-222222222222", Vault: "contoso"}
	want := setup.AdviseVaultRole(known, keyvault.RoleWrite, "azdo-refresh-token").Commands + "\n"
	text, err := os.ReadFile(filepath.Join(root, "docs/key-vault.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```sh\n"+want+"```\n") {
		t.Errorf("docs/key-vault.md lacks\n%s", want)
	}
}
