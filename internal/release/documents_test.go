package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// SECURITY.md says of each defence where it is tested. What it names must be
// there: a defence whose test is gone is a promise that nobody keeps.
func TestSecurityNamesTests(t *testing.T) {
	there := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := fs.WalkDir(os.DirFS(tree), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			for _, match := range function.FindAllStringSubmatch(read(t, filepath.Join(tree, name)), -1) {
				there[match[1]] = true
			}
		}
		if folder, script := filepath.Split(name); folder == "testdata/script/" {
			there[strings.TrimSuffix(script, ".txtar")] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	// Lists in brackets, but for links.
	text := read(t, filepath.Join(tree, "SECURITY.md"))
	named := 0
	for _, match := range regexp.MustCompile(`\[([^\]]+)\]([^(]|$)`).FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(match[1], ",") {
			name = strings.TrimSpace(name)
			if strings.Contains(name, " ") {
				continue // words, such as "a job of each release"
			}
			named++
			if !there[name] {
				t.Errorf("SECURITY.md names the test %s, which is nowhere", name)
			}
		}
	}
	if named < 20 {
		t.Errorf("%d tests are named, which is too few to have been read rightly", named)
	}
}

// The files of the toolchain that a contributor is told of are there.
func TestContributingNamesFiles(t *testing.T) {
	text := read(t, filepath.Join(tree, "CONTRIBUTING.md"))
	for _, match := range regexp.MustCompile("`((?:internal|testdata|\\.ci|\\.github)/[a-z0-9_./]+)`").FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(tree, match[1])); err != nil {
			t.Error(err)
		}
	}
}
