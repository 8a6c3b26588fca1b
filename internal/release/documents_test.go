package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The files that CONTRIBUTING.md names exist.
func TestContributingNamesFiles(t *testing.T) {
	text := read(t, filepath.Join(tree, ".github/CONTRIBUTING.md"))
	for _, match := range regexp.MustCompile("`((?:internal|testdata|\\.ci|\\.github)/[a-z0-9_./]+)`").FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(tree, match[1])); err != nil {
			t.Error(err)
		}
	}
}
