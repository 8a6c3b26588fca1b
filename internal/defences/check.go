package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// row is a patch that takes a defence away.
type row struct {
	// defence is a phrase of SECURITY.md, found there once. The next list of
	// tests in brackets on its line is that of the defence.
	defence string
	// file is the file to patch. old, which is found in it once, becomes new.
	file, old, new string
	// test is the test of that list that must fail.
	test string
}

// findTests returns the package of every test by name: a function's name or a
// script's. Tests that need containers are left out.
func findTests(root string) (map[string]string, error) {
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	index := map[string]string{}
	scripts, err := filepath.Glob(filepath.Join(root, "testdata/script/*.txtar"))
	if err != nil {
		return nil, err
	}
	for _, script := range scripts {
		index[strings.TrimSuffix(filepath.Base(script), ".txtar")] = "internal/acceptance"
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			if name := match[1]; !strings.HasPrefix(string(text), "//go:build e2e") || index[name] == "" {
				index[name] = filepath.ToSlash(pkg)
			}
		}
		return nil
	})
	return index, err
}

func isFunction(test string) bool {
	return strings.HasPrefix(test, "Test") || strings.HasPrefix(test, "Fuzz")
}

// brackets are lists in brackets, except links.
var brackets = regexp.MustCompile(`\[([^\]]+)\](?:[^(]|$)`)

// lists returns the lists of tests in a line of SECURITY.md, with the place at
// which each begins.
func lists(line string) (lists [][]string, at []int) {
	for _, match := range brackets.FindAllStringSubmatchIndex(line, -1) {
		var tests []string
		for test := range strings.SplitSeq(line[match[2]:match[3]], ",") {
			// Words such as "and a job of each release" are no test.
			test = strings.TrimSpace(test)
			if !strings.Contains(test, " ") {
				tests = append(tests, test)
			}
		}
		if len(tests) > 0 {
			lists, at = append(lists, tests), append(at, match[0])
		}
	}
	return lists, at
}

// check returns the problems of the table.
func check(root string, index map[string]string, table []row) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	text, err := os.ReadFile(filepath.Join(root, ".github/SECURITY.md"))
	if err != nil {
		return []string{err.Error()}
	}
	lines := strings.Split(string(text), "\n")
	covered := map[[2]int]bool{} // by line and list

	for _, r := range table {
		source, err := os.ReadFile(filepath.Join(root, r.file))
		if err != nil {
			wrong("%v", err)
		} else if n := strings.Count(string(source), r.old); n != 1 {
			wrong("%s: the text to patch is there %d times, want once: %s", r.file, n, r.old)
		}
		if r.old == r.new || strings.Contains(r.old+r.new, "\n") {
			wrong("%s: want one line and another text in its place: %s", r.file, r.old)
		}
		if n := strings.Count(string(text), r.defence); n != 1 {
			wrong("SECURITY.md has %q %d times, want once", r.defence, n)
			continue
		}
		for i, line := range lines {
			_, behind, found := strings.Cut(line, r.defence)
			if !found {
				continue
			}
			tests, at := lists(line)
			list := slices.IndexFunc(at, func(at int) bool { return at >= len(line)-len(behind) })
			switch {
			case list < 0:
				wrong("SECURITY.md names no tests after %q", r.defence)
			case !slices.Contains(tests[list], r.test):
				wrong("SECURITY.md does not name %s after %q but %s", r.test, r.defence, strings.Join(tests[list], ", "))
			default:
				covered[[2]int{i, list}] = true
			}
		}
	}
	for i, line := range lines {
		tests, _ := lists(line)
		for list := range tests {
			for _, test := range tests[list] {
				if index[test] == "" {
					wrong("SECURITY.md, line %d: there is no test %s", i+1, test)
				}
			}
			if !covered[[2]int{i, list}] {
				wrong("SECURITY.md, line %d: no patch for what has the tests %s", i+1, strings.Join(tests[list], ", "))
			}
		}
	}
	return problems
}
