package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// A program with switches does what a patched one does, whichever row is chosen.
func TestSwitches(t *testing.T) {
	const text = `package main

import "fmt"

const limit = 3

func sum(n int) (total int) {
	for i := range n { total += i }
	return total
}

func say(text string) { fmt.Print(text, " ") }

type counter struct{ n int }

func (c *counter) add() {
	c.n++
	if c.n > 1 { return }
	c.n++
}

func find() bool {
outer:
	for {
		for { break outer }
	}
	return true
}

func main() {
	var c counter
	c.add()
	say(fmt.Sprint(sum(limit), c.n, find()))
}
`
	rows := map[int]row{
		1:  {old: "total += i }", new: "total -= i }"},
		2:  {old: "for i := range n {", new: "for i := range 10 {"},
		3:  {old: `fmt.Print(text, " ") }`, new: "_ = text }"},
		7:  {old: "c.n > 1", new: "c.n > 0"},
		8:  {old: "limit = 3", new: "limit = 4"},             // no function
		9:  {old: "return true", new: "return false"},        // the function has a label
		10: {old: "func sum(n int)", new: "func sum(n int "}, // it cannot be parsed
	}
	switched, in, err := withSwitches(text, rows)
	if err != nil || !slices.Equal(in, []int{1, 2, 3, 7}) {
		t.Fatalf("rows %v, %v", in, err)
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "switched")
	if err := os.WriteFile(source, []byte(switched), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, switched)
	}
	for n, want := range map[int]string{0: "3 2 true ", 1: "-3 2 true ", 2: "45 2 true ", 3: "", 7: "3 1 true "} {
		chosen := filepath.Join(dir, "chosen")
		if err := choose(binary, n, chosen); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(chosen).CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("row %d: got %q, %v; want %q", n, out, err, want)
		}
	}
}
