package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rowOfPackage is a row of the table of packages in docs/architecture.md.
var rowOfPackage = regexp.MustCompile("(?m)^\\| [^|]*\\| `internal/([a-z]+)` \\|")

// A package of the program imports only packages that stand below it in the table of
// docs/architecture.md.
func TestLayers(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	table, _, found := strings.Cut(string(text), "Never linked into the program")
	if !found {
		t.Fatal("the table of packages does not end before those that are never linked")
	}
	row := map[string]int{}
	for i, m := range rowOfPackage.FindAllStringSubmatch(table, -1) {
		row[m[1]] = i + 1
	}
	for name, above := range row {
		files, err := filepath.Glob(filepath.Join(root, "internal", name, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range source.Imports {
				_, imported, ours := strings.Cut(strings.Trim(spec.Path.Value, `"`), "/internal/")
				if ours && row[imported] <= above {
					t.Errorf("%s imports %s, which docs/architecture.md does not list below %s", file, imported, name)
				}
			}
		}
	}
	if len(row) < 20 {
		t.Errorf("%d packages in the table", len(row))
	}
}
