package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every defence for which SECURITY.md names tests has a patch, every patch still
// fits, and the tests exist.
func TestTable(t *testing.T) {
	root := filepath.Join("..", "..")
	index, err := findTests(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range check(root, index, table) {
		t.Error(problem)
	}
}

// A check that finds nothing proves nothing.
func TestCheck(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, ".github"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("code.go", "one\ntwo\ntwo\n")
	write(".github/SECURITY.md", "| first | **Defended.** [TestOne, script] second [TestTwo] a [link](to) [only some words] |\n")
	index := map[string]string{"TestOne": "a", "TestTwo": "b", "script": "internal/acceptance"}
	good := []row{
		{"first", "code.go", "one", "1", "script"},
		{"second", "code.go", "one", "1", "TestTwo"},
	}
	if problems := check(root, index, good); len(problems) > 0 {
		t.Errorf("a good table: %q", problems)
	}
	for _, bad := range []struct {
		table []row
		want  string
	}{
		{good[:1], "line 1: no patch for what has the tests TestTwo"},
		{append(good[:2:2], row{"first", "code.go", "two", "2", "script"}), "is there 2 times"},
		{append(good[:2:2], row{"first", "code.go", "three", "3", "script"}), "is there 0 times"},
		{append(good[:2:2], row{"first", "other.go", "one", "1", "script"}), "no such file"},
		{append(good[:2:2], row{"first", "code.go", "one", "one", "script"}), "another text"},
		{append(good[:2:2], row{"first", "code.go", "one", "1\n", "script"}), "one line"},
		{append(good[:2:2], row{"third", "code.go", "one", "1", "script"}), "0 times"},
		{append(good[:2:2], row{"a [", "code.go", "one", "1", "script"}), "names no tests after"},
		{append(good[:2:2], row{"first", "code.go", "one", "1", "TestTwo"}), "does not name TestTwo"},
	} {
		if got := strings.Join(check(root, index, bad.table), "\n"); !strings.Contains(got, bad.want) {
			t.Errorf("got %q, want %q", got, bad.want)
		}
	}
	delete(index, "script")
	if got := strings.Join(check(root, index, good), "\n"); got != "SECURITY.md, line 1: there is no test script" {
		t.Errorf("got %q", got)
	}
}
