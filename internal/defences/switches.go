package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"syscall"
)

// To compile a package and all that import it for each row would take most of the
// time. So one build has the patches of all rows that change the body of a function:
// the function begins with
//
//	if removed == "defence 007 is removed" { the patched body }
//
// for each of its rows. To try a row, its number is written over the zero in a copy of
// the binary.

// marker is what a binary has in which the defence of row n is removed.
func marker(n int) string { return fmt.Sprintf("defence %03d is removed", n) }

// withSwitches returns the text of a Go file with the patches of rows, by their numbers, and
// which of them are in it. The others change more than the body of one function.
func withSwitches(text string, rows map[int]row) (switched string, in []int, err error) {
	functions, err := bodies(text)
	if err != nil {
		return "", nil, err
	}
	cases := make([]string, len(functions))
	for n := 1; n < 1000; n++ {
		r, ok := rows[n]
		if !ok {
			continue
		}
		patched := strings.Replace(text, r.old, r.new, 1)
		others, err := bodies(patched)
		if err != nil || len(others) != len(functions) {
			continue
		}
		for i, f := range functions {
			other := others[i]
			if f.hasLabel || text[:f.start] != patched[:other.start] || text[f.end:] != patched[other.end:] {
				continue
			}
			cases[i] += fmt.Sprintf("if removed%03d == %q {%s\n", n, marker(n), patched[other.start:other.end])
			if !f.hasResults {
				cases[i] += "return\n"
			}
			cases[i] += "}\n"
			in = append(in, n)
			break
		}
	}
	for i := len(functions) - 1; i >= 0; i-- {
		at := functions[i].start
		text = text[:at] + cases[i] + text[at:]
	}
	for _, n := range in {
		text += fmt.Sprintf("\nvar removed%03d = %q\n", n, marker(0))
	}
	return text, in, nil
}

// body is where the body of a function begins and ends in a text, without its braces.
type body struct {
	start, end           int
	hasResults, hasLabel bool
}

// bodies returns those of all functions in a Go file that are no literals.
func bodies(text string) (all []body, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	offset := func(p token.Pos) int { return files.Position(p).Offset }
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		b := body{start: offset(f.Body.Lbrace) + 1, end: offset(f.Body.Rbrace), hasResults: f.Type.Results != nil}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			_, label := n.(*ast.LabeledStmt) // a function cannot have it twice
			b.hasLabel = b.hasLabel || label
			return true
		})
		all = append(all, b)
	}
	return all, nil
}

// choose copies a binary with switches to a file, and removes the defence of row n there;
// 0 removes none.
func choose(switched string, n int, file string) error {
	binary, err := os.ReadFile(switched)
	if err != nil {
		return err
	}
	// A process that is started meanwhile would inherit the file, and as long as it is
	// open for writing the copy cannot be started.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(file, bytes.ReplaceAll(binary, []byte(marker(0)), []byte(marker(n))), 0o755)
}
