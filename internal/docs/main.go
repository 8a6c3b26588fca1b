// Command docs writes the complete workflows of the documentation and the examples into a
// folder, a file each, so that actionlint can check them:
//
//	go run ./internal/docs FOLDER
//
// The tests of this package hold the documents against the program: links, commands,
// flags, inputs and outputs.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: go run ./internal/docs FOLDER")
	}
	pages, err := documents(".")
	if err != nil {
		return err
	}
	n := 0
	for _, page := range pages {
		for _, b := range page.blocks() {
			if !b.isWorkflow() {
				continue
			}
			n++
			name := fmt.Sprintf("%s-line-%d.yml", strings.NewReplacer("/", "-", ".md", "").Replace(page.path), b.line)
			if err := os.WriteFile(filepath.Join(args[0], name), []byte(b.text), 0o600); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return errors.New("no document has a workflow")
	}
	fmt.Println(n, "workflows in", args[0])
	return nil
}

// document is a Markdown file, or an example workflow or action.
type document struct {
	path string // from the root of the repository
	text string
}

// documents reads the Markdown files and the example workflows of the checkout at root,
// sorted by path.
func documents(root string) (all []document, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == ".git" || name == "testdata" || name == "node_modules") {
			return fs.SkipDir
		}
		relative, err := filepath.Rel(root, path)
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" && !strings.HasPrefix(filepath.ToSlash(relative), "examples/github/") {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, document{filepath.ToSlash(relative), string(text)})
		return err
	})
	return all, err
}

// block is a fenced code block.
type block struct {
	language, text string
	line           int // of its first fence
}

// fence matches a code block, which can be indented as part of a list.
var fence = regexp.MustCompile("(?ms)^([ \t]*)```([a-z]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$")

// blocks are the code blocks. An example is one as a whole.
func (d document) blocks() (all []block) {
	if !strings.HasSuffix(d.path, ".md") {
		return []block{{"yaml", d.text, 1}}
	}
	for _, m := range fence.FindAllStringSubmatchIndex(d.text, -1) {
		indent, text := d.text[m[2]:m[3]], d.text[m[6]:m[7]]
		lines := strings.SplitAfter(text, "\n")
		for i := range lines {
			lines[i] = strings.TrimPrefix(lines[i], indent)
		}
		all = append(all, block{d.text[m[4]:m[5]], strings.Join(lines, ""), 1 + strings.Count(d.text[:m[0]], "\n")})
	}
	return all
}

// prose is the document without code blocks and code.
func (d document) prose() string {
	if !strings.HasSuffix(d.path, ".md") {
		return ""
	}
	text := fence.ReplaceAllStringFunc(d.text, func(block string) string { return strings.Repeat("\n", strings.Count(block, "\n")) })
	return regexp.MustCompile("`[^`\n]+`").ReplaceAllString(text, "``")
}

// isWorkflow reports whether the block is a whole workflow of GitHub Actions.
func (b block) isWorkflow() bool {
	keys := b.keys()
	return slices.Contains(keys, "jobs") && slices.Contains(keys, "on")
}

// keys are the top-level keys of a YAML mapping.
func (b block) keys() (names []string) {
	var node yaml.Node
	if b.language != "yaml" || yaml.Unmarshal([]byte(b.text), &node) != nil || len(node.Content) == 0 {
		return nil
	}
	for i, n := range node.Content[0].Content {
		if node.Content[0].Kind == yaml.MappingNode && i%2 == 0 {
			names = append(names, n.Value)
		}
	}
	return names
}
