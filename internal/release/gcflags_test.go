package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// The Dockerfile and the release compile with the same flags.
func TestCompilerFlags(t *testing.T) {
	t.Parallel()
	var found []string
	for _, word := range strings.Fields(read(t, filepath.Join(tree, "Dockerfile"))) {
		if strings.HasPrefix(word, "-gcflags=") {
			found = append(found, word)
		}
	}
	if got, want := strings.Join(found, " "), strings.Join(gcflags, " "); got != want {
		t.Errorf("the Dockerfile has %q, want %q", got, want)
	}
}
