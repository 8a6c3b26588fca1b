package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// message is a text of an error, a warning or a notice that the program can print. What
// is known only when it runs is "…".
type message struct {
	text string
	at   string // package/file.go
}

// messages reads the texts from the source of what is shipped, for all systems. It also
// returns every text in it.
func messages(t *testing.T) (all []message, texts []string) {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}", ".")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range strings.Fields(string(out)) {
		files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
		r := reader{values: map[string]ast.Expr{}}
		var parsed []*ast.File
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			f.Name.Name += "/" + filepath.Base(name)
			parsed = append(parsed, f)
			r.declare(f)
		}
		for _, f := range parsed {
			ast.Inspect(f, func(n ast.Node) bool {
				if function, ok := n.(*ast.FuncDecl); ok {
					r.enter(function)
				}
				for _, text := range r.messages(n) {
					all = append(all, message{text, f.Name.Name})
				}
				if e, ok := n.(*ast.BasicLit); ok {
					texts = append(texts, r.text(e))
				}
				return true
			})
		}
	}
	for _, m := range all {
		texts = append(texts, m.text)
	}
	return all, texts
}

// reader reads the texts of one package.
type reader struct {
	values map[string]ast.Expr // of constants and variables
	locals map[string]ast.Expr // of the function's variables, as they were first set
}

// declare notes the file's constants and variables.
func (r reader) declare(f *ast.File) {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, s := range g.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
					for i, name := range v.Names {
						r.values[name.Name] = v.Values[i]
					}
				}
			}
		}
	}
}

// enter notes the variables of a function.
func (r *reader) enter(f *ast.FuncDecl) {
	r.locals = map[string]ast.Expr{}
	ast.Inspect(f, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || a.Tok != token.DEFINE || len(a.Lhs) != len(a.Rhs) {
			return true
		}
		for i, left := range a.Lhs {
			if name := left.(*ast.Ident).Name; r.locals[name] == nil {
				r.locals[name] = a.Rhs[i]
			}
		}
		return true
	})
}

// messages are the texts of n if it is one of the places where messages are made.
func (r reader) messages(n ast.Node) (texts []string) {
	switch n := n.(type) {
	case *ast.CallExpr:
		return r.call(n)
	case *ast.AssignStmt: // the title of a warning, chosen by its cause
		if name, ok := n.Lhs[0].(*ast.Ident); ok && name.Name == "title" {
			return []string{r.text(n.Rhs[0])}
		}
	case *ast.ValueSpec: // Entra's codes that have a hint
		if literal, ok := n.Values, len(n.Values) == 1 && n.Names[0].Name == "hints"; ok {
			return keys(literal[0], "AADSTS")
		}
	case *ast.CompositeLit: // Azure DevOps' codes that have a hint
		if m, ok := n.Type.(*ast.MapType); ok {
			if of, ok := m.Value.(*ast.Ident); ok && of.Name == "errorText" {
				return keys(n, "")
			}
		}
	case *ast.FuncDecl:
		if n.Name.Name != "Error" || n.Recv == nil {
			return nil
		}
		ast.Inspect(n.Body, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if text := r.text(e); text != "…" {
					texts = append(texts, text)
					return false
				}
			}
			return true
		})
	}
	return texts
}

// call are the texts of an error, of a warning, of a part of one (httpclient's mismatches,
// lease's renewals), or what is appended to a list of warnings.
func (r reader) call(n *ast.CallExpr) []string {
	if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "append" && len(n.Args) == 2 {
		list, _ := n.Args[0].(*ast.Ident)
		if field, ok := n.Args[0].(*ast.SelectorExpr); ok {
			list = field.Sel
		}
		if list != nil && strings.EqualFold(list.Name, "warnings") {
			return []string{r.text(n.Args[1])}
		}
	}
	sel, ok := n.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	from, _ := sel.X.(*ast.Ident)
	switch name := sel.Sel.Name; {
	case from != nil && (from.Name+"."+name == "fmt.Errorf" || from.Name+"."+name == "errors.New"):
		return []string{r.text(n.Args[0])}
	case len(n.Args) == 2 && (name == "Warning" || name == "Notice" || name == "Error"):
		return []string{r.text(n.Args[0]) + ": " + r.text(n.Args[1])}
	case len(n.Args) == 2 && name == "warn":
		return []string{r.text(n.Args[0])}
	case len(n.Args) == 3 && name == "set":
		return []string{r.text(n.Args[1])}
	}
	return nil
}

// keys are the keys of a map literal.
func keys(e ast.Expr, before string) (all []string) {
	literal, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	for _, e := range literal.Elts {
		if key, ok := e.(*ast.KeyValueExpr).Key.(*ast.BasicLit); ok {
			all = append(all, before+strings.Trim(key.Value, `"`))
		}
	}
	return all
}

var verb = regexp.MustCompile(`%[-+# 0-9.\[\]*]*[a-zA-Z]`)

// text is what is known of a string before the program runs.
func (r reader) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return verb.ReplaceAllString(s, "…")
		}
	case *ast.Ident:
		for _, values := range []map[string]ast.Expr{r.locals, r.values} {
			if value := values[e.Name]; value != nil {
				values[e.Name] = nil // against a loop: x := x + "…" shadows
				text := r.text(value)
				values[e.Name] = value
				return text
			}
		}
	case *ast.ParenExpr:
		return r.text(e.X)
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return r.text(e.X) + r.text(e.Y)
		}
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok && len(e.Args) > 0 && (sel.Sel.Name == "Sprintf" || sel.Sel.Name == "Errorf" || sel.Sel.Name == "New") {
			return r.text(e.Args[0])
		}
	}
	return "…"
}

// unexplained are the texts that need no row in docs/troubleshooting.md, by reason. An
// entry is a text, or a folder or file of the source.
var unexplained = []struct {
	reason string
	what   []string
}{
	{"says itself what is wrong and what is allowed: a setting, an argument, a line of a policy", []string{
		"policy/", "cli/policy.go", "cli/commandline.go", "settings/validate.go", "keyvault/url.go", "pat/scopes.go",
		"…: found …; allowed: …", "command: found …; allowed: mint, sweep, check or list", "… (none is given)", "unknown argument of … …",
		"toolconfig/feed.go", "tools, separated by white space or commas: …",
		"the script uses the application … of the variable … and creates none; unset it to have one created",
		"… is not used: setup needs no credential, and the script has none",
	}},
	{"says how a service answered: its own code and words follow, and have rows", []string{
		"… answered …", "… for client …: … answered", ": status …", " in …", " at …", " through the proxy …", "correlation id …", "trace id …",
		"list", "list PATs", "caller", "ask whose token it is", "… PAT", "mint a PAT: …", "nothing was sent to …",
	}},
	{"is part of a text that has a row", []string{
		// of the token file
		"it is empty", "it …", "it has fewer than … characters", "the file is too large for a token", "…; … issued none either: …",
		// of the runner's files
		"is a directory", "it was replaced by another file", "it is not in UTF-8", "the runner would read another value of …",
		"line … is not NAME=VALUE", "line … has no delimiter after <<", "the value that begins in line … has no end",
		// of a command that cannot be started
		"the file is empty", "the file begins with a byte order mark, so the system does not see its #! line", "the file is a text without a #! line",
		"the program in its #! line, …: …", "a file that it needs: …", "start …: …", "…; nothing was minted",
		// of configure
		"configure …: …", "configure: …", "azdo-pat configure: …", "it is larger than 1 MiB",
		// of others
		"…; an action in a container sees only the files of its container", "…; before that: …", "a year or longer", "the list shows …: …",
		"…; trying again later", "…; the PAT was revoked", "azdo-pat … failed: …", " failed", "…: see the report", "azdo-pat settings: …",
		"revoke PAT … in …: …: the id is wrong, the PAT belongs to another identity, or it is already gone",
		"Azure DevOps PATs swept", " (dry run)", "signed in as …, but …", "not a form", "too large",
		"…: it minted the PAT …", "…: it minted the PAT … and has ended", "…: the PAT … was revoked", "…: the PAT … now ends at …",
	}},
	{"tells causes apart in the program, and is not printed", []string{
		"bad credentials", "forbidden", "not found", "moved", "rate limit", "exit status …", "it is not being read", "the request cannot be made",
	}},
	{"cannot happen unless the program has a fault or its record was changed", []string{
		"connect: not a URL with a host", "not a record of a lease", "… in version …", "the record has neither the id nor the name of a PAT",
		"the roots that were kept cannot be read: …", "there are no later steps whose variables could be set",
	}},
}

// theirs are texts of others' services, which the program prints as they come.
var theirs = []string{
	"TF400813: The user 'ID' …", "TF400813: The user '' …", "… not available for anonymous access",
	"Service principals are not allowed", "no explicit reference to service connection",
}

// matches reports whether the text has the words of a pattern, in which "…" stands for
// anything. The words of a short pattern must begin the text.
func matches(pattern, text string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(pattern, "…"), "…")
	if len(first) < 10 && !strings.HasPrefix(strings.TrimPrefix(text, "…"), first) {
		return false
	}
	for words := range strings.SplitSeq(pattern, "…") {
		_, after, ok := strings.Cut(text, words)
		if !ok {
			return false
		}
		text = after
	}
	return true
}

var code = regexp.MustCompile("`([^`]+)`")

// rows are the texts in the first column of docs/troubleshooting.md.
func rows(t *testing.T) (patterns []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") {
			for _, m := range code.FindAllStringSubmatch(cells[0], -1) {
				patterns = append(patterns, m[1])
			}
		}
	}
	if len(patterns) < 100 {
		t.Fatalf("only %d texts in docs/troubleshooting.md", len(patterns))
	}
	return patterns
}

// Every error and warning of the program can be looked up in docs/troubleshooting.md, or
// has a reason why not.
func TestMessagesAreExplained(t *testing.T) {
	t.Parallel()
	all, texts := messages(t)
	patterns := rows(t)
	used := map[string]bool{}
	for _, m := range all {
		if len(regexp.MustCompile(`[a-zA-Z]{2,}`).FindAllString(m.text, -1)) == 0 {
			continue // joins other texts
		}
		if slices.ContainsFunc(patterns, func(p string) bool { return matches(p, m.text) }) || excepted(m, used) {
			continue
		}
		t.Errorf("no row of docs/troubleshooting.md explains this text of %s: %q", m.at, m.text)
	}
	for _, group := range unexplained {
		for _, what := range group.what {
			if !used[what] {
				t.Errorf("unexplained: no text without a row matches %q", what)
			}
		}
	}
	for _, p := range patterns {
		printed := func(text string) bool { return matches(p, text) }
		if !slices.Contains(theirs, p) && !slices.ContainsFunc(texts, printed) {
			t.Errorf("docs/troubleshooting.md: the program does not print %q", p)
		}
	}
	if t.Failed() {
		t.Log("Add a row to docs/troubleshooting.md: what the text means, and what to do. Its first column has words of the text. Where there is nothing to look up, add the text to unexplained, with the reason.")
	}
}

// excepted reports whether a text is in unexplained.
func excepted(m message, used map[string]bool) (found bool) {
	for _, group := range unexplained {
		for _, what := range group.what {
			if what == m.text || what == m.at || strings.HasSuffix(what, "/") && strings.HasPrefix(m.at, what) {
				used[what], found = true, true
			}
		}
	}
	return found
}
